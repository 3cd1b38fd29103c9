"""Mel and constant-Q bands, against librosa, and the way back."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import specstyle
from specstyle.media import filterbanks
from specstyle.media.audio import SoundMedium
from specstyle.media.audiosettings import AudioSettings
from specstyle.media.filterbanks import CQT_F_MIN, Filterbank, constant_q_filterbank, mel_filterbank
from specstyle.media.sounds import Sound
from specstyle.media.stft import StftSettings
from specstyle.media.waveform import WaveformCanvas

RATE = 22050
FINE = StftSettings(4096, 1024, 4096)
USUAL = StftSettings(1024, 256, 1024)
BANKS = pytest.mark.parametrize(
    "bank",
    [
        *(mel_filterbank(USUAL, RATE, n) for n in (20, 80, 128, 256)),
        *(constant_q_filterbank(USUAL, RATE, n) for n in (12, 24, 48)),
    ],
    ids=lambda bank: f"{len(bank.centers)} bands",
)


def test_mel_is_librosas_where_bands_are_wider_than_a_bin() -> None:
    ours = mel_filterbank(FINE, RATE, 40).forward.numpy()
    theirs = librosa.filters.mel(sr=RATE, n_fft=4096, n_mels=40, htk=True, norm=None, dtype=np.float64)
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_no_mel_band_is_empty_where_librosas_are() -> None:
    with pytest.warns(UserWarning, match="Empty filters"):
        theirs = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=256, htk=True, norm=None)
    assert (theirs.sum(1) == 0).any()
    assert bool((mel_filterbank(USUAL, RATE, 256).forward.sum(1) > 0.4).all())


def test_constant_q_bands_are_librosas_wavelets() -> None:
    """Where a tone is shorter than the window, its spectrum is that of librosa's wavelet."""
    bank = constant_q_filterbank(FINE, RATE, 12)
    quality = 1.0 / (2.0 ** (1.0 / 12) - 1.0)
    short = np.flatnonzero(quality * RATE / bank.centers < 4096)
    basis, _ = librosa.filters.wavelet(freqs=bank.centers[short], sr=RATE, window="hann", alpha=1 / quality)
    theirs = np.abs(np.fft.fft(basis, max(basis.shape[1], 4096)))[:, :2049]
    theirs /= theirs.max(1, keepdims=True)
    ours = bank.forward.numpy()[short]
    assert basis.shape[1] <= 4096
    np.testing.assert_allclose(ours, np.where(theirs < 0.01, 0.0, theirs), atol=0.03)


def test_a_bank_is_brought_to_a_type_once_and_serves_a_gradient_later() -> None:
    bank = mel_filterbank(StftSettings(64, 16, 64), RATE, 9)
    magnitude = torch.rand(33, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = bank.bands(magnitude)
    leaf = magnitude.clone().requires_grad_(True)
    torch.testing.assert_close(bank.bands(leaf), bank.forward.float() @ magnitude)
    bank.bands(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, bank.forward.float().sum(0)[:, None].expand(33, 4))
    torch.testing.assert_close(found.clone(), bank.forward.float() @ magnitude)
    calls = filterbanks._there.cache_info().misses
    bank.bands(magnitude)
    assert filterbanks._there.cache_info().misses == calls


@BANKS
def test_a_tone_is_loudest_in_its_own_band(bank: Filterbank) -> None:
    for k in range(0, len(bank.centers), 7):
        if bank.centers[k] < 200.0:
            continue
        t = np.arange(8192) / RATE
        spec = librosa.stft(np.sin(2 * np.pi * bank.centers[k] * t), n_fft=1024, hop_length=256)
        loud = int(bank.bands(torch.from_numpy(np.abs(spec)))[:, 10:-10].mean(1).argmax())
        spread = RATE / 1024 / 2 / np.gradient(bank.centers)[k]
        assert abs(loud - k) <= max(1.0, np.ceil(spread))


@BANKS
def test_the_way_back_is_well_conditioned(bank: Filterbank) -> None:
    gain = torch.linalg.matrix_norm(bank.forward, 2) * torch.linalg.matrix_norm(bank.backward, 2)
    assert float(gain) <= 101.0
    assert bool((bank.forward >= 0).all())


@BANKS
def test_what_came_back_has_the_same_bands(bank: Filterbank) -> None:
    """For magnitudes that vary smoothly: nothing negative had to be cut off."""
    k = torch.arange(513, dtype=torch.float64)[:, None]
    magnitude = 2.0 + torch.cos(k / 40.0) + torch.rand(1, 5, generator=torch.Generator().manual_seed(0))
    bands = bank.bands(magnitude)
    again = bank.bands(bank.bins(bands))
    assert float((again - bands).norm() / bands.norm()) < 0.02


@given(st.sampled_from(["mel", "cqt"]), st.integers(4, 48), st.sampled_from([8000, 22050, 44100]))
@settings(max_examples=30, deadline=None)
def test_bands_of_any_number_are_usable(kind: str, number: int, rate: int) -> None:
    make = mel_filterbank if kind == "mel" else constant_q_filterbank
    bank = make(USUAL, rate, number)
    assert bool(bank.forward.isfinite().all())
    assert bool(bank.backward.isfinite().all())
    assert bool((bank.forward.amax(1) > 0.4).all())
    assert bank.centers[-1] < rate / 2
    if kind == "cqt":
        assert bank.centers[0] == pytest.approx(CQT_F_MIN)


@pytest.mark.parametrize("representation", ["mel", "cqt"])
def test_an_image_has_the_bands_and_a_sound_comes_back(representation: str) -> None:
    t = np.arange(RATE) / RATE
    chirp = 0.3 * np.sin(2 * np.pi * (300 * t + 400 * t**2))
    sound = Sound(torch.from_numpy(np.stack([chirp, chirp[::-1].copy()])), RATE)
    chosen = AudioSettings(representation=representation)  # type: ignore[arg-type]
    medium = SoundMedium(chosen)
    encoded = medium.encode(sound)
    bank = chosen.filterbank(chosen.stft_at(RATE), RATE)
    assert bank is not None
    assert encoded.image.shape[:3] == (2, 1, len(bank.centers))
    back, report = medium.decode_with_report(encoded.image, encoded)
    assert back.samples.shape == sound.samples.shape
    assert report.spectral_convergence_db < -10.0
    again = medium.encode(back).image
    assert float((again - encoded.image).norm() / encoded.image.norm()) < 0.25
    canvas = WaveformCanvas(encoded, chosen)
    assert torch.allclose(canvas.image(), encoded.image, atol=1e-3)
    canvas.image().square().sum().backward()  # the way to the samples can be differentiated
    (samples,) = canvas.parameters()
    assert samples.grad is not None
    assert bool(samples.grad.isfinite().all())


@pytest.mark.parametrize("network", ["kernel", "wide-random", "vgg19-random"])
@pytest.mark.parametrize("representation", ["mel", "cqt"])
def test_every_network_takes_every_representation(network: str, representation: str) -> None:
    rng = np.random.default_rng(0)
    content, style = 0.1 * rng.standard_normal((2, 9000))
    result = specstyle.transfer_audio(
        content * np.linspace(0, 1, 9000),
        style,
        sample_rate=8000,
        network=network,
        representation=representation,
        n_mels=40,
        bins_per_octave=12,
        steps=3,
        n_filters=32,
    )
    assert result.output.samples.shape == (1, 9000)
    assert result.record["losses"]["end"]["style"] < result.record["losses"]["start"]["style"]
    assert result.record["image_shape"][2] == (40 if representation == "mel" else 83)


def test_more_bands_than_bins() -> None:
    with pytest.raises(ValueError, match="n_mels is 600; it must be from 1 to the number of bins, 513"):
        mel_filterbank(USUAL, RATE, 600)
