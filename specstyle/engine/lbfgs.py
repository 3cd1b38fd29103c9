"""L-BFGS with a box, on the device and in the type of what it optimizes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from specstyle.engine.objective import MakeRoom, with_room

FIRST_STEP = 0.01
"""Root-mean-square length of the first trial step, relative to the width of the box."""

PARALLEL = 1e-10
"""A change of gradient counts if its product with the step is at least this share of its square."""

_SUFFICIENT = 1e-4
_CURVATURE = 0.9
"""Of the line search: decrease and flattening that make a step good (Nocedal & Wright 2006, section 3.1)."""

_TRIES = 12
"""Trial steps of one line search at most."""

_MANY = 16
"""From one in so many held variables on, a mask is faster than their indices."""


@torch.no_grad()
def minimize(
    evaluate: Callable[[Tensor], tuple[float, Tensor]],
    start: Tensor,
    memory: Memory,
    *,
    evaluations: int,
    box: tuple[float, float] | None = None,
    restart_every: int | None = None,
    on_safe: Callable[[Callable[[], dict[str, Any]]], None] = lambda _: None,
    resume: dict[str, Any] | None = None,
    make_room: MakeRoom = lambda: False,
) -> None:
    """Lower a function by L-BFGS; whoever evaluates it keeps the best point.

    A round ends after ``restart_every`` evaluations, or where no step along the steepest descent helps any
    more; the next starts from the best point with an empty memory. Two rounds without progress end it all.

    Args:
        evaluate: The function: a point ``[n]`` to the loss and its gradient ``[n]``.
        start: ``[n]``, within the box.
        memory: What the first round knows of the function already; changed in place.
        evaluations: Calls of ``evaluate`` at most.
        box: Smallest and largest value of every variable.
        restart_every: Evaluations of one round.
        on_safe: Called between two line searches with a function that returns a snapshot: numbers and the
            tensors themselves.
        resume: Such a snapshot, to go on from; ``start`` and what is in ``memory`` are then not looked at.
        make_room: Called where memory ran out between evaluations; what failed is then done again.

    Reference:
        Nocedal & Wright 2006, chapter 7, with the projection of Bertsekas 1982: variables at a border that
        the gradient pushes against are held, and trial points are brought back into the box.
    """
    search = _Search(evaluate, start, evaluations, memory, box, on_safe, make_room)
    here = None if resume is None else search.restore(resume)
    while here is not None or (search.remaining > 0 and search.stalled < 2):
        if here is None:
            search.budget = min(search.remaining, restart_every or search.remaining)
            search.before = search.best_value
        try:
            search.run(here)
            search.stalled = 0 if search.best_value < search.before else search.stalled + 1
        except _Spent:
            # Only the end of a round forgets: at the very end the memory is given back.
            if search.remaining > 0:
                memory.forget()
        here = None


class Point(NamedTuple):
    """A point with the loss and the gradient there."""

    x: Tensor
    value: float
    gradient: Tensor


class _Spent(Exception):  # noqa: N818 (ends the loop, is no error)
    """The evaluations are used up."""


_SAVED = ("remaining", "budget", "best", "best_value", "stalled", "before")
"""Of a ``_Search``, what a snapshot holds beside the point and the memory."""


@dataclass
class _Search:
    """Rounds of steps, each along a direction that the memory gives; evaluations are counted."""

    evaluate: Callable[[Tensor], tuple[float, Tensor]]
    best: Tensor
    remaining: int
    memory: Memory
    box: tuple[float, float] | None
    on_safe: Callable[[Callable[[], dict[str, Any]]], None]
    make_room: MakeRoom
    budget: int = 0
    stalled: int = 0
    best_value: float = math.inf
    before: float = math.inf

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
            value, gradient = self.evaluate(x)
        if value < self.best_value:
            self.best, self.best_value = x, value
        return Point(x, value, gradient)

    def run(self, here: Point | None) -> None:
        """Step after step, until none helps; from the best point, or from where a run was left."""
        here = self._at(self.best) if here is None else here
        while True:
            self.on_safe(partial(self._snapshot, here))
            direction = with_room(partial(self._direction, here), self.make_room)
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
        if self.box is not None:
            low, high = (here.x <= self.box[0]), (here.x >= self.box[1])
            held = (low & (here.gradient > 0)) | (high & (here.gradient < 0))
        return self.memory.product(here.gradient, held).neg_()

    def _first_length(self, direction: Tensor, square: float) -> float:
        """Return the length of the first trial step along the steepest descent.

        Without a box the step has norm 1, as SciPy's; with one, its root-mean-square is a share of the box: a
        normalized loss has so small a gradient that the gradient itself would creep.
        """
        if self.box is None:
            return 1.0 / math.sqrt(square)
        moving = float(torch.count_nonzero(direction))
        return FIRST_STEP * (self.box[1] - self.box[0]) * math.sqrt(moving / square)

    def _along(self, here: Point, direction: Tensor, length: float) -> Point | None:
        """Return a point along a direction that is lower enough, and flat enough if a longer step can be.

        Too long a step is shortened by quadratic interpolation; one that is still steep is lengthened. The
        memory learns of the step that is returned.
        """
        good: Point | None = None
        kept: tuple[Tensor, Tensor, float, float] | None = None
        shortened = False
        for _ in range(_TRIES):
            x = with_room(partial(torch.add, here.x, direction, alpha=length), self.make_room)
            if self.box is not None:
                x.clamp_(*self.box)
            moved = with_room(partial(torch.sub, x, here.x), self.make_room)
            trial = self._at(x)
            change = with_room(partial(torch.sub, trial.gradient, here.gradient), self.make_room)
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


class Memory:
    """The last steps and changes of gradient: an approximation of the inverse Hessian.

    Args:
        size: Pairs to keep; older ones are forgotten.

    Reference:
        Nocedal & Wright 2006, algorithm 7.4.
    """

    def __init__(self, size: int) -> None:
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step and the change of gradient along it, both ``[n]``."""
        dots = torch.stack([torch.dot(step, change), torch.dot(change, change)])
        self._pairs.append((step, change, dots))

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Return steps and changes of gradient, the oldest first."""
        return [(step, change) for step, change, _ in self._pairs]

    def restore(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take back what ``pairs`` returned."""
        self.forget()
        for step, change in pairs:
            self.add(step, change)

    def forget(self) -> None:
        """Start anew."""
        self._pairs.clear()

    def shrink(self) -> bool:
        """Forget the older half of the pairs, and keep no more from now on; ``False``: there is none."""
        pairs = list(self._pairs)
        if not pairs:
            return False
        kept = len(pairs) // 2
        self._pairs = deque(pairs[len(pairs) - kept :], maxlen=max(kept, 1))
        return True

    @property
    def size(self) -> int:
        """Pairs that are kept at most."""
        return self._pairs.maxlen or 0

    def product(self, vector: Tensor, held: Tensor | None = None) -> Tensor:
        """Return the inverse Hessian times a vector ``[n]``.

        Args:
            vector: What to multiply.
            held: A mask ``[n]`` of the variables that may not move; the approximation is then that of the
                others alone, and these stay 0.
        """
        indices = None if held is None else held.nonzero()[:, 0]
        border = None if indices is None or not len(indices) else _Border(indices, vector)
        q = vector.clone() if border is None else border.clear_(vector.clone())
        used: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        scale: Tensor | None = None
        for step, change, dots in reversed(self._pairs):
            curvature, square = dots if border is None else dots - border.dots(step, change)
            # Held variables may take a pair's curvature away: then it says nothing, and its weight is 0.
            good = curvature > PARALLEL * square
            rho = torch.where(good, 1.0 / curvature, 0.0)
            scale = torch.where(good, curvature / square, 1.0) if scale is None else scale
            # q is 0 where a variable is held, so that whole steps and changes serve in its products.
            alpha = rho * torch.dot(step, q)
            q.addcmul_(change, alpha, value=-1.0)
            q = q if border is None else border.clear_(q)
            used.append((step, change, rho, alpha))
        if scale is not None:
            q.mul_(scale)
        for step, change, rho, alpha in reversed(used):
            q.addcmul_(step, alpha - rho * torch.dot(change, q))
            q = q if border is None else border.clear_(q)
        return q


class _Border:
    """The held variables: by index where they are few, by a mask where that is faster.

    Args:
        held: Their indices.
        like: A vector of all variables.
    """

    def __init__(self, held: Tensor, like: Tensor) -> None:
        self._held = held
        many = _MANY * len(held) > len(like)
        self._mask = torch.zeros_like(like).index_fill_(0, held, 1.0) if many else None
        self._free = None if self._mask is None else 1.0 - self._mask

    def clear_(self, vector: Tensor) -> Tensor:
        """Set the held variables of a vector to 0."""
        return vector.index_fill_(0, self._held, 0.0) if self._free is None else vector.mul_(self._free)

    def dots(self, step: Tensor, change: Tensor) -> Tensor:
        """Return a pair's products, step by change and change by change, over the held variables alone."""
        if self._mask is None:
            step, part = step[self._held], change[self._held]
            return torch.stack([torch.dot(step, part), torch.dot(part, part)])
        part = change * self._mask
        return torch.stack([torch.dot(step, part), torch.dot(part, part)])
