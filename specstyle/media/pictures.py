"""A picture in memory: what it is, and whether it can be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from specstyle.errors import FileError

MIN_SIDE = 8
"""Smallest side of a usable picture, in pixels: at stride 8 (VGG's relu4_1) less leaves no feature at all."""


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


def check_picture(picture: Picture, *, role: str) -> None:
    """Refuse a picture from which nothing can be transferred.

    Args:
        picture: The picture.
        role: What it is for, as the message names it: ``"content"`` or ``"style"``.

    Raises:
        FileError: A side below ``MIN_SIDE`` pixels, NaN or infinite values, one constant color, or
            no pixel that is not fully transparent.
    """
    who = f"{picture.name} ({role})"
    if min(picture.height, picture.width) < MIN_SIDE:
        raise FileError(
            f"{who}: is {picture.width} x {picture.height} pixels; expected at least {MIN_SIDE} a side; "
            "use a larger picture"
        )
    if not bool(torch.isfinite(picture.pixels).all()):
        raise FileError(f"{who}: has pixels that are NaN or infinite; expected values from 0 to 1")
    if picture.alpha is not None and not bool((picture.alpha > 0).any()):
        raise FileError(f"{who}: is fully transparent; expected something visible; use another picture")
    low, high = picture.pixels.amin(dim=(1, 2)), picture.pixels.amax(dim=(1, 2))
    if bool((high - low < 0.5 / 255).all()):  # less than half a step of an 8-bit picture
        hint = "use another picture" if picture.alpha is None else "draw it on a background of another color"
        raise FileError(f"{who}: has one single color; expected a picture with some structure; {hint}")
