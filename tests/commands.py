"""What a command said, and small inputs for it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
from PIL import Image

RATE = 8000
ROOT = Path(__file__).parents[1]


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


def write_inputs(folder: Path) -> None:
    """Write ``c.wav``, ``s.wav`` (half a second), ``c.png`` and ``s.png``."""
    rng = np.random.default_rng(0)
    t = np.arange(4001) / RATE
    soundfile.write(folder / "c.wav", 0.3 * np.sin(2 * np.pi * 440 * t * (1 + t)), RATE)
    soundfile.write(folder / "s.wav", 0.1 * rng.standard_normal(4000), RATE)
    y, x = np.mgrid[:32, :40]
    for name, pixels in (
        ("c.png", np.stack([x * 6, y * 7, x + y], 2)),
        ("s.png", rng.integers(0, 255, (36, 32, 3))),
    ):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)


def ignore(_: Any) -> None:
    pass


def go(given: Any, on_step: Any = ignore, note: Any = ignore, **options: Any) -> Any:
    """Run a job in silence."""
    from specstyle.run.job import run_job

    return run_job(given, on_step=on_step, on_note=note, on_stage=ignore, **options)


def command() -> list[str]:
    """Return the installed command."""
    script = Path(sys.executable).with_name("specstyle")
    return [str(script)] if script.exists() else [sys.executable, "-m", "specstyle"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """One thread, no pretrained VGG19, this checkout."""
    own = {"PYTHONPATH": str(ROOT), "TORCH_HOME": str(folder / "torch"), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, "PYTHONUNBUFFERED": "1", **more}


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Press Ctrl-C while the n-th evaluation is made."""
    from specstyle.engine.objective import Objective

    true, count = Objective.value_and_grad, [0]

    def pressed(objective: Objective, image: Any) -> Any:
        count[0] += 1
        for _ in range(times if count[0] == step else 0):
            signal.raise_signal(signal.SIGINT)
        return true(objective, image)

    monkeypatch.setattr(Objective, "value_and_grad", pressed)
