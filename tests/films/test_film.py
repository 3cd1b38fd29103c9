"""Films: times, sync, what is copied, what is refused, and how they are gone on with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Outcome
from film_inputs import FLASH, FPS, RATE, av, click, packets, read, scene, write
from scipy.signal import correlate

import specstyle
from specstyle.errors import CheckpointError, FileError
from specstyle.films.pictures import AtOnce, Optimized
from specstyle.media.soundfiles import read_sound
from specstyle.onepass.stylefile import SHIPPED
from specstyle.run.api import transfer
from specstyle.run.request import Request

Cli = Callable[..., Outcome]

COUNT = 30


def lag(path: Path, other: Path) -> int:
    """Return by how many samples the first channel of one film's sound is behind another's."""
    one, two = (read_sound(p).samples[0].numpy() for p in (path, other))
    found = correlate(one, two, mode="full")
    return int(np.argmax(np.abs(found))) - (len(two) - 1)


@pytest.mark.parametrize(("name", "codec"), [("in.mp4", "aac"), ("in.mkv", "flac")])
def test_flash_and_click_stay_where_they_are(workplace: Path, cli: Cli, name: str, codec: str) -> None:
    film = write(Path(name), scene(COUNT), click(COUNT / FPS), codecs=("libx264", codec))
    out = Path(name).with_stem("out")
    styles = ("--picture", "starry-night", "--sound", "rain")
    outcome = cli("film", film, "-o", out, *styles, "--run-dir", "kept")
    assert outcome.code == 0, outcome.err
    pictures, times, known = read(out)
    assert times == read(film)[1]
    assert known["end"] == pytest.approx(COUNT / FPS, abs=1e-6)
    assert known["rate"] == FPS
    mean = np.mean(pictures, 0)
    assert int(np.argmax([np.abs(p - mean).mean() for p in pictures])) == FLASH
    sound = read_sound(out)
    assert sound.samples.shape == (2, round(COUNT / FPS * RATE))
    assert sound.sample_rate == RATE
    # A click of twelve samples that a codec has rounded: its peak is one of them.
    assert 0 <= int(sound.samples[0].abs().argmax()) - round(FLASH / FPS * RATE) <= 12
    assert lag(out, film) == 0
    if codec == "flac":  # of 24 bits
        np.testing.assert_allclose(sound.samples, read_sound(Path("kept/sound.wav")).samples, atol=2**-23)
    record = json.loads(Path(f"{out}.json").read_text())
    assert record["frames"] == COUNT
    assert 0 < record["flicker"]["content"] < record["flicker"]["output"] < 0.2


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_late_sound_stays_late(workplace: Path, name: str) -> None:
    codecs = ("libx264", "flac")
    film = write(Path("in.mkv"), scene(COUNT), click(0.7, 0.1), codecs=codecs, late=RATE // 2)
    specstyle.film(film, name, sound="rain")
    place = int(read_sound(Path(name)).samples[0].abs().argmax())
    assert 0 <= place - (RATE // 2 + round(0.1 * RATE)) <= 12
    with av.open(name) as made:
        assert next(made.decode(audio=0)).pts == 0


@pytest.mark.parametrize(
    ("times", "time_base"),
    [
        ([1001 * k for k in range(COUNT)], Fraction(1, 30000)),
        ([40 * k + 7 * (k % 3) for k in range(COUNT)], Fraction(1, 1000)),
        ([500 + k * k for k in range(COUNT)], Fraction(1, 90000)),
    ],
)
def test_each_picture_keeps_its_time(workplace: Path, times: list[int], time_base: Fraction) -> None:
    film = write(Path("in.mp4"), scene(COUNT), times=times, time_base=time_base)
    specstyle.film(film, "out.mp4", picture="engraving")
    (_, before, known), (_, after, made) = read(film), read(Path("out.mp4"))
    assert after == before
    assert made["end"] == known["end"]


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_turned_film_comes_out_upright(workplace: Path, turn: int) -> None:
    film = write(Path("in.mp4"), scene(4), turn=turn, sample_aspect_ratio=Fraction(4, 3))
    specstyle.film(film, "out.mp4", picture="engraving", strength=0.0)
    (before, _, known), (after, _, made) = read(film), read(Path("out.mp4"))
    assert (abs(known["turn"]), made["turn"]) == (abs(turn), 0)
    expected = np.rot90(before[0], turn // 90).astype(float)
    assert np.abs(after[0] - expected).mean() < 3  # a second encoding
    assert made["aspect"] == (Fraction(4, 3) if turn == 180 else Fraction(3, 4))


@pytest.mark.parametrize("matrix", [1, 5])
def test_colors_stay(workplace: Path, matrix: int) -> None:
    colors = np.zeros((48, 64, 3), np.uint8)
    colors[:24, :32], colors[24:, :32], colors[:, 32:] = (200, 40, 60), (20, 60, 220), (40, 180, 90)
    film = write(Path("in.mp4"), [colors] * 3, colorspace=matrix)
    specstyle.film(film, "out.mp4", picture="engraving", strength=0.0)
    pictures, _, known = read(Path("out.mp4"))
    assert known["matrix"] == matrix
    for row, column in ((12, 16), (36, 16), (24, 48)):  # 8 bits there and back, twice
        assert np.abs(pictures[0][row, column].astype(int) - colors[row, column]).max() <= 6


def test_sides_may_be_odd(workplace: Path) -> None:
    film = write(Path("in.mp4"), scene(3, 45, 63))
    specstyle.film(film, "out.mp4", picture="engraving")
    assert read(Path("out.mp4"))[0][0].shape == (45, 63, 3)


def test_what_is_not_named_is_copied_to_the_byte(workplace: Path) -> None:
    film = write(Path("in.mp4"), scene(COUNT), click(COUNT / FPS), tracks=2)
    record = specstyle.film(film, "picture.mp4", picture="engraving")
    assert packets(Path("picture.mp4"), "audio") == packets(film, "audio")
    assert packets(Path("picture.mp4"), "video") != packets(film, "video")
    assert lag(Path("picture.mp4"), film) == 0
    assert record["notes"] == ["in.mp4 has 1 further sound track; the result has not"]
    for name in ("sound.mp4", "sound.mkv"):
        specstyle.film(film, name, sound="rain")
        assert packets(Path(name), "video") == packets(film, "video")
    assert read(Path("sound.mp4"))[1] == read(film)[1]


def test_webm_in_and_out(workplace: Path) -> None:
    codecs = ("libvpx-vp9", "libopus")
    film = write(Path("in.webm"), scene(6), click(6 / FPS, 0.1, rate=48000), codecs=codecs, rate=48000)
    specstyle.film(film, "out.webm", picture="engraving", sound="rain", strength=0.3)
    assert read(Path("out.webm"))[1] == read(film)[1]
    assert lag(Path("out.webm"), film) == 0


def test_the_first_picture_is_that_of_apply() -> None:
    still, style = scene(1)[0], specstyle.load_style("swirls")
    made = AtOnce(style, Request("image", None, ()))(still, None, {})
    expected = specstyle.apply(style, still).output.pixels.movedim(0, 2).numpy() * 255
    np.testing.assert_array_equal(made, expected.round())


def test_a_stopped_film_goes_on_to_the_same_bytes(workplace: Path) -> None:
    film = write(Path("in.mp4"), scene(60), click(60 / FPS))
    given: dict[str, Any] = {"picture": "starry-night", "sound": "rain"}
    specstyle.film(film, "whole.mp4", **given)

    def stop(progress: Any) -> None:
        if progress.step == 33:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        specstyle.film(film, "out.mp4", run_dir="kept", on_step=stop, **given)
    assert not Path("out.mp4").exists()
    steps: list[int] = []
    specstyle.film(film, "out.mp4", run_dir="kept", on_step=lambda p: steps.append(p.step), **given)
    assert steps == list(range(26, 61))
    assert Path("out.mp4").read_bytes() == Path("whole.mp4").read_bytes()
    whole, out = (json.loads(Path(f"{name}.mp4.json").read_text()) for name in ("whole", "out"))
    assert out["flicker"] == whole["flicker"]
    with pytest.raises(CheckpointError, match="another film's run"):
        specstyle.film(film, "out.mp4", run_dir="kept", force=True, **{**given, "strength": 0.1})


def test_by_the_optimizer_five_pictures_are_lost_at_most(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may take half a minute."""
    monkeypatch.setattr(Optimized, "__call__", lambda _, still, movement, kept: still)
    film, steps = write(Path("in.mp4"), scene(9)), []

    def stop(progress: Any) -> None:
        steps.append(progress.step)
        if steps == [1, 2, 3, 4, 5, 6, 7]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        specstyle.film(film, "out.mp4", picture="s.png", run_dir="kept", on_step=stop)
    specstyle.film(film, "out.mp4", picture="s.png", run_dir="kept", on_step=stop)
    assert steps == [1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9]


def test_an_optimizer_goes_on_from_the_picture_before(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spied(request: Request, **given: Any) -> Any:
        asked.append(request.overrides)
        return transfer(request, **given)

    monkeypatch.setattr("specstyle.films.pictures.transfer", spied)
    film = write(Path("in.mp4"), [*scene(3, 64, 64), np.zeros((64, 64, 3), np.uint8)])
    record = specstyle.film(film, "out.mp4", picture="s.png", strength=0.8)
    pictures, _, _ = read(Path("out.mp4"))
    assert len(pictures) == 4
    assert ["init" in overrides for overrides in asked] == [False, True, True]
    assert all(overrides["strength"] == 0.8 for overrides in asked)
    assert np.abs(pictures[0] - scene(1, 64, 64)[0].astype(float)).mean() > 5
    assert pictures[3].max() < 8  # there is nothing in it to stylize
    assert record["styles"]["video"]["path"] == "s.png"


def test_a_film_that_is_cut_off_gives_what_is_there(workplace: Path) -> None:
    write(Path("whole.mkv"), scene(100), click(4.0), codecs=("libx264", "flac"))
    data = Path("whole.mkv").read_bytes()
    Path("in.mkv").write_bytes(data[: len(data) // 2])
    record = specstyle.film("in.mkv", "out.mkv", picture="engraving", sound="rain")
    assert any("is cut off" in note for note in record["notes"])
    assert 20 < record["frames"] < 80
    assert len(read(Path("out.mkv"))[0]) == record["frames"]


@pytest.fixture
def films(workplace: Path) -> Path:
    write(Path("in.mp4"), scene(6), click(6 / FPS, 0.1))
    write(Path("silent.mp4"), scene(6))
    write(Path("blind.mp4"), (), click(0.5, 0.1))
    write(Path("odd.mkv"), (), click(0.5, 0.1, rate=10000), codecs=("libx264", "flac"), rate=10000)
    write(Path("tiny.mp4"), scene(3, 12, 40))
    os.link("in.mp4", "twin.mp4")
    Path("text.mp4").write_text("no film at all")
    Path("cut.mp4").write_bytes(Path("in.mp4").read_bytes()[:2000])
    return workplace


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["in.mp4", "-o", "o.mp4"], 2, "give a style"),
        (["in.mp4", "-o", "o.mp4", "--picture", "rain"], 2, "rain is a style for sounds"),
        (["in.mp4", "-o", "o.mp4", "--sound", "engraving"], 2, "engraving is a style for pictures"),
        (["in.mp4", "-o", "o.mp4", "--picture", str(SHIPPED["image"])], 2, "takes one style"),
        (["in.mp4", "-o", "o.mp4", "--sound", "nowhere.wav"], 1, "no such file"),
        (["in.mp4", "-o", "o.gif", "--sound", "rain"], 1, "films are written as .mp4"),
        (["silent.mp4", "-o", "o.mp4", "--sound", "rain"], 1, "has no sound; leave --sound out"),
        (["blind.mp4", "-o", "o.mp4", "--picture", "engraving"], 1, "has no picture; leave --picture out"),
        (["tiny.mp4", "-o", "o.mp4", "--picture", "engraving"], 1, "less than 16 pixels a side"),
        (["odd.mkv", "-o", "o.mp4", "--sound", "rain"], 1, "takes no sound of 10000 Hz"),
        (["in.mp4", "-o", "in.mp4", "--sound", "rain", "--force"], 1, "would replace in.mp4"),
        (["in.mp4", "-o", "twin.mp4", "--sound", "rain", "--force"], 1, "would replace in.mp4"),
        (["in.mp4", "-o", "silent.mp4", "--sound", "rain"], 1, "exists already"),
        (["in.mp4", "-o", "o.webm", "--sound", "rain"], 1, "takes no h264"),
        (["text.mp4", "-o", "o.mp4", "--sound", "rain"], 1, "is text"),
        (["c.wav", "-o", "o.mp4", "--sound", "rain"], 1, "is a sound (WAV); give a film"),
        (["cut.mp4", "-o", "o.mp4", "--sound", "rain"], 1, "cannot be read as a film"),
        (["c.png", "-o", "o.mp4", "--picture", "engraving"], 1, "is a PNG picture; give a film"),
        (["nowhere.mp4", "-o", "o.mp4", "--picture", "engraving"], 1, "no such file"),
    ],
)
def test_what_cannot_be_done_gets_one_line(
    films: Path, cli: Cli, arguments: list[str], code: int, told: str
) -> None:
    before = {path.name: path.read_bytes() for path in films.iterdir()}
    outcome = cli("film", *arguments)
    assert outcome.code == code, outcome.err
    assert told in outcome.lines[-1]
    assert len(outcome.lines) == 1
    assert {path.name: path.read_bytes() for path in films.iterdir()} == before


def test_a_sound_alone_is_stylized(films: Path) -> None:
    record = specstyle.film("blind.mp4", "o.m4v", sound="rain")
    assert "frames" not in record
    assert read_sound(Path("o.m4v")).samples.shape == read_sound(Path("blind.mp4")).samples.shape


def test_a_disk_that_is_too_small_is_told_before(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr("specstyle.films.film.shutil.disk_usage", lambda _: usage)
    with pytest.raises(FileError, match="needs about"):
        specstyle.film("in.mp4", "o.mp4", picture="engraving")
    assert not Path("o.mp4").exists()


def test_what_another_run_wrote_meanwhile_stays(films: Path) -> None:
    def other(progress: Any) -> None:
        Path("o.mp4").write_text("another's")

    record = specstyle.film("in.mp4", "o.mp4", picture="engraving", on_step=other)
    assert Path("o.mp4").read_text() == "another's"
    assert record["output"] == "o-2.mp4"
    assert len(read(Path("o-2.mp4"))[0]) == 6
    assert Path("o-2.mp4.json").exists()
