"""Gram errors where positions are far fewer than channels, without a matrix of channels by channels.

The mean Gram matrix of a style with few positions has a low rank: ``A = Q S Q^T`` with an orthonormal basis
Q. Maps are split into what lies in its span and the rest, ``F = Q P + R``, and then

    ``|F F^T / M - A|^2 = |P P^T / M - S|^2 + 2 <P^T P, R^T R> / M^2 + |R^T R|^2 / M^2``.

No term is negative, so that nothing cancels near the target, as it would in
``|F^T F|^2 - 2 <F, A F> + |A|^2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

MIN_CHANNELS = 1024
"""With fewer, the matrices are small in any case."""

WORTH = 0.6
"""Share of the plain error's arithmetic up to which this way is taken."""

_SPARE = 8
"""Random directions beyond the rank: the basis spans the target's range almost surely."""


@dataclass(frozen=True)
class LowRank:
    """A symmetric matrix ``Q S Q^T``.

    Attributes:
        basis: Q, ``[B, C, r]``, with orthonormal columns.
        core: S, ``[B, r, r]``. The sum of its squares is that of the whole matrix.
    """

    basis: Tensor
    core: Tensor


def is_worthwhile(channels: int, positions: int, rank: int) -> bool:
    """Return whether the error of a target of some rank takes clearly less arithmetic this way.

    Args:
        channels: C of the maps.
        positions: M of the maps.
        rank: Of the target, at most: the number of positions of the styles.
    """
    both = channels * (3 * rank + 2 * positions) + 2 * rank * (positions + rank)
    return channels >= MIN_CHANNELS and both < WORTH * 2 * channels**2


@torch.no_grad()
def low_rank(target: Tensor, rank: int) -> LowRank:
    """Return a symmetric matrix of known rank as a basis of its range and a small matrix.

    Args:
        target: ``[B, C, C]``.
        rank: At most.

    Reference:
        Halko, Martinsson & Tropp 2011, "Finding structure with randomness", algorithm 4.1.
    """
    channels = target.shape[1]
    generator = torch.Generator().manual_seed(0)
    width = min(rank + _SPARE, channels)
    directions = torch.randn(channels, width, generator=generator).to(target)
    # In float64, since what Q lacks of being orthonormal is an error of every value; it is small enough.
    basis = torch.linalg.qr((target @ directions).double())[0].to(target)
    return LowRank(basis, basis.transpose(1, 2) @ (target @ basis))


def low_rank_error(features: Tensor, target: LowRank) -> Tensor:
    """Return ``sum (G - A)^2`` of the mean Gram matrix G of feature maps, ``[B]``.

    Args:
        features: ``[B, C, h, w]``, with at least one position.
        target: A.

    Reference:
        Gatys, Ecker & Bethge 2016, equations 4 and 6, for the loss and its gradient.
    """
    error: Tensor = _Error.apply(features, target)  # type: ignore[no-untyped-call]
    return error


class _Error(torch.autograd.Function):
    """The error with its gradient ``4 / M (Q ((P P^T / M - S) P + P R^T R / M) + R F^T F / M)``.

    Matrices of maps have their positions down: P is ``[B, M, r]`` and R ``[B, M, C]`` here.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, target: LowRank) -> Tensor:
        positions = features.shape[2] * features.shape[3]
        flat = features.flatten(2).transpose(1, 2)
        inner = flat @ target.basis
        rest = torch.baddbmm(flat, inner, target.basis.transpose(1, 2), alpha=-1.0)
        rest_by_rest = torch.bmm(rest, rest.transpose(1, 2)).div_(positions)
        inner_by_inner = torch.bmm(inner, inner.transpose(1, 2)).div_(positions)
        core = torch.baddbmm(target.core, inner.transpose(1, 2), inner, beta=-1.0, alpha=1.0 / positions)
        ctx.target, ctx.shape = target, features.shape
        ctx.save_for_backward(inner, rest, rest_by_rest, inner_by_inner, core)
        across = (rest_by_rest * (rest_by_rest + 2.0 * inner_by_inner)).sum(2)
        squares: Tensor = core.square().sum(2).sum(1) + across.sum(1)
        return squares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        inner, rest, rest_by_rest, inner_by_inner, core = ctx.saved_tensors
        share = (4.0 / inner.shape[1]) * grad[0][:, None, None]
        of_inner = torch.baddbmm(inner @ core, rest_by_rest, inner) * share
        product = of_inner @ ctx.target.basis.transpose(1, 2)
        product.baddbmm_((rest_by_rest + inner_by_inner) * share, rest)
        return product.transpose(1, 2).unflatten(2, ctx.shape[2:]), None
