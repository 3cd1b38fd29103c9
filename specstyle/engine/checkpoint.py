"""The state of a run in a file: it appears whole or not at all, and holds nothing that could run."""

from __future__ import annotations

import contextlib
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import torch

from specstyle.errors import CheckpointError

FORMAT = 2
"""Of the file. One that changes what it means gets the next number."""


def save_state(path: Path, values: dict[str, Any]) -> None:
    """Write a state beside its file and put it in the file's place, so that a kill leaves the old or the new.

    Args:
        path: The file.
        values: Tensors and plain values, in dicts and lists.

    Raises:
        CheckpointError: If it cannot be written; an older file is left as it was.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, "values": values, "checksums": _checksums(values)}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        said = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path}: the checkpoint cannot be written ({said}); free some space, or choose another --run-dir"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a state; only tensors and plain values are accepted.

    Args:
        path: What ``save_state`` wrote.
        device: Where its tensors go.

    Raises:
        CheckpointError: If the file is missing, damaged, of another format, or holds anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, where it is damaged
            read = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # what a damaged pickle raises is not of one kind
        raise CheckpointError(
            f"{path}: is no checkpoint that can be read; delete it, and --resume starts the run anew"
        ) from error
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        found = read.get("format") if isinstance(read, dict) else None
        raise CheckpointError(
            f"{path}: has checkpoint format {found}, and this version of specstyle reads {FORMAT}; resume it "
            "with the version that wrote it, or delete it to start the run anew"
        )
    values = read.get("values")
    if not isinstance(values, dict) or read.get("checksums") != _checksums(values):
        raise CheckpointError(f"{path}: is damaged; delete it, and --resume starts the run anew")
    return values


def _checksums(value: Any) -> list[int]:
    """Return the CRC-32 of each tensor and plain value in order: torch does not look at a file's own."""
    if isinstance(value, torch.Tensor):
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return [zlib.crc32(raw.numpy().tobytes(), value.ndim)]
    if isinstance(value, dict):
        return [number for item in value.items() for number in _checksums(item)]
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _checksums(item)]
    return [zlib.crc32(repr(value).encode())]
