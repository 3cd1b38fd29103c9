"""Stylizes a short sound in several ways; started by torchrun, rank 0 saves what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specstyle.engine.team import ALONE, Team
from specstyle.run.request import Progress, Request
from specstyle.run.sharing import join
from specstyle.run.transfer import take_part, transfer

RATE = 8000
CASES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 1.0},
    "sgd, griffin-lim": {"optimizer": "sgd", "lr": 1.0, "phase_method": "griffin-lim"},
    "adam": {"optimizer": "adam", "lr": 0.05},
}


def request(name: str) -> Request:
    rng = np.random.default_rng(0)
    t = np.arange(12000) / RATE
    swell = 0.3 * np.sin(2 * np.pi * (300 + 200 * t) * t) * (0.6 + 0.4 * np.sin(9 * t))
    content = (swell + 0.01 * rng.standard_normal(len(t))).astype(np.float32)
    style = (0.2 * rng.standard_normal(9000)).astype(np.float32)
    small = {"network": "wide-random", "n_filters": 256, "steps": 3, **CASES[name]}
    return Request("audio", content, (style,), sample_rate=RATE, overrides=small, device="cpu")


def run(name: str, team: Team) -> dict[str, Tensor]:
    """Return the first and the last image, and the sound; nothing where another process has them."""
    images: list[Tensor] = []

    def look(progress: Progress) -> None:
        images.append(progress.image().clone())

    if team.rank > 0:
        take_part(request(name), on_step=look, team=team)
        return {}
    result = transfer(request(name), on_step=look, team=team)
    return {"start": images[0], "image": images[-1], "sound": torch.as_tensor(result.output.samples)}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    team, _ = join("cpu")
    found = {name: run(name, team) for name in CASES}
    if team.rank == 0:
        torch.save({"shared": found, "alone": {name: run(name, ALONE) for name in CASES}}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
