"""When a run is kept, and from where it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from specstyle.engine.checkpoint import load_state, save_state

EVERY_S = 30.0
"""Seconds between two checkpoints, where nothing else is asked for."""


def unasked() -> bool:
    """Return ``False``: nobody asks for a checkpoint out of turn."""
    return False


class Keeper(Protocol):
    """Keeps the state of a run."""

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return the state to go on from, with its tensors on a device; ``None``: from the beginning."""
        ...

    def due(self, step: int) -> bool:
        """Return whether the run is to be kept after so many steps."""
        ...

    def save(self, values: dict[str, Any]) -> None:
        """Keep a state; it is valid during the call."""
        ...


class Checkpoints:
    """Keeps the last state in a file.

    Args:
        path: The file.
        every_steps: Steps from one checkpoint to the next; ``None``: as many as ``EVERY_S`` seconds take.
        before_saving: Called before the file is replaced: what is told of earlier steps must be on disk.
        on_load: Called with the step that the run goes on from, or 0, before its first step.
        wanted: Asked between steps whether to keep the run now, out of turn.
    """

    def __init__(
        self,
        path: Path,
        *,
        every_steps: int | None = None,
        before_saving: Callable[[], None] = lambda: None,
        on_load: Callable[[int], None] = lambda _: None,
        wanted: Callable[[], bool] = unasked,
    ) -> None:
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"checkpoint_every must be at least 1, got {every_steps}")
        self._path, self._every_steps, self._before_saving = path, every_steps, before_saving
        self._on_load, self._wanted = on_load, wanted
        self._last_step, self._last_time = 0, time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return the last state, if there is one.

        Raises:
            CheckpointError: If the file is damaged or of another version.
        """
        values = load_state(self._path, device) if self._path.exists() else None
        self._last_step = 0 if values is None else int(values["step"])
        self._on_load(self._last_step)
        return values

    def due(self, step: int) -> bool:
        """Return whether enough has passed since the last checkpoint, or one is wanted."""
        if self._wanted():
            return True
        if self._every_steps is None:
            return time.monotonic() - self._last_time >= EVERY_S
        return step // self._every_steps > self._last_step // self._every_steps

    def save(self, values: dict[str, Any]) -> None:
        """Put a state in the place of the last one.

        Raises:
            CheckpointError: If it cannot be written.
        """
        self._before_saving()
        save_state(self._path, values)
        self._last_step, self._last_time = int(values["step"]), time.monotonic()
