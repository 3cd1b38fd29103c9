"""Crops and the teacher's answers to them, computed once or at each step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from training.layers import Lesson

CROP = 96
"""Side in pixels of what the student sees at once."""


def cut(tiles: Tensor, seed: int) -> Tensor:
    """Return one crop ``[N, 3, CROP, CROP]`` of each tile, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(tiles.shape[-1] - CROP + 1, (len(tiles), 2), generator=generator).tolist()
    crops = [t[:, y : y + CROP, x : x + CROP] for t, (y, x) in zip(tiles, places, strict=True)]
    return torch.stack(crops)


class Pool:
    """Crops with the teacher's answers, kept in half precision: the teacher runs once.

    Args:
        crops: uint8 ``[N, 3, H, W]``.
        lesson: What the teacher answers.
        kept: Layers.
        device: Where batches are wanted.
        say: Called with a line now and then.
        batch: Crops per run of the teacher.
    """

    def __init__(
        self,
        crops: Tensor,
        lesson: Lesson,
        kept: tuple[str, ...],
        device: torch.device,
        *,
        say: Callable[[str], None],
        batch: int = 16,
    ) -> None:
        self._crops, self._device = crops, device
        self._answers: dict[str, Tensor] = {}
        for start in range(0, len(crops), batch):
            some = crops[start : start + batch].to(device).float() / 255.0
            for name, response in lesson.responses(some, kept).items():
                if name not in self._answers:
                    shape = (len(crops), *response.shape[1:])
                    self._answers[name] = torch.empty(shape, dtype=torch.float16)
                self._answers[name][start : start + batch] = response.relu().half().cpu()
            if start % (40 * batch) == 0:
                say(f"the teacher has answered {start} of {len(crops)} crops")

    def batch(self, step: int, size: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the crops of a step and the answers: the same for the same step and seed."""
        chosen = _chosen(len(self._crops), step, size, seed)
        answers = {name: maps[chosen].to(self._device).float() for name, maps in self._answers.items()}
        return self._crops[chosen].to(self._device).float() / 255.0, answers


class Live:
    """Fresh crops, mirrored and turned at random, with the teacher asked at each step: for a GPU.

    Args:
        tiles: uint8 ``[N, 3, S, S]`` on the device.
        lesson: What the teacher answers.
        kept: Layers.
    """

    def __init__(self, tiles: Tensor, lesson: Lesson, kept: tuple[str, ...]) -> None:
        self._tiles, self._lesson, self._kept = tiles, lesson, kept

    def batch(self, step: int, size: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the crops of a step and the answers: the same for the same step and seed."""
        chosen = _chosen(len(self._tiles), step, size, seed).to(self._tiles.device)
        generator = torch.Generator().manual_seed((seed << 32) + step)
        turn, mirror = (
            int(torch.randint(4, (), generator=generator)),
            bool(torch.rand((), generator=generator) < 0.5),
        )
        crops = torch.rot90(cut(self._tiles[chosen], (seed << 32) + step), turn, (2, 3))
        pictures = (crops.flip(3) if mirror else crops).float() / 255.0
        answers = {n: r.relu() for n, r in self._lesson.responses(pictures, self._kept).items()}
        return pictures, answers


def _chosen(count: int, step: int, size: int, seed: int) -> Tensor:
    """Return the numbers of a step's batch: each epoch goes through all of them in an order of its own."""
    per_epoch = max(count // size, 1)
    generator = torch.Generator().manual_seed((seed << 32) + step // per_epoch)
    order = torch.randperm(count, generator=generator)
    return order[step % per_epoch * size : (step % per_epoch + 1) * size]
