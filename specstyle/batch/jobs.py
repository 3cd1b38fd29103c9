"""One job of a list, and what makes it one that can run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specstyle.errors import FileError, ListError, SpecstyleError
from specstyle.media import imagefiles, soundfiles
from specstyle.recipes import Recipe, files_of
from specstyle.recipes.text import field_reader
from specstyle.run.request import Job, Request
from specstyle.run.settle import (
    PRECISIONS,
    check_memory_limit,
    check_tile,
    choose_device,
    settle_precision,
    settle_request,
)

SOUNDS = (*soundfiles.SUFFIXES, ".mp3", ".aiff", ".aif", ".oga", ".opus")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
"""Suffixes of inputs, to tell a medium from a name."""

FIELDS = {f.name: str(f.type) for f in dataclasses.fields(Recipe) if f.name not in ("name", "source")}
FIELDS["seed"] = "int"
"""What text may say for a job, with its type: the fields of a recipe, and the seed."""


@dataclass(frozen=True)
class Common:
    """What the command line says for every job.

    Attributes:
        recipe: A recipe's name or file.
        overrides: Recipe fields to change, each only in the jobs of a medium that has them.
        weights: Weights file.
        preprocessing: Of the weights file.
        seed: Of random weights, noise and phase.
        precision: Of the networks.
        tile: ``auto``, ``off`` or a tile's size in pixels.
        memory_limit: Of each worker, in GiB.
        content_masks: See ``Request``, as the next.
        style_masks: See there.
        device: Of this machine, for jobs that name none; ``None``: other machines run them.

    Raises:
        ValueError: If the precision, the tile or the limit of memory makes no sense: no job could run then.
    """

    recipe: str = "default"
    overrides: dict[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    preprocessing: str | None = None
    seed: int = 0
    precision: str = "auto"
    tile: str = "auto"
    memory_limit: float | None = None
    content_masks: tuple[str | Path, ...] = ()
    style_masks: tuple[str | Path, ...] = ()
    device: str | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        check_tile(self.tile)
        check_memory_limit(self.memory_limit)


@dataclass(frozen=True)
class Task:
    """A job with its place in a list.

    Attributes:
        number: Its count in the list, from 1; blank lines and the names of columns do not count.
        name: Its output, as the list has it.
        job: What to do; its paths are absolute.
        pinned: Whether the list names its device.
        recipe: Its recipe, settled.
        notes: What a user should know of the recipe.
    """

    number: int
    name: str
    job: Job
    pinned: bool = False
    recipe: Recipe | None = None
    notes: tuple[str, ...] = ()


def medium_of(path: Path) -> str | None:
    """Return the medium that a name's suffix stands for, if it does."""
    suffix = path.suffix.lower()
    return "audio" if suffix in SOUNDS else "image" if suffix in PICTURES else None


def belongs_to(field_name: str, medium: str) -> bool:
    """Return whether one of ``FIELDS`` concerns a medium."""
    known = Recipe.__dataclass_fields__.get(field_name)
    return known is None or known.metadata.get("group") not in {"audio", "image"} - {medium}


def read_value(field_name: str, text: str) -> Any:
    """Return the value of one of ``FIELDS`` from text.

    Raises:
        ListError: If it is none.
    """
    try:
        return field_reader(FIELDS[field_name])[0](text)
    except ValueError as error:
        raise ListError(f"{field_name}: {error}") from None


def make_task(
    number: int,
    name: str,
    medium: str,
    paths: tuple[Path, Sequence[Path], Path],
    common: Common,
    *,
    own: dict[str, Any] | None = None,
    **changes: Any,
) -> Task:
    """Return a task.

    Args:
        number: Its count in the list, from 1.
        name: Its output as the list has it.
        medium: ``audio`` or ``image``.
        paths: Content, styles and output.
        common: What holds for every job.
        own: Recipe fields that the list says for this job.
        changes: Other fields of ``Request`` that it says.
    """
    content, styles, output = paths
    general = {k: v for k, v in common.overrides.items() if belongs_to(k, medium)}
    # What is None is left to Request, whose device then is auto.
    said = {f.name: getattr(common, f.name) for f in dataclasses.fields(common)}
    given = {name: value for name, value in said.items() if value is not None} | changes
    given["overrides"] = {**general, **(own or {})}
    request = Request(medium, content.absolute(), tuple(s.absolute() for s in styles), **given)
    # Workers need whole paths; records call files as the list or the command line does.
    shown = {str(path.absolute()): str(path) for path in (content, *styles, output)}
    job = Job(request, output.absolute(), force=True, shown=shown)
    return Task(number, name, job, pinned="device" in changes)


def check_tasks(tasks: Sequence[Task], place: Callable[[Task], str]) -> list[Task]:
    """Return tasks with their recipes settled.

    Args:
        tasks: The tasks.
        place: Says where a task stands: ``jobs.csv, line 3``.

    Raises:
        ListError: If one of them cannot run; nothing has been run then.
    """
    checked: list[Task] = []
    problems: list[str] = []
    for task in tasks:
        try:
            checked.append(_checked(task))
        except (SpecstyleError, ValueError) as error:  # noqa: PERF203
            problems.append(f"{place(task)}: {error}")
    problems += _collisions(tasks, place)
    refuse(problems)
    return checked


def refuse(problems: Sequence[str]) -> None:
    """Raise the first of some problems, if there are any, and the number of the others."""
    if problems:
        more = f" (and {len(problems) - 1} more like this)" if len(problems) > 1 else ""
        raise ListError(f"{problems[0]}{more}; nothing was run")


def _checked(task: Task) -> Task:
    request, output = task.job.request, task.job.output
    (soundfiles if request.medium == "audio" else imagefiles).check_output_suffix(output)
    recipe, notes = settle_request(request)
    if not 0 <= request.seed < 2**63:
        raise ListError(f"seed must be from 0 to 2^63 - 1, got {request.seed}")
    if request.device != "auto":  # which may be another machine's, of which nothing is known yet
        settle_precision(request.precision, choose_device(request.device))
    for path in (*_inputs(request), *filter(None, [request.weights]), *files_of(recipe).values()):
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            raise FileError(f"{path} {what}; check the path")
    stands = output if output.is_dir() else next(p for p in output.parents if p.exists())
    if stands == output or not stands.is_dir():
        raise FileError(f"the output {task.name} cannot be written, since {stands} is in its way; rename it")
    return dataclasses.replace(task, recipe=recipe, notes=notes)


def _inputs(request: Request) -> list[Path]:
    masks = (mask for mask in (*request.content_masks, *request.style_masks) if mask != "all")
    return [Path(path) for path in (request.content, *request.styles, *masks)]


def _collisions(tasks: Sequence[Task], place: Callable[[Task], str]) -> list[str]:
    """Return what is wrong where the outputs of some jobs meet files of others."""
    problems = []
    read = {path.resolve(): task for task in reversed(tasks) for path in _inputs(task.job.request)}
    written: dict[Path, Task] = {}
    for task in tasks:
        output = task.job.output.resolve()
        if output in written:
            said = f"that of {place(written[output])} too"
        elif output in read:
            said = f"an input of {place(read[output])}"
        else:
            said = ""
        if said:
            problems.append(f"{place(task)}: the output {task.name} is {said}; name another")
        written.setdefault(output, task)
    return problems
