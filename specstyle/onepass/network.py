"""A small network that stylizes an image in one pass, for one or more styles, at any strength."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 4
"""Pixels of the image per position of the coarsest maps: sides are brought to multiples of it."""

WIDTHS = (16, 32, 80)
"""Channels at full, half and a quarter of the size."""

BLOCKS = 5
"""Residual blocks at a quarter of the size."""

HALO = 64
"""Pixels around a pixel that can influence it, once the statistics are given; a multiple of ``STRIDE``."""

GATE = 8
"""Of the content itself, ``(1 - strength)^GATE`` stays in the output."""

_EPSILON = 1e-5

Moments = tuple[Tensor, Tensor]
"""Mean and variance of each channel, ``[B, C, 1, 1]`` each."""


class StyleNetwork(nn.Module):
    """An image to the same image in a style: ``network(image, blend, strength)``.

    All styles share the convolutions. What tells them apart are the scales and shifts after each instance
    normalization, which are quadratic in strength; styles blend by blending these.

    Args:
        styles: How many.
        channels: Of the image: 3 for pictures, 1 for spectrograms.
        seen: Channels of what it looks at, if that is more than the image.

    Attributes:
        pixels_at_once: Larger images are stylized in tiles: at once, these take 3 GB.

    Reference:
        Johnson, Alahi & Fei-Fei 2016; instance normalization: Ulyanov, Vedaldi & Lempitsky 2017; a scale and
        a shift for each style: Dumoulin, Shlens & Kudlur 2017; resizing before convolution: Odena, Dumoulin &
        Olah 2016; separable convolutions: Howard et al. 2017 (MobileNets).
    """

    pixels_at_once = 2048 * 2048

    def __init__(self, styles: int, channels: int = 3, *, seen: int | None = None) -> None:
        super().__init__()
        self.styles, self.channels = styles, channels
        full, half, quarter = WIDTHS
        self.enter = _conv((seen or channels) + 1, full, 5)
        self.down = nn.ModuleList([_conv(full, half, 3, stride=2), _conv(half, quarter, 3, stride=2)])
        self.blocks = nn.ModuleList([_separable(quarter, quarter) for _ in range(2 * BLOCKS)])
        self.up = nn.ModuleList([_separable(quarter, half), _separable(half, full)])
        self.leave = _conv(full, channels, 5, bias=True)
        widths = (full, half, quarter, *[quarter] * (2 * BLOCKS), half, full)
        self.norms = nn.ModuleList([_Norm(styles, width) for width in widths])

    def forward(
        self,
        image: Tensor,
        blend: Tensor,
        strength: Tensor,
        *,
        moments: Sequence[Moments] | None = None,
        kept: float = 1.0,
        found: list[Moments] | None = None,
        origin: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """Stylize.

        Args:
            image: ``[B, C, H, W]`` in 0..1, sides multiples of ``STRIDE``.
            blend: Weight of each style, ``[B, styles]``; each row adds up to 1.
            strength: From 0 (the content, exactly) to 1, ``[B]``.
            moments: Of each normalization's input; ``None``: those of this image.
            kept: Share of ``moments``; the rest are those of this image.
            found: Takes in what was used.
            origin: Row and column of the image in the whole that it is a part of.

        Returns:
            ``[B, C, H, W]`` in 0..1.
        """
        painted = self.paint(image, blend, strength, moments=moments, kept=kept, found=found, origin=origin)
        own = kept_of(strength)
        return own * image + (1.0 - own) * torch.sigmoid(painted)

    def paint(
        self,
        seen: Tensor,
        blend: Tensor,
        strength: Tensor,
        *,
        moments: Sequence[Moments] | None = None,
        kept: float = 1.0,
        found: list[Moments] | None = None,
        origin: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """Return what is painted, as logits ``[B, C, H, W]``; for the arguments see ``forward``."""
        powers = torch.stack([torch.ones_like(strength), strength, strength.square()], 1)
        condition = (blend[:, :, None] * powers[:, None]).flatten(1)
        norms = _Norms(self.norms, condition, moments, kept, found)
        noise = _noise(seen.shape[2], seen.shape[3], origin).to(seen).expand(len(seen), 1, -1, -1)
        full = F.relu_(norms(self.enter(torch.cat([seen, noise], 1))))
        half = F.relu_(norms(self.down[0](full)))
        maps = F.relu_(norms(self.down[1](half)))
        for first, second in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            maps = maps + norms(second(F.relu_(norms(first(maps)))))
        # Repeated pixels would leave a comb: in "Starry Night" 5.7 times the spectrum beside its frequency.
        maps = F.relu_(norms(self.up[0](F.interpolate(maps, scale_factor=2.0, mode="bilinear")))) + half
        maps = F.relu_(norms(self.up[1](F.interpolate(maps, scale_factor=2.0, mode="bilinear")))) + full
        logits: Tensor = self.leave(maps)
        return logits


def kept_of(strength: Tensor) -> Tensor:
    """Return the share of the content itself that stays in the output, ``[B, 1, 1, 1]``."""
    return (1.0 - strength)[:, None, None, None] ** GATE


class _Norm(nn.Module):
    """The scale and the shift of each style after one normalization, as polynomials in strength."""

    def __init__(self, styles: int, width: int) -> None:
        super().__init__()
        start = torch.zeros(styles, 3, width)
        self.shift = nn.Parameter(start.flatten(0, 1).clone())
        start[:, 0] = 1.0
        self.scale = nn.Parameter(start.flatten(0, 1))


class _Norms:
    """The normalizations in their order, for one run of the network."""

    def __init__(
        self,
        norms: nn.ModuleList,
        condition: Tensor,
        moments: Sequence[Moments] | None,
        kept: float,
        found: list[Moments] | None,
    ) -> None:
        self._norms: Iterator[Any] = iter(norms)
        self._condition, self._found, self._kept = condition, found, kept
        self._moments = None if moments is None else iter(moments)

    def __call__(self, maps: Tensor) -> Tensor:
        norm = next(self._norms)
        given = None if self._moments is None else next(self._moments)
        if given is None or self._kept < 1.0:
            mean = maps.mean((2, 3), keepdim=True)  # torch.var_mean takes twenty times as long
            variance = (maps - mean).square().mean((2, 3), keepdim=True)
            if given is not None:
                mean, variance = mean.lerp(given[0], self._kept), variance.lerp(given[1], self._kept)
        else:
            mean, variance = given
        if self._found is not None:
            self._found.append((mean, variance))
        scale, shift = (self._condition @ p for p in (norm.scale, norm.shift))
        scale = scale[:, :, None, None] * (variance + _EPSILON).rsqrt()
        return torch.addcmul(shift[:, :, None, None] - mean * scale, maps, scale)


def _noise(height: int, width: int, origin: tuple[int, int]) -> Tensor:
    """Return noise in -0.5..0.5, ``[height, width]``: of each place the same, on any machine.

    Where a content is flat, it gives a style something to paint on (Ulyanov et al. 2016, "Texture networks").
    """
    y, x = (torch.arange(start, start + n) for start, n in zip(origin, (height, width), strict=True))
    mixed = (y[:, None] * 73_856_093) ^ (x * 19_349_663)
    for factor in (1_274_126_177, 668_265_263):
        mixed = ((mixed ^ (mixed >> 15)) * factor) & 0x7FFF_FFFF
    return (mixed >> 7).float() / 2**24 - 0.5


def _conv(channels: int, out: int, size: int, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(channels, out, size, stride=stride, padding=size // 2, padding_mode="reflect", bias=bias)


def _separable(channels: int, out: int) -> nn.Sequential:
    each = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", groups=channels, bias=False)
    return nn.Sequential(each, nn.Conv2d(channels, out, 1, bias=False))
