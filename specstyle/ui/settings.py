"""What a job on the page can be asked for, and nothing else; what the page says of it is the recipe's own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

from specstyle.features.networks import NETWORKS
from specstyle.onepass.stylefile import Style, load_style, shipped
from specstyle.recipes import DEFAULTS, PUBLISHED, RECIPES, Recipe
from specstyle.recipes.checks import field_reader
from specstyle.recipes.recipe import AT_ONCE
from specstyle.run.request import Request
from specstyle.run.settle import settle_request
from specstyle.ui.words import Refusal, plain

MEDIA = ("audio", "image")
KINDS = {"style": "Optimized", "once": "At once", "texture": "Texture", "sweep": "Compare", "film": "Film"}
"""What a page makes: by optimization, by a trained network, from noise, several to choose from, or films."""

FILMS = find_spec("av") is not None and find_spec("cv2") is not None
"""Whether there is what films need."""

GROUPS = {
    "How much of each": "keep_tune keep_time silence keep_band mix level color color_match style_scale",
    "Length and size": "content_start_s content_duration_s preview_s duration_s size loop",
    "Computing": "network steps seed",
}
"""Fields of a recipe, and ``seed``, that the page has under "Settings"."""

ALONE = ("strength", "style_blend")
"""Fields that have a place of their own."""

_ONLY_TEXTURE = ("duration_s", "loop")
_TEXTURE = (*_ONLY_TEXTURE, "style_blend", "size", "network", "steps", "seed")
_MOST = {"steps": 10_000, "size": 8192, "duration_s": 600, "seed": 2**53 - 1}
_MOST_VALUES = 8
_NETWORKS = ("auto", *NETWORKS)
_SEED = "of random weights, noise and phase: another number makes another result"
_TYPES = {f.name: str(f.type) for f in dataclasses.fields(Recipe)} | {"seed": "int"}
_ABOUT: dict[str, Any] = {f.name: f.metadata for f in dataclasses.fields(Recipe)}
_ABOUT["seed"] = {"help": _SEED, "group": "run", "choices": ()}
_NAMES = {*" ".join(GROUPS.values()).split(), *ALONE}


def label_of(name: str) -> str:
    """Return what the page calls a field."""
    return name.removesuffix("_s").replace("_", " ")


def used(kind: str, medium: str) -> set[str]:
    """Return the fields that a kind of job on a medium may change."""
    if kind == "film":
        return set()
    here = {name for name in _NAMES if _ABOUT[name]["group"] not in {*MEDIA} - {medium}}
    if kind == "once":
        return here & {*AT_ONCE[medium], *(["seed"] if medium == "audio" else [])}
    return here & {*_TEXTURE} if kind == "texture" else here - {*_ONLY_TEXTURE}


def fields() -> dict[str, list[dict[str, Any]]]:
    """Return what the page shows of each field, by group."""
    return {title: [_shown(name) for name in names.split()] for title, names in GROUPS.items()}


def _shown(name: str) -> dict[str, Any]:
    about, kind = _ABOUT[name], _TYPES[name]
    choices = _NETWORKS if name == "network" else about["choices"]
    return {
        "name": name,
        "label": label_of(name) + (", s" if name.endswith("_s") else ""),
        "help": plain(about["help"]),
        "choices": ("true", "false") if kind == "bool" else choices,
        "number": kind.split(" ")[0] in ("int", "float"),
        "uses": " ".join(f"{k}-{m}" for k in KINDS for m in MEDIA if name in used(k, m)),
    }


def read(name: str, text: Any) -> Any:
    """Return a field's value from what a page sent; ``Refusal`` if it is none."""
    label, most = label_of(name), _MOST.get(name)
    try:
        value = field_reader(_TYPES[name])[0](str(text).strip())
    except ValueError as error:
        raise Refusal(f"{label}: {error}", field=name) from None
    if most is not None and value is not None and not 0 <= value <= most:
        raise Refusal(f"{label}: expected a number from 0 to {most:g}, got {text}", field=name)
    if name == "network" and value not in _NETWORKS:
        raise Refusal(f"network: expected one of {', '.join(_NETWORKS)}, got {value}", field=name)
    return value


def check_settings(values: Any, kind: str, medium: str, *, own: bool = False) -> dict[str, Any]:
    """Return what a page sent of a job's settings, if all of it can be asked for, or ``Refusal``.

    That is ``recipe``, fields as text, of ``once`` and ``film`` the trained styles' weights by name, unless
    a style is the user's ``own``, and of ``sweep`` the field to ``vary`` and its ``values`` as text.
    """
    known = {*used(kind, medium), "recipe", "once", "vary", "values"}
    if not isinstance(values, dict) or not set(values) <= known:
        raise Refusal(f"settings must be an object with no more than: {', '.join(sorted(known))}")
    offered = [offer["name"] for offer in ([] if medium == "film" else offers(medium))]
    if values.get("recipe", "default") not in ("default", *offered):  # never a file
        raise Refusal(f"recipe: expected one of {', '.join(offered)}", field="recipe")
    for name, text in values.items():
        if name in _TYPES:
            read(name, text)
    points_of(values, kind)
    there, once = [name for name, _ in trained(medium)], values.get("once")
    if kind not in ("once", "film") or (own and not once):
        return values
    if not isinstance(once, dict) or not once or not set(once) <= set(there) or own:
        raise Refusal(f"choose a trained style: {', '.join(there)}", field="once")
    if not all(type(weight) in (int, float) and 0 < weight <= 1 for weight in once.values()):
        raise Refusal("the weight of a trained style is a number above 0, up to 1", field="once")
    if kind == "film" and any(len(found) > 1 for found in film_styles(once).values()):
        raise Refusal("choose one style for a film's pictures, one for its sound, or both", field="once")
    return values


def film_styles(names: Iterable[str]) -> dict[str, list[str]]:
    """Return those of the trained styles that are for a film's pictures, and for its sound."""
    there = {"picture": trained("image"), "sound": trained("audio")}
    return {what: [name for name, _ in known if name in names] for what, known in there.items()}


def points_of(values: dict[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return each run of a job: its title, and what is its own of the settings."""
    if kind != "sweep":
        return [("result", {})]
    name, texts = str(values.get("vary")), [text.strip() for text in str(values.get("values", "")).split(",")]
    if name not in {*used(kind, "audio"), *used(kind, "image")} or _TYPES[name].startswith("tuple"):
        raise Refusal("vary: expected a setting with one value", field="vary")
    if not 2 <= len(set(texts)) == len(texts) <= _MOST_VALUES:
        raise Refusal(f"values: expected 2 to {_MOST_VALUES} different ones, with commas", field="values")
    try:
        return [(f"{label_of(name)} {text}", {name: read(name, text)}) for text in texts]
    except Refusal as error:
        raise Refusal(str(error.detail), field="values") from error


def chosen(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a job's settings change."""
    return {name: read(name, text) for name, text in values.items() if name in _TYPES}


def field_named(message: str) -> str:
    """Return the part of the form that a message is about, as far as it says."""
    said = re.search(r"\((content|style)( \d+)?\)", message)
    if said is not None:
        return said[1]
    words = re.findall(r"[a-z_]+", message.lower().replace("-", "_"))
    return next((name for word in words for name in _NAMES if word in (name, name.removesuffix("_s"))), "")


def trained(medium: str) -> list[tuple[str, str]]:
    """Return the trained styles that come along for a medium: names, and where each comes from."""
    return [
        (said["name"], said.get("source", "")) for style in shipped_styles(medium) for said in style.styles
    ]


def once_strength(medium: str) -> float:
    """Return the strength at once that its styles suggest."""
    return float(shipped_styles(medium)[0].recipe["strength"])


@cache
def shipped_styles(medium: str) -> list[Style]:
    """Return the files of trained styles that come along for a medium; of a film's both."""
    styles = [load_style(path) for path in dict.fromkeys(shipped().values())]
    return [style for style in styles if medium in (style.medium, "film")]


@cache
def offers(medium: str) -> list[dict[str, Any]]:
    """Return the recipes for a medium: name, where it comes from, and its value of each field as text."""
    own = [recipe.name for (its, _), recipe in DEFAULTS.items() if its == medium]
    said = {"default": "the one that suits the medium; start here"}
    found = []
    for name in (*said, *own, *PUBLISHED):
        recipe, _ = settle_request(Request(medium, "", ("",), recipe=name))
        values = {field: _text(getattr(recipe, field)) for field in _NAMES - {"seed"}}
        source = said.get(name) or RECIPES[name].source
        found.append({"name": name, "source": source, "values": {**values, "seed": "0"}})
    return found


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool) or value is None:
        return "none" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
