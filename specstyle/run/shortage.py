"""Going on in tiles where a device runs out of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from specstyle.engine.objective import Objective
from specstyle.engine.tiles import Size

T = TypeVar("T")

Sizes = Iterator[Size | None]
"""Of tiles to try, the next smaller one each; ``None``: the whole image."""


class FrugalObjective(Objective):
    """An objective that is made anew in smaller tiles whenever the device is out of memory.

    The evaluation that failed is repeated, so that no step is lost.

    Args:
        make: Makes the objective in tiles of a size.
        sizes: To try, from the first on.
        on_note: Called with a line for the user at each change.

    Raises:
        torch.OutOfMemoryError: If even the smallest tiles do not fit.
    """

    def __init__(
        self, make: Callable[[Size | None], Objective], sizes: Sizes, on_note: Callable[[str], None]
    ) -> None:
        self._make, self._sizes, self._on_note = make, sizes, on_note
        self._objective: Objective | None = None
        self.size = next(sizes)
        self._try(lambda objective: None)

    def _try(self, use: Callable[[Objective], T]) -> T:
        while True:
            try:
                if self._objective is None:
                    self._objective = self._make(self.size)
                    self.features, self.terms = self._objective.features, self._objective.terms
                return use(self._objective)
            except torch.OutOfMemoryError as error:
                smaller = next(self._sizes, None)
                if smaller is None:
                    raise
                # What holds the memory must go before the next attempt: the traceback's frames, too.
                error.__traceback__ = None
                self._objective, self.size = None, smaller
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            sides = " x ".join(str(side) if side else "all" for side in smaller)
            self._on_note(f"the device is out of memory; going on in tiles of {sides} pixels")

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term's weighted loss by name."""
        return self._try(lambda objective: objective.losses(image))

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum."""
        return self._try(lambda objective: objective.value_and_grad(image))
