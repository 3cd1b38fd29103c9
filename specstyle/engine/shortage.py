"""Doing a thing again where memory ran out: in less of it, or in smaller tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from specstyle.engine.objective import Objective
from specstyle.engine.tiles import Size
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


class FrugalObjective(Objective):
    """An objective that is made anew in smaller tiles whenever the device is out of memory.

    The evaluation that failed is repeated, so that no step is lost.

    Args:
        make: Makes the objective in tiles of the size that it is given as ``tile``.
        sizes: Of tiles to try, the next smaller one each; ``None``: the whole image.
        on_note: Called with a line for the user at each change.

    Raises:
        RuntimeError: If even the smallest tiles do not fit; see ``with_room``.
    """

    def __init__(
        self, make: Callable[..., Objective], sizes: Iterator[Size | None], on_note: Callable[[str], None]
    ) -> None:
        self._make, self._sizes, self._on_note = make, sizes, on_note
        self._objective: Objective | None = None
        self.size = next(sizes)
        with_room(self._made, self._cut)

    def _made(self) -> Objective:
        if self._objective is None:
            self._objective = self._make(tile=self.size)
        return self._objective

    def _cut(self) -> bool:
        """Go on in the next smaller tiles, if there are any."""
        smaller = next(self._sizes, None)
        if smaller is None:
            return False
        # What holds the memory must go before the next attempt: graphs, and the terms' targets.
        self._objective, self.size = None, smaller
        sides = " x ".join(str(side) if side else "all" for side in smaller)
        self._on_note(f"the device is out of memory; going on in tiles of {sides} pixels")
        return True

    def make_room(self) -> bool:
        """Go on in tiles, unless it does already: between evaluations these hold nothing but targets."""
        return self.size is None and self._cut()

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term's weighted loss by name."""
        return with_room(lambda: self._made().losses(image), self._cut)

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum."""
        return with_room(lambda: self._made().value_and_grad(image), self._cut)
