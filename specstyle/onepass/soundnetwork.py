"""A small network that plays a sound by a style in one pass: it shapes the content and noise in bands."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from specstyle.media import equalize
from specstyle.media.bands import between_bands, mel_weights
from specstyle.media.stft import StftSettings, window_tensor

SAMPLE_RATE = 44100
"""At which it works, in Hz."""

STFT = StftSettings(2048, 512, 2048, "hann")
"""Its frames: 46 ms long, a quarter of that apart."""

BANDS = 48
"""Mel bands in which it looks and shapes."""

NOISES, RANDOM = 2, 8
"""Sources of noise (Gaussian, and sparse impulses), and random numbers for each frame."""

WIDTH = 128
"""Channels between its layers."""

DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)
"""Frames between the taps of each block, of which there are three."""

AHEADS = (1, 2, 4, 0, 1, 0, 0, 0)
"""Frames that each block looks ahead."""

AHEAD, PAST = sum(AHEADS), 2 * sum(DILATIONS) - sum(AHEADS)
"""Frames after and before a frame that can influence it."""

GATE = 8
"""Of the content itself, ``(1 - strength)^GATE`` stays in the output."""

PARTIAL_HZ = 172.0
"""On either side of a bin: what it must stand out of to be of a partial (see ``media.bands.Fine``)."""

PARTIAL = 0.6
"""How far, in units of ``log1p(10 magnitude)``, for half of it to count as one."""

QUIETEST, LOUDEST = -9.0, 4.0
"""What logarithms of gains stay within."""


class SoundStyleNetwork(nn.Module):
    """Spectra to those of the same sound played by a style.

    The content is parted into what stands out of its surroundings in frequency, its partials, and the rest.
    The network gives gains over time, in bands, to these two and to two noises of the style's spectrum; the
    output is their sum, with the phases that they have. No normalization looks beyond a frame, and a frame
    depends on few around it: so it runs block by block, with no seam, and on a stream.

    All styles share the convolutions. What tells them apart are scales, shifts and gains that are quadratic
    in strength; styles blend by blending these.

    Args:
        styles: How many.

    Reference:
        Convolutions over time, dilated and separable: Bai, Kolter & Koltun 2018; scales and shifts by a
        condition: Perez et al. 2018, Dumoulin, Shlens & Kudlur 2017; shaping harmonic and noisy parts by
        gains in bands: Serra & Smith 1990, Engel et al. 2020.
    """

    def __init__(self, styles: int) -> None:
        super().__init__()
        self.styles, self.parts = styles, 2 + NOISES
        self.enter = nn.Conv1d(BANDS * self.parts + RANDOM, WIDTH, 1)
        self.blocks = nn.ModuleList([_Block(d, a, styles) for d, a in zip(DILATIONS, AHEADS, strict=True)])
        self.leave = nn.Conv1d(WIDTH, BANDS * self.parts, 1)
        with torch.no_grad():
            for parameter in self.leave.parameters():
                parameter.zero_()
            list(self.leave.parameters())[1][2 * BANDS :] = -1.5  # at first, the content and a little noise
        self.gains = nn.Parameter(torch.zeros(3 * styles, BANDS * self.parts))
        self.spectra: Tensor
        self.to_bands: Tensor
        self.to_bins: Tensor
        self.levels: Tensor
        self.register_buffer("spectra", torch.ones(styles, STFT.n_bins))
        self.register_buffer("levels", torch.zeros(styles, equalize.BANDS, equalize.QUANTILES))
        bands = mel_weights(STFT, SAMPLE_RATE, BANDS)
        self.register_buffer("to_bands", bands / bands.sum(1, keepdim=True), persistent=False)
        self.register_buffer("to_bins", between_bands(STFT, SAMPLE_RATE, BANDS).float(), persistent=False)

    def forward(
        self, content: Tensor, noises: Sequence[Tensor], random: Tensor, blend: Tensor, strength: Tensor
    ) -> Tensor:
        """Play a content by a style.

        Args:
            content: Spectra, complex ``[B, n_bins, frames]``, of a mean power of 1 (see ``prepare``).
            noises: Spectra of the noises, colored as the style is, likewise.
            random: Normal numbers, ``[B, RANDOM, frames]``.
            blend: Weight of each style, ``[B, styles]``; each row adds up to 1.
            strength: From 0 (the content, exactly) to 1, ``[B]``.

        Returns:
            Spectra, complex ``[B, n_bins, frames]``.
        """
        powers = torch.stack([torch.ones_like(strength), strength, strength.square()], 1)
        condition = (blend[:, :, None] * powers[:, None]).flatten(1)
        partials = _partials(content)
        parts = [content * partials, *(part * (1.0 - partials) for part in (content, *noises))]
        maps = self.enter(torch.cat([*(self._look(part) for part in parts), random], 1))
        for block in self.blocks:
            maps = block(maps, condition)
        logs = self.leave(maps) + (condition @ self.gains)[:, :, None]
        kept = (1.0 - strength)[:, None, None] ** GATE
        output = kept * content
        for part, log in zip(parts, logs.clamp(QUIETEST, LOUDEST).chunk(self.parts, 1), strict=True):
            output = output + part * ((1.0 - kept) * (self.to_bins @ log).exp())
        return output

    def _look(self, spectra: Tensor) -> Tensor:
        power: Tensor = self.to_bands @ spectra.abs().square()
        return torch.log1p(10.0 * power.clamp_min(1e-12).sqrt())


class _Block(nn.Module):
    """Three taps of each channel, then a mixture of the channels, added to what came in."""

    def __init__(self, dilation: int, ahead: int, styles: int) -> None:
        super().__init__()
        self._padding = (2 * dilation - ahead, ahead)
        self.each = nn.Conv1d(WIDTH, WIDTH, 3, dilation=dilation, groups=WIDTH)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 1)
        start = torch.zeros(styles, 3, WIDTH)
        self.shift = nn.Parameter(start.flatten(0, 1).clone())
        start[:, 0] = 1.0
        self.scale = nn.Parameter(start.flatten(0, 1))

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        found = self.each(F.pad(maps, self._padding)).transpose(1, 2)
        found = F.layer_norm(found, (WIDTH,)).transpose(1, 2)
        found = found * (condition @ self.scale)[:, :, None] + (condition @ self.shift)[:, :, None]
        added: Tensor = self.mix(F.gelu(found))
        return maps + added


def practice(
    network: SoundStyleNetwork, samples: Tensor, blend: Tensor, strengths: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the spectra that a network makes of sounds, and the equalized ones that it made them of.

    Args:
        network: The network.
        samples: ``[B, length]``.
        blend: Weight of each style, ``[B, styles]``.
        strengths: ``[B]``.
        generator: Of the noises.

    Returns:
        Complex, ``[B, n_bins, frames]`` each.
    """
    half, length = STFT.n_fft // 2, samples.shape[1]
    spectra, wanted = spectra_of(F.pad(samples, (half, half))), blend @ network.spectra
    gains = [
        prepare(one.abs().square().mean(1), style, float(strength))
        for one, style, strength in zip(spectra, wanted, strengths, strict=True)
    ]
    content = spectra * torch.stack(gains)[..., None]
    normal = torch.randn(samples.shape, generator=generator)
    sparse = torch.stack([impulses(length, generator) for _ in samples])
    noises = [spectra_of(F.pad(n, (half, half))) * wanted.sqrt()[..., None] for n in (normal, sparse)]
    random = torch.randn(len(samples), RANDOM, spectra.shape[2], generator=generator)
    return network(content, noises, random, blend, strengths), content


def prepare(power: Tensor, wanted: Tensor, strength: float) -> Tensor:
    """Return the gains that equalize a content to a style and bring its mean power to 1, ``[n_bins]``.

    Args:
        power: Of the content, the mean over its frames, ``[n_bins]``.
        wanted: The style's, of mean 1.
        strength: Up to 0.5 the equalizer comes in in proportion; networks have learned so.
    """
    level = power.mean().clamp_min(1e-20)
    ratio = _smooth(wanted) / _smooth(power / level).clamp_min(1e-6)
    gains = ratio ** (0.5 * min(1.0, 2.0 * strength))
    return gains / (power * gains.square()).mean().clamp_min(1e-20).sqrt()


def impulses(length: int, generator: torch.Generator) -> Tensor:
    """Return sparse impulses of random sign and heavy-tailed size, of variance 1, ``[length]``."""
    here = torch.rand(length, generator=generator) < _IMPULSES_PER_S / SAMPLE_RATE
    size = torch.exp(1.2 * torch.randn(length, generator=generator))
    sign = torch.randn(length, generator=generator).sign()
    variance = _IMPULSES_PER_S / SAMPLE_RATE * math.exp(2.0 * 1.2**2)
    found: Tensor = here * size * sign / math.sqrt(variance)
    return found


_IMPULSES_PER_S = 60.0


def spectra_of(part: Tensor) -> Tensor:
    """Return the frames of a stretch of samples ``[C, n]`` without padding: white noise has a power of 1."""
    window = window_tensor(STFT, part.dtype, part.device)
    found: Tensor = torch.stft(
        part, STFT.n_fft, STFT.hop_length, window=window, center=False, return_complex=True
    )
    scaled: Tensor = found / window.square().sum().sqrt()
    return scaled


def _partials(spectra: Tensor) -> Tensor:
    """Return how much of each bin is of a partial, from 0 to 1."""
    image = torch.log1p(10.0 * spectra.abs())
    reach = round(PARTIAL_HZ * STFT.n_fft / SAMPLE_RATE)
    width = 2 * reach + 1
    padded = F.pad(image[:, None], (0, 0, reach + 1, reach), mode="replicate")[:, 0].cumsum(1)
    above = (image - (padded[:, width:] - padded[:, :-width]) / width).relu() ** 4
    return above / (above + PARTIAL**4)


def _smooth(power: Tensor) -> Tensor:
    """Return the mean over nine bins."""
    return F.avg_pool1d(F.pad(power[None, None], (4, 4), mode="replicate"), 9, stride=1)[0, 0]
