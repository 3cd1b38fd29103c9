"""Any picture as a style at once: a few steps towards it, by a network that has learned to make them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from specstyle.engine.canvas import resize
from specstyle.engine.grams import gram
from specstyle.engine.losses import relative_distance
from specstyle.engine.objective import Objective, StyleTerm, Term, mean_statistic
from specstyle.engine.tiling import TiledObjective
from specstyle.features import lite
from specstyle.features.vgg import VGG19
from specstyle.media.color import match_colors
from specstyle.onepass.network import StyleNetwork, kept_of
from specstyle.onepass.tiling import TILE, stylize
from specstyle.recipes.recipe import S5

PLAN = ((4, 3), (2, 3), (1, 2))
"""How often the picture is reduced, and the steps that are made then."""

STEPS = sum(count for _, count in PLAN)

STYLE_SIZE = 512
"""Longest side in pixels that a style is seen at: its strokes are as large as on a picture of this size."""

PULLS = S5[:2], S5[2:3], S5[3:]
"""Layers that pull together: a fine one that is nearly reached would hide what a coarse one wants."""

SMALLEST = 16
"""Pixels that a side is not reduced below: the deepest layer still sees it."""

COLORED = 0.3
"""Strength from which on a picture begins and ends in the style's colors: half of them are a tint."""

DONE = 3e-3
"""Relative error of a Gram matrix below which it no longer pulls more."""


class StepNetwork(StyleNetwork):
    """A step towards a style: a ``StyleNetwork`` whose styles are the steps of ``PLAN``.

    It sees the image, the content and the pulls on each pixel, and changes the image.

    Reference:
        Learned optimizers: Andrychowicz et al. 2016, whose last example is the style of a painting; a network
        that sees the gradient of a loss, a few times in turn: Adler & Öktem 2017.
    """

    def __init__(self) -> None:
        super().__init__(STEPS, seen=6 + 3 * len(PULLS))
        nn.init.zeros_(self.leave.weight)  # at first, no change
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor, blend: Tensor, strength: Tensor, **how: Any) -> Tensor:
        """Make a step.

        Args:
            image: Image, content and pulls, ``[B, 15, H, W]``.
            blend: Which step, ``[B, STEPS]``.
            strength: From 0 (the content, exactly) to 1, ``[B]``.
            **how: As for ``StyleNetwork``.

        Returns:
            ``[B, 3, H, W]`` in 0..1.
        """
        now, content = image[:, :3], image[:, 3:6]
        own, change = kept_of(strength), self.paint(image, blend, strength, **how)
        changed: Tensor = torch.sigmoid(torch.logit(now.clamp(0.02, 0.98)) + change)
        return own * content + (1.0 - own) * changed


class AnyPictureNetwork(nn.Module):
    """Pictures as styles, in the place of a network that was trained on them.

    Args:
        steps: The network that makes the steps.
        styles: Pictures, ``[3, H, W]`` in 0..1 each, of the size at which their strokes are to be seen.
    """

    channels, pixels_at_once = 3, sys.maxsize  # what is too large at once its steps do in tiles

    def __init__(self, steps: StepNetwork, styles: Sequence[Tensor]) -> None:
        super().__init__()
        self.steps, self.pictures, self.styles = steps, list(styles), len(styles)
        network = _network(torch.device("cpu"))
        self._grams = [{by: grams(network, reduced(s[None], by)) for by, _ in PLAN} for s in styles]

    @torch.no_grad()
    def forward(self, image: Tensor, blend: Tensor, strength: Tensor, **_: Any) -> Tensor:
        """Stylize.

        Args:
            image: ``[1, 3, H, W]`` in 0..1.
            blend: Weight of each style, ``[1, styles]``, which add up to 1.
            strength: From 0 (the content, exactly) to 1, ``[1]``.

        Returns:
            ``[1, 3, H, W]`` in 0..1.
        """
        shares = [(number, share) for number, share in enumerate(blend[0].tolist()) if share > 0]
        targets = {
            by: {n: torch.stack([w * self._grams[k][by][n] for k, w in shares]).sum(0).to(image) for n in S5}
            for by, _ in PLAN
        }
        network = _network(image.device)

        def step(number: int, now: Tensor, content: Tensor, by: int) -> Tensor:
            seen = torch.cat([now, content, pulls(network, now, targets[by])], 1)
            return stylize(self.steps, seen, torch.eye(STEPS)[number], float(strength))

        def recolored(now: Tensor, how: str) -> Tensor:
            pictures = ((w, self.pictures[n][None].to(now)) for n, w in shares)
            parts = [w * match_colors(now, picture, how) for w, picture in pictures]
            return colored(now, torch.stack(parts).sum(0), float(strength))

        start = recolored(reduced(image, PLAN[0][0]), "histogram")
        return recolored(descend(image, start, step), "covariance")


def colored(image: Tensor, fully: Tensor, strength: float) -> Tensor:
    """Return an image with the style's colors as far as strength says: from ``COLORED`` on in full."""
    return torch.lerp(image, fully, min(1.0, strength / COLORED))


def descend(content: Tensor, start: Tensor, step: Any) -> Tensor:
    """Return what the steps of ``PLAN`` make of a content, coarse to fine; what changed is carried on.

    Args:
        content: ``[B, 3, H, W]`` in 0..1.
        start: The same in the style's colors, reduced as the first steps are.
        step: From the step's number, the image, the content and how often both are reduced to the image.
    """
    number, image, before = 0, start, reduced(content, PLAN[0][0])
    for by, count in PLAN:
        seen = reduced(content, by)
        if number > 0:
            image = (seen + resize(image - before, *seen.shape[2:])).clamp(0.0, 1.0)
        for _ in range(count):
            image = step(number, image, seen, by)
            number += 1
        before = seen
    return image


def reduced(image: Tensor, by: int) -> Tensor:
    """Return an image at a fraction of its size."""
    if by == 1:
        return image
    height, width = (max(round(side / by), min(side, SMALLEST)) for side in image.shape[2:])
    return resize(image, height, width).clamp(0.0, 1.0)


def grams(network: VGG19, image: Tensor) -> dict[str, Tensor]:
    """Return the mean Gram matrices of an image by layer, ``[B, C, C]``."""
    with torch.no_grad():
        return {layer: mean_statistic(gram, maps) for layer, maps in network(image).items()}


def pulls(network: VGG19, image: Tensor, targets: dict[str, Tensor]) -> Tensor:
    """Return where a style pulls each pixel, by fine, middle and coarse layers; mean squares are about 1.

    Each is the direction in which the logarithms of the relative errors of some layers' Gram matrices fall
    most, so that what is far off does not outweigh all else. Single pixels that are pulled hardest are held
    back.

    Args:
        network: Gives the layers of ``PULLS``.
        image: ``[B, 3, H, W]``.
        targets: The style's mean Gram matrices by layer.

    Returns:
        ``[B, 9, H, W]``.
    """
    whole = image.shape[2] * image.shape[3] <= StepNetwork.pixels_at_once
    found = []
    for layers in PULLS:
        terms: list[Term] = [StyleTerm(layer, 1.0, targets[layer], gram, _far) for layer in layers]
        seeing = network.only(layers)
        objective = Objective(seeing, terms) if whole else TiledObjective(seeing, terms, (TILE, TILE))
        gradient = objective.value_and_grad(image)[1]
        scale = gradient.square().mean((1, 2, 3), keepdim=True).clamp_min(1e-20).rsqrt()
        found.append(torch.asinh(-gradient * scale))
    return torch.cat(found, 1)


def _far(mean: Tensor, target: Tensor) -> Tensor:
    return (relative_distance(mean, target) + DONE).log()


def _network(device: torch.device) -> VGG19:
    return VGG19(lite.load(), S5, pooling="average", padding="replicate", device=device)
