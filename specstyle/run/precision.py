"""How exactly a network computes: a choice between speed and digits, on devices that offer one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

PRECISIONS = ("auto", "fp32", "tf32", "bf16")


def settle_precision(name: str, device: torch.device, network: str = "vgg19") -> str:
    """Return the precision to run in.

    ``auto`` is fp32, and tf32 on NVIDIA GPUs from Ampere on. ``bf16`` is faster there and on a CPU with
    AVX-512 BF16, and left to those who ask for it: L-BFGS' line searches suffer from a gradient of three
    digits (its loss ended 6 % higher, bench/NOTES.md). Statistics, losses and
    optimizer are fp32 in any case, and so is the ``kernel``, which is nothing but a loss.

    Args:
        name: One of ``PRECISIONS``.
        device: Where the network runs.
        network: The recipe's.

    Raises:
        ValueError: If there is no such precision, or the device or the network does not have it.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    ampere = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if name == "auto":
        return "tf32" if ampere and network != "kernel" else "fp32"
    if name != "fp32" and network == "kernel":
        raise ValueError(f"precision {name} is for networks with filters, and the kernel has none; use fp32")
    if not ampere and (name == "tf32" or (name == "bf16" and device.type == "cuda")):
        raise ValueError(
            f"precision {name} needs an NVIDIA GPU from Ampere on, and this is {device}; use fp32"
        )
    if name == "bf16" and device.type == "mps":
        raise ValueError("precision bf16 is not offered on MPS; use fp32")
    return name


def network_dtype(precision: str) -> torch.dtype:
    """Return the type that a network computes in."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


@contextlib.contextmanager
def convolutions_in(precision: str) -> Iterator[None]:
    """Let CUDA's convolutions of fp32 use TF32 or not, and give the same each time.

    Whatever the process had set otherwise holds again afterwards.

    Args:
        precision: As ``settle_precision`` returns it.
    """
    # torch has an older setting of all and a newer one of each: the older first, or reading it fails.
    cudnn: Any = torch.backends.cudnn
    each = (cudnn.conv, cudnn.rnn)
    before = [part.fp32_precision for part in each]
    repeatable = cudnn.deterministic
    try:
        older = cudnn.allow_tf32
    except RuntimeError:  # its parts differ
        older = before[0] == "tf32"
    cudnn.allow_tf32 = precision == "tf32"
    cudnn.deterministic = True
    for part in each:
        part.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        cudnn.deterministic = repeatable
        cudnn.allow_tf32 = older
        for part, value in zip(each, before, strict=True):
            part.fp32_precision = value
