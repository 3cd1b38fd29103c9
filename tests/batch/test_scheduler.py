"""Who gets which job, and what happens when workers die."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from specstyle.batch.jobs import Task
from specstyle.batch.results import Outcome, outcome_of
from specstyle.batch.scheduler import FAILED_STARTS, run_tasks
from specstyle.errors import SpecstyleError
from specstyle.files import temporary_name
from specstyle.run.request import Job, Request


class Scripted:
    """A pool that does as a script says: for each job, how often its worker dies first."""

    def __init__(self, deaths: dict[int, int], *, at_start: bool = False, interrupt: int = -1) -> None:
        self.deaths, self.at_start, self.interrupt = dict(deaths), at_start, interrupt
        self.started: list[int] = []
        self.living: set[ScriptedProcess] = set()
        self.workers, self.most, self.ended = 2, 0, False

    def start(self, place: int) -> ScriptedProcess:
        self.started.append(place)
        self.living.add(process := ScriptedProcess(self, 1000 + place))
        self.most = max(self.most, len(self.living))
        return process

    def shutdown(self) -> None:
        assert not self.living
        self.ended = True


class ScriptedProcess:
    def __init__(self, pool: Scripted, number: int) -> None:
        self.pool, self.number, self.pid = pool, number, Future[int]()
        if not pool.at_start:
            self.pid.set_result(number)

    def submit(self, task: Task) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        if task.number == self.pool.interrupt:
            raise KeyboardInterrupt
        if self.pool.deaths.get(task.number, 0) > 0:
            self.pool.deaths[task.number] -= 1
            if self.pid.done():
                temporary_name(task.job.output, self.number).touch()
            future.set_exception(RuntimeError("died"))
        else:
            future.set_result(outcome_of(task, "failed" if task.number == 99 else "done"))
        return future

    def reason(self, error: BaseException) -> str:
        return f"its worker {error}"

    def leave(self) -> None:
        pass

    def kill(self) -> None:
        self.pool.living.discard(self)


def run(
    pool: Scripted, folder: Path, numbers: list[int], workers: int = 2, retries: int = 1
) -> tuple[dict[int, Outcome], list[str]]:
    ended: list[Outcome] = []
    notes: list[str] = []
    tasks = [
        Task(n, f"{n}.wav", Job(Request("audio", folder / "c", (folder / "s",)), folder / f"{n}.wav"))
        for n in numbers
    ]
    pool.workers = workers
    try:
        run_tasks(tasks, pool, retries=retries, on_outcome=ended.append, on_note=notes.append)
    finally:
        assert pool.ended
        assert not list(folder.iterdir())  # nothing half written stays
    assert len({outcome.job for outcome in ended}) == len(ended)
    return {outcome.job: outcome for outcome in ended}, notes


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_every_job_once(workers: int, tmp_path: Path) -> None:
    pool = Scripted({})
    ended, _ = run(pool, tmp_path, [1, 2, 99, 4], workers)
    assert {n: o.status for n, o in ended.items()} == {1: "done", 2: "done", 99: "failed", 4: "done"}
    assert pool.started == list(range(min(workers, 4)))
    assert pool.most == min(workers, 4)


def test_the_job_of_a_dead_worker_is_given_to_another(tmp_path: Path) -> None:
    pool = Scripted({2: 1, 4: 1})
    ended, notes = run(pool, tmp_path, [1, 2, 3, 4])
    assert {o.status for o in ended.values()} == {"done"}
    assert len(pool.started) == 4
    assert sorted(notes) == [f"{n}.wav: its worker died; trying again" for n in (2, 4)]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_but_not_for_ever(retries: int, tmp_path: Path) -> None:
    ended, notes = run(Scripted({2: 9}), tmp_path, [1, 2, 3], retries=retries)
    assert {n: o.status for n, o in ended.items()} == {1: "done", 2: "failed", 3: "done"}
    assert ended[2].error == f"its worker died (tried {retries + 1} times; --retries raises this)"
    assert len(notes) == retries


def test_workers_that_cannot_start(tmp_path: Path) -> None:
    pool = Scripted(dict.fromkeys(range(9), 9), at_start=True)
    with pytest.raises(SpecstyleError, match="workers die at their start"):
        run(pool, tmp_path, list(range(9)))
    assert len(pool.started) <= FAILED_STARTS + 1


def test_an_interrupt_ends_all_workers(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Scripted({1: 1}, interrupt=3), tmp_path, [1, 2, 3, 4])
