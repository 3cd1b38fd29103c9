"""The command ``batch`` with workers on this machine: results, errors, killed workers, Ctrl-C."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from batch.inputs import write_list
from batch.processes import batch, until, with_marker
from commands import Outcome, environment

from specstyle.batch.lists import read_csv
from specstyle.batch.workers import LocalPool, Worker, devices_of

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds workers in /proc"),
    pytest.mark.usefixtures("workplace"),
]

LONG = {"steps": 400, "filters": 1024}
"""Some seconds on one thread."""


def statuses(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["output"]: row["status"] for row in csv.DictReader(file)}


def made(folder: Path) -> set[str]:
    """What is there besides inputs and lists, records left out."""
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    names -= {"c.wav", "s.wav", "c.png", "s.png", "jobs.csv", "jobs.results.csv", "broken.wav"}
    return {name for name in names if name.removesuffix(".json") not in names - {name}}


def workers(marker: str) -> Callable[[], list[int]]:
    return lambda: with_marker(marker, "spawn_main")


@pytest.mark.slow
def test_a_list_from_start_to_end(tmp_path: Path) -> None:
    """One job fails, the others do not; a second call does what is missing; options that differ are told."""
    (tmp_path / "broken.wav").write_bytes((tmp_path / "c.wav").read_bytes()[:44])
    jobs = write_list(tmp_path, {}, {"content": "broken.wav"}, {"content": "c.png", "style": "s.png",
                      "output": "o/2.png"}, {"output": "o/3.wav", "style": "s.wav;c.wav"})  # fmt: skip
    with batch(jobs, "--workers", "2", folder=tmp_path) as running:
        code, out, err = running.end()
    assert code == 1, err
    assert made(tmp_path) == {"0.wav", "o/2.png", "o/3.wav"}
    expected = {"0.wav": "done", "1.wav": "failed", "o/2.png": "done", "o/3.wav": "done"}
    assert statuses(tmp_path / "jobs.results.csv") == expected
    assert "3 done, 1 failed; the table is in" in out
    assert "specstyle: job 2, 1.wav: " in err
    assert "is cut off" in err
    assert all(f"[{i}/4] " in err for i in range(1, 5))
    for name in ("0.wav", "o/3.wav"):
        styles = ["s.wav"] if name == "0.wav" else ["s.wav", "c.wav"]
        options = ["--network", "wide-random", "--n-filters", "32", "--phase-iterations", "2", "--steps", "3"]
        single = [sys.executable, "-m", "specstyle", "audio", "c.wav", *styles, "-o", "single.wav", *options]
        subprocess.run(single, check=True, capture_output=True, cwd=tmp_path, env=environment(tmp_path))
        assert (tmp_path / name).read_bytes() == (tmp_path / "single.wav").read_bytes()
        (tmp_path / "single.wav").unlink()
        (tmp_path / "single.wav.json").unlink()

    before = (tmp_path / "0.wav").stat().st_mtime_ns
    (tmp_path / "o" / "2.png").unlink()
    write_list(tmp_path, {}, {}, {"content": "c.png", "style": "s.png", "output": "o/2.png"},
               {"output": "o/3.wav", "style": "s.wav;c.wav", "steps": 2})  # fmt: skip
    with batch(jobs, "--quiet", folder=tmp_path) as running:
        code, out, err = running.end()
    assert (code, out) == (1, "")
    assert err == (
        "specstyle: job 4, o/3.wav: exists, made by another job: not the same steps; --force replaces it\n"
    )
    expected = {"0.wav": "skipped", "1.wav": "done", "o/2.png": "done", "o/3.wav": "differs"}
    assert statuses(tmp_path / "jobs.results.csv") == expected
    assert (tmp_path / "0.wav").stat().st_mtime_ns == before
    with batch(jobs, "--force", folder=tmp_path) as running:
        code, out, err = running.end()
    assert code == 0, err
    assert set(statuses(tmp_path / "jobs.results.csv").values()) == {"skipped", "done"}
    assert json.loads((tmp_path / "o" / "3.wav.json").read_text(encoding="utf-8"))["steps"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(("retries", "status"), [("1", "done"), ("0", "failed")])
def test_a_killed_worker(retries: str, status: str, tmp_path: Path) -> None:
    marker = f"SPECSTYLE_TEST={uuid.uuid4()}"
    jobs = write_list(tmp_path, {}, LONG, {})
    with batch(jobs, "--retries", retries, folder=tmp_path, **dict([marker.split("=")])) as running:
        running.wait_for("[1/3] 0.wav done")
        (worker,) = workers(marker)()
        time.sleep(0.3)
        os.kill(worker, signal.SIGKILL)
        code, _, err = running.end()
    assert code == (0 if status == "done" else 1), err
    assert statuses(tmp_path / "jobs.results.csv") == {"0.wav": "done", "1.wav": status, "2.wav": "done"}
    assert made(tmp_path) == {"0.wav", "2.wav"} | ({"1.wav"} if status == "done" else set())
    assert "its worker was ended by SIGKILL; is there enough memory?" in err
    assert workers(marker)() == []


@pytest.mark.slow
def test_ctrl_c(tmp_path: Path) -> None:
    """Finished jobs stay, nothing half written does, no process is left, and the same command goes on."""
    marker = f"SPECSTYLE_TEST={uuid.uuid4()}"
    jobs = write_list(tmp_path, {}, LONG, LONG, {})
    with batch(jobs, "--workers", "2", folder=tmp_path, **dict([marker.split("=")])) as running:
        running.wait_for("[1/4] 0.wav done")
        time.sleep(0.5)
        os.kill(running.process.pid, signal.SIGINT)
        code, out, err = running.end()
    assert code == 130
    assert "stopped by Ctrl-C" in err
    assert "Traceback" not in err
    assert workers(marker)() == []
    ended = {name for name, status in statuses(tmp_path / "jobs.results.csv").items() if status == "done"}
    assert "0.wav" in ended
    assert "waiting" in out
    assert made(tmp_path) == ended
    write_list(tmp_path, {}, {}, {}, {})
    with batch(jobs, folder=tmp_path) as running:
        code, out, err = running.end()
    assert code == 0, out + err


def test_workers_end_when_the_batch_is_killed(tmp_path: Path) -> None:
    marker = f"SPECSTYLE_TEST={uuid.uuid4()}"
    jobs = write_list(tmp_path, {}, {**LONG, "steps": 100_000})
    with batch(jobs, folder=tmp_path, **dict([marker.split("=")])) as running:
        running.wait_for("[1/2] 0.wav done")
        os.kill(running.process.pid, signal.SIGKILL)
        running.end()
        until(lambda: [] if workers(marker)() else [1])
    assert made(tmp_path) == {"0.wav"}
    assert statuses(tmp_path / "jobs.results.csv") == {"0.wav": "done", "1.wav": "waiting"}


def test_a_folder(tmp_path: Path) -> None:
    for name in ("contents", "styles"):
        (tmp_path / "in" / name).mkdir(parents=True)
    (tmp_path / "c.wav").rename(tmp_path / "in" / "contents" / "c.wav")
    (tmp_path / "s.wav").rename(tmp_path / "in" / "styles" / "s.wav")
    with batch("in", "--steps", "2", "--network", "kernel", folder=tmp_path) as running:
        assert running.end()[0] == 0
    assert (tmp_path / "in" / "results" / "c__s.wav").exists()
    assert statuses(tmp_path / "in" / "results" / "results.csv") == {"c__s.wav": "done"}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["no.csv"], "no.csv: cannot read the list of jobs"),
        (["c.wav"], "c.wav: cannot read the list of jobs: it is not UTF-8"),
        (["jobs.csv", "--output", "there"], "--output is for a folder's results"),
        (["jobs.csv", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["jobs.csv", "--retries", "-1"], "--retries must be at least 0, got -1"),
        (["jobs.csv", "--seed", "-1"], "jobs.csv, line 2: seed must be"),
        (["jobs.csv", "--device", "tpu"], "device must be auto, cpu, cuda or mps, got 'tpu'"),
        (["jobs.csv", "--tile", "abc"], "specstyle: tile must be auto, off or a whole number"),
        (["jobs.csv", "--memory-limit", "0"], "memory_limit must be a number of GiB above 0, got 0"),
        (["jobs.csv", "--memory-limit", "nan"], "memory_limit must be a number of GiB above 0, got nan"),
        (["jobs.csv", "--device", "cpu", "--precision", "tf32"], "jobs.csv, line 2: precision tf32 needs"),
    ],
)
def test_wrong_usage(argv: list[str], words: str, tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    write_list(tmp_path, {})
    outcome = cli("batch", *argv)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert words in outcome.err
    assert made(tmp_path) == set()
    assert not (tmp_path / "jobs.results.csv").exists()


def test_wrong_options_are_told_where_all_is_finished(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    jobs = write_list(tmp_path, {})
    # Workers import nothing that lies around (Python 3.10 has no way to say so).
    if sys.version_info >= (3, 11):
        (tmp_path / "socket.py").write_text("raise ImportError")
    for option, code in ((), 0), (("--tile", "0"), 2), (("--precision", "tf32"), 2), ((), 0):
        outcome = cli("batch", jobs, "--device", "cpu", *option)
        assert outcome.code == code
        assert "differs" not in outcome.out + outcome.err


def test_folders_that_cannot_be_made(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    (task,) = read_csv(write_list(tmp_path, {"output": "/proc/nowhere/0.wav"}), {})
    outcome = Worker("cpu").run(task)
    assert (outcome.status, outcome.error) == (
        "failed", "/proc/nowhere: cannot be made a folder: No such file or directory; name another"
    )  # fmt: skip
    for name in ("contents", "styles"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "c.wav").hardlink_to(tmp_path / "c.wav")
    outcome = cli("batch", "in", "-o", "/proc/nowhere")
    assert outcome.code == 1
    assert "/proc/nowhere: cannot be made a folder" in outcome.lines[-1]


def test_devices_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices_of("cpu") == ["cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices_of("auto") == devices_of("cuda") == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices_of("cuda:1") == ["cuda:1"]
    assert [LocalPool("auto", workers, 9).workers for workers in (None, 2, 5)] == [3, 2, 5]


def test_workers_share_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    alone, three, many = (LocalPool("cpu", workers, jobs) for workers, jobs in ((5, 1), (3, 9), (9, 20)))
    assert (alone.workers, alone.threads) == (1, None)
    assert (three.workers, three.threads, many.threads) == (3, 2, 1)
