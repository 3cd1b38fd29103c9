"""Short-time Fourier transform and its exact least-squares inverse, block by block for long signals."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

AUTO_WINDOW_S = 0.0464
"""Duration that ``auto_stft`` aims at, in seconds: 2048 samples at 44.1 kHz."""

_NEAR_ZERO = 1e-6
"""Smallest accepted sum of squared windows, relative to the largest (an error grows by its root)."""

BLOCK = 2**22
"""Samples of frames in work at once."""


@dataclass(frozen=True)
class StftSettings:
    """The four choices of a short-time Fourier transform.

    Attributes:
        n_fft: Length of one transform in samples, even, at least 16.
        hop_length: Samples from one frame to the next, at most half of ``win_length``.
        win_length: Length of the window in samples, at most ``n_fft`` (it stands in the frame's middle).
        window: Name of a SciPy window, with its parameters if it has any: ``"hann"``, ``"kaiser,8.6"``.

    Raises:
        ValueError: If a value is out of range, or if no inverse exists because the squared windows add up
            to (nearly) zero at some sample.
    """

    n_fft: int
    hop_length: int
    win_length: int
    window: str = "hann"

    def __post_init__(self) -> None:
        for name in ("n_fft", "hop_length", "win_length"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of samples above 0")
        if self.n_fft < 16 or self.n_fft % 2:
            raise ValueError(f"n_fft is {self.n_fft}; it must be even and at least 16")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length is {self.win_length}; it must be at most n_fft = {self.n_fft}")
        if 2 * self.hop_length > self.win_length:
            raise ValueError(
                f"hop_length is {self.hop_length}; it must be at most half of win_length {self.win_length}: "
                "frames further apart do not determine the samples between them"
            )
        _check_invertible(self)

    @property
    def n_bins(self) -> int:
        """Number of frequency bins, ``n_fft / 2 + 1``."""
        return self.n_fft // 2 + 1

    def n_frames(self, length: int) -> int:
        """Return the number of frames of a signal of ``length`` samples, each of them between two centers.

        librosa and torch leave the last frame out if the hop does not divide the length; then a sample at
        the end may be seen by the foot of a single window only, and an inverse puts a click there.
        """
        return 1 + -(-length // self.hop_length)


def auto_stft(
    sample_rate: int,
    *,
    n_fft: int | None = None,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: str = "hann",
) -> StftSettings:
    """Choose what is not given from the sample rate.

    Args:
        sample_rate: In Hz.
        n_fft: In samples; ``None``: the power of two nearest to 46.4 ms, at least 16 and ``win_length``.
        hop_length: In samples; ``None``: a quarter of ``win_length``.
        win_length: In samples; ``None``: ``n_fft``.
        window: Name of a SciPy window.

    Returns:
        The settings, checked.

    Raises:
        ValueError: If a value makes no sense.

    Example:
        >>> auto_stft(44100)
        StftSettings(n_fft=2048, hop_length=512, win_length=2048, window='hann')
    """
    if sample_rate <= 0:
        raise ValueError(f"sample_rate is {sample_rate!r}; it must be above 0 Hz")
    if n_fft is None:
        n_fft = min((2**k for k in range(4, 31)), key=lambda n: abs(n - AUTO_WINDOW_S * sample_rate))
        while win_length is not None and n_fft < win_length:
            n_fft *= 2
    win_length = n_fft if win_length is None else win_length
    hop_length = max(win_length // 4, 1) if hop_length is None else hop_length
    return StftSettings(n_fft, hop_length, win_length, window)


def long_stft(sample_rate: int) -> StftSettings:
    """Return the transform that filters have: Hann, 93 ms, a quarter of it as hop.

    Args:
        sample_rate: In Hz.
    """
    n_fft = 2 * auto_stft(sample_rate).n_fft
    return StftSettings(n_fft, n_fft // 4, n_fft)


def stft(x: Tensor, settings: StftSettings) -> Tensor:
    """Transform signals to complex spectrograms, frames centered, zeros around the signal.

    Args:
        x: float32 or float64, shape ``[..., length]``.
        settings: The transform.

    Returns:
        Complex, shape ``[..., n_bins, n_frames(length)]``; differentiable.

    Raises:
        ValueError: If there is no sample.
    """
    length = x.shape[-1]
    if length < 1:
        raise ValueError("x has no samples; at least one is needed")
    pad_right = (settings.n_frames(length) - 1) * settings.hop_length + settings.n_fft // 2 - length
    padded = pad(x, (settings.n_fft // 2, pad_right))
    spec = torch.stft(
        padded.reshape(-1, padded.shape[-1]),
        settings.n_fft,
        settings.hop_length,
        window=window_tensor(settings, x.dtype, x.device),
        center=False,
        return_complex=True,
    )
    return spec.reshape(*x.shape[:-1], *spec.shape[-2:])


def istft(spec: Tensor, settings: StftSettings, length: int) -> Tensor:
    """Return the signals whose transforms are nearest to the given spectrograms (least squares).

    Each sample is the windowed overlap-add of the frames divided by the sum of the squared windows there,
    and for a spectrogram that ``stft`` made it is the sample itself.

    Args:
        spec: Complex, shape ``[..., n_bins, frames]``.
        settings: The transform that is inverted.
        length: Number of samples to return.

    Returns:
        Real, shape ``[..., length]``; differentiable.

    Raises:
        ValueError: If the shape is not that of a transform of ``length`` samples.

    Reference:
        Griffin & Lim 1984, "Signal estimation from modified short-time Fourier transform", eq. 6.
    """
    check_shape(spec, settings, length, name="spec")
    window = window_tensor(settings, spec.real.dtype, spec.device)
    frames = torch.fft.irfft(spec.transpose(-1, -2), n=settings.n_fft) * window
    added = OverlapAdd(settings, length, frames.shape[:-2], like=window)
    added.add(frames)
    return added.signal() * inverse_window_sum(settings, length, window.dtype, window.device)


def check_shape(tensor: Tensor, settings: StftSettings, length: int, *, name: str) -> None:
    """Refuse a spectrogram whose shape does not belong to a signal of ``length`` samples (ValueError)."""
    if length < 1:
        raise ValueError(f"length is {length}; it must be at least one sample")
    expected = (settings.n_bins, settings.n_frames(length))
    if tuple(tensor.shape[-2:]) != expected:
        raise ValueError(
            f"{name} has shape {list(tensor.shape)}; {length} samples at n_fft {settings.n_fft} and "
            f"hop_length {settings.hop_length} need [..., {expected[0]} bins, {expected[1]} frames]"
        )


@functools.lru_cache(maxsize=16)
def window_tensor(settings: StftSettings, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the window in the middle of ``n_fft`` samples, zeros around it, shape ``[n_fft]``.

    It is made once, for a copy to a device would wait for it in every step: not to be written to.
    """
    left = (settings.n_fft - settings.win_length) // 2
    padded = np.zeros(settings.n_fft)
    padded[left : left + settings.win_length] = _window(settings.window, settings.win_length)
    with torch.inference_mode(False):  # a gradient needs it, whoever asked for it first
        return torch.from_numpy(padded).to(device=device, dtype=dtype)


def inverse_window_sum(
    settings: StftSettings, length: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return 1 / (sum of the squared windows over each sample), shape ``[length]``."""
    squared = window_tensor(settings, torch.float64, torch.device("cpu")).square()
    added = OverlapAdd(settings, length, (), like=squared)
    added.add(squared.expand(settings.n_frames(length), -1))
    return added.signal().reciprocal().to(device=device, dtype=dtype)


class OverlapAdd:
    """Frames that are added up, one hop apart, to a signal.

    The padded signal stands in rows of one hop each. Column block k of all frames goes to the same rows moved
    down by k, so that thousands of frames take only ``n_fft / hop_length`` additions of whole blocks.

    Args:
        settings: The transform.
        length: Of the signal, in samples.
        batch: What comes before in its shape.
        like: A tensor of its type, on its device.
    """

    def __init__(self, settings: StftSettings, length: int, batch: Sequence[int], *, like: Tensor) -> None:
        self._hop, self._start, self._length = settings.hop_length, settings.n_fft // 2, length
        n_rows = settings.n_frames(length) + -(-settings.n_fft // settings.hop_length) - 1
        self._rows = like.new_zeros(*batch, n_rows, settings.hop_length)

    def add(self, frames: Tensor, first: int = 0) -> None:
        """Add frames ``[..., frames, n_fft]`` from the number ``first`` on."""
        for k, start in enumerate(range(0, frames.shape[-1], self._hop), first):
            piece = frames[..., start : start + self._hop]
            self._rows[..., k : k + frames.shape[-2], : piece.shape[-1]] += piece

    def signal(self) -> Tensor:
        """Return the signal, ``[..., length]``."""
        return self._rows.flatten(-2)[..., self._start : self._start + self._length]


def _window(name: str, win_length: int) -> np.ndarray[Any, Any]:
    """Return a periodic SciPy window, or a ValueError that names it."""
    from scipy.signal import get_window

    parts = [part.strip() for part in name.split(",")]
    try:
        parameters = [float(part) for part in parts[1:]]
        window = get_window((parts[0], *parameters) if parameters else parts[0], win_length, fftbins=True)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"window is {name!r}; it must be a window of scipy.signal.get_window, such as 'hann' or "
            f"'kaiser,8.6' ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from None
    return np.asarray(window, dtype=np.float64)


def _check_invertible(settings: StftSettings) -> None:
    """Refuse a window whose squares do not add up to a positive number over every sample.

    Inside a signal this is SciPy's ``check_NOLA``. At its ends the frames to the left of the first and to
    the right of the last are missing, which matters for lopsided windows.
    """
    hop, n_rows = settings.hop_length, -(-settings.win_length // settings.hop_length)
    squared = np.zeros((n_rows, hop))
    squared.flat[: settings.win_length] = _window(settings.window, settings.win_length) ** 2
    center = settings.n_fft // 2 - (settings.n_fft - settings.win_length) // 2
    at_start = squared.cumsum(axis=0).ravel()[center : settings.win_length]
    at_end = squared[::-1].cumsum(axis=0)[::-1].ravel()[:center]
    smallest = min(squared.sum(axis=0).min(), at_start.min(), at_end.min())
    largest = squared.sum(axis=0).max()
    if not np.isfinite(largest) or not smallest > _NEAR_ZERO * largest:
        raise ValueError(
            f"window is {settings.window!r}; with win_length {settings.win_length} and hop_length {hop} its "
            "squares add up to (nearly) zero at some samples, so the sound could not be brought back; take "
            "a smaller hop_length or another window"
        )


def stft_blocks(x: Tensor, settings: StftSettings) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of the first frame and the spectra of each block of frames.

    Args:
        x: ``[channels, length]``.
        settings: The transform.

    Yields:
        Complex, ``[channels, n_bins, frames of the block]``: together what ``stft`` returns.
    """
    n_fft, hop, length = settings.n_fft, settings.hop_length, x.shape[-1]
    n_frames = settings.n_frames(length)
    size = max(1, BLOCK // (n_fft * max(1, x.shape[0])))
    window = window_tensor(settings, x.dtype, x.device)
    for first in range(0, n_frames, size):
        count = min(size, n_frames - first)
        start = first * hop - n_fft // 2
        stop = start + (count - 1) * hop + n_fft
        part = x[:, max(start, 0) : min(stop, length)]
        part = pad(part, (max(-start, 0), max(stop - length, 0)))
        yield first, torch.stft(part, n_fft, hop, window=window, center=False, return_complex=True)


def stft_magnitude(x: Tensor, settings: StftSettings) -> Tensor:
    """Return the magnitudes of ``stft``, ``[channels, n_bins, n_frames(length)]``."""
    found = x.new_empty(x.shape[0], settings.n_bins, settings.n_frames(x.shape[-1]))
    for first, spec in stft_blocks(x, settings):
        found[:, :, first : first + spec.shape[2]] = spec.abs()
    return found


def shaped(x: Tensor, gains: Callable[[int, int], Tensor], settings: StftSettings) -> Tensor:
    """Return the signal whose transform is nearest to that of ``x`` times a gain for each bin and frame.

    Args:
        x: ``[channels, length]``.
        gains: Called with the number of a block's first frame and with how many frames it has; returns
            ``[n_bins, frames]``, or ``[n_bins, 1]`` for all of them.
        settings: The transform.
    """
    length = x.shape[-1]
    window = window_tensor(settings, x.dtype, x.device)
    added = OverlapAdd(settings, length, x.shape[:1], like=x)
    for first, spec in stft_blocks(x, settings):
        weighted = spec * gains(first, spec.shape[2])
        added.add(torch.fft.irfft(weighted.transpose(-1, -2), n=settings.n_fft) * window, first)
    return added.signal().mul_(inverse_window_sum(settings, length, x.dtype, x.device))


def circular_stft(x: Tensor, settings: StftSettings, more: int = 0) -> Tensor:
    """Transform signals that are circles: behind the last sample comes the first one again.

    Args:
        x: ``[channels, length]``.
        settings: The transform.
        more: Frames that are shown once more behind the end.

    Returns:
        Complex, ``[channels, n_bins, ceil(length / hop_length) + more]``; frame t is centered at sample
        ``t hop_length``, and differentiable.
    """
    hop, length = settings.hop_length, x.shape[-1]
    lead = -(-settings.n_fft // 2 // hop)
    frames = -(-length // hop) + more
    places = torch.arange(-lead * hop, (frames + lead) * hop, device=x.device) % length
    return stft(x[..., places], settings)[..., lead : lead + frames]
