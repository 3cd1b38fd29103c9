"""What one run leaves ready for the next in the same process: networks, decoded styles, style statistics."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from specstyle.features.networks import Network, NetworkOptions
from specstyle.files import sha256_of
from specstyle.recipes import Recipe
from specstyle.run.request import Request
from specstyle.run.settle import layers_in_use

T = TypeVar("T")

NETWORKS = 3
"""How many networks are kept: VGG19 with all its layers is 80 MB, and 550 MB as it is loaded."""

LIMIT_BYTES = 2**28
"""Of decoded styles, and as many of style statistics."""


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
        limit_bytes: Of decoded styles, and as many of style statistics; 0: none are kept.
    """

    def __init__(self, *, networks: int = NETWORKS, limit_bytes: int = LIMIT_BYTES) -> None:
        self._keeps = networks > 0 or limit_bytes > 0
        self._networks, self._sources = Store(networks), Store(limit_bytes)
        self._statistics = Store(limit_bytes)
        self._count = itertools.count()
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def network(self, key: Hashable, make: Callable[[], Network]) -> Network:
        """Return a network, made now if it is not kept.

        Args:
            key: What determines it, see ``network_key``.
            make: Makes it.
        """
        return self._networks.get(key, make, lambda _: 1) if self._keeps else make()

    def source(
        self,
        given: Any,
        medium: str,
        make: Callable[[Any], Any],
        *key: Hashable,
        check: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Return a style's decoded source, checked for this run.

        Args:
            given: A path, whose decoded sound or picture is kept, or anything else, which is not.
            medium: ``audio`` or ``image``.
            make: Reads a path or takes a source as it is, and refuses what this run cannot use.
            key: What else determines the source.
            check: Does so with a source that an earlier run made; ``None``: ``make`` does.
        """
        if not self._keeps or not isinstance(given, (str, Path)) or not Path(given).is_file():
            return make(given)
        made: list[Any] = []

        def read() -> Any:
            made.append(make(given))
            return made[0]

        source = self._sources.get((medium, str(given), sha256_of(Path(given)), *key), read, _bytes_of)
        return source if made else (check or make)(source)

    def statistic(self, images: Sequence[Tensor], identity: Any, *key: Hashable, make: Callable[[], T]) -> T:
        """Return a statistic of some images.

        Args:
            images: The images.
            identity: Of the network that it comes from (``Seen.identity``); ``None``: it is not kept.
            key: What else determines it.
            make: Computes it.
        """
        if not self._keeps or identity is None:
            return make()
        network = self._numbers.setdefault(identity, next(self._count))
        whole = (network, key, tuple(_digest(image) for image in images))
        found: T = self._statistics.get(whole, make, _bytes_of)
        return found


COLD = Cache(networks=0, limit_bytes=0)
"""Keeps nothing."""


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


def _bytes_of(value: Any) -> int:
    """Return about the bytes of a value that has tensors in it."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes_of, value))
    if isinstance(value, dict):
        return sum(map(_bytes_of, value.values()))
    if dataclasses.is_dataclass(value):
        return sum(_bytes_of(getattr(value, f.name)) for f in dataclasses.fields(value))
    return sys.getsizeof(value)
