"""From a recipe to its objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.bands import banded_gram, banded_relative_distance
from specstyle.engine.grams import gram
from specstyle.engine.losses import (
    Distance,
    Statistic,
    gram_distance,
    moments,
    wasserstein2_distance,
    wasserstein2_target,
)
from specstyle.engine.objective import (
    ContentTerm,
    Objective,
    StyleTerm,
    Term,
    VariationTerm,
    blended,
    mean_statistic,
)
from specstyle.engine.positions import portions, root_weights
from specstyle.engine.tiles import Size, tiled_means
from specstyle.engine.tiling import TiledContentTerm, TiledObjective
from specstyle.errors import RecipeError
from specstyle.recipes import Recipe
from specstyle.run.cache import COLD, Cache
from specstyle.run.request import MakeTerms
from specstyle.run.settle import seen_layers

FeatureMaps = Callable[[Tensor], dict[str, Tensor]]
"""A network: an image ``[B, C, H, W]`` to maps ``[B, C_l, h_l, w_l]`` by layer."""


MapSize = tuple[int, int, int]
"""Channels, height and width of a network's map."""


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How an objective is computed tile by tile.

    Attributes:
        size: Of a tile.
        keep_content: See ``TiledObjective``.
    """

    size: Size
    keep_content: bool = True


@dataclasses.dataclass(frozen=True)
class Masks:
    """Where styles apply, and which parts of them count: from 0 to 1, ``[1, 1, H, W]`` of any size.

    Attributes:
        contents: One per style, or none at all: every style applies everywhere.
        styles: One per style; ``None``: all of it counts.
    """

    contents: tuple[Tensor, ...] = ()
    styles: tuple[Tensor | None, ...] = ()

    def roots_of_style(self, index: int, sizes: dict[str, MapSize]) -> dict[str, Tensor]:
        """Return the roots of the weights of a style's positions by layer; none if all weigh the same."""
        mask = self.styles[index] if self.styles else None
        return {} if mask is None else {n: root_weights(mask, *size[1:]) for n, size in sizes.items()}


@torch.no_grad()
def build_objective(
    recipe: Recipe,
    features: FeatureMaps,
    content: Tensor,
    styles: Sequence[Tensor],
    *,
    reference: Tensor | None = None,
    tiling: Tiling | None = None,
    masks: Masks | None = None,
    terms: MakeTerms | None = None,
    cache: Cache = COLD,
) -> Objective:
    """Make a recipe's objective for one size.

    Args:
        recipe: Losses, layers and weights.
        features: Image to feature maps by layer name; if it has ``strides`` and ``map_size``, as the
            networks of ``specstyle.features`` do, it is not run to learn the size of its maps.
        content: ``[B, C, H, W]``.
        styles: One or more ``[B', C, H', W']``.
        reference: For ``balance = "gradient"``: where gradients are brought to the same norm, an image of
            the content's shape.
        tiling: Compute it tile by tile.
        masks: Where styles apply.
        terms: Makes more losses, of the network, the content and the styles; their names must be new.
        cache: Style statistics of earlier runs.

    Raises:
        RecipeError: If there is not one blend weight per style, or the network cannot be tiled.
    """
    blend = recipe.style_blend or (1.0,) * len(styles)
    if len(blend) != len(styles):
        raise RecipeError(f"style_blend has {len(blend)} weights for {len(styles)} styles; give one for each")
    content_weight, style_weight = recipe.effective_weights()
    losses: list[Term] = []
    if content_weight > 0:
        losses += _content_terms(recipe, features, content, tiled=tiling is not None)
    if style_weight > 0:
        shared = _Shared(recipe, features, content, blend, tiling, masks or Masks(), cache)
        losses += _style_terms(shared, styles)
    finish = _assembler(features, content, tiling)
    if recipe.balance == "gradient" and reference is not None:
        losses = _balanced(losses, finish, reference)
    if recipe.tv_weight > 0:
        losses.append(VariationTerm(recipe.tv_weight, recipe.tv_loss, recipe.pixel_range))
    if terms is not None:
        losses += terms(features, content, styles)
    return finish(losses)


def _assembler(
    features: Any, content: Tensor, tiling: Tiling | None
) -> Callable[[Sequence[Term]], Objective]:
    """Return what makes an objective of terms."""
    if tiling is None:
        return lambda terms: Objective(features, terms)
    return lambda terms: TiledObjective(
        features, terms, tiling.size, content=content, keep_content=tiling.keep_content
    )


def _content_terms(recipe: Recipe, features: FeatureMaps, content: Tensor, *, tiled: bool) -> list[Term]:
    weight, form = recipe.effective_weights()[0], recipe.content_loss
    shares = seen_layers(recipe, "content")
    if tiled:
        return [TiledContentTerm(layer, weight * share, form) for layer, share in shares.items()]
    maps = features(content)
    return [ContentTerm(layer, weight * share, maps[layer], form) for layer, share in shares.items()]


@dataclasses.dataclass(frozen=True)
class _Shared:
    """What the style terms of all layers have in common; see ``build_objective``."""

    recipe: Recipe
    features: FeatureMaps
    content: Tensor
    blend: Sequence[float]
    tiling: Tiling | None
    masks: Masks
    cache: Cache


def _style_terms(shared: _Shared, styles: Sequence[Tensor]) -> list[Term]:
    recipe, features, content, masks = shared.recipe, shared.features, shared.content, shared.masks
    tiling = shared.tiling
    shares = seen_layers(recipe, "style")
    own, *others = (_map_sizes(features, image, shares) for image in (content, *styles))
    # As many bands in every map, though pictures of other heights have other numbers of rows.
    rows = {layer: min(size[1], *(other[layer][1] for other in others)) for layer, size in own.items()}
    statistics = {layer: _statistic(recipe, rows[layer]) for layer in shares}
    # What the statistics are, beside the network and the style.
    key = (
        recipe.style_loss == "wasserstein2",
        recipe.style_bands,
        tuple(rows.items()),
        tiling and tiling.size,
    )
    means = []
    for index, style in enumerate(styles):
        roots = masks.roots_of_style(index, others[index])
        make = partial(_means, features, style, statistics, tiling, roots)
        identity = getattr(features, "identity", None)
        means.append(shared.cache.statistic([style, *roots.values()], identity, *key, make=make))
    terms: list[Term] = []
    for layer in shares:
        plain = _style_term(shared, layer, own[layer], statistics[layer])
        found = [mean[layer] for mean in means]
        if not masks.contents:
            terms.append(plain(found, shared.blend))
            continue
        sizes = zip(found, masks.contents, portions(masks.contents, shared.blend), strict=True)
        for number, (mean, mask, portion) in enumerate(sizes, 1):
            if portion > 0:
                term = plain([mean], (1.0,), root_weights(mask, *own[layer][1:]), str(number))
                terms.append(dataclasses.replace(term, weight=term.weight * portion))
    return terms


def _style_term(shared: _Shared, layer: str, size: MapSize, statistic: Statistic) -> Callable[..., StyleTerm]:
    """Return what makes a term of one layer of the means of some styles, their blend, roots and a name."""
    recipe, (batch, _, height, width) = shared.recipe, shared.content.shape
    weight = recipe.effective_weights()[1] * seen_layers(recipe, "style")[layer]
    distance = _distance(recipe, size, height * width)

    def make(
        means: Sequence[Tensor], blend: Sequence[float], roots: Tensor | None = None, part: str = ""
    ) -> StyleTerm:
        target = blended(means, blend, batch=batch)
        if recipe.style_loss == "wasserstein2":
            target = wasserstein2_target(target)
        return StyleTerm(layer, weight, target, statistic, distance, roots, part)

    return make


def _map_sizes(features: Any, image: Tensor, layers: Iterable[str]) -> dict[str, MapSize]:
    """Return channels, height and width of the maps of an image by layer."""
    if hasattr(features, "strides"):
        return {layer: features.map_size(layer, *image.shape[2:]) for layer in layers}
    maps = features(image)
    return {layer: tuple(maps[layer].shape[1:]) for layer in layers}


def _statistic(recipe: Recipe, rows: int) -> Statistic:
    if recipe.style_loss == "wasserstein2":
        return moments
    return banded_gram(min(recipe.style_bands, rows)) if recipe.style_bands > 1 else gram


def _distance(recipe: Recipe, size: MapSize, image_positions: int) -> Distance:
    if recipe.style_loss == "wasserstein2":
        return wasserstein2_distance
    if recipe.style_bands > 1:
        return banded_relative_distance
    channels, height, width = size
    return gram_distance(
        recipe.style_loss, channels=channels, positions=height * width, image_positions=image_positions
    )


def _means(
    features: Any,
    style: Tensor,
    statistics: dict[str, Statistic],
    tiling: Tiling | None,
    roots: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Return the mean of each layer's statistic over a style, whose positions may weigh differently."""
    if tiling is not None:
        return tiled_means(features, style, statistics, tiling.size, roots)
    maps = features(style)
    return {n: mean_statistic(statistic, maps[n], roots.get(n)) for n, statistic in statistics.items()}


def _balanced(
    terms: Sequence[Any], finish: Callable[[Sequence[Term]], Objective], reference: Tensor
) -> list[Term]:
    """Divide the weights of each kind of loss by the norm of its gradient at a reference image."""
    balanced: list[Term] = []
    for kind in ("content", "style"):
        group = [term for term in terms if term.name.partition(":")[0] == kind]
        total = sum(term.weight for term in group)
        if not total:
            continue
        alone = [dataclasses.replace(term, weight=term.weight / total) for term in group]
        norm = float(finish(alone).value_and_grad(reference)[1].square().sum().sqrt())
        balanced += [dataclasses.replace(t, weight=t.weight / norm if norm > 0 else t.weight) for t in group]
    return balanced
