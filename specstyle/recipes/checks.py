"""Fields of a recipe: read from text, checked alone and together, and which of them matter, given the others.

A recipe is ``Any`` here: its class checks itself with these.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from specstyle.errors import RecipeError

Reader = Callable[[str], Any]

_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


def field_reader(annotation: str) -> tuple[Reader, str]:
    """Return how to read a field's value, and what to call it in a help text.

    The reader raises ``ValueError`` with what was expected and what came.

    Args:
        annotation: The field's type as it is written in ``Recipe``.

    >>> field_reader("tuple[int, ...]")[0]("2, 8")
    (2, 8)
    """
    if annotation.startswith("tuple"):
        kind, what, metavar = _LISTS[annotation[len("tuple[")]]
        return partial(_read_list, kind, what), metavar
    if annotation == "bool":
        return _yes_or_no, "true|false"
    base, _, none = annotation.partition(" | ")
    if base == "str":
        return str, "WORD"
    number = int if base == "int" else float
    return partial(_read_number, number, or_none=bool(none)), _METAVARS[annotation]


_LISTS: dict[str, tuple[type, str, str]] = {
    "s": (str, "names", "A,B,..."),
    "i": (int, "whole numbers", "M,N,..."),
    "f": (float, "numbers", "X,Y,..."),
}
_METAVARS = {"int": "N", "float": "X", "int | None": "N|none", "float | None": "X|none"}


def _read_list(kind: type, what: str, text: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"expected {what} separated by commas, got {text!r}") from None


def _read_number(kind: type[int] | type[float], text: str, *, or_none: bool) -> float | None:
    try:
        return None if or_none and text.lower() == "none" else kind(text)
    except ValueError:
        what = ("whole number" if kind is int else "number") + (" or none" if or_none else "")
        raise ValueError(f"expected a {what}, got {text!r}") from None


def _yes_or_no(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError(f"expected true or false, got {text!r}")
    return text.lower() in _YES


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
    for names, good, said in _RANGES:
        for name in names.split():
            value = getattr(recipe, name)
            each = value if isinstance(value, tuple) else (value,)
            if not all(good(one) for one in each if one is not None):
                raise RecipeError(f"{name} {said}, got {value}")
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
    if recipe.style_blend and sum(recipe.style_blend) <= 0:
        raise RecipeError(f"style_blend needs weights >= 0 that are not all 0, got {recipe.style_blend}")
    for band in recipe.keep_band:
        from specstyle.media.masks import read_band

        read_band(band)
    _check_together(recipe)


_RANGES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "content_weight style_weight tv_weight phase_iterations size content_start_s",
        lambda value: value >= 0,
        "must not be negative",
    ),
    (
        "n_filters pixel_range noise_scale lr lr_decay epsilon "
        "history restart_every steps first_steps finish_steps smallest_scale height width style_bands "
        "duration_s content_duration_s preview_s section_s sample_rate n_fft hop_length win_length log_gain",
        lambda value: value > 0,
        "must be above 0",
    ),
    ("beta1 beta2", lambda value: 0 <= value < 1, "must be at least 0 and below 1"),
    ("strength phase_momentum mix keep_tune keep_time", lambda value: 0 <= value <= 1, "must be from 0 to 1"),
    ("scale_factor", lambda value: value > 1, "must be above 1"),
    ("bits", lambda value: value in (8, 16), "must be 8 or 16"),
    (
        "content_layer_weights style_layer_weights style_start_s",
        lambda value: 0 <= value < math.inf,
        "must be finite and not negative",
    ),
    ("style_duration_s", lambda value: 0 < value < math.inf, "must be finite and above 0"),
    ("style_scale", lambda value: 0 < value < math.inf, "needs numbers above 0"),
    ("style_blend", lambda value: 0 <= value < math.inf, "needs weights >= 0 that are not all 0"),
)
"""Names of fields, what each value of them has to be, and how that is said."""


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


_VGG = ("vgg19", "vgg19-lite", "vgg19-random")

_ONLY_WITH: tuple[tuple[str, tuple[object, ...], tuple[str, ...]], ...] = (
    ("optimizer", ("adam", "sgd"), ("lr", "lr_decay")),
    ("optimizer", ("adam",), ("beta1", "beta2", "epsilon", "epsilon_hat")),
    ("optimizer", ("lbfgs",), ("history", "restart_every")),
    ("network", _VGG, ("pooling", "padding", "normalize_activations")),
    ("network", ("wide-random",), ("n_filters", "filter_scaling")),
    ("network", _VGG, ("style_bands",)),
    ("init", ("content",), ("init_noise_db",)),
    ("init", ("noise",), ("noise", "noise_scale", "noise_center")),
    ("style_size", ("own", "smaller"), ("style_scale",)),
    ("color", ("style",), ("color_match",)),
    ("phase_method", ("fast-griffin-lim",), ("phase_momentum",)),
    (
        "canvas",
        ("image",),
        ("phase", "phase_method", "phase_iterations", "phase_momentum", "clip", "section_s"),
    ),
)
"""A field, values of it, and the fields that matter with these values only."""

_ONLY_IF_SET: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("smallest_scale", ("scale_factor", "carry", "first_steps")),
    ("tv_weight", ("tv_loss",)),
    ("strength", ("tv_weight", "tv_loss", "style_range", "equalize")),
    ("finish_network", ("finish_steps",)),
)
"""A field that may be none or 0, and the fields that matter only if it is not."""


def without_effect(recipe: Any, names: Iterable[str]) -> tuple[str, ...]:
    """Say, a sentence for each, which of the fields that a user set change nothing, and why."""
    reasons = {}
    for field, values, dependent in _ONLY_WITH:
        if getattr(recipe, field) not in values:
            reasons.update(dict.fromkeys(dependent, f"{field} is {getattr(recipe, field)}"))
    for field, dependent in _ONLY_IF_SET:
        value = getattr(recipe, field)
        if not value:
            reasons.update(dict.fromkeys(dependent, f"{field} is {0 if value == 0 else 'none'}"))
    return tuple(f"{name} has no effect: {reasons[name]}" for name in names if name in reasons)
