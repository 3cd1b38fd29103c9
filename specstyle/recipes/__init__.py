"""Recipes: named, frozen descriptions of a whole run."""

from specstyle.errors import RecipeError
from specstyle.recipes.defaults import DEFAULTS, TEXTURE, default_recipe
from specstyle.recipes.files import files_of, from_dict, from_toml, read_recipe, to_dict, to_toml
from specstyle.recipes.published import PUBLISHED
from specstyle.recipes.recipe import S5, Recipe

RECIPES: dict[str, Recipe] = {**{r.name: r for r in DEFAULTS.values()}, **PUBLISHED}
"""Every recipe by its name."""


def get_recipe(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
        RecipeError: If there is none of that name; the message lists the names.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise RecipeError(
            f"no recipe is called {name!r}; there are default, {', '.join(RECIPES)} (or give a .toml file)"
        ) from None


__all__ = [
    "DEFAULTS",
    "PUBLISHED",
    "RECIPES",
    "S5",
    "TEXTURE",
    "Recipe",
    "default_recipe",
    "files_of",
    "from_dict",
    "from_toml",
    "get_recipe",
    "read_recipe",
    "to_dict",
    "to_toml",
]
