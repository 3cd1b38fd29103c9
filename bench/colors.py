"""Color transfer: what a stylized picture must beat."""

from __future__ import annotations

import torch
from torch import Tensor

_FLOOR = 1e-8


def color_transfer(content: Tensor, style: Tensor) -> Tensor:
    """Give a picture the mean and the covariance of another one's colors, and change nothing else.

    Args:
        content: ``[3, H, W]`` in 0..1.
        style: ``[3, H', W']`` in 0..1.

    Returns:
        ``[3, H, W]``, clipped to 0..1.

    Reference:
        Pitié & Kokaram 2007 (the linear Monge-Kantorovich map between Gaussians).
    """
    x, y = content.flatten(1).double(), style.flatten(1).double()
    eye = _FLOOR * torch.eye(3, dtype=torch.float64, device=x.device)
    covariance_x, covariance_y = torch.cov(x) + eye, torch.cov(y) + eye
    root = _power(covariance_x, 0.5)
    inverse = _power(covariance_x, -0.5)
    move = inverse @ _power(root @ covariance_y @ root, 0.5) @ inverse
    moved = move @ (x - x.mean(1, keepdim=True)) + y.mean(1, keepdim=True)
    return moved.clamp(0.0, 1.0).reshape(content.shape).to(content)


def _power(symmetric: Tensor, exponent: float) -> Tensor:
    values: Tensor
    vectors: Tensor
    values, vectors = torch.linalg.eigh(symmetric)
    return (vectors * values.clamp_min(0.0) ** exponent) @ vectors.T
