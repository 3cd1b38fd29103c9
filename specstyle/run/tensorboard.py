"""Losses, pictures and sounds of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from specstyle import figures
from specstyle.errors import SpecstyleError
from specstyle.run.request import Progress, Result


class TensorBoard:
    """Logs a run while it goes.

    Args:
        medium: ``audio`` or ``image``.
        folder: Of the event files.
        every: Log the result, which for a sound takes a phase reconstruction, at every so many steps; 0: at
            the end alone.

    Raises:
        SpecstyleError: If TensorBoard is not installed.
    """

    def __init__(self, medium: str, folder: Path, *, every: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SpecstyleError(
                "tensorboard is not installed; pip install 'specstyle[tensorboard]' adds it"
            ) from error
        self._make: Any = SummaryWriter
        self._medium, self._folder, self._every = medium, folder, every
        self._writer: Any = None
        self._step = 0

    def go_back(self, step: int) -> None:
        """Let what was logged after a step be passed over."""
        self._writer = self._make(str(self._folder), purge_step=step + 1 if step else None)

    def __call__(self, progress: Progress) -> None:
        """Log a step."""
        self._step = progress.step
        for name, loss in progress.losses.items():
            self._writer.add_scalar(f"losses/{name.replace(':', '/')}", loss, progress.step)
        if self._every and progress.step % self._every == 0:
            self._add("result", progress.result(), progress.step)

    def finish(self, result: Result) -> list[Path]:
        """Log content, styles and the result; return the folder."""
        self._add("content", result.content, 0)
        for number, style in enumerate(result.styles, 1):
            self._add(f"style {number}" if len(result.styles) > 1 else "style", style, 0)
        self._add("result", result.output, self._step)
        self._writer.close()
        return [self._folder]

    def _add(self, name: str, source: Any, step: int) -> None:
        if self._medium == "image":
            self._writer.add_image(name, source.pixels.clamp(0.0, 1.0), step)
            return
        samples = source.samples
        # The event file holds 16 bits and one channel.
        mono = samples.mean(0, keepdim=True).float()
        self._writer.add_audio(name, mono.clamp(-1.0, 1.0), step, sample_rate=source.sample_rate)
        levels_db, _ = figures.spectrogram_db(name, samples.numpy(), source.sample_rate)
        shades = np.flipud(1.0 + levels_db / figures.RANGE_DB).copy()
        self._writer.add_image(f"{name} spectrogram", torch.from_numpy(shades)[None], step)
