"""What a run will take, before it starts: memory, tiles, time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from specstyle.features.networks import Network
from specstyle.recipes import Recipe
from specstyle.run.pairs import own_pairs, seconds_per_step, style_pairs
from specstyle.run.planning import (
    LITTLE,
    Plan,
    check_tile,
    describe,
    free_memory,
    held_memory,
    plan,
    readable,
)
from specstyle.run.request import Request

LARGE_RUN = 2**30
"""Bytes of memory that are worth a note."""

LARGE_WORK = 3e6
"""Pixels times steps that are worth an estimate of the time."""

LARGE_PAIRS = 1e8
"""Pairs of frames times steps that are worth an estimate of the time."""

LONG_RUN_S = 60.0
"""Seconds that are worth a note."""

VERY_LONG_RUN_S = 1800.0
"""Seconds that are worth a word on what is faster."""

PROBE = 256
"""Side of the part of an image on which the network is timed."""


@dataclass(frozen=True)
class Outlook:
    """A run before it starts.

    Attributes:
        request: What is asked for.
        recipe: With its network settled.
        network: Ready to run.
        device: Where.
        content: ``[B, C, H, W]``.
        style_pixels: Of the largest style.
        shapes: Height and width of each scale.
        steps: At each scale.
        style_frames: Columns of all styles together.
        planned: What the user was told, by scale.
    """

    request: Request
    recipe: Recipe
    network: Network
    device: torch.device
    content: Tensor
    style_pixels: int
    shapes: Sequence[tuple[int, int]]
    steps: Sequence[int]
    style_frames: int
    planned: dict[int, Plan] = field(default_factory=dict)

    def plan(self, scale: int) -> Plan:
        """Return how a scale is to be optimized: as was told, or with the memory that is free now."""
        if scale in self.planned:
            return self.planned[scale]
        height, width = self.shapes[scale]
        batch, channels = self.content.shape[:2]
        shrunk = height * width / (self.shapes[-1][0] * self.shapes[-1][1])
        return plan(
            self.recipe,
            self.network.features,
            (batch, channels, height, width),
            tile=check_tile(self.request.tile),
            free=self._free(self.request.memory_limit),
            style_pixels=round(shrunk * self.style_pixels),
        )

    def _free(self, limit: float | None) -> int:
        """Return the memory that this process may take, within a limit if there is one."""
        return free_memory(self.device, limit)

    def notes(self) -> tuple[str, ...]:
        """Return what a user should know of a large run."""
        planned = self.planned[len(self.shapes) - 1] = self.plan(len(self.shapes) - 1)
        notes: tuple[str, ...] = ()
        seconds = self._seconds(tiled=planned.size is not None)
        limit = self.request.memory_limit if planned.free < self._free(None) else None
        tight = not planned.fits or (limit is not None and planned.free < LITTLE)
        if seconds > LONG_RUN_S or planned.size is not None or planned.needed > LARGE_RUN or tight:
            held = held_memory(self.device)
            notes += (describe(planned, self.recipe, self.request.medium, limit=limit, held=held),)
        if planned.history < self.recipe.history and self.recipe.optimizer == "lbfgs":
            notes += (f"L-BFGS remembers {planned.history} steps instead of {self.recipe.history}, to fit",)
        if seconds > LONG_RUN_S:
            note = f"time: very roughly {readable(seconds)} on this device"
            if not self._by_position and seconds > VERY_LONG_RUN_S:
                note += (
                    ", for it grows with the square of the length; --network wide-random takes time in "
                    "proportion to it"
                )
            notes += (f"{note}; Ctrl-C keeps the result so far",)
        return notes

    @property
    def _by_position(self) -> bool:
        """Whether the network looks at positions one by one, and not at pairs of them."""
        return hasattr(self.network.features, "strides")

    def _seconds(self, *, tiled: bool) -> float:
        """Estimate how long the optimization takes, from a run of the network on a small part."""
        if not self._by_position:
            return self._seconds_by_pairs()
        # The targets and the result's own losses take about one step more.
        work = sum((steps + 1) * h * w for steps, (h, w) in zip(self.steps, self.shapes, strict=True))
        if work < LARGE_WORK:
            return 0.0
        rows = None if self.network.fixed_height else PROBE
        probe = self.content[:1, :, :rows, :PROBE].contiguous()
        with torch.no_grad():
            for _ in range(2):  # the first time warms up
                started = time.perf_counter()
                # Sums on the host: a GPU is done by then.
                sum(float(maps.sum()) for maps in self.network.features(probe).values())
                spent = time.perf_counter() - started
        # Forward and back take as long as three times forward; tiles go forward once more.
        passes = 4 if tiled else 3
        share = self.content.shape[0] * work / (probe.shape[2] * probe.shape[3])
        return spent * passes * share

    def _seconds_by_pairs(self) -> float:
        """Estimate how long the kernel takes, from one block of it."""
        widths, styles = self.recipe.kernel_widths, self.style_frames
        pairs = sum(
            (steps + 1) * (own_pairs(frames, widths) + style_pairs(frames, styles, widths))
            for steps, (_, frames) in zip(self.steps, self.shapes, strict=True)
        )
        if pairs * self.content.shape[0] < LARGE_PAIRS:
            return 0.0
        return sum(
            (steps + 1) * seconds_per_step(self.content, frames, styles, widths)
            for steps, (_, frames) in zip(self.steps, self.shapes, strict=True)
        )
