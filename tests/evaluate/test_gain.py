"""Whether a transfer did more than an equalizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from specstyle import Request, transfer, transfer_audio
from specstyle.evaluate import equalize
from specstyle.evaluate.texture import gain_over_equalizer_db
from specstyle.media.sounds import Sound
from specstyle.synthesis.sounds import plucked_melody, rain

RATE = 8000
MUSIC = Path(__file__).parents[2].parent / "shared" / "data" / "music"


def sound(samples: np.ndarray) -> Sound:
    return Sound(torch.from_numpy(np.asarray(samples, np.float64))[None], RATE)


def test_the_equalized_content_gains_nothing_and_the_style_much() -> None:
    content, style = sound(plucked_melody(3.0, RATE)), sound(rain(3.0, RATE))
    assert gain_over_equalizer_db(equalize(content, style), content, style) == pytest.approx(0.0, abs=1e-9)
    assert gain_over_equalizer_db(sound(rain(3.0, RATE, seed=1)), content, style) > 10


def test_what_is_short_or_silent_is_not_measured() -> None:
    content, style = sound(plucked_melody(3.0, RATE)), sound(rain(3.0, RATE))
    assert gain_over_equalizer_db(content, content, sound(rain(0.5, RATE))) is None
    assert gain_over_equalizer_db(sound(np.zeros(3 * RATE)), content, style) is None


@pytest.mark.usefixtures("one_thread")
def test_a_style_that_is_no_texture_is_told() -> None:
    """Of two melodies, one cannot be played by the other."""
    melody, drops = plucked_melody(2.0, RATE), rain(2.0, RATE)
    told = [
        any("hardly nearer" in note for note in transfer_audio(melody, style, sample_rate=RATE).notes)
        for style in (plucked_melody(2.0, RATE, seed=3), drops)
    ]
    assert told == [True, False]


@pytest.mark.skipif(not MUSIC.is_dir(), reason="needs the project's shared recordings")
@pytest.mark.usefixtures("one_thread")
def test_speech_as_a_style_is_told() -> None:
    """Of a band it makes not much that an equalizer does not: seen 3.9 to 4.1 dB, by fire 6 to 8."""
    ranges = {"content_start_s": 5.0, "style_start_s": (6.0,)}
    lengths = {"content_duration_s": 5.0, "style_duration_s": (5.0,)}
    styles = (MUSIC / "speech.ogg",)
    request = Request("audio", MUSIC / "vibe_ace.ogg", styles, overrides={**ranges, **lengths})
    assert any("hardly nearer" in note for note in transfer(request).notes)
