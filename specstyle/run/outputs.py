"""What a run leaves in files: sound or picture, figure, losses, intermediate results, TensorBoard's log."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
import torch

from specstyle.engine.canvas import resize
from specstyle.errors import FileError, SpecstyleError
from specstyle.figures import RANGE_DB, contact_sheet, sound_figure, spectrogram_db
from specstyle.files import atomic, make_folder
from specstyle.media import imagefiles, soundfiles
from specstyle.run.request import Progress, Result

SHEET_COLUMNS = 5

_THUMBNAIL = 600
"""Longest side of a picture in a sheet, in pixels."""


class Watcher(Protocol):
    """Looks on at the steps of a job, and writes of them."""

    def go_back(self, step: int) -> None:
        """Take up what was written up to a step, and forget what comes after it."""
        ...

    def __call__(self, progress: Progress) -> None:
        """Take in a step."""
        ...

    def finish(self, result: Result) -> list[Path]:
        """Write what is left; return the files written."""
        ...


def write_source(medium: str, source: Any, path: Path) -> None:
    """Write a sound or picture, whole or not at all.

    Raises:
        FileError: If it cannot be written.
    """
    with atomic(path) as temporary:
        write_to(medium, source, temporary)


def write_to(medium: str, source: Any, path: Path, **keep: Any) -> tuple[str, ...]:
    """Write a sound or picture to a file that ``atomic`` names; return what a user should know of it.

    What to keep is for pictures, see ``write_picture``.
    """
    if medium == "audio":
        return soundfiles.write_sound(source, path)
    return imagefiles.write_picture(source, path, **keep)


def draw_figure(medium: str, result: Result, path: Path) -> None:
    """Write content, styles and result side by side as a PNG.

    Raises:
        FileError: If it cannot be written.
    """
    sources = [result.content, *result.styles, result.output]
    titles = panel_titles(len(result.styles))
    if "duration_s" in result.record["recipe"]:  # a texture has nothing of a content
        titles, sources = titles[1:], sources[1:]
    with atomic(path) as temporary:
        if medium == "audio":
            panels = [(t, s.samples.numpy(), s.sample_rate) for t, s in zip(titles, sources, strict=True)]
            sound_figure(panels, temporary)
        else:
            pictures = [(t, s.pixels.movedim(0, 2).numpy()) for t, s in zip(titles, sources, strict=True)]
            contact_sheet(pictures, temporary, columns=len(pictures), inches=4.0)


def panel_titles(styles: int) -> list[str]:
    """Return the titles of content, styles and result side by side."""
    numbered = ["style"] if styles == 1 else [f"style {i}" for i in range(1, styles + 1)]
    return ["content", *numbered, "result"]


class Metrics:
    """Keeps what each reported step told: ``step``, ``scale`` and the weighted losses by name.

    Times are left out, so that a run that was interrupted leaves the same file as one that was not.

    Args:
        path: The file; ``None``: memory alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._file: TextIO | None = None
        self.rows: list[dict[str, Any]] = []

    def go_back(self, step: int) -> None:
        """Forget what was told after a step, and what a kill left half written.

        Raises:
            FileError: If the file cannot be read or written.
        """
        self.rows = []
        if self._path is None:
            return
        try:
            lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
            for line in lines:
                row = _row(line)
                if row is None or row["step"] > step:
                    break
                self.rows.append(row)
            # A kill in between must leave the old lines or the new ones.
            with atomic(self._path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
            self._file = self._path.open("a", buffering=1, encoding="utf-8")  # the page reads along
        except OSError as error:
            raise FileError(f"{self._path}: cannot be written: {error.strerror}") from error

    def __call__(self, progress: Progress) -> None:
        """Take in a step."""
        row = {"step": progress.step, "scale": progress.scale, **progress.losses}
        self.rows.append(row)
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")

    def finish(self, result: Result) -> list[Path]:
        """Return the file, if there is one."""
        self.sync()
        return [] if self._path is None else [self._path]

    def sync(self) -> None:
        """Bring all of it to the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the rest, and end."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


def _row(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, ``None`` if it is empty or was cut."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


class Snapshots:
    """Writes every n-th step's result, and a contact sheet of them at the end.

    Args:
        medium: ``audio`` or ``image``.
        folder: Where to; made with the first.
        every: Steps from one to the next.
        suffix: Of the files, which names the format.
    """

    def __init__(self, medium: str, folder: Path, *, every: int, suffix: str) -> None:
        self._medium, self._folder, self._every, self._suffix = medium, folder, every, suffix
        self._written: list[Path] = []

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:05d}{self._suffix}"

    def go_back(self, step: int) -> None:
        """Count what an earlier part of the run wrote up to a step."""
        steps = range(self._every, step + 1, self._every)
        self._written = [path for path in map(self._path, steps) if path.exists()]

    def __call__(self, progress: Progress) -> None:
        """Write the result of a step whose turn it is.

        Raises:
            FileError: If it cannot be written.
        """
        if progress.step % self._every:
            return
        result = progress.result()
        make_folder(self._folder)
        try:
            write_source(self._medium, result, self._path(progress.step))
        except FileError:
            with contextlib.suppress(OSError):  # it holds earlier steps
                self._folder.rmdir()
            raise
        self._written.append(self._path(progress.step))

    def finish(self, result: Result) -> list[Path]:
        """Write the sheet; return all files written."""
        if not self._written:
            return []
        sheet = self._folder / "sheet.png"
        panels = [(f"step {int(path.stem[5:])}", thumbnail(self._medium, path)) for path in self._written]
        with atomic(sheet) as temporary:
            contact_sheet(panels, temporary, columns=SHEET_COLUMNS)
        return [*self._written, sheet]


def thumbnail(medium: str, path: Path) -> np.ndarray:
    """Return a result as a panel of a contact sheet: pixels, or levels in dB below the peak.

    Raises:
        FileError: If it cannot be read.
    """
    if medium == "audio":
        sound = soundfiles.read_sound(path)
        levels_db, _ = spectrogram_db(sound.samples.numpy(), sound.sample_rate)
        return levels_db.astype(np.float32)
    pixels = imagefiles.read_picture(path).pixels
    shrink = min(1.0, _THUMBNAIL / max(pixels.shape[1:]))  # a sheet holds all of them at once
    height, width = (max(round(shrink * side), 1) for side in pixels.shape[1:])
    return resize(pixels[None], height, width)[0].clamp(0.0, 1.0).movedim(0, 2).numpy()


class TensorBoard:
    """Logs a run while it goes.

    Args:
        medium: ``audio`` or ``image``.
        folder: Of the event files.
        every: Log the result, which for a sound takes a phase reconstruction, at every so many steps; 0: at
            the end alone.

    Raises:
        SpecstyleError: If TensorBoard is not installed.
    """

    def __init__(self, medium: str, folder: Path, *, every: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SpecstyleError(
                "tensorboard is not installed; pip install 'specstyle[tensorboard]' adds it"
            ) from error
        self._make: Any = SummaryWriter
        self._medium, self._folder, self._every = medium, folder, every
        self._writer: Any = None
        self._step = 0

    def go_back(self, step: int) -> None:
        """Let what was logged after a step be passed over."""
        self._writer = self._make(str(self._folder), purge_step=step + 1 if step else None)

    def __call__(self, progress: Progress) -> None:
        """Log a step."""
        self._step = progress.step
        for name, loss in progress.losses.items():
            self._writer.add_scalar(f"losses/{name.replace(':', '/')}", loss, progress.step)
        if self._every and progress.step % self._every == 0:
            self._add("result", progress.result(), progress.step)

    def finish(self, result: Result) -> list[Path]:
        """Log content, styles and the result; return the folder."""
        self._add("content", result.content, 0)
        for number, style in enumerate(result.styles, 1):
            self._add(f"style {number}" if len(result.styles) > 1 else "style", style, 0)
        self._add("result", result.output, self._step)
        self._writer.close()
        return [self._folder]

    def _add(self, name: str, source: Any, step: int) -> None:
        if self._medium == "image":
            self._writer.add_image(name, source.pixels.clamp(0.0, 1.0), step)
            return
        samples = source.samples
        # The event file holds 16 bits and one channel.
        mono = samples.mean(0, keepdim=True).float()
        self._writer.add_audio(name, mono.clamp(-1.0, 1.0), step, sample_rate=source.sample_rate)
        levels_db, _ = spectrogram_db(samples.numpy(), source.sample_rate)
        shades = np.flipud(1.0 + levels_db / RANGE_DB).copy()
        self._writer.add_image(f"{name} spectrogram", torch.from_numpy(shades)[None], step)
