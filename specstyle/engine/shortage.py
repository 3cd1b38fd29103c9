"""Doing a thing again where memory ran out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

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
        torch.OutOfMemoryError: If there is no more room to be made.
    """
    while True:
        try:
            return attempt()
        except torch.OutOfMemoryError as error:
            kept = error.with_traceback(None)  # the frames hold what the attempt had made
        if not make_room():
            raise kept
        undo()
