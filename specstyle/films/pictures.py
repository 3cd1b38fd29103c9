"""A film's pictures made one after the other: in one pass or by the optimizer, each beside the one before."""

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
from specstyle.films.file import Film, Still
from specstyle.films.flow import Movement
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
