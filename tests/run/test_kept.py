"""Runs that a folder keeps: left at any step, or killed, they end in the same bytes as uninterrupted ones."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import go, ignore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specstyle import Progress, StopRun
from specstyle.errors import CheckpointError, FileError, RunFinishedError, SpecstyleError
from specstyle.recipes import RECIPES
from specstyle.run.checkpoint import resumed_job
from specstyle.run.job import run_job
from specstyle.run.request import Job, Request, TransferError
from specstyle.run.settle import settle_recipe

RATE = 8000
PICTURE = {
    "network": "vgg19-random",
    "style_layers": ("relu1_1", "relu2_1"),
    "content_layers": ("relu2_1",),
    "size": 39,  # odd sides, and files resized
    "smallest_scale": 16,
    "scale_factor": 2.0,
    "steps": 6,
}
WIDE = {"network": "wide-random", "n_filters": 32, "steps": 12, "phase_iterations": 2}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "picture, adam": ("image", {**PICTURE, "optimizer": "adam", "lr": 0.02, "init": "noise"}),
    "picture, lbfgs": ("image", {**PICTURE, "optimizer": "lbfgs"}),
    "picture, sgd": ("image", {**PICTURE, "optimizer": "sgd", "lr": 0.001, "keep": "average"}),
    "picture, share and finish": (
        "image",
        {**PICTURE, "steps": 5, "balance": "share", "finish_network": "vgg19-lite", "finish_steps": 4},
    ),
    "sound, kernel": ("audio", {"network": "kernel", "steps": 12, "phase_iterations": 2}),
    "sound, sections": (
        "audio",
        {"network": "vgg19-lite", "section_s": 0.3, "steps": 6, "phase_iterations": 2},
    ),
    "sound, adam": ("audio", {**WIDE, "optimizer": "adam", "lr": 0.05, "init": "noise"}),
    "sound, waveform": ("audio", {**WIDE, "canvas": "waveform", "optimizer": "adam", "lr": 0.05}),
}
STEPS = 12

pytestmark = pytest.mark.usefixtures("workplace")


def job(folder: Path, kind: str, name: str, **options: Any) -> Job:
    medium, overrides = KINDS[kind]
    suffix = {"audio": ".wav", "image": ".png"}[medium]
    request = Request(medium, folder / f"c{suffix}", (folder / f"s{suffix}",), overrides=overrides, seed=3)
    run_dir = folder / name
    return Job(request, run_dir / f"result{suffix}", run_dir=run_dir, checkpoint_every=1, **options)


class Killed(BaseException):
    """Not caught by anything, like a kill, but that open files are closed."""


def killed_at(step: int) -> Callable[[Progress], None]:
    def look(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    return look


def kept_bytes(run_dir: Path) -> dict[str, bytes]:
    """What a run leaves, but for its clock, its checkpoint and its lock."""
    left = {str(p.relative_to(run_dir)): p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}
    for name in ("checkpoint.pt", ".lock", "run.json"):
        left.pop(name, None)
    records = [name for name in left if name.endswith(".json")]
    for name in records:
        values = {k: v for k, v in json.loads(left[name]).items() if k not in ("seconds", "output", "notes")}
        left[name] = json.dumps(values).encode()
    return left


@pytest.mark.parametrize("kind", KINDS)
@given(kills=st.lists(st.integers(1, STEPS), min_size=1, max_size=2))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_interrupted_run_ends_in_the_same_bytes(tmp_path: Path, kind: str, kills: list[int]) -> None:
    if not (tmp_path / "whole").exists():
        go(job(tmp_path, kind, "whole", save_every=4))
    shutil.rmtree(tmp_path / "cut", ignore_errors=True)
    given_job = job(tmp_path, kind, "cut", save_every=4)
    for step in sorted(kills):
        with pytest.raises(Killed):
            go(given_job, on_step=killed_at(step))
        given_job, notes = resumed_job(tmp_path / "cut")
        assert notes == ()
    result, _ = go(given_job)
    assert result.record["steps"] == STEPS
    assert kept_bytes(tmp_path / "cut") == kept_bytes(tmp_path / "whole")


def test_a_resumed_run_keeps_its_plan_where_less_memory_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the scales too that it had not come to."""
    go(job(tmp_path, "picture, adam", "whole"))
    with pytest.raises(Killed):
        go(job(tmp_path, "picture, adam", "cut"), on_step=killed_at(2))
    monkeypatch.setattr("specstyle.run.memory.TILES", (32, 16))
    monkeypatch.setattr("specstyle.run.memory.free_memory", lambda device, limit=None: 300_000)
    go(resumed_job(tmp_path / "cut")[0])
    assert kept_bytes(tmp_path / "cut") == kept_bytes(tmp_path / "whole")
    result, _ = go(job(tmp_path, "picture, adam", "short of memory"))
    assert result.record["tiles"][-1] is not None


@pytest.mark.parametrize("kind", ["picture, adam", "picture, lbfgs", "picture, sgd"])
def test_kill_9_at_random_moments(tmp_path: Path, kind: str) -> None:
    """A real process, killed again and again until one comes through."""
    long = {**KINDS[kind][1], "steps": 60}
    request = dataclasses.replace(job(tmp_path, kind, "x").request, overrides=long)
    go(dataclasses.replace(job(tmp_path, kind, "whole"), request=request))
    flags = [f"--{name.replace('_', '-')}={_flag(value)}" for name, value in long.items()]
    flags += ["--seed=3", "--checkpoint-every=1", "--run-dir", str(tmp_path / "cut")]
    python = [sys.executable, "-m", "specstyle", "image"]
    first = [*python, tmp_path / "c.png", tmp_path / "s.png", *flags, "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path), "CI": "1"}
    rng = random.Random(kind)
    kills = 0
    for attempt in range(8):
        command = first if attempt == 0 else [*python, "--resume", tmp_path / "cut", "--quiet"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        if attempt < 2:
            wait_for_progress(tmp_path / "cut", process)
            time.sleep(rng.uniform(0.0, 0.4))
            process.kill()
        _, said = process.communicate(timeout=120)
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said.decode()
    assert kills >= 1
    assert kept_bytes(tmp_path / "cut") == kept_bytes(tmp_path / "whole")


def _flag(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def wait_for_progress(run_dir: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has put a new checkpoint in place, or ended."""
    file = run_dir / "checkpoint.pt"
    before = file.stat().st_mtime_ns if file.exists() else 0
    for _ in range(6000):
        if process.poll() is not None or (file.exists() and file.stat().st_mtime_ns != before):
            return
        time.sleep(0.01)
    raise AssertionError("no checkpoint came")


def test_a_run_is_kept_whole(tmp_path: Path) -> None:
    result, written = go(job(tmp_path, "picture, adam", "run", save_every=6, plot=True))
    run_dir = tmp_path / "run"
    made = {str(p.relative_to(run_dir)) for p in run_dir.rglob("*") if p.is_file()}
    assert made == {
        ".lock",
        "metrics.jsonl",
        "recipe.toml",
        "result.figure.png",
        "result.png",
        "result.png.json",
        "run.json",
        "snapshots/sheet.png",
        "snapshots/step-00006.png",
        "snapshots/step-00012.png",
        "status.json",
    }
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert [row["scale"] for row in rows] == [1] * 6 + [2] * 6
    assert rows[0]["total"] == pytest.approx(result.record["losses"]["start"]["total"])
    assert run_dir / "metrics.jsonl" in written


def test_an_output_elsewhere_is_copied_into_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out v1.2 ü.png"
    go(dataclasses.replace(job(tmp_path, "picture, adam", "run"), output=out))
    assert (tmp_path / "run" / "result.png").read_bytes() == out.read_bytes()
    made = {p.name for p in (tmp_path / "run").iterdir()}
    assert "result.png.json" in made
    assert not [name for name in made if "2" in name]


def test_a_checkpoint_out_of_turn(tmp_path: Path) -> None:
    """Whoever wants to stop asks for one first, and loses no step."""
    seen: list[int] = []

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            raise StopRun
        seen.append(progress.step)

    def keep_now() -> bool:
        return seen[-1] == 4

    given = dataclasses.replace(job(tmp_path, "picture, adam", "a"), checkpoint_every=None)
    run_job(given, on_step=stop, on_note=ignore, on_stage=ignore, keep_now=keep_now)
    resumed: list[int] = []
    go(resumed_job(tmp_path / "a")[0], lambda progress: resumed.append(progress.step))
    assert resumed[0] == 5


def test_a_finished_run_says_so(tmp_path: Path) -> None:
    go(job(tmp_path, "sound, adam", "run"))
    with pytest.raises(RunFinishedError, match=r"the run is finished; its result is .*result\.wav"):
        resumed_job(tmp_path / "run")


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    go(job(tmp_path, "sound, adam", "whole"))
    with pytest.raises(Killed):
        go(job(tmp_path, "sound, adam", "run"), on_step=killed_at(1))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    go(resumed_job(tmp_path / "run")[0])
    assert kept_bytes(tmp_path / "run") == kept_bytes(tmp_path / "whole")


def left(tmp_path: Path, kind: str = "sound, adam") -> Path:
    with pytest.raises(Killed):
        go(job(tmp_path, kind, "run"), on_step=killed_at(5))
    return tmp_path / "run"


def test_a_run_of_which_an_input_changed_is_refused(tmp_path: Path) -> None:
    run_dir = left(tmp_path)
    shutil.copy(tmp_path / "c.wav", tmp_path / "s.wav")
    with pytest.raises(CheckpointError, match=r"s\.wav: has changed since the run began"):
        resumed_job(run_dir)
    (tmp_path / "s.wav").unlink()
    with pytest.raises(CheckpointError, match=r"s\.wav: the run needs this file, and it is gone"):
        resumed_job(run_dir)


def test_a_damaged_checkpoint_is_told_and_its_loss_starts_the_run_anew(tmp_path: Path) -> None:
    go(job(tmp_path, "sound, adam", "whole"))
    run_dir = left(tmp_path)
    (run_dir / "checkpoint.pt").write_bytes(b"nothing")
    again, _ = resumed_job(run_dir)
    with pytest.raises(CheckpointError, match="delete it, and --resume starts the run anew"):
        go(again)
    (run_dir / "checkpoint.pt").unlink()
    go(again)
    assert kept_bytes(run_dir) == kept_bytes(tmp_path / "whole")


def test_a_file_in_the_place_of_the_result_is_not_lost(tmp_path: Path) -> None:
    run_dir = left(tmp_path)
    (run_dir / "result.wav").write_bytes(b"somebody's")
    with pytest.raises(FileError, match="appeared since the run began; move it away, and --resume again"):
        go(resumed_job(run_dir)[0])
    assert (run_dir / "result.wav").read_bytes() == b"somebody's"


@pytest.mark.parametrize("own", [True, False])
def test_a_damaged_status_costs_nothing(own: bool, tmp_path: Path) -> None:
    """A stopped run's own result is gone on with, and somebody else's file in its place stays."""
    go(job(tmp_path, "sound, adam", "whole"))
    given_job = dataclasses.replace(job(tmp_path, "sound, adam", "cut"), output=tmp_path / "out.wav")

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise StopRun

    go(given_job, on_step=stop)
    (tmp_path / "cut/status.json").write_text("{")
    if own:
        go(resumed_job(tmp_path / "cut")[0])
        assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "whole/result.wav").read_bytes()
        return
    (tmp_path / "out.wav").write_bytes(b"somebody's")
    with pytest.raises(FileError, match="appeared since the run began; move it away, and --resume again"):
        go(resumed_job(tmp_path / "cut")[0])


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    run_dir = left(tmp_path)
    (run_dir / ".result.123.part.wav").write_bytes(b"half")
    go(resumed_job(run_dir)[0])
    assert not list(run_dir.rglob(".*part*"))


def test_a_line_that_was_cut_is_told_again(tmp_path: Path) -> None:
    run_dir = left(tmp_path)
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "sca')
    go(resumed_job(run_dir)[0])
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    def again(progress: Progress) -> None:
        with pytest.raises(CheckpointError, match="another process is running this"):
            go(resumed_job(tmp_path / "run")[0])
        raise StopRun

    go(job(tmp_path, "sound, adam", "run"), on_step=again)


def test_a_folder_that_keeps_a_run_is_not_begun_again(tmp_path: Path) -> None:
    run_dir = left(tmp_path)
    before = kept_bytes(run_dir)
    with pytest.raises(FileError, match="keeps a run already; --resume"):
        go(job(tmp_path, "sound, adam", "run"))
    assert kept_bytes(run_dir) == before


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "s.wav").write_bytes(b"no sound")
    with pytest.raises(FileError):
        go(job(tmp_path, "sound, adam", "run"))
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="keeps no run; --run-dir DIR makes a run"):
        resumed_job(tmp_path)


def test_another_version_is_told(tmp_path: Path) -> None:
    run_dir = left(tmp_path)
    values = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps({**values, "threads": 7}))
    assert resumed_job(run_dir)[1] == ("resume: threads 7 -> 1; the result may differ in the last digits",)
    (run_dir / "run.json").write_text(json.dumps({**values, "format": 9}))
    with pytest.raises(CheckpointError, match="run format 9"):
        resumed_job(run_dir)


def test_a_start_file_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named relative to where the run began."""
    monkeypatch.chdir(tmp_path)
    given_job = job(tmp_path, "sound, adam", "run")
    request = dataclasses.replace(given_job.request, overrides={**WIDE, "init": "s.wav"})
    with pytest.raises(Killed):
        go(dataclasses.replace(given_job, request=request), on_step=killed_at(5))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    go(resumed_job(tmp_path / "run")[0])
    assert (tmp_path / "run" / "result.wav").exists()


@pytest.mark.parametrize("medium", ["audio", "image"])
@pytest.mark.parametrize("name", [*RECIPES, "default"])
def test_a_settled_recipe_is_settled(medium: str, name: str) -> None:
    """What ``recipe.toml`` keeps comes out as it went in."""
    try:
        recipe, _ = settle_recipe(medium, name, weights=None, overrides={})
    except SpecstyleError:
        pytest.skip("not of this medium")
    assert settle_recipe(medium, recipe, weights=None, overrides={})[0] == recipe


def test_checkpoints_and_tensorboard_need_a_folder(tmp_path: Path) -> None:
    for options in ({"checkpoint_every": 3}, {"tensorboard": True}):
        bare = dataclasses.replace(
            job(tmp_path, "sound, adam", "run"), run_dir=None, output=tmp_path / "o.wav"
        )
        with pytest.raises(ValueError, match="need a run_dir"):
            go(dataclasses.replace(bare, **{"checkpoint_every": None, **options}))
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1, got 0"):
        go(dataclasses.replace(job(tmp_path, "sound, adam", "run"), checkpoint_every=0))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["picture, adam", "picture, lbfgs", "picture, sgd", "sound, kernel"])
def test_a_run_that_is_stopped_is_kept_first(tmp_path: Path, kind: str) -> None:
    """Also where a checkpoint is not due for long; going on then never falls behind the stop."""

    def stop(progress: Progress) -> None:
        if progress.step >= 5:
            raise StopRun

    go(job(tmp_path, kind, "whole"))
    given_job = dataclasses.replace(job(tmp_path, kind, "run"), checkpoint_every=None)
    result, _ = go(given_job, on_step=stop)
    assert result.record["stopped"]
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert list((tmp_path / "run").glob("result.[pw]*"))
    seen: list[int] = []
    go(resumed_job(tmp_path / "run")[0], on_step=lambda progress: seen.append(progress.step))
    assert seen[0] > 5
    assert kept_bytes(tmp_path / "run") == kept_bytes(tmp_path / "whole")


def test_files_are_called_the_same_after_going_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture keeps its settings inside, with names as they were typed where the run began."""
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    request = Request("image", Path("../c.png"), (Path("../s.png"),), overrides=KINDS["picture, adam"][1])

    def begin(name: str) -> Job:
        return Job(request, Path(name) / "result.png", run_dir=Path(name), checkpoint_every=1)

    go(begin("whole"))
    with pytest.raises(Killed):
        go(begin("cut"), on_step=killed_at(5))
    monkeypatch.chdir(tmp_path)
    go(resumed_job(Path("a/cut"))[0])
    whole, cut = tmp_path / "a" / "whole", tmp_path / "a" / "cut"
    assert (cut / "result.png").read_bytes() == (whole / "result.png").read_bytes()
    records = [json.loads((run / "result.png.json").read_text()) for run in (whole, cut)]
    assert records[1]["content"] == records[0]["content"] | {"path": "../c.png"}
    assert (records[0]["output"], records[1]["output"]) == ("whole/result.png", "cut/result.png")


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path) -> None:
    """Neither its files nor the folder are touched, also where the run could not begin anyway."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "recipe.toml").write_text("mine")
    (tmp_path / "s.wav").unlink()
    with pytest.raises(FileError, match="holds files already"):
        go(job(tmp_path, "sound, adam", "run"))
    assert [p.name for p in run_dir.iterdir()] == ["recipe.toml"]
    assert (run_dir / "recipe.toml").read_text() == "mine"
    (run_dir / "recipe.toml").unlink()
    with pytest.raises(FileError, match="does not exist"):
        go(job(tmp_path, "sound, adam", "run"))
    assert run_dir.is_dir()


def test_the_current_folder_is_no_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    given_job = dataclasses.replace(job(tmp_path, "sound, adam", "run"), run_dir=Path())
    with pytest.raises(FileError, match="a folder of its own"):
        go(given_job)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_folder_that_was_moved_goes_on(tmp_path: Path) -> None:
    go(job(tmp_path, "sound, adam", "whole"))
    left(tmp_path).rename(tmp_path / "moved")
    go(resumed_job(tmp_path / "moved")[0])
    assert kept_bytes(tmp_path / "moved") == kept_bytes(tmp_path / "whole")
    assert not (tmp_path / "run").exists()


def test_an_edited_recipe_is_refused(tmp_path: Path) -> None:
    run_dir = left(tmp_path)
    text = (run_dir / "recipe.toml").read_text()
    (run_dir / "recipe.toml").write_text(text.replace("steps = 12", "steps = 20"))
    with pytest.raises(CheckpointError, match=r"recipe\.toml: is not what the run began with"):
        resumed_job(run_dir)


def test_a_run_that_broke_off_is_finished_as_far_as_it_came(tmp_path: Path) -> None:
    made = job(tmp_path, "picture, sgd", "run", report=True, plot=True)
    wild = {**KINDS["picture, sgd"][1], "lr": 1e30, "clip": False, "keep": "last"}
    request = dataclasses.replace(made.request, overrides=wild)
    with pytest.raises(TransferError, match=r"NaN or infinite.*; it is in .*result\.png"):
        go(dataclasses.replace(made, request=request))
    run_dir = tmp_path / "run"
    assert json.loads((run_dir / "status.json").read_text()) == {"status": "stopped"}
    assert (run_dir / "result.report.html").exists()
    assert (run_dir / "result.figure.png").exists()
