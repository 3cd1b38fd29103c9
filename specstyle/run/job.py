"""One run from files to files: the output, its record, intermediate results and figures."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specstyle import figures
from specstyle.engine.team import ALONE, Team
from specstyle.errors import FileError
from specstyle.features.weights import sha256_of
from specstyle.media import imagefiles, soundfiles
from specstyle.run.output import atomic, check_output, write_json
from specstyle.run.transfer import Progress, Request, Result, Stage, TransferError, take_part, transfer
from specstyle.run.warm import COLD, Warm

SHEET_COLUMNS = 5

REPORT_EVERY = 10
"""Steps from one report to the next on a GPU."""


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
    job: Job,
    *,
    on_step: Callable[[Progress], None],
    on_note: Callable[[str], None],
    on_stage: Callable[[Stage], None],
    team: Team = ALONE,
    warm: Warm = COLD,
) -> tuple[Result, list[Path]]:
    """Run a job.

    Args:
        job: What to do.
        on_step: Called after each step; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        on_stage: Called as each stage of the run begins.
        team: The processes that share the run; the first one writes.
        warm: Networks and styles of earlier runs; by default nothing is kept.

    Returns:
        The result, and the files written.

    Raises:
        SpecstyleError: If an input, an option or the output cannot be used. A run that broke off on NaN
            leaves its last good result in the output and raises ``TransferError``.
    """
    medium = job.request.medium
    (soundfiles if medium == "audio" else imagefiles).check_output_suffix(job.output)
    if job.save_every < 0:
        raise ValueError(f"save_every must not be negative, got {job.save_every}")
    for path in [job.output, job.record_path] + ([job.figure_path] if job.plot else []):
        check_output(path, force=job.force)
    if job.save_every and job.steps_folder.exists() and not job.steps_folder.is_dir():
        raise FileError(f"{job.steps_folder}: stands where --save-every needs a folder; rename it")
    if job.save_every and not job.force and job.steps_folder.is_dir() and any(job.steps_folder.iterdir()):
        raise FileError(f"{job.steps_folder}: holds files already; remove it, or --force to add to them")
    # Hashed before the run, since OUT may replace an input.
    inputs = [_file(path) for path in (job.request.content, *job.request.styles)]
    # Every tenth step is enough to watch a GPU; what is kept is reported.
    seldom = math.gcd(REPORT_EVERY, job.save_every)
    request = dataclasses.replace(job.request, output=job.output, report_every=seldom)
    saver = _StepSaver(job) if job.save_every else None

    def report(progress: Progress) -> None:
        if saver is not None:
            saver(progress)
        on_step(progress)

    try:
        result = transfer(request, on_step=report, on_note=on_note, on_stage=on_stage, team=team, warm=warm)
        written = _write(job, result, inputs, on_note)
    except TransferError as error:
        if error.result is None:
            raise
        written = _write(job, error.result, inputs, on_note)
        raise TransferError(f"{error}; it is in {written[0]}", error.result) from error
    if saver is not None:
        written += saver.finish()
    if job.plot:
        draw_figure(job.request.medium, result, job.figure_path)
        written.append(job.figure_path)
    return result, written


def take_part_in_job(job: Job, *, on_step: Callable[[Progress], None], team: Team) -> None:
    """Do the part of a job of a process that is not the first of its team: it computes, and writes nothing.

    Raises:
        SpecstyleError: If an input or an option cannot be used, or another process is gone.
    """

    def step(progress: Progress) -> None:
        if job.save_every and progress.step % job.save_every == 0:
            progress.image()  # the first process asks for the whole image, which takes all of them
        on_step(progress)

    seldom = math.gcd(REPORT_EVERY, job.save_every)
    request = dataclasses.replace(job.request, output=job.output, report_every=seldom)
    take_part(request, on_step=step, team=team)


def _write(
    job: Job, result: Result, inputs: list[dict[str, str]], on_note: Callable[[str], None]
) -> list[Path]:
    """Write the output and its record, both or neither."""
    said = [result.record["content"], *result.record["styles"]]
    content, *styles = [{**file, **more} for file, more in zip(inputs, said, strict=True)]
    record = {**result.record, "output": str(job.output), "content": content, "styles": styles}
    with atomic(job.output) as output, atomic(job.record_path) as record_file:
        for note in _write_to(job.request.medium, result.output, output):
            record["notes"] = [*record["notes"], note]
            on_note(note)
        write_json(record_file, record)
    return [job.output, job.record_path]


def _file(path: Any) -> dict[str, str]:
    """Return a file's path and hash, as far as it can be read: its reader tells what is wrong."""
    try:
        # Not a pipe or a device, which would be read for ever.
        return {"path": str(path), "sha256": sha256_of(Path(path))} if Path(path).is_file() else {}
    except (OSError, TypeError, ValueError):
        return {}


def write_source(medium: str, source: Any, path: Path) -> None:
    """Write a sound or picture, whole or not at all.

    Raises:
        FileError: If it cannot be written.
    """
    with atomic(path) as temporary:
        _write_to(medium, source, temporary)


def _write_to(medium: str, source: Any, path: Path) -> tuple[str, ...]:
    if medium == "audio":
        soundfiles.write_sound(source, path)
        return ()
    return imagefiles.write_picture(source, path)


def draw_figure(medium: str, result: Result, path: Path) -> None:
    """Write content, styles and result side by side as a PNG.

    Raises:
        FileError: If it cannot be written.
    """
    titles = ["content", *(["style"] if len(result.styles) == 1 else []), "result"]
    if len(result.styles) > 1:
        titles[1:1] = [f"style {i}" for i in range(1, len(result.styles) + 1)]
    sources = [result.content, *result.styles, result.output]
    if "duration_s" in result.record["recipe"]:  # a texture has nothing of a content
        titles, sources = titles[1:], sources[1:]
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

    def __call__(self, progress: Progress) -> None:
        if progress.step % self._job.save_every:
            return
        result = progress.result()
        folder = self._job.steps_folder
        path = folder / f"step-{progress.step:05d}{self._suffix}"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise FileError(f"{folder}: cannot be created: {error.strerror}; remove what is there") from error
        try:
            write_source(self._job.request.medium, result, path)
        except FileError:
            with contextlib.suppress(OSError):  # it holds earlier steps
                folder.rmdir()
            raise
        self._written.append(path)
        if self._job.request.medium == "audio":
            panel = progress.image().mean(0)[0].cpu().numpy()
        else:
            panel = _pixels(result)
        self._panels.append((f"step {progress.step}", panel))

    def finish(self) -> list[Path]:
        """Write the sheet; return all files written."""
        if not self._panels:
            return []
        sheet = self._job.steps_folder / "sheet.png"
        with atomic(sheet) as temporary:
            figures.contact_sheet(self._panels, temporary, columns=SHEET_COLUMNS)
        return [*self._written, sheet]
