"""All layers tuned together by gradient descent, towards the teacher's maps and their Gram matrices."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.layers import Tensors, gram_means, student_maps

_TINY = 1e-12
_WARM_UP = 100
"""Steps over which the learning rate rises."""


@dataclass(frozen=True)
class TuningSettings:
    """How the student is tuned.

    Attributes:
        steps: Of AdamW.
        batch: Crops per step.
        lr: Learning rate at the start, as a share of a layer's rms weight; it falls along a cosine to a
            hundredth.
        gram_weight: Of the Gram matrices' relative errors against those of the maps.
        seed: Of the order of the crops.
        log_every: Steps between two lines.
    """

    steps: int = 12000
    batch: int = 8
    lr: float = 1e-2
    gram_weight: float = 1.0
    seed: int = 0
    log_every: int = 200


class Tuning:
    """A tuning under way: parameters, optimizer and the number of steps done.

    Args:
        tensors: The student to start from.
        kept: Layers whose maps and Gram matrices are compared.
        settings: How.
        fixed: Layers that stay as they are.
    """

    def __init__(
        self,
        tensors: Tensors,
        kept: tuple[str, ...],
        settings: TuningSettings,
        *,
        fixed: Collection[str] = (),
    ) -> None:
        self._kept, self._settings = kept, settings
        self._parameters = {
            name: (
                weight.clone().requires_grad_(name not in fixed),
                bias.clone().requires_grad_(name not in fixed),
            )
            for name, (weight, bias) in tensors.items()
        }
        tuned = [pair for name, pair in self._parameters.items() if name not in fixed]
        # A step is a share of a layer's own weights: their sizes differ by a hundred between layers.
        self._sizes = [float(weight.detach().square().mean().sqrt()) for weight, _ in tuned]
        groups = [{"params": list(pair)} for pair in tuned]
        self._optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.0)
        self.step = 0
        self.losses: list[Tensor] = []

    def tensors(self) -> Tensors:
        """Return the student as it is now."""
        return {n: (w.detach().clone(), b.detach().clone()) for n, (w, b) in self._parameters.items()}

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on later: tensors and plain values."""
        return {
            "step": self.step,
            "tensors": {n: list(pair) for n, pair in self.tensors().items()},
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        with torch.no_grad():
            for name, pair in self._parameters.items():
                for parameter, saved in zip(pair, state["tensors"][name], strict=True):
                    parameter.copy_(saved)
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])

    def advance(self, pictures: Tensor, answers: dict[str, Tensor]) -> None:
        """Take one step on crops ``[B, 3, H, W]`` and the maps that are wanted."""
        share = self.step / max(self._settings.steps, 1)
        lr = self._settings.lr * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0))))
        lr *= min(1.0, (self.step + 1) / _WARM_UP)
        for group, size in zip(self._optimizer.param_groups, self._sizes, strict=True):
            group["lr"] = lr * size
        loss = lesson_loss(
            student_maps(self._parameters, pictures, self._kept),
            answers,
            gram_weight=self._settings.gram_weight,
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.step += 1
        self.losses.append(loss.detach())  # read out later: a GPU need not wait


def lesson_loss(maps: dict[str, Tensor], wanted: dict[str, Tensor], *, gram_weight: float) -> Tensor:
    """Return the relative squared error of maps plus that of their Gram matrices, summed over layers.

    Both are relative picture by picture, because a style loss is: a faint picture counts as much.
    """
    total = torch.zeros((), device=next(iter(maps.values())).device)
    for name, target in wanted.items():
        norm = target.square().flatten(1).sum(1) + _TINY
        total = total + ((maps[name] - target).square().flatten(1).sum(1) / norm).mean()
        gram = gram_means(target)
        difference = (gram_means(maps[name]) - gram).square().sum((1, 2))
        total = total + gram_weight * (difference / (gram.square().sum((1, 2)) + _TINY)).mean()
    return total
