"""Intermediate results: every n-th step's in a file, and a sheet of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from specstyle import figures
from specstyle.engine.scales import resize
from specstyle.errors import FileError
from specstyle.media import imagefiles, soundfiles
from specstyle.run.output import atomic
from specstyle.run.request import Progress, Result
from specstyle.run.writing import write_source

SHEET_COLUMNS = 5

_THUMBNAIL = 600
"""Longest side of a picture in a sheet, in pixels."""


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
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise FileError(
                f"{self._folder}: cannot be created: {error.strerror}; remove what is there"
            ) from error
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
            figures.contact_sheet(panels, temporary, columns=SHEET_COLUMNS)
        return [*self._written, sheet]


def thumbnail(medium: str, path: Path) -> np.ndarray:
    """Return a result as a panel of a contact sheet: pixels, or levels in dB below the peak.

    Raises:
        FileError: If it cannot be read.
    """
    if medium == "audio":
        sound = soundfiles.read_sound(path)
        levels_db, _ = figures.spectrogram_db(path.name, sound.samples.numpy(), sound.sample_rate)
        return levels_db.astype(np.float32)
    pixels = imagefiles.read_picture(path).pixels
    shrink = min(1.0, _THUMBNAIL / max(pixels.shape[1:]))  # a sheet holds all of them at once
    height, width = (max(round(shrink * side), 1) for side in pixels.shape[1:])
    return resize(pixels[None], height, width)[0].clamp(0.0, 1.0).movedim(0, 2).numpy()
