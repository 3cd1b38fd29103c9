"""Matrix products that stand for convolutions, as exact as those are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@contextlib.contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Let matrix products of float32 take fewer digits, or not; whatever was set before is set again.

    Args:
        precision: ``highest`` (all digits) or ``high`` (TF32), as ``torch.set_float32_matmul_precision``
            spells it.
    """
    # torch has an older setting of all and a newer one of each: where they differ, reading the older fails.
    newer: Any = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in newer]
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:
        older = "highest"
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(older)
        for part, value in zip(newer, before, strict=True):
            part.fp32_precision = value


def filtered(filters: Tensor, columns: Tensor) -> Tensor:
    """Return a convolution written as a product: in TF32 where convolutions may use it.

    Args:
        filters: ``[K, R]``; they get no gradient.
        columns: ``[B, R, T]``, the inputs of each position.

    Returns:
        ``[B, K, T]``.
    """
    if not _in_tf32(columns):
        return filters @ columns
    product: Tensor = _Filtered.apply(filters, columns)  # type: ignore[no-untyped-call]
    return product


def _in_tf32(columns: Tensor) -> bool:
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    suits = columns.device.type == "cuda" and columns.dtype == torch.float32
    return suits and bool(convolutions.fp32_precision == "tf32")


class _Filtered(torch.autograd.Function):
    """A product in TF32 whose gradient is one, too; what surrounds it is not."""

    @staticmethod
    def forward(ctx: Any, filters: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(filters)
        with products_in("high"):
            return filters @ columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[None, Tensor]:
        (filters,) = ctx.saved_tensors
        with products_in("high"):
            return None, filters.T @ grad[0]
