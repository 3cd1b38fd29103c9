"""Recipes as TOML, also as older versions wrote them, and the files that they name."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specstyle.errors import RecipeError
from specstyle.files import read_bytes
from specstyle.recipes.recipe import Recipe

_VIEWS = {"mel": ("n_mels", 128), "cqt": ("bins_per_octave", 24)}
_GONE = ("representation", "n_mels", "bins_per_octave", "refine_steps", "kernel_widths")
_FIXED = {
    "pooling_gain": 1.0, "filter_width": 11, "lr_decay_steps": 100, "average_decay": 0.99,
    "compression": "log1p",
}  # fmt: skip
"""Fields of earlier versions that had these values in every recipe, and have no others now."""


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values; fields that are ``None`` are left out, tuples become lists."""
    plain = dataclasses.asdict(recipe)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items() if v is not None}


def from_dict(values: dict[str, Any], *, on_note: Callable[[str], None] = lambda _: None) -> Recipe:
    """Return the recipe of ``to_dict``; a field that is missing has its default.

    ``on_note`` is told what an older version said otherwise.

    Raises:
        RecipeError: If a field is unknown or a value is not accepted.
    """
    return Recipe().replace(**up_to_date(values, on_note))


def up_to_date(values: dict[str, Any], on_note: Callable[[str], None]) -> dict[str, Any]:
    """Return a recipe's values as this version has them; tell of each that is said otherwise now.

    Images of mel or constant-Q bands (``representation``) are views of the STFT's now; the kernel has a layer
    for each width of its patches; evaluations on the waveform after the image (``refine_steps``) are gone;
    half the sum of squares (``gram_half_sum``) is the sum at half the weight.

    Raises:
        RecipeError: If a field that is gone had another value than all have now.
    """
    new = {name: value for name, value in values.items() if name not in (*_GONE, *_FIXED)}
    fixed = [name for name in _FIXED if name in values]
    for name in fixed:
        if values[name] != _FIXED[name]:
            raise RecipeError(f"{name} {values[name]!r} is gone: it is always {_FIXED[name]!r} now")
    if fixed:
        on_note(f"{', '.join(fixed)}: no fields any more, and left out; these values are the only ones now")
    shown = values.get("representation", "stft")
    if shown in _VIEWS:
        count, usual = _VIEWS[shown]
        view = f"{shown}{values.get(count, usual)}"
        for name in ("content_view", "style_view"):
            new.setdefault(name, view)
        on_note(f"representation {shown} is the view {view} of content and style now")
    if values.get("refine_steps"):
        on_note("refine_steps is gone, and left out: canvas waveform optimizes the samples from the start")
    widths = values.get("kernel_widths", (2, 8, 32))
    for kind in ("content_layers", "style_layers"):
        if values.get(kind) in (["kernel"], ("kernel",)):
            rest = "+rest" if kind == "content_layers" else ""
            new[kind] = [f"kernel{width}{rest}" for width in widths]
            new.pop(f"{kind[:-1]}_weights", None)
    if values.get("style_loss") == "gram_half_sum":
        new["style_loss"] = "gram_sum"
        new["style_weight"] = 0.5 * float(values.get("style_weight", 1.0))
    return new


def to_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML.

    >>> from_toml(to_toml(Recipe(steps=7))) == Recipe(steps=7)
    True
    """
    import tomli_w

    text: str = tomli_w.dumps(to_dict(recipe))
    return text


def from_toml(text: str, *, on_note: Callable[[str], None] = lambda _: None) -> Recipe:
    """Read a recipe from TOML text; see ``from_dict``.

    Raises:
        RecipeError: If the text is no TOML, or no recipe.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pragma: no cover
        import tomli as tomllib

    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"not valid TOML: {error}") from error
    return from_dict(values, on_note=on_note)


def read_recipe(path: Path, *, on_note: Callable[[str], None] = lambda _: None) -> Recipe:
    """Read a recipe file; see ``from_dict``.

    Raises:
        RecipeError: If the file is missing, unreadable or no recipe.
    """
    try:
        raw = read_bytes(path)
        # PowerShell writes UTF-16, and some editors a byte order mark.
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        raise RecipeError(
            f"{path}: cannot read the recipe: {reason}; `specstyle recipes NAME > FILE.toml` makes one"
        ) from error
    try:
        return from_toml(text, on_note=lambda note: on_note(f"{path}: {note}"))
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def files_of(recipe: Recipe) -> dict[str, Path]:
    """Return the files that a recipe names, by field: what it starts from, and its mask."""
    named = {} if recipe.init in ("content", "style", "noise") else {"init": Path(recipe.init)}
    return named if recipe.mask is None else {**named, "mask": Path(recipe.mask)}
