"""What is optimized: parameters that make an image."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


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
