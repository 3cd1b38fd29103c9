"""Ranges of sounds: which part of a content is stylized, and which part of a style counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from commands import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from specstyle import SpecstyleError, transfer_audio
from specstyle.errors import FileError
from specstyle.media import soundfiles
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Part, Sound

RATE = 8000
FAST: dict[str, Any] = {"network": "kernel", "steps": 2}


pytestmark = pytest.mark.usefixtures("one_thread")


def noise(seconds: float, seed: int = 0, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, round(seconds * RATE)))


def run(content: Any, style: Any, **options: Any) -> Any:
    return transfer_audio(content, style, **{"sample_rate": RATE, **FAST, **options})


@settings(max_examples=25, deadline=None)
@given(first=st.integers(0, 999), length=st.integers(1, 1000), block=st.integers(1, 1500))
def test_a_range_is_a_slice_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, first: int, length: int, block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "ramp.wav"
    samples = np.stack([np.arange(1000), -np.arange(1000)]) / 1024
    if not path.exists():
        soundfile.write(path, samples.T, 1000, subtype="FLOAT")
    part = Part(first / 1000, length / 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soundfiles, "_BLOCK", block)
        if first + length > 1000:
            with pytest.raises(FileError, match=r"ramp\.wav is 1 s long and has no range"):
                read_sound(path, part)
            return
        found = read_sound(path, part).samples
    np.testing.assert_array_equal(found, samples[:, first : first + length])
    np.testing.assert_array_equal(part.of(Sound(torch.from_numpy(samples), 1000)).samples, found)


def test_nothing_behind_a_range_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "long.flac", noise(4.0).T, RATE)
    monkeypatch.setattr(soundfiles, "_BLOCK", 1000)
    asked: list[int] = []
    original = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda self, frames, **more: asked.append(frames) or original(self, frames, **more),
    )
    assert read_sound(tmp_path / "long.flac", Part(0.5, 0.25)).samples.shape == (1, 2000)
    assert sum(asked) == 6000
    assert read_sound(tmp_path / "long.flac", Part(3.5)).samples.shape == (1, 4000)


def test_the_output_is_the_range_as_if_it_had_been_cut_before(tmp_path: Path) -> None:
    content, style = noise(1.0, 1, channels=2), noise(1.0, 2)
    soundfile.write(tmp_path / "c.wav", content.T, RATE, subtype="DOUBLE")
    soundfile.write(tmp_path / "s.wav", style.T, RATE, subtype="DOUBLE")
    cut = run(content[:, 2000:5000], style[:, 4000:7200])
    ranges = {
        "content_start_s": 0.25, "content_duration_s": 0.375,
        "style_start_s": [0.5], "style_duration_s": [0.4],
    }  # fmt: skip
    for sources in ((content, style), (tmp_path / "c.wav", tmp_path / "s.wav")):
        result = run(*sources, **ranges)
        assert torch.equal(result.output.samples, cut.output.samples)
        assert result.record["content"]["duration_s"] == 0.375
        assert result.record["styles"][0]["duration_s"] == 0.4


def test_a_preview_is_of_the_loudest_part() -> None:
    time = np.arange(4 * RATE) / RATE
    content = 0.2 * np.sin(2 * np.pi * 440 * time) * np.where((time > 2.1) & (time < 3.1), 1.0, 0.2)
    notes: list[str] = []
    result = transfer_audio(
        content, content[: RATE // 2], sample_rate=RATE, preview_s=1.0, strength=0.0, on_note=notes.append
    )
    assert result.output.samples.shape[1] == RATE
    assert "preview: 2.10 to 3.10 s of content" in notes
    assert result.output.samples.std() == pytest.approx(0.2 / 2**0.5, rel=0.05)
    whole = transfer_audio(content, content[: RATE // 2], sample_rate=RATE, preview_s=9.0, strength=0.0)
    assert whole.output.samples.shape[1] == 4 * RATE


def test_a_range_for_each_style_and_one_for_all() -> None:
    content, one, two = noise(0.5, 1), noise(1.0, 2), noise(1.0, 3)
    expected = run(content, [one[:, :4000], two[:, 2000:6000]]).output.samples
    found = run(content, [one, two], style_start_s=(0, 0.25), style_duration_s=(0.5,)).output.samples
    assert torch.equal(found, expected)
    with pytest.raises(ValueError, match="style_start_s has 3 values for 2 styles"):
        run(content, [one, two], style_start_s=(0, 0, 0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"content_start_s": 1.0}, r"content is 1 s long and has no range from 1 s on"),
        ({"content_start_s": 0.5, "content_duration_s": 0.6}, r"content .* no range from 0\.5 s to 1\.1 s"),
        ({"style_duration_s": (2.0,)}, r"style is 1 s long and has no range from 0 s to 2 s"),
        ({"content_duration_s": 0.001}, r"content .* one analysis window needs"),
        ({"content_start_s": -1.0}, "content_start_s must not be negative"),
        ({"content_duration_s": 0.0}, "content_duration_s must be above 0"),
        ({"style_start_s": (-1.0,)}, "style_start_s must be finite and not negative"),
        ({"style_duration_s": (0.0,)}, "style_duration_s must be finite and above 0"),
    ],
)
def test_ranges_that_are_not_there(options: dict[str, Any], said: str) -> None:
    with pytest.raises((SpecstyleError, ValueError), match=said):
        run(noise(1.0, 1), noise(1.0, 2), **options)


def test_command_line(workplace: Path, cli: Callable[..., Outcome]) -> None:
    argv = ("audio", "c.wav", "s.wav", "-o", "out.wav", "--steps", "2", "--quiet")
    ranges = ("--content-start", "0.2", "--content-duration", "0.3", "--style-start", "0.2")
    assert cli(*argv, *ranges).code == 0
    assert soundfile.info("out.wav").frames == 2400
    assert json.loads(Path("out.wav.json").read_text())["recipe"]["content_start_s"] == 0.2
    outcome = cli(*argv, "--force", "--content-start", "3")
    assert outcome.code == 1
    (said,) = outcome.lines
    assert re.match(
        r"specstyle: c\.wav is 0\.5\d* s long and has no range from 3 s on; choose a start and a duration",
        said,
    )
    assert soundfile.info("out.wav").frames == 2400
