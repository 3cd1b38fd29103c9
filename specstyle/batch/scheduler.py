"""The scheduler of a batch: jobs to workers, and those of a worker that died to another one."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from specstyle.batch.jobs import Task
from specstyle.batch.results import Outcome, outcome_of
from specstyle.errors import SpecstyleError
from specstyle.run.output import temporary_name

FAILED_STARTS = 3
"""So many workers in a row that die before they are ready are no accident."""

GRACE_S = 5.0
"""A worker that is ended in the middle of a step has this long to end by itself."""


@dataclass(frozen=True)
class Death:
    """The end of a worker in the middle of its job, or what only a fresh process can mend.

    Attributes:
        reason: What is known of it.
        at_start: Whether it died before it could take a job.
    """

    reason: str
    at_start: bool = False


class Pool(Protocol):
    """Workers, each known by the number of its place."""

    workers: int

    def start(self, place: int) -> None:
        """Start a worker, in the place of one that died if there was one."""
        ...

    def submit(self, place: int, task: Task) -> None:
        """Give an idle worker a job."""
        ...

    def wait(self) -> tuple[int, Outcome | Death]:
        """Wait until a worker has finished its job or died."""
        ...

    def pid(self, place: int) -> int | None:
        """Return the number of a worker's process, if it is known."""
        ...

    def shutdown(self) -> None:
        """End all workers; jobs that still run leave nothing behind."""
        ...


def run_tasks(
    tasks: Sequence[Task],
    pool: Pool,
    *,
    retries: int,
    on_outcome: Callable[[Outcome], None],
    on_note: Callable[[str], None],
) -> None:
    """Run jobs, in their order as far as workers are free.

    Args:
        tasks: The jobs.
        pool: The workers; it is shut down at the end, whatever happens.
        retries: How often a job whose worker died is given to another one.
        on_outcome: Called after each job.
        on_note: Called with each line that a user should know.

    Raises:
        SpecstyleError: If workers cannot be started.
    """
    waiting, deaths, starts = deque(tasks), Counter[int](), 0
    busy: dict[int, Task] = {}
    try:
        for place in range(min(pool.workers, len(tasks))):
            pool.start(place)
            busy[place] = waiting.popleft()
            pool.submit(place, busy[place])
        while busy:
            place, came = pool.wait()
            task = busy.pop(place)
            if isinstance(came, Death):
                _remove_partial(task, pool.pid(place))
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
                    pool.start(place)
            else:
                starts = 0
                on_outcome(came)
            if waiting:
                busy[place] = waiting.popleft()
                pool.submit(place, busy[place])
    finally:
        pool.shutdown()
        for place, task in busy.items():
            _remove_partial(task, pool.pid(place))


def _remove_partial(task: Task, pid: int | None) -> None:
    """Remove what a killed worker may have left half written."""
    if pid is None:
        return
    for path in (task.job.output, task.job.record_path):
        with contextlib.suppress(OSError):
            temporary_name(path, pid).unlink(missing_ok=True)
