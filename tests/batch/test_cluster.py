"""The command ``batch`` on a real Ray cluster of this machine."""

from __future__ import annotations

import csv
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batch.inputs import write_list
from batch.processes import batch, with_marker
from commands import Outcome, environment, write_inputs

from specstyle.batch.cluster import check_reachable, room_on
from specstyle.errors import SpecstyleError

LONG = {"steps": 400, "filters": 1024}
"""Some seconds on one thread."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds workers in /proc")


@pytest.fixture
def marker() -> str:
    return f"SPECSTYLE_TEST={uuid.uuid4()}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def surroundings(tmp_path: Path, marker: str) -> dict[str, str]:
    """An environment in which Ray keeps its files to the test, with a token made for it alone."""
    name, value = marker.split("=")
    own = {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
    return {name: value, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", **own}


@pytest.fixture
def no_other_cluster() -> Iterator[None]:
    """Tests that run beside this one have no cluster meanwhile, which ``auto`` would find."""
    with (Path(tempfile.gettempdir()) / "specstyle-tests-of-ray.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def head(no_other_cluster: None, tmp_path: Path, marker: str, surroundings: dict[str, str]) -> Iterator[str]:
    """The address of a cluster of two CPUs in processes of its own, all of which are ended afterwards."""
    pytest.importorskip("ray")
    port, client = free_port(), free_port()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--num-cpus=2", "--num-gpus=0",
               f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false",
               f"--ray-client-server-port={client}", "--object-store-memory=80000000",
               "--disable-usage-stats"]  # fmt: skip
    own = environment(tmp_path, **surroundings)
    subprocess.run(command, check=True, capture_output=True, env=own, cwd=tmp_path, timeout=60)
    yield f"127.0.0.1:{port}"
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in with_marker(marker, ""):
            os.kill(pid, number)
        end = time.monotonic() + 5
        while with_marker(marker, "") and time.monotonic() < end:
            time.sleep(0.05)


def statuses(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["output"]: row["status"] for row in csv.DictReader(file)}


@pytest.mark.slow
def test_a_worker_killed_in_the_middle(
    head: str, marker: str, surroundings: dict[str, str], tmp_path: Path
) -> None:
    """All jobs are done, one that fails does not stop the others, and Ctrl-C leaves nothing behind."""
    work = tmp_path / "work"
    work.mkdir()
    write_inputs(work)
    (work / "broken.wav").write_bytes(b"RIFF")
    jobs = write_list(work, {}, {"content": "broken.wav"}, LONG, {}, {"output": "o/4.wav"})
    with batch(jobs, "--ray", head, "--workers", "2", folder=work, **surroundings) as running:
        running.wait_for("0.wav done")
        end = time.monotonic() + 30
        while not (busy := [pid for pid in with_marker(marker, "ray::") if _in_run(pid)]):
            assert time.monotonic() < end
            time.sleep(0.02)
        # The long job is what runs when the others are through.
        running.wait_for("o/4.wav done")
        busy = [pid for pid in with_marker(marker, "ray::") if _in_run(pid)]
        assert len(busy) == 1
        os.kill(busy[0], signal.SIGKILL)
        code, _, err = running.end()
    expected = {"0.wav": "done", "1.wav": "failed", "2.wav": "done", "3.wav": "done", "o/4.wav": "done"}
    assert statuses(work / "jobs.results.csv") == expected, err
    assert code == 1
    assert "2.wav: its worker on the cluster died (ActorDied); trying again" in err
    assert "Traceback" not in err
    assert "Warning" not in err
    assert not list(work.glob("**/*.part*"))

    for path in work.glob("2.wav*"):
        path.unlink()
    write_list(work, {}, {}, {**LONG, "steps": 100_000}, {}, {"output": "o/4.wav"})
    with batch(jobs, "--ray", head, folder=work, **surroundings) as running:
        running.wait_for("1.wav done")
        os.kill(running.process.pid, signal.SIGINT)
        code, _, err = running.end()
    assert code == 130, err
    assert statuses(work / "jobs.results.csv") == {**dict.fromkeys(expected, "skipped"), "1.wav": "done",
                                                   "2.wav": "waiting"}  # fmt: skip
    assert not list(work.glob("2.wav*"))
    assert not list(work.glob("**/*.part*"))


def _in_run(pid: int) -> bool:
    return b".run" in (Path("/proc") / str(pid) / "cmdline").read_bytes()


def test_without_ray(workplace: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Outcome]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = "specstyle: --ray needs Ray: pip install specstyle[ray]\n"
    assert cli("batch", write_list(workplace, {}), "--ray", "auto", "--quiet") == (1, "", said)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "ray://127.0.0.1:1"])
def test_no_cluster(address: str, no_other_cluster: None, workplace: Path) -> None:
    """In a process of its own: what Ray leaves open after it failed would be told as a warning here."""
    pytest.importorskip("ray")
    begun = time.monotonic()
    with batch(write_list(workplace, {}), "--ray", address, "--quiet", folder=workplace,
               HOME=str(workplace), RAY_TMPDIR=str(workplace)) as running:  # fmt: skip
        code, out, err = running.end()
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(f"specstyle: --ray {address}: no connection to a cluster")
    assert "ray start --head" in err
    # Reaching no host takes three seconds, and starting Python with torch and Ray the rest.
    assert time.monotonic() - begun < 40


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told within seconds, for each kind of address, where Ray would try for a minute and more."""
    closed = f"127.0.0.1:{free_port()}"
    begun = time.monotonic()
    for address in (closed, f"ray://{closed}"):
        with pytest.raises(
            SpecstyleError, match=f"--ray {address}: no connection .*refused.*ray start --head"
        ):
            check_reachable(address)
    with pytest.raises(SpecstyleError, match="no connection to a cluster"):
        check_reachable("nonsense.invalid:1")
    monkeypatch.setenv("RAY_ADDRESS", closed)
    with pytest.raises(SpecstyleError, match=f"--ray auto: no connection to a cluster .{closed}: "):
        check_reachable("auto")
    assert time.monotonic() - begun < 10
    check_reachable("local")
    monkeypatch.delenv("RAY_ADDRESS")
    check_reachable("auto")  # what Ray finds by itself is left to Ray


@pytest.mark.parametrize(
    "address", ["nonsense", "", "ray://host", "host:", "host:99999", "a:b:c", "http://h:1"]
)
def test_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="--ray must be auto, local, HOST:PORT or ray://HOST:PORT, got"):
        check_reachable(address)


@pytest.mark.parametrize(
    ("nodes", "given", "expected"),
    [
        ([{"CPU": 8, "GPU": 2}, {"CPU": 8, "GPU": 1}], ("auto", None), (3, {"num_gpus": 1, "num_cpus": 1})),
        ([{"CPU": 8, "GPU": 2}], ("auto", 1), (1, {"num_gpus": 1, "num_cpus": 1})),
        ([{"CPU": 8, "GPU": 2}], ("cpu", None), (1, {"num_cpus": 8})),
        ([{"CPU": 8}, {"CPU": 4}, {}], ("auto", None), (2, {"num_cpus": 4})),
        ([{"CPU": 8}, {"CPU": 4}], ("auto", 6), (6, {"num_cpus": 2})),
        ([{"CPU": 2}], ("auto", 9), (2, {"num_cpus": 1})),
        ([{}], ("auto", None), (0, {})),
    ],
)
def test_workers_of_a_cluster(
    nodes: list[dict[str, float]], given: tuple[str, int | None], expected: tuple[int, dict[str, int]]
) -> None:
    assert room_on(nodes, *given) == expected
