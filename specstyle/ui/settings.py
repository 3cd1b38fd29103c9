"""What a job on the page can be asked for, and nothing else."""

from __future__ import annotations

import math
from typing import Any

from specstyle.recipes import DEFAULTS, PUBLISHED, RECIPES
from specstyle.ui.words import Refusal

MEDIA = ("audio", "image")

BOUNDS: dict[str, tuple[float, float]] = {
    "strength": (0.0, 1.0),
    "steps": (1, 10_000),
    "size": (32, 8192),
    "duration_s": (0.1, 600.0),
    "seed": (0, 2**53 - 1),
}
"""Smallest and largest value of each number; a page's numbers are exact up to 2^53."""

_WHOLE = ("steps", "size", "seed")
_ONLY_FOR = {"size": "image", "duration_s": "audio"}


CHOICES: dict[str, Any] = {
    "recipe": "default",
    "strength": 0.5,
    "steps": None,
    "size": None,
    "duration_s": None,
    "seed": 0,
}
"""What can be chosen for a job, and what is where nothing was; ``None``: the recipe's own."""


def read_settings(values: Any, medium: str) -> dict[str, Any]:
    """Return the checked choices of a job from what a page sent: a value for each of ``CHOICES``.

    Args:
        values: Of JSON.
        medium: ``audio`` or ``image``.

    Raises:
        Refusal: If something is unknown, of another type or out of bounds.
    """
    if not isinstance(values, dict) or not set(values) <= set(CHOICES):
        raise Refusal(f"settings must be an object with no more than: {', '.join(sorted(CHOICES))}")
    recipe = values.get("recipe", "default")  # the name of one that comes with specstyle, never a file
    offered = [offer["name"] for offer in offers(medium)]
    if not isinstance(recipe, str) or recipe not in offered:
        raise Refusal(f"recipe: expected one of {', '.join(offered)}; choose one from the list")
    numbers = {name: _number(name, value, medium) for name, value in values.items() if name in BOUNDS}
    chosen = {name: value for name, value in numbers.items() if value is not None}
    return {**CHOICES, "recipe": recipe, **chosen}


def request_fields(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the choices of a job as fields of ``Request``."""
    names = ("strength", "steps", "size", "duration_s")
    overrides = {name: settings[name] for name in names if settings[name] is not None}
    return {"recipe": settings["recipe"], "seed": settings["seed"], "overrides": overrides}


def _number(name: str, value: Any, medium: str) -> Any:
    if value is None:
        return None
    low, high = BOUNDS[name]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= value <= high or (name in _WHOLE and value != int(value)):
        kind = "a whole number" if name in _WHOLE else "a number"
        raise Refusal(f"{name.replace('_s', '')}: expected {kind} from {low:g} to {high:g}, got {value!r}")
    if _ONLY_FOR.get(name, medium) != medium:
        what = {"audio": "sounds", "image": "pictures"}[_ONLY_FOR[name]]
        raise Refusal(f"{name.replace('_s', '')} is for {what} only; leave it empty")
    return int(value) if name in _WHOLE else float(value)


def offers(medium: str) -> list[dict[str, Any]]:
    """Return the recipes for a medium: name, and where it comes from."""
    own = [recipe.name for (its, _), recipe in DEFAULTS.items() if its == medium]
    said = {"default": "the one that suits the medium; start here"}
    names = (*said, *own, *PUBLISHED)
    return [{"name": name, "source": said.get(name) or RECIPES[name].source} for name in names]
