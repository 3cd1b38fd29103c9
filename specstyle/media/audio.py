"""Sound to log-magnitude image and back, and the choices: rate, length, channels and level are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specstyle.media import Encoded
from specstyle.media.inversion import InversionResult, Method, Start, invert
from specstyle.media.phase import spectral_convergence_db
from specstyle.media.sounds import Sound, resample
from specstyle.media.stft import StftSettings, auto_stft, circular_stft, stft, stft_magnitude

Inverse = Callable[[Tensor, StftSettings, int], Any]
"""Magnitudes ``[channels, n_bins, frames]``, transform and length to samples ``[channels, length]``."""

_FAINT = 1e-8
"""RMS of the noise that stands in for digital silence, where a channel's peak is near 1."""

_BLOCK = 1024
"""Frames in work at once."""

_LOG1P_TOP = 100.0
"""Magnitude, as a multiple of the channel's RMS, that the image value 1 stands for (log1p)."""

_TINY = 1e-12
"""Added to |S|^2 of a sound of RMS 1, so that the magnitude has a gradient in digital silence."""


@dataclass(frozen=True)
class AudioSettings:
    """How a sound becomes an image, and how an image becomes a sound.

    Attributes:
        n_fft: FFT size in samples; ``None``: see ``auto_stft``. So for ``hop_length`` and ``win_length``.
        hop_length: Samples from frame to frame.
        win_length: Window length in samples.
        window: Name of a SciPy window.
        log_gain: k in log1p(k |S| / level).
        normalize_level: Divide each channel's magnitudes by their RMS, so that loudness does not count.
        unit_scale: Divide the compressed magnitudes so that they lie at about 0..1. ``False``: plain
            log1p(k |S| / level).
        sample_rate: Working rate in Hz; ``None``: the sound's own.
        phase: Where the phase reconstruction starts, see ``invert``: ``"auto"``, ``"content"``, ``"pghi"``,
            ``"random"`` or ``"zero"``.
        phase_method: ``"pghi-raar"``, ``"fast-griffin-lim"`` or ``"griffin-lim"``.
        phase_iterations: Pairs of one transform and one inverse; 0: the start phase as it is.
        phase_momentum: Of fast Griffin-Lim.

    Raises:
        ValueError: If there is no such transform.
    """

    n_fft: int | None = None
    hop_length: int | None = None
    win_length: int | None = None
    window: str = "hann"
    log_gain: float = 1.0
    normalize_level: bool = True
    unit_scale: bool = True
    sample_rate: int | None = None
    phase: Start = "auto"
    phase_method: Method = "pghi-raar"
    phase_iterations: int = 64
    phase_momentum: float = 0.99

    def __post_init__(self) -> None:
        if self.n_fft is not None or (self.hop_length is None and self.win_length is None):
            self.stft_at(44100)  # the rate may decide the rest, but not whether these fit together

    def stft_at(self, sample_rate: int) -> StftSettings:
        """Return the transform for a sound of ``sample_rate`` Hz (the working rate, if one is set)."""
        return auto_stft(
            self.sample_rate or sample_rate,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.win_length,
            window=self.window,
        )


def compress(ratio: Tensor, settings: AudioSettings) -> Tensor:
    """Turn magnitudes (as multiples of the level) into image values."""
    return torch.log1p(settings.log_gain * ratio) / _scale(settings)


def expand(image: Tensor, settings: AudioSettings) -> Tensor:
    """Turn image values into magnitudes (as multiples of the level): the inverse of ``compress``."""
    return (torch.expm1(image * _scale(settings)) / settings.log_gain).clamp(min=0.0)


def _scale(settings: AudioSettings) -> float:
    """Return what compressed magnitudes are divided by."""
    return math.log1p(settings.log_gain * _LOG1P_TOP) if settings.unit_scale else 1.0


@dataclass(frozen=True, eq=False)
class SoundContext:
    """What ``decode`` needs beside the image.

    Attributes:
        sound: What was encoded.
        exponent: ``[channels, 1]``: each channel is worked on divided by two to this power, to a peak of 0.5
            to 1 if levels are normalized.
        length: In samples at the working rate.
        working_rate: In Hz.
        stft: The transform.
        level: float64, ``[channels, 1]``: what magnitudes were divided by.
    """

    sound: Sound
    exponent: NDArray[np.int32]
    length: int
    working_rate: int
    stft: StftSettings
    level: Tensor

    def working(self) -> Tensor:
        """Return float64 samples at the working rate on the CPU, ``[channels, length]``, made anew.

        Scaled by powers of two, which is exact: equal sounds of unequal level stay equal.
        """
        samples = torch.from_numpy(np.ldexp(self.sound.samples.numpy(), -self.exponent))
        return resample(replace(self.sound, samples=samples), self.working_rate).samples


class SoundCodec:
    """Sounds as log-magnitude images ``[channels, 1, n_bins, frames]``.

    Args:
        settings: See ``AudioSettings``.
        seed: Of every random phase. Decoding the same image twice gives the same sound.
    """

    def __init__(self, settings: AudioSettings | None = None, *, seed: int = 0) -> None:
        self.settings, self._seed = settings or AudioSettings(), seed

    def encode(
        self, source: Sound, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Encoded:
        """Turn a sound into its log-magnitude image.

        Args:
            source: The sound; it is resampled first if the settings have a working rate.
            dtype: Of the image. The transform runs in float64 for float64 and in float32 otherwise.
            device: Of the image.

        Returns:
            The image ``[channels, 1, n_bins, frames]``, its valid range and the context. No value is
            clamped, and a louder copy of a sound (by a power of two) has exactly the same image.
        """
        settings, rate = self.settings, self.settings.sample_rate or source.sample_rate
        exponent: NDArray[np.int32] = np.zeros((len(source.samples), 1), np.int32)
        if settings.normalize_level:
            exponent = np.frexp(source.samples.abs().amax(dim=1, keepdim=True).numpy())[1]
        transform = settings.stft_at(source.sample_rate)
        context = SoundContext(source, exponent, 0, rate, transform, torch.ones(1, 1))
        working = _to_compute(context.working(), dtype, device)
        image = stft_magnitude(working, transform)
        level = image.new_ones(len(image), 1)
        if settings.normalize_level:
            # Bin by bin first: one norm of millions of values loses digits.
            rows = torch.linalg.vector_norm(image, dim=2)
            found = torch.linalg.vector_norm(rows, dim=1) / math.sqrt(max(image[0].numel(), 1))
            level = torch.where(found > 0, found, 1.0).unsqueeze(1)
        for part in torch.split(image, _BLOCK, dim=2):  # in place: no second image is held
            part.copy_(compress(part / level[..., None], settings))
        true_level = torch.from_numpy(np.ldexp(level.double().cpu().numpy(), exponent))
        context = replace(context, length=working.shape[1], level=true_level)
        image = image.unsqueeze(1).to(device=device, dtype=dtype)
        return Encoded(image, max(1.0, float(image.max())), context)

    def decode(self, image: Tensor, like: Encoded) -> Sound:
        """Turn an image into a sound of the rate, length and channels of the one that was encoded.

        Args:
            image: Of the shape of ``like.image``; negative magnitudes, which an optimizer's overshoot
                could stand for, count as 0.
            like: What ``encode`` returned for the content.

        Returns:
            The sound, before ``finish``.

        Raises:
            ValueError: If the shape differs, or the image is not finite.
        """
        return self.decode_with_report(image, like)[0]

    def decode_with_report(
        self, image: Tensor, like: Encoded, *, with_function: Inverse | None = None
    ) -> tuple[Sound, InversionResult, Tensor]:
        """Decode, and say how the phase was reconstructed and how near it came.

        Args:
            image: Of the shape of ``like.image``; negative magnitudes, which an optimizer's overshoot
                could stand for, count as 0.
            like: What ``encode`` returned for the content.
            with_function: In the place of ``invert``.

        Returns:
            The sound, before ``finish_sound``; the inversion at the working rate with all channels at equal
            level: method, start and spectral convergence; the magnitudes that were inverted, ``[channels,
            n_bins, frames]``.

        Raises:
            ValueError: If the shape differs, the image is not finite, or a function gives anything but a
                waveform of the content's length.
        """
        context: SoundContext = like.context
        if image.shape != like.image.shape:
            raise ValueError(f"image has shape {list(image.shape)}; it must be {list(like.image.shape)}")
        settings = self.settings
        magnitude = _to_compute(image.detach()[:, 0], image.dtype, image.device).clone()
        for part in torch.split(magnitude, _BLOCK, dim=2):
            part.copy_(expand(part, settings))
        if with_function is not None:
            result = _inverted_by(with_function, magnitude, context)
        else:
            generator = torch.Generator().manual_seed(self._seed)
            uses_content = settings.phase in ("auto", "content")
            result = invert(
                magnitude,
                context.stft,
                context.length,
                method=settings.phase_method,
                iterations=settings.phase_iterations,
                momentum=settings.phase_momentum,
                start=settings.phase,
                content=_content_phase(context, magnitude, generator) if uses_content else None,
                generator=generator,
            )
        samples = result.waveform.cpu() * context.level  # float64, as the level is
        return replace(context.sound, samples=bring_back(samples, context)), result, magnitude


def _inverted_by(function: Inverse, magnitude: Tensor, context: SoundContext) -> InversionResult:
    """Return what a caller's own inversion makes of magnitudes, checked and measured like ours."""
    wanted = [len(magnitude), context.length]
    found = torch.as_tensor(function(magnitude, context.stft, context.length))
    if list(found.shape) != wanted or not found.is_floating_point():
        raise ValueError(f"invert must return samples {wanted}, got {found.dtype} {list(found.shape)}")
    found = found.detach().to(magnitude)
    level = spectral_convergence_db(found, magnitude, context.stft)
    return InversionResult(found, level, getattr(function, "__name__", "custom"), "custom")


def _to_compute(x: Tensor, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Bring a tensor to where Fourier transforms work: float32 or float64, and not on mps."""
    device = torch.device("cpu") if torch.device(device).type == "mps" else torch.device(device)
    return x.to(device=device, dtype=torch.float64 if dtype == torch.float64 else torch.float32)


def _content_phase(context: SoundContext, magnitude: Tensor, generator: torch.Generator) -> Tensor:
    """Return the content's waveform, of whose spectrogram the phase counts, with faint noise for zeros.

    In digital silence there is no phase, and what a style puts there would be lost.
    """
    working = context.working()
    noise = torch.randn(working.shape[1], generator=generator, dtype=torch.float64)
    return torch.where(working == 0, _FAINT * noise, working).to(magnitude)


def bring_back(samples: Tensor, context: SoundContext) -> Tensor:
    """Bring samples ``[channels, length]`` from the working rate to the content's rate and exact length."""
    length = context.sound.samples.shape[1]
    back = resample(Sound(samples, context.working_rate), context.sound.sample_rate).samples
    # Cut, or append zeros: two resamplings may disagree about a sample or two.
    return torch.nn.functional.pad(back[:, :length], (0, max(0, length - back.shape[1])))


class WaveformCanvas:
    """Samples that make a log-magnitude image, for ``specstyle.engine.optimize``: no phase to reconstruct.

    The parameters are samples at the working rate, scaled so that each channel of the start has RMS 1.

    Args:
        start: What to start from; its ``image`` is what this canvas makes at first (but for the tiny
            amount that keeps the gradient finite).
        settings: As ``start`` was encoded.
        device: Where to optimize.
        loop: The samples are a circle, whose image goes on from the end into the beginning for so many more
            frames, so that a network sees each patch of it once. ``None``: they are not.
    """

    def __init__(
        self,
        start: Encoded,
        settings: AudioSettings,
        *,
        device: torch.device | str = "cpu",
        loop: int | None = None,
    ) -> None:
        context: SoundContext = start.context
        self._settings, self._context, self._loop = settings, context, loop
        self._device = torch.device(device)
        working = _to_compute(context.working(), torch.float32, self._device)
        rms = working.square().mean(1, keepdim=True).sqrt()
        rms = torch.where(rms > 0, rms, 1.0)
        level = torch.ones_like(rms)
        if settings.normalize_level:
            found = stft(working, context.stft).abs().square().mean((1, 2)).sqrt()[:, None]
            level = torch.where(found > 0, found, 1.0)
        self._gain = (rms / level)[..., None]
        self._samples = (working / rms).contiguous().requires_grad_(True)

    def parameters(self) -> list[Tensor]:
        """Return the samples, ``[channels, length]``."""
        return [self._samples]

    def image(self) -> Tensor:
        """Return their log-magnitude image, ``[channels, 1, n_bins, frames]``."""
        x, transform = self._samples, self._context.stft
        spec = stft(x, transform) if self._loop is None else circular_stft(x, transform, self._loop)
        magnitude = (spec.real.square() + spec.imag.square() + _TINY).sqrt()
        return compress(magnitude * self._gain, self._settings)[:, None].to(self._device)

    def bounds(self) -> None:
        """Return ``None``: samples have no box."""

    def sound(self, samples: Tensor) -> Sound:
        """Return parameters as a sound of the content's rate and length, before ``finish``."""
        return replace(self._context.sound, samples=bring_back(samples.double().cpu(), self._context))
