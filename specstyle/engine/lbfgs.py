"""L-BFGS with a box, on the device and in the type of what it optimizes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

FIRST_STEP = 0.01
"""Root-mean-square length of the first trial step, relative to the width of the box."""

_SUFFICIENT = 1e-4
_CURVATURE = 0.9
"""Of the line search: decrease and flattening that make a step good (Nocedal & Wright 2006, section 3.1)."""

_TRIES = 12
"""Trial steps of one line search at most."""

_PARALLEL = 1e-10
"""A change of gradient counts if its product with the step is at least this share of its square."""


class Memory:
    """The last steps and changes of gradient: an approximation of the inverse Hessian.

    Args:
        size: Pairs to keep; older ones are forgotten.

    Reference:
        Nocedal & Wright 2006, algorithm 7.4.
    """

    def __init__(self, size: int) -> None:
        self._pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step and the change of gradient along it, both ``[n]``."""
        self._pairs.append((step, change))

    def forget(self) -> None:
        """Start anew."""
        self._pairs.clear()

    def product(self, vector: Tensor, free: Tensor | None = None) -> Tensor:
        """Return the inverse Hessian times a vector ``[n]``.

        Args:
            vector: What to multiply.
            free: 1 where a variable may move and 0 where it is held, ``[n]``; the approximation is then that
                of the free variables alone, and the others stay 0.
        """
        q = vector.clone() if free is None else vector * free
        used: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        scale: Tensor | None = None
        for step, change in reversed(self._pairs):
            part = change if free is None else change * free
            curvature, square = torch.dot(step, part), torch.dot(part, part)
            # Held variables may take a pair's curvature away: then it says nothing, and its weight is 0.
            good = curvature > _PARALLEL * square
            rho = torch.where(good, 1.0 / curvature, 0.0)
            scale = torch.where(good, curvature / square, 1.0) if scale is None else scale
            alpha = rho * torch.dot(step, q)
            q.addcmul_(part, alpha, value=-1.0)
            used.append((step, part, rho, alpha))
        if scale is not None:
            q.mul_(scale)
        for step, part, rho, alpha in reversed(used):
            q.addcmul_(step, alpha - rho * torch.dot(part, q))
            if free is not None:
                q.mul_(free)
        return q


Evaluate = Callable[[Tensor], tuple[float, Tensor]]
"""A point ``[n]`` to the loss and its gradient ``[n]``."""


class Point(NamedTuple):
    """A point with the loss and the gradient there."""

    x: Tensor
    value: float
    gradient: Tensor


class _Spent(Exception):  # noqa: N818 (ends the loop, is no error)
    """The evaluations are used up."""


class _Evaluations:
    """The function, counted, with the best point that it saw."""

    def __init__(self, function: Evaluate, start: Tensor, count: int) -> None:
        self._function, self.remaining, self.budget = function, count, 0
        self.best, self.best_value = start, math.inf

    def __call__(self, x: Tensor) -> Point:
        if self.budget == 0:
            raise _Spent
        self.budget, self.remaining = self.budget - 1, self.remaining - 1
        with torch.enable_grad():  # whatever it calls shall not notice where it is called
            value, gradient = self._function(x)
        if value < self.best_value:
            self.best, self.best_value = x, value
        return Point(x, value, gradient)


@torch.no_grad()
def minimize(
    evaluate: Evaluate,
    start: Tensor,
    *,
    evaluations: int,
    history: int = 10,
    box: tuple[float, float] | None = None,
    restart_every: int | None = None,
) -> None:
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

    Reference:
        Nocedal & Wright 2006, chapter 7, with the projection of Bertsekas 1982: variables at a border that
        the gradient pushes against are held, and trial points are brought back into the box.
    """
    function = _Evaluations(evaluate, start, evaluations)
    stalled = 0
    while function.remaining > 0 and stalled < 2:
        function.budget = min(function.remaining, restart_every or function.remaining)
        before = function.best_value
        try:
            _round(function, history, box)
        except _Spent:
            continue
        stalled = 0 if function.best_value < before else stalled + 1


def _round(function: _Evaluations, history: int, box: tuple[float, float] | None) -> None:
    memory = Memory(history)
    here = function(function.best)
    while True:
        free = None if box is None else _free(here, box)
        direction = memory.product(here.gradient, free).neg_()
        slope = float(torch.dot(here.gradient, direction))
        found = None
        if slope < 0.0:
            length = 1.0 if len(memory) else _first_length(direction, box)
            found = _line_search(function, here, direction, length, box)
        if found is None:
            if not len(memory):
                return
            memory.forget()
            continue
        step, change = found.x - here.x, found.gradient - here.gradient
        curvature, square = torch.stack([torch.dot(step, change), torch.dot(change, change)]).tolist()
        if curvature > _PARALLEL * square:
            memory.add(step, change)
        here = found


def _free(here: Point, box: tuple[float, float]) -> Tensor | None:
    """Return 1 where a variable may move and 0 where a border holds it; ``None``: all may."""
    held = ((here.x <= box[0]) & (here.gradient > 0)) | ((here.x >= box[1]) & (here.gradient < 0))
    return (~held).to(here.x.dtype) if bool(held.any()) else None


def _first_length(direction: Tensor, box: tuple[float, float] | None) -> float:
    """Return the length of the first trial step along the steepest descent.

    Without a box the step has norm 1, as SciPy's; with one, its root-mean-square is a share of the box: a
    normalized loss has so small a gradient that the gradient itself would creep.
    """
    norm = float(direction.norm())
    if box is None:
        return 1.0 / norm
    return FIRST_STEP * (box[1] - box[0]) * math.sqrt(int(torch.count_nonzero(direction))) / norm


def _line_search(
    function: _Evaluations,
    here: Point,
    direction: Tensor,
    length: float,
    box: tuple[float, float] | None,
) -> Point | None:
    """Return a point along a direction that is lower enough, and flat enough if a longer step can be.

    Too long a step is shortened by quadratic interpolation; one that is still steep is lengthened.
    """
    good: Point | None = None
    shortened = False
    for _ in range(_TRIES):
        x = torch.add(here.x, direction, alpha=length)
        if box is not None:
            x.clamp_(*box)
        moved = x - here.x
        trial = function(x)
        slope, trial_slope = torch.stack(
            [torch.dot(here.gradient, moved), torch.dot(trial.gradient, moved)]
        ).tolist()
        lower = trial.value <= here.value + _SUFFICIENT * slope and slope < 0.0
        if good is not None and not (lower and trial.value < good.value):
            return good
        if lower:
            good = trial
            if shortened or trial_slope >= _CURVATURE * slope:
                return good
            length *= 4.0
            continue
        shortened = True
        bend = trial.value - here.value - slope
        share = -slope / (2.0 * bend) if bend > 0.0 else 0.5
        length *= min(max(share, 0.1), 0.5)
    return good
