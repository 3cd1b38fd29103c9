"""What makes a recipe a possible one, and what changes with a field.

A recipe is ``Any`` here: its class checks itself with these.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from typing import Any

from specstyle.errors import RecipeError


def check_types(recipe: Any) -> None:
    """Bring every field to its declared type (lists to tuples, whole numbers to floats), or refuse."""
    for f in dataclasses.fields(recipe):
        value = getattr(recipe, f.name)
        kind = str(f.type)
        if value is None and "None" in kind:
            continue
        if kind.startswith("tuple"):
            one = next(t for t in (str, int, float) if t.__name__ in kind)
            if isinstance(value, str) or not isinstance(value, (list, tuple)):
                raise RecipeError(f"{f.name} must be a list, got {value!r}")
            checked: Any = tuple(_as(one, item, f.name) for item in value)
        else:
            base = kind.replace(" | None", "")
            checked = _as({"str": str, "int": int, "float": float, "bool": bool}[base], value, f.name)
        object.__setattr__(recipe, f.name, checked)


def _as(kind: type, value: Any, name: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(f"{name} must be of type {kind.__name__}, got {value!r}")
    return value


def check_values(recipe: Any) -> None:
    """Refuse values that make no sense, alone or together."""
    for f in dataclasses.fields(recipe):
        value = getattr(recipe, f.name)
        choices = f.metadata.get("choices")
        if choices and value not in choices:
            raise RecipeError(f"{f.name} must be one of {', '.join(choices)}, got {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise RecipeError(f"{f.name} must be a finite number, got {value}")
    _check_ranges(recipe)
    for kind in ("content", "style"):
        layers, weights = getattr(recipe, f"{kind}_layers"), getattr(recipe, f"{kind}_layer_weights")
        if weights and len(weights) != len(layers):
            raise RecipeError(
                f"{kind}_layer_weights has {len(weights)} entries for {len(layers)} {kind}_layers; "
                "give one per layer, or none"
            )
        if not layers and getattr(recipe, f"{kind}_weight") > 0:
            raise RecipeError(f"{kind}_layers is empty; name a layer or set {kind}_weight to 0")
        if len(set(layers)) != len(layers):
            raise RecipeError(
                f"{kind}_layers names a layer twice: {', '.join(layers)}; give it a weight instead"
            )
        if any(not math.isfinite(w) or w < 0 for w in weights):
            raise RecipeError(f"{kind}_layer_weights must be finite and not negative, got {weights}")
    if any(not math.isfinite(w) or w < 0 for w in recipe.style_blend) or (
        recipe.style_blend and sum(recipe.style_blend) <= 0
    ):
        raise RecipeError(f"style_blend needs weights >= 0 that are not all 0, got {recipe.style_blend}")
    if any(not math.isfinite(s) or s <= 0 for s in recipe.style_scale):
        raise RecipeError(f"style_scale needs numbers above 0, got {recipe.style_scale}")


_AT_LEAST_ZERO = (
    "content_weight", "style_weight", "tv_weight", "phase_iterations", "size",
    "content_start_s",
)  # fmt: skip
_ABOVE_ZERO = (
    "pooling_gain", "n_filters", "filter_width", "pixel_range", "noise_scale", "lr", "lr_decay",
    "lr_decay_steps", "epsilon", "history", "restart_every", "steps", "first_steps", "finish_steps",
    "smallest_scale",
    "height", "width", "style_bands",
    "duration_s", "content_duration_s", "preview_s", "section_s",
    "sample_rate", "n_fft", "hop_length", "win_length", "log_gain",
)  # fmt: skip
_BELOW_ONE = ("beta1", "beta2", "average_decay")


def _check_ranges(recipe: Any) -> None:
    for name in _AT_LEAST_ZERO:
        if getattr(recipe, name) < 0:
            raise RecipeError(f"{name} must not be negative, got {getattr(recipe, name)}")
    for name in _ABOVE_ZERO:
        value = getattr(recipe, name)
        if value is not None and value <= 0:
            raise RecipeError(f"{name} must be above 0, got {value}")
    for name in _BELOW_ONE:
        if not 0 <= getattr(recipe, name) < 1:
            raise RecipeError(f"{name} must be at least 0 and below 1, got {getattr(recipe, name)}")
    for name in ("strength", "phase_momentum", "mix", "keep_tune", "keep_time"):
        if getattr(recipe, name) is not None and not 0 <= getattr(recipe, name) <= 1:
            raise RecipeError(f"{name} must be from 0 to 1, got {getattr(recipe, name)}")
    if recipe.bits not in (8, 16):
        raise RecipeError(f"bits must be 8 or 16, got {recipe.bits}")
    _check_ranges_of_sounds(recipe)
    if recipe.scale_factor <= 1:
        raise RecipeError(f"scale_factor must be above 1, got {recipe.scale_factor}")
    _check_together(recipe)


def _check_ranges_of_sounds(recipe: Any) -> None:
    """Refuse ranges in time and bands of frequencies that are none."""
    if any(not math.isfinite(t) or t < 0 for t in recipe.style_start_s):
        raise RecipeError(f"style_start_s must be finite and not negative, got {recipe.style_start_s}")
    if any(not math.isfinite(t) or t <= 0 for t in recipe.style_duration_s):
        raise RecipeError(f"style_duration_s must be finite and above 0, got {recipe.style_duration_s}")
    for band in recipe.keep_band:
        from specstyle.media.masks import read_band

        read_band(band)


def _check_together(recipe: Any) -> None:
    """Refuse fields that contradict each other."""
    if recipe.duration_s is not None and (recipe.effective_weights()[0] > 0 or recipe.init == "content"):
        raise RecipeError(
            "duration_s is for textures, which take nothing from the content but its rate and loudness: "
            "use it with strength 1 (or content_weight 0) and init noise"
        )
    if recipe.duration_s is not None and recipe.mixes:
        raise RecipeError(
            "mask, keep_band, mix and silence keep bring back the content, and a texture has none; leave "
            "them out"
        )
    if recipe.loop and not (recipe.init == "noise" and recipe.effective_weights()[0] == 0):
        raise RecipeError(
            "loop is for textures (strength 1, init noise): use `specstyle texture STYLE --loop`"
        )
    if recipe.canvas == "waveform" and recipe.smallest_scale is not None:
        raise RecipeError(
            f"canvas waveform has one scale and contradicts smallest_scale {recipe.smallest_scale}; "
            "use --canvas image"
        )
    if recipe.style_bands > 1 and recipe.style_loss != "gram_relative":
        raise RecipeError(
            f"style_bands {recipe.style_bands} needs style_loss gram_relative, not {recipe.style_loss}; "
            "use one of them"
        )
    if recipe.size and recipe.height is not None:
        raise RecipeError(
            f"size {recipe.size} and height {recipe.height} contradict each other; give one of them"
        )
    if recipe.width is not None and recipe.height is None:
        raise RecipeError("width needs height beside it; for one side alone use size or height")


def with_companions(recipe: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Return changes of a recipe with those that they bring along; see ``Recipe.replace``.

    Raises:
        RecipeError: If a name is not a field.
    """
    changes = dict(changes)
    known = {f.name for f in dataclasses.fields(recipe)}
    for key in changes:
        if key not in known:
            near = difflib.get_close_matches(key.replace("-", "_"), known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`specstyle recipes NAME` shows them"
            raise RecipeError(f"a recipe has no field {key!r}; {hint}")
    for kind in ("content", "style"):
        layers, weights = f"{kind}_layers", f"{kind}_layer_weights"
        if layers in changes and changes[layers] not in (getattr(recipe, layers), [*getattr(recipe, layers)]):
            changes.setdefault(weights, ())
    if "phase_momentum" in changes:
        has_momentum = changes["phase_momentum"] != 0
        changes.setdefault("phase_method", "fast-griffin-lim" if has_momentum else "griffin-lim")
    if "steps" in changes:
        changes.setdefault("first_steps", None)
    if "size" in changes:
        for name, value in (("height", None), ("width", None), ("enlarge", False)):
            changes.setdefault(name, value)
    elif changes.get("height") is not None:
        changes["size"] = 0
        changes.setdefault("width", None)
    return changes
