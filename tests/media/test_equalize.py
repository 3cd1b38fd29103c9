"""Distributions of band levels, against ones known beforehand and measured by another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from specstyle.media.bands import between_bands, mel_weights
from specstyle.media.equalize import match_dynamics
from specstyle.media.sounds import Sound
from specstyle.media.stft import auto_stft

RATE = 8000


def _noise(seconds: float, seed: int, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, round(seconds * RATE), generator=generator, dtype=torch.float64)


def _sound(samples: torch.Tensor) -> Sound:
    return Sound(samples, RATE)


def _strokes(seconds: float, depth_db: float) -> torch.Tensor:
    """Return noise that is loud for a tenth of every half second, and else quieter."""
    samples = _noise(seconds, 2)
    time = torch.arange(samples.shape[1]) / RATE
    return samples * torch.where(time % 0.5 < 0.1, 1.0, 10 ** (-depth_db / 20))


def _swelling(seconds: float, depth_db: float, seed: int) -> torch.Tensor:
    """Return noise whose level goes up and down by so much, in dB, twice in three seconds."""
    samples = _noise(seconds, seed)
    time = torch.arange(samples.shape[1]) / RATE
    return samples * 10 ** (depth_db / 2 * torch.sin(2 * torch.pi * 0.67 * time) / 20)


def _level_range_db(samples: torch.Tensor) -> float:
    """Return how far the 90th and the 10th percentile of the level around 1 kHz are apart, by SciPy."""
    frequencies, _, power = signal.spectrogram(samples[0].numpy(), RATE, "hann", 256, 192)
    band = power[(frequencies > 900) & (frequencies < 1100)].sum(0)
    low, high = np.percentile(10 * np.log10(band), (10, 90))
    return float(high - low)


def test_a_quietly_swelling_noise_swells_as_far_as_its_style() -> None:
    sound, style = _swelling(8, 6.0, 1), _swelling(6, 18.0, 2)
    made = match_dynamics(_sound(sound), [_sound(style)]).samples
    half = match_dynamics(_sound(sound), [_sound(style)], amount=0.5).samples
    before, wanted = _level_range_db(sound), _level_range_db(style)
    assert wanted - before > 5  # there is something to do
    # A frame's gain comes from bands a little wider than what is measured here, and frames overlap.
    assert abs(_level_range_db(made) - wanted) < 0.4 * (wanted - before)
    assert before < _level_range_db(half) < _level_range_db(made)


def test_what_has_the_distribution_is_left_as_it_is() -> None:
    sound = _noise(10, 3)
    made = match_dynamics(_sound(sound), [_sound(_noise(10, 4))]).samples
    # Of 1,250 frames the extremes differ from draw to draw, the quantiles in between by a fraction of a dB.
    error = (made - sound).square().sum() / sound.square().sum()
    assert error < 0.01


def test_amount_zero_changes_nothing() -> None:
    sound = _noise(1, 5, channels=2)
    made = match_dynamics(_sound(sound), [_sound(_strokes(1, 30.0))], amount=0.0).samples
    torch.testing.assert_close(made, sound, rtol=0, atol=1e-12)


def test_channels_get_the_same_gains() -> None:
    left, right = _noise(2, 6), _noise(2, 7)
    sound = torch.cat([left, 0.3 * left + right, -left])
    made = match_dynamics(_sound(sound), [_sound(_strokes(3, 20.0))]).samples
    torch.testing.assert_close(made[2], -made[0], rtol=0, atol=1e-12)
    by_itself = match_dynamics(_sound(sound), [_sound(_strokes(3, 20.0))]).samples
    assert torch.equal(made, by_itself)


def test_a_steady_tone_is_not_torn_apart() -> None:
    time = torch.arange(4 * RATE, dtype=torch.float64) / RATE
    tone = torch.sin(2 * torch.pi * 1000 * time)[None]
    made = match_dynamics(_sound(tone), [_sound(_strokes(4, 40.0))]).samples[0, RATE:-RATE]
    level = made.unfold(0, 400, 200).square().mean(1)
    assert 10 * (level.max() / level.min()).log10() < 1.0


def test_several_styles_are_averaged() -> None:
    sound, steady, strokes = (_sound(x) for x in (_noise(4, 8), _noise(4, 9), _strokes(4, 20.0)))
    alone = match_dynamics(sound, [strokes]).samples
    first = match_dynamics(sound, [steady, strokes], blend=(0.0, 1.0)).samples
    torch.testing.assert_close(first, alone, rtol=0, atol=1e-9)
    both = _level_range_db(match_dynamics(sound, [steady, strokes]).samples)
    assert _level_range_db(sound.samples) < both < _level_range_db(alone)


@given(
    length=st.integers(1, 3000),
    channels=st.integers(1, 3),
    seed=st.integers(0, 99),
    silent=st.floats(0, 1),
    style_silent=st.floats(0, 1),
)
def test_any_sound(length: int, channels: int, seed: int, silent: float, style_silent: float) -> None:
    sound, style = _noise(length / RATE, seed, channels), _noise(0.3, seed + 100)
    sound[:, : round(silent * length)] = 0.0
    style[:, : round(style_silent * style.shape[1])] = 0.0
    made = match_dynamics(_sound(sound), [_sound(style)]).samples
    assert made.shape == sound.shape
    assert torch.isfinite(made).all()
    # No gain is beyond 15 dB, and each band's is between those of its frames.
    assert made.square().sum() <= 10**1.5 * sound.square().sum() * 1.01 + 1e-20


@pytest.mark.parametrize("bands", [1, 2, 24])
def test_values_between_bands(bands: int) -> None:
    settings = auto_stft(RATE)
    spread = between_bands(settings, RATE, bands)
    assert torch.allclose(spread.sum(1), torch.ones(settings.n_bins, dtype=torch.float64))
    # The bin nearest to where a triangle of the mel scale has its peak belongs to that band.
    peaks = mel_weights(settings, RATE, bands).argmax(1)
    wide = mel_weights(settings, RATE, bands).count_nonzero(1) > 2
    assert (spread[peaks].argmax(1) == torch.arange(bands))[wide].all()
