"""One run from files to files: the output, its record, intermediate results and figures."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from specstyle.errors import FileError, OutputExistsError
from specstyle.files import atomic, check_output, make_folder, write_json
from specstyle.media import imagefiles, soundfiles
from specstyle.recipes import Recipe
from specstyle.run.api import transfer
from specstyle.run.checkpoint import (
    FINISHED,
    FINISHING,
    STOPPED,
    Checkpoints,
    RunFolder,
    Stopping,
    opened,
)
from specstyle.run.objective import Cache
from specstyle.run.outputs import Metrics, Snapshots, TensorBoard, Watcher, draw_figure, write_to
from specstyle.run.record import files_read, files_recorded, settings_text, with_files
from specstyle.run.report import write_report
from specstyle.run.request import Job, Progress, Result, Stage, TransferError
from specstyle.run.settle import settle_request

REPORT_EVERY = 10
"""Steps from one report to the next on a GPU."""


def run_job(
    job: Job,
    *,
    on_step: Callable[[Progress], None],
    on_note: Callable[[str], None],
    on_stage: Callable[[Stage], None],
    cache: Cache | None = None,
    keep_now: Callable[[], bool] | None = None,
    run: Callable[..., Result] | None = None,
) -> tuple[Result, list[Path]]:
    """Run a job.

    Args:
        job: What to do.
        on_step: Called after each step; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        on_stage: Called as each stage of the run begins.
        cache: Networks of earlier runs.
        keep_now: Asked between steps whether to write a checkpoint at once; for a job with a ``run_dir``.
        run: What makes a result of the request, as ``transfer``, which it is by default, does.

    Returns:
        The result, and the files written.

    Raises:
        SpecstyleError: If an input, an option or the output cannot be used. A run that broke off on NaN
            leaves its last good result in the output and raises ``TransferError``.
    """
    inputs = files_recorded(job)
    with opened(job) as folder:
        _check(job, folder)
        metrics = Metrics() if folder is None else folder.metrics
        watchers = [metrics, *_watchers(job)]
        watch_last, keeper = on_step, None
        if folder is not None:
            if keep_now is None:
                watch_last = stopping = Stopping(on_step)
                keep_now = stopping.wanted
            keeper = Checkpoints(folder, watchers, every_steps=job.checkpoint_every, wanted=keep_now)

        def report(progress: Progress) -> None:
            for watch in watchers:
                watch(progress)
            watch_last(progress)

        failed: TransferError | None = None
        try:
            # Every tenth step is enough to watch a GPU; what is kept is reported.
            seldom = math.gcd(REPORT_EVERY, job.save_every)
            result = (run or transfer)(
                dataclasses.replace(job.request, output=job.output, report_every=seldom),
                on_step=report,
                on_note=on_note,
                on_stage=on_stage,
                cache=cache,
                keeper=keeper,
            )
        except TransferError as error:
            if error.result is None:
                raise
            result, failed = error.result, error
        job, result = _written(job, result, inputs, on_note=on_note, folder=folder)
        written = _finish(job, result, watchers, metrics)
        if folder is not None:
            folder.end(STOPPED if failed or result.record["stopped"] else FINISHED)
        if failed is not None:
            raise TransferError(f"{failed}; it is in {written[0]}", result) from failed
    return result, written


def _finish(job: Job, result: Result, watchers: Sequence[Watcher], metrics: Metrics) -> list[Path]:
    """Write what comes of a run beside its output; return all files written."""
    written = [job.output, job.record_path]
    for watch in watchers:
        written += watch.finish(result)
    if job.report:
        write_report(job.request.medium, result, metrics.rows, job.report_path)
        written.append(job.report_path)
    if job.plot:
        draw_figure(job.request.medium, result, job.figure_path)
        written.append(job.figure_path)
    return written


def _written(
    job: Job,
    result: Result,
    inputs: dict[str, Any],
    *,
    on_note: Callable[[str], None],
    folder: RunFolder | None,
) -> tuple[Job, Result]:
    """Write the output, then its record, both or neither; return where, and the result with its record.

    What another run wrote to the same place meanwhile stays, and the output gets another name. Where it
    cannot be written, it is brought to safety.
    """
    record = with_files(job, result, inputs)
    if folder is not None:
        folder.status = FINISHING
    keep: dict[str, Any] = {}
    if job.request.medium == "image":
        text = settings_text(record) if job.metadata else None
        keep = {"bits": record["recipe"]["bits"], "text": text}
    new = not (job.force or job.resumed)
    others = (job.output.with_stem(f"{job.output.stem}-{i}") for i in itertools.count(2))
    for place in itertools.chain([job.output], others):
        here, told = dataclasses.replace(job, output=place), []
        if place != job.output:
            told = [f"{job.output} appeared while this ran; the result is {place}"]
        said = {**record, "output": here.name_of(place), "notes": [*record["notes"], *told]}
        try:
            notes = _write(here, result, said, keep, new=new)
        except OutputExistsError:
            continue
        except FileError as error:
            raise FileError(_saved(job, result, keep, str(error))) from error
        for note in told + notes:
            on_note(note)
        if folder is not None:
            folder.take_in(place, here.record_path)
        return here, dataclasses.replace(result, record={**said, "notes": said["notes"] + notes})
    raise AssertionError


def _write(job: Job, result: Result, record: dict[str, Any], keep: dict[str, Any], *, new: bool) -> list[str]:
    """Write output and record; return what the format could not keep."""
    make_folder(job.output.parent)
    with atomic(job.record_path) as record_file, atomic(job.output, new=new) as output:
        notes = list(write_to(job.request.medium, result.output, output, **keep))
        try:
            write_json(record_file, {**record, "notes": record["notes"] + notes})
        except OSError as error:
            raise FileError(f"{job.record_path}: cannot be written: {error.strerror}") from error
        if not new:  # a kill from here on leaves no output beside the record of another one
            job.record_path.unlink(missing_ok=True)
    return notes


def _saved(job: Job, result: Result, keep: dict[str, Any], said: str) -> str:
    """Write a result that could not be written where it belongs to another place; return what to tell."""
    made = None
    if job.run_dir is None or job.run_dir.resolve() == job.output.parent.resolve():
        made = Path(tempfile.mkdtemp(prefix="specstyle-"))
    place = (made or job.run_dir or Path()) / job.output.name
    try:
        with atomic(place) as output:
            write_to(job.request.medium, result.output, output, **keep)
    except FileError:
        if made is not None:
            made.rmdir()
        return said
    return f"{said}; the result is in {place}"


def _check(job: Job, folder: RunFolder | None) -> None:
    """Refuse what could not be written, before the run rather than after it."""
    medium = job.request.medium
    (soundfiles if medium == "audio" else imagefiles).check_output_suffix(job.output)
    if job.save_every < 0:
        raise ValueError(f"save_every must not be negative, got {job.save_every}")
    outputs = [job.output, job.record_path, job.figure_path, job.report_path]
    recipe = Recipe(mask=job.request.overrides.get("mask"))  # of a trained network
    if job.request.styles:
        recipe, _ = settle_request(job.request)
    for path in files_read(job, recipe):
        if path.exists() and any(out.exists() and out.samefile(path) for out in outputs):
            raise FileError(f"{job.output}: would replace {path}, an input of the run; name another output")
    # What a run that is gone on with has written is its own.
    own = job.resumed and folder is not None and folder.wrote(job.output)
    figure, page = ([job.figure_path] if job.plot else []), ([job.report_path] if job.report else [])
    for path in [job.output, job.record_path, *figure, *page]:
        if job.resumed and path.exists() and not (job.force or own):
            raise FileError(f"{path}: appeared since the run began; move it away, and --resume again")
        check_output(path, force=job.force or own)
    if folder is not None:
        return
    if job.tensorboard or job.checkpoint_every is not None:
        raise ValueError("tensorboard and checkpoint_every need a run_dir to write into")
    if job.save_every and job.steps_folder.exists() and not job.steps_folder.is_dir():
        raise FileError(f"{job.steps_folder}: stands where --save-every needs a folder; rename it")
    if job.save_every and not job.force and job.steps_folder.is_dir() and any(job.steps_folder.iterdir()):
        raise FileError(f"{job.steps_folder}: holds files already; remove it, or --force to add to them")


def _watchers(job: Job) -> list[Watcher]:
    """Return what else looks on at a job's steps, beside its losses."""
    watchers: list[Watcher] = []
    if job.save_every:
        suffix = job.output.suffix
        watchers.append(Snapshots(job.request.medium, job.steps_folder, every=job.save_every, suffix=suffix))
    if job.tensorboard and job.run_dir is not None:
        watchers.append(TensorBoard(job.request.medium, job.run_dir / "tensorboard", every=job.save_every))
    return watchers
