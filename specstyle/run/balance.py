"""What strength is held to: the content's weights, changed as a run goes by how much of it is left."""

from __future__ import annotations

import math

from torch import Tensor

from specstyle.engine.canvas import resize
from specstyle.engine.objective import Objective
from specstyle.media.structure import content_left
from specstyle.recipes import Recipe
from specstyle.run.inputs import Session
from specstyle.run.settle import seen_layers

SHARE_GAIN = 8.0
"""Of the logarithm of the content's weight, for each unit of its share that is missing."""

LARGEST_TILT = 9.0
"""Largest change of that logarithm."""

TIME = "@flux"
"""The view of rises alone: layers that see it are the time of a sound, all others its tune."""

LOSS_POWERS = {"tune": 5.3, "time": 3.6}
"""Of what a sound keeps, the relative loss at a strength is the strength to this power."""

LOSS_GAIN = 2.0
"""Of the logarithm of a layer's weight, for each unit of the logarithm of its loss beside that."""

LARGEST_CHANGE = 3.0
"""Of that logarithm at once: after a larger one the optimizer hardly gets on."""

LEAST_GONE = 1e-4
"""A smaller loss is no loss."""


def gone_at(recipe: Recipe, layer: str) -> float:
    """Return how much of what a content layer of a sound sees should be gone, as its relative loss."""
    kept = recipe.keep_time if layer.endswith(TIME) else recipe.keep_tune
    gone: float = (recipe.strength if kept is None else 1.0 - kept) ** loss_power(layer)
    return gone


def loss_power(layer: str) -> float:
    """Return the power of strength that is the relative loss of a sound's content layer."""
    return LOSS_POWERS["time" if layer.endswith(TIME) else "tune"]


class Balance:
    """The weights of a run's content, by layer; with ``balance = "share"`` by how much of it is left.

    Attributes:
        tilts: What is added to the logarithm of each layer's weight.
    """

    def __init__(self, run: Session) -> None:
        self._run = run
        self.tilts = dict.fromkeys(run.recipe.content_layers, 0.0)

    def weigh(self, image: Tensor, objective: Objective) -> None:
        """Change the content's weights by how much of it is left in an image, and how much should be."""
        recipe = self._run.recipe
        if recipe.balance != "share" or not 0 < recipe.strength < 1 or recipe.effective_weights()[0] == 0:
            return
        self._run.content_left = left = self._content_left(image, objective)
        for layer, share in left.items():
            if self._run.sound is None:
                change = SHARE_GAIN * (1.0 - recipe.strength**2 - share)
            else:
                aim = max(gone_at(recipe, layer), LEAST_GONE)
                change = LOSS_GAIN * math.log(max(1.0 - share, LEAST_GONE) / aim)
                change = min(max(change, -LARGEST_CHANGE), LARGEST_CHANGE)
            self.tilts[layer] = min(max(self.tilts[layer] + change, -LARGEST_TILT), LARGEST_TILT)

    def _content_left(self, image: Tensor, objective: Objective) -> dict[str, float]:
        """Return by content layer the share of the content that is left, 1 for the content itself.

        Of a picture it is the same for all layers (see ``media.structure``); of a sound what a
        layer's relative loss leaves.
        """
        recipe = self._run.recipe
        if self._run.sound is None:
            left = content_left(image, resize(self._run.content.image, *image.shape[2:]))
            return dict.fromkeys(recipe.content_layers, left)
        losses, weights = objective.losses(image), seen_layers(self.weighed(), "content")
        whole = recipe.effective_weights()[0] * len(image)
        return {
            layer: 1.0 - float(losses[f"content:{seen}"].detach()) / (whole * weight)
            for layer, (seen, weight) in zip(recipe.content_layers, weights.items(), strict=True)
            if weight > 0
        }

    def weighed(self) -> Recipe:
        """Return the recipe with the content's weights as they are now."""
        recipe = self._run.recipe
        weights = (w * math.exp(self.tilts[layer]) for layer, w in recipe.layer_weights("content").items())
        return recipe.replace(content_layer_weights=tuple(weights))
