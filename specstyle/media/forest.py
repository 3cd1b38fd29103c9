"""Maximum spanning forests of large graphs in a few vectorized rounds."""

from __future__ import annotations

from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]


def spanning_forest(first: _Array, second: _Array, jump: _Array, n_nodes: int) -> tuple[_Array, _Array]:
    """Join nodes along a maximum spanning forest, and sum phases along it (Borůvka's algorithm).

    In each round every tree points along its best edge, and what points to each other becomes one tree.

    Args:
        first: One end of each edge, the best edge last.
        second: The other end, another node.
        jump: Phase of ``second`` less that of ``first``.
        n_nodes: Number of nodes.

    Returns:
        Each node's root, and its phase less that of its root.
    """
    root, shift = np.arange(n_nodes), np.zeros(n_nodes)
    while first.size:
        best, other = np.full(n_nodes, -1), np.full(n_nodes, -1)
        best[first] = other[second] = np.arange(first.size)  # of equal indices the last one counts
        best = np.maximum(best, other)
        node = np.flatnonzero(best >= 0)
        edge = best.take(node)
        start, goal = first.take(edge), second.take(edge)
        pointer, change = np.arange(n_nodes), np.zeros(n_nodes)
        change[node] = jump.take(edge) * (1 - 2 * (start == node))
        goal += start - node
        pointer[node] = goal
        mutual = node.compress((pointer.take(goal) == node) & (node < goal))
        pointer[mutual], change[mutual] = mutual, 0.0  # each other's best: one becomes the root
        follow(pointer, change)
        shift += change.take(root)
        root = pointer.take(root)
        jump = jump + change.take(first) - change.take(second)
        first, second = pointer.take(first), pointer.take(second)
        apart = first != second
        first, second, jump = first.compress(apart), second.compress(apart), jump.compress(apart)
    return root, shift


def follow(pointer: _Array, change: _Array) -> None:
    """Replace each pointer by the end of its chain and each change by its sum along it, in place.

    Each round doubles what a pointer skips.

    Args:
        pointer: Index of the next node; a node that points to itself ends a chain, and there is no circle.
        change: What is added up on the way; 0 at the ends.
    """
    active = np.arange(pointer.size)
    while active.size:
        via = pointer.take(active)
        end = pointer.take(via)
        moved = end != via
        active, via, end = active.compress(moved), via.compress(moved), end.compress(moved)
        change[active] += change.take(via)
        pointer[active] = end
