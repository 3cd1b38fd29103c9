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
        Gatys, Ecker & Bethge 2016, equation 3; its gradient, equation 6, is written out, since automatic
        differentiation would compute both of its equal halves.
    """
    product: Tensor = _Gram.apply(features)  # type: ignore[no-untyped-call]
    return product


class _Gram(torch.autograd.Function):
    """``F F^T`` with its gradient ``(D + D^T) F``, in whichever memory layout the maps have."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        flat, across = _flat(features)
        return flat.transpose(1, 2) @ flat if across else flat @ flat.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        flat, across = _flat(features)
        both = grad[0] + grad[0].transpose(1, 2)
        return _unflat(flat @ both if across else both @ flat, features)


def _channels_last(maps: Tensor) -> bool:
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()


class _GramError(torch.autograd.Function):
    """``|F F^T / M - A|^2`` per batch entry, with its gradient ``4 / M (F F^T / M - A) F``.

    Where there are thousands of channels, passes over their matrices cost more than the products do: here
    there are two.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor) -> Tensor:
        flat, across = _flat(features)
        error = _error(flat.transpose(1, 2) if across else flat, target)
        ctx.save_for_backward(features, error)
        # Row by row: in one go, the norm of millions of values is off by a thousandth on a single thread.
        squares: Tensor = torch.linalg.vector_norm(error, dim=2).square().sum(1)
        return squares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        features, error = ctx.saved_tensors
        flat, across = _flat(features)
        # The factor goes to the smaller of the two.
        share = (4.0 / (features.shape[2] * features.shape[3])) * grad[0][:, None, None]
        if error.numel() > flat.numel():
            product = (flat @ error if across else error @ flat).mul_(share)
        else:
            product = flat @ (error * share) if across else (error * share) @ flat
        return _unflat(product, features), None


def gram_error(features: Tensor, target: Tensor) -> Tensor:
    """Return ``sum (G - A)^2`` of the mean Gram matrix G of feature maps, ``[B]``.

    Args:
        features: ``[B, C, h, w]``, with at least one position.
        target: A, ``[B, C, C]``, symmetric.

    Reference:
        Gatys, Ecker & Bethge 2016, equations 4 and 6.
    """
    error: Tensor = _GramError.apply(features, target)  # type: ignore[no-untyped-call]
    return error


def _error(flat: Tensor, target: Tensor) -> Tensor:
    """Return ``F F^T / M - A`` for ``F [B, C, M]``."""
    mean = 1.0 / flat.shape[2]
    return torch.baddbmm(target, flat, flat.transpose(1, 2), beta=-1.0, alpha=mean)


class _Pull(torch.autograd.Function):
    """0, whose gradient is that of ``(U * F F^T).sum()`` for a symmetric U."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, upstream: Tensor) -> Tensor:
        ctx.save_for_backward(features, upstream)
        return features.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        features, upstream = ctx.saved_tensors
        flat, across = _flat(features)
        both = (upstream + upstream.transpose(1, 2)) * grad[0]
        return _unflat(flat @ both if across else both @ flat, features), None


def gram_pull(features: Tensor, upstream: Tensor) -> Tensor:
    """Return something whose gradient is that of ``(U * F F^T).sum()``, without computing its value.

    Args:
        features: ``[B, C, h, w]``.
        upstream: U, ``[B, C, C]``: the gradient of a loss by the sum of ``f f^T`` over all positions.
    """
    pull: Tensor = _Pull.apply(features, upstream)  # type: ignore[no-untyped-call]
    return pull


def _flat(maps: Tensor) -> tuple[Tensor, bool]:
    """Return maps as matrices without moving anything, and whether channels are across: ``[B, M, C]``."""
    if _channels_last(maps):
        return maps.permute(0, 2, 3, 1).flatten(1, 2), True
    return maps.flatten(2), False


def _unflat(matrices: Tensor, maps: Tensor) -> Tensor:
    if _channels_last(maps):
        batch, channels, height, width = maps.shape
        return matrices.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return matrices.view_as(maps)
