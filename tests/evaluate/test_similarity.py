"""Spectrum, onsets, chroma and copies against closed forms and librosa."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from specstyle.evaluate.similarity import (
    chroma_correlation,
    chromagram,
    copy_score,
    fine_structure,
    onset_correlation,
    onset_strength,
    salience_correlation,
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
    measures = (spectrum_distance_db, onset_correlation, chroma_correlation, salience_correlation, copy_score)
    for measure in measures:
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


def tune(*pitches: float, seed: int | None = None) -> np.ndarray:
    """Notes of 0.4 s with five partials each; with a seed, each partial has a phase of its own."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(0.4 * RATE)) / RATE
    phases = np.zeros((len(pitches), 5)) if seed is None else rng.uniform(0, 6, (len(pitches), 5))
    notes = [
        sum(0.7**k * np.sin(2 * np.pi * (k + 1) * pitch * t + phase[k]) for k in range(5))
        for pitch, phase in zip(pitches, phases, strict=True)
    ]
    return np.concatenate(notes)


MELODY = (262.0, 330.0, 392.0, 349.0, 294.0)


def test_fine_structure_is_what_scipy_makes_of_its_formula() -> None:
    x = tune(*MELODY) + 0.1 * noise(0.4 * 5)
    ours, power = fine_structure(x, RATE)
    n = 1024  # of 16 kHz, twice the power of two nearest to 46 ms
    frames = signal.stft(x, RATE, "hann", n, n - n // 4, boundary="zeros", padded=True)[2]
    magnitude = np.abs(frames)[:, : power.size]
    level = np.log1p(30 * magnitude / np.sqrt(np.mean(magnitude**2)))
    width = 2 * round(165 / (RATE / n)) + 1
    around = ndimage.uniform_filter1d(level, width, axis=0, mode="constant")
    f = np.arange(n // 2 + 1) * RATE / n
    inside = (f > 80) & (f < 5000)
    away = f[inside] > 180  # where the mean over neighbors has all of them
    expected = np.maximum(level - around, 0)[inside]
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours[away], expected[away], atol=1e-9)


def test_salience_hears_partials_and_not_the_spectrum() -> None:
    content = tune(*MELODY)
    assert salience_correlation(content, content, RATE) == pytest.approx(1)
    brighter = signal.lfilter([1, -0.9], [1], content)  # 6 dB an octave
    other_phases = tune(*MELODY, seed=1)
    another = tune(*(pitch * 2 ** (3 / 12) for pitch in MELODY))
    assert salience_correlation(brighter, content, RATE) > 0.9
    assert salience_correlation(other_phases, content, RATE) > 0.9
    assert salience_correlation(another, content, RATE) < 0.5
    hiss = noise(content.size / RATE, 2)
    assert abs(salience_correlation(hiss, content, RATE)) < 0.05
    louder = [salience_correlation(content + gain * hiss, content, RATE) for gain in (0.1, 0.5, 2.0)]
    assert louder == sorted(louder, reverse=True)


def test_salience_is_that_of_where_the_content_sounds() -> None:
    content = tune(*MELODY)
    padded = np.concatenate([content, np.zeros(RATE)])
    noisy = np.concatenate([content, noise(1.0)])
    assert salience_correlation(noisy, padded, RATE) > 0.8
    assert salience_correlation(np.zeros(RATE), content, RATE) == 0
    assert salience_correlation(content[: RATE // 2], content, RATE) == pytest.approx(1)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_salience_at_any_rate(rate: int) -> None:
    t = np.arange(rate) / rate
    tones = [sum(np.sin(2 * np.pi * k * f * t) for k in (1, 2, 3)) for f in (300.0, 340.0)]
    assert salience_correlation(tones[0], tones[0], rate) == pytest.approx(1)
    assert salience_correlation(tones[1], tones[0], rate) < 0.3
