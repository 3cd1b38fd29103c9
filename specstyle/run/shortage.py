"""Going on in tiles where a device runs out of memory, and saying what to do where that is not enough."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch import Tensor

from specstyle.engine.objective import Objective
from specstyle.engine.shortage import with_room
from specstyle.engine.tiles import Size
from specstyle.errors import SpecstyleError, is_out_of_memory
from specstyle.recipes import Recipe
from specstyle.run.planning import smaller_sources

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
        RuntimeError: If even the smallest tiles do not fit; see ``with_room``.
    """

    def __init__(
        self, make: Callable[[Size | None], Objective], sizes: Sizes, on_note: Callable[[str], None]
    ) -> None:
        self._make, self._sizes, self._on_note = make, sizes, on_note
        self._objective: Objective | None = None
        self.size = next(sizes)
        self._try(lambda objective: None)

    def _try(self, use: Callable[[Objective], T]) -> T:
        return with_room(lambda: use(self._made()), self._cut)

    def _made(self) -> Objective:
        if self._objective is None:
            self._objective = self._make(self.size)
            self.features, self.terms = self._objective.features, self._objective.terms
        return self._objective

    def _cut(self) -> bool:
        """Go on in the next smaller tiles, if there are any."""
        smaller = next(self._sizes, None)
        if smaller is None:
            return False
        # What holds the memory must go before the next attempt: graphs, and the terms' targets.
        self._objective, self.features, self.terms, self.size = None, None, (), smaller
        sides = " x ".join(str(side) if side else "all" for side in smaller)
        self._on_note(f"the device is out of memory; going on in tiles of {sides} pixels")
        return True

    def make_room(self) -> bool:
        """Go on in tiles, unless it does already: between evaluations these hold nothing but targets."""
        return self.size is None and self._cut()

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term's weighted loss by name."""
        return self._try(lambda objective: objective.losses(image))

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum."""
        return self._try(lambda objective: objective.value_and_grad(image))


class ShortageError(SpecstyleError):
    """Memory did not suffice for a run, and nothing of it could be made smaller on the way."""


@contextlib.contextmanager
def explained(recipe: Recipe, medium: str, *, kept: bool) -> Iterator[None]:
    """Turn an error of memory into one line that says what takes less.

    Args:
        recipe: Of the run.
        medium: ``audio`` or ``image``.
        kept: Whether a folder keeps it.

    Raises:
        ShortageError: In place of torch's.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, SpecstyleError) or not is_out_of_memory(error):
            raise
        remedies = [] if recipe.network == "kernel" else ["--tile 256 (or less)", "a lower --memory-limit"]
        if recipe.optimizer == "lbfgs":
            remedies += ["--history 3", "--optimizer adam"]
        remedies.append(smaller_sources(medium))
        rest = "; --run-dir keeps its last checkpoint: --resume goes on where more is free" if kept else ""
        raise ShortageError(
            f"out of memory: the run needs more than the device has left; take "
            f"{', '.join(remedies[:-1])}{' or ' if remedies[:-1] else ''}{remedies[-1]}{rest}"
        ) from error
