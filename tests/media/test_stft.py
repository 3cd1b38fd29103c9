"""The transform against librosa and SciPy, its inverse against the signal."""

from __future__ import annotations

import hypothesis
import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from draws import noise
from hypothesis import strategies as st

from specstyle.media import stft as module
from specstyle.media.stft import (
    StftSettings,
    auto_stft,
    inverse_window_sum,
    istft,
    shaped,
    stft,
    stft_blocks,
    stft_magnitude,
    window_tensor,
)

SETTINGS = [
    StftSettings(256, 64, 256, "hann"),
    StftSettings(256, 60, 200, "hamming"),  # a hop that divides nothing, a window shorter than n_fft
    StftSettings(128, 64, 128, "hann"),  # the largest hop
    StftSettings(64, 7, 33, "kaiser,8.6"),  # an odd window
    StftSettings(64, 32, 64, "flattop"),  # negative values
    StftSettings(16, 1, 16, "boxcar"),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("length", [1, 2, 37, 256, 1000, 1024])
def test_stft_equals_librosa(settings: StftSettings, length: int) -> None:
    # librosa has no last frame where the hop does not divide the length: zeros make it one.
    hop = settings.hop_length
    x = np.pad(noise(length).numpy(), (0, -length % hop))
    window = settings.window.split(",")
    expected = librosa.stft(
        np.pad(x, (0, settings.n_fft)),  # librosa warns of signals under n_fft
        n_fft=settings.n_fft,
        hop_length=hop,
        win_length=settings.win_length,
        window=(window[0], float(window[1])) if len(window) > 1 else window[0],
        pad_mode="constant",
    )[:, : 1 + len(x) // hop]
    spec = stft(noise(length), settings)
    assert spec.shape == (settings.n_bins, settings.n_frames(length))
    np.testing.assert_allclose(spec.numpy(), expected, atol=1e-12 * np.abs(expected).max())  # rounding


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("length", [1, 2, 37, 255, 256, 1000, 1023])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_istft_inverts(settings: StftSettings, length: int, dtype: torch.dtype, tolerance: float) -> None:
    x = noise(2, 3, length).to(dtype)
    y = istft(stft(x, settings), settings, length)
    assert y.shape == x.shape
    assert y.dtype == dtype
    torch.testing.assert_close(y, x, rtol=0, atol=tolerance)  # rounding, times 1 / window at a frame's foot


def test_istft_is_least_squares() -> None:
    """Against the pseudo-inverse of the transform written as a matrix (as real numbers)."""
    settings, length = StftSettings(16, 5, 12, "hamming"), 23
    basis = stft(torch.eye(length, dtype=torch.float64), settings)  # [length, bins, frames]
    # Each bin stands for itself and its mirror image, except the first and the last.
    weight = torch.full((settings.n_bins, 1), 2.0, dtype=torch.float64).sqrt()
    weight[[0, -1]] = 1.0
    matrix = torch.view_as_real(basis * weight).flatten(1).T
    target = torch.complex(
        noise(settings.n_bins, settings.n_frames(length)),
        noise(settings.n_bins, settings.n_frames(length), seed=1),
    )
    wanted = torch.linalg.lstsq(matrix, torch.view_as_real(target * weight).flatten()[:, None]).solution[:, 0]
    torch.testing.assert_close(istft(target, settings, length), wanted, rtol=0, atol=1e-11)


def test_end_is_as_well_conditioned_as_the_middle() -> None:
    """With the largest hop, torch and librosa leave the last samples to the foot of one window."""
    settings = StftSettings(512, 256, 512)
    for length in range(1023, 1300, 50):
        factor = inverse_window_sum(settings, length, torch.float64, torch.device("cpu"))
        assert float(factor.max()) <= 2.0 + 1e-9  # 1 / (cos^4 + sin^4) <= 2


def test_stft_is_differentiable() -> None:
    settings = StftSettings(16, 4, 16)
    x = noise(21).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: torch.view_as_real(stft(v, settings)), (x,))
    assert torch.autograd.gradcheck(lambda v: istft(stft(v, settings) * 2j, settings, 21), (x,))


def test_what_a_look_without_gradients_makes_serves_a_gradient_later() -> None:
    settings = StftSettings(48, 12, 40)
    with torch.inference_mode():
        stft(noise(50), settings)
    x = noise(50).requires_grad_()
    stft(x, settings).abs().sum().backward()
    assert x.grad is not None
    assert window_tensor(settings, x.dtype, x.device) is window_tensor(settings, x.dtype, x.device)


@pytest.mark.parametrize(
    ("rate", "n_fft"), [(48000, 2048), (44100, 2048), (22050, 1024), (96000, 4096), (8000, 256), (100, 16)]
)
def test_auto_stft(rate: int, n_fft: int) -> None:
    assert auto_stft(rate) == StftSettings(n_fft, n_fft // 4, n_fft, "hann")


def test_auto_stft_keeps_what_is_given() -> None:
    assert auto_stft(44100, n_fft=512, hop_length=100, win_length=400, window="hamming") == StftSettings(
        512, 100, 400, "hamming"
    )
    with pytest.raises(ValueError, match="sample_rate"):
        auto_stft(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 16), "n_fft"),
        ((17, 4, 16), "n_fft is 17.*even"),
        ((8, 2, 8), "at least 16"),
        ((64, 16, 65), "win_length is 65.*64"),
        ((64, 0, 64), "hop_length"),
        ((64, 2.0, 64), "hop_length"),
        ((64, 33, 64), "hop_length is 33.*half"),
        ((64, 64, 64), "hop_length is 64.*half"),  # librosa inverts this silently to something else
        ((64, 16, 64, "no such window"), "no such window"),
        ((64, 16, 64, "kaiser"), "kaiser"),
        ((64, 16, 64, "kaiser,x"), "kaiser,x"),
        ((64, 32, 64, "gaussian,2"), "nearly"),
        ((64, 32, 64, "exponential,0,1.5"), "nearly|window"),
    ],
)
def test_settings_refuse(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StftSettings(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["hann", "gaussian,2", "gaussian,5", "blackmanharris", "kaiser,14", "cosine"]
)
@pytest.mark.parametrize("hop", [8, 16, 32])
def test_refuses_at_least_what_scipy_refuses(name: str, hop: int) -> None:
    parts = name.split(",")
    window = scipy.signal.get_window((parts[0], *map(float, parts[1:])) if parts[1:] else name, 64)
    accepted = True
    try:
        StftSettings(64, hop, 64, name)
    except ValueError:
        accepted = False
    sums = sum(window[k * hop : (k + 1) * hop] ** 2 for k in range(64 // hop))
    assert accepted == (sums.min() > 1e-6 * sums.max())
    assert not accepted or scipy.signal.check_NOLA(window, 64, 64 - hop)


def test_wrong_shapes_are_refused() -> None:
    settings = StftSettings(64, 16, 64)
    with pytest.raises(ValueError, match="33 bins, 8 frames"):
        istft(torch.zeros(33, 7, dtype=torch.complex64), settings, 100)
    with pytest.raises(ValueError, match="length"):
        istft(torch.zeros(33, 1, dtype=torch.complex64), settings, 0)
    with pytest.raises(ValueError, match="no samples"):
        stft(torch.zeros(2, 0), settings)


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(
    channels=st.integers(1, 3), length=st.integers(1, 700), frames=st.integers(1, 9), hop=st.integers(1, 16)
)
def test_blocks_are_the_whole(channels: int, length: int, frames: int, hop: int) -> None:
    transform, x = StftSettings(32, hop, 32), noise(channels, length, seed=length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", frames * 32 * channels)
        parts = list(stft_blocks(x, transform))
        magnitude = stft_magnitude(x, transform)
        gains = torch.linspace(0.1, 3.0, transform.n_bins, dtype=torch.float64)
        filtered = shaped(x, lambda first, count: gains[:, None], transform)
    whole = stft(x, transform)
    assert [first for first, _ in parts] == list(range(0, whole.shape[2], frames))
    torch.testing.assert_close(torch.cat([spec for _, spec in parts], 2), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(magnitude, whole.abs(), rtol=1e-12, atol=1e-12)
    expected = istft(whole * gains[:, None], transform, length)
    torch.testing.assert_close(filtered, expected, rtol=1e-10, atol=1e-10)
