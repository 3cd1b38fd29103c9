"""The default recipe for sounds without specstyle's economies: whole kernel matrices of unfolded patches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bench.cases import Case

_EDGE = 1e-6
"""Cosines stay this far from 1, where the slope of the arc cosine has no end."""


class PlainKernel:
    """Losses of ``specstyle.features.kernel`` by automatic differentiation.

    Patches are unfolded, ``[B, T - w + 1, w * bins]``, and compared all with all by one product.

    Reference:
        Cho & Saul 2009 for the kernel, Gretton et al. 2012 for the discrepancy.
    """

    def __init__(self, case: Case) -> None:
        terms = {term.name: term for term in case.objective.terms}
        self._weights = {name: term.weight for name, term in terms.items()}
        self._content = case.content
        self._style = case.styles[0].mean(0, keepdim=True) if case.styles[0].shape[0] > 1 else case.styles[0]
        self._center = self._style.mean(3, keepdim=True)
        frames = min(case.content.shape[3], self._style.shape[3])
        self._widths = [w for w in case.recipe.kernel_widths if w <= frames] or [1]

    def _patches(self, image: Tensor, width: int) -> Tensor:
        frames = (image - self._center).flatten(1, 2).transpose(1, 2)
        return frames.unfold(1, width, 1).flatten(2)

    def loss(self, image: Tensor) -> Tensor:
        """Return the total loss of an image ``[B, 1, bins, T]``."""
        total = image.new_zeros(())
        for width in self._widths:
            x, s, c = (self._patches(y, width) for y in (image, self._style, self._content))
            own = _kernel(s, s).square().mean((1, 2))
            style = _kernel(x, x).square().mean((1, 2)) - 2.0 * _kernel(x, s).square().mean((1, 2))
            content = (x.square() + c.square()).sum(2).mean(1) - 2.0 * _kernel_pairs(x, c).mean(1)
            parts = {
                "style:kernel": style / own + 1.0,
                "content:kernel": content / c.square().sum(2).mean(1),
            }
            total = total + sum(w * parts[name].sum() for name, w in self._weights.items())
        return total / len(self._widths)


def _arc_cosine(dots: Tensor, scale: Tensor) -> Tensor:
    cosine = (dots / scale).clamp(-1.0 + _EDGE, 1.0 - _EDGE)
    angle = torch.acos(cosine)
    return scale * ((1.0 - cosine.square()).sqrt() + (math.pi - angle) * cosine) / math.pi


def _norm(x: Tensor) -> Tensor:
    return (x.square().sum(2) + 1e-12).sqrt()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return _arc_cosine(x @ y.transpose(1, 2), _norm(x)[:, :, None] * _norm(y)[:, None])


def _kernel_pairs(x: Tensor, y: Tensor) -> Tensor:
    return _arc_cosine((x * y).sum(2), _norm(x) * _norm(y))
