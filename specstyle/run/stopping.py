"""A wish to stop a kept run, put off until the run is kept: going on then loses no step."""

from __future__ import annotations

from collections.abc import Callable

from specstyle.engine.optimize import StopRun
from specstyle.run.request import Progress


class Stopping:
    """Passes steps on; if the one who looks on asks for the end, the run ends after the next checkpoint.

    Args:
        on_step: Called after each step; may raise ``StopRun``, once or again and again.
    """

    def __init__(self, on_step: Callable[[Progress], None]) -> None:
        self._on_step = on_step
        self._asked = self._kept = False

    def wanted(self) -> bool:
        """Return whether the run is to be kept at once, since it will be stopped."""
        self._kept = self._asked
        return self._asked

    def __call__(self, progress: Progress) -> None:
        """Take in a step.

        Raises:
            StopRun: Once the end was asked for and the run is kept.
        """
        if self._kept:
            raise StopRun
        try:
            self._on_step(progress)
        except StopRun:
            self._asked = True
