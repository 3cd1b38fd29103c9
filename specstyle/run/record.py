"""What is told of a run: its record, what of it goes into pictures and kept runs, and another run like it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from specstyle import __version__
from specstyle.engine.views import IMAGE, Seen
from specstyle.errors import CheckpointError, FileError
from specstyle.features.networks import Network
from specstyle.files import recorded_file, sha256_of
from specstyle.media.imagetags import kept_text
from specstyle.recipes import Recipe, files_of, from_dict, to_dict
from specstyle.run.request import Job, Request, Result

if TYPE_CHECKING:
    from specstyle.run.inputs import Session

_KEPT = (
    "specstyle", "medium", "recipe", "content", "styles", "content_masks", "style_masks", "init", "weights",
    "network", "seed", "precision", "stopped", "onepass",
)  # fmt: skip
_OF_FILES = ("path", "sha256")


def described(run: Session) -> dict[str, Any]:
    """Return what a run's record says of everything but the outcome."""
    device = f"{run.device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
    if run.device.type == "cuda":
        device = f"cuda ({torch.cuda.get_device_name(run.device)})"
    networks = [("network", run.network, run.stages[0].features)]
    if run.finish_network is not None:
        networks.append(("finish_network", run.finish_network, run.stages[-1].features))
    shapes = [stage.shape for stage in run.stages]
    return {
        "specstyle": __version__,
        "medium": run.request.medium,
        "recipe": to_dict(run.recipe),
        "content": run.medium.describe(run.content_source),
        "styles": [run.medium.describe(s) for s in run.style_sources],
        **({} if run.init_file is None else {"init": run.init_file}),
        "image_shape": list(run.content.image.shape),
        **run.medium.describe_encoding(run.content),
        "scales": [list(shape) for shape in dict.fromkeys(shapes)],
        "tiles": [size and list(size) for size in dict(zip(shapes, run.tiles, strict=False)).values()],
        **{key: _network_described(network, features) for key, network, features in networks},
        "seed": run.request.seed,
        "device": device,
        "precision": run.precision,
        "torch": torch.__version__,
    }


def _network_described(network: Network, features: Seen) -> dict[str, Any]:
    sha256 = network.sha256
    if sha256 is None:
        parts = [fitted for _, _, fitted, names in features.parts if {*names} - {IMAGE}]
        sha256 = " ".join(fitted.sha256() for fitted in parts)
    return {
        "name": network.name,
        "origin": network.origin,
        "sha256": sha256,
        "preprocessing": network.preprocessing,
    }


def with_files(job: Job, result: Result, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return a run's record with what is known of its files."""
    said = [result.record["content"], *result.record["styles"]]
    files = [inputs["content"], *inputs["styles"]]
    content, *styles = [{**file, **more} for file, more in zip(files, said, strict=True)]
    record = {**result.record, "output": job.name_of(job.output), **inputs}
    if "init" in record:
        record["init"] = {**record["init"], "path": job.name_of(record["init"]["path"])}
        record["recipe"] = {**record["recipe"], "init": record["init"]["path"]}
    record["notes"] = [*job.notes, *record["notes"]]
    return {**record, "content": content, "styles": styles}


def files_recorded(job: Job) -> dict[str, Any]:
    """Return a job's files with their hashes, by their names in the record, as they are before it runs."""
    request = job.request

    def _file(path: Any) -> dict[str, str]:
        """Return a file's name and hash, as far as it can be read: its reader tells what is wrong."""
        try:
            # Not a pipe or a device, which would be read for ever.
            known = Path(path).is_file()
            return {"path": job.name_of(path), "sha256": sha256_of(Path(path))} if known else {}
        except (OSError, TypeError, ValueError):
            return {}

    masks = {
        f"{kind}_masks": [None if path is None or str(path) == "all" else _file(path) for path in given]
        for kind, given in (("content", request.content_masks), ("style", request.style_masks))
        if given
    }
    weights = {} if request.weights is None else {"weights": _file(request.weights)}
    styles = [_file(path) for path in request.styles]
    return {"content": _file(request.content), "styles": styles, **masks, **weights}


def files_read(job: Job, recipe: Recipe) -> list[Path]:
    """Return the files that a job reads."""
    request = job.request
    given = [request.content, *request.styles, *request.content_masks, *request.style_masks, request.weights]
    named = [Path(path) for path in given if path is not None and path != "all"]
    return [*named, *files_of(recipe).values()]


def kept_as_json(value: Any) -> Any:
    """Return a value as JSON has it: a path with the hash of its file, if it is one."""
    if isinstance(value, Path):
        path = value.absolute()
        return {"path": str(path), **({"sha256": sha256_of(path)} if path.is_file() else {})}
    if isinstance(value, (list, tuple)):
        return [kept_as_json(item) for item in value]
    return value


def as_it_was(value: Any) -> Any:
    """Return what ``kept_as_json`` was given.

    Raises:
        CheckpointError: If a file is not what it was.
    """
    if isinstance(value, dict):
        path = Path(value["path"])
        if "sha256" in value and not path.is_file():
            raise CheckpointError(f"{path}: the run needs this file, and it is gone; put it back")
        if "sha256" in value and sha256_of(path) != value["sha256"]:
            raise CheckpointError(
                f"{path}: has changed since the run began; put back what was there, or begin anew"
            )
        return path
    return tuple(as_it_was(item) for item in value) if isinstance(value, list) else value


def versions() -> dict[str, Any]:
    """Return what the last digits of a result depend on."""
    return {"specstyle": __version__, "torch": torch.__version__, "threads": torch.get_num_threads()}


def differences(values: dict[str, Any]) -> tuple[str, ...]:
    """Return a note if something differs that the last digits depend on."""
    now = versions().items()
    changed = [f"{name} {values[name]} -> {value}" for name, value in now if values[name] != value]
    if not changed:
        return ()
    return (f"resume: {', '.join(changed)}; the result may differ in the last digits",)


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
