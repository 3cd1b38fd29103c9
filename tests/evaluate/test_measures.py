"""Loudness, level, peak, convergence and inconsistency against standards and closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from specstyle.evaluate.similarity import (
    convergence_db,
    inconsistency_db,
    phase_inconsistency_db,
    relative_db,
)
from specstyle.media.loudness import loudness_lufs, peak_db, rms_db
from specstyle.media.soundfiles import read_sound
from specstyle.media.stft import StftSettings, stft

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
SETTINGS = StftSettings(256, 64, 256)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def sine(frequency: float, rate: int, amplitude: float = 1.0, seconds: float = 2.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)[None]


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_a_full_scale_sine_at_997_hz_has_minus_3_01_lufs(rate: int) -> None:
    """BS.1770: one channel, 0 dB FS; two such channels add 3.01 dB; a gain adds itself.

    torchaudio's filters come of rounded corner frequencies, 0.04 LU from the standard's table.
    """
    mono = sine(997, rate)
    assert loudness_lufs(mono, rate) == pytest.approx(-3.01, abs=0.06)
    assert loudness_lufs(np.concatenate([mono, mono]), rate) == pytest.approx(0.0, abs=0.06)
    assert loudness_lufs(0.1 * mono, rate) == pytest.approx(-23.01, abs=0.06)


def test_gates_leave_the_quiet_half_out() -> None:
    loud = sine(997, 48000, 0.1, 10.0)
    quiet = sine(997, 48000, 0.1 * 10 ** (-30 / 20), 10.0)
    # 4 blocks straddle the edge: 0.07 LU; the filters as below
    assert loudness_lufs(np.concatenate([loud, quiet], axis=1), 48000) == pytest.approx(-23.01, abs=0.15)


def test_where_the_standard_has_no_loudness_there_is_none() -> None:
    loud = sine(997, 48000, 0.1)
    for samples, rate in (
        (1e-5 * loud, 48000),  # below the gate
        (0 * loud, 48000),
        (loud[:, :19199], 48000),  # a sample less than a block
        (loud[:, :0], 48000),
        (np.repeat(loud, 6, axis=0), 48000),
        (sine(997, 3000), 3000),
    ):
        assert loudness_lufs(samples, rate) is None


@pytest.mark.parametrize("peak", [0.1, 1.0, 3.0])
def test_loudness_agrees_with_pyloudnorm_clipping_or_not(peak: float) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    x = noise(2, 3 * 44100) * np.linspace(0.05, 1, 3 * 44100)
    x *= peak / np.abs(x).max()
    expected = pyloudnorm.Meter(44100).integrated_loudness(x.T)
    # it may count one block more or fewer; the filters are the same formula
    assert loudness_lufs(x, 44100) == pytest.approx(expected, abs=0.1)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the project's shared recordings")
def test_loudness_of_recordings_agrees_with_pyloudnorm() -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    found = []
    for path in sorted(SHARED.glob("*/*.ogg")):
        x = read_sound(path)
        expected = pyloudnorm.Meter(x.sample_rate).integrated_loudness(x.samples.numpy().T)
        found.append(abs(loudness_lufs(x.samples.numpy(), x.sample_rate) - expected))
    # one of them is 0.015 LU off, by the absolute gate; the rest under 1e-9
    assert max(found) < 0.1


def test_level_and_peak_of_a_sine() -> None:
    assert rms_db(sine(100, 8000, 0.5)) == pytest.approx(20 * np.log10(0.5) - 10 * np.log10(2))
    assert peak_db(np.array([[0.1, -0.5], [0.2, 0.0]])) == pytest.approx(-6.0206, abs=1e-4)
    assert rms_db(np.zeros((1, 9))) is None
    assert peak_db(np.zeros((1, 9))) is None


def test_a_signals_spectrogram_is_consistent_and_another_is_not() -> None:
    x = torch.from_numpy(noise(2, 4000))
    spec = stft(x, SETTINGS)
    assert inconsistency_db(spec, SETTINGS, 4000) == -120
    other = torch.from_numpy(noise(*spec.shape) + 1j * noise(*spec.shape, seed=1))
    # 64 frames of 256 real numbers, of which signals span 4000: 1 - 0.24 of the energy is -1.2 dB
    assert -1.6 < inconsistency_db(other, SETTINGS, 4000) < -0.5


def test_inconsistency_grows_with_the_deviation() -> None:
    x = torch.from_numpy(noise(1, 4000))
    spec = stft(x, SETTINGS)
    off = torch.from_numpy(noise(*spec.shape) + 1j * noise(*spec.shape, seed=1))
    levels = [inconsistency_db(spec + gain * off, SETTINGS, 4000) for gain in (0.0, 0.001, 0.01, 0.1)]
    # ten times the deviation is 20 dB more
    assert levels[0] == -120
    np.testing.assert_allclose(np.diff(levels[1:]), 20, atol=0.2)


def test_convergence_of_a_louder_tone_and_of_silence() -> None:
    x, y = noise(8000), noise(8000, seed=1)
    assert convergence_db(3 * x, x, 16000) == -120
    # A norm of reals by one of complex numbers: n = 1e4 squares at most n eps = 2e-12 apart, or 1e-11 dB.
    assert convergence_db(np.zeros(8000), x, 16000) == pytest.approx(0, abs=1e-10)
    # Independent Rayleigh magnitudes a, b: E(a-b)² / E b² = 2 - 2 (E a)² / E a² = 2 - π/2
    assert convergence_db(x, y, 16000) == pytest.approx(10 * np.log10(2 - np.pi / 2), abs=0.3)
    assert phase_inconsistency_db(2 * x, x, 16000) == -120
    assert -8 < phase_inconsistency_db(x, y, 16000) < -2


def test_relative_db_has_ends() -> None:
    one, zero = torch.ones(3), torch.zeros(3)
    assert relative_db(0.1 * one, one) == pytest.approx(-20, abs=1e-5)
    assert relative_db(one, zero) == 120
    assert relative_db(zero, zero) == -120
