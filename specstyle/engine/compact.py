"""The inverse Hessian of L-BFGS in a few large products, for devices where each small one costs a launch."""

from __future__ import annotations

import torch
from torch import Tensor

from specstyle.engine.hessian import PARALLEL, Memory
from specstyle.engine.team import ALONE, Team

COLUMNS = 2**22
"""Variables whose pairs are stacked at once: the copy of all pairs would be as large as the memory itself."""

_SLICE = 4096
"""Variables of one product of the batch: sums over millions of them would be the work of a few cores."""


class CompactMemory(Memory):
    """The same approximation as ``Memory``'s, from all products of pairs and vector with each other.

    The recursion asks for fifteen launches and more per pair, one after the other; this takes some forty in
    all, and among several processes one sum. It multiplies more, which a GPU does not notice.

    Args:
        size: Pairs to keep; older ones are forgotten.
        team: Who holds the other parts of all vectors.

    Reference:
        Byrd, Nocedal & Schnabel 1994, "Representations of quasi-Newton matrices and their use in limited
        memory methods", theorem 2.2.
    """

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step and the change of gradient along it, both ``[n]``."""
        self._pairs.append((step, change, step.new_empty(0)))

    def holding(self, held: Tensor) -> Tensor | None:
        """Return what ``product`` takes of a mask ``[n]`` of held variables: the mask, unread."""
        return held

    def product(self, vector: Tensor, held: Tensor | None = None) -> Tensor:
        """Return the inverse Hessian times a vector ``[n]``; nothing is brought to the host.

        Args:
            vector: What to multiply.
            held: A mask of the variables that may not move, ``[n]``; see ``Memory.product``.
        """
        count = 2 * len(self) + 1
        # Sums are exact enough to solve a triangular system of them.
        products = torch.zeros(count, count, dtype=torch.float64, device=vector.device)
        starts = range(0, len(vector), COLUMNS)
        rows = vector[:0]
        for start in starts:
            rows = self._rows(vector, held, start)
            products += _products(rows)
        weights = _weights(self._team.sum(products), len(self)).to(vector.dtype)
        if len(starts) == 1:
            return weights @ rows
        return torch.cat([weights @ self._rows(vector, held, start) for start in starts])

    def _rows(self, vector: Tensor, held: Tensor | None, start: int) -> Tensor:
        """Return steps, changes and the vector as rows ``[2 m + 1, columns]``, 0 where a variable is held."""
        part = slice(start, start + COLUMNS)
        steps, changes = [s[part] for s, _, _ in self._pairs], [y[part] for _, y, _ in self._pairs]
        rows = torch.stack([*steps, *changes, vector[part]])
        return rows if held is None else rows.masked_fill_(held[part], 0.0)


def _products(rows: Tensor) -> Tensor:
    """Return the products of rows with each other in float64: those of slices side by side, and their sum."""
    count = rows.shape[1] // _SLICE
    slices = rows[:, : count * _SLICE].view(len(rows), count, _SLICE).transpose(0, 1)
    rest = rows[:, count * _SLICE :]
    found = torch.bmm(slices, slices.transpose(1, 2)).double().sum(0)
    return found + (rest @ rest.T).double()


def _weights(products: Tensor, count: int) -> Tensor:
    """Return by what to multiply steps, changes and the vector, from their products with each other.

    Args:
        products: ``[2 count + 1, 2 count + 1]``; the oldest pair first, the vector last.
        count: Pairs.
    """
    steps, changes = slice(0, count), slice(count, 2 * count)
    if not count:
        return products.new_ones(1)
    mixed, squares = products[steps, changes], products[changes, changes]
    curvature = mixed.diagonal()
    # Held variables may take a pair's curvature away: then it says nothing, and its weights are 0.
    good = curvature > PARALLEL * squares.diagonal()
    both = good[:, None] & good
    upper = torch.where(both, mixed.triu(), torch.eye(count, dtype=mixed.dtype, device=mixed.device))
    scale = torch.where(good[-1], curvature[-1] / squares[-1, -1], 1.0)
    along_steps, along_changes = torch.where(good, products[steps, -1], 0.0), products[changes, -1]
    solved = torch.linalg.solve_triangular(upper, along_steps[:, None], upper=True)[:, 0]
    inner = curvature * solved + scale * (squares @ solved - along_changes)
    inner = torch.where(good, inner, 0.0)
    back = torch.linalg.solve_triangular(upper.T, inner[:, None], upper=False)[:, 0]
    return torch.cat([back, -scale * solved, scale[None]])


def memory_for(device: torch.device, size: int, team: Team = ALONE) -> Memory:
    """Return an empty memory of the kind that is faster on a device."""
    return CompactMemory(size, team) if device.type == "cuda" else Memory(size, team)
