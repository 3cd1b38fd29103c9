"""From a request to what runs: its recipe with the network's name, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from specstyle.engine.device import choose_device
from specstyle.engine.optimize import OptimizerSettings
from specstyle.engine.views import IMAGE, bare, through
from specstyle.errors import RecipeError
from specstyle.features import lite
from specstyle.features.networks import (
    WITH_WEIGHTS,
    canonical_layers,
    layers_of,
)
from specstyle.recipes import PUBLISHED, Recipe, default_recipe, get_recipe, read_recipe
from specstyle.recipes.checks import without_effect
from specstyle.run.request import Request


def settle_recipe(
    medium: str,
    recipe: str | Path | Recipe,
    *,
    weights: Path | None,
    overrides: dict[str, Any],
    custom: bool = False,
    gpu: bool = False,
) -> tuple[Recipe, tuple[str, ...]]:
    """Turn a request into one recipe that names the network which will run.

    ``auto`` is VGG19 on a GPU, and on a CPU its small stand-in as far as that reaches; layers that only
    another network has mean that one, and a texture of a sound the kernel.

    Args:
        medium: ``audio`` or ``image``.
        recipe: ``default``, a recipe's name, a TOML file, or a recipe.
        weights: Weights file for VGG19, if one was given.
        overrides: Fields to change.
        custom: Whether the network is a user's own, whose layers are not known yet.
        gpu: Whether it will run on a GPU.

    Returns:
        The recipe, and what the user should be told.

    Raises:
        RecipeError: If recipe, network and overrides do not fit together.
    """
    told: list[str] = []
    base = _find_recipe(recipe, on_note=told.append)
    if custom:
        return _settled_custom(medium, base, overrides), tuple(told)
    name, notes = _choose_network(recipe, base, overrides, weights, gpu=gpu)
    settled = (base or default_recipe(medium, name)).replace(**{**overrides, "network": name})
    settled = settled.replace(
        content_layers=_canonical(name, settled.content_layers),
        style_layers=_canonical(name, settled.style_layers),
        content_layer_weights=settled.content_layer_weights,
        style_layer_weights=settled.style_layer_weights,
    )
    if settled.finish_network:
        _canonical(settled.finish_network, (*settled.content_layers, *settled.style_layers))
    deeper = _beyond_lite((*settled.content_layers, *settled.style_layers))
    if deeper and ((name == "vgg19-lite" and weights is None) or settled.finish_network == "vgg19-lite"):
        raise RecipeError(
            f"vgg19-lite reaches {lite.REACH[-1]} and not {', '.join(dict.fromkeys(deeper))}; choose other "
            "--content-layers and --style-layers, or --network vgg19 or vgg19-random"
        )
    if base is not None and base.name in PUBLISHED and name in ("vgg19-random", "vgg19-lite"):
        notes += (
            f"recipe {base.name} was balanced for pretrained VGG19: on {name} its content outweighs "
            "the style; try --content-weight or --strength",
        )
    return settled, (*told, *notes, *without_effect(settled, overrides))


def settle_request(request: Request) -> tuple[Recipe, tuple[str, ...]]:
    """Settle the recipe of a request, see ``settle_recipe``, and hold it against the number of styles.

    Raises:
        RecipeError: If recipe, network, overrides and styles do not fit together.
    """
    recipe, notes = settle_recipe(
        request.medium,
        request.recipe,
        weights=request.weights,
        overrides=request.overrides,
        custom=request.network is not None,
        gpu=choose_device(request.device).type != "cpu",
    )
    if max(recipe.effective_weights()) <= 0 and request.terms is None:
        raise RecipeError(
            "content and style both weigh nothing; raise content_weight or style_weight, or move strength"
        )
    waves = recipe.canvas == "waveform" and recipe.sample_rate is None and recipe.tv_weight == 0
    if (
        recipe.loop
        and request.medium == "audio"
        and not (waves and recipe.network in ("kernel", "wide-random"))
    ):
        raise RecipeError(
            "loop of a sound needs canvas waveform at the sound's own rate, and a network without borders in "
            "time: --network kernel, or wide-random with --canvas waveform"
        )
    if recipe.loop and request.medium == "image" and not recipe.network.startswith("vgg19"):
        raise RecipeError(f"loop of a picture needs a network of the VGG19 family, not {recipe.network}")
    if request.medium == "audio" and recipe.balance == "share" and recipe.content_loss != "relative":
        raise RecipeError(f"balance share of a sound needs content_loss relative, not {recipe.content_loss}")
    styles = len(request.styles)
    for name, what, for_all in (
        ("style_blend", "weights", False),
        ("style_scale", "numbers", True),
        ("style_start_s", "values", True),
        ("style_duration_s", "values", True),
    ):
        count = len(getattr(recipe, name))
        if count not in ((0, 1, styles) if for_all else (0, styles)):
            raise RecipeError(
                f"{name} has {count} {what} for {styles} styles; give one for each"
                + (", or one for all" if for_all else "")
            )
    for kind, masks in (("content", request.content_masks), ("style", request.style_masks)):
        if masks and request.medium != "image":
            raise RecipeError(f"--{kind}-mask is for pictures; drop it, or see --mask for sounds")
        if masks and len(masks) != styles:
            raise RecipeError(
                f"--{kind}-mask is there {len(masks)} times for {styles} styles; give one for each, in their "
                "order (all: no mask)"
            )
    return recipe, notes


def _settled_custom(medium: str, base: Recipe | None, overrides: dict[str, Any]) -> Recipe:
    """Return the recipe for a user's own network: no layers named means those that it gives."""
    named = {"network": "custom", "content_layers": ("",), "style_layers": ("",)}
    start = base or default_recipe(medium, "vgg19-random").replace(style_bands=1)
    return start.replace(**{**named, **overrides})


def _find_recipe(recipe: str | Path | Recipe, *, on_note: Callable[[str], None]) -> Recipe | None:
    """Return the recipe that was asked for, ``None`` for the one of the medium and the network."""
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Path) or recipe.lower().endswith(".toml"):
        return read_recipe(Path(recipe), on_note=on_note)
    return None if recipe == "default" else get_recipe(recipe)


def _choose_network(
    recipe: str | Path | Recipe,
    base: Recipe | None,
    overrides: dict[str, Any],
    weights: Path | None,
    *,
    gpu: bool,
) -> tuple[str, tuple[str, ...]]:
    """Return the name of the network that will run, and what to say of it."""
    asked = str(overrides.get("network") or (base.network if base else "auto"))
    if asked != "auto" or weights is not None:
        name = "vgg19" if asked == "auto" else asked
        _canonical(name, ())  # there is such a network
        if weights is not None and name not in WITH_WEIGHTS:
            raise RecipeError(
                f"--weights belongs to the networks {' and '.join(WITH_WEIGHTS)}, but {name} was asked for; "
                "drop one of them"
            )
        return name, ()
    layers = [
        name
        for kind in ("content_layers", "style_layers")
        for name in (overrides.get(kind) or (getattr(base, kind) if base else ()))
    ]
    if "duration_s" in overrides and recipe == "default" and not layers:
        return "kernel", ("network: kernel",)  # on the waveform, whose ends can meet
    for name in ("wide-random", "kernel"):
        if layers and {bare(layer) for layer in layers} - {IMAGE} <= set(layers_of(name)):
            return name, (f"network: {name}",)
    if gpu or _beyond_lite(_canonical("vgg19", tuple(layers))):
        return "vgg19", ("network: vgg19",)
    return "vgg19-lite", ("network: vgg19-lite; VGG19 itself, several times slower: --network vgg19",)


def _beyond_lite(layers: Sequence[str]) -> list[str]:
    """Return the layers that are deeper than the network in the package."""
    return [name for name in layers if bare(name) not in (IMAGE, *lite.REACH)]


def _canonical(network: str, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return canonical_layers(network, names)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def seen_layers(recipe: Recipe, kind: str) -> dict[str, float]:
    """Return the weight of each layer of the loss ``content`` or ``style``, by its name with all views."""
    view = getattr(recipe, f"{kind}_view")
    return {through(layer, view): weight for layer, weight in recipe.layer_weights(kind).items()}


def layers_in_use(recipe: Recipe, *, all_of_them: bool = False) -> tuple[str, ...]:
    """Return the layers, with their views, of the losses that weigh anything, or of all."""
    weights = recipe.effective_weights()
    kinds = [
        kind for kind, weight in zip(("content", "style"), weights, strict=True) if weight or all_of_them
    ]
    return tuple(dict.fromkeys(layer for kind in kinds for layer in seen_layers(recipe, kind)))


def optimizer_settings(recipe: Recipe) -> OptimizerSettings:
    """Return the optimizer's part of a recipe."""
    names = [n for n in OptimizerSettings.__dataclass_fields__ if n != "method"]
    return OptimizerSettings(method=recipe.optimizer, **{n: getattr(recipe, n) for n in names})


def check_request(request: Request) -> None:
    """Refuse what no recipe can mend.

    Raises:
        ValueError: If the medium, the seed, the styles or how the run is done make no sense.
    """
    if request.medium not in ("audio", "image"):
        raise ValueError(f"medium must be audio or image, got {request.medium!r}")
    if not request.styles:
        raise ValueError("give at least one style")
    if not 0 <= request.seed < 2**63:
        raise ValueError(f"seed must be from 0 to 2^63 - 1, got {request.seed}")
    check_tile(request.tile)
    check_memory_limit(request.memory_limit)
    every: Any = request.report_every
    if isinstance(every, bool) or not isinstance(every, Integral) or every < 1:
        raise ValueError(f"report_every must be a whole number of steps from 1 on, got {every!r}")
    if request.preprocessing is not None and request.weights is None:
        raise RecipeError("preprocessing describes the file of --weights; give both or neither")
    for name in ("network", "invert"):
        given = getattr(request, name)
        if given is not None and not callable(given):
            raise ValueError(f"{name} must be something to call, got {type(given).__name__}")


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


def check_memory_limit(limit: Any) -> None:
    """Refuse a limit of memory that is none.

    Args:
        limit: In GiB; ``None``: none.

    Raises:
        ValueError: If it is neither ``None`` nor a number above 0.
    """
    number = not isinstance(limit, bool) and isinstance(limit, Real) and math.isfinite(limit)
    if limit is not None and not (number and limit > 0):
        raise ValueError(f"memory_limit must be a number of GiB above 0, got {limit!r}")
