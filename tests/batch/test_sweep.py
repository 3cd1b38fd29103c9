"""``specstyle sweep``, from the command line to its sheet."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from commands import Outcome
from PIL import Image

from specstyle.batch.sweep import figure_sweep
from specstyle.errors import ListError
from specstyle.evaluate import evaluate
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Part

FAST = {
    "audio": ["--network", "wide-random", "--n-filters", "32", "--steps", "2", "--phase-iterations", "2"],
    "image": ["--network", "vgg19-random", "--style-layers", "relu1_1", "--content-layers", "relu1_1",
              "--steps", "2", "--smallest-scale", "none"],
}  # fmt: skip
SUFFIX = {"audio": ".wav", "image": ".png"}


@pytest.fixture
def sweep(workplace: Path, cli: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Sweep the inputs of a medium into ``out``."""

    def run(medium: str, *more: str | Path) -> Outcome:
        inputs = [f"{name}{SUFFIX[medium]}" for name in ("c", "s")]
        return cli("sweep", medium, *inputs, "-o", "out", *FAST[medium], *more)

    return run


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_sounds_are_swept_measured_and_shown(tmp_path: Path, sweep: Callable[..., Outcome]) -> None:
    assert sweep("audio", "--grid", "strength=0.2,0.8", "--grid", "seed=1,2").code == 0
    found = rows(tmp_path)
    assert [(row["strength"], row["seed"]) for row in found] == [
        ("0.2", "1"), ("0.2", "2"), ("0.8", "1"), ("0.8", "2")
    ]  # fmt: skip
    assert {row["status"] for row in found} == {"done"}
    for row in found:
        output = tmp_path / "out" / row["output"]
        record = json.loads(output.with_name(output.name + ".json").read_text())
        assert (record["recipe"]["strength"], record["seed"]) == (float(row["strength"]), int(row["seed"]))
        sounds = [read_sound(path) for path in (output, tmp_path / "c.wav", tmp_path / "s.wav")]
        scores = evaluate(*sounds).output
        assert float(row["snr_mean"]) == pytest.approx(scores.snr_mean, rel=1e-4)
        assert float(row["onset"]) == pytest.approx(scores.onset, rel=1e-4)
    page = (tmp_path / "out" / "sheet.html").read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', page)
    panels = json.loads(data)["panels"]
    titles = ["content", "style", *(f"strength {s}, seed {n}" for s in ("0.2", "0.8") for n in (1, 2))]
    assert [panel["title"] for panel in panels] == titles
    assert all(panel["audio"].startswith("data:audio/flac;base64,") for panel in panels)
    assert not re.findall(r'(?:src|href)="(?:http|file)', page)  # one file, but for the links to the results
    links = re.findall(r'<a href="([^"]+)"', page)
    assert len(links) == 8
    for link in links:
        assert (tmp_path / "out" / unquote(link)).is_file(), link
    with Image.open(tmp_path / "out" / "sheet.png") as shown:
        assert shown.width > 300


def test_a_second_call_does_what_is_missing(tmp_path: Path, sweep: Callable[..., Outcome]) -> None:
    assert sweep("image", "--grid", "strength=0.2,0.8").code == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.png") if p.name != "sheet.png"}
    code, out, _ = sweep("image", "--grid", "strength=0.2,0.5,0.8")
    assert (code, "1 done, 2 skipped" in out) == (0, True)
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    assert [row["status"] for row in rows(tmp_path)] == ["skipped", "done", "skipped"]


def test_a_range_is_scored_against_what_it_is_of(tmp_path: Path, sweep: Callable[..., Outcome]) -> None:
    assert sweep("audio", "--grid", "content_start_s=0,0.25", "--content-duration", "0.2").code == 0
    for row, start in zip(rows(tmp_path), (0.0, 0.25), strict=True):
        result = read_sound(tmp_path / "out" / row["output"])
        content = read_sound(tmp_path / "c.wav", Part(start, 0.2))
        scores = evaluate(result, content, read_sound(tmp_path / "s.wav")).output
        assert float(row["onset"]) == pytest.approx(scores.onset, rel=1e-4, abs=1e-6)


def test_a_point_that_fails_stands_in_the_sheet(tmp_path: Path, sweep: Callable[..., Outcome]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "strength=0.8.png.json").mkdir()  # its record cannot be written
    assert sweep("image", "--grid", "strength=0.2,0.8").code == 1
    assert [row["status"] for row in rows(tmp_path)] == ["done", "failed"]
    page = (tmp_path / "out" / "sheet.html").read_text()
    assert "<tr class=missing>" in page
    assert "is a directory" in page


@pytest.mark.parametrize("name", ["{{results}}{{columns}}", "<b>{{ 7*7 }}{% include 'sheet.html' %}"])
def test_names_cannot_break_the_sheet(name: str, workplace: Path, cli: Callable[..., Outcome]) -> None:
    (workplace / "c.png").rename(workplace / f"{name}.png".replace("/", "_"))
    inputs = [f"{name}.png", "s.png", "-o", "out"]
    assert cli("sweep", "image", *inputs, *FAST["image"], "--grid", "seed=1").code == 0
    page = (workplace / "out" / "sheet.html").read_text()
    escaped = html.escape(f"{name}.png").replace("&#x27;", "&#39;")
    assert f"<h1>Sweep of {escaped}</h1>" in page
    assert page.count("<tr") == 2


def test_masks_hold_at_every_point(tmp_path: Path, sweep: Callable[..., Outcome]) -> None:
    mask = np.zeros((32, 40), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    given = ("--content-mask", str(tmp_path / "m.png"))
    assert sweep("image", "--grid", "strength=0.5,0.9", *given).code == 0
    for row in rows(tmp_path):
        record = json.loads((tmp_path / "out" / f"{row['output']}.json").read_text())
        assert [Path(m["path"]).name for m in record["content_masks"]] == ["m.png"]
    assert sweep("image", "--grid", "strength=0.5,0.9", *given).code == 0
    assert {row["status"] for row in rows(tmp_path)} == {"skipped"}
    assert sweep("image", "--grid", "strength=0.5,0.9").code == 1  # made with a mask: another job


def test_random_points(tmp_path: Path, sweep: Callable[..., Outcome]) -> None:
    assert sweep("image", "--grid", "strength=lin:0..1", "--random", "3", "--seed", "4").code == 0
    values = [float(row["strength"]) for row in rows(tmp_path)]
    assert len(set(values)) == 3


def test_the_figure_of_the_trade_off_is_that_of_the_paper(tmp_path: Path) -> None:
    paths = tmp_path / "c.png", [tmp_path / "s.png"]
    common = {"recipe": "gatys2016", "overrides": {"network": "vgg19-random"}}
    figure = figure_sweep("tradeoff", "image", *paths, common)
    ratios = [float(title.split("= ")[1]) for title in figure.titles]
    assert ratios == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1], rel=1e-3)
    assert figure.columns == 2


def test_the_figure_of_layers(tmp_path: Path) -> None:
    paths = tmp_path / "c.png", [tmp_path / "s.png"]
    for network in ("vgg19-random", "vgg19-lite"):
        figure = figure_sweep("layers", "image", *paths, {"overrides": {"network": network}})
        assert [dict(point)["content_layers"] for point in figure.points] == ["conv2_2", "conv4_2"]
    with pytest.raises(ListError, match="compares layers, and kernel has one"):
        figure_sweep("layers", "audio", tmp_path / "c.wav", [tmp_path / "s.wav"], {"recipe": "kernel"})


def test_the_figure_of_starts(tmp_path: Path, sweep: Callable[..., Outcome]) -> None:
    assert sweep("image", "--figure", "init").code == 0
    found = rows(tmp_path)
    assert [row["init"] for row in found] == ["content", "style", *["noise"] * 4]
    assert [row["seed"] for row in found[2:]] == ["0", "1", "2", "3"]
    images = [np.asarray(Image.open(tmp_path / "out" / row["output"])) for row in found]
    assert all((images[0] != other).any() for other in images[1:])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "give either --grid FIELD=A,B,... (several make a grid) or --figure NAME"),
        (("--grid", "strength=1", "--figure", "init"), "give either --grid"),
        (("--figure", "init", "--random", "3"), "--random draws from --grid"),
        (("--grid", "style_layers=relu9_9"), "style_layers=relu9_9.png: "),
        (("--grid", "strength=7"), "strength=7.png: "),
        (("--grid", "strength=0.5", "--workers", "0"), "--workers must be at least 1, got 0"),
    ],
)
def test_what_is_no_sweep_is_told_in_one_line(
    tmp_path: Path, more: tuple[str, ...], said: str, sweep: Callable[..., Outcome]
) -> None:
    outcome = sweep("image", *more)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert said in outcome.err
    assert not (tmp_path / "out").exists()
