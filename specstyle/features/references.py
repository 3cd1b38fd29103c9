"""Synthetic reference images: what random networks are calibrated on, where no photographs are at hand."""

from __future__ import annotations

import torch
from torch import Tensor


def colored_noise(size: int, generator: torch.Generator) -> Tensor:
    """Return color noise with a 1/f spectrum, the average spectrum of photographs.

    Args:
        size: Side in pixels.
        generator: Source of randomness.

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
