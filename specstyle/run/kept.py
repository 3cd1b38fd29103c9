"""Jobs that a folder keeps: begun there, and gone on with from there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from specstyle.errors import FileError, RunFinishedError
from specstyle.recipes import Recipe, files_of
from specstyle.run.build import settle_request
from specstyle.run.checkpoints import Checkpoints, unasked
from specstyle.run.folder import FINISHED, RunFolder
from specstyle.run.request import Job, Progress, Result

_OPTIONS = ("output", "force", "save_every", "plot", "metadata", "checkpoint_every", "tensorboard", "report")
"""Fields of ``Job`` that a folder keeps."""


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


@contextlib.contextmanager
def opened(job: Job) -> Iterator[RunFolder | None]:
    """Begin or take up the folder that keeps a job, if it has one; no other process may work there.

    A new folder in which no step was made is removed again on an error.

    Raises:
        SpecstyleError: If it cannot be used.
    """
    if job.run_dir is None:
        yield None
        return
    folder = RunFolder(job.run_dir)
    made = False
    try:
        if job.resumed:
            folder.lock()
            folder.clean()
        else:
            recipe, _ = settle_request(job.request)
            _check_inputs(job, recipe)
            options = {name: getattr(job, name) for name in _OPTIONS}
            folder.create(job.request, recipe, options, _named(job, recipe))
            made = True
        yield folder
    except Exception:
        if made and not folder.metrics.rows:
            folder.close()
            folder.discard()
        raise
    finally:
        folder.close()


def _files(job: Job, recipe: Recipe) -> list[Path]:
    """Return the files that a job reads."""
    request = job.request
    given = [request.content, *request.styles, *request.content_masks, *request.style_masks, request.weights]
    named = [Path(path) for path in given if path is not None and path != "all"]
    return [*named, *files_of(recipe).values()]


def _check_inputs(job: Job, recipe: Recipe) -> None:
    """Refuse an output that would replace an input: nothing could go on from there.

    Raises:
        FileError: Naming the file.
    """
    for path in _files(job, recipe):
        if job.output.exists() and path.exists() and job.output.samefile(path):
            raise FileError(
                f"{job.output}: is an input of the run too, which --resume would need; name another output"
            )


def _named(job: Job, recipe: Recipe) -> dict[str, str]:
    """Return what a job calls its files, by their absolute paths: a resumed run calls them the same."""
    files = [*_files(job, recipe), job.output]
    return {str(path.absolute()): job.name_of(path) for path in files}


def keeper_of(
    job: Job,
    folder: RunFolder,
    watchers: Sequence[Watcher],
    *,
    wanted: Callable[[], bool] = unasked,
) -> Checkpoints:
    """Return what keeps a job's state in its folder.

    Args:
        job: The job.
        folder: Its folder.
        watchers: Told of the step that the run goes on from.
        wanted: See ``Checkpoints``.
    """

    def go_back(step: int) -> None:
        for watcher in watchers:
            watcher.go_back(step)

    return folder.keeper(job.checkpoint_every, go_back=go_back, wanted=wanted)


def resumed_job(run_dir: Path) -> tuple[Job, tuple[str, ...]]:
    """Return the job of a run that a folder keeps, and what a user should know.

    Args:
        run_dir: The folder.

    Raises:
        CheckpointError: If it keeps no run, or one of its inputs has changed.
        RunFinishedError: If the run is finished.
    """
    folder = RunFolder(run_dir)
    request, options, notes = folder.read()
    if folder.status == FINISHED:
        raise RunFinishedError(f"{run_dir}: the run is finished; its result is {options['output']}")
    return Job(request, run_dir=run_dir, resumed=True, notes=notes, **options), notes
