"""How much memory a run needs, and how it is made to fit: whole, or tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import psutil
import torch

from specstyle.engine.tiles import Size, margin_of
from specstyle.errors import RecipeError
from specstyle.recipes import Recipe
from specstyle.run.pairs import block_bytes

GIB = 2**30

SHARE = 0.8
"""Of the memory that is free, what a plan may use: estimates are estimates, and others run here, too."""

SLIGHT = 0.1
"""Share of what is held anyway that a tile may always take, as far as it is free."""

TILES = (2048, 1536, 1024, 768, 512, 384, 256, 128)
"""Tile sizes to choose from, in pixels. Larger ones save little: their margins are a tenth of them."""

LITTLE = 2**29
"""Free bytes below which what libraries take at their first use (seen: up to 0.4 GiB) is most of it."""

WAVEFORM_COPIES = 10
"""Images that the way from samples to their image and back takes (seen: 9)."""

COUNTABLE = 2**31
"""A map's values up to which every kernel counts them, on any device."""

MIN_HISTORY = 3
"""Steps that L-BFGS remembers at least, where memory is short."""


@dataclass(frozen=True)
class Plan:
    """How one size of an image is optimized.

    Attributes:
        size: Of a tile; ``None``: the image as a whole.
        keep_content: Whether the content's features are kept between evaluations.
        history: Steps that L-BFGS remembers.
        needed: Estimate of the memory that it takes beyond what is in use, in bytes.
        free: What there was, in bytes.
    """

    size: Size | None
    keep_content: bool
    history: int
    needed: int
    free: int

    @property
    def fits(self) -> bool:
        """Whether the estimate is within what is free."""
        return self.needed <= self.free


def check_tile(tile: Any) -> int | None:
    """Return a tile's size in pixels, 0 for ``off`` and ``None`` for ``auto``.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(tile, str) and tile in ("auto", "off"):
        return None if tile == "auto" else 0
    # A command line and a list of jobs say numbers in words; True and 32.7 are no sizes.
    known = isinstance(tile, Integral) and not isinstance(tile, bool)
    said = isinstance(tile, str) and tile.isascii() and tile.isdecimal()
    size = int(tile) if known or said else 0
    if size < 1:
        raise ValueError(f"tile must be auto, off or a whole number of pixels from 1 on, got {tile!r}")
    return size


def free_memory(device: torch.device, limit: float | None = None) -> int:
    """Return the bytes that a run may take beyond what its process holds.

    Args:
        device: Where it runs.
        limit: The most that the process may hold on the device in all, in GiB; ``None``: what is free.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    else:  # Apple's GPUs share the main memory
        free = free_main_memory()
    return max(free if limit is None else min(free, round(limit * GIB) - held_memory(device)), 0)


def held_memory(device: torch.device) -> int:
    """Return the bytes that this process holds on a device."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def free_main_memory() -> int:
    """Return the free main memory, of the machine or of the container that the process is in."""
    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    return min(free, most - used)


def plan(
    recipe: Recipe,
    features: Any,
    shape: tuple[int, int, int, int],
    *,
    tile: int | None,
    free: int,
    style_pixels: int = 0,
) -> Plan:
    """Choose how to optimize an image.

    Args:
        recipe: Losses and optimizer.
        features: The network.
        shape: Of the image, ``[B, C, H, W]``.
        tile: See ``check_tile``.
        free: Memory for it, in bytes.
        style_pixels: Of the largest style.

    Raises:
        RecipeError: If a tile size was asked for and the network cannot be tiled.
    """
    tileable = hasattr(features, "strides")
    if tile and not tileable:
        raise RecipeError("the kernel works block by block in any case; drop --tile, or take another network")
    batch, channels, height, width = shape
    canvas = 4 * batch * channels * height * width
    on_samples = recipe.canvas == "waveform"
    budget, history = round(SHARE * free), recipe.history
    fixed = (WAVEFORM_COPIES if on_samples else _optimizer_copies(recipe, history)) * canvas
    while recipe.optimizer == "lbfgs" and not on_samples and history > MIN_HISTORY and fixed > 0.75 * budget:
        history -= 1
        fixed = _optimizer_copies(recipe, history) * canvas
    if not tileable:
        # Of samples there are half as many as of values in their image, or fewer.
        fixed += _optimizer_copies(recipe, history) * canvas // 2 if on_samples else WAVEFORM_COPIES * canvas
        blocks = block_bytes(batch, width, recipe.kernel_widths)
        return Plan(None, True, history, fixed + blocks, free)
    targets = _content_bytes(recipe, features, shape)
    largest = max(
        batch * features.activations(height, width), style_pixels and _style(features, style_pixels)
    )
    whole = Plan(None, True, history, fixed + targets + 4 * largest, free)
    if tile and tile >= max(height, width):
        tile = 0  # which is the same
    countable = batch * features.largest_map(height, width) < COUNTABLE
    if tile == 0 or (tile is None and countable and whole.needed <= budget):
        return whole
    return _tiled(
        whole, recipe, features, (batch, height, width), tile=tile or None, fixed=fixed, targets=targets
    )


def _style(features: Any, pixels: int) -> int:
    side = math.isqrt(pixels)
    values: int = features.activations(side, side)
    return values


def _tiled(
    whole: Plan,
    recipe: Recipe,
    features: Any,
    seen: tuple[int, int, int],
    *,
    tile: int | None,
    fixed: int,
    targets: int,
) -> Plan:
    """Return the plan of the largest tile that fits, or of the one that was asked for.

    Args:
        whole: The plan without tiles.
        recipe: Losses and optimizer.
        features: The network.
        seen: Entries, height and width of the image.
        tile: The size that was asked for.
        fixed: Bytes that are held in any case.
        targets: Bytes of the content's features.
    """
    batch, height, width = seen
    budget = round(SHARE * whole.free)
    found = whole
    for keep in (True, False) if fixed + targets <= 0.75 * budget else (False,):
        held = fixed + (targets if keep else 0)
        for size in _sizes(recipe, height, width, tile):
            margin = 2 * margin_of(features)
            rows = min((size[0] or height) + margin, height)
            columns = min((size[1] or width) + margin, width)
            values = batch * features.activations(rows, columns)
            found = Plan(size, keep, whole.history, held + 4 * values, whole.free)
            # Where what is held anyway takes nearly all, smaller tiles would save little and take their time.
            slight = 4 * values <= SLIGHT * held and found.needed <= whole.free
            if found.needed <= budget or slight:
                return found
    return found


def _sizes(recipe: Recipe, height: int, width: int, tile: int | None) -> Iterator[Size]:
    """Yield the sizes of tiles to try, the largest first."""
    # Bands are shares of all rows, and wide-random takes all rows at once.
    whole_rows = recipe.style_bands > 1 or recipe.network == "wide-random"
    for side in (tile,) if tile else TILES:
        if tile or side < max(height, width):
            yield (None if whole_rows else side), side
    if not tile and max(height, width) <= TILES[-1]:
        yield None, None


def smaller_tiles(size: Size | None, recipe: Recipe, height: int, width: int) -> Iterator[Size | None]:
    """Yield a size of tiles, and then those to go on in where memory is shorter than planned."""
    yield size
    side = max((height, width) if size is None else (side or 0 for side in size))
    for smaller in _sizes(recipe, height, width, None):
        if smaller[1] is not None and smaller[1] < side:
            yield smaller


def _optimizer_copies(recipe: Recipe, history: int) -> int:
    """Return how many images the optimizer, the start and the contents take."""
    if recipe.optimizer == "lbfgs":
        return 2 * history + 10
    return {"adam": 6, "sgd": 4}[recipe.optimizer] + (2 if recipe.keep == "average" else 0)


def _content_bytes(recipe: Recipe, features: Any, shape: tuple[int, int, int, int]) -> int:
    if recipe.effective_weights()[0] == 0:
        return 0
    values = sum(math.prod(features.map_size(layer, *shape[2:])) for layer in recipe.content_layers)
    return 4 * shape[0] * int(values)


def describe(plan: Plan, recipe: Recipe, medium: str, *, limit: float | None = None, held: int = 0) -> str:
    """Return what to tell the user of a plan: what it takes, how, and what to do where that is too much.

    Args:
        plan: The plan.
        recipe: Losses and optimizer.
        medium: ``audio`` or ``image``.
        limit: The most that the process may hold, in GiB, if that leaves less than is free.
        held: What the process holds without the plan, in bytes.
    """
    little = plan.needed < 0.1 * GIB
    needed = f"{plan.needed / 2**20:.0f} MiB" if little else f"{plan.needed / GIB:.1f}"
    text = f"memory: about {needed} of {plan.free / GIB:.1f} GiB"
    if plan.size is not None:
        sides = [str(side) if side else "all" for side in plan.size]
        text += f", in tiles of {sides[0]} x {sides[1]} pixels"
    if plan.fits and limit is not None and plan.free < LITTLE:
        text += f"; libraries may take more beside than --memory-limit {limit:g} leaves"
    if plan.fits:
        return text
    smaller = smaller_sources(medium)
    # On samples, the optimizer's copies are a small part.
    if recipe.optimizer == "lbfgs" and recipe.canvas != "waveform":
        smaller = f"--optimizer adam, {smaller}"
    if limit is None:
        return f"{text}; it may not be enough: take {smaller}"
    least = math.ceil(10 * (held + plan.needed / SHARE) / GIB) / 10
    return (
        f"memory: --memory-limit {limit:g} is too low: the process holds {held / GIB:.1f} GiB before the "
        f"first step, which takes about {plan.needed / GIB:.1f} GiB more; raise it to {least:.1f} or more, "
        f"or take {smaller}"
    )


def smaller_sources(medium: str) -> str:
    """Return what of the inputs could be smaller, in words."""
    return "a shorter sound or a lower --sample-rate" if medium == "audio" else "a smaller --size"


def readable(seconds: float) -> str:
    """Return a rough duration in words.

    >>> readable(95.0), readable(4000.0)
    ('2 minutes', '1.1 hours')
    """
    return f"{seconds / 60:.0f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"
