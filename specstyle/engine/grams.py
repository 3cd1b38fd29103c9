"""Gram matrices of feature maps, with gradients written out, in whichever memory layout the maps have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrix of feature maps, summed over positions.

    Args:
        features: ``[B, C, h, w]``.

    Returns:
        ``sum_m f_m f_m^T``, shape ``[B, C, C]``.

    Reference:
        Gatys, Ecker & Bethge 2016, equation 3.
    """
    flat = features.flatten(2)  # a view, whether channels come last in memory or not
    return flat @ flat.transpose(1, 2)


def gram_error(features: Tensor, target: Tensor) -> Tensor:
    """Return ``sum (G - A)^2`` of the mean Gram matrix G of feature maps, ``[B]``.

    Args:
        features: ``[B, C, h, w]``, with at least one position.
        target: A, ``[B, C, C]``, symmetric.

    Reference:
        Gatys, Ecker & Bethge 2016, equations 4 and 6: automatic differentiation would compute both equal
        halves of the gradient.
    """
    error: Tensor = _GramError.apply(features, target)  # type: ignore[no-untyped-call]
    return error


class _GramError(torch.autograd.Function):
    """``|F F^T / M - A|^2`` per batch entry, with its gradient ``4 / M (F F^T / M - A) F``.

    Where there are thousands of channels, passes over their matrices cost more than the products do: here
    there are two.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor) -> Tensor:
        flat = features.flatten(2)
        error = torch.baddbmm(target, flat, flat.transpose(1, 2), beta=-1.0, alpha=1.0 / flat.shape[2])
        ctx.save_for_backward(features, error)
        # Row by row: in one go, the norm of millions of values is off by a thousandth on a single thread.
        squares: Tensor = torch.linalg.vector_norm(error, dim=2).square().sum(1)
        return squares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        features, error = ctx.saved_tensors
        share = (4.0 / (features.shape[2] * features.shape[3])) * grad[0][:, None, None]
        if error.numel() > features.numel():  # the factor goes to the smaller of the two
            return _times(error, features).mul_(share[..., None]), None
        return _times(error * share, features), None


def gram_pull(features: Tensor, upstream: Tensor) -> Tensor:
    """Return something whose gradient is that of ``(U * F F^T).sum()``, without computing its value.

    Args:
        features: ``[B, C, h, w]``.
        upstream: U, ``[B, C, C]``: the gradient of a loss by the sum of ``f f^T`` over all positions.
    """
    pull: Tensor = _Pull.apply(features, upstream)  # type: ignore[no-untyped-call]
    return pull


class _Pull(torch.autograd.Function):
    """0, whose gradient is that of ``(U * F F^T).sum()``."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, upstream: Tensor) -> Tensor:
        ctx.save_for_backward(features, upstream)
        return features.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        features, upstream = ctx.saved_tensors
        return _times((upstream + upstream.transpose(1, 2)) * grad[0], features), None


def _times(matrices: Tensor, maps: Tensor) -> Tensor:
    """Return symmetric ``[B, C, C]`` times the feature vectors of maps, in the maps' memory layout."""
    flat = maps.flatten(2)
    if maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous():
        return (flat.transpose(1, 2) @ matrices).transpose(1, 2).view_as(maps)
    return (matrices @ flat).view_as(maps)
