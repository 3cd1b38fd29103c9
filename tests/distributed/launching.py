"""Processes that torchrun starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def torchrun(count: int, *arguments: str | Path) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    # A port of its own for each: tests run side by side.
    return [*launcher, "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", *map(str, arguments)]


def environment() -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}


def ended(count: int, *arguments: str | Path) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of processes that torchrun started."""
    command = torchrun(count, *arguments)
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=240
    )
    return done.returncode, done.stdout, done.stderr
