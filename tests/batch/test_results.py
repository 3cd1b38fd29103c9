"""Which outputs count as a job's own, and what the table says of jobs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from batch.inputs import write_list

from specstyle.batch.jobs import Task
from specstyle.batch.lists import read_csv
from specstyle.batch.results import Outcome, Table, outcome_of, state_of
from specstyle.batch.workers import Worker
from specstyle.run import loop
from specstyle.run.request import Job

pytestmark = pytest.mark.usefixtures("workplace")


def task(folder: Path, job: dict[str, object] | None = None, **common: object) -> Task:
    (made,) = read_csv(write_list(folder, {"output": "o/a.wav", **(job or {})}), common)
    return made


def test_a_finished_job_is_skipped_with_its_figures(tmp_path: Path) -> None:
    assert state_of(task(tmp_path)).status == "waiting"
    done = Worker("cpu", threads=1).run(task(tmp_path))
    assert (done.status, done.steps, done.error) == ("done", 3, "")
    assert done.total_loss_start is not None
    assert done.total_loss_end is not None
    assert done.total_loss_end < done.total_loss_start
    state = state_of(task(tmp_path))
    assert state == Outcome(**{**vars(done), "status": "skipped"})
    # Where files are does not matter.
    (tmp_path / "other.wav").write_bytes((tmp_path / "s.wav").read_bytes())
    assert state_of(task(tmp_path, {"style": "other.wav"})).status == "skipped"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 4}, "not the same steps;"),
        ({"content": "s.wav"}, "not the same content;"),
        ({"style": "s.wav;c.wav"}, "not the same style;"),
    ],
)
def test_another_jobs_output_differs(change: dict[str, object], words: str, tmp_path: Path) -> None:
    Worker("cpu", threads=1).run(task(tmp_path))
    state = state_of(task(tmp_path, change))
    assert state.status == "differs"
    assert words in state.error
    assert "--force" in state.error


def test_the_seed_and_the_start_count(tmp_path: Path) -> None:
    started = task(tmp_path, overrides={"init": str(tmp_path / "s.wav")})
    assert Worker("cpu", threads=1).run(started).status == "done"
    assert state_of(started).status == "skipped"
    assert "seed" in state_of(task(tmp_path, seed=1, overrides={"init": str(tmp_path / "s.wav")})).error
    assert "start" in state_of(task(tmp_path, overrides={"init": str(tmp_path / "c.wav")})).error
    assert "init, start" in state_of(task(tmp_path)).error or "start, init" in state_of(task(tmp_path)).error


def test_outputs_without_a_whole_record(tmp_path: Path) -> None:
    one = task(tmp_path)
    one.job.output.parent.mkdir()
    one.job.output.touch()
    assert state_of(one).status == "differs"
    assert "without a record" in state_of(one).error
    one.job.record_path.write_text("[]")
    assert state_of(one).status == "differs"
    Worker("cpu", threads=1).run(one)
    record = json.loads(one.job.record_path.read_text(encoding="utf-8"))
    for key, status in (("stopped", "differs"), ("failed", "waiting")):
        one.job.record_path.write_text(json.dumps({**record, key: True}))
        assert state_of(one).status == status


def test_a_worker_lives_through_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker("cpu", threads=1)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    failed = worker.run(task(tmp_path, {"content": "broken.wav"}))
    assert failed.status == "failed"
    assert "broken.wav" in failed.error
    assert worker.run(task(tmp_path)).status == "done"

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(loop, "optimize", full)
    dead = worker.run(task(tmp_path))
    assert dead.status == "died"
    assert "out of memory: the run needs more" in dead.error


def test_an_abandoned_job_writes_nothing(tmp_path: Path) -> None:
    worker = Worker("cpu", 1)
    worker.leave()
    abandoned = worker.run(task(tmp_path))
    assert (abandoned.status, abandoned.error) == ("died", "its batch has ended")
    assert not list((tmp_path / "o").iterdir())


def test_the_table_in_its_file(tmp_path: Path) -> None:
    one = task(tmp_path)
    table = Table(tmp_path / "t.csv", [one])
    table.set()
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["job"], row["output"], row["status"], row["seconds"]) == ("1", "o/a.wav", "waiting", "")
    losses = {"start": {"total": 2.0}, "end": {"total": 1 / 3, "style": 0.25}}
    table.set(outcome_of(one, "failed", {"losses": losses, "steps": 3, "seconds": 1.5}, 'a "b", c'))
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {"job": "1", "output": "o/a.wav", "status": "failed", "seconds": "1.5", "steps": "3",
                   "total_loss_start": "2.0", "total_loss_end": str(1 / 3), "style_loss_end": "0.25",
                   "error": 'a "b", c'}  # fmt: skip
    assert table.count() == {"failed": 1}
    head, line = table.format().splitlines()
    assert head.split()[:4] == ["job", "output", "status", "seconds"]
    assert "2 -> 0.3333" in line


def test_workers_share_the_memory_unless_a_job_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing: list[tuple[int, float | None]] = []

    def run(job: Job, **_: object) -> None:
        sharing.append((job.request.workers, job.request.memory_limit))
        raise ValueError("enough")

    monkeypatch.setattr("specstyle.batch.workers.run_job", run)
    Worker("cpu", 1, workers=3).run(task(tmp_path))
    Worker("cpu", 1, workers=3).run(task(tmp_path, memory_limit=4.0))
    Worker("cpu", 1).run(task(tmp_path))
    assert sharing == [(3, None), (1, 4.0), (1, None)]
