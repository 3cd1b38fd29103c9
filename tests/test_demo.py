"""`specstyle demo`, made small."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from commands import Outcome, interrupt_at
from PIL import Image

from specstyle.cli import demo as demo_module

SOUNDS = {"plucked_melody.wav", "rain.wav", "trumpet.ogg", "rainfall.ogg"}
PICTURES = {"drawn_scene.png", "brush_texture.png", "cat.jpg", "starry-night.jpg"}
RESULTS = {"melody-played-by-rain", "scene-painted-with-brush"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_thread: None) -> None:
    """Half a second, 48 pixels, two steps, one thread."""
    monkeypatch.setattr(demo_module, "DURATION_S", 0.5)
    monkeypatch.setattr(demo_module, "SAMPLE_RATE", 8000)
    monkeypatch.setattr(demo_module, "SIZE", 48)
    true = demo_module.run_job

    def quick(job: Any, **options: Any) -> Any:
        if job.request.styles:  # not at once
            request = dataclasses.replace(job.request, overrides={**job.request.overrides, "steps": 2})
            job = dataclasses.replace(job, request=request)
        return true(job, **options)

    monkeypatch.setattr(demo_module, "run_job", quick)
    monkeypatch.chdir(tmp_path)


def test_demo(cli: Callable[..., Outcome]) -> None:
    code, out, _ = cli("demo")
    assert code == 0
    made = {p.name for p in Path("demo").iterdir()}
    assert made >= SOUNDS | PICTURES
    assert len([n for n in made if n.endswith(".wav")]) >= 6  # four examples and two results
    for result in RESULTS:
        assert f"{result}.figure.png" in made
        assert any(name.startswith(result) and name.endswith(".json") for name in made)
    for name in made:
        path = Path("demo") / name
        assert name in out
        if name.endswith(".wav"):
            samples, rate = soundfile.read(path)
            assert (rate, len(samples)) == (8000, 4000)
            assert 0.01 < np.abs(samples).max() <= 1
        elif name.endswith(".png"):
            with Image.open(path) as picture:
                picture.load()
                assert picture.format == "PNG"
                assert ("figure" in name) or picture.size == (48, 48)
        elif name.endswith(".json"):
            record = json.loads(path.read_text(encoding="utf-8"))
            assert record["steps"] >= 2 if record["styles"] else "at-once" in name


def test_it_takes_the_networks_of_a_cpu(cli: Callable[..., Outcome]) -> None:
    code, _, _ = cli("demo", "here", "--quiet")
    assert code == 0
    used = {json.loads(p.read_text(encoding="utf-8"))["network"]["name"] for p in Path("here").glob("*.json")}
    assert used == {"vgg19-lite", "onepass"}


def test_the_same_twice_and_in_silence(cli: Callable[..., Outcome]) -> None:
    for folder in ("a", "b"):
        assert cli("demo", folder, "--quiet") == (0, "", "")
    for path in sorted(Path("a").iterdir()):
        if path.suffix != ".json":
            assert path.read_bytes() == (Path("b") / path.name).read_bytes(), path.name


def test_existing_results_are_refused(cli: Callable[..., Outcome]) -> None:
    assert cli("demo")[0] == 0
    before = {p: p.read_bytes() for p in Path("demo").iterdir()}
    code, out, err = cli("demo")
    assert (code, out) == (1, "")
    assert err.startswith("specstyle: ")
    assert "--force" in err
    assert len(err.splitlines()) == 1
    assert {p: p.read_bytes() for p in Path("demo").iterdir()} == before
    assert cli("demo", "--force")[0] == 0


@pytest.mark.parametrize("name", ["rain.wav", "drawn_scene.png"])
def test_existing_inputs_are_refused_too(name: str, cli: Callable[..., Outcome]) -> None:
    """Someone's own rain.wav in the folder must not be replaced without --force."""
    Path("mine").mkdir()
    (Path("mine") / name).write_bytes(b"precious")
    outcome = cli("demo", "mine")
    assert (Path("mine") / name).read_bytes() == b"precious"
    assert (outcome.code, "--force" in outcome.err) == (1, True)
    for folder in (f"mine/{name}", f"mine/{name}/deeper"):
        outcome = cli("demo", folder)
        assert (outcome.code, len(outcome.lines), folder in outcome.err) == (1, 1, True)


def test_ctrl_c_ends_the_demo(cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first transfer: the second is not begun, the exit code is 130, and a line says so."""
    interrupt_at(1, monkeypatch)
    code, _, err = cli("demo")
    assert code == 130
    assert "stopped by Ctrl-C" in err.splitlines()[-1]
    assert not list(Path("demo").glob("scene-painted-with-brush*"))
