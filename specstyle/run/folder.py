"""A folder that keeps a run: what was asked for, how it goes, and where it can be taken up."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from specstyle._version import __version__
from specstyle.errors import CheckpointError, FileError, RecipeError
from specstyle.features.weights import sha256_of
from specstyle.recipes import Recipe, files_of, read_recipe, to_toml
from specstyle.run.checkpoints import Checkpoints, unasked
from specstyle.run.metrics import Metrics
from specstyle.run.output import atomic, make_folder, write_json
from specstyle.run.request import Request

FORMAT = 1
"""Of ``run.json``."""

RUNNING, FINISHING, STOPPED, FINISHED = "running", "finishing", "stopped", "finished"

_KEPT_ELSEWHERE = ("recipe", "overrides", "output", "report_every", "sample_rate")
"""Fields of ``Request`` that ``run.json`` leaves out: the settled recipe has a file of its own."""


class RunFolder:
    """The folder of one run.

    Args:
        path: Where it is.

    Attributes:
        path: Where it is.
        metrics: The losses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = Metrics(path / "metrics.jsonl")
        self._lock: Any = None
        self._made = False

    @property
    def status(self) -> str:
        """How far the run has come: ``running``, ``finishing``, ``stopped`` or ``finished``."""
        return str(_read_json(self.path / "status.json").get("status", RUNNING))

    @status.setter
    def status(self, value: str) -> None:
        with atomic(self.path / "status.json") as temporary:
            write_json(temporary, {"status": value})

    def _seen(self, path: Path) -> str:
        """Return a path as seen from here, if it is within, else as an absolute one."""
        whole, here = path.absolute(), self.path.absolute()
        return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)

    def create(
        self, request: Request, recipe: Recipe, options: dict[str, Any], shown: dict[str, str]
    ) -> None:
        """Begin a run.

        Args:
            request: What is asked for; its content and styles are paths.
            recipe: Its recipe, settled.
            options: Of the job: its ``output`` and plain values.
            shown: How the record names files, by their absolute paths.

        Raises:
            FileError: If the folder cannot be used, or keeps a run already.
        """
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
        self._made = make_folder(self.path)
        self.lock()
        files = {name: _plain(path) for name, path in files_of(recipe).items()}
        values: dict[str, Any] = {
            "format": FORMAT,
            "specstyle": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "request": {
                f.name: _plain(getattr(request, f.name))
                for f in dataclasses.fields(Request)
                if f.name not in _KEPT_ELSEWHERE
            },
            "options": {**options, "output": self._seen(options["output"])},
            "files": files,
            "shown": shown,
        }
        recipe = recipe.replace(**{name: file["path"] for name, file in files.items()})
        with atomic(self.path / "recipe.toml") as temporary:
            temporary.write_text(to_toml(recipe), encoding="utf-8")
        values["recipe_sha256"] = sha256_of(self.path / "recipe.toml")
        self.status = RUNNING
        with atomic(self.path / "run.json") as temporary:
            write_json(temporary, values)

    def read(self) -> tuple[Request, dict[str, Any], tuple[str, ...]]:
        """Return what was asked for, the options of the job, and what a user should know.

        Raises:
            CheckpointError: If there is no run, or an input has changed.
        """
        values = _read_json(self.path / "run.json")
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
            _restored(file)
        asked = {name: _restored(value) for name, value in values["request"].items()}
        # An output within the folder moves with it.
        options = {**values["options"], "output": self.path / values["options"]["output"]}
        options["shown"] = dict(values["shown"])
        return Request(**asked, recipe=recipe), options, _differences(values)

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
        """Remove what ``create`` made in a folder that was new or empty."""
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

    def keeper(
        self,
        every_steps: int | None,
        *,
        go_back: Any,
        wanted: Callable[[], bool] = unasked,
    ) -> Checkpoints:
        """Return what keeps the run's state here.

        Args:
            every_steps: See ``Checkpoints``.
            go_back: Called with the step to go on from, before the first step.
            wanted: See ``Checkpoints``.
        """
        return Checkpoints(
            self.path / "checkpoint.pt",
            every_steps=every_steps,
            before_saving=self.metrics.sync,
            on_load=go_back,
            wanted=wanted,
        )


def _read_json(path: Path) -> dict[str, Any]:
    """Return the values of a file, none if it is missing.

    Raises:
        CheckpointError: If it is no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read; the run has to be begun anew") from error
    return values if isinstance(values, dict) else {}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: a path with the hash of its file, if it is one."""
    if isinstance(value, Path):
        path = value.absolute()
        return {"path": str(path), **({"sha256": sha256_of(path)} if path.is_file() else {})}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _restored(value: Any) -> Any:
    """Return what ``_plain`` was given.

    Raises:
        CheckpointError: If a file is not what it was.
    """
    if isinstance(value, dict):
        path = Path(value["path"])
        if "sha256" in value and not path.is_file():
            raise CheckpointError(f"{path}: the run needs this file, and it is gone; put it back")
        if "sha256" in value and sha256_of(path) != value["sha256"]:
            raise CheckpointError(
                f"{path}: has changed since the run began; put back what was there, or begin anew"
            )
        return path
    return tuple(_restored(item) for item in value) if isinstance(value, list) else value


def _differences(values: dict[str, Any]) -> tuple[str, ...]:
    """Return a note if something differs that the last digits depend on."""
    now = {"specstyle": __version__, "torch": torch.__version__, "threads": torch.get_num_threads()}
    changed = [f"{name} {values[name]} -> {value}" for name, value in now.items() if values[name] != value]
    if not changed:
        return ()
    return (f"resume: {', '.join(changed)}; the result may differ in the last digits",)
