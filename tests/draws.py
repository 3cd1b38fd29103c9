"""Random numbers, the same each time."""

from __future__ import annotations

import torch
from torch import Tensor


def rand(*shape: int, seed: int = 0) -> Tensor:
    """Even in 0..1, float64."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
