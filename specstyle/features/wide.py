"""A random one-layer network for sound: frequency bins are its input channels."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.features.overlapsave import BlockConvolution
from specstyle.features.products import filtered

LAYER = "relu1"

_MANY = 2**20
"""Values of filters from which on a CPU convolves in blocks. With fewer it takes milliseconds in any case."""

_WIDE = 5
"""Frames of a filter from which on blocks save time: twice as fast at 5, no gain at 3."""

_LONG = 512
"""Frames from which on a matrix product is faster on a CPU, by a fifth; at 215 it is slower by as much."""


class WideRandom:
    """One random convolution over time, whose input channels are the frequency bins, and a ReLU.

    Applied to a picture, its rows (of all colors) take the place of the frequencies.

    Args:
        rows: Input channels: C * H of the images, fixed from then on.
        seed: Of the filters.
        n_filters: Output channels. 4096 is the published figure; 512 gives a different and worse result.
        width: Of a filter, in frames.
        scaling: Spread of the Gaussian weights, independent of a clip's length: ``fan_in`` with variance
            2 / n_in (He et al. 2015), ``fan_avg`` with 4 / (n_in + n_out) where both count ``width`` frames
            (as published).
        device: Where to run.
        dtype: Of filters and convolution. Maps are float32 where that is less precise. On a CPU, large
            networks in float32 convolve in short blocks, and hold their filters transformed only.

    Raises:
        ValueError: If ``scaling`` is unknown.

    Reference:
        Ulyanov & Lebedev 2016, "Audio texture synthesis and style transfer".
    """

    stride = 1
    strides = {LAYER: 1}  # noqa: RUF012  # never changed

    def __init__(
        self,
        rows: int,
        *,
        seed: int = 0,
        n_filters: int = 4096,
        width: int = 11,
        scaling: str = "fan_in",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        variances = {"fan_in": 2.0 / (rows * width), "fan_avg": 4.0 / ((rows + n_filters) * width)}
        if scaling not in variances:
            raise ValueError(f"filter_scaling must be fan_in or fan_avg, got {scaling!r}")
        self.rows, self.width, self.n_filters = rows, width, n_filters
        self.halo = width - 1  # a position sits at the first of its frames
        self._spread, self._seed = math.sqrt(variances[scaling]), seed
        filters = self.filters().to(dtype)
        self._sha256 = hashlib.sha256(filters.float().numpy().data).hexdigest()
        # Whatever the image: the same network shall always give the same maps.
        large = filters.numel() >= _MANY and width >= _WIDE
        in_blocks = large and torch.device(device).type == "cpu" and dtype == torch.float32
        self._blocks = BlockConvolution(filters) if in_blocks else None
        self._filters = filters.new_empty(0) if in_blocks else filters.to(device)

    def filters(self) -> Tensor:
        """Return the filters, drawn anew from their seed, ``[n_filters, rows, width]`` in float32."""
        generator = torch.Generator().manual_seed(self._seed)
        return torch.randn(self.n_filters, self.rows, self.width, generator=generator).mul_(self._spread)

    def sha256(self) -> str:
        """Return the hash of the filters as hexadecimal digits."""
        return self._sha256

    def map_size(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        """Return channels, height (1) and width of the maps of an image of ``height`` x ``width``."""
        return self.n_filters, 1, max(width - self.width + 1, 1)

    def largest_map(self, height: int, width: int) -> int:
        """Return how many values the largest map of one image has, wanted or on the way."""
        return max(self.n_filters, self.rows * self.width) * width

    def activations(self, height: int, width: int) -> int:
        """Return how many values forward and back hold at once for one image, from what was measured."""
        if self._blocks is not None:
            return 3 * (self.n_filters + self.rows) * width + self._blocks.values(width)
        if width < _LONG:
            return 2 * (self.n_filters + self.rows) * width + 3 * self.n_filters * self.rows * self.width
        return 2 * (self.n_filters + self.rows * (self.width + 1)) * width

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Turn ``[B, C, H, W]`` into ``{"relu1": [B, n_filters, 1, W - width + 1]}``.

        An image narrower than a filter is repeated at its right border until it is as wide.

        Raises:
            ValueError: If C * H is not the number of rows that the network was made for.
        """
        x = image.flatten(1, 2)
        if x.shape[1] != self.rows:
            raise ValueError(
                f"wide-random was made for {self.rows} rows, got an image {list(image.shape)}; content and "
                "styles need the same height (n_fft for sounds; style_size = content for pictures)"
            )
        if x.shape[2] < self.width:
            x = F.pad(x, (0, self.width - x.shape[2]), mode="replicate")
        if self._blocks is not None:
            return {LAYER: self._blocks(x.float(), rectify=True)[:, :, None, :]}
        maps = F.relu_(_convolved(x, self._filters))[:, :, None, :]
        return {LAYER: maps.float() if maps.dtype.itemsize < 4 else maps}


def _convolved(x: Tensor, filters: Tensor) -> Tensor:
    """Return ``[B, n_filters, W - width + 1]`` for ``[B, rows, W]``, in the type of the filters."""
    x = x.to(filters.dtype)
    if x.shape[2] < _LONG:
        return F.conv1d(x, filters)
    # As one matrix product: a convolution copies its filters (185 MB of them) into another layout.
    columns = x.unfold(2, filters.shape[2], 1).permute(0, 1, 3, 2).flatten(1, 2)
    return filtered(filters.flatten(1), columns)
