"""Which parts of an image are computed at once, are here, or count."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from specstyle.engine.positions import root_weights
from specstyle.engine.tiles import Size

MapSize = tuple[int, int, int]
"""Channels, height and width of a network's map."""


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How an objective is computed tile by tile.

    Attributes:
        size: Of a tile.
        keep_content: See ``TiledObjective``.
    """

    size: Size
    keep_content: bool = True


@dataclasses.dataclass(frozen=True)
class Masks:
    """Where styles apply, and which parts of them count: from 0 to 1, ``[1, 1, H, W]`` of any size.

    Attributes:
        contents: One per style, or none at all: every style applies everywhere.
        styles: One per style; ``None``: all of it counts.
    """

    contents: tuple[Tensor, ...] = ()
    styles: tuple[Tensor | None, ...] = ()

    def roots_of_style(self, index: int, sizes: dict[str, MapSize]) -> dict[str, Tensor]:
        """Return the roots of the weights of a style's positions by layer; none if all weigh the same."""
        mask = self.styles[index] if self.styles else None
        return {} if mask is None else {n: root_weights(mask, *size[1:]) for n, size in sizes.items()}
