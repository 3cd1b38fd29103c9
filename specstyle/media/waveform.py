"""The waveform itself as what is optimized, through a differentiable STFT: no phase to reconstruct."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from specstyle.media import Encoded
from specstyle.media.audio import AudioSettings, SoundContext, bring_back, compress
from specstyle.media.sounds import Sound
from specstyle.media.stft import StftSettings, stft

_TINY = 1e-12
"""Added to |S|^2 of a sound of RMS 1, so that the magnitude has a gradient in digital silence."""


class WaveformCanvas:
    """Samples that make a log-magnitude image, for ``specstyle.engine.optimize``.

    The parameters are samples at the working rate, scaled so that each channel of the start has RMS 1.

    Args:
        start: What to start from; its ``image`` is what this canvas makes at first (but for the tiny
            amount that keeps the gradient finite).
        settings: As ``start`` was encoded.
        device: Where to optimize.
        loop: The samples are a circle: their image has no border in time, and goes on from the end into the
            beginning for so many more frames, so that a network sees each patch of the circle once. ``None``:
            they are not.
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
        # Fourier transforms run on the CPU where the device is MPS; the image goes to the device.
        compute = torch.device("cpu") if self._device.type == "mps" else self._device
        working = context.working().to(device=compute, dtype=torch.float32)
        rms = working.square().mean(1, keepdim=True).sqrt()
        rms = torch.where(rms > 0, rms, 1.0)
        magnitude = stft(working, context.stft).abs()
        level = magnitude.square().mean((1, 2)).sqrt()[:, None, None]
        own_level = level if settings.normalize_level else torch.ones_like(level)
        self._gain = rms[..., None] / torch.where(own_level > 0, own_level, 1.0)
        samples = working / rms
        self._samples = samples.contiguous().requires_grad_(True)

    def parameters(self) -> list[Tensor]:
        """Return the samples, ``[channels, length]``."""
        return [self._samples]

    def image(self) -> Tensor:
        """Return their log-magnitude image, ``[channels, 1, n_bins, frames]``."""
        transform = self._context.stft
        if self._loop is None:
            spec = stft(self._samples, transform)
        else:
            spec = circular_stft(self._samples, transform, self._loop)
        magnitude = (spec.real.square() + spec.imag.square() + _TINY).sqrt()
        return compress(magnitude * self._gain, self._settings)[:, None].to(self._device)

    def bounds(self) -> None:
        """Return ``None``: samples have no box."""

    def sound(self, samples: Tensor) -> Sound:
        """Return parameters as a sound of the content's rate and length, before ``finish``."""
        return replace(self._context.sound, samples=bring_back(samples.double().cpu(), self._context))


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
