"""A film's pictures made one after the other, each beside the one before, moved as it moves (OpenCV)."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specstyle.engine.device import choose_device
from specstyle.errors import FileError
from specstyle.films.file import Film, Still
from specstyle.media.imagewriting import write_picture
from specstyle.media.pictures import Picture
from specstyle.onepass.apply import settled
from specstyle.onepass.network import Moments
from specstyle.onepass.stylefile import Style
from specstyle.onepass.tiling import stylize
from specstyle.run.api import transfer
from specstyle.run.objective import Cache
from specstyle.run.request import Progress, Request

KEPT = 0.9
"""Of a network's statistics, the share of those of the picture before."""

CUT = 0.1
"""Where less than this share of a picture was in the one before, another scene begins."""

WARM_STEPS = 15
"""Of the optimizer, on a picture that starts from the one before."""

Pixels = NDArray[np.uint8]
Unit = NDArray[np.float32]

Look = Callable[[Pixels, "Movement | None", dict[str, Any]], Pixels]
"""Makes a picture: of the film's, how it moved from the one before (if it did), and what is kept."""

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


class AtOnce:
    """Pictures in a style, in one pass."""

    def __init__(self, style: Style, request: Request) -> None:
        self._device = choose_device(request.device)
        self._network, self._blend = style.network.to(self._device), style.blend({})
        self._strength = settled(style, request.overrides).strength

    def __call__(self, still: Pixels, movement: Movement | None, kept: dict[str, Any]) -> Pixels:
        """Return a picture, beside the one before if there is a movement from there."""
        moments, found = None, list[Moments]()
        if movement is not None:
            moments = [(mean.to(self._device), power.to(self._device)) for mean, power in kept["moments"]]
        image = torch.from_numpy(still).to(self._device).movedim(2, 0)[None] / 255.0
        made = stylize(
            self._network, image, self._blend, self._strength, moments=moments, kept=KEPT, found=found
        )
        kept["moments"] = found
        if movement is None:
            return _bytes(made[0])
        alone = made[0].movedim(0, 2).contiguous().cpu().numpy()
        return _bytes(torch.from_numpy(movement.carried(_unit(kept["before"].numpy()), alone)).movedim(2, 0))


class Optimized:
    """Pictures in a style by the optimizer, each from where the one before has got to."""

    def __init__(self, style: Path, request: Request) -> None:
        self._request, self._cache = replace(request, styles=(style,)), Cache()

    def __call__(self, still: Pixels, movement: Movement | None, kept: dict[str, Any]) -> Pixels:
        """Return a picture; the first one, and one of a single color, without a start."""
        if not np.ptp(still, (0, 1)).any():
            return still
        size = max(still.shape[:2])
        given: dict[str, Any] = {"size": size, **self._request.overrides}
        with tempfile.TemporaryDirectory() as folder:
            if movement is not None:
                moved = movement.warped(_unit(kept["before"].numpy())).clip(0.0, 1.0)
                start = _unit(still) + movement.found * (moved - _unit(still))
                path = Path(folder) / "start.png"
                write_picture(Picture(torch.from_numpy(start).movedim(2, 0)), path)
                given |= {"init": str(path), "smallest_scale": size, "steps": WARM_STEPS}
            content = Picture(torch.from_numpy(_unit(still)).movedim(2, 0).contiguous())
            result = transfer(replace(self._request, content=content, overrides=given), cache=self._cache)
        return _bytes(result.output.pixels)


def stylized_stills(
    original: Film, look: Look, kept: dict[str, Any], on_step: Callable[[Progress], None]
) -> Iterator[Still]:
    """Yield the pictures that are not there yet, and take note of what the next one needs."""
    stills, before = original.pictures(), None
    for still in itertools.islice(stills, kept["frames"]):
        before = still.pixels
    for still in stills:
        movement = None if before is None else Movement(before, still.pixels)
        if movement is not None and movement.seen.mean() < CUT:
            movement = None
        pixels = look(still.pixels, movement, kept)
        if movement is not None and before is not None:
            pairs = ((kept["before"].numpy(), pixels), (before, still.pixels))
            for number, (one, other) in enumerate(pairs):
                kept["errors"][number] += movement.error(_unit(one), _unit(other))
            kept["errors"][2] += 3.0 * float(movement.seen.sum())
        kept["before"], before = torch.from_numpy(pixels), still.pixels
        kept["frames"] += 1
        steps = max(original.frames, kept["frames"])
        losses = {f"flicker of {k}": v for k, v in flicker(kept).items()}
        on_step(Progress(kept["frames"], steps, 1, 1, losses, _no_image, _no_image))
        yield Still(pixels, still.pts, still.duration)


def _unit(pixels: Pixels) -> Unit:
    unit: Unit = pixels.astype(np.float32) / np.float32(255.0)
    return unit


def _bytes(pixels: Tensor) -> Pixels:
    """Return pixels ``[3, H, W]`` in 0..1 as a film has them."""
    found: Pixels = (255.0 * pixels).round().clamp(0, 255).byte().movedim(0, 2).contiguous().cpu().numpy()
    return found


def _no_image() -> Any:
    raise ValueError("a film's pictures are in its parts")


def flicker(kept: dict[str, Any]) -> dict[str, float]:
    """Return the root mean square of what changed, beside what moved, in the result and in the content."""
    *errors, weight = kept["errors"]
    if not weight:
        return {}
    return {name: math.sqrt(e / weight) for name, e in zip(("output", "content"), errors, strict=True)}


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
