"""The inverse Hessian that the last steps and changes of gradient imply, some variables held or none."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

_MANY = 16
"""From one in so many held variables on, a mask is faster than their indices."""

PARALLEL = 1e-10
"""A change of gradient counts if its product with the step is at least this share of its square."""


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

    def restore(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
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
