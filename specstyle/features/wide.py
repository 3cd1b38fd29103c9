"""A random one-layer network for sound: frequency bins are its input channels."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor
from torch.nn import functional as F

LAYER = "relu1"

PROBE = 64
"""Columns of an image that suffice to see how many rows there are."""


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

    stride, whole_rows = 1, True
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
        self._filters = filters.to(device)

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
        maps = F.relu_(F.conv1d(x.to(self._filters.dtype), self._filters))[:, :, None, :]
        return {LAYER: maps.float() if maps.dtype.itemsize < 4 else maps}
