"""Who works on one run: a process alone, or one of several that each hold a part of the image."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Team(Protocol):
    """The processes of one run. Whatever is a sum over an image's positions is summed over them.

    Attributes:
        rank: This process' number, from 0.
        size: How many there are.
    """

    rank: int
    size: int

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes, the same in each; ``tensor`` may be overwritten."""
        ...

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set in any process."""
        ...

    def least(self, number: int) -> int:
        """Return the least of all processes' numbers."""
        ...


class Columns(Protocol):
    """The columns of an image that one process holds, between those of its neighbors.

    Attributes:
        start: The first.
        stop: The one after the last.
        width: Of the whole image.
    """

    start: int
    stop: int
    width: int

    def with_margins(self, own: Tensor, margin: int) -> tuple[Tensor, int]:
        """Return own columns ``[B, C, H, stop - start]`` with others around them, and the first's number.

        Args:
            own: What this process holds.
            margin: Columns wanted on either side, as far as the image goes.
        """
        ...

    def fold(self, outer: Tensor) -> Tensor:
        """Return own columns of a sum over all processes.

        Args:
            outer: What this process adds to its own columns and to the margins it was given last.
        """
        ...


class Alone:
    """One process, which holds the whole image."""

    rank = 0
    size = 1

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the tensor."""
        return tensor

    def any(self, flag: bool) -> bool:
        """Return the flag."""
        return flag

    def least(self, number: int) -> int:
        """Return the number."""
        return number


ALONE = Alone()
