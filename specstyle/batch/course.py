"""The course of a batch: jobs to workers, and those of a worker that died to another one."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from specstyle.batch.jobs import Task
from specstyle.batch.table import Outcome, outcome_of
from specstyle.errors import SpecstyleError
from specstyle.files import temporary_name

FAILED_STARTS = 3
"""So many workers in a row that die before they are ready are no accident."""


@dataclass(frozen=True)
class Death:
    """The end of a worker in the middle of its job.

    Attributes:
        reason: What is known of it.
        at_start: Whether it died before it could take a job.
    """

    reason: str
    at_start: bool = False


class Crew(Protocol):
    """Workers, each known by the number of its place."""

    def hire(self, place: int) -> None:
        """Start a worker, in the place of one that died if there was one."""
        ...

    def give(self, place: int, task: Task) -> None:
        """Give an idle worker a job."""
        ...

    def wait(self) -> tuple[int, Outcome | Death]:
        """Wait until a worker has finished its job or died."""
        ...

    def pid(self, place: int) -> int | None:
        """Return the number of a worker's process, if it is known."""
        ...

    def dismiss(self) -> None:
        """End all workers; jobs that still run leave nothing behind."""
        ...


def run_tasks(
    tasks: Sequence[Task],
    crew: Crew,
    *,
    workers: int,
    retries: int,
    on_outcome: Callable[[Outcome], None],
    on_note: Callable[[str], None],
) -> None:
    """Run jobs, in their order as far as workers are free.

    Args:
        tasks: The jobs.
        crew: The workers; all are dismissed at the end, whatever happens.
        workers: How many are hired, at most.
        retries: How often a job whose worker died is given to another one.
        on_outcome: Called after each job.
        on_note: Called with each line that a user should know.

    Raises:
        SpecstyleError: If workers cannot be started.
    """
    waiting, deaths, starts = deque(tasks), Counter[int](), 0
    busy: dict[int, Task] = {}
    try:
        for place in range(min(workers, len(tasks))):
            crew.hire(place)
            busy[place] = waiting.popleft()
            crew.give(place, busy[place])
        while busy:
            place, came = crew.wait()
            task = busy.pop(place)
            if isinstance(came, Death):
                sweep(task, crew.pid(place))
                starts = starts + 1 if came.at_start else 0
                if starts >= FAILED_STARTS:
                    raise SpecstyleError(f"workers die at their start: {came.reason}")
                deaths[task.number] += 1
                if deaths[task.number] > retries:
                    tried = f"tried {deaths[task.number]} times; --retries raises this"
                    on_outcome(outcome_of(task, "failed", error=f"{came.reason} ({tried})"))
                else:
                    on_note(f"{task.name}: {came.reason}; trying again")
                    waiting.appendleft(task)
                if waiting:
                    crew.hire(place)
            else:
                starts = 0
                on_outcome(came)
            if waiting:
                busy[place] = waiting.popleft()
                crew.give(place, busy[place])
    finally:
        crew.dismiss()
        for place, task in busy.items():
            sweep(task, crew.pid(place))


def sweep(task: Task, pid: int | None) -> None:
    """Remove what a killed worker may have left half written."""
    if pid is None:
        return
    for path in (task.job.output, task.job.record_path):
        with contextlib.suppress(OSError):
            temporary_name(path, pid).unlink(missing_ok=True)


def counted(number: int, what: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "worker"), counted(2, "worker")
    ('1 worker', '2 workers')
    """
    return f"{number} {what}" + ("" if number == 1 else "s")


def as_death(value: Any) -> Outcome | Death:
    """Return a worker's answer; an error that only a fresh process can mend counts as its death."""
    return value if isinstance(value, Outcome) else Death(str(value))
