"""Mel and constant-Q views of a log-magnitude image, against librosa and plain NumPy."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specstyle.media.audio import AudioSettings, compress, expand
from specstyle.media.bands import Bands, constant_q_weights, mel_weights, sound_view
from specstyle.media.stft import StftSettings

RATE = 22050
STFT = StftSettings(n_fft=2048, hop_length=512, win_length=2048)


def test_mel_is_librosas() -> None:
    expected = librosa.filters.mel(sr=RATE, n_fft=2048, n_mels=40, htk=True, norm=None)
    np.testing.assert_allclose(mel_weights(STFT, RATE, 40).numpy(), expected, atol=1e-4)  # float32 of both


def test_constant_q_bands_have_their_peaks_at_their_notes() -> None:
    weights = constant_q_weights(STFT, RATE, 12)
    peaks = weights.argmax(1).numpy() * RATE / 2048
    notes = librosa.cqt_frequencies(n_bins=len(weights), fmin=32.703, bins_per_octave=12)
    assert np.abs(peaks - notes).max() <= RATE / 2048  # a bin
    # Where a tone of constant Q is shorter than the window, a band is half as wide an octave lower.
    widths = (weights > 0.5).sum(1).float()
    assert float(widths[-6:].mean() / widths[-18:-12].mean()) == pytest.approx(2.0, rel=0.35)


def test_a_view_is_the_root_of_the_power_in_each_band() -> None:
    options = AudioSettings(log_gain=7.0)
    weights = mel_weights(STFT, RATE, 24)
    image = torch.rand(2, 1, STFT.n_bins, 9, generator=torch.Generator().manual_seed(0))
    found = Bands(weights, options)(image)
    magnitude = expand(image, options).numpy().astype(np.float64)
    power = np.einsum("mk,bckt->bcmt", weights.numpy().astype(np.float64), magnitude**2)
    expected = compress(torch.from_numpy(np.sqrt(power)), options)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    assert Bands(weights, options).size(STFT.n_bins, 9) == found.shape[2:]


def test_fine_is_what_stands_out_of_172_hz_on_either_side() -> None:
    image = torch.rand(2, 1, STFT.n_bins, 5, generator=torch.Generator().manual_seed(0))
    view = sound_view("fine", AudioSettings(), STFT, RATE)
    # 16 bins of 10.8 Hz; beyond the ends stand the first and the last.
    around = scipy.ndimage.uniform_filter1d(image.numpy().astype(np.float64), 33, axis=2, mode="nearest")
    expected = np.maximum(image.numpy() - around, 0.0) ** 2
    np.testing.assert_allclose(view(image).numpy(), expected, atol=1e-4)  # a running sum of float32
    assert view.size(STFT.n_bins, 5) == (STFT.n_bins, 5)


@given(st.floats(-3.0, 3.0), st.floats(-0.01, 0.01))
@settings(deadline=None, max_examples=20, database=None)
def test_fine_sees_no_level_and_hardly_a_slope(level: float, slope: float) -> None:
    """A style's level and tilt are none of a tune's business."""
    rows = torch.arange(STFT.n_bins, dtype=torch.float64)[:, None].expand(-1, 3)
    image = torch.rand(1, 1, STFT.n_bins, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    view = sound_view("fine", AudioSettings(), STFT, RATE)
    inner = slice(17, -17)
    found = view(image + level + slope * rows)[:, :, inner]
    torch.testing.assert_close(found, view(image)[:, :, inner], rtol=0, atol=1e-9)


def test_flux_is_librosas_without_its_mean() -> None:
    image = torch.rand(1, 1, 12, 30, generator=torch.Generator().manual_seed(0))
    found = sound_view("flux", AudioSettings(), STFT, RATE)(image)
    expected = librosa.onset.onset_strength(S=image[0, 0].numpy(), sr=RATE, center=False)
    np.testing.assert_allclose(found[0, 0].mean(0).numpy(), expected, atol=1e-6)


def test_it_has_a_gradient_in_silence() -> None:
    image = torch.zeros(1, 1, STFT.n_bins, 3, requires_grad=True)
    view = sound_view("mel32", AudioSettings(), STFT, RATE)
    view(image).sum().backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()


@given(st.sampled_from(["mel", "cqt"]), st.integers(1, 48), st.sampled_from([8000, 16000, 44100]))
@settings(deadline=None, max_examples=25, database=None)
def test_bands_of_any_number_reach_a_bin(kind: str, number: int, rate: int) -> None:
    make = mel_weights if kind == "mel" else constant_q_weights
    weights = make(StftSettings(n_fft=1024, hop_length=256, win_length=1024), rate, number)
    assert weights.shape[1] == 513
    assert (weights >= 0).all()
    assert (weights.sum(1) > 0).all()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mel4000", "the view mel4000 has 4000 bands; it must have from 1 to the number of bins, 1025"),
        ("bark24", "there is no view 'bark24'; there are 2, 4, 8 .* and for sounds mel64, cqt24"),
        ("mel", "there is no view 'mel'"),
    ],
)
def test_other_views_are_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sound_view(name, AudioSettings(), STFT, RATE)
