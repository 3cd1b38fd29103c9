"""What a run will take, measured on a small part of it, and what is done where memory runs out."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.canvas import Stage
from specstyle.engine.device import (
    GIB,
    choose_device,
    convolutions_in,
    free_memory,
    held_memory,
    steady_memory,
)
from specstyle.engine.objective import Objective
from specstyle.engine.tiles import Size, margin_of
from specstyle.engine.views import Seen
from specstyle.errors import RecipeError, SpecstyleError, counted, is_out_of_memory
from specstyle.recipes import Recipe
from specstyle.run.inputs import Session
from specstyle.run.objective import build_objective
from specstyle.run.request import Request
from specstyle.run.settle import check_tile, seen_layers, settle_request

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

COPIES = {"lbfgs": (10, 2), "adam": (6, 0), "sgd": (4, 0)}
"""Images that an optimizer, the start and the contents take, and those for each step remembered."""

PROBE = 256
"""Columns, and rows unless all are needed, of the part of an image that is measured."""

SMALL = 3e6
"""Pixels times steps below which nothing is measured, unless memory is short."""

LARGE_RUN = 2**30
"""Bytes of memory that are worth a note."""

LONG_RUN_S = 60.0
"""Seconds that are worth a note."""


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
    needed: int = 0
    free: int = 0

    @property
    def fits(self) -> bool:
        """Whether the estimate is within what is free."""
        return self.needed <= self.free


@dataclass(frozen=True)
class Cost:
    """What one evaluation, forward and back, takes for each pixel of the image.

    Attributes:
        held: Bytes that forward keeps for back.
        largest: Bytes of the largest of these.
        seconds: On this device.
        once: Bytes that do not depend on the image.
    """

    held: float = 0.0
    largest: float = 0.0
    seconds: float = 0.0
    once: float = 0.0

    def bytes_of(self, pixels: float) -> int:
        """Return the bytes of one evaluation: of the largest map, two gradients are in hand."""
        return round(self.once + (self.held + 2.0 * self.largest) * pixels)


def measured(make: Callable[[Tensor], Objective], piece: Tensor) -> Cost:
    """Measure evaluations on a piece of an image, and on half of it.

    Args:
        make: Makes what is evaluated for a content of some size.
        piece: ``[B, C, h, w]``.
    """
    half = piece[..., : max(piece.shape[3] // 2, 1)]
    if half.shape[3] == piece.shape[3]:
        return Cost()
    kept, largest, _ = _evaluated(make(half), half)
    kept_more, largest_more, seconds = _evaluated(make(piece), piece)
    pixels, more = (image[:, 0].numel() for image in (half, piece))
    held = max(kept_more - kept, 0) / (more - pixels)
    return Cost(
        held,
        max(largest_more - largest, 0) / (more - pixels),
        seconds / more,
        max(kept_more - held * more, 0.0),
    )


def _evaluated(objective: Objective, image: Tensor) -> tuple[int, int, float]:
    """Return the bytes that forward keeps for back, those of the largest of them, and the seconds of both."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    spent = []
    for _ in range(3):  # the first time warms up, and another process may take a turn in one of the others
        kept.clear()
        started = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            _, gradient = objective.value_and_grad(image)
        float(gradient.sum())  # a GPU is done by then
        spent.append(time.perf_counter() - started)
    return sum(kept.values()), max(kept.values(), default=0), min(spent[1:])


class Estimate:
    """What a run that is ready to start will take, and how each of its scales is made to fit.

    Raises:
        RecipeError: If tiles were asked for and cannot be.
    """

    def __init__(self, run: Session) -> None:
        self._run = run
        features = run.stages[0].features
        around = run.recipe.loop and run.picture is not None  # a tile's borders do not meet
        self.tileable = hasattr(features, "strides") and run.request.terms is None and not around
        self._tile = check_tile(run.request.tile)
        if self._tile and not self.tileable:
            raise RecipeError(
                "a network or losses of your own, and --loop of a picture, see the image as a whole; "
                "drop --tile"
            )
        self._plans: dict[int, Plan] = {}
        work = sum(map(self._work, run.stages))
        ample = run.request.memory_limit is None and self._room()[0] > 4 * GIB
        measure = bool(features.layers) and not (ample and work < SMALL)
        networks = dict.fromkeys(stage.features for stage in run.stages)
        self._costs = {network: self._cost(network) if measure else Cost() for network in networks}

    def _work(self, stage: Stage) -> int:
        """Return pixels times steps."""
        return self._run.content.image.shape[0] * (stage.steps + 1) * math.prod(stage.shape)

    def _cost(self, features: Seen) -> Cost:
        """Measure a network's evaluations on a part of the image."""
        run, height = self._run, self._run.content.image.shape[2]
        rows = height if getattr(features, "whole_rows", True) else min(height, PROBE)
        pieces = [image[:1, :, :rows, :PROBE] for image in (run.content.image, *run.styles)]
        recipe = run.recipe.replace(balance="weights")
        with convolutions_in(run.precision):
            return measured(lambda piece: build_objective(recipe, features, piece, pieces[1:]), pieces[0])

    def plan(self, scale: int) -> Plan:
        """Return how a scale is to be optimized: as was told, or as memory allows."""
        if scale in self._plans:
            return self._plans[scale]
        run, stage = self._run, self._run.stages[scale]
        height, width = stage.shape
        batch, channels = run.content.image.shape[:2]
        full = math.prod(run.stages[-1].shape)
        style = max(s.shape[0] * s.shape[2] * s.shape[3] for s in run.styles)
        samples = None if run.waveform is None else sum(p.numel() for p in run.waveform.parameters())
        planned = partial(
            plan,
            run.recipe,
            stage.features,
            (batch, channels, height, width),
            cost=self._costs[stage.features],
            tile=self._tile if self.tileable else 0,
            style_pixels=round(style * height * width / full),
            samples=samples,
        )
        steady, free = self._room()
        found = planned(free=steady)
        # What else is free the other workers may take.
        self._plans[scale] = found if found.fits or run.request.workers > 1 else planned(free=free)
        return self._plans[scale]

    def _room(self) -> tuple[int, int]:
        """Return the bytes that a plan is made for, and those that are free."""
        request = self._run.request
        free = free_memory(self._run.device, request.memory_limit)
        return min(free, steady_memory(self._run.device) // request.workers), free

    def kept(self) -> list[dict[str, Any]]:
        """Return the plans of all scales, as plain values."""
        return [dataclasses.asdict(self.plan(scale)) for scale in range(len(self._run.stages))]

    def restore(self, kept: list[dict[str, Any]]) -> None:
        """Take the plans of a run that was left, whatever is free now."""
        self._plans = {scale: Plan(**values) for scale, values in enumerate(kept)}

    def seconds(self) -> float:
        """Return how long the optimization will take."""
        stages = self._run.stages
        tiled = any(self.plan(scale).size is not None for scale in range(len(stages)))
        plain = sum(self._costs[stage.features].seconds * self._work(stage) for stage in stages)
        return plain * (4 / 3 if tiled else 1.0)

    def notes(self) -> tuple[str, ...]:
        """Return what a user should know of a large run.

        Raises:
            RecipeError: If it does not fit into the limit that the user set.
        """
        run, seconds = self._run, self.seconds()
        planned, limit = self.plan(len(run.stages) - 1), run.request.memory_limit
        limit = limit if planned.free < free_memory(run.device) else None
        tight = not planned.fits or (limit is not None and planned.free < LITTLE)
        notes: tuple[str, ...] = ()
        if seconds > LONG_RUN_S or planned.size is not None or planned.needed > LARGE_RUN or tight:
            held = held_memory(run.device)
            notes += (describe(planned, run.recipe, run.request.medium, limit=limit, held=held),)
        if limit is not None and not planned.fits:
            raise RecipeError(notes[0])
        if planned.history < run.recipe.history and run.recipe.optimizer == "lbfgs":
            notes += (f"L-BFGS remembers {planned.history} steps instead of {run.recipe.history}, to fit",)
        if seconds > LONG_RUN_S:
            about = (
                counted(round(seconds / 60), "minute") if seconds < 3600 else f"{seconds / 3600:.1f} hours"
            )
            notes += (f"time: very roughly {about} on this device; Ctrl-C keeps the result so far",)
        return notes


def foreseen_s(request: Request) -> float:
    """Return the seconds that the optimization of a request will take here, 0 if that is hardly any.

    Raises:
        SpecstyleError: If its inputs or options cannot be used.
    """
    recipe, _ = settle_request(request)
    return Estimate(Session(request, recipe, choose_device(request.device), lambda _: None)).seconds()


def plan(
    recipe: Recipe,
    features: Any,
    shape: tuple[int, int, int, int],
    *,
    cost: Cost,
    tile: int | None,
    free: int,
    style_pixels: int = 0,
    samples: int | None = None,
) -> Plan:
    """Choose how to optimize an image.

    Args:
        recipe: Losses and optimizer.
        features: The network.
        shape: Of the image, ``[B, C, H, W]``.
        cost: Of the network.
        tile: See ``check_tile``.
        free: Memory for it, in bytes.
        style_pixels: Of the largest style.
        samples: How many there are, where these are optimized and not the image.
    """
    batch, channels, height, width = shape
    pixels = batch * height * width
    image = 4 * channels * pixels
    canvas, extra = (image, 0) if samples is None else (4 * samples, WAVEFORM_COPIES * image)
    budget, history = round(SHARE * free), recipe.history
    copies, for_step = COPIES[recipe.optimizer]
    copies += 2 if recipe.keep == "average" else 0
    fixed = extra + (copies + for_step * history) * canvas
    while for_step and history > MIN_HISTORY and fixed > 0.75 * budget:
        history -= 1
        fixed = extra + (copies + for_step * history) * canvas
    targets = 0  # the content's features, as far as their sizes are known
    if recipe.effective_weights()[0] and hasattr(features, "strides"):
        sizes = (features.map_size(layer, height, width) for layer in seen_layers(recipe, "content"))
        targets = 4 * batch * sum(math.prod(size) for size in sizes)
    step = max(cost.bytes_of(pixels), round(3.0 * cost.largest * style_pixels))
    whole = Plan(None, True, history, fixed + targets + step, free)
    countable = cost.largest * pixels / 4 < COUNTABLE
    if tile == 0 or (tile or 0) >= max(height, width) or (not tile and countable and whole.needed <= budget):
        return whole
    margin, found = 2 * margin_of(features), whole
    for keep in (True, False) if fixed + targets <= 0.75 * budget else (False,):
        held = fixed + (targets if keep else 0)
        for size in _sizes(features, recipe, height, width, tile):
            rows, columns = (
                min((side or whole_side) + margin, whole_side)
                for side, whole_side in zip(size, (height, width), strict=True)
            )
            step = cost.bytes_of(batch * rows * columns)
            found = Plan(size, keep, history, held + step, free)
            # Where what is held anyway takes nearly all, smaller tiles would save little.
            slight = step <= SLIGHT * held and found.needed <= free
            if found.needed <= budget or slight:
                return found
    return found


def _sizes(features: Any, recipe: Recipe, height: int, width: int, tile: int | None) -> Iterator[Size]:
    """Yield the sizes of tiles to try, the largest first."""
    # Bands are shares of all rows.
    whole_rows = recipe.style_bands > 1 or features.whole_rows
    for side in (tile,) if tile else TILES:
        if tile or side < max(height, width):
            yield (None if whole_rows else side), side
    if not tile and max(height, width) <= TILES[-1]:
        yield None, None


def smaller_tiles(
    size: Size | None, features: Any, recipe: Recipe, height: int, width: int
) -> Iterator[Size | None]:
    """Yield a size of tiles, and then those to go on in where memory is shorter than planned."""
    yield size
    side = max((height, width) if size is None else (side or 0 for side in size))
    for smaller in _sizes(features, recipe, height, width, None):
        if smaller[1] is not None and smaller[1] < side:
            yield smaller


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
        f"--memory-limit {limit:g} is too low: the process holds {held / GIB:.1f} GiB before the "
        f"first step, which takes about {plan.needed / GIB:.1f} GiB more; raise it to {least:.1f} or more, "
        f"or take {smaller}"
    )


def smaller_sources(medium: str) -> str:
    """Return what of the inputs could be smaller, in words."""
    return "a shorter sound or a lower --sample-rate" if medium == "audio" else "a smaller --size"


class ShortageError(SpecstyleError):
    """Memory did not suffice for a run, and nothing of it could be made smaller on the way."""


@contextlib.contextmanager
def explained(recipe: Recipe, medium: str, *, kept: bool) -> Iterator[None]:
    """Turn an error of memory into one line that says what takes less; ``kept``: a folder keeps the run.

    Raises:
        ShortageError: In place of torch's.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, SpecstyleError) or not is_out_of_memory(error):
            raise
        remedies = ["--tile 256 (or less)", "a lower --memory-limit"]
        if recipe.optimizer == "lbfgs":
            remedies += ["--history 3", "--optimizer adam"]
        remedies.append(smaller_sources(medium))
        rest = "; --run-dir keeps its last checkpoint: --resume goes on where more is free" if kept else ""
        raise ShortageError(
            f"out of memory: the run needs more than the device has left; take "
            f"{', '.join(remedies[:-1])}{' or ' if remedies[:-1] else ''}{remedies[-1]}{rest}"
        ) from error
