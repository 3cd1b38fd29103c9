from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from distributed.launching import ended, environment, torchrun
from PIL import Image

from specstyle.cli import ranks
from specstyle.cli.main import main
from specstyle.engine.distrib import TeamError
from specstyle.run.sharing import resumable

WORKER = Path(__file__).with_name("worker.py")
CASES = ("vgg19-lite", "bands", "wide-random")


@pytest.fixture(scope="module", params=[2, 3])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("ranks") / "found.pt"
    command = torchrun(request.param, WORKER, out)
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = torch.load(out, weights_only=True)
    return result


def test_strips_and_flags(found: dict[str, Any]) -> None:
    assert found["strips"]
    assert found["any"] == [True, False]


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradient_are_those_of_one_process(found: dict[str, Any], name: str) -> None:
    ours, alone = found["cases"][name], found["alone"][name]
    assert list(ours["losses"]) == list(alone["losses"])
    for term, loss in alone["losses"].items():
        assert float(ours["losses"][term]) == pytest.approx(float(loss), rel=1e-6)
    error = (ours["gradient"] - alone["gradient"]).norm() / alone["gradient"].norm()
    assert float(error) < 1e-6


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["adam", "sgd", "lbfgs"])
def test_runs_are_those_of_one_process(found: dict[str, Any], name: str, method: str) -> None:
    ours, alone = found["cases"][name][method], found["alone"][name][method]
    assert ours["end"] == pytest.approx(alone["end"], rel=1e-5 if method == "lbfgs" else 1e-6)
    difference = (ours["image"] - alone["image"]).abs()
    # A line search divides differences of nearly equal losses. Adam divides each gradient by its own size, so
    # that a pixel whose gradient is nothing but rounding may go either way: a few in a thousand.
    assert float(difference.norm() / alone["image"].norm()) < (1e-5 if method == "lbfgs" else 1e-6)
    if method != "lbfgs":
        assert float((difference < 1e-6).float().mean()) > 0.995


def pictures(folder: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    paths = folder / "content.png", folder / "style.png"
    for path, width in zip(paths, (160, 90), strict=True):
        Image.fromarray(rng.integers(0, 255, (80, width, 3), dtype=np.uint8)).save(path)
    return paths


def image_command(folder: Path, output: Path, *more: str) -> list[str | Path]:
    options = ["--network", "vgg19-lite", "--steps", "4", "--optimizer", "adam", "--lr", "0.02", *more]
    return ["-m", "specstyle", "image", *pictures(folder), "-o", output, *options]


def test_the_command_shares_a_picture(tmp_path: Path) -> None:
    outputs = tmp_path / "one.png", tmp_path / "two.png"
    more = ("--smallest-scale", "64", "--save-every", "4", "--tile", "64")
    for count, output in zip((1, 2), outputs, strict=True):
        command = torchrun(count, *image_command(tmp_path, output, *more))
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("wrote ") == 1
    one, two = (np.asarray(Image.open(path)).astype(int) for path in outputs)
    assert abs(one - two).max() <= 1
    records = [json.loads(path.with_name(path.name + ".json").read_text()) for path in outputs]
    assert records[1]["processes"] == 2
    assert "processes" not in records[0]
    assert records[1]["losses"]["end"]["total"] == pytest.approx(
        records[0]["losses"]["end"]["total"], rel=1e-5
    )
    assert sorted(p.name for p in (tmp_path / "two.steps").iterdir()) == sorted(
        p.name for p in (tmp_path / "one.steps").iterdir()
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--size", "20"), "too small to be shared by 2 processes"),
        (("--optimizer", "frobnicate"), "invalid choice"),
        (("--steps", "-1"), "steps must be"),
        (("--init", "missing.png"), "no such file"),
    ],
)
def test_what_cannot_be_shared_is_told_once(tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    asked = image_command(tmp_path, tmp_path / "out.png", "--smallest-scale", "none", *more)
    code, _, err = ended(2, *asked)
    assert code != 0
    assert err.count(said) == 1
    assert (
        sum(
            ("specstyle" in line and "error:" in line) or line.startswith("specstyle: ")
            for line in err.splitlines()
        )
        == 1
    )
    assert not (tmp_path / "out.png").exists()


def test_what_only_another_rank_meets_is_told(tmp_path: Path) -> None:
    """The second process finds no style: it says so itself."""
    content, style = pictures(tmp_path)
    other = tmp_path / "other.png"
    start = tmp_path / "start.py"
    start.write_text(
        "import os, sys\n"
        "from specstyle.cli.main import main\n"
        "style = sys.argv[2] if os.environ['RANK'] == '0' else sys.argv[3]\n"
        "main(['image', sys.argv[1], style, *sys.argv[4:]])\n",
        encoding="utf-8",
    )
    output = tmp_path / "out.png"
    code, _, err = ended(2, start, content, style, other, "-o", output, "--network", "vgg19-lite")
    assert code != 0
    assert err.count(f"specstyle: rank 1: {other}") == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("batch", "jobs.csv"), "--workers N and --ray ADDRESS run several jobs at a time"),
        (("sweep", "image", "a.png", "b.png", "-o", "out", "--grid", "steps=1,2"), "--workers N and --ray"),
        (("ui", "--no-browser"), "start it without torchrun"),
        (("demo", "out"), "start it without torchrun"),
        (("invert", "a.npz", "-o", "out.wav"), "start it without torchrun"),
        (("spectrogram", "a.wav", "-o", "out.npz"), "start it without torchrun"),
        (("recipes",), "start it without torchrun"),
    ],
)
def test_a_command_that_shares_nothing_is_refused(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    waited: list[float] = []
    monkeypatch.setattr("specstyle.cli.ranks.time.sleep", waited.append)
    for rank in (0, 1):
        for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": str(rank)}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        # torchrun ends the second process while it waits.
        assert waited == ([] if rank == 0 else [ranks.PATIENCE_S])
        err = capsys.readouterr().err
        assert f"started 2 processes, and each would do all that `specstyle {arguments[0]}` does" in err
        assert said in err
        assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_batch_of_two_ranks_is_refused_once(tmp_path: Path) -> None:
    code, _, err = ended(2, "-m", "specstyle", "batch", tmp_path / "jobs.csv")
    assert code != 0
    assert err.count("each would do all that `specstyle batch` does") == 1


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_dies_ends_the_run_with_an_error(victim: int, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    command = torchrun(2, *image_command(tmp_path, output, "--steps", "100000"))
    run = subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert run.stdout is not None
    said = ""
    for line in run.stdout:
        said += line
        if line.startswith("step 1/"):
            break
    time.sleep(0.5)
    os.kill(process_of(run.pid, victim), signal.SIGKILL)
    said += run.communicate(timeout=120)[0]
    assert run.returncode != 0
    line = only_line(said)
    assert line.startswith(f"specstyle: rank {1 - victim} of 2: another process of this run ended")
    assert line.endswith("; start the run again")
    assert not output.exists()


def only_line(said: str) -> str:
    """Return what specstyle said beside torchrun: of two processes one is left to tell it."""
    told = [line for line in said.splitlines() if line.startswith("specstyle: ")]
    assert len(told) == 1, said[-3000:]
    return told[0]


def process_of(launcher: int, rank: int = 1) -> int:
    """Return the process of a rank that a launcher started."""
    import psutil

    for child in psutil.Process(launcher).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            return int(child.pid)
    raise AssertionError(f"there is no rank {rank}")


def test_a_rank_that_dies_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    """Two processes that go on end as two that were never interrupted."""
    content, style = pictures(tmp_path)
    asked = [content, style, "--network", "vgg19-lite", "--steps", "12", "--optimizer", "adam"]
    asked = [
        *asked,
        "--lr",
        "0.02",
        "--smallest-scale",
        "64",
        "--checkpoint-every",
        "1",
        "--quiet",
        "--run-dir",
    ]

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = torchrun(2, "-m", "specstyle", "image", *arguments)
        return subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run = start(*asked, whole)
    said = run.communicate(timeout=240)[1]
    assert run.returncode == 0, said[-3000:]
    run = start(*asked, cut)
    while not (cut / "checkpoint.pt").exists() and run.poll() is None:
        time.sleep(0.01)
    os.kill(process_of(run.pid), signal.SIGKILL)
    said = run.communicate(timeout=120)[1]
    assert run.returncode != 0, said[-3000:]
    assert not (cut / "result.png").exists()
    line = only_line(said)
    assert line.startswith("specstyle: rank 0 of 2: another process of this run ended")
    assert line.endswith(f"; --resume {cut} goes on")
    run = start("--resume", cut, "--quiet")
    said = run.communicate(timeout=240)[1]
    assert run.returncode == 0, said[-3000:]
    assert (cut / "result.png").read_bytes() == (whole / "result.png").read_bytes()
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_who_is_left_alone_is_told_how_to_go_on(tmp_path: Path) -> None:
    def fail(run_dir: Path | None) -> str:
        with pytest.raises(TeamError) as caught, resumable(run_dir):
            raise TeamError("rank 0 of 2: another process ended")
        return str(caught.value)

    again = "rank 0 of 2: another process ended; start the run again"
    assert fail(None) == again
    assert fail(tmp_path) == again  # it keeps no run: nothing had begun
    (tmp_path / "run.json").touch()
    assert fail(tmp_path) == f"rank 0 of 2: another process ended; --resume {tmp_path} goes on"


def test_of_several_that_are_left_alone_one_tells_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once: who is gone may have been killed in silence. An error of one's own waits for the first."""
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    store, waited = torch.distributed.HashStore(), list[float]()
    monkeypatch.setattr("torch.distributed.distributed_c10d._get_default_store", lambda: store)
    monkeypatch.setattr("specstyle.cli.ranks.time.sleep", waited.append)
    gone = TeamError("rank 2 of 3: another process ended")
    assert [ranks.complain_once(gone, 1, rank) for rank in (2, 0)] == [1, 1]
    assert capsys.readouterr().err == "specstyle: rank 2 of 3: another process ended; start the run again\n"
    assert not waited
    store = torch.distributed.HashStore()
    ranks.complain_once(ValueError("wrong"), 2, 0)
    ranks.complain_once(gone, 1, 2)
    assert capsys.readouterr().err == "specstyle: wrong\n"
    ranks.complain_once(ValueError("wrong here"), 2, 1)
    assert capsys.readouterr().err == "specstyle: rank 1: wrong here\n"
    assert waited == [ranks.PATIENCE_S]
    store = torch.distributed.HashStore()
    ranks.complain_once(ValueError("wrong here"), 2, 1)
    ranks.complain_once(gone, 1, 0)  # which says how to go on
    assert len(capsys.readouterr().err.splitlines()) == 2
