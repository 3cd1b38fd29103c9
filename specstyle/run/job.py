"""One run from files to files: the output, its record, intermediate results and figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from specstyle.errors import FileError
from specstyle.files import atomic, check_output, make_folder, sha256_of, write_json
from specstyle.media import imagefiles, soundfiles
from specstyle.run.api import transfer
from specstyle.run.cache import COLD, Cache
from specstyle.run.checkpoint import (
    FINISHED,
    FINISHING,
    STOPPED,
    Checkpoints,
    RunFolder,
    Stopping,
    opened,
)
from specstyle.run.outputs import Snapshots, TensorBoard, Watcher, draw_figure, write_to
from specstyle.run.report import ReportWriter
from specstyle.run.request import Job, Progress, Result, Stage, TransferError
from specstyle.run.settings import settings_text

REPORT_EVERY = 10
"""Steps from one report to the next on a GPU."""


def run_job(
    job: Job,
    *,
    on_step: Callable[[Progress], None],
    on_note: Callable[[str], None],
    on_stage: Callable[[Stage], None],
    cache: Cache = COLD,
    keep_now: Callable[[], bool] | None = None,
    run: Callable[..., Result] = transfer,
) -> tuple[Result, list[Path]]:
    """Run a job.

    Args:
        job: What to do.
        on_step: Called after each step; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        on_stage: Called as each stage of the run begins.
        cache: Networks and styles of earlier runs; by default nothing is kept.
        keep_now: Asked between steps whether to write a checkpoint at once; for a job with a ``run_dir``.
        run: What makes a result of the request, as ``transfer`` does.

    Returns:
        The result, and the files written.

    Raises:
        SpecstyleError: If an input, an option or the output cannot be used. A run that broke off on NaN
            leaves its last good result in the output and raises ``TransferError``.
    """
    # Hashed before the run, since OUT may replace an input.
    inputs = _inputs(job)
    with opened(job) as folder:
        _check(job, folder)
        watchers = _watchers(job, folder)
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
            result = run(
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
        written = _finish(job, result, inputs, watchers=watchers, on_note=on_note, folder=folder)
        if folder is not None:
            folder.status = STOPPED if failed or result.record["stopped"] else FINISHED
        if failed is not None:
            raise TransferError(f"{failed}; it is in {written[0]}", result) from failed
    return result, written


def _finish(
    job: Job,
    result: Result,
    inputs: dict[str, Any],
    *,
    watchers: Sequence[Watcher],
    on_note: Callable[[str], None],
    folder: RunFolder | None,
) -> list[Path]:
    """Write what comes of a run, the output and its record both or neither; return the files written."""
    medium, record = job.request.medium, _with_inputs(job, result, inputs)
    if folder is not None:
        folder.status = FINISHING
    keep: dict[str, Any] = {}
    if medium == "image":
        keep["bits"] = record["recipe"]["bits"]
        keep["text"] = settings_text(record) if job.metadata else None
    make_folder(job.output.parent)
    with atomic(job.output) as output, atomic(job.record_path) as record_file:
        for note in write_to(medium, result.output, output, **keep):
            record["notes"] = [*record["notes"], note]
            on_note(note)
        write_json(record_file, record)
    if folder is not None:
        folder.take_in(job.output, job.record_path)
    written, told = [job.output, job.record_path], dataclasses.replace(result, record=record)
    for watch in watchers:
        written += watch.finish(told)
    if job.plot:
        draw_figure(medium, result, job.figure_path)
        written.append(job.figure_path)
    return written


def _check(job: Job, folder: RunFolder | None) -> None:
    """Refuse what could not be written, before the run rather than after it."""
    medium = job.request.medium
    (soundfiles if medium == "audio" else imagefiles).check_output_suffix(job.output)
    if job.save_every < 0:
        raise ValueError(f"save_every must not be negative, got {job.save_every}")
    # What a run that is gone on with has written is its own.
    own = job.resumed and folder is not None and folder.status in (FINISHING, STOPPED)
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


def _watchers(job: Job, folder: RunFolder | None) -> list[Watcher]:
    """Return what looks on at a job's steps."""
    watchers: list[Watcher] = []
    if folder is not None:
        watchers.append(folder.metrics)
    if job.save_every:
        suffix = job.output.suffix
        watchers.append(Snapshots(job.request.medium, job.steps_folder, every=job.save_every, suffix=suffix))
    if job.tensorboard and job.run_dir is not None:
        watchers.append(TensorBoard(job.request.medium, job.run_dir / "tensorboard", every=job.save_every))
    if job.report:
        metrics = None if folder is None else folder.metrics
        watchers.append(ReportWriter(job.request.medium, job.report_path, metrics))
    return watchers


def _with_inputs(job: Job, result: Result, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return a run's record with what is known of its files."""
    said = [result.record["content"], *result.record["styles"]]
    files = [inputs["content"], *inputs["styles"]]
    content, *styles = [{**file, **more} for file, more in zip(files, said, strict=True)]
    record = {**result.record, "output": job.name_of(job.output), **inputs}
    if "init" in record:
        record["init"] = {**record["init"], "path": job.name_of(record["init"]["path"])}
        record["recipe"] = {**record["recipe"], "init": record["init"]["path"]}
    record["notes"] = [*job.notes, *record["notes"]]
    return {**record, "content": content, "styles": styles}


def _inputs(job: Job) -> dict[str, Any]:
    """Return a job's files with their hashes, by their names in the record."""
    request = job.request

    def _file(path: Any) -> dict[str, str]:
        """Return a file's name and hash, as far as it can be read: its reader tells what is wrong."""
        try:
            # Not a pipe or a device, which would be read for ever.
            known = Path(path).is_file()
            return {"path": job.name_of(path), "sha256": sha256_of(Path(path))} if known else {}
        except (OSError, TypeError, ValueError):
            return {}

    masks = {
        f"{kind}_masks": [None if path is None or str(path) == "all" else _file(path) for path in given]
        for kind, given in (("content", request.content_masks), ("style", request.style_masks))
        if given
    }
    weights = {} if request.weights is None else {"weights": _file(request.weights)}
    styles = [_file(path) for path in request.styles]
    return {"content": _file(request.content), "styles": styles, **masks, **weights}
