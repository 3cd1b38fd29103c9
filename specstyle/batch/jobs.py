"""One job of a list, and what makes it one that can run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specstyle.engine.device import choose_device, settle_precision
from specstyle.errors import FileError, ListError, SpecstyleError
from specstyle.media import imagefiles, soundfiles
from specstyle.recipes import Recipe
from specstyle.recipes.checks import field_reader
from specstyle.run.record import files_read
from specstyle.run.request import Job, Request
from specstyle.run.settle import check_request, settle_request

FIELDS = {f.name: str(f.type) for f in dataclasses.fields(Recipe) if f.name not in ("name", "source")}
FIELDS["seed"] = "int"
"""What text may say for a job, with its type: the fields of a recipe, and the seed."""

MASKS = ("content_masks", "style_masks")


@dataclass(frozen=True)
class Task:
    """A job with its place in a list.

    Attributes:
        number: Its count in the list, from 1; blank lines and the names of columns do not count.
        name: Its output, as the list has it.
        job: What to do; its paths are absolute.
        place: Where it stands: ``jobs.csv, line 3``.
        pinned: Whether the list names its device.
        recipe: Its recipe, settled.
        notes: What a user should know of the recipe.
    """

    number: int
    name: str
    job: Job
    place: str = ""
    pinned: bool = False
    recipe: Recipe | None = None
    notes: tuple[str, ...] = ()


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


def named_from(folder: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields of ``Request`` with whole paths: those who run a job may be elsewhere.

    Args:
        folder: Where relative paths start.
        fields: What a list or the command line says.
    """

    def whole(path: str | Path) -> Path:
        return (folder / path).absolute()

    found, overrides = dict(fields), dict(fields.get("overrides", {}))
    if overrides.get("init", "content") not in ("content", "style", "noise"):
        overrides["init"] = str(whole(overrides["init"]))
    if overrides.get("mask"):
        overrides["mask"] = str(whole(overrides["mask"]))
    if fields.get("recipe", "").lower().endswith(".toml"):
        found["recipe"] = str(whole(fields["recipe"]))
    if "weights" in fields:
        found["weights"] = whole(fields["weights"])
    for name in set(MASKS) & set(fields):
        found[name] = tuple(mask if mask == "all" else whole(mask) for mask in fields[name])
    return {**found, "overrides": overrides}


def make_task(
    number: int,
    name: str,
    medium: str,
    paths: tuple[Path, Sequence[Path], Path],
    common: dict[str, Any],
    *,
    place: str,
    own: dict[str, Any] | None = None,
) -> Task:
    """Return a task.

    Args:
        number: See ``Task``, as ``name`` and ``place``.
        name: See there.
        medium: ``audio`` or ``image``.
        paths: Content, styles and output.
        common: Fields of ``Request`` for every job; recipe fields of the other medium are left out.
        place: See there.
        own: Those that the list says for this job.
    """
    content, styles, output = paths
    own = own or {}
    general = {k: v for k, v in common.get("overrides", {}).items() if belongs_to(k, medium)}
    given = {**common, **own, "overrides": general | own.get("overrides", {})}
    request = Request(medium, content.absolute(), tuple(s.absolute() for s in styles), **given)
    # Records call files as the list or the command line does.
    shown = {str(path.absolute()): str(path) for path in (content, *styles, output)}
    job = Job(request, output.absolute(), force=True, shown=shown)
    return Task(number, name, job, place, pinned="device" in own)


def check_tasks(tasks: Sequence[Task]) -> list[Task]:
    """Return tasks with their recipes settled.

    Raises:
        ListError: If one of them cannot run; nothing has been run then.
    """
    checked: list[Task] = []
    problems: list[str] = []
    for task in tasks:
        try:
            checked.append(_checked(task))
        except (SpecstyleError, ValueError) as error:  # noqa: PERF203
            problems.append(f"{task.place}: {error}")
    problems += _collisions(tasks)
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
    check_request(request)
    recipe, notes = settle_request(request)
    if request.device != "auto":  # which may be another machine's, of which nothing is known yet
        settle_precision(request.precision, choose_device(request.device))
    for path in files_read(task.job, recipe):
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            raise FileError(f"{path} {what}; check the path")
    stands = output if output.is_dir() else next(p for p in output.parents if p.exists())
    if stands == output or not stands.is_dir():
        raise FileError(f"the output {task.name} cannot be written, since {stands} is in its way; rename it")
    return dataclasses.replace(task, recipe=recipe, notes=notes)


def _collisions(tasks: Sequence[Task]) -> list[str]:
    """Return what is wrong where the outputs of some jobs meet files of others."""
    problems = []
    reading = (
        (path, task) for task in reversed(tasks) for path in files_read(task.job, task.recipe or Recipe())
    )
    read = {path.resolve(): task for path, task in reading}
    written: dict[Path, Task] = {}
    for task in tasks:
        output = task.job.output.resolve()
        if output in written:
            said = f"that of {written[output].place} too"
        elif output in read:
            said = f"an input of {read[output].place}"
        else:
            said = ""
        if said:
            problems.append(f"{task.place}: the output {task.name} is {said}; name another")
        written.setdefault(output, task)
    return problems
