"""What a run asks of pictures: files or arrays to images, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specstyle.engine.canvas import resize
from specstyle.engine.views import View, luma, plain_view
from specstyle.errors import RecipeError
from specstyle.media import Encoded
from specstyle.media.color import gray_of, match_colors, match_gray
from specstyle.media.image import PictureCodec, gray_encoded
from specstyle.media.imagefiles import check_output_fits, read_picture
from specstyle.media.pictures import (
    MIN_SIDE,
    ImageSettings,
    Picture,
    check_picture,
    fitted_mask,
    target_shape,
)

LOOP_STRIDE = 16
"""Sides of a picture whose borders meet are multiples of this: VGG19 halves them four times to relu5_1."""

LONGEST_STYLE = 32_768
"""Longest side in pixels that a style may be enlarged to by ``style_scale``."""


def whole_strides(side: int) -> int:
    """Return the multiple of ``LOOP_STRIDE`` that is nearest to a side, at least one."""
    return max(round(side / LOOP_STRIDE), 1) * LOOP_STRIDE


class PictureMedium:
    """Pictures, as a ``Recipe`` asks for them: sizes, colors, bits."""

    def __init__(self, recipe: Any, *, device: torch.device) -> None:
        self._recipe, self._device = recipe, device
        # Where the content's colors are kept, the network sees gray: the space in which it is gray.
        self._gray_space = {"content": "oklab", "luminance": "luma"}.get(recipe.color)
        self._codec = PictureCodec(
            ImageSettings(
                size=recipe.size or None,
                height=recipe.height,
                width=recipe.width,
                enlarge=recipe.enlarge,
                truncate=recipe.truncate_sides,
                resampling=recipe.resampling,
            )
        )

    def source(self, given: Any, role: str, number: int = 0) -> Picture:
        """Return a checked picture from a path, a ``Picture``, or an array; styles have no ranges here.

        Arrays: NumPy ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` of uint8, uint16 or floats in 0..1; tensors
        ``[C, H, W]`` or ``[1, C, H, W]`` in 0..1, with C of 1, 3 or 4.
        """
        picture = _picture(given, role, self._longest())
        check_picture(picture, role=role)
        return picture

    def _longest(self) -> int | None:
        """Return the longest side in which any picture is needed; ``None``: that is not known beforehand."""
        settings = self._codec.settings
        if settings.height is not None or settings.width is not None:
            return None
        larger = max(1.0, *self._recipe.style_scale) if self._recipe.style_scale else 1.0
        return None if settings.size is None else round(settings.size * larger)

    def encode_content(self, source: Picture) -> Encoded:
        """Return the content at its working size."""
        height, width = target_shape(source.height, source.width, self._codec.settings)
        if self._recipe.loop:  # each pooling halves the circle
            height, width = whole_strides(height), whole_strides(width)
        encoded = self._codec.encode_to(source, height, width, device=self._device)
        encoded = encoded if self._gray_space is None else gray_encoded(encoded, self._gray_space)
        height, width = encoded.image.shape[2:]
        if min(height, width) < MIN_SIDE:
            raise RecipeError(
                f"{source.name}: would be {width}x{height} pixels at this size, and at least {MIN_SIDE} are "
                "needed on either side; choose a larger size"
            )
        return encoded

    def encode_style(self, source: Picture, content: Encoded) -> Encoded:
        """Return a style at its own working size, or forced to the content's, in the colors asked for."""
        return self._colored(self._sized(_without_hidden_colors(source), content), content)

    def encode_styles(
        self,
        content: Encoded,
        content_source: Picture,
        sources: Sequence[Picture],
        content_masks: Sequence[Any] = (),
        style_masks: Sequence[Any] = (),
    ) -> tuple[list[Encoded], tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        """Return styles like ``encode_style``, where each applies, and which part of each counts.

        Args:
            content: The content.
            content_source: What it was encoded from.
            sources: The styles.
            content_masks: One per style, or none; see ``Request``.
            style_masks: The same.
        """
        scales = self._recipe.style_scale or (1.0,)
        scales = scales * len(sources) if len(scales) == 1 else scales
        none = (None,) * len(sources)
        given = zip(sources, scales, content_masks or none, style_masks or none, strict=True)
        styles, areas, parts = [], [], []
        for i, (source, scale, content_mask, style_mask) in enumerate(given, 1):
            style = self._sized(_without_hidden_colors(source), content, scale)
            parts.append(self.mask(style_mask, source, style, f"style mask {i}"))
            areas.append(self.mask(content_mask, content_source, content, f"content mask {i}"))
            styles.append(self._colored(style, content, parts[-1], areas[-1]))
        if not any(area is not None for area in areas):
            return styles, (), tuple(parts)
        full = content.image.new_ones((1, 1, *content.image.shape[2:]))
        return styles, tuple(full if area is None else area for area in areas), tuple(parts)

    def mask(self, given: Any, of: Picture, picture: Encoded, role: str) -> Tensor | None:
        """Return a mask in the size of an encoded picture, ``[1, 1, H, W]``; ``None`` if there is none."""
        if given is None or (isinstance(given, (str, Path)) and str(given) == "all"):
            return None
        source = _picture(given, role, self._longest())
        height, width = picture.image.shape[2:]
        values = luma(source.pixels.to(picture.image)) * (
            1.0 if source.alpha is None else source.alpha.to(picture.image)
        )
        return fitted_mask(values, height, width, of=of, name=f"{source.name} ({role})")

    def _sized(self, source: Picture, content: Encoded, scale: float = 1.0) -> Encoded:
        # Where the rows of an image are a network's input channels, all images need the same ones.
        if self._recipe.style_size == "content" or self._recipe.network in ("wide-random", "kernel"):
            height, width = content.image.shape[2:]
            return self._codec.encode_to(source, height, width, device=self._device)
        # height and width of a recipe shape the result; a style keeps its own aspect at the same scale.
        longest = max(content.image.shape[2:])
        if self._recipe.truncate_sides and self._recipe.enlarge and self._recipe.size:
            longest = self._recipe.size  # the content may be cut to a pixel less
        settings = dataclasses.replace(
            self._codec.settings,
            size=longest,
            height=None,
            width=None,
            enlarge=self._recipe.enlarge and self._recipe.style_size == "own",
        )
        plain = target_shape(source.height, source.width, settings)
        height, width = (round(side * scale) for side in plain)
        shortest, longest = min(height, width), max(height, width)
        if shortest < min(MIN_SIDE, *plain) or longest > max(LONGEST_STYLE, *plain):
            raise RecipeError(
                f"{source.name}: style_scale {scale:g} makes it {width}x{height} pixels; expected sides from "
                f"{MIN_SIDE} to {LONGEST_STYLE}; choose a number closer to 1"
            )
        return self._codec.encode_to(source, height, width, device=self._device)

    def _colored(
        self, style: Encoded, content: Encoded, part: Tensor | None = None, area: Tensor | None = None
    ) -> Encoded:
        """Bring a style's colors, or its grays, to the content's: those of its part to those of the area."""
        visible = {
            "weight": _both(style.context.alpha, part),
            "weight_like": _both(content.context.alpha, area),
        }
        if self._gray_space is not None:
            gray = match_gray(gray_of(style.image, self._gray_space), content.image[:, :1], **visible)
            return dataclasses.replace(style, image=gray)
        if self._recipe.color_match == "none":
            return style
        matched = match_colors(style.image, content.image, self._recipe.color_match, **visible)
        return dataclasses.replace(style, image=matched)

    def equalized(
        self,
        content: Encoded,
        styles: Sequence[Encoded],
        areas: Sequence[Tensor],
        parts: Sequence[Tensor | None],
        amount: float,
    ) -> Encoded:
        """Return the content with its colors brought to the styles' (1: all the way), each in its area."""
        if self._gray_space is not None or self._recipe.color_match != "none":
            return content  # the styles have its colors
        areas = areas or (torch.ones_like(content.image[:, :1]),) * len(styles)
        blend = self._recipe.style_blend or (1.0,) * len(styles)
        total = torch.stack([weight * area for weight, area in zip(blend, areas, strict=True)]).sum(0)
        image, covered = content.image.clone(), amount * torch.stack(list(areas)).amax(0)
        for weight, style, area, part in zip(blend, styles, areas, parts, strict=True):
            if weight * area.amax() > 0:
                visible = {
                    "weight": _both(content.context.alpha, area),
                    "weight_like": _both(style.context.alpha, part),
                }
                matched = match_colors(content.image, style.image, "covariance", **visible)
                share = covered * weight * area / total.clamp_min(1e-6)
                image = image + share * (matched - content.image)
        return dataclasses.replace(content, image=image)

    def fit(self, image: Tensor, like: Tensor) -> Tensor:
        """Resize to the other's shape."""
        return resize(image, *like.shape[2:])

    def reference(self, styles: Sequence[Picture], content: Encoded, generator: torch.Generator) -> Tensor:
        """Return noise with the first style's mean color and contrast."""
        pixels = styles[0].pixels.to(content.image)
        mean, spread = pixels.mean((1, 2))[:, None, None], pixels.std((1, 2))[:, None, None]
        noise = torch.randn(1, 3, *content.image.shape[2:], generator=generator).to(content.image)
        reference = (mean + spread * noise).clamp(0.0, 1.0)
        gray = self._gray_space
        return reference if gray is None else gray_of(reference, gray)

    def check_output(self, path: Path, source: Picture, content: Encoded) -> None:
        """Refuse an output whose format cannot hold a picture of the working size."""
        height, width = content.image.shape[2:]
        check_output_fits(height, width, path, bits=self._recipe.bits)

    def view(self, name: str, content: Encoded) -> View:
        """Return a view of pictures by its name."""
        return plain_view(name)

    def finish(self, image: Tensor, content: Encoded, original: Picture) -> tuple[Picture, dict[str, Any]]:
        """Clip to the valid range and put the content's alpha and colors back."""
        return self._codec.decode(image, content), {}

    def describe_encoding(self, content: Encoded) -> dict[str, Any]:
        """Return nothing: the image's shape says it all."""
        return {}

    def describe(self, source: Picture) -> dict[str, Any]:
        """Return size and alpha."""
        return {
            "height": source.pixels.shape[1],
            "width": source.pixels.shape[2],
            "alpha": source.alpha is not None,
        }


def _both(alpha: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """Return how much each pixel counts that is seen through a mask."""
    if alpha is None or mask is None:
        return alpha if mask is None else mask
    seen = alpha.to(mask) * mask
    return seen if bool(seen.any()) else mask


def _without_hidden_colors(style: Picture) -> Picture:
    """Put the mean of the visible colors where a style is transparent: what nobody sees is no style."""
    if style.alpha is None:
        return style
    alpha = style.alpha.to(style.pixels)
    mean = (style.pixels * alpha).sum((1, 2), keepdim=True) / alpha.sum().clamp_min(1e-6)
    return dataclasses.replace(style, pixels=style.pixels * alpha + mean * (1.0 - alpha))


def _picture(given: Any, role: str, longest: int | None) -> Picture:
    """Return a picture from a path, an array, or itself; a file may be reduced to twice a longest side."""
    if isinstance(given, Picture):
        return given
    if isinstance(given, (str, Path)):
        return read_picture(Path(given), longest)
    problem = ValueError(
        f"the {role} must be an array [H, W], [H, W, 3] or [H, W, 4] (uint8, uint16 or floats in 0..1), or a "
        f"tensor [C, H, W] in 0..1 with C of 1, 3 or 4; got {type(given).__name__} of shape "
        f"{list(getattr(given, 'shape', []))}"
    )
    if isinstance(given, Tensor):
        planes = given.detach().cpu()
        planes = planes[0] if planes.ndim == 4 and planes.shape[0] == 1 else planes
    elif isinstance(given, np.ndarray) and given.ndim in (2, 3):
        scale = {"uint8": 255.0, "uint16": 65535.0}.get(given.dtype.name, 1.0)
        whole = given[:, :, None] if given.ndim == 2 else given
        planes = torch.from_numpy(np.moveaxis(whole.astype(np.float64) / scale, 2, 0).copy())
    else:
        raise problem
    if planes.ndim != 3 or planes.shape[0] not in (1, 3, 4) or not planes.is_floating_point():
        raise problem
    colors = planes[:3] if planes.shape[0] >= 3 else planes.expand(3, -1, -1)
    alpha = planes[3:].float() if planes.shape[0] == 4 else None
    if colors.isfinite().all() and (colors.min() < 0.0 or colors.max() > 1.0):
        raise ValueError(
            f"the {role}'s floats must lie in 0..1, got {float(colors.min()):g} to {float(colors.max()):g}"
        )
    return Picture(colors.float(), alpha, name=role)
