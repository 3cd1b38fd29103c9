"""The state of a run in a file: it appears whole or not at all, and holds nothing that could run."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from specstyle.errors import CheckpointError

FORMAT = 1
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
            torch.save({"format": FORMAT, "values": values}, file)
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
        read = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: is no checkpoint that can be read; delete it, and --resume starts the run anew"
        ) from error
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        found = read.get("format") if isinstance(read, dict) else None
        raise CheckpointError(
            f"{path}: has checkpoint format {found}, and this version of specstyle reads {FORMAT}; resume it "
            "with the version that wrote it, or delete it to start the run anew"
        )
    values: dict[str, Any] = read["values"]
    return values
