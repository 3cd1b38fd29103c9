"""From a recipe to its objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.bands import banded_gram, banded_relative_distance
from specstyle.engine.losses import (
    Distance,
    gram,
    gram_distance,
    moments,
    wasserstein2_distance,
    wasserstein2_target,
)
from specstyle.engine.objective import ContentTerm, Objective, StyleTerm, Term, VariationTerm, style_target
from specstyle.errors import RecipeError
from specstyle.features.kernel import kernel_content_term, kernel_style_term
from specstyle.recipes import Recipe

FeatureMaps = Callable[[Tensor], dict[str, Tensor]]


@torch.no_grad()
def build_objective(
    recipe: Recipe,
    features: FeatureMaps,
    content: Tensor,
    styles: Sequence[Tensor],
    *,
    reference: Tensor | None = None,
) -> Objective:
    """Make a recipe's objective for one size.

    Args:
        recipe: Losses, layers and weights.
        features: Image to feature maps by layer name.
        content: ``[B, C, H, W]``.
        styles: One or more ``[B', C, H', W']``.
        reference: For ``balance = "gradient"``: where gradients are brought to the same norm, an image of
            the content's shape.

    Raises:
        RecipeError: If there is not one blend weight per style.
    """
    blend = recipe.style_blend or (1.0,) * len(styles)
    if len(blend) != len(styles):
        raise RecipeError(f"style_blend has {len(blend)} weights for {len(styles)} styles; give one for each")
    content_weight, style_weight = recipe.effective_weights()
    terms: list[Term] = []
    if recipe.network == "kernel":
        terms += _kernel_terms(recipe, content, styles, blend)
    elif content_weight > 0:
        maps = features(content)
        for layer, share in recipe.layer_weights("content").items():
            terms.append(ContentTerm(layer, content_weight * share, maps[layer], recipe.content_loss))
    if style_weight > 0 and recipe.network != "kernel":
        terms += _style_terms(recipe, features, content, styles, blend)
    if recipe.balance == "gradient" and reference is not None:
        terms = [_balanced(term, features, reference) for term in terms]
    if recipe.tv_weight > 0:
        terms.append(VariationTerm(recipe.tv_weight, recipe.tv_loss, recipe.pixel_range))
    return Objective(features, terms)  # type: ignore[arg-type]  # any callable serves as features


def _style_terms(
    recipe: Recipe,
    features: FeatureMaps,
    content: Tensor,
    styles: Sequence[Tensor],
    blend: Sequence[float],
) -> list[Term]:
    _, weight = recipe.effective_weights()
    all_maps = [features(style) for style in styles]
    own_maps = features(content)
    wasserstein, banded = recipe.style_loss == "wasserstein2", recipe.style_bands > 1
    terms: list[Term] = []
    for layer, share in recipe.layer_weights("style").items():
        # As many bands in every map, though pictures of other heights have other numbers of rows.
        rows = min(maps[layer].shape[2] for maps in (own_maps, *all_maps))
        statistic = moments if wasserstein else banded_gram(min(recipe.style_bands, rows)) if banded else gram
        target = style_target(statistic, [m[layer] for m in all_maps], blend, batch=content.shape[0])
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


def _kernel_terms(
    recipe: Recipe, content: Tensor, styles: Sequence[Tensor], blend: Sequence[float]
) -> list[Term]:
    content_weight, style_weight = recipe.effective_weights()
    terms: list[Term] = []
    widths = recipe.kernel_widths
    if content_weight > 0:
        terms.append(kernel_content_term(content, styles, blend, weight=content_weight, widths=widths))
    if style_weight > 0:
        terms.append(kernel_style_term(content, styles, blend, weight=style_weight, widths=widths))
    return terms


def _balanced(term: Any, features: FeatureMaps, reference: Tensor) -> Term:
    """Divide a term's weight by the norm of its own gradient at a reference image."""
    alone = dataclasses.replace(term, weight=1.0)
    _, gradient = Objective(features, [alone]).value_and_grad(reference)  # type: ignore[arg-type]
    norm = float(gradient.norm())
    balanced: Term = dataclasses.replace(term, weight=term.weight / norm if norm > 0 else term.weight)
    return balanced
