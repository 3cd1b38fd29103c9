"""Doing a thing again where memory ran out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from specstyle.errors import is_out_of_memory

T = TypeVar("T")

MakeRoom = Callable[[], bool]
"""Frees memory, if it can; whether it did."""


def no_room() -> bool:
    """Free nothing."""
    return False


def with_room(attempt: Callable[[], T], make_room: MakeRoom, undo: Callable[[], None] = lambda: None) -> T:
    """Return what a function makes; where a device is out of memory, make room and call it again.

    Args:
        attempt: The function. A failed call must leave nothing behind that ``undo`` does not mend.
        make_room: Called after each failure.
        undo: Called before the next attempt.

    Raises:
        RuntimeError: If there is no more room to be made; ``torch.OutOfMemoryError`` where the device has it.
    """
    while True:
        try:
            return attempt()
        except RuntimeError as error:  # MPS, and libraries of CUDA, have no class of their own for it
            if not is_out_of_memory(error):
                raise
            kept = error.with_traceback(None)  # the frames hold what the attempt had made
        if not make_room():
            raise kept
        give_back()
        undo()


def give_back() -> None:
    """Return to the devices what torch holds of their memory without using it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
