"""Any sound as a style at once: what its bands do over time, in place of a training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from specstyle.media.sounds import Sound
from specstyle.onepass.playing import take_in
from specstyle.onepass.soundnetwork import BANDS, SAMPLE_RATE, STFT, SoundStyleNetwork, spectra_of
from specstyle.onepass.stylefile import mixed

LAGS = (1, 2, 4, 8, 16, 32)
"""Frames over which a band's changes are measured."""

APART = (1, 3, 9)
"""Bands between which correlations are measured."""

SIZE = BANDS * (3 + len(LAGS) + len(APART))
"""Numbers that describe a style."""

KINDS, HIDDEN = 12, 48
"""Sounds that the network can mix styles of, and channels on the way to how."""


class AnySoundNetwork(nn.Module):
    """A ``SoundStyleNetwork`` of a few kinds of sound, and what tells how to mix a style of them.

    Reference:
        Scales and shifts told by a second network from the style: Ghiasi et al. 2017. The statistics are, in
        part, those of McDermott & Simoncelli 2011.
    """

    def __init__(self) -> None:
        super().__init__()
        self.plays = SoundStyleNetwork(KINDS)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(SIZE))
        self.register_buffer("scale", torch.ones(SIZE))
        self.tells = nn.Sequential(nn.Linear(SIZE, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, KINDS))

    def mixture(self, described: Tensor) -> Tensor:
        """Return how a style is mixed of the kinds, ``[B, KINDS]``, from its description ``[B, SIZE]``."""
        told: Tensor = self.tells(((described - self.mean) / self.scale).clamp(-4.0, 4.0))
        return torch.cat([1.0 + told[:, :1], told[:, 1:]], 1)

    @torch.no_grad()
    def network(self, styles: list[Tensor]) -> SoundStyleNetwork:
        """Return a network of styles, as if it had been trained on them.

        Args:
            styles: Samples at ``soundnetwork.SAMPLE_RATE``, ``[length]`` each.
        """
        found: SoundStyleNetwork = mixed(
            self.plays, "audio", self.mixture(torch.stack([describe(style) for style in styles]))
        )
        take_in(found, [Sound(style[None].double(), SAMPLE_RATE) for style in styles])
        return found.eval().requires_grad_(False)


@torch.no_grad()
def describe(samples: Tensor) -> Tensor:
    """Return what the bands of a sound do, ``[SIZE]``: moments, changes over time, correlations.

    Args:
        samples: ``[length]`` at ``soundnetwork.SAMPLE_RATE``; their level does not count.
    """
    spectra = spectra_of(F.pad(samples[None].float(), (STFT.n_fft // 2, STFT.n_fft // 2)))[0]
    spectra = spectra / spectra.abs().square().mean().clamp_min(1e-20).sqrt()
    power = SoundStyleNetwork(1).to_bands @ spectra.abs().square()
    levels = torch.log1p(10.0 * power.clamp_min(1e-12).sqrt())
    mean = levels.mean(1)
    centered = levels - mean[:, None]
    deviation, third = centered.square().mean(1).sqrt(), centered.pow(3).mean(1)
    parts = [mean, deviation, third.sign() * third.abs() ** (1 / 3)]
    lags = [min(lag, levels.shape[1] - 1) for lag in LAGS]
    changes = [levels[:, lag:] - levels[:, : levels.shape[1] - lag] for lag in lags]
    parts += [change.square().mean(1).sqrt() for change in changes]
    normal = centered / deviation[:, None].clamp_min(1e-3)
    parts += [(normal * normal.roll(-apart, 0)).mean(1) for apart in APART]
    return torch.cat(parts)
