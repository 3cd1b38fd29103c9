"""Looks on at a run for the page: numbers, curves, a picture now and then; and brings it a wish to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from specstyle import figures
from specstyle.engine.optimize import StopRun
from specstyle.media.audiosettings import AudioSettings, expand
from specstyle.recipes import Recipe
from specstyle.run.request import Progress

PICTURE_EVERY_S = 0.5
"""Seconds from one picture to the next, at least."""

PICTURE_SHARE = 0.1
"""Of the time of a run that may go into its pictures."""

LOOKED_AT_S = 5.0
"""A page that has not asked for so many seconds is not looking: nothing is drawn for it."""

PATIENCE_S = 10.0
"""How long a wish to stop waits for a checkpoint, so that the run can go on without a loss."""

CURVE_POINTS = 300
"""Of a curve that is sent to a page."""


LARGEST_SIDE = 640
"""Of a picture for the page, in pixels."""

SPECTROGRAM = (768, 256)
"""Width and height of a spectrogram for the page, in pixels."""


class LeaveRun(Exception):  # noqa: N818 (it is a request, not an error)
    """Leaves a run as it is kept, without making a result: the server ends."""


class Watch:
    """Takes in the steps of one run, and answers from other threads.

    Args:
        medium: ``audio`` or ``image``.
        recipe: Settled.
        seconds: That the run may take.
        clock: Of seconds.
    """

    def __init__(
        self, medium: str, recipe: Recipe, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._medium, self._recipe, self._seconds, self._clock = medium, recipe, seconds, clock
        self._lock = threading.Lock()
        self._began, self._first, self._last = clock(), (0, 0.0), 0.0
        self._now: Progress | None = None
        self._rows: list[dict[str, float]] = []
        self._looked = self._drawn = self._pause = 0.0
        self._asked: float | None = None
        self._kept = self._leave = False
        self.out_of_time = False
        self.picture: tuple[int, bytes] | None = None

    def ask_to_stop(self, *, leave: bool = False) -> None:
        """Ask for the end of the run, as soon as it is kept: with the best result so far, or without one."""
        with self._lock:
            self._asked = self._clock() if self._asked is None else self._asked
            self._leave = leave or self._leave

    def look(self) -> None:
        """Take note that a page is looking."""
        self._looked = self._clock()

    def keep_now(self) -> bool:
        """Return whether the run is to be kept at once, since it will be stopped."""
        with self._lock:
            self._kept = self._asked is not None
            return self._kept

    def __call__(self, progress: Progress) -> None:
        """Take in a step.

        Raises:
            StopRun: If a user or the clock asks for it.
            LeaveRun: If the server ends.
        """
        now = self._clock()
        with self._lock:
            if self._now is None or progress.step <= self._first[0]:
                self._first = (progress.step, now)
            self._now, self._last = progress, now
            self._rows.append({"step": progress.step, **main_losses(progress.losses)})
        self._draw(progress, now)
        if now - self._began > self._seconds and self._asked is None:
            self.out_of_time = True
            self.ask_to_stop()
        with self._lock:
            if self._asked is None or not (self._kept or now - self._asked > PATIENCE_S):
                return
            leave = self._leave
        raise LeaveRun if leave else StopRun

    def _draw(self, progress: Progress, now: float) -> None:
        """Make a picture if somebody looks and enough time has passed."""
        due = self._drawn + max(PICTURE_EVERY_S, self._pause)
        if self.picture is not None and (now < due or now - self._looked > LOOKED_AT_S):
            return
        began = self._clock()
        png = live_png(progress.image(), self._medium, self._recipe)
        self._drawn = self._clock()
        self._pause = (self._drawn - began) / PICTURE_SHARE
        self.picture = (progress.step, png)

    def state(self) -> dict[str, Any]:
        """Return where the run is, in plain values."""
        with self._lock:
            now = self._now
            if now is None:
                return {}
            made = now.step - self._first[0]
            left = None
            if made:  # a step that takes long is no reason to promise more of them
                each = (self._last - self._first[1]) / made
                since = self._clock() - self._last
                left = round(max(each * (now.steps - now.step) - since, 0.0), 1)
            return {
                "step": now.step,
                "steps": now.steps,
                "scale": now.scale,
                "scales": now.scales,
                "seconds_left": left,
                "stopping": self._asked is not None,
                "picture": None if self.picture is None else self.picture[0],
            }

    def rows(self) -> list[dict[str, float]]:
        """Return the losses of each step that was reported."""
        with self._lock:
            return list(self._rows)


def live_png(image: Tensor, medium: str, recipe: Recipe) -> bytes:
    """Return an image in work as a PNG.

    A spectrogram's levels are those of the image itself: no phase is reconstructed.

    Args:
        image: ``[B, C, h, w]``, as ``Progress.image`` gives it.
        medium: ``audio`` or ``image``.
        recipe: Says how a sound's magnitudes were compressed.
    """
    image = image.detach().float().cpu()
    if medium == "image":
        return figures.picture_png(image[0], longest=LARGEST_SIDE)
    settings = AudioSettings(**{name: getattr(recipe, name) for name in AudioSettings.__dataclass_fields__})
    magnitude = expand(image.mean((0, 1)), settings).numpy()
    peak = max(float(magnitude.max()), 1e-30)
    levels_db = 20.0 * np.log10(np.maximum(magnitude / peak, 10 ** (-figures.RANGE_DB / 20)))
    return figures.levels_png(levels_db, size=SPECTROGRAM)


def main_losses(losses: dict[str, Any]) -> dict[str, float]:
    """Leave out the losses of single layers."""
    return {name: float(value) for name, value in losses.items() if ":" not in name}


def curves(rows: list[dict[str, float]]) -> dict[str, list[float | None]]:
    """Return losses by name at some hundred steps at most, the last one among them."""
    rows = [row for i, row in enumerate(rows) if i == 0 or row["step"] > rows[i - 1]["step"]]
    stride = max(-(-len(rows) // CURVE_POINTS), 1)
    taken = rows[::-1][::stride][::-1]
    names = ("step", "total", "content", "style", "tv")
    return {name: [row.get(name) for row in taken] for name in names if any(name in row for row in taken)}
