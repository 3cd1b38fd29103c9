"""One picture's colors brought to another's before anything is transferred."""

from __future__ import annotations

import torch
from torch import Tensor

_KNOTS = 256
"""Quantiles of which a distribution is known: more would follow its noise."""

_TURNS = 12
"""Rotations after which the distributions of all three colors together agree, as far as the eye goes."""

_FLOOR = 1e-6
"""Variance that every direction is taken to have: a tenth of the step of 8 bits, squared."""


def match_colors(
    image: Tensor,
    like: Tensor,
    how: str,
    *,
    weight: Tensor | None = None,
    weight_like: Tensor | None = None,
) -> Tensor:
    """Return a picture with another one's distribution of colors.

    Args:
        image: ``[1, 3, H, W]`` in 0..1.
        like: Whose colors it gets, ``[1, 3, H', W']``.
        how: ``mean`` moves its mean color; ``covariance`` gives it mean and covariance by the linear map
            that changes its colors least; ``histogram`` goes on from there to the whole
            distribution, by quantiles along rotating axes.
        weight: How much each pixel counts for the statistics, ``[1, 1, H, W]``; by default all the same.
            The map is for all pixels.
        weight_like: The same of ``like``.

    Returns:
        ``[1, 3, H, W]``, clipped to 0..1.

    Raises:
        ValueError: If ``how`` is none of these.

    Reference:
        Gatys et al. 2016, "Preserving color in neural artistic style transfer", section 3, for the use of it;
        Pitié & Kokaram 2007, "The linear Monge-Kantorovitch colour mapping", for the map; Pitié, Kokaram &
        Dahyot 2007, "Automated colour grading using colour distribution transfer", for the rotations.
    """
    if how not in ("mean", "covariance", "histogram"):
        raise ValueError(f"how must be mean, covariance or histogram, got {how!r}")
    colors, target = _vectors(image), _vectors(like)
    shares, target_shares = _shares(weight, colors), _shares(weight_like, target)
    mean, wanted = shares @ colors, target_shares @ target
    centered = colors - mean
    if how != "mean":
        spread, aim = _covariance(centered, shares), _covariance(target - wanted, target_shares)
        centered = centered @ _monge_kantorovitch(spread, aim)
    matched = centered + wanted
    if how == "histogram":
        matched = _by_quantiles(matched, target, shares, target_shares)
    return matched.T.reshape(image.shape).clamp(0.0, 1.0).to(image)


def match_gray(
    gray: Tensor, like: Tensor, *, weight: Tensor | None = None, weight_like: Tensor | None = None
) -> Tensor:
    """Return a gray picture ``[1, 1, H, W]`` with another one's mean and deviation; see ``match_colors``.

    Returns:
        ``[1, 1, H, W]``, clipped to 0..1.

    Reference:
        Gatys et al. 2016, "Preserving color in neural artistic style transfer", equation 10.
    """
    values, target = _vectors(gray), _vectors(like)
    shares, target_shares = _shares(weight, values), _shares(weight_like, target)
    mean, wanted = shares @ values, target_shares @ target
    variance = (shares @ (values - mean).square()).clamp_min(_FLOOR)
    aim = target_shares @ (target - wanted).square()
    matched = (values - mean) * (aim / variance).sqrt() + wanted
    return matched.T.reshape(gray.shape).clamp(0.0, 1.0).to(gray)


def _vectors(image: Tensor) -> Tensor:
    """Return a picture's pixels as rows, in float64 for small variances, on the CPU that has it."""
    return image.detach()[0].flatten(1).T.cpu().double()


def _shares(weight: Tensor | None, pixels: Tensor) -> Tensor:
    """Return what each pixel counts, adding up to 1."""
    if weight is None:
        return pixels.new_full((len(pixels),), 1.0 / len(pixels))
    flat = weight.detach().flatten().to(pixels)
    return flat / flat.sum()


def _covariance(centered: Tensor, shares: Tensor) -> Tensor:
    floor = _FLOOR * torch.eye(centered.shape[1], dtype=centered.dtype)
    return (centered * shares[:, None]).T @ centered + floor


def _monge_kantorovitch(spread: Tensor, aim: Tensor) -> Tensor:
    """Return the symmetric T with ``T spread T = aim``: of all that do so, it moves colors the least."""
    root = _root(spread)
    inverse = torch.linalg.inv(root)
    nearest: Tensor = inverse @ _root(root @ aim @ root) @ inverse
    return nearest


def _root(symmetric: Tensor) -> Tensor:
    values: Tensor
    vectors: Tensor
    values, vectors = torch.linalg.eigh((symmetric + symmetric.T) / 2)
    return (vectors * values.clamp_min(0.0).sqrt()) @ vectors.T


def _by_quantiles(colors: Tensor, target: Tensor, shares: Tensor, target_shares: Tensor) -> Tensor:
    """Bring distributions together along one set of axes after the other."""
    generator = torch.Generator().manual_seed(0)
    for turn in range(_TURNS):
        axes = torch.eye(3, dtype=colors.dtype)
        if turn:
            axes = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=colors.dtype))[0]
        here, there = colors @ axes, target @ axes
        moved = [
            _along(here[:, i], _quantiles(here[:, i], shares), _quantiles(there[:, i], target_shares))
            for i in range(3)
        ]
        colors = torch.stack(moved, 1) @ axes.T
    return colors


def _quantiles(values: Tensor, shares: Tensor) -> Tensor:
    """Return evenly spaced quantiles from the least value that counts to the largest."""
    ordered, order = values[shares > 0].sort()
    weights = shares[shares > 0][order]
    up_to = weights.cumsum(0) - weights / 2
    at = torch.linspace(0.0, 1.0, _KNOTS, dtype=values.dtype)
    place = torch.searchsorted(up_to, at).clamp(0, len(ordered) - 1)
    before = (place - 1).clamp_min(0)
    gap = (up_to[place] - up_to[before]).clamp_min(1e-300)
    return torch.lerp(ordered[before], ordered[place], ((at - up_to[before]) / gap).clamp(0.0, 1.0))


def _along(values: Tensor, quantiles: Tensor, wanted: Tensor) -> Tensor:
    """Send values through the curve from some quantiles to others; beyond the ends it goes on in parallel."""
    rising = quantiles + torch.arange(len(quantiles), dtype=quantiles.dtype) * 1e-12  # no two are equal
    inside = values.clamp(rising[0], rising[-1])
    place = torch.searchsorted(rising, inside).clamp(1, len(rising) - 1)
    low, high = rising[place - 1], rising[place]
    moved = torch.lerp(wanted[place - 1], wanted[place], (inside - low) / (high - low))
    return moved + (values - inside)
