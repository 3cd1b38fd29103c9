"""Spectrum, onsets, chroma and copies against closed forms and librosa."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from specstyle.evaluate.similarity import (
    chroma_correlation,
    chromagram,
    copy_score,
    onset_correlation,
    onset_strength,
    spectrum_distance_db,
)
from specstyle.evaluate.texture import band_powers
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import resample
from specstyle.media.stft import auto_stft, stft

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
RATE = 16000


def noise(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def tone(frequency: float, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def clicks(times: list[float], seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    x = 1e-3 * noise(seconds, seed)
    for at in times:
        start = round(at * RATE)
        x[start : start + 400] += signal.windows.hann(800)[400:] * noise(400 / RATE, seed + 1)
    return x


def test_the_spectrum_distance_of_two_tones_is_that_of_two_bands() -> None:
    """Far apart, either tone fills its bands alone and leaves -80 dB in the other's."""
    assert spectrum_distance_db(tone(500), tone(500), RATE) < 1e-9  # arrays at two places in memory
    found = spectrum_distance_db(tone(500), tone(4000), RATE)
    assert 15 < found < 60


def test_a_shelf_of_6_db_gives_its_closed_form() -> None:
    """White noise with everything above 2 kHz doubled: 6.02 dB in those bands, less the common level."""
    x = noise(4.0)
    spectrum, f = np.fft.rfft(x), np.fft.rfftfreq(x.size, 1 / RATE)
    shelf = np.where(f > 2000, 2.0, 1.0)
    y = np.fft.irfft(spectrum * shelf, x.size)
    level = 10 * np.log10(np.mean(y**2) / np.mean(x**2))
    points = np.linspace(0, 1, 32)[1:-1]
    number = np.log1p(20 / 228.8455) + points * (np.log1p(8000 / 228.8455) - np.log1p(20 / 228.8455))
    above = 228.8455 * np.expm1(number) > 2000  # centers of the bands
    expected = np.sqrt(np.mean((np.where(above, 20 * np.log10(2), 0) - level) ** 2))
    # one or two bands straddle the edge
    assert spectrum_distance_db(y, x, RATE) == pytest.approx(expected, abs=0.15)


@settings(max_examples=10, deadline=None)
@given(st.floats(-60, 40))
def test_no_similarity_depends_on_the_level(gain_db: float) -> None:
    x, y, gain = clicks([0.3, 1.0]), clicks([0.5, 1.0], seed=5), 10 ** (gain_db / 20)
    for measure in (spectrum_distance_db, onset_correlation, chroma_correlation, copy_score):
        assert measure(gain * x, y, RATE) == pytest.approx(measure(x, y, RATE), abs=1e-6)


def test_onsets_stand_where_the_clicks_are() -> None:
    times = [0.3, 0.8, 1.5]
    strength = onset_strength(clicks(times), RATE)
    frame_s = 2.0 / strength.size  # nearly: the last frame is partial
    peaks, _ = signal.find_peaks(strength, height=strength.max() / 3, distance=10)
    # The flux is largest as a click enters the window's steep part, up to half a window (32 ms) before.
    np.testing.assert_allclose(peaks * frame_s, times, atol=0.04)


def test_onset_strength_is_the_flux_of_plain_loops() -> None:
    x, settings = clicks([0.3, 0.8]) + 0.02 * noise(2.0, 9), auto_stft(RATE)
    power = stft(torch.from_numpy(x), settings).abs().square().numpy()
    a = np.sqrt(band_powers(power, np.fft.rfftfreq(settings.n_fft, 1 / RATE), RATE))
    level = np.log1p(10 * a / np.sqrt(np.mean(a**2)))
    expected = [
        np.mean([max(0.0, after - before) for before, after in zip(*pair, strict=True)])
        for pair in zip(level.T[:-1], level.T[1:], strict=True)
    ]
    np.testing.assert_allclose(onset_strength(x, RATE), expected, rtol=1e-5, atol=1e-6)  # of float32


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the project's shared recordings")
def test_recordings_and_noise_correlate_more_than_by_librosas_spectrogram() -> None:
    """What the docstring of ``onset_strength`` quotes; ``-s`` shows it."""

    def librosas(a: np.ndarray, b: np.ndarray) -> float:
        strengths = [librosa.onset.onset_strength(y=v, sr=RATE, n_fft=512, hop_length=128) for v in (a, b)]
        return float(np.corrcoef(*strengths)[0, 1])

    sounds = [resample(read_sound(path), RATE) for path in sorted(SHARED.glob("*/*.ogg"))]
    mono = [sound.samples.mean(dim=0).numpy()[: 5 * RATE] for sound in sounds]
    noisy = [x + 0.1 * np.std(x) * noise(x.size / RATE, seed)[: x.size] for seed, x in enumerate(mono)]
    same, other = [], []
    for x, y, z in zip(mono, noisy, mono[5:] + mono[:5], strict=True):
        n = min(x.size, z.size)
        same.append([onset_correlation(y, x, RATE), librosas(y, x)])
        other.append([onset_correlation(z, x, RATE), librosas(z[:n], x[:n])])
    told = np.median(same, axis=0), np.min(same, axis=0), np.abs(other).max(axis=0)
    print("\nours and librosa's: median, lowest, largest with another:", *(value.round(2) for value in told))
    ours, theirs = np.median(same, axis=0)
    assert ours > theirs + 0.02  # 0.07 was seen
    assert min(mine for mine, _ in same) > min(its for _, its in same) + 0.2  # 0.54 was seen
    assert np.abs(other).max(axis=0)[0] < 0.3


def test_onset_correlation_tells_the_same_events_from_others() -> None:
    events = [0.2, 0.55, 1.1, 1.45]
    x = clicks(events)
    assert onset_correlation(x, x, RATE) == pytest.approx(1)
    assert onset_correlation(clicks(events, seed=7), x, RATE) > 0.8
    assert abs(onset_correlation(clicks([0.4, 0.8, 1.3, 1.7], seed=7), x, RATE)) < 0.25
    assert abs(onset_correlation(noise(2.0, 3), noise(2.0, 4), RATE)) < 0.25
    assert onset_correlation(x[: RATE // 2], np.zeros(RATE), RATE) == 0


@pytest.mark.parametrize(("frequency", "pitch_class"), [(440.0, 9), (880.0, 9), (261.63, 0), (1975.53, 11)])
def test_a_tone_has_its_pitch_class(frequency: float, pitch_class: int) -> None:
    ours = chromagram(tone(frequency), RATE)[0]
    theirs = librosa.feature.chroma_stft(y=tone(frequency), sr=RATE, n_fft=4096, tuning=0)
    assert set(ours[:, 2:-2].argmax(axis=0)) == {pitch_class} == set(theirs[:, 4:-4].argmax(axis=0))
    np.testing.assert_allclose(ours.sum(axis=0), 1)


def test_chroma_correlation_hears_the_melody_and_not_the_octave() -> None:
    def melody(*notes: float) -> np.ndarray:
        return np.concatenate([tone(f, 0.5) for f in notes])

    low = melody(261.63, 329.63, 392.0, 440.0)
    assert chroma_correlation(low, low, RATE) == pytest.approx(1)
    assert chroma_correlation(melody(523.25, 659.26, 783.99, 880.0), low, RATE) > 0.8
    assert chroma_correlation(melody(293.66, 349.23, 311.13, 493.88), low, RATE) < 0.1
    assert abs(chroma_correlation(noise(2.0, 1), low, RATE)) < 0.2


def test_a_pasted_piece_is_found_at_any_level_and_upside_down() -> None:
    style, output = noise(2.0, 1), noise(2.0, 2)
    assert copy_score(output, style, RATE) < 0.1
    assert copy_score(style, style, RATE) == pytest.approx(1)
    output[5000 : 5000 + 3 * RATE // 4] = -0.03 * style[9137 : 9137 + 3 * RATE // 4]
    assert copy_score(output, style, RATE) == pytest.approx(1, abs=1e-6)


def test_a_mixture_scores_its_share() -> None:
    """With independent noise of the same power on top, the correlation is 1/√2."""
    style = noise(2.0, 1)
    assert copy_score(style + noise(2.0, 2), style, RATE) == pytest.approx(np.sqrt(0.5), abs=0.02)


def test_the_copy_score_is_that_of_plain_loops() -> None:
    x, style, rate = noise(0.06, 1), np.cumsum(noise(0.05, 2)), 400
    size, best = rate // 2, 0.0
    for start in range(0, x.size - size + 1, size // 2):
        for lag in range(style.size - size + 1):
            best = max(best, abs(np.corrcoef(x[start : start + size], style[lag : lag + size])[0, 1]))
    assert copy_score(x, style, rate) == pytest.approx(best, abs=1e-9)


def test_silence_is_no_copy() -> None:
    """Neither a stretch of the style that fades out in the result, nor the style's own silence made loud."""
    style, output = noise(2.0, 1), noise(2.0, 2)
    output[RATE:] = 1e-4 * style[:RATE]
    assert copy_score(output, style, RATE) < 0.1
    style, output = noise(2.0, 1), noise(2.0, 2)
    style[RATE:] = 1e-4 * output[:RATE]
    assert copy_score(output, style, RATE) < 0.1
    assert copy_score(output, np.zeros(RATE), RATE) == 0
    assert copy_score(np.zeros(RATE), style, RATE) == 0
    assert copy_score(noise(0.2), style, RATE) < 0.2  # shorter than a piece
