"""What changes with a recipe's field: the fields that belong to it."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

from specstyle.errors import RecipeError

if TYPE_CHECKING:
    from specstyle.recipes.recipe import Recipe


def with_companions(recipe: Recipe, changes: dict[str, Any]) -> dict[str, Any]:
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
