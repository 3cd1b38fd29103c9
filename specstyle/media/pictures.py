"""A picture in memory: what it is, whether it can be used, and another size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from specstyle.errors import FileError
from specstyle.media.imagetags import UNKNOWN, Origin

MIN_SIDE = 8
"""Smallest side of a usable picture, in pixels: at stride 8 (VGG's relu4_1) less leaves no feature at all."""

_ASPECT_TOLERANCE = 0.05


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in sRGB.

    Attributes:
        pixels: Colors from 0 to 1, float32 or float64, shape ``[3, H, W]``, not premultiplied by alpha.
        alpha: Opacity from 0 to 1, shape ``[1, H, W]``, or None for an opaque picture.
        name: What to call it in messages and figures.
        notes: What happened on reading that a user may want to know, one sentence each.
        origin: Who took it, when, and its dots per inch.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    name: str = "picture"
    notes: tuple[str, ...] = ()
    origin: Origin = UNKNOWN

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
    """Refuse a picture from which nothing can be transferred, naming its role: ``content`` or ``style``.

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


@dataclass(frozen=True)
class ImageSettings:
    """How large a picture is worked on.

    Attributes:
        size: Longest side in pixels, or None for the picture's own size. ``height`` and ``width`` go first.
        height: Height in pixels; without ``width``, that follows the aspect.
        width: Width in pixels, beside a height.
        enlarge: Whether a picture smaller than that is enlarged.
        truncate: Cut sides to whole pixels instead of rounding them; a ``size`` in float32, as TensorFlow's
            tutorial computes it: on some shapes the longest side is a pixel short.
        resampling: See ``resize_picture``.
    """

    size: int | None = 512
    height: int | None = None
    width: int | None = None
    enlarge: bool = False
    truncate: bool = False
    resampling: str = "lanczos"


def target_shape(picture_h: int, picture_w: int, settings: ImageSettings) -> tuple[int, int]:
    """Choose the shape in which a picture is worked on.

    The aspect is kept to rounding, and nothing is enlarged unless the settings say so.

    Args:
        picture_h: Height of the picture in pixels.
        picture_w: Width of the picture in pixels.
        settings: The wanted size.

    Returns:
        Height and width in pixels, each at least 1.

    Raises:
        ValueError: Height and width are both given, exceed the picture, and ``enlarge`` is False.

    Example:
        >>> target_shape(600, 800, ImageSettings(size=512))
        (384, 512)
        >>> target_shape(600, 800, ImageSettings(height=1200))
        (600, 800)
    """
    height, width = settings.height, settings.width
    if height is not None and width is not None:
        if not settings.enlarge and (height > picture_h or width > picture_w):
            raise ValueError(
                f"height and width: {height} x {width} would enlarge a picture of {picture_h} x {picture_w} "
                "(height x width); choose smaller ones, only one of them, or enlarge=True"
            )
        return height, width
    if height is not None:
        wanted, side = height, picture_h
    elif settings.size is not None:
        wanted, side = settings.size, max(picture_h, picture_w)
    else:
        return picture_h, picture_w
    if wanted > side and not settings.enlarge:
        return picture_h, picture_w
    if settings.truncate:
        if height is not None:
            return max(1, picture_h * wanted // side), max(1, picture_w * wanted // side)
        ratio = np.float32(wanted) / np.float32(side)
        return max(1, int(np.float32(picture_h) * ratio)), max(1, int(np.float32(picture_w) * ratio))
    return _scaled(picture_h, wanted, side), _scaled(picture_w, wanted, side)


def _scaled(length: int, wanted: int, side: int) -> int:
    """Round length * wanted / side to the nearest whole number, halves up, in integers."""
    return max(1, (2 * length * wanted + side) // (2 * side))


def resize_picture(picture: Picture, height: int, width: int, resampling: str = "lanczos") -> Picture:
    """Resample a picture, by a Lanczos kernel of three lobes, widened when shrinking, or as others do.

    Channels are resampled as 32-bit floats, so nothing is rounded to 8 bits, and clipped to 0 to 1. Colors
    are weighted by alpha: what a transparent pixel would have looked like does not bleed into its neighbours.

    Args:
        picture: The picture, ``[3, H, W]``.
        height: New height in pixels.
        width: New width in pixels.
        resampling: ``lanczos``, ``bilinear`` (never widened) or ``nearest``.

    Returns:
        The picture in the new shape, the dtype and device of its pixels kept.
    """
    if (height, width) == (picture.height, picture.width):
        return picture
    colors = picture.pixels.detach().cpu().numpy().astype(np.float32)
    resized = _resampled(colors, height, width, resampling)
    alpha = None
    if picture.alpha is not None:
        opacity = picture.alpha.detach().cpu().numpy().astype(np.float32)
        weighted = _resampled(colors * opacity, height, width, resampling)
        new_opacity = _resampled(opacity, height, width, resampling)
        # Where nothing is visible there is no weight to divide by: the plain colors stand.
        visible = new_opacity > 1 / 512
        resized = np.where(visible, weighted / np.where(visible, new_opacity, 1), resized)
        alpha = torch.from_numpy(np.clip(new_opacity, 0, 1)).to(picture.alpha)
    pixels = torch.from_numpy(np.clip(resized, 0, 1)).to(picture.pixels)
    return replace(picture, pixels=pixels, alpha=alpha)


def _resampled(
    channels: NDArray[np.float32], height: int, width: int, resampling: str
) -> NDArray[np.float32]:
    """Resample every channel of [C, H, W]."""
    if resampling == "bilinear":
        images = torch.from_numpy(channels)[None]
        found = F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
        return np.asarray(found[0].numpy())
    kernel = Image.Resampling[resampling.upper()]
    return np.stack(
        [np.asarray(Image.fromarray(plane).resize((width, height), kernel)) for plane in channels]
    )


def fitted_mask(mask: Tensor, height: int, width: int, *, of: Picture, name: str) -> Tensor:
    """Resample a mask to a picture's size, by the mean of the area where it shrinks: it cannot overshoot.

    Args:
        mask: From 0 to 1, ``[1, h, w]``.
        height: In which the picture is worked on, as ``width``.
        width: See there.
        of: The picture itself.
        name: What to call the mask in messages.

    Returns:
        ``[1, 1, height, width]``.

    Raises:
        FileError: If the mask is another picture's by its aspect, or is 0 everywhere.
    """
    # A side is rounded to whole pixels.
    slack = _ASPECT_TOLERANCE + 1.0 / min(mask.shape[1:])
    if abs(math.log(mask.shape[2] / mask.shape[1] * of.height / of.width)) > slack:
        raise FileError(
            f"{name}: is {mask.shape[2]} x {mask.shape[1]} for {of.name} of {of.width} x {of.height}; "
            "expected the same aspect; crop it like the picture"
        )
    resized = F.interpolate(mask[None], (height, width), mode="bilinear", align_corners=False, antialias=True)
    if not bool((resized > 0).any()):
        raise FileError(f"{name}: is black everywhere; expected white where the style belongs")
    return resized.clamp(0.0, 1.0)
