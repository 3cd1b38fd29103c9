"""A random one-layer network for sound: frequency bins are its input channels."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor
from torch.nn import functional as F

LAYER = "relu1"

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
        dtype: Of filters and convolution. Maps are float32 where that is less precise.

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
        self.rows, self.width = rows, width
        self.halo = width - 1  # a position sits at the first of its frames
        generator = torch.Generator().manual_seed(seed)
        filters = torch.randn(n_filters, rows, width, generator=generator)
        self._filters = (filters * math.sqrt(variances[scaling])).to(device=device, dtype=dtype)

    def sha256(self) -> str:
        """Return the hash of the filters as hexadecimal digits."""
        return hashlib.sha256(self._filters.cpu().float().numpy().data).hexdigest()

    def map_size(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        """Return channels, height (1) and width of the maps of an image of ``height`` x ``width``."""
        return len(self._filters), 1, max(width - self.width + 1, 1)

    def activations(self, height: int, width: int) -> int:
        """Return how many values forward and back hold at once for one image, from what was measured."""
        if width < _LONG:
            return 2 * (len(self._filters) + self.rows) * width + 3 * self._filters.numel()
        return 2 * (len(self._filters) + self.rows * (self.width + 1)) * width

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
        maps = F.relu_(self._convolve(x.to(self._filters.dtype)))[:, :, None, :]
        return {LAYER: maps.float() if maps.dtype.itemsize < 4 else maps}

    def _convolve(self, x: Tensor) -> Tensor:
        """Return ``[B, n_filters, W - width + 1]`` for ``[B, rows, W]``."""
        if x.shape[2] < _LONG:
            return F.conv1d(x, self._filters)
        # As one matrix product: a convolution copies its filters (185 MB of them) into another layout.
        columns = x.unfold(2, self.width, 1).permute(0, 1, 3, 2).flatten(1, 2)
        return self._filters.flatten(1) @ columns
