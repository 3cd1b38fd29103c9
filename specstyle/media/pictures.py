"""A picture in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in sRGB.

    Attributes:
        pixels: Colors from 0 to 1, float32 or float64, shape ``[3, H, W]``, not premultiplied by alpha.
        alpha: Opacity from 0 to 1, shape ``[1, H, W]``, or None for an opaque picture.
        name: What to call it in messages and figures.
        notes: What happened on reading that a user may want to know, one sentence each.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    name: str = "picture"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"pixels: expected float32 or float64, got {self.pixels.dtype}")
        if self.pixels.ndim != 3 or self.pixels.shape[0] != 3 or 0 in self.pixels.shape:
            raise ValueError(f"pixels: expected shape [3, H, W], got {list(self.pixels.shape)}")
        if self.alpha is not None and self.alpha.shape != (1, *self.pixels.shape[1:]):
            raise ValueError(
                f"alpha: expected shape {[1, *self.pixels.shape[1:]]}, got {list(self.alpha.shape)}"
            )

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[2]

    def save(self, path: str | Path) -> None:
        """Write a picture file in the format that its suffix names.

        Raises:
            FileError: If it cannot be written.
        """
        from specstyle.media.imagefiles import write_picture

        write_picture(self, Path(path))
