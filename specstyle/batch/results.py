"""What became of each job: told in a table from the first to the last, and found again by a second call."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from specstyle.batch.jobs import Task
from specstyle.evaluate import write_csv
from specstyle.files import sha256_of
from specstyle.recipes import files_of, to_dict

Status = Literal["waiting", "done", "skipped", "differs", "failed", "died"]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The task's number: its count in the list, from 1.
        output: Its output, as the list has it.
        status: ``waiting``: not run yet; ``skipped``: was finished before; ``differs``: another job's result
            is there; ``failed``: see ``error``; ``died``: its worker ended, or a fresh one may do better.
        seconds: Of the run.
        steps: Evaluations made.
        total_loss_start: Weighted loss at the start.
        total_loss_end: At the end.
        style_loss_end: The style's part of it.
        error: What went wrong, in one line.
    """

    job: int
    output: str
    status: Status
    seconds: float | None = None
    steps: int | None = None
    total_loss_start: float | None = None
    total_loss_end: float | None = None
    style_loss_end: float | None = None
    error: str = ""


def outcome_of(task: Task, status: Status, record: dict[str, Any] | None = None, error: str = "") -> Outcome:
    """Return a task's outcome, with the figures of its record if there is one."""
    record = record or {}
    losses = record.get("losses", {})
    start, end = losses.get("start", {}), losses.get("end", {})
    return Outcome(
        task.number,
        task.name,
        status,
        record.get("seconds"),
        record.get("steps"),
        start.get("total"),
        end.get("total"),
        end.get("style"),
        error,
    )


class Table:
    """The outcomes of all jobs, written as CSV whenever one changes.

    Args:
        path: The file.
        tasks: The jobs.
    """

    def __init__(self, path: Path, tasks: Sequence[Task]) -> None:
        self.path = path
        self._outcomes = {task.number: outcome_of(task, "waiting") for task in tasks}

    def set(self, *outcomes: Outcome) -> None:
        """Take note of outcomes, and write the file whole or not at all.

        Raises:
            FileError: If it cannot be written.
        """
        self._outcomes.update((outcome.job, outcome) for outcome in outcomes)
        write_csv([asdict(outcome) for outcome in self.outcomes()], self.path)

    def outcomes(self) -> list[Outcome]:
        """Return them in the order of the tasks."""
        return list(self._outcomes.values())

    def count(self) -> Counter[str]:
        """Return how many jobs there are of each status."""
        return Counter(outcome.status for outcome in self._outcomes.values())

    def told(self) -> str:
        """Return how many jobs there are of each status, in words."""
        return ", ".join(f"{number} {status}" for status, number in sorted(self.count().items()))

    def finished(self) -> bool:
        """Return whether all jobs are done."""
        return set(self.count()) <= {"done", "skipped"}

    def format(self) -> str:
        """Return the table for a reader's eyes."""
        head = ("job", "output", "status", "seconds", "steps", "total loss", "style loss", "")
        rows = [head, *(_row(outcome) for outcome in self._outcomes.values())]
        signs = "><<>><<<"
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map("{:{}{}}".format, row, signs, widths)).rstrip() for row in rows)


def _row(outcome: Outcome) -> tuple[str, ...]:
    start, end = outcome.total_loss_start, outcome.total_loss_end
    return (
        str(outcome.job),
        outcome.output,
        outcome.status,
        "" if outcome.seconds is None else f"{outcome.seconds:.1f}",
        "" if outcome.steps is None else str(outcome.steps),
        "" if start is None or end is None else f"{start:.4g} -> {end:.4g}",
        "" if outcome.style_loss_end is None else f"{outcome.style_loss_end:.4g}",
        outcome.error,
    )


def state_of(task: Task) -> Outcome:
    """Return whether a checked task has to be run.

    Its output counts as finished if the record beside it tells of the same job: the same bytes of content,
    styles, weights and start, the same recipe in full, the same seed.

    Returns:
        ``waiting``, ``skipped`` or ``differs``.
    """
    if not task.job.output.exists():
        return outcome_of(task, "waiting")
    try:
        record = json.loads(task.job.record_path.read_text(encoding="utf-8"))
        different = [name for name, (asked, found) in _both(task, record).items() if asked != found]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = f"exists without a record of how it was made ({task.job.record_path.name})"
        return outcome_of(task, "differs", error=f"{said}; --force replaces it")
    if different:
        said = f"exists, made by another job: not the same {', '.join(different)}; --force replaces it"
        return outcome_of(task, "differs", error=said)
    if record.get("failed"):
        return outcome_of(task, "waiting")
    if record.get("stopped"):
        said = f"exists, stopped at step {record['steps']}; --force makes it anew"
        return outcome_of(task, "differs", error=said)
    return outcome_of(task, "skipped", record)


def _both(task: Task, record: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what was asked for and what the record says, by what it is."""
    request, recipe = task.job.request, task.recipe
    assert recipe is not None  # of a checked task
    files = files_of(recipe)
    # Where a file is does not matter, only what is in it.
    asked, found = json.loads(json.dumps(to_dict(recipe))), dict(record["recipe"])
    found.update({name: asked[name] for name in files if name in record})
    compared = {
        "medium": (request.medium, record["medium"]),
        "content": (_sha256(request.content), record["content"].get("sha256")),
        "style": ([_sha256(s) for s in request.styles], [s.get("sha256") for s in record["styles"]]),
        "seed": (request.seed, record["seed"]),
        "start": _hashes("init", files, record),
        "mask": _hashes("mask", files, record),
    }
    for kind, masks in (("content", request.content_masks), ("style", request.style_masks)):
        told = [mask and mask.get("sha256") for mask in record.get(f"{kind}_masks", ())]
        compared[f"{kind} mask"] = ([None if m == "all" else _sha256(m) for m in masks], told)
    if request.weights is not None:
        compared["weights"] = (_sha256(request.weights), record["network"]["sha256"])
    names = sorted({*asked, *found} - {"name", "source"} - {*compared})
    return compared | {name: (asked.get(name), found.get(name)) for name in names}


def _hashes(name: str, files: dict[str, Path], record: dict[str, Any]) -> tuple[Any, Any]:
    """Return the hash of a file that a recipe names, as it is and as the record has it."""
    return name in files and _sha256(files[name]), record.get(name, {}).get("sha256", False)


@lru_cache(maxsize=4096)
def _hash(path: Path, modified_ns: int, size: int) -> str:
    return sha256_of(path)


def _sha256(path: Path) -> str:
    """Hash a file once for all jobs that have it."""
    stat = path.stat()
    return _hash(path, stat.st_mtime_ns, stat.st_size)
