"""One run from files to files: the output, its record, intermediate results and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specstyle import figures
from specstyle.errors import SpecstyleError
from specstyle.features.weights import sha256_of
from specstyle.media import imagefiles, soundfiles
from specstyle.run.output import atomic, check_output, write_json
from specstyle.run.transfer import Progress, Request, Result, TransferError, transfer

SHEET_COLUMNS = 5


@dataclass(frozen=True)
class Job:
    """A request whose content and styles are files, and where its results go.

    Attributes:
        request: What to do.
        output: The file to write; its suffix names the format.
        force: Replace an existing output.
        save_every: Also keep every so many steps' result, and a sheet of them; 0: none.
        plot: Also write a figure with content, style and result side by side.
    """

    request: Request
    output: Path
    force: bool = False
    save_every: int = 0
    plot: bool = False

    @property
    def record_path(self) -> Path:
        """Where the record goes: ``out.wav.json`` beside ``out.wav``."""
        return self.output.with_name(self.output.name + ".json")

    @property
    def figure_path(self) -> Path:
        """Where ``plot`` goes: ``out.figure.png``."""
        return self.output.with_name(self.output.stem + ".figure.png")

    @property
    def steps_folder(self) -> Path:
        """Where ``save_every`` goes: ``out.steps/``."""
        return self.output.with_name(self.output.stem + ".steps")


def run_job(
    job: Job, *, on_step: Callable[[Progress], None], on_note: Callable[[str], None]
) -> tuple[Result, list[Path]]:
    """Run a job.

    Args:
        job: What to do.
        on_step: Called after each step; may raise ``StopRun``.
        on_note: Called with each line that a user should know.

    Returns:
        The result, and the files written.

    Raises:
        SpecstyleError: If an input, an option or the output cannot be used. A run that broke off on NaN
            leaves its last good result in the output and raises ``TransferError``.
    """
    medium = job.request.medium
    (soundfiles if medium == "audio" else imagefiles).check_output_suffix(job.output)
    check_output(job.output, force=job.force)
    if job.save_every < 0:
        raise ValueError(f"save_every must not be negative, got {job.save_every}")
    saver = _StepSaver(job) if job.save_every else None

    def report(progress: Progress) -> None:
        if saver is not None:
            saver(progress)
        on_step(progress)

    try:
        result = transfer(job.request, on_step=report, on_note=on_note)
    except TransferError as error:
        if error.result is None:
            raise
        paths = _write(job, error.result, saver)
        raise TransferError(f"{error}; it is in {paths[0]}", error.result) from error
    return result, _write(job, result, saver)


def _write(job: Job, result: Result, saver: _StepSaver | None) -> list[Path]:
    notes = write_source(job.request.medium, result.output, job.output)
    record = {**result.record, "output": str(job.output), "notes": [*result.record["notes"], *notes]}
    record["content"] = {**_file(job.request.content), **record["content"]}
    record["styles"] = [
        {**_file(path), **said} for path, said in zip(job.request.styles, record["styles"], strict=True)
    ]
    written = [job.output, job.record_path]
    write_json(job.record_path, record)
    if saver is not None:
        written += saver.finish()
    if job.plot:
        draw_figure(job.request.medium, result, job.figure_path)
        written.append(job.figure_path)
    return written


def _file(path: Any) -> dict[str, str]:
    return {"path": str(path), "sha256": sha256_of(Path(path))} if isinstance(path, (str, Path)) else {}


def write_source(medium: str, source: Any, path: Path) -> tuple[str, ...]:
    """Write a sound or picture, whole or not at all; return what the user should know.

    Raises:
        FileError: If it cannot be written.
    """
    with atomic(path) as temporary:
        if medium == "audio":
            soundfiles.write_sound(source, temporary)
            return ()
        return imagefiles.write_picture(source, temporary) or ()


def draw_figure(medium: str, result: Result, path: Path) -> None:
    """Write content, styles and result side by side as a PNG.

    Raises:
        FileError: If it cannot be written.
    """
    titles = ["content", *(["style"] if len(result.styles) == 1 else []), "result"]
    if len(result.styles) > 1:
        titles[1:1] = [f"style {i}" for i in range(1, len(result.styles) + 1)]
    sources = [result.content, *result.styles, result.output]
    with atomic(path) as temporary:
        if medium == "audio":
            panels = [(t, s.samples.numpy(), s.sample_rate) for t, s in zip(titles, sources, strict=True)]
            figures.sound_figure(panels, temporary)
        else:
            pictures = [(t, _pixels(s)) for t, s in zip(titles, sources, strict=True)]
            figures.picture_figure(pictures, temporary)


def _pixels(picture: Any) -> np.ndarray:
    pixels: np.ndarray = picture.pixels.movedim(0, 2).numpy()
    return pixels


class _StepSaver:
    """Writes every n-th step's result, and a contact sheet of them at the end."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._panels: list[tuple[str, np.ndarray]] = []
        self._written: list[Path] = []
        self._suffix = job.output.suffix
        try:
            job.steps_folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SpecstyleError(f"{job.steps_folder}: cannot be created: {error.strerror}") from error

    def __call__(self, progress: Progress) -> None:
        if progress.step % self._job.save_every:
            return
        result = progress.result()
        path = self._job.steps_folder / f"step-{progress.step:05d}{self._suffix}"
        write_source(self._job.request.medium, result, path)
        self._written.append(path)
        if self._job.request.medium == "audio":
            panel = progress.image().mean(0)[0].cpu().numpy()
        else:
            panel = _pixels(result)
        self._panels.append((f"step {progress.step}", panel))

    def finish(self) -> list[Path]:
        """Write the sheet; return all files written."""
        if not self._panels:
            self._job.steps_folder.rmdir()
            return []
        sheet = self._job.steps_folder / "sheet.png"
        with atomic(sheet) as temporary:
            figures.contact_sheet(self._panels, temporary, columns=SHEET_COLUMNS)
        return [*self._written, sheet]
