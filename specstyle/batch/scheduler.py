"""The scheduler of a batch: jobs to workers, and those of a worker that died to another one."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Protocol

from specstyle.batch.jobs import Task
from specstyle.batch.results import Outcome, outcome_of
from specstyle.errors import SpecstyleError
from specstyle.files import temporary_name

FAILED_STARTS = 3
"""So many workers in a row that die before they are ready are no accident."""

GRACE_S = 5.0
"""A worker that is ended in the middle of a step has this long to end by itself."""


class Process(Protocol):
    """A process that runs one job after another: the one of a worker.

    Attributes:
        pid: Its number, as soon as it is ready.
    """

    pid: Future[int]

    def submit(self, task: Task) -> Future[Outcome]:
        """Give it a job; an exception is its death."""
        ...

    def reason(self, error: BaseException) -> str:
        """Return what is known of its death."""
        ...

    def leave(self) -> None:
        """Ask it to leave its job after this step, with nothing written."""
        ...

    def kill(self) -> None:
        """End it, if it has not ended."""
        ...


class Pool(Protocol):
    """Where workers are."""

    workers: int

    def start(self, place: int) -> Process:
        """Start the worker of a place."""
        ...

    def shutdown(self) -> None:
        """Let go of what holds the workers, all of which have ended."""
        ...


def run_tasks(
    tasks: Sequence[Task],
    pool: Pool,
    *,
    retries: int,
    on_outcome: Callable[[Outcome], None],
    on_note: Callable[[str], None],
) -> None:
    """Run jobs, in their order as far as workers are free; at the end all workers are, whatever happens.

    Args:
        tasks: The jobs.
        pool: The workers.
        retries: How often a job whose worker died is given to another one.
        on_outcome: Called after each job.
        on_note: Called with each line that a user should know.

    Raises:
        SpecstyleError: If workers cannot be started.
    """
    waiting, deaths, starts = deque(tasks), Counter[int](), 0
    workers: dict[int, Process] = {}
    running: dict[Future[Outcome], tuple[int, Task]] = {}
    idle = list(range(min(pool.workers, len(tasks))))
    try:
        while running or waiting:
            for place in idle if waiting else ():
                if place not in workers:
                    workers[place] = pool.start(place)
                task = waiting.popleft()
                running[workers[place].submit(task)] = place, task
            future = wait(running, return_when=FIRST_COMPLETED).done.pop()
            place, task = running.pop(future)
            idle, error = [place], future.exception()
            if error is not None:
                outcome = outcome_of(task, "died", error=workers[place].reason(error))
            else:
                outcome = future.result()
            if outcome.status != "died":
                starts = 0
                on_outcome(outcome)
                continue
            starts = 0 if _ready(workers[place]) else starts + 1
            _end(workers.pop(place), task)
            if starts >= FAILED_STARTS:
                raise SpecstyleError(f"workers die at their start: {outcome.error}")
            deaths[task.number] += 1
            if deaths[task.number] > retries:
                tried = f"tried {deaths[task.number]} times; --retries raises this"
                on_outcome(outcome_of(task, "failed", error=f"{outcome.error} ({tried})"))
            else:
                on_note(f"{task.name}: {outcome.error}; trying again")
                waiting.appendleft(task)
    finally:
        _shutdown(pool, workers, running)


def _shutdown(
    pool: Pool, workers: dict[int, Process], running: dict[Future[Outcome], tuple[int, Task]]
) -> None:
    tasks = dict(running.values())
    try:
        for worker in workers.values():
            worker.leave()
        wait(running, timeout=GRACE_S)
    finally:
        for place, worker in workers.items():
            _end(worker, tasks.get(place))
        pool.shutdown()


def _ready(worker: Process) -> bool:
    return worker.pid.done() and worker.pid.exception() is None


def _end(worker: Process, task: Task | None) -> None:
    """End a worker, and remove what it may have left half written of its job."""
    worker.kill()
    if task is not None and _ready(worker):
        for path in (task.job.output, task.job.record_path):
            with contextlib.suppress(OSError):
                temporary_name(path, worker.pid.result()).unlink(missing_ok=True)
