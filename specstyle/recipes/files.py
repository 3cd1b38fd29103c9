"""Recipes as TOML, and the files that they name."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specstyle.errors import RecipeError
from specstyle.files import read_bytes
from specstyle.recipes.older import up_to_date
from specstyle.recipes.recipe import Recipe


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values; fields that are ``None`` are left out, tuples become lists."""
    plain = dataclasses.asdict(recipe)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items() if v is not None}


def from_dict(values: dict[str, Any], *, on_note: Callable[[str], None] = lambda _: None) -> Recipe:
    """Return the recipe of ``to_dict``; a field that is missing has its default.

    Args:
        values: By field.
        on_note: Told what an older version said otherwise.

    Raises:
        RecipeError: If a field is unknown or a value is not accepted.
    """
    return Recipe().replace(**up_to_date(values, on_note))


def to_toml(recipe: Recipe) -> str:
    """Write a recipe as TOML.

    >>> from_toml(to_toml(Recipe(steps=7))) == Recipe(steps=7)
    True
    """
    import tomli_w

    text: str = tomli_w.dumps(to_dict(recipe))
    return text


def from_toml(text: str, *, on_note: Callable[[str], None] = lambda _: None) -> Recipe:
    """Read a recipe from TOML text.

    Args:
        text: The text.
        on_note: See ``from_dict``.

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
    """Read a recipe file.

    Args:
        path: The file.
        on_note: See ``from_dict``.

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
