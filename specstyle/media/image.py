"""Picture <-> the image that the engine optimizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from specstyle.media import Encoded
from specstyle.media.color import colored, gray_of
from specstyle.media.imagetags import UNKNOWN, Origin
from specstyle.media.pictures import ImageSettings, Picture, resize_picture, target_shape


@dataclass(frozen=True, eq=False)
class PictureContext:
    """What a picture's image does not hold.

    Attributes:
        alpha: Opacity in the image's shape, ``[1, H, W]``, or None.
        name: The picture's name.
        colors: If the image is gray and these shall come back: the picture's colors, ``[1, 3, H, W]``.
        space: In which it is gray, see ``color.gray_of``.
        origin: The picture's.
    """

    alpha: Tensor | None
    name: str
    colors: Tensor | None = None
    space: str = "oklab"
    origin: Origin = UNKNOWN


def gray_encoded(encoded: Encoded, space: str) -> Encoded:
    """Return an encoded picture in gray of a ``color.gray_of`` space; ``decode`` gives its colors back."""
    gray = gray_of(encoded.image, space)
    return replace(encoded, image=gray, context=replace(encoded.context, colors=encoded.image, space=space))


class PictureCodec:
    """Pictures as a medium: an image is the picture's sRGB values, ``[1, 3, H, W]``, from 0 to 1.

    Args:
        settings: The size in which pictures are worked on.
    """

    def __init__(self, settings: ImageSettings) -> None:
        self.settings = settings

    def encode(
        self, source: Picture, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Encoded:
        """Turn a picture into an image of the size that the settings ask for; see ``encode_to``."""
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
        picture = resize_picture(source, height, width, self.settings.resampling)
        # A copy always: an optimizer may write into the image, and the picture must not change with it.
        image = picture.pixels.detach().to(device=device, dtype=dtype, copy=True)[None]
        return Encoded(
            image.contiguous(), 1.0, PictureContext(picture.alpha, source.name, origin=source.origin)
        )

    def decode(self, image: Tensor, like: Encoded) -> Picture:
        """Turn an image into a picture with the alpha and the name of another, and its colors if it was gray.

        Args:
            image: Shape ``[1, 3, H, W]``; values outside 0 to 1 are clipped.
            like: The encoded picture that the image was made from, of the same shape.

        Returns:
            The picture, on the CPU, in float64 where the image is, in float32 otherwise.

        Raises:
            ValueError: Another shape than ``like.image``.
        """
        context: PictureContext = like.context
        if image.shape != like.image.shape:
            raise ValueError(f"image: expected shape {list(like.image.shape)}, got {list(image.shape)}")
        dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
        if context.colors is not None:
            image = colored(image.detach()[:, :1].clamp(0, 1), context.colors.to(image), context.space)
        pixels = image.detach()[0].to(device="cpu", dtype=dtype, copy=True).clamp_(0, 1)
        return Picture(pixels, context.alpha, context.name, origin=context.origin)
