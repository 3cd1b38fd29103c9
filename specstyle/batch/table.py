"""What became of each job, kept in a file from the first to the last."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from specstyle.batch.jobs import Task
from specstyle.files import atomic

Status = Literal["waiting", "done", "skipped", "differs", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The task's number: its count in the list, from 1.
        output: Its output, as the list has it.
        status: ``waiting``: not run yet; ``skipped``: was finished before; ``differs``: another job's result
            is there; ``failed``: see ``error``.
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
        with atomic(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(f.name for f in fields(Outcome))
            for outcome in self._outcomes.values():
                writer.writerow(_cell(getattr(outcome, f.name)) for f in fields(Outcome))

    def outcomes(self) -> list[Outcome]:
        """Return them in the order of the tasks."""
        return list(self._outcomes.values())

    def count(self) -> Counter[str]:
        """Return how many jobs there are of each status."""
        return Counter(outcome.status for outcome in self._outcomes.values())

    def format(self) -> str:
        """Return the table for a reader's eyes."""
        head = ("job", "output", "status", "seconds", "steps", "total loss", "style loss", "")
        rows = [head, *(_row(outcome) for outcome in self._outcomes.values())]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        right = (0, 3, 4)
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )


def _row(outcome: Outcome) -> tuple[str, ...]:
    total = ""
    if outcome.total_loss_start is not None and outcome.total_loss_end is not None:
        total = f"{outcome.total_loss_start:.4g} -> {outcome.total_loss_end:.4g}"
    return (
        str(outcome.job),
        outcome.output,
        outcome.status,
        "" if outcome.seconds is None else f"{outcome.seconds:.1f}",
        "" if outcome.steps is None else str(outcome.steps),
        total,
        "" if outcome.style_loss_end is None else f"{outcome.style_loss_end:.4g}",
        outcome.error,
    )


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
