"""The settings of a run inside the picture that came of it, and another run like it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specstyle import __version__
from specstyle.errors import FileError
from specstyle.files import recorded_file
from specstyle.media.imagetags import kept_text
from specstyle.recipes import from_dict
from specstyle.run.request import Request

_KEPT = (
    "specstyle", "medium", "recipe", "content", "styles", "content_masks", "style_masks", "init", "weights",
    "network", "seed", "precision", "stopped", "onepass",
)  # fmt: skip
_OF_FILES = ("path", "sha256")


def settings_text(record: dict[str, Any]) -> str:
    """Return what of a run's record is needed to repeat it, as ASCII JSON.

    Paths are kept as they are seen from the output's folder, so that the same files beside each other make
    the same bytes anywhere. Where that needs more than was typed, only the name is kept: a picture that is
    shown to others tells nothing of the folders of whoever made it.
    """
    output = Path(record["output"])
    kept = {name: record[name] for name in _KEPT if name in record}
    for name in ("content", "styles", "content_masks", "style_masks", "init", "weights"):
        if name in kept:
            kept[name] = _of_files(kept[name], output)
    if "init" in kept:
        kept["recipe"] = {**kept["recipe"], "init": kept["init"]["path"]}
    kept["network"] = {**kept["network"], "origin": _shown(kept["network"]["origin"], output)}
    return json.dumps(kept, allow_nan=False)


def _of_files(value: Any, output: Path) -> Any:
    if isinstance(value, list):
        return [_of_files(item, output) for item in value]
    if value is None:
        return None
    return {k: _shown(v, output) if k == "path" else v for k, v in value.items() if k in _OF_FILES}


def _shown(path: str, output: Path) -> str:
    if os.sep not in path and not Path(path).is_file():  # how weights were made, and no path
        return path
    seen = Path(os.path.relpath(path, output.parent))
    typed = not (Path(path).is_absolute() or output.is_absolute())
    return seen.as_posix() if typed or ".." not in seen.parts else seen.name


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a picture, or in the record (.json) beside one.

    Raises:
        FileError: If there are none.
    """
    if not path.is_file():
        raise FileError(f"{path}: no such file; --like takes a picture that specstyle made, or its .json")
    is_record = path.suffix.lower() == ".json"
    try:
        text = path.read_text(encoding="utf-8") if is_record else kept_text(path)
        found = json.loads(text or "null")
        if isinstance(found, dict) and found["specstyle"] and found["medium"] == "image":
            return found
    except (OSError, ValueError, KeyError, RecursionError):
        pass
    raise FileError(
        f"{path}: holds no settings of a picture by specstyle; give one that specstyle wrote, without "
        "--no-metadata, or the .json beside it"
    )


def request_like(
    path: Path, *, content: Path | None, styles: Sequence[Path], **given: Any
) -> tuple[Request, tuple[str, ...]]:
    """Return a request for a run like the one that made a picture, and what a user should know.

    Args:
        path: The picture, or the record beside it.
        content: Another content; ``None``: the same file.
        styles: Other styles; none: the same files.
        given: Fields of ``Request`` that win over what the picture says. ``None`` and an empty tuple do not;
            ``overrides`` change the picture's recipe.

    Raises:
        FileError: If there are no settings, or a file that they name is missing or has changed.
        RecipeError: If their recipe is none of this version's.
    """
    settings = read_settings(path)
    given = {name: value for name, value in given.items() if value is not None and value != ()}
    overrides = dict(given.pop("overrides", {}))
    if "onepass" in settings:
        raise FileError(f"{path}: was made in one pass; `specstyle apply` repeats it, and --like does not")
    try:
        recipe = from_dict(settings["recipe"])
        if "init" in settings and "init" not in overrides and "recipe" not in given:
            overrides["init"] = str(recorded_file(settings["init"], path, "init"))
        if "weights" in settings and "weights" not in given and "network" not in overrides:
            given["weights"] = recorded_file(settings["weights"], path, "weights")
            given.setdefault("preprocessing", settings["network"]["preprocessing"])
        for kind in ("content_masks", "style_masks"):
            if kind in settings and kind not in given:
                given[kind] = tuple(m and recorded_file(m, path, kind[:-1]) for m in settings[kind])
        request = Request(
            "image",
            content or recorded_file(settings["content"], path, "content"),
            tuple(styles) or tuple(recorded_file(s, path, "style") for s in settings["styles"]),
            overrides=overrides,
            **{"recipe": recipe, "seed": int(settings["seed"]), "precision": settings["precision"], **given},
        )
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{path}: its settings are damaged ({error}); give the options themselves") from error
    notes: tuple[str, ...] = ()
    if settings["specstyle"] != __version__:
        notes += (f"{path.name} was made by specstyle {settings['specstyle']}, this is {__version__}",)
    if settings.get("stopped"):
        notes += (f"{path.name} is of a run that was stopped; this one goes to its end",)
    return request, notes
