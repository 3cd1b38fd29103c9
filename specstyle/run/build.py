"""From a request to the parts of a run: its recipe, its device, its network, its optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from specstyle.engine.optimize import OptimizerSettings
from specstyle.errors import RecipeError
from specstyle.features import lite
from specstyle.features import weights as vgg_weights
from specstyle.features.networks import (
    WITH_WEIGHTS,
    Network,
    NetworkOptions,
    build_network,
    canonical_layers,
    layers_of,
)
from specstyle.features.vgg import convolution
from specstyle.recipes import PUBLISHED, Recipe, default_recipe, get_recipe, read_recipe
from specstyle.recipes.effect import without_effect
from specstyle.run.request import Request


def choose_device(name: str) -> torch.device:
    """Return the device to run on.

    Args:
        name: ``auto`` (CUDA, else Apple's MPS, else the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        ValueError: If the device is unknown or not on this machine.
    """
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if has[kind]))
    kind = name.partition(":")[0]
    if kind not in has:
        raise ValueError(f"device must be auto, cpu, cuda or mps, got {name!r}")
    if not has[kind]:
        here = ", ".join(k for k, present in has.items() if present)
        raise ValueError(
            f"device {name!r} is not available on this machine, which has {here}; use --device auto"
        )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu, cuda or mps, got {name!r}") from error
    if device.index is not None and kind == "cuda" and device.index >= torch.cuda.device_count():
        raise ValueError(f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def settle_recipe(
    medium: str, recipe: str | Path | Recipe, *, weights: Path | None, overrides: dict[str, Any]
) -> tuple[Recipe, tuple[str, ...]]:
    """Turn a request into one recipe that names the network which will run.

    ``auto`` never downloads: it is VGG19 where its weights are at hand, else an embedded network that
    suits the medium and the recipe's layers.

    Args:
        medium: ``audio`` or ``image``.
        recipe: ``default``, a recipe's name, a TOML file, or a recipe.
        weights: Weights file for VGG19, if one was given.
        overrides: Fields to change.

    Returns:
        The recipe, and what the user should be told.

    Raises:
        RecipeError: If recipe, network and overrides do not fit together.
    """
    base = _find_recipe(medium, recipe, vgg19=weights is not None or overrides.get("network") == "vgg19")
    asked = str(overrides.get("network") or (base.network if base else "auto"))
    layers = [
        name
        for kind in ("content_layers", "style_layers")
        for name in (overrides.get(kind) or (getattr(base, kind) if base else ()))
    ]
    if medium == "audio" and base is None and not layers and weights is None and "network" not in overrides:
        name, notes = _SOUND_DEFAULT
    else:
        name, notes = _choose_network(medium, asked, layers, weights)
    if weights is not None and name not in WITH_WEIGHTS:
        raise RecipeError(
            f"--weights belongs to the networks {' and '.join(WITH_WEIGHTS)}, but {name} was asked for; drop "
            "one of them"
        )
    settled = (base or default_recipe(medium, name)).replace(**{**overrides, "network": name})
    settled = settled.replace(
        content_layers=_canonical(name, settled.content_layers),
        style_layers=_canonical(name, settled.style_layers),
        content_layer_weights=settled.content_layer_weights,
        style_layer_weights=settled.style_layer_weights,
    )
    if name == "vgg19-lite" and weights is None:
        _check_reach(settled)
    if recipe == "vgg" and name == "vgg19-lite":
        notes += (f"network: vgg19-lite stands in for VGG19; {_FETCH}",)
    if base is not None and base.name in PUBLISHED and name in ("vgg19-random", "vgg19-lite"):
        notes += (
            f"recipe {base.name} was balanced for pretrained VGG19: on {name} its content outweighs "
            "the style; try --content-weight or --strength",
        )
    return settled, notes + without_effect(settled, overrides)


def settle_request(request: Request) -> tuple[Recipe, tuple[str, ...]]:
    """Settle the recipe of a request, see ``settle_recipe``, and hold it against the number of styles.

    Raises:
        RecipeError: If recipe, network, overrides and styles do not fit together.
    """
    recipe, notes = settle_recipe(
        request.medium, request.recipe, weights=request.weights, overrides=request.overrides
    )
    if recipe.style_blend and len(recipe.style_blend) != len(request.styles):
        raise RecipeError(
            f"style_blend has {len(recipe.style_blend)} weights for {len(request.styles)} styles; "
            "give one for each"
        )
    if len(recipe.style_scale) > 1 and len(recipe.style_scale) != len(request.styles):
        raise RecipeError(
            f"style_scale has {len(recipe.style_scale)} numbers for {len(request.styles)} styles; give one "
            "for each, or one for all"
        )
    for kind, masks in (("content", request.content_masks), ("style", request.style_masks)):
        if masks and (request.medium != "image" or recipe.network == "kernel"):
            raise RecipeError(f"--{kind}-mask is for pictures and networks of layers; drop it")
        if masks and len(masks) != len(request.styles):
            raise RecipeError(
                f"--{kind}-mask is there {len(masks)} times for {len(request.styles)} styles; give one for "
                "each, in their order (all: no mask)"
            )
    for name in ("style_start_s", "style_duration_s"):
        if len(getattr(recipe, name)) not in (0, 1, len(request.styles)):
            raise RecipeError(
                f"{name} has {len(getattr(recipe, name))} values for {len(request.styles)} styles; give one "
                "for all, or one for each"
            )
    return recipe, notes


_SOUND_DEFAULT: tuple[str, tuple[str, ...]] = (
    "kernel",
    ("network: kernel; VGG19 for sounds: `specstyle networks fetch vgg19` once, then --recipe vgg",),
)
"""Nearer to the style than VGG19 at equal onsets, and many times as fast (bench/results/quality.md)."""


_FETCH = "pretrained VGG19 is not on this machine: `specstyle networks fetch vgg19` gets it"


def _check_reach(recipe: Recipe) -> None:
    """Refuse layers that are deeper than the network in the package."""
    deeper = [
        name for name in (*recipe.content_layers, *recipe.style_layers) if convolution(name) not in lite.REACH
    ]
    if deeper:
        raise RecipeError(
            f"vgg19-lite reaches {lite.REACH[-1]} and not {', '.join(dict.fromkeys(deeper))}; choose other "
            "--content-layers and --style-layers, or --network vgg19 or vgg19-random"
        )


def _find_recipe(medium: str, recipe: str | Path | Recipe, *, vgg19: bool) -> Recipe | None:
    """Return the recipe that was asked for, ``None`` for the default.

    Args:
        medium: ``audio`` or ``image``.
        recipe: A recipe, its name or its file.
        vgg19: Whether VGG19 itself is meant, by a weights file or by name.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Path) or recipe.lower().endswith(".toml"):
        return read_recipe(Path(recipe))
    if recipe == "vgg":
        # On pictures this recipe goes deeper than any stand-in reaches.
        real = vgg19 or medium == "image" or vgg_weights.is_cached()
        return default_recipe(medium, "vgg19" if real else "vgg19-lite")
    return None if recipe == "default" else get_recipe(recipe)


def _choose_network(
    medium: str, asked: str, layers: Sequence[str], weights: Path | None
) -> tuple[str, tuple[str, ...]]:
    if asked != "auto":
        try:
            layers_of(asked)
        except ValueError as error:
            raise RecipeError(str(error)) from error
        return asked, ()
    return ("vgg19", ()) if weights is not None else _auto_network(medium, layers)


def _auto_network(medium: str, layers: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the network for some layers of which nothing needs to be downloaded, and what to say of it."""
    for name in ("wide-random", "kernel"):
        if layers and set(layers) <= set(layers_of(name)):
            return name, (f"network: {name}",)
    if vgg_weights.is_cached():
        return "vgg19", ("network: vgg19 (pretrained, found on this machine)",)
    if medium == "audio" and not layers:
        return "kernel", (f"network: kernel; {_FETCH}",)
    deeper = [name for name in _canonical("vgg19", tuple(layers)) if convolution(name) not in lite.REACH]
    if not deeper:
        return "vgg19-lite", (f"network: vgg19-lite; {_FETCH}",)
    return "vgg19-random", (
        f"network: vgg19-random, since vgg19-lite reaches {lite.REACH[-1]} and not "
        f"{', '.join(dict.fromkeys(deeper))}: expect palette and grain, not brush strokes; {_FETCH}",
    )


def _canonical(network: str, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return canonical_layers(network, names)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def network_for(
    recipe: Recipe,
    *,
    rows: int,
    seed: int,
    weights: Path | None,
    preprocessing: str | None,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Network:
    """Make the network that a settled recipe names.

    Raises:
        RecipeError: If the recipe's layers are not covered by the weights.
        WeightsError: If weights cannot be had.
    """
    content_weight, style_weight = recipe.effective_weights()
    layers = (recipe.content_layers if content_weight > 0 else ()) + (
        recipe.style_layers if style_weight > 0 else ()
    )
    options = NetworkOptions(
        **{
            name: getattr(recipe, name)
            for name in NetworkOptions.__dataclass_fields__
            if name != "preprocessing"
        },
        preprocessing=preprocessing,
    )
    try:
        return build_network(
            recipe.network,
            layers,
            rows=rows,
            seed=seed,
            weights_file=weights,
            options=options,
            device=device,
            dtype=dtype,
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error


def optimizer_settings(recipe: Recipe) -> OptimizerSettings:
    """Return the optimizer's part of a recipe."""
    names = [n for n in OptimizerSettings.__dataclass_fields__ if n != "method"]
    return OptimizerSettings(method=recipe.optimizer, **{n: getattr(recipe, n) for n in names})
