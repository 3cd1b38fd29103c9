"""A canvas with one value per pixel, for pictures whose colors are the content's."""

from __future__ import annotations

from torch import Tensor


class GrayCanvas:
    """A gray picture.

    Args:
        start: Three equal channels, ``[B, 3, H, W]`` in 0..1; the mean of others.
        pixel_range: The parameters run from 0 to this.
    """

    def __init__(self, start: Tensor, *, pixel_range: float = 1.0) -> None:
        gray = start.detach().mean(1, keepdim=True).clamp(0.0, 1.0)
        self._pixel_range = pixel_range
        self._values = (gray * pixel_range).contiguous().requires_grad_(True)

    def parameters(self) -> list[Tensor]:
        """Return one value per pixel, ``[B, 1, H, W]``."""
        return [self._values]

    def image(self) -> Tensor:
        """Return the picture with three equal channels, ``[B, 3, H, W]`` in 0..1."""
        return (self._values / self._pixel_range).expand(-1, 3, -1, -1).contiguous()

    def bounds(self) -> tuple[float, float]:
        """Return black and white: what is not between them can be given no color."""
        return 0.0, self._pixel_range
