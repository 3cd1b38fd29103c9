"""How exactly a network computes: a choice between speed and digits, on devices that offer one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

PRECISIONS = ("auto", "fp32", "tf32", "bf16")


def settle_precision(name: str, device: torch.device, optimizer: str = "adam") -> str:
    """Return the precision to run in.

    ``auto`` is fp32 but on NVIDIA GPUs from Ampere on: there it is bf16, and tf32 for L-BFGS, whose line
    searches suffer from a gradient of three digits (its loss ended 6 % higher in bf16, bench/NOTES.md). On a
    CPU with AVX-512 BF16, ``bf16`` is faster, too, and left to those who ask for it. Statistics, losses and
    optimizer are fp32 in any case.

    Args:
        name: One of ``PRECISIONS``.
        device: Where the network runs.
        optimizer: The recipe's.

    Raises:
        ValueError: If there is no such precision, or the device does not have it.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    ampere = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if name == "auto":
        return ("tf32" if optimizer == "lbfgs" else "bf16") if ampere else "fp32"
    if name == "tf32" and not ampere:
        raise ValueError(f"precision tf32 needs an NVIDIA GPU from Ampere on, and this is {device}; use fp32")
    if name == "bf16" and device.type == "mps":
        raise ValueError("precision bf16 is not offered on MPS; use fp32")
    return name


def network_dtype(precision: str) -> torch.dtype:
    """Return the type that a network computes in."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


@contextlib.contextmanager
def convolutions_in(precision: str) -> Iterator[None]:
    """Let CUDA's convolutions of fp32 use TF32 or not; matrix products, so the Gram matrices, never do.

    Args:
        precision: As ``settle_precision`` returns it.
    """
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before
