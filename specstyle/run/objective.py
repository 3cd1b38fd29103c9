"""From a recipe to its network, which is kept for the next run in the same process, and its objective."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.grams import banded_gram, banded_relative_distance, gram
from specstyle.engine.losses import (
    Distance,
    Statistic,
    gram_distance,
    moments,
    portions,
    root_weights,
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
from specstyle.engine.tiles import Size, tiled_means
from specstyle.engine.tiling import TiledObjective
from specstyle.engine.views import IMAGE, bare
from specstyle.errors import RecipeError
from specstyle.features.networks import Network, NetworkOptions, custom_network, load_network
from specstyle.recipes import Recipe
from specstyle.recipes.published import MADE_FOR
from specstyle.run.request import MakeTerms, Request
from specstyle.run.settle import layers_in_use, seen_layers

NETWORKS = 3
"""How many networks are kept: VGG19 with all its layers is 80 MB, and 550 MB as it is loaded."""

FeatureMaps = Callable[[Tensor], dict[str, Tensor]]
"""A network: an image ``[B, C, H, W]`` to maps ``[B, C_l, h_l, w_l]`` by layer."""

MapSize = tuple[int, int, int]
"""Channels, height and width of a network's map."""


class Cache:
    """Keeps the networks that were asked for last. A run with it gives the same bytes as without.

    Args:
        networks: How many are kept, at least 1.
    """

    def __init__(self, networks: int = NETWORKS) -> None:
        self._most = networks
        self._kept: OrderedDict[Hashable, Network] = OrderedDict()

    def network(self, recipe: Recipe, request: Request, *, device: torch.device, precision: str) -> Network:
        """Return the network of a settled recipe, made now if it is not kept; see ``network_for``."""
        key = network_key(recipe, request, device, precision)
        if key not in self._kept:
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            self._kept[key] = network_for(recipe, request, device=device, dtype=dtype)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return self._kept[key]


def network_for(
    recipe: Recipe, request: Request, *, device: torch.device, dtype: torch.dtype = torch.float32
) -> Network:
    """Make the network that a settled recipe names, or take the request's own.

    Raises:
        RecipeError: If the recipe's layers are not covered by the weights.
        WeightsError: If weights cannot be had.
    """
    if request.network is not None:
        return custom_network(request.network)
    names = [n for n in NetworkOptions.__dataclass_fields__ if n != "preprocessing"]
    options = NetworkOptions(**{n: getattr(recipe, n) for n in names}, preprocessing=request.preprocessing)
    wanted = layers_in_use(recipe, all_of_them=request.terms is not None)
    try:
        network = load_network(
            recipe.network,
            tuple(dict.fromkeys(layer for layer in map(bare, wanted) if layer != IMAGE)),
            seed=request.seed,
            weights_file=request.weights,
            options=options,
            blend=recipe.style_blend,
            loop=recipe.loop,
            device=device,
            dtype=dtype,
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error
    made_for = MADE_FOR.get(recipe.name, network.preprocessing)
    if recipe.network != "vgg19" or network.preprocessing == made_for:
        return network
    note = (
        f"recipe {recipe.name} was balanced for VGG19 at {made_for}'s scale of activations, and "
        f"{network.origin} has {network.preprocessing}'s: content, style and smoothness weigh otherwise"
    )
    return dataclasses.replace(network, notes=(*network.notes, note))


def network_key(recipe: Recipe, request: Request, device: torch.device, precision: str) -> Hashable:
    """Return all that determines a network before it is fitted to its inputs."""
    weights = request.weights
    stat = weights.stat() if weights is not None and weights.is_file() else None
    return (
        None if request.network is None else id(request.network),  # which the network made of it holds
        recipe.network,
        layers_in_use(recipe, all_of_them=request.terms is not None),
        tuple(getattr(recipe, name, None) for name in NetworkOptions.__dataclass_fields__),
        (recipe.style_blend, recipe.loop) if recipe.network == "kernel" else None,
        request.seed if recipe.network.endswith("-random") else None,
        None if stat is None else (str(weights), stat.st_mtime_ns, stat.st_size, request.preprocessing),
        str(device),
        precision,
    )


@dataclasses.dataclass(frozen=True)
class Masks:
    """Where styles apply, and which parts of them count: from 0 to 1, ``[1, 1, H, W]`` of any size.

    Attributes:
        contents: One per style, or none at all: every style applies everywhere.
        styles: One per style; ``None``: all of it counts.
    """

    contents: tuple[Tensor, ...] = ()
    styles: tuple[Tensor | None, ...] = ()


NO_MASKS = Masks()


@torch.no_grad()
def build_objective(
    recipe: Recipe,
    features: FeatureMaps,
    content: Tensor,
    styles: Sequence[Tensor],
    *,
    reference: Tensor | None = None,
    tile: Size | None = None,
    keep_content: bool = True,
    masks: Masks = NO_MASKS,
    terms: MakeTerms | None = None,
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
        tile: Compute it tile by tile, of this size.
        keep_content: See ``TiledObjective``.
        masks: Where styles apply.
        terms: Makes more losses, of the network, the content and the styles; their names must be new.

    Raises:
        RecipeError: If there is not one blend weight per style, or the network cannot be tiled.
    """
    blend = recipe.style_blend or (1.0,) * len(styles)
    if len(blend) != len(styles):
        raise RecipeError(f"style_blend has {len(blend)} weights for {len(styles)} styles; give one for each")
    any_features: Any = features
    around = recipe.loop and recipe.canvas == "image"
    if around:  # the styles are seen as they are, with borders
        any_features = any_features.looped()

    def finish(terms: Sequence[Term]) -> Objective:
        if tile is None:
            return Objective(any_features, terms)
        return TiledObjective(any_features, terms, tile, content=content, keep_content=keep_content)

    content_weight, style_weight = recipe.effective_weights()
    losses: list[Term] = []
    if content_weight > 0:
        weights = {layer: content_weight * share for layer, share in seen_layers(recipe, "content").items()}
        maps = {} if tile is not None else features(content)  # in tiles there are no targets
        losses += [
            ContentTerm(layer, weight, maps.get(layer), recipe.content_loss)
            for layer, weight in weights.items()
        ]
    if style_weight > 0:
        losses += _style_terms(recipe, features, content, styles, blend, masks=masks, tile=tile)
    if recipe.balance == "gradient" and reference is not None:
        losses = _balanced(losses, finish, reference)
    if (smoothness := recipe.tv_weight * recipe.style_fade) > 0:
        variation = VariationTerm(smoothness, recipe.tv_loss, recipe.pixel_range, loop=around)
        losses.append(variation)
    if terms is not None:
        losses += terms(features, content, styles)
    return finish(losses)


def _style_terms(
    recipe: Recipe,
    features: FeatureMaps,
    content: Tensor,
    styles: Sequence[Tensor],
    blend: Sequence[float],
    *,
    masks: Masks,
    tile: Size | None,
) -> list[Term]:
    """Return a term for each style layer, or for each layer and style where masks say where styles apply."""
    shares, weight = seen_layers(recipe, "style"), recipe.effective_weights()[1]
    own, *others = (_map_sizes(features, image, shares) for image in (content, *styles))
    # As many bands in every map, though pictures of other heights have other numbers of rows.
    rows = {layer: min(size[1], *(other[layer][1] for other in others)) for layer, size in own.items()}
    positions = content.shape[2] * content.shape[3]
    compared = {layer: _comparison(recipe, own[layer], rows[layer], positions) for layer in shares}
    statistics = {layer: statistic for layer, (statistic, _) in compared.items()}
    means = []
    for number, style in enumerate(styles):
        mask = masks.styles[number] if masks.styles else None
        sizes = {} if mask is None else others[number]
        roots = {layer: root_weights(mask, *size[1:]) for layer, size in sizes.items() if mask is not None}
        means.append(_means(features, style, statistics, tile, roots))
    terms: list[Term] = []
    for layer, (statistic, distance) in compared.items():
        # Of the means of some styles, their share of the loss, where they apply, and a name.
        parts: list[tuple[Sequence[Tensor], Sequence[float], float, Tensor | None, str]]
        found = [mean[layer] for mean in means]
        parts = [(found, blend, 1.0, None, "")]
        if masks.contents:
            areas = zip(found, masks.contents, portions(masks.contents, blend), strict=True)
            parts = [
                ([mean], (1.0,), portion, root_weights(mask, *own[layer][1:]), str(number))
                for number, (mean, mask, portion) in enumerate(areas, 1)
                if portion > 0
            ]
        for some, weights, portion, where, name in parts:
            target = blended(some, weights, batch=content.shape[0])
            if recipe.style_loss == "wasserstein2":
                target = wasserstein2_target(target)
            whole = weight * shares[layer] * portion
            terms.append(StyleTerm(layer, whole, target, statistic, distance, where, name))
    return terms


def _map_sizes(features: Any, image: Tensor, layers: Iterable[str]) -> dict[str, MapSize]:
    """Return channels, height and width of the maps of an image by layer."""
    if hasattr(features, "strides"):
        return {layer: features.map_size(layer, *image.shape[2:]) for layer in layers}
    maps = features(image)
    return {layer: tuple(maps[layer].shape[1:]) for layer in layers}


def _comparison(recipe: Recipe, size: MapSize, rows: int, image_positions: int) -> tuple[Statistic, Distance]:
    """Return what a recipe compares of a layer's maps, and how."""
    if recipe.style_loss == "wasserstein2":
        return moments, wasserstein2_distance
    if recipe.style_bands > 1:
        return banded_gram(min(recipe.style_bands, rows)), banded_relative_distance
    channels, height, width = size
    return gram, gram_distance(
        recipe.style_loss, channels=channels, positions=height * width, image_positions=image_positions
    )


def _means(
    features: Any,
    style: Tensor,
    statistics: dict[str, Statistic],
    tile: Size | None,
    roots: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Return the mean of each layer's statistic over a style, whose positions may weigh differently."""
    if tile is not None:
        return tiled_means(features, style, statistics, tile, roots)
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
