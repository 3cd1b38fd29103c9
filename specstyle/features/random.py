"""Networks with random weights: VGG19, set layer by layer so that Gram matrices carry style; a wide one."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.features.vgg import prepare
from specstyle.features.weights import CHANNELS, LAYERS, Weights

WIDE_LAYER = "relu1"

WIDTH = 11
"""Frames of a filter of wide-random, as published."""


@torch.no_grad()
def random_weights(seed: int, *, up_to: str = LAYERS[-1]) -> Weights:
    """Make random weights for VGG19 up to a layer, from a seed of filters and reference images.

    Layer by layer, on a few synthetic reference images: filters with orthonormal rows (from the QR
    factorization of seeded Gaussians), a bias that centers each channel's response, then a scale that makes
    each channel's root-mean-square activation 1. Zero biases make every channel see mostly the mean color,
    and Gram matrices of such maps do no better than a color transfer; with centering they carry palette and
    grain, though not brush strokes.

    Reference:
        Saxe, McClelland & Ganguli 2014 for orthogonal initialization; the calibration is specstyle's own,
        akin to layer-sequential unit variance (Mishkin & Matas 2016).
    """
    generator = torch.Generator().manual_seed(seed)
    maps = torch.cat([prepare(image, "torchvision") for image in reference_images(seed)])
    tensors: dict[str, tuple[Tensor, Tensor]] = {}
    for name in LAYERS[: LAYERS.index(up_to) + 1]:
        if name.endswith("_1") and tensors:
            maps = F.avg_pool2d(maps, 2)
        weight = torch.empty(CHANNELS[name], maps.shape[1], 3, 3)
        torch.nn.init.orthogonal_(weight, generator=generator)
        maps = F.pad(maps, (1, 1, 1, 1), mode="replicate")
        response = F.conv2d(maps, weight)
        bias = -response.mean((0, 2, 3))
        active = F.relu(response + bias[:, None, None])
        scale = active.square().mean((0, 2, 3)).sqrt().reciprocal()
        tensors[name] = (weight * scale[:, None, None, None], bias * scale)
        maps = active * scale[:, None, None]
    digest = hashlib.sha256()
    for weight, bias in tensors.values():
        digest.update(weight.numpy().tobytes() + bias.numpy().tobytes())
    return Weights(tensors, "torchvision", f"vgg19-random (seed {seed})", digest.hexdigest())


def colored_noise(size: int, generator: torch.Generator) -> Tensor:
    """Return color noise with a 1/f spectrum, the average spectrum of photographs.

    Returns:
        ``[1, 3, size, size]`` in 0..1.

    Reference:
        Field 1987 (amplitudes of natural images fall as 1/f).
    """
    frequency = torch.fft.fftfreq(size, dtype=torch.float64)
    radius = (frequency[:, None] ** 2 + frequency[None, : size // 2 + 1] ** 2).sqrt()
    radius[0, 0] = 1.0
    white = torch.randn(3, size, size, generator=generator, dtype=torch.float64)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) / radius, s=(size, size))
    gray = noise.mean(0, keepdim=True)
    mixed = gray + 0.5 * (noise - gray)  # channels of photographs are correlated
    mixed = (mixed - mixed.mean()) / mixed.std()
    image: Tensor = (0.5 + 0.2 * mixed).clamp(0.0, 1.0).float()[None]
    return image


def dead_leaves(size: int, generator: torch.Generator, *, leaves: int = 300) -> Tensor:
    """Return overlapping disks of random color whose radii follow a power law.

    Args:
        size: Side in pixels.
        generator: Source of randomness.
        leaves: Number of disks.

    Returns:
        ``[1, 3, size, size]`` in 0..1.

    Reference:
        Lee, Mumford & Huang 2001 (density of radii proportional to r^-3).
    """

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    smallest, largest = 2.0, size / 3.0
    steps = draw(leaves)
    radii = (smallest**-2 + steps * (largest**-2 - smallest**-2)) ** -0.5
    centers, colors = draw(leaves, 2) * size, draw(leaves, 3)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    image = draw(3)[:, None, None].expand(3, size, size).clone()
    for radius, center, color in zip(radii, centers, colors, strict=True):
        inside = (y - center[0]) ** 2 + (x - center[1]) ** 2 <= radius**2
        image[:, inside] = color[:, None]
    return image.float()[None]


def reference_images(seed: int, *, size: int = 96) -> list[Tensor]:
    """Return a few synthetic images, the same for the same seed.

    Returns:
        Four images ``[1, 3, size, size]`` in 0..1: two of color noise, two of dead leaves.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = [colored_noise(size, generator) for _ in range(2)]
    return noise + [dead_leaves(size, generator) for _ in range(2)]


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
    strides = {WIDE_LAYER: 1}  # noqa: RUF012  # never changed

    def __init__(
        self,
        rows: int,
        *,
        seed: int = 0,
        n_filters: int = 4096,
        width: int = WIDTH,
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
        return {WIDE_LAYER: maps.float() if maps.dtype.itemsize < 4 else maps}
