"""Short sounds and small pictures for lists of jobs, and tasks made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

RATE = 8000
HEADER = "content,style,output,network,n_filters,phase_iterations,steps\n"
ROW = "{content},{style},{output},wide-random,{filters},{phase},{steps}\n"


def write_inputs(folder: Path) -> None:
    """Write ``c.wav``, ``s.wav``, ``c.png`` and ``s.png``."""
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


def write_list(folder: Path, *jobs: dict[str, Any], name: str = "jobs.csv") -> Path:
    """Write a list of quick jobs on sounds; each may name its own ``output``, ``content``, ``steps``..."""
    rows = []
    for i, job in enumerate(jobs):
        own = {"content": "c.wav", "style": "s.wav", "output": f"{i}.wav", "steps": 3, "filters": 32} | job
        rows.append(ROW.format(**own, phase=2 if str(own["content"]).endswith(".wav") else ""))
    path = folder / name
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    return path
