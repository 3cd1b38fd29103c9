"""The network of a run, and what is left ready for the next in the same process: it, and style statistics."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from specstyle.engine.views import IMAGE, bare
from specstyle.errors import RecipeError
from specstyle.features.networks import Network, NetworkOptions, custom_network, load_network
from specstyle.recipes import Recipe
from specstyle.recipes.published import MADE_FOR
from specstyle.run.request import Request
from specstyle.run.settle import layers_in_use

T = TypeVar("T")

NETWORKS = 3
"""How many networks are kept: VGG19 with all its layers is 80 MB, and 550 MB as it is loaded."""

LIMIT_BYTES = 2**28
"""Of style statistics."""


class Store:
    """Values by key, of which those that were not asked for the longest are dropped above a limit.

    Args:
        limit: Of the sum of sizes. A value that alone is larger is not kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return the value of a key, made now if it is not kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
            found: T = self._kept[key][0]
            return found
        made = make()
        weight = size(made)
        if weight <= self._limit:
            self._kept[key] = (made, weight)
            self._size += weight
        while self._size > self._limit:
            self._size -= self._kept.popitem(last=False)[1][1]
        return made


class Cache:
    """Keeps what several runs have in common, within bounds. A run with it gives the same bytes as without.

    Images are known by a hash of their values, so that nothing has to be said of what determines them
    (the content's rate and size, the recipe's transform, the scale).

    Args:
        networks: How many networks are kept; 0: none.
        limit_bytes: Of style statistics.
    """

    def __init__(self, *, networks: int = NETWORKS, limit_bytes: int = LIMIT_BYTES) -> None:
        self._networks, self._statistics = Store(networks), Store(limit_bytes)
        self._count = itertools.count()
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def network(self, recipe: Recipe, request: Request, *, device: torch.device, precision: str) -> Network:
        """Return the network of a settled recipe, made now if it is not kept; see ``network_for``."""
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        return self._networks.get(
            network_key(recipe, request, device, precision),
            lambda: network_for(recipe, request, device=device, dtype=dtype),
            lambda _: 1,
        )

    def statistics(
        self, images: Sequence[Tensor], identity: Any, *key: Hashable, make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return statistics of some images, by layer, made now if they are not kept.

        Args:
            images: The images.
            identity: Of the network that they come from (``Seen.identity``); ``None``: they are not kept.
            key: What else determines them.
            make: Computes them.
        """
        if identity is None:
            return make()
        network = self._numbers.setdefault(identity, next(self._count))
        whole = (network, key, tuple(_digest(image) for image in images))
        return self._statistics.get(whole, make, _bytes_of)


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


def _digest(image: Tensor) -> Hashable:
    content = hashlib.sha256(image.detach().cpu().contiguous().numpy().tobytes()).digest()
    return content, tuple(image.shape), str(image.dtype), str(image.device)


def _bytes_of(statistics: dict[str, Tensor]) -> int:
    return sum(statistic.nbytes for statistic in statistics.values())
