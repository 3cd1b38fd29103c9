"""The device of a run: which it is, in which precision it computes, and what memory there is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

GIB = 2**30

PRECISIONS = ("auto", "fp32", "tf32", "bf16")

STEADY = {"cpu": 0.5, "cuda": 0.9}
"""Share of all memory that a plan is made for if so much is free, so that a result's bytes do not depend on
how much more is. Other programs take main memory, and little of a GPU's."""


def choose_device(name: str) -> torch.device:
    """Return the device to run on.

    Args:
        name: ``auto`` (CUDA, else Apple's MPS, else the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        ValueError: If the device is unknown or not on this machine.
    """
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if has[kind]))
    kind = name.partition(":")[0]
    if kind not in has:
        raise ValueError(f"device must be auto, cpu, cuda or mps, got {name!r}")
    if not has[kind]:
        here = ", ".join(k for k, present in has.items() if present)
        raise ValueError(
            f"device {name!r} is not available on this machine, which has {here}; use --device auto"
        )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu, cuda or mps, got {name!r}") from error
    if device.index is not None and kind == "cuda" and device.index >= torch.cuda.device_count():
        raise ValueError(f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def settle_precision(name: str, device: torch.device) -> str:
    """Return the precision to run in.

    ``auto`` is fp32, and tf32 on NVIDIA GPUs from Ampere on. ``bf16`` is faster there and on a CPU with
    AVX-512 BF16, and left to those who ask for it: L-BFGS' line searches suffer from a gradient of three
    digits (its loss ended 6 % higher, bench/NOTES.md). Statistics, losses and optimizer are fp32 in any case.

    Args:
        name: One of ``PRECISIONS``.
        device: Where the network runs.

    Raises:
        ValueError: If there is no such precision, or the device does not have it.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    ampere = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if name == "auto":
        return "tf32" if ampere else "fp32"
    if not ampere and (name == "tf32" or (name == "bf16" and device.type == "cuda")):
        raise ValueError(
            f"precision {name} needs an NVIDIA GPU from Ampere on, and this is {device}; use fp32"
        )
    if name == "bf16" and device.type == "mps":
        raise ValueError("precision bf16 is not offered on MPS; use fp32")
    return name


@contextlib.contextmanager
def convolutions_in(precision: str) -> Iterator[None]:
    """Let CUDA's convolutions of fp32 use TF32 or not, and give the same each time.

    Whatever the process had set otherwise holds again afterwards.

    Args:
        precision: As ``settle_precision`` returns it.
    """
    # torch has an older setting of all and a newer one of each: the older first, or reading it fails.
    cudnn: Any = torch.backends.cudnn
    each = [getattr(cudnn, name) for name in ("conv", "rnn") if hasattr(cudnn, name)]  # from torch 2.9 on
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


def free_memory(device: torch.device, limit: float | None = None) -> int:
    """Return the bytes that a run may take beyond what its process holds.

    Args:
        device: Where it runs.
        limit: The most that the process may hold on the device in all, in GiB; ``None``: what is free.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    else:  # Apple's GPUs share the main memory
        _, free = main_memory()
    return max(free if limit is None else min(free, round(limit * GIB) - held_memory(device)), 0)


def held_memory(device: torch.device) -> int:
    """Return the bytes that this process holds on a device."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def steady_memory(device: torch.device) -> int:
    """Return the bytes that a plan is made for where at least as many are free; see ``STEADY``."""
    if device.type == "cuda":
        return round(STEADY["cuda"] * torch.cuda.mem_get_info(device)[1])
    return round(STEADY["cpu"] * main_memory()[0])


def main_memory(
    groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> tuple[int, int]:
    """Return all main memory of the machine or of the containers that the process is in, and what is free.

    What the system keeps of files, and gives up at once, counts as free.

    Args:
        groups: Where the system tells of its control groups.
        own: Where it tells which of them this process is in.
    """
    machine, group = psutil.virtual_memory(), groups
    total, free = int(machine.total), int(machine.available)
    with contextlib.suppress(OSError, StopIteration):
        lines = own.read_text(encoding="utf-8").splitlines()
        group = groups / next(line for line in lines if line.startswith("0::"))[3:].lstrip("/")
    for folder in (group, *group.parents):
        with contextlib.suppress(OSError, ValueError):  # no group, or one without a limit
            most, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
            told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            total, free = min(total, most), min(free, most - used + int(told.get("inactive_file", 0)))
    return total, free
