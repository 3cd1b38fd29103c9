"""Tiles that the student itself made: what a style transfer looks at are pictures that its network likes.

A student that is right about drawn pictures may still be wrong about the pictures that its own mistakes
lead to. So it stylizes some tiles in between, and learns the teacher's answers to those as well.

Reference:
    Ross, Gordon & Bagnell 2011 (DAgger): learn on the states that the learner's own choices lead to.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from specstyle.engine.canvas import Pixels
from specstyle.engine.optimize import OptimizerSettings, Step, optimize
from specstyle.features.vgg import VGG19
from specstyle.features.weights import Weights
from specstyle.recipes import Recipe
from specstyle.run.objective import build_objective
from training.layers import Tensors

_SNAPSHOTS = (6, 14, 26)
"""Evaluations after which a picture is taken: on the way, and at the end."""


def stylized_tiles(
    tensors: Tensors,
    layers: tuple[str, ...],
    tiles: Tensor,
    count: int,
    *,
    seed: int,
    say: Callable[[str], None],
) -> Tensor:
    """Stylize tiles by each other with the student.

    Args:
        tensors: The student.
        layers: Of the style loss.
        tiles: uint8 ``[N, 3, S, S]``.
        count: Tiles to make.
        seed: Of the choice of pairs.
        say: Called with a line now and then.

    Returns:
        uint8 ``[count, 3, S, S]``.
    """
    device = next(iter(tensors.values()))[0].device
    features = VGG19(
        Weights(tensors, "torchvision", "student", ""),
        layers,
        pooling="average",
        padding="replicate",
        device=device,
    )
    recipe = Recipe(content_layers=(), style_layers=layers, content_weight=0.0)
    generator = torch.Generator().manual_seed(seed)
    made: list[Tensor] = []

    def take(step: Step) -> None:
        if step.step in _SNAPSHOTS:
            made.append((step.image()[0].cpu() * 255.0).round().to(torch.uint8))

    while len(made) < count:
        if len(made) % 100 == 0:
            say(f"{len(made)} of {count} tiles stylized by the student")
        first, second = torch.randint(len(tiles), (2,), generator=generator).tolist()
        content, style = (tiles[k][None].to(device).float() / 255.0 for k in (first, second))
        objective = build_objective(recipe, features, content, [style])
        optimize(
            Pixels(content, upper=1.0),
            objective,
            OptimizerSettings(method="lbfgs"),
            _SNAPSHOTS[-1],
            on_step=take,
        )
    return torch.stack(made[:count])
