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


ALONE = Alone()
