"""Magnitude to waveform: what every method is made of, projections, reflections and momentum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from specstyle.media.stft import (
    OverlapAdd,
    StftSettings,
    check_shape,
    inverse_window_sum,
    window_tensor,
)

_BLOCK_CPU = 2**19
"""Samples of frames in work at once on a CPU: what a pair makes of them stays in the cache."""

_BLOCK_GPU = 2**26
"""The same on other devices, where many small kernels cost more than memory."""

Schedule = Callable[[int, Tensor], float]


@torch.no_grad()
def spectral_convergence_db(waveform: Tensor, magnitude: Tensor, settings: StftSettings) -> float:
    """Return how far a waveform's magnitudes are from the wanted ones.

    ``20 log10(|| |STFT(y)| - S || / || S ||)``, over all channels together (Frobenius norm).

    Args:
        waveform: y, shape ``[..., length]``.
        magnitude: S, shape ``[..., n_bins, n_frames(length)]``.
        settings: The transform.

    Returns:
        In dB; ``-inf`` if they are equal (also when both are zero).

    Raises:
        ValueError: If the shapes do not belong together.
    """
    length = waveform.shape[-1]
    check_shape(magnitude, settings, length, name="magnitude")
    if waveform.shape[:-1] != magnitude.shape[:-2]:
        raise ValueError(f"waveform is {list(waveform.shape)}, but magnitude is {list(magnitude.shape)}")
    flat = magnitude.reshape(-1, *magnitude.shape[-2:])
    return Projection(flat, settings, length).convergence_db(waveform.reshape(-1, length))


def random_phase(shape: tuple[int, ...], generator: torch.Generator, *, like: Tensor) -> Tensor:
    """Draw unit complex numbers with phases from the full circle.

    Args:
        shape: Of the result.
        generator: Where the numbers come from; the same seed gives the same phases on every device.
        like: A real tensor whose dtype and device the result matches.
    """
    angle = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
    angle = (2.0 * math.pi * angle).to(device=like.device, dtype=like.dtype)
    return torch.polar(torch.ones_like(angle), angle)


def magnitudes(spec: Tensor) -> Tensor:
    """Return ``|spec|``: on a CPU by NumPy, which is 10 times as fast at it as torch."""
    return torch.from_numpy(abs(spec.numpy())) if spec.device.type == "cpu" else spec.abs()


def start_phase(
    phase: Tensor | Literal["random", "zero"], magnitude: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Return the start as a complex tensor of the magnitude's shape (expanded where it repeats)."""
    if isinstance(phase, Tensor):
        if not phase.is_complex():
            raise ValueError(f"phase has dtype {phase.dtype}; it must be complex (only its phase counts)")
        start = phase.to(magnitude.device)
    elif phase == "zero":
        start = torch.ones(1, dtype=magnitude.dtype.to_complex(), device=magnitude.device)
    elif phase == "random":
        if generator is None:
            raise ValueError("phase is 'random', which needs a generator (torch.Generator)")
        start = random_phase(tuple(magnitude.shape[-2:]), generator, like=magnitude)
    else:
        raise ValueError(f"phase is {phase!r}; it must be 'random', 'zero' or a complex tensor")
    try:
        return start.expand(magnitude.shape)
    except RuntimeError:
        raise ValueError(
            f"phase has shape {list(start.shape)}; it must broadcast to {list(magnitude.shape)}"
        ) from None


def check_magnitude(magnitude: Tensor) -> None:
    """Refuse values that are no magnitudes; a single NaN would spread over many samples."""
    if magnitude.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"magnitude has dtype {magnitude.dtype}; it must be float32 or float64")
    n_bad = sum(
        int(((part < 0) | ~torch.isfinite(part)).sum()) for part in torch.split(magnitude, 1024, dim=-1)
    )
    if n_bad:
        raise ValueError(f"magnitude has {n_bad} values that are negative, NaN or infinite; none may be")


class Projection:
    """The two projections of Griffin-Lim, and what methods make of them, fused over blocks of frames.

    A is the transform, A⁺ its least-squares inverse, and P puts the wanted magnitudes on a spectrogram's
    phases. A pair is one A and one A⁺. ``torch.istft`` is some times slower than this overlap-add, and
    ``torch.sgn`` than the multiplication by S / |c|.

    Args:
        magnitude: Shape ``[channels, n_bins, frames]``.
        settings: The transform.
        length: Number of samples.
        unit: What magnitudes are multiplied by first.
    """

    def __init__(self, magnitude: Tensor, settings: StftSettings, length: int, *, unit: float = 1.0) -> None:
        self._target = magnitude.transpose(-1, -2).clone(memory_format=torch.contiguous_format).mul_(unit)
        self._settings = settings
        self._length = length
        dtype, device = magnitude.dtype, magnitude.device
        self._window = window_tensor(settings, dtype, device)
        self._inverse_sum = inverse_window_sum(settings, length, dtype, device)
        self._signal = partial(OverlapAdd, settings, length, magnitude.shape[:1], like=self._target)
        size = _BLOCK_CPU if device.type == "cpu" else _BLOCK_GPU
        self._block = max(1, size // (settings.n_fft * max(1, magnitude.shape[0])))

    def project(self, x: Tensor) -> Tensor:
        """Put the wanted magnitudes on the phases of ``x`` ``[channels, length]``, and invert."""
        signal = self._signal()
        for start, spec in self._spectra(x):
            self._add(signal, start, spec.mul_(self._factor(spec, start)))
        return signal.signal() * self._inverse_sum

    def invert(self, phase: Tensor, kept: Tensor | None = None) -> Tensor:
        """Put the wanted magnitudes on the phases of a start (see ``_starts``), and invert.

        Args:
            phase: The start.
            kept: Is filled with the spectra that are inverted, ``[channels, frames, n_bins]``.
        """
        signal = self._signal()
        for start, spec in self._starts(phase):
            spec.mul_(self._factor(spec, start))
            if kept is not None:
                kept[:, start : start + spec.shape[1]] = spec
            self._add(signal, start, spec)
        return signal.signal() * self._inverse_sum

    def raar(self, phase: Tensor, pairs: int, beta: Schedule) -> Tensor:
        """Run relaxed averaged alternating reflections.

        With c₀ = S·e^{iφ}, p = P c and x = A⁺p, a step is c ← β (c + A(2x - A⁺c)) + (1 - 2β) p: the paper's
        β/2 (R₁R₂ + 1) + (1 - β) P₂ with P₂ = P and P₁ = A A⁺ written out. As A⁺A = 1, the next A⁺c is this
        x, so that a step takes one pair; and all that it needs of a block of frames is done in one pass.

        Args:
            phase: Start of which the phase counts: complex, ``[channels, n_bins, frames]``, or a waveform
                ``[channels, length]``.
            pairs: Number of pairs, after the start's own inverse; 0: that inverse.
            beta: Gives the β of each step, from 0 to 1. It is called with the step's number, from 1, and the
                last A⁺p by then, which is that of the step before the last.

        Returns:
            A⁺p, ``[channels, length]``.

        Reference:
            Luke 2005, "Relaxed averaged alternating reflections for diffraction imaging", Inverse
            Problems 21(1).
        """
        kept = self._target.new_empty(
            (*self._target.shape[:2], self._settings.n_bins), dtype=self._target.dtype.to_complex()
        )
        x = self.invert(phase, kept)
        reflected, following = x, beta(1, x) if pairs else 0.0
        kept.mul_(1.0 - following)
        for number in range(1, pairs + 1):
            now, following = following, beta(number + 1, x) if number < pairs else 0.0
            signal = self._signal()
            for first, spec in self._spectra(reflected):
                c = kept[:, first : first + spec.shape[1]]
                c.add_(spec, alpha=now)
                p = c * self._factor(c, first)
                self._add(signal, first, p)
                c.mul_(following).add_(p, alpha=1.0 - 2.0 * following)
            previous, x = x, signal.signal() * self._inverse_sum
            reflected = torch.lerp(previous, x, 2.0)
        return x

    def accelerated(
        self,
        x: Tensor,
        pairs: int,
        *,
        alpha: float = 0.99,
        beta: float = 0.99,
        gamma: float = 1.25,
    ) -> Tensor:
        """Run the accelerated Griffin-Lim algorithm, in the time domain.

        ``t = (1 - gamma) d + gamma A⁺P A c``, then ``c = t + alpha (t - t_before)`` and
        ``d = t + beta (t - t_before)``. With ``gamma`` 1 it is fast Griffin-Lim with momentum ``alpha``, and
        with ``alpha`` 0 as well the plain one.

        The defaults were found here, on recordings, after a start by reflections: they end 0.2 dB below fast
        Griffin-Lim and some 1 dB below ``alpha`` 0.09, ``beta`` 1.1. They are not values for which the paper
        proves convergence; an ``alpha`` of 1.1 diverges.

        Args:
            x: Start, ``[channels, length]``.
            pairs: Number of pairs.
            alpha: Momentum.
            beta: Momentum of what is averaged over.
            gamma: Relaxation, from 0 to 2.

        Returns:
            The last t, ``[channels, length]``.

        Reference:
            Nenov, Nguyen, Balazs & Boţ 2023, "Accelerated Griffin-Lim algorithm: a fast and provably
            converging numerical method for phase retrieval", arXiv 2306.12504.
        """
        t = c = d = x
        for _ in range(pairs):
            previous, t = t, self.project(c)
            if gamma != 1.0:
                t = torch.lerp(d, t, gamma)
            c = torch.lerp(previous, t, 1.0 + alpha)
            d = c if beta == alpha else torch.lerp(previous, t, 1.0 + beta)
        return t

    def _starts(self, phase: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the first frame and the spectrum ``[channels, frames, n_bins]`` of each block of a start."""
        if not phase.is_complex():
            yield from self._spectra(phase.expand(self._target.shape[0], -1))
            return
        for start in range(0, self._target.shape[1], self._block):
            spec = phase[..., start : start + self._block].transpose(-1, -2).contiguous()
            spec = spec.to(self._target.dtype.to_complex(), copy=True)
            # A start from outside may be of any size: bring it near 1, so that no square underflows.
            largest = torch.view_as_real(spec).abs().amax(-1).clamp_(min=torch.finfo(spec.dtype).tiny)
            spec /= largest
            yield start, spec

    def convergence_db(self, x: Tensor) -> float:
        """Return the spectral convergence of ``x`` ``[channels, length]``."""
        error = torch.zeros((), dtype=torch.float64)
        for start, spec in self._spectra(x):
            difference = magnitudes(spec) - self._target[:, start : start + spec.shape[1]]
            error += difference.norm().cpu().double() ** 2
        wanted = float(self._target.norm())
        distance = math.sqrt(float(error))
        if distance == 0.0:
            return -math.inf
        return 20.0 * math.log10(distance / wanted) if wanted > 0.0 else math.inf

    def _spectra(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the first frame and the spectrum ``[channels, frames, n_bins]`` of each block."""
        n_fft, hop = self._settings.n_fft, self._settings.hop_length
        right = (self._target.shape[1] - 1) * hop + n_fft // 2 - self._length
        frames = torch.nn.functional.pad(x, (n_fft // 2, right)).unfold(-1, n_fft, hop)
        for start in range(0, frames.shape[1], self._block):
            yield start, torch.fft.rfft(frames[:, start : start + self._block] * self._window)

    def _factor(self, spec: Tensor, start: int) -> Tensor:
        """Return what makes the magnitudes of a block the wanted ones; 0 stays 0."""
        tiny = torch.finfo(self._target.dtype).tiny
        return self._target[:, start : start + spec.shape[1]] / magnitudes(spec).clamp_(min=tiny)

    def _add(self, signal: OverlapAdd, start: int, spec: Tensor) -> None:
        """Invert a block of spectra and overlap-add it at its place."""
        signal.add(torch.fft.irfft(spec, n=self._settings.n_fft).mul_(self._window), start)
