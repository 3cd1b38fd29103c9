"""Colors of sRGB pictures: OKLab and luma, there and back; and one picture's colors brought to another's.

Images are ``[..., 3, H, W]`` with values from 0 to 1.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from specstyle.engine.views import luma

_LMS = ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005))  # fmt: skip
_LAB = ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660))  # fmt: skip
_LIGHTNESSES, _HUES, _HALVINGS = 257, 360, 22
_KNEE = 0.0031308
_TINY = 1e-6

_KNOTS = 256
"""Quantiles of which a distribution is known: more would follow its noise."""

_TURNS = 12
"""Rotations after which the distributions of all three colors together agree, as far as the eye goes."""

_FLOOR = 1e-6
"""Variance that every direction is taken to have: a tenth of the step of 8 bits, squared."""


def to_linear(srgb: Tensor) -> Tensor:
    """Return the light that sRGB values from 0 to 1 stand for (IEC 61966-2-1)."""
    curve = ((srgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curve)


def from_linear(light: Tensor) -> Tensor:
    """Return sRGB values of light from 0 to 1 (IEC 61966-2-1)."""
    curve = 1.055 * light.clamp_min(_KNEE) ** (1 / 2.4) - 0.055
    return torch.where(light <= _KNEE, 12.92 * light, curve)


def to_oklab(srgb: Tensor) -> Tensor:
    """Return lightness, a and b, ``[..., 3, H, W]``; of white 1, 0 and 0.

    Args:
        srgb: ``[..., 3, H, W]``; values outside 0 to 1 are clipped.

    Reference:
        Ottosson 2020, "A perceptual color space for image processing".
    """
    cones = _mixed(_LMS, to_linear(srgb.clamp(0.0, 1.0)))
    return _mixed(_LAB, cones.clamp_min(0.0) ** (1 / 3))


def from_oklab(lab: Tensor) -> Tensor:
    """Return the sRGB values of lightness, a and b, clipped to 0 to 1; see ``to_oklab``."""
    return from_linear(_light(lab).clamp(0.0, 1.0))


def gray_of_lightness(lightness: Tensor) -> Tensor:
    """Return the sRGB value of the gray of an OKLab lightness from 0 to 1."""
    return from_linear(lightness**3)


def chroma_limit(lightness: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the largest chroma that sRGB has in some lightness and hue, interpolated in a table.

    Args:
        lightness: From 0 to 1, of any shape.
        a: Of the hue, as ``b``; only their ratio counts.
        b: The same shape.
    """
    table = _limits().to(lightness)
    turn = (torch.atan2(b, a) / (2 * torch.pi)).remainder(1.0) * _HUES
    hue = turn.floor().long().clamp(0, _HUES - 1)
    row = (lightness * (_LIGHTNESSES - 1)).long().clamp(0, _LIGHTNESSES - 2)
    across, up = turn - hue, lightness * (_LIGHTNESSES - 1) - row
    low, high = (torch.lerp(table[r, hue], table[r, hue + 1], across) for r in (row, row + 1))
    return low + up * (high - low)


def gray_of(srgb: Tensor, space: str) -> Tensor:
    """Return a picture as gray.

    Args:
        srgb: ``[..., 3, H, W]`` in 0..1.
        space: ``oklab``: the gray of the same lightness; ``luma``: the gray of the same luma.

    Returns:
        sRGB values from 0 to 1, ``[..., 1, H, W]``.
    """
    if space == "luma":
        return luma(srgb).clamp(0.0, 1.0)
    return gray_of_lightness(to_oklab(srgb)[..., :1, :, :].clamp(0.0, 1.0))


def colored(gray: Tensor, colors: Tensor, space: str) -> Tensor:
    """Return a picture in the grays of one and the colors of another: the way back from ``gray_of``.

    Where both together are no sRGB color, the chroma is made smaller until they are: gray and hue stay.

    Args:
        gray: sRGB values from 0 to 1, ``[..., 1, H, W]``.
        colors: ``[..., 3, H, W]``.
        space: See ``gray_of``.

    Returns:
        ``[..., 3, H, W]`` from 0 to 1.
    """
    if space == "luma":
        chroma = colors - luma(colors)
        room = torch.where(chroma > 0, 1.0 - gray, gray) / chroma.abs().clamp_min(_TINY)
        share = room.amin(-3, keepdim=True).clamp(0.0, 1.0)
        return (gray + share * chroma).clamp(0.0, 1.0)
    lab = to_oklab(colors)
    own, a, b = lab[..., :1, :, :], lab[..., 1:2, :, :], lab[..., 2:, :, :]
    chroma = torch.hypot(a, b).clamp_min(_TINY)
    # In its own lightness every color stays as it is, whatever the table says close to sRGB's edges.
    own_limit = chroma_limit(own, a, b)
    reach = torch.maximum(chroma, own_limit) / own_limit.clamp_min(_TINY) / chroma
    lightness = to_linear(gray) ** (1 / 3)
    share = (chroma_limit(lightness, a, b) * reach).clamp_max(1.0)
    return from_oklab(torch.cat([lightness, share * a, share * b], dim=-3))


def _mixed(matrix: tuple[tuple[float, ...], ...], planes: Tensor) -> Tensor:
    return torch.einsum(
        "rc,...chw->...rhw", torch.tensor(matrix, dtype=planes.dtype, device=planes.device), planes
    )


def _light(lab: Tensor) -> Tensor:
    """Return linear light, which lies outside 0 to 1 where sRGB has no such color."""
    return _mixed(_inverse(_LMS), _mixed(_inverse(_LAB), lab) ** 3)


@lru_cache
def _inverse(matrix: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    rows = torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64)).tolist()
    return tuple(tuple(row) for row in rows)


@lru_cache
@torch.no_grad()
def _limits() -> Tensor:
    """Return the largest chroma by lightness and hue, ``[lightnesses, hues + 1]``, by bisection."""
    lightness = torch.linspace(0.0, 1.0, _LIGHTNESSES, dtype=torch.float64)[:, None]
    hue = torch.linspace(0.0, 2 * torch.pi, _HUES + 1, dtype=torch.float64)[None]
    lightness, hue = lightness.expand(-1, _HUES + 1), hue.expand(_LIGHTNESSES, -1)
    low = torch.zeros_like(lightness)
    high = torch.full_like(low, 0.5)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        light = _light(torch.stack([lightness, middle * hue.cos(), middle * hue.sin()]))
        inside = ((light >= 0.0) & (light <= 1.0)).all(0)
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return low


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

    Reference:
        Gatys et al. 2016, "Preserving color in neural artistic style transfer", section 3, for the use of it;
        Pitié & Kokaram 2007, "The linear Monge-Kantorovitch colour mapping", for the map; Pitié, Kokaram &
        Dahyot 2007, "Automated colour grading using colour distribution transfer", for the rotations.
    """
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
    """Return a gray picture with the mean and the standard deviation of another one.

    Args:
        gray: ``[1, 1, H, W]`` in 0..1.
        like: ``[1, 1, H', W']``.
        weight: See ``match_colors``.
        weight_like: The same of ``like``.

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
