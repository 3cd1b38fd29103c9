"""Picture file <-> image: reading, sizes, and the image that the engine optimizes.

``imagefiles`` knows files, ``imagecolor`` knows pixel modes and profiles; what others need is named here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from specstyle.errors import FileError
from specstyle.media.base import Encoded
from specstyle.media.imagefiles import (
    MAX_PIXELS,
    Picture,
    check_output_suffix,
    read_picture,
    write_picture,
)

__all__ = [
    "MAX_PIXELS",
    "MIN_SIDE",
    "ImageSettings",
    "Picture",
    "PictureContext",
    "PictureMedium",
    "check_output_suffix",
    "check_picture",
    "read_picture",
    "resize_picture",
    "target_shape",
    "write_picture",
]

MIN_SIDE = 8
"""Smallest side of a usable picture, in pixels: at stride 8 (VGG's relu4_1) less leaves no feature at all."""


@dataclass(frozen=True)
class ImageSettings:
    """How large a picture is worked on.

    Attributes:
        size: Longest side in pixels, or None for the picture's own size. ``height`` and ``width`` go first.
        height: Height in pixels; alone, the width follows the aspect.
        width: Width in pixels; alone, the height follows the aspect.
        enlarge: Whether a picture smaller than that is enlarged.
    """

    size: int | None = 512
    height: int | None = None
    width: int | None = None
    enlarge: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "height", "width"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{name}: expected a whole number of pixels, at least 1, or None, got {value!r}"
                )
        if not isinstance(self.enlarge, bool):
            raise ValueError(f"enlarge: expected True or False, got {self.enlarge!r}")


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
    for name, side in (("picture_h", picture_h), ("picture_w", picture_w)):
        if side < 1:
            raise ValueError(f"{name}: expected at least 1 pixel, got {side}")
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
    elif width is not None:
        wanted, side = width, picture_w
    elif settings.size is not None:
        wanted, side = settings.size, max(picture_h, picture_w)
    else:
        return picture_h, picture_w
    if wanted > side and not settings.enlarge:
        return picture_h, picture_w
    return _scaled(picture_h, wanted, side), _scaled(picture_w, wanted, side)


def _scaled(length: int, wanted: int, side: int) -> int:
    """Round length * wanted / side to the nearest whole number, halves up, in integers."""
    return max(1, (2 * length * wanted + side) // (2 * side))


# -- checking ------------------------------------------------------------------------------------------------


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


# -- resampling ----------------------------------------------------------------------------------------------


def resize_picture(picture: Picture, height: int, width: int) -> Picture:
    """Resample a picture by a Lanczos kernel of three lobes, widened when shrinking (no aliasing).

    Channels are resampled as 32-bit floats, so nothing is rounded to 8 bits, and clipped to 0 to 1. Colors
    are weighted by alpha: what a transparent pixel would have looked like does not bleed into its neighbours.

    Args:
        picture: The picture, ``[3, H, W]``.
        height: New height in pixels.
        width: New width in pixels.

    Returns:
        The picture in the new shape, the dtype and device of its pixels kept.

    Raises:
        ValueError: A side below 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width: expected at least 1 pixel each, got {height} x {width}")
    if (height, width) == (picture.height, picture.width):
        return picture
    colors = picture.pixels.detach().cpu().numpy().astype(np.float32)
    resized = _resampled(colors, height, width)
    alpha = None
    if picture.alpha is not None:
        opacity = picture.alpha.detach().cpu().numpy().astype(np.float32)
        weighted = _resampled(colors * opacity, height, width)
        new_opacity = _resampled(opacity, height, width)
        # Where nothing is visible there is no weight to divide by: the plain colors stand.
        visible = new_opacity > 1 / 512
        resized = np.where(visible, weighted / np.where(visible, new_opacity, 1), resized)
        alpha = torch.from_numpy(np.clip(new_opacity, 0, 1)).to(picture.alpha)
    pixels = torch.from_numpy(np.clip(resized, 0, 1)).to(picture.pixels)
    return replace(picture, pixels=pixels, alpha=alpha)


def _resampled(channels: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resample every channel of [C, H, W]."""
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS))
        for plane in channels
    ]
    return np.stack(planes)


# -- the medium ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PictureContext:
    """What a picture's image does not hold.

    Attributes:
        alpha: Opacity in the image's shape, ``[1, H, W]``, or None.
        name: The picture's name.
    """

    alpha: Tensor | None
    name: str


class PictureMedium:
    """Pictures as a medium: an image is the picture's sRGB values, ``[1, 3, H, W]``, from 0 to 1.

    Args:
        settings: The size in which pictures are worked on.
    """

    name = "image"

    def __init__(self, settings: ImageSettings) -> None:
        self.settings = settings

    def read(self, path: Path) -> Picture:
        """Read a picture file; see ``read_picture``."""
        return read_picture(path)

    def write(self, source: Picture, path: Path) -> None:
        """Write a picture file; see ``write_picture``, which also says what the format could not keep."""
        write_picture(source, path)

    def encode(
        self, source: Picture, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Encoded:
        """Turn a picture into an image of the size that the settings ask for.

        Args:
            source: The picture.
            dtype: Floating-point type of the image.
            device: Where the image lives.

        Returns:
            The image ``[1, 3, H, W]`` and, as context, a ``PictureContext``.
        """
        height, width = target_shape(source.height, source.width, self.settings)
        return self.encode_to(source, height, width, dtype=dtype, device=device)

    def encode_to(
        self,
        source: Picture,
        height: int,
        width: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Encoded:
        """Turn a picture into an image of one exact size, such as another picture's.

        Args:
            source: The picture.
            height: Height in pixels; the settings are not asked, and the aspect may change.
            width: Width in pixels.
            dtype: Floating-point type of the image.
            device: Where the image lives.

        Returns:
            The image ``[1, 3, height, width]`` and, as context, a ``PictureContext``.
        """
        if not dtype.is_floating_point:
            raise ValueError(f"dtype: expected a floating-point type, got {dtype}")
        picture = resize_picture(source, height, width)
        # A copy always: an optimizer may write into the image, and the picture must not change with it.
        image = picture.pixels.detach().to(device=device, dtype=dtype, copy=True)[None]
        return Encoded(image.contiguous(), 1.0, PictureContext(picture.alpha, source.name))

    def decode(self, image: Tensor, like: Encoded) -> Picture:
        """Turn an image into a picture with the alpha and the name of another.

        Args:
            image: Shape ``[1, 3, H, W]``; values outside 0 to 1 are clipped.
            like: The encoded picture that the image was made from, of the same shape.

        Returns:
            The picture, on the CPU, in float64 where the image is, in float32 otherwise.

        Raises:
            ValueError: Another shape than ``like.image``, or a context that is not a picture's.
        """
        context = like.context
        if not isinstance(context, PictureContext):
            raise ValueError(f"like: expected an encoded picture, got a context of {type(context).__name__}")
        if image.shape != like.image.shape:
            raise ValueError(f"image: expected shape {list(like.image.shape)}, got {list(image.shape)}")
        dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
        pixels = image.detach()[0].to(device="cpu", dtype=dtype, copy=True).clamp_(0, 1)
        return Picture(pixels, context.alpha, context.name)
