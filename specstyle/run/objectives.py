"""From a recipe to its objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from specstyle.engine.bands import banded_gram, banded_relative_distance
from specstyle.engine.losses import (
    Distance,
    Statistic,
    gram,
    gram_distance,
    moments,
    total_variation,
    wasserstein2_distance,
    wasserstein2_target,
)
from specstyle.engine.objective import (
    ContentTerm,
    ImageTerm,
    Objective,
    StyleTerm,
    Term,
    blended,
    mean_statistic,
)
from specstyle.errors import RecipeError
from specstyle.features.kernel import kernel_content_term, kernel_style_term
from specstyle.recipes import Recipe
from specstyle.run.warm import COLD, Warm

T = TypeVar("T")

FeatureMaps = Callable[[Tensor], dict[str, Tensor]]


@torch.no_grad()
def build_objective(
    recipe: Recipe,
    features: FeatureMaps,
    content: Tensor,
    styles: Sequence[Tensor],
    *,
    reference: Tensor | None = None,
    warm: Warm = COLD,
) -> Objective:
    """Make a recipe's objective for one size.

    Args:
        recipe: Losses, layers and weights.
        features: Image to feature maps by layer name.
        content: ``[B, C, H, W]``.
        styles: One or more ``[B', C, H', W']``.
        reference: For ``balance = "gradient"``: where gradients are brought to the same norm, an image of
            the content's shape.
        warm: Style statistics of earlier runs.

    Raises:
        RecipeError: If there is not one blend weight per style.
    """
    blend = recipe.style_blend or (1.0,) * len(styles)
    if len(blend) != len(styles):
        raise RecipeError(f"style_blend has {len(blend)} weights for {len(styles)} styles; give one for each")
    content_weight, style_weight = recipe.effective_weights()
    terms: list[Term] = []
    if recipe.network == "kernel":
        terms += _kernel_terms(recipe, content, styles, blend, warm)
    elif content_weight > 0:
        maps = features(content)
        for layer, share in recipe.layer_weights("content").items():
            terms.append(ContentTerm(layer, content_weight * share, maps[layer], recipe.content_loss))
    if style_weight > 0 and recipe.network != "kernel":
        sides = [_StyleSide(style, features, warm) for style in styles]
        terms += _style_terms(recipe, features, content, sides, blend)
    if recipe.balance == "gradient" and reference is not None:
        terms = [_balanced(term, features, reference) for term in terms]
    if recipe.tv_weight > 0:
        form = recipe.tv_loss
        terms.append(
            ImageTerm("tv", recipe.tv_weight, lambda x: total_variation(form, x), recipe.pixel_range)
        )
    return Objective(features, terms)  # type: ignore[arg-type]  # any callable serves as features


def _style_terms(
    recipe: Recipe,
    features: FeatureMaps,
    content: Tensor,
    sides: Sequence[_StyleSide],
    blend: Sequence[float],
) -> list[Term]:
    _, weight = recipe.effective_weights()
    own_maps = features(content)
    wasserstein, banded = recipe.style_loss == "wasserstein2", recipe.style_bands > 1
    terms: list[Term] = []
    for layer, share in recipe.layer_weights("style").items():
        # As many bands in every map, though pictures of other heights have other numbers of rows.
        rows = min(own_maps[layer].shape[2], *(side.rows(layer) for side in sides))
        bands = min(recipe.style_bands, rows) if banded and not wasserstein else 0
        statistic = moments if wasserstein else banded_gram(bands) if banded else gram
        kind = (wasserstein, bands)
        means = [side.mean(layer, statistic, kind) for side in sides]
        target = blended(means, blend, batch=content.shape[0])
        channels, height, width = own_maps[layer].shape[1:]
        distance: Distance = wasserstein2_distance
        if wasserstein:
            target = wasserstein2_target(target)
        elif banded:
            distance = banded_relative_distance
        else:
            distance = gram_distance(
                recipe.style_loss,
                channels=channels,
                positions=height * width,
                image_positions=content.shape[2] * content.shape[3],
            )
        terms.append(StyleTerm(layer, weight * share, target, statistic, distance))
    return terms


class _StyleSide:
    """One style's mean statistics, from its feature maps, which are made only if one is not there yet."""

    def __init__(self, image: Tensor, features: FeatureMaps, warm: Warm) -> None:
        self._image, self._features, self._warm = image, features, warm
        self._made: dict[str, Tensor] | None = None

    def _maps(self) -> dict[str, Tensor]:
        if self._made is None:
            self._made = self._features(self._image)
        return self._made

    def rows(self, layer: str) -> int:
        """Return the height of a layer's map."""
        return self._kept("rows", layer, make=lambda: self._maps()[layer].shape[2])

    def mean(self, layer: str, statistic: Statistic, kind: Hashable) -> Tensor:
        """Return a layer's mean statistic, ``[B, ...]``; ``kind`` says which statistic it is."""
        return self._kept(kind, layer, make=lambda: mean_statistic(statistic, self._maps()[layer]))

    def _kept(self, *key: Hashable, make: Callable[[], T]) -> T:
        return self._warm.statistic([self._image], self._features, *key, make=make)


def _kernel_terms(
    recipe: Recipe, content: Tensor, styles: Sequence[Tensor], blend: Sequence[float], warm: Warm
) -> list[Term]:
    content_weight, style_weight = recipe.effective_weights()
    terms: list[Term] = []
    widths = recipe.kernel_widths
    if content_weight > 0:
        terms.append(kernel_content_term(content, styles, blend, weight=content_weight, widths=widths))
    if style_weight > 0:
        # Of the content, only the channels count, and whether it is shorter than a patch.
        key = (tuple(blend), style_weight, widths, content.shape[0], min(content.shape[3], max(widths)))
        terms.append(
            warm.statistic(
                styles,
                None,
                "kernel",
                *key,
                make=lambda: kernel_style_term(content, styles, blend, weight=style_weight, widths=widths),
            )
        )
    return terms


def _balanced(term: Any, features: FeatureMaps, reference: Tensor) -> Term:
    """Divide a term's weight by the norm of its own gradient at a reference image."""
    alone = dataclasses.replace(term, weight=1.0)
    _, gradient = Objective(features, [alone]).value_and_grad(reference)  # type: ignore[arg-type]
    norm = float(gradient.norm())
    balanced: Term = dataclasses.replace(term, weight=term.weight / norm if norm > 0 else term.weight)
    return balanced
