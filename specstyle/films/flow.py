"""How a film's pictures move, and what is carried on from one to the next; by OpenCV (the extra ``film``)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specstyle.errors import FileError

Array = NDArray[Any]

CARRIED = 0.8
"""Share of the picture before, moved, in one that is stylized; the rest is its own."""

BRIGHTER = 0.1
"""A difference of brightness that no movement explains."""

EDGE = 6
"""Pixels along the borders that are not carried on: a network's artifacts there would move inwards."""

SMALLEST = 16
"""Side in pixels: OpenCV 5.0 crashes on narrower pictures."""

DETAIL, AROUND, MOST = 3.0, 8.0, 1.6
"""Of detail: its size in pixels, how far around its contrast is taken, how much that is raised at most."""


class Movement:
    """Where each pixel of a picture was in the one before.

    Args:
        before: ``[H, W, 3]``, uint8.
        now: The same, of the next picture.

    Attributes:
        found: From 0 to 1, ``[H, W, 1]``, float32: whether the pixel is in the picture before. The flow there
            leads back to where it came from, and the brightness is the same.
        seen: The same, without what was at the borders.

    Raises:
        FileError: If OpenCV is not installed.

    Reference:
        Flow: Kroeger et al. 2016, "Fast optical flow using dense inverse search". The check of one flow by
        the other: Sundaram, Brox & Keutzer 2010.
    """

    def __init__(self, before: Array, now: Array) -> None:
        cv2 = self._cv2 = opencv()
        search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grays = [cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY) for p in (before, now)]
        forth, back = search.calc(*grays, None), search.calc(*grays[::-1], None)
        height, width = grays[0].shape
        rows, columns = np.indices((height, width), np.float32)
        self._x, self._y = columns + back[..., 0], rows + back[..., 1]
        there = self.warped(forth)
        squares = (back**2).sum(2) + (there**2).sum(2)
        same = ((back + there) ** 2).sum(2) < 0.01 * squares + 0.5
        same &= np.abs(self.warped(grays[0].astype(np.float32)) - grays[1]) < 255.0 * BRIGHTER

        def within(edge: int) -> Array:
            """Return where that holds inside of an edge, with soft borders on the inner side."""
            inside = (self._x >= edge) & (self._x <= width - 1 - edge)
            inside &= (self._y >= edge) & (self._y <= height - 1 - edge)
            hard = cv2.erode((same & inside).astype(np.float32), np.ones((5, 5)))
            soft: Array = cv2.GaussianBlur(hard, (5, 5), 0)[..., None]
            return soft

        self.found, self.seen = within(0), within(EDGE)

    def warped(self, image: Array) -> Array:
        """Return an image of the picture before, ``[H, W]`` or ``[H, W, C]``, float32, moved to this one."""
        cv2 = self._cv2
        moved: Array = cv2.remap(image, self._x, self._y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return moved

    def error(self, before: Array, now: Array) -> float:
        """Return the sum of squared differences of a picture from the one before, moved, where that is seen.

        Args:
            before: ``[H, W, 3]``, float32 from 0 to 1.
            now: The same.
        """
        return float((self.seen * (now - self.warped(before)) ** 2).sum(dtype=np.float64))

    def carried(self, before: Array, now: Array) -> Array:
        """Return a stylized picture with the one before in it, moved, so that it flickers less.

        A mean of textures that are not the same is flat: their contrast is that of ``now`` again.

        Args:
            before: What was returned of the picture before, ``[H, W, 3]``, float32 from 0 to 1.
            now: The picture as it was stylized by itself.
        """
        mixed = now + CARRIED * self.seen * (self.warped(before).clip(0.0, 1.0) - now)
        base = self._blurred(mixed, DETAIL)
        powers = [
            self._blurred((detail**2).mean(2), AROUND)
            for detail in (now - self._blurred(now, DETAIL), mixed - base)
        ]
        gain = np.sqrt(powers[0] / (powers[1] + 1e-6)).clip(1.0, MOST)[..., None]
        restored: Array = (base + gain * (mixed - base)).clip(0.0, 1.0)
        return restored

    def _blurred(self, image: Array, sigma: float) -> Array:
        blurred: Array = self._cv2.GaussianBlur(image, (0, 0), sigma)
        return blurred


def opencv() -> Any:
    """Return OpenCV.

    Raises:
        FileError: If it is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise FileError(
            "a film's pictures need OpenCV, which sees what moves: pip install 'specstyle[film]'"
        ) from None
    return cv2
