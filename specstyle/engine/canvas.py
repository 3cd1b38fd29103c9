"""What is optimized: parameters that make an image, in which sizes and parts, and what they start from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine.views import Seen


class Canvas(Protocol):
    """Parameters and the image that they make."""

    def parameters(self) -> list[Tensor]:
        """Return the leaves that an optimizer may change in place."""
        ...

    def image(self) -> Tensor:
        """Return the image ``[B, C, H, W]``, differentiable with respect to the parameters."""
        ...

    def bounds(self) -> tuple[float, float] | None:
        """Return the box that every parameter must stay in, or ``None``."""
        ...


class Pixels:
    """The pixels themselves, in the range that a recipe optimizes (learning rates depend on it).

    Args:
        image: Start, ``[B, C, H, W]``, in the medium's range ``0..upper``.
        pixel_range: The parameters are the image times this.
        upper: If given, the image must stay in ``lower..upper``.
        lower: See there.
    """

    def __init__(
        self, image: Tensor, *, pixel_range: float = 1.0, upper: float | None = None, lower: float = 0.0
    ) -> None:
        self._pixel_range = pixel_range
        self._lower, self._upper = lower, upper
        self._pixels = (image.detach() * pixel_range).contiguous().requires_grad_(True)

    def parameters(self) -> list[Tensor]:
        """Return the pixels."""
        return [self._pixels]

    def image(self) -> Tensor:
        """Return the pixels in the medium's range; without a range of their own, no copy is made."""
        pixels = self._pixels
        return pixels.view_as(pixels) if self._pixel_range == 1.0 else pixels / self._pixel_range

    def bounds(self) -> tuple[float, float] | None:
        """Return the valid range in the parameters' units, if one was asked for."""
        if self._upper is None:
            return None
        return self._lower * self._pixel_range, self._upper * self._pixel_range


@dataclass(frozen=True)
class Stage:
    """A part of the optimization: an image of some size, or a section of it, as a network sees it.

    Attributes:
        shape: Height and width of the image.
        steps: Evaluations.
        features: The network, fitted.
        columns: Those of the whole that it is about; ``None``: all, at another size.
    """

    shape: tuple[int, int]
    steps: int
    features: Seen
    columns: tuple[int, int] | None = None

    def of(self, image: Tensor) -> Tensor:
        """Return what of an image ``[B, C, H, W]`` of the whole it is about."""
        return resize(image, *self.shape) if self.columns is None else image[..., slice(*self.columns)]


def scale_shapes(
    height: int, width: int, *, smallest: int | None, factor: float, fixed_height: bool = False
) -> list[tuple[int, int]]:
    """Return the sizes to optimize at, from the smallest to the full one.

    The longest sides are the full one divided by powers of ``factor``, as long as they reach ``smallest``.

    Args:
        height: Full height in pixels.
        width: Full width in pixels.
        smallest: Smallest longest side, or ``None`` for the full size alone.
        factor: Ratio of neighboring scales, above 1.
        fixed_height: The rows are the network's input channels, so only the width changes.

    Reference:
        Crowson 2021 (style-transfer-pytorch), whose factor is the root of 2.

    >>> scale_shapes(512, 256, smallest=128, factor=2.0)
    [(128, 64), (256, 128), (512, 256)]
    """
    shapes = [(height, width)]
    longest = width if fixed_height else max(height, width)
    power = 1
    while smallest is not None and round(longest / factor**power) >= smallest:
        ratio = factor**-power
        shapes.append(
            (height if fixed_height else max(round(height * ratio), 1), max(round(width * ratio), 1))
        )
        power += 1
    return list(dict.fromkeys(reversed(shapes)))


def sections(width: int, longest: int, overlap: int) -> list[tuple[int, int]]:
    """Return ranges of columns, of about the same width, that overlap and together are all.

    Args:
        width: Of the whole.
        longest: Most columns of a range, above ``overlap``.
        overlap: Columns that neighbors have in common, at least.

    >>> sections(100, 40, 4)
    [(0, 36), (32, 68), (64, 100)]
    """
    count = max(-(-(width - overlap) // (longest - overlap)), 1)
    each = -(-(width + (count - 1) * overlap) // count)
    starts = [(width - each) * part // max(count - 1, 1) for part in range(count)]
    return [(start, start + each) for start in starts]


def parts_of(count: int, parts: int) -> list[int]:
    """Return a number in so many parts of about the same size, none of them 0."""
    bounds = [count * i // parts for i in range(parts + 1)]
    return [upper - lower for lower, upper in itertools.pairwise(bounds) if upper > lower]


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resize images ``[B, C, H, W]`` by bicubic interpolation, smoothed first where they shrink."""
    if tuple(image.shape[2:]) == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bicubic", align_corners=False, antialias=True)


def resize_around(image: Tensor, height: int, width: int) -> Tensor:
    """Resize images ``[B, C, H, W]`` that go on at one border where they end at the opposite one."""
    tiled = resize(image.repeat(1, 1, 3, 3), 3 * height, 3 * width)
    return tiled[..., height : 2 * height, width : 2 * width].contiguous()


def resize_memory(memory: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """Resize what an optimizer remembers (``State.memory``) to a new scale.

    Adam's averages, the squares so that they stay positive; L-BFGS' steps like images, and its changes of
    gradient like images, too, and by the ratio of the numbers of pixels, since a pixel's share of a mean is
    the smaller the more pixels there are.

    Reference:
        Crowson 2021 (style-transfer-pytorch) for Adam's.
    """
    if "pairs" in memory:
        resized = [[resize(vector, height, width) for vector in pair] for pair in memory["pairs"]]
        ratios = [step.shape[2] * step.shape[3] / (height * width) for step, _ in memory["pairs"]]
        return {"pairs": [(step, change * r) for (step, change), r in zip(resized, ratios, strict=True)]}
    if not memory:
        return {}
    size = (height, width)
    first: Tensor = memory["exp_avg"]
    second: Tensor = memory["exp_avg_sq"]
    return {
        "step": memory["step"],
        "exp_avg": F.interpolate(first, size, mode="bicubic", align_corners=False),
        "exp_avg_sq": F.interpolate(second, size, mode="bilinear", align_corners=False).clamp_min(0.0),
    }


def carry_up(image: Tensor, content: Tensor, content_up: Tensor, *, what: str) -> Tensor:
    """Return the start of the next scale.

    Args:
        image: Result of the scale before, ``[B, C, h, w]``.
        content: The content at that scale, the same shape.
        content_up: The content at the next scale, ``[B, C, H, W]``.
        what: ``image`` enlarges the result; ``change`` enlarges what it changed and adds that to the larger
            content, which keeps the content's own detail.

    Raises:
        ValueError: If ``what`` is neither.
    """
    height, width = content_up.shape[2:]
    if what == "image":
        return resize(image, height, width)
    if what == "change":
        return content_up + resize(image - content, height, width)
    raise ValueError(f"carry must be image or change, got {what!r}")


def noise_image(
    kind: str,
    like: Tensor,
    *,
    scale: float = 1.0,
    center: float | Tensor = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return noise to start from, of an image's shape.

    Args:
        kind: ``uniform`` from 0 to ``scale``, or ``gaussian`` with that standard deviation.
        like: ``[B, C, H, W]``.
        scale: See ``kind``, in the image's range.
        center: Mean of gaussian noise.
        generator: Source of randomness, on the CPU.

    Reference:
        Gatys, Ecker & Bethge 2016, figure 6.
    """
    draw = torch.rand if kind == "uniform" else torch.randn
    values = draw(like.shape, generator=generator, dtype=torch.float64) * scale
    return values.to(like) + (center if kind == "gaussian" else 0.0)
