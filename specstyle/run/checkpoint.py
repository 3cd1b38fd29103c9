"""A kept run: its folder and lock, what was asked for, checkpoints, and how it is resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from specstyle.engine.optimize import StopRun
from specstyle.errors import CheckpointError, FileError, RecipeError, RunFinishedError, SpecstyleError
from specstyle.files import atomic, load_state, make_folder, save_state, sha256_of, write_json
from specstyle.recipes import files_of, read_recipe, to_toml
from specstyle.run.outputs import Metrics, Watcher
from specstyle.run.record import as_it_was, differences, files_read, kept_as_json, versions
from specstyle.run.request import Job, Progress, Request
from specstyle.run.settle import settle_request

EVERY_S = 30.0
"""Seconds between two checkpoints, where nothing else is asked for."""

FORMAT = 1
"""Of ``run.json``."""

RUNNING, FINISHING, STOPPED, FINISHED = "running", "finishing", "stopped", "finished"
UNKNOWN = "unknown"

_KEPT_ELSEWHERE = (
    "recipe", "overrides", "output", "report_every", "sample_rate", "network", "terms", "invert", "workers",
)  # fmt: skip
"""Fields of ``Request`` that ``run.json`` leaves out: the settled recipe has a file of its own."""


_OPTIONS = ("output", "force", "save_every", "plot", "metadata", "checkpoint_every", "tensorboard", "report")
"""Fields of ``Job`` that a folder keeps."""


class RunFolder:
    """The folder of one run, whose losses are its ``metrics``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = Metrics(path / "metrics.jsonl")
        self._lock: Any = None
        self._made: bool | None = None

    @property
    def status(self) -> str:
        """How far the run has come: ``running``, ``finishing``, ``stopped``, ``finished`` or ``unknown``."""
        try:
            return str(_read_json(self.path / "status.json").get("status", RUNNING))
        except CheckpointError:  # damaged: whatever it said, the run can be gone on with
            return UNKNOWN

    @status.setter
    def status(self, value: str) -> None:
        with atomic(self.path / "status.json") as temporary:
            write_json(temporary, {"status": value})

    def wrote(self, output: Path) -> bool:
        """Tell whether what stands in a result's place is the run's own, by status or by the copy of it."""
        kept, status = self.path / f"result{output.suffix}", self.status
        if status != UNKNOWN:
            return status in (FINISHING, STOPPED)
        return kept.is_file() and output.is_file() and filecmp.cmp(kept, output, shallow=False)

    def end(self, status: str) -> None:
        """Take note of how a run ended; a finished one needs no checkpoint."""
        self.status = status
        if status == FINISHED:
            with contextlib.suppress(OSError):
                (self.path / "checkpoint.pt").unlink(missing_ok=True)

    def create(self, job: Job) -> None:
        """Begin to keep a job, whose inputs are files.

        Raises:
            FileError: If the folder cannot be used, or keeps a run already.
        """
        recipe, _ = settle_request(job.request)
        inputs = files_read(job, recipe)
        if not str(self.path) or self.path == Path():
            raise FileError("--run-dir needs the name of a folder of its own, and got the current one")
        if (self.path / "run.json").exists():
            raise FileError(
                f"{self.path}: keeps a run already; --resume {self.path} goes on with it; for a new run name "
                "another folder"
            )
        if self.path.is_dir() and {p.name for p in self.path.iterdir()} - {".lock"}:
            raise FileError(
                f"{self.path}: holds files already, which a run would mix with its own; name a new folder"
            )
        made = make_folder(self.path)
        self.lock()
        self._made = made
        files = {name: kept_as_json(path) for name, path in files_of(recipe).items()}
        recipe = recipe.replace(**{name: file["path"] for name, file in files.items()})
        with atomic(self.path / "recipe.toml") as temporary:
            temporary.write_text(to_toml(recipe), encoding="utf-8")
        self.status = RUNNING
        with atomic(self.path / "run.json") as temporary:
            write_json(temporary, self._values(job, files, inputs))

    def _values(self, job: Job, files: dict[str, Any], inputs: Sequence[Path]) -> dict[str, Any]:
        """Return what ``run.json`` holds."""
        kept = [f.name for f in dataclasses.fields(Request) if f.name not in _KEPT_ELSEWHERE]
        # A path within the folder is kept as seen from there; a resumed run calls files the same.
        output, here = job.output.absolute(), self.path.absolute()
        seen = output.relative_to(here) if output.is_relative_to(here) else output
        return {
            "format": FORMAT,
            **versions(),
            "request": {name: kept_as_json(getattr(job.request, name)) for name in kept},
            "options": {**{name: getattr(job, name) for name in _OPTIONS}, "output": str(seen)},
            "files": files,
            "shown": {str(path.absolute()): job.name_of(path) for path in (*inputs, job.output)},
            "recipe_sha256": sha256_of(self.path / "recipe.toml"),
        }

    def read(self) -> tuple[Request, dict[str, Any], tuple[str, ...]]:
        """Return what was asked for, the options of the job, and what a user should know.

        Raises:
            CheckpointError: If there is no run, an input has changed, or ``run.json`` was.
        """
        values = _read_json(self.path / "run.json")
        try:
            return self._read(values)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, SpecstyleError):
                raise
            raise CheckpointError(
                f"{self.path / 'run.json'}: is not as specstyle wrote it ({type(error).__name__}: {error}); "
                "begin the run anew"
            ) from error

    def _read(self, values: dict[str, Any]) -> tuple[Request, dict[str, Any], tuple[str, ...]]:
        if not values:
            raise CheckpointError(
                f"{self.path}: keeps no run; --run-dir DIR makes a run that --resume DIR can go on with"
            )
        if values.get("format") != FORMAT:
            raise CheckpointError(
                f"{self.path}: is of run format {values.get('format')}, and this version of specstyle reads "
                f"{FORMAT}; resume it with the version that began it, specstyle {values.get('specstyle')}"
            )
        if not (self.path / "recipe.toml").is_file() or (
            sha256_of(self.path / "recipe.toml") != values["recipe_sha256"]
        ):
            raise CheckpointError(
                f"{self.path / 'recipe.toml'}: is not what the run began with; put it back, or begin a new "
                "run with it by --recipe"
            )
        try:
            recipe = read_recipe(self.path / "recipe.toml")
        except RecipeError as error:
            raise CheckpointError(str(error)) from error
        for file in values["files"].values():
            as_it_was(file)
        asked = {name: as_it_was(value) for name, value in values["request"].items()}
        # An output within the folder moves with it.
        options = {**values["options"], "output": self.path / values["options"]["output"]}
        options["shown"] = dict(values["shown"])
        return Request(**asked, recipe=recipe), options, differences(values)

    def lock(self) -> None:
        """Make sure that no other process works here, until ``close`` or the end of this one.

        Raises:
            CheckpointError: If one does.
        """
        try:
            import fcntl
        except ImportError:  # pragma: no cover (Windows)
            return
        try:
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise FileError(
                f"{self.path}: cannot be written into: {error.strerror}; name another folder"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise CheckpointError(
                f"{self.path}: another process is running this; wait for it, or end it"
            ) from error

    def discard(self) -> None:
        """Remove what ``create`` made, if it did, in a folder that was new or empty."""
        if self._made is None:
            return
        self.close()
        for name in ("run.json", "recipe.toml", "status.json", "metrics.jsonl", ".lock"):
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        if self._made:
            with contextlib.suppress(OSError):  # other files are not ours
                self.path.rmdir()

    def take_in(self, output: Path, record: Path) -> None:
        """Copy a result that was written elsewhere to ``result.wav``, and its record beside it.

        Raises:
            FileError: If one cannot be copied.
        """
        if output.parent.resolve() == self.path.resolve():
            return
        copy = self.path / f"result{output.suffix}"
        for source, target in ((output, copy), (record, copy.with_name(copy.name + ".json"))):
            with atomic(target) as temporary:
                shutil.copyfile(source, temporary)

    def clean(self) -> None:
        """Remove what a kill left half written here."""
        for folder in (self.path, self.path / "snapshots"):
            for part in folder.glob(".*.part*"):
                with contextlib.suppress(OSError):
                    part.unlink()

    def close(self) -> None:
        """Let others work here."""
        self.metrics.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _read_json(path: Path) -> dict[str, Any]:
    """Return the values of a file, none if it is missing.

    Raises:
        CheckpointError: If it is no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read; the run has to be begun anew") from error
    return values if isinstance(values, dict) else {}


class Checkpoints:
    """Keeps a run's last state in its folder.

    Args:
        folder: The run's.
        watchers: Told, before its first step, of the step that the run goes on from, or 0.
        every_steps: Steps from one checkpoint to the next; ``None``: as many as ``EVERY_S`` seconds take.
        wanted: Asked between steps whether to keep the run now, out of turn; ``None``: never.
    """

    def __init__(
        self,
        folder: RunFolder,
        watchers: Sequence[Watcher] = (),
        *,
        every_steps: int | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> None:
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"checkpoint_every must be at least 1, got {every_steps}")
        self._folder, self._watchers = folder, watchers
        self._path, self._every_steps, self._wanted = folder.path / "checkpoint.pt", every_steps, wanted
        self._last_step, self._last_time = 0, time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return the last state, if there is one.

        Raises:
            CheckpointError: If the file is damaged or of another version.
        """
        values = load_state(self._path, device) if self._path.exists() else None
        self._last_step = 0 if values is None else int(values["step"])
        for watcher in self._watchers:
            watcher.go_back(self._last_step)
        return values

    def due(self, step: int) -> bool:
        """Return whether enough has passed since the last checkpoint, or one is wanted."""
        if self._wanted is not None and self._wanted():
            return True
        if self._every_steps is None:
            return time.monotonic() - self._last_time >= EVERY_S
        return step // self._every_steps > self._last_step // self._every_steps

    def save(self, values: dict[str, Any]) -> None:
        """Put a state in the place of the last one.

        Raises:
            CheckpointError: If it cannot be written.
        """
        self._folder.metrics.sync()  # what is told of earlier steps must be on disk before
        save_state(self._path, values)
        self._last_step, self._last_time = int(values["step"]), time.monotonic()


class Stopping:
    """Passes steps on; if the one who looks on asks for the end, the run ends after the next checkpoint.

    Args:
        on_step: Called after each step; may raise ``StopRun``, once or again and again.
    """

    def __init__(self, on_step: Callable[[Progress], None]) -> None:
        self._on_step = on_step
        self._asked = self._kept = False

    def wanted(self) -> bool:
        """Return whether the run is to be kept at once, since it will be stopped."""
        self._kept = self._asked
        return self._asked

    def __call__(self, progress: Progress) -> None:
        """Take in a step.

        Raises:
            StopRun: Once the end was asked for and the run is kept.
        """
        if self._kept:
            raise StopRun
        try:
            self._on_step(progress)
        except StopRun:
            self._asked = True


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
    try:
        if job.resumed:
            folder.lock()
            folder.clean()
        else:
            folder.create(job)
        yield folder
    except Exception:
        if not folder.metrics.rows:
            folder.discard()
        raise
    finally:
        folder.close()


def resumed_job(run_dir: Path) -> tuple[Job, tuple[str, ...]]:
    """Return the job of a run that a folder keeps, and what a user should know.

    Raises:
        CheckpointError: If it keeps no run, or one of its inputs has changed.
        RunFinishedError: If the run is finished.
    """
    folder = RunFolder(run_dir)
    request, options, notes = folder.read()
    if folder.status == FINISHED:
        raise RunFinishedError(f"{run_dir}: the run is finished; its result is {options['output']}")
    return Job(request, run_dir=run_dir, resumed=True, notes=notes, **options), notes
