"""L-BFGS with a box, on the device and in the type of what it optimizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from specstyle.engine.hessian import PARALLEL, Memory
from specstyle.engine.shortage import MakeRoom, no_room, with_room

FIRST_STEP = 0.01
"""Root-mean-square length of the first trial step, relative to the width of the box."""

_SUFFICIENT = 1e-4
_CURVATURE = 0.9
"""Of the line search: decrease and flattening that make a step good (Nocedal & Wright 2006, section 3.1)."""

_TRIES = 12
"""Trial steps of one line search at most."""


Evaluate = Callable[[Tensor], tuple[float, Tensor]]
"""A point ``[n]`` to the loss and its gradient ``[n]``."""


class Point(NamedTuple):
    """A point with the loss and the gradient there."""

    x: Tensor
    value: float
    gradient: Tensor


class _Spent(Exception):  # noqa: N818 (ends the loop, is no error)
    """The evaluations are used up."""


@torch.no_grad()
def minimize(
    evaluate: Evaluate,
    start: Tensor,
    *,
    evaluations: int,
    history: int = 10,
    box: tuple[float, float] | None = None,
    restart_every: int | None = None,
    memory: Memory | None = None,
    on_safe: Callable[[Callable[[], dict[str, Any]]], None] = lambda _: None,
    resume: dict[str, Any] | None = None,
    make_room: MakeRoom = no_room,
) -> Memory:
    """Lower a function by L-BFGS; whoever evaluates it keeps the best point.

    A round ends after ``restart_every`` evaluations, or where no step along the steepest descent helps any
    more; the next starts from the best point with an empty memory. Two rounds without progress end it all.

    Args:
        evaluate: The function.
        start: ``[n]``, within the box.
        evaluations: Calls of ``evaluate`` at most.
        history: Steps to remember.
        box: Smallest and largest value of every variable.
        restart_every: Evaluations of one round.
        memory: What the first round knows of the function already; changed in place.
        on_safe: Called between two line searches with a function that returns a snapshot: numbers and the
            tensors themselves.
        resume: Such a snapshot, to go on from; ``start`` and ``memory`` are then not looked at.
        make_room: Called where memory ran out between evaluations; what failed is then done again.

    Returns:
        The memory at the end.

    Reference:
        Nocedal & Wright 2006, chapter 7, with the projection of Bertsekas 1982: variables at a border that
        the gradient pushes against are held, and trial points are brought back into the box.
    """
    memory = Memory(history) if memory is None else memory
    search = _Search(
        evaluate,
        start,
        evaluations=evaluations,
        memory=memory,
        box=box,
        on_safe=on_safe,
        make_room=make_room,
    )
    here = None if resume is None else search.restore(resume)
    while here is not None or (search.remaining > 0 and search.stalled < 2):
        if here is None:
            search.budget = min(search.remaining, restart_every or search.remaining)
            search.before = search.best_value
        try:
            search.run(here)
        except _Spent:
            # Only the end of a round forgets: at the very end the memory is given back.
            if search.remaining > 0:
                memory.forget()
            continue
        finally:
            here = None
        search.stalled = 0 if search.best_value < search.before else search.stalled + 1
    return memory


_SAVED = ("remaining", "budget", "best", "best_value", "stalled", "before")
"""Of a ``_Search``, what a snapshot holds beside the point and the memory."""


class _Search:
    """Rounds of steps, each along a direction that the memory gives; evaluations are counted."""

    def __init__(
        self,
        evaluate: Evaluate,
        start: Tensor,
        *,
        evaluations: int,
        memory: Memory,
        box: tuple[float, float] | None,
        on_safe: Callable[[Callable[[], dict[str, Any]]], None],
        make_room: MakeRoom,
    ) -> None:
        self._evaluate, self.memory, self._box = evaluate, memory, box
        self._on_safe, self._make_room = on_safe, make_room
        self.remaining, self.budget, self.stalled = evaluations, 0, 0
        self.best, self.best_value, self.before = start, math.inf, math.inf

    def restore(self, values: dict[str, Any]) -> Point:
        """Go back to a snapshot; return the point that it was taken at."""
        for name in _SAVED:
            setattr(self, name, values[name])
        self.memory.restore(values["pairs"])
        return Point(values["x"], values["value"], values["gradient"])

    def _snapshot(self, here: Point) -> dict[str, Any]:
        saved = {name: getattr(self, name) for name in _SAVED}
        return {**here._asdict(), **saved, "pairs": self.memory.pairs()}

    def _at(self, x: Tensor) -> Point:
        """Evaluate a point."""
        if self.budget == 0:
            raise _Spent
        self.budget, self.remaining = self.budget - 1, self.remaining - 1
        with torch.enable_grad():  # whatever it calls shall not notice where it is called
            value, gradient = self._evaluate(x)
        if value < self.best_value:
            self.best, self.best_value = x, value
        return Point(x, value, gradient)

    def run(self, here: Point | None) -> None:
        """Step after step, until none helps; from the best point, or from where a run was left."""
        here = self._at(self.best) if here is None else here
        while True:
            self._on_safe(partial(self._snapshot, here))
            direction = with_room(partial(self._direction, here), self._make_room)
            slope = float(torch.dot(here.gradient, direction))
            found = None
            if slope < 0.0:
                length = 1.0 if len(self.memory) else self._first_length(direction, -slope)
                found = self._along(here, direction, length)
            if found is None:
                if not len(self.memory):
                    return
                self.memory.forget()
                continue
            here = found

    def _direction(self, here: Point) -> Tensor:
        held = None
        if self._box is not None:
            low, high = (here.x <= self._box[0]), (here.x >= self._box[1])
            held = (low & (here.gradient > 0)) | (high & (here.gradient < 0))
        return self.memory.product(here.gradient, held).neg_()

    def _first_length(self, direction: Tensor, square: float) -> float:
        """Return the length of the first trial step along the steepest descent.

        Without a box the step has norm 1, as SciPy's; with one, its root-mean-square is a share of the box: a
        normalized loss has so small a gradient that the gradient itself would creep.
        """
        if self._box is None:
            return 1.0 / math.sqrt(square)
        moving = float(torch.count_nonzero(direction))
        return FIRST_STEP * (self._box[1] - self._box[0]) * math.sqrt(moving / square)

    def _along(self, here: Point, direction: Tensor, length: float) -> Point | None:
        """Return a point along a direction that is lower enough, and flat enough if a longer step can be.

        Too long a step is shortened by quadratic interpolation; one that is still steep is lengthened. The
        memory learns of the step that is returned.
        """
        good: Point | None = None
        kept: tuple[Tensor, Tensor, float, float] | None = None
        shortened = False
        for _ in range(_TRIES):
            x = with_room(partial(torch.add, here.x, direction, alpha=length), self._make_room)
            if self._box is not None:
                x.clamp_(*self._box)
            moved = with_room(partial(torch.sub, x, here.x), self._make_room)
            trial = self._at(x)
            change = with_room(partial(torch.sub, trial.gradient, here.gradient), self._make_room)
            products = [torch.dot(here.gradient, moved), torch.dot(moved, change), torch.dot(change, change)]
            slope, curvature, square = torch.stack(products).tolist()
            lower = trial.value <= here.value + _SUFFICIENT * slope and slope < 0.0
            if good is not None and not (lower and trial.value < good.value):
                break
            if lower:
                good, kept = trial, (moved, change, curvature, square)
                if shortened or slope + curvature >= _CURVATURE * slope:
                    break
                length *= 4.0
                continue
            shortened = True
            bend = trial.value - here.value - slope
            share = -slope / (2.0 * bend) if bend > 0.0 else 0.5
            length *= min(max(share, 0.1), 0.5)
        if kept is not None and kept[2] > PARALLEL * kept[3]:
            self.memory.add(*kept[:2])
        return good
