"""The network of a run: what makes it, and what is left of it ready for the next run in the same process."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Hashable

import torch

from specstyle.engine.views import IMAGE, bare
from specstyle.errors import RecipeError
from specstyle.features.networks import Network, NetworkOptions, custom_network, load_network
from specstyle.recipes import Recipe
from specstyle.recipes.published import MADE_FOR
from specstyle.run.request import Request
from specstyle.run.settle import layers_in_use

NETWORKS = 3
"""How many networks are kept: VGG19 with all its layers is 80 MB, and 550 MB as it is loaded."""


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
        request.network,
        recipe.network,
        layers_in_use(recipe, all_of_them=request.terms is not None),
        tuple(getattr(recipe, name, None) for name in NetworkOptions.__dataclass_fields__),
        (recipe.style_blend, recipe.loop) if recipe.network == "kernel" else None,
        request.seed if recipe.network.endswith("-random") else None,
        None if stat is None else (str(weights), stat.st_mtime_ns, stat.st_size, request.preprocessing),
        str(device),
        precision,
    )
