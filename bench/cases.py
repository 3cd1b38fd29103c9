"""What is measured: a recipe on a content and a style, in the pieces that a run puts together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.options import Options
from specstyle.engine.canvas import Canvas
from specstyle.engine.device import choose_device, convolutions_in
from specstyle.engine.objective import Objective
from specstyle.features import lite, weights
from specstyle.features.random import random_weights
from specstyle.features.weights import Weights
from specstyle.recipes import Recipe
from specstyle.run.inputs import Session
from specstyle.run.objective import build_objective
from specstyle.run.request import Request
from specstyle.run.settle import settle_recipe

ADAM_RATE = 0.02
"""Learning rate of Adam as a share of the range of the pixels: 0.02 of 0..1 and 5 of 0..255 are
TensorFlow's tutorials'."""


@dataclass(frozen=True)
class Row:
    """A recipe to measure.

    Attributes:
        name: Short, for tables.
        medium: ``image`` or ``audio``.
        recipe: Name of the recipe.
        network: Name of the network.
    """

    name: str
    medium: str
    recipe: str
    network: str


PICTURE_ROWS = (
    Row("gatys2016, vgg19-random", "image", "gatys2016", "vgg19-random"),
    Row("default-image, vgg19-lite", "image", "default", "vgg19-lite"),
)
SOUND_ROWS = (
    Row("default-audio-wide, wide-random", "audio", "default", "wide-random"),
    Row("default-audio, vgg19-lite", "audio", "default", "vgg19-lite"),
)


@dataclass(frozen=True)
class Case:
    """The pieces of one run at its full size."""

    name: str
    request: Request
    recipe: Recipe
    session: Session
    objective: Objective
    weights: Weights | None

    @property
    def content(self) -> Tensor:
        """The content's image."""
        return self.session.content.image

    @property
    def styles(self) -> list[Tensor]:
        """The styles' images."""
        return self.session.styles

    def canvas(self) -> Canvas:
        """Return a fresh canvas with the start of the run."""
        return self.session.canvas(self.session.start.image)

    @property
    def adam_rate(self) -> float:
        """Adam's learning rate in units of the canvas' parameters."""
        return ADAM_RATE * (1.0 if self.recipe.canvas == "waveform" else self.recipe.pixel_range)


def make_request(
    row: Row, content: Any, style: Any, options: Options, *, size: int | None = None, precision: str = "fp32"
) -> Request:
    """Return a request that starts from the content, as the PyTorch tutorial does.

    Args:
        row: Recipe and network.
        content: A ``Picture`` or ``Sound``.
        style: The same.
        options: Device, tiles, weights.
        size: Longest side of a picture.
        precision: As ``Request.precision`` spells it.
    """
    overrides: dict[str, Any] = {"network": row.network, "init": "content"}
    if row.medium == "image":
        overrides["size"] = size
    file = options.weights if row.network == "vgg19" else None
    return Request(
        row.medium,
        content,
        [style],
        recipe=row.recipe,
        overrides=overrides,
        weights=file,
        device=options.device,
        precision=precision,
        tile=options.tile,
    )


def make_case(name: str, request: Request) -> Case:
    """Return the pieces of a request's run."""
    recipe, _ = settle_recipe(
        request.medium, request.recipe, weights=request.weights, overrides=request.overrides
    )
    session = Session(request, recipe, choose_device(request.device), _ignore)
    with convolutions_in(session.precision):
        objective = build_objective(
            recipe,
            session.stages[0].features,
            session.content.image,
            session.styles,
            reference=session.reference,
        )
    return Case(name, request, recipe, session, objective, _all_weights(recipe, request))


def _all_weights(recipe: Recipe, request: Request) -> Weights | None:
    """Return the weights of the whole network, not only as deep as the recipe's layers."""
    if recipe.network == "vgg19-random":
        return random_weights(request.seed)
    if recipe.network == "vgg19-lite":
        return lite.load()
    if recipe.network == "vgg19":
        return weights.load(request.weights) if request.weights else weights.pretrained(weights.LAYERS[-1])
    return None


def _ignore(_: object) -> None:
    """Do nothing."""
