"""Published recipes paint: held against their pictures, not only against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from specstyle import transfer_image
from specstyle.engine.grams import gram
from specstyle.engine.objective import mean_statistic
from specstyle.features import VGG19, weights
from specstyle.recipes import PUBLISHED
from specstyle.recipes.recipe import S5
from specstyle.synthesis.pictures import brush_texture, drawn_scene

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 64


def as_image(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()


@torch.no_grad()
def gram_error(image: Tensor, style: Tensor) -> float:
    """Of the original VGG19 with max pooling, which no own default has."""
    judge = VGG19(weights.pretrained(S5[-1]), S5)
    ours, theirs = ({n: mean_statistic(gram, m) for n, m in judge(i).items()} for i in (image, style))
    errors = [(ours[n] - theirs[n]).square().sum() / theirs[n].square().sum() for n in S5]
    return float(torch.stack(errors).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, recipe in PUBLISHED.items() if recipe.network == "vgg19"])
def test_a_hundred_evaluations_bring_a_picture_nearer_to_the_style(name: str) -> None:
    content, style = drawn_scene(SIZE, SIZE), brush_texture(SIZE, SIZE)
    changes: dict[str, Any] = {"size": SIZE, "steps": 100}
    if name == "crowson2021":  # so many at each of its scales
        changes |= {"smallest_scale": 40, "scale_factor": 2.0, "steps": 50}
    if name == "keras-sgd":  # its learning rate is for 400 x 600 pixels
        changes["lr"] = 100.0 * (SIZE * SIZE) / (400 * 600)
    result = transfer_image(content, style, recipe=name, **changes)
    wanted = as_image(style)
    assert gram_error(result.output.pixels[None], wanted) < gram_error(as_image(content), wanted)
