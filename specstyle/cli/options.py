"""Command-line options, made from the fields of ``Recipe`` so that defaults live in one place."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import Any

from specstyle import files
from specstyle.recipes.checks import field_reader
from specstyle.recipes.recipe import Recipe

_TITLES = {
    "network": "network",
    "loss": "losses",
    "optimizer": "optimization",
    "image": "picture",
    "audio": "spectrogram and phase",
}

_ALWAYS = {
    "network": "network recipe",
    "output": "output force report",
    "the run": "steps run_dir resume",
    "all else": "help help_all",
}
SHOWN = {
    "audio": {
        "what to stylize": "content styles",
        "how much of each": "strength style_blend silence mix",
        "length": "content_start_s content_duration_s preview_s",
        **_ALWAYS,
    },
    "image": {
        "what to stylize": "content styles",
        "how much of each": "strength style_blend style_scale color content_masks",
        "size": "size",
        **_ALWAYS,
    },
    "texture": {
        "what to make it of": "styles",
        "how much of each": "style_blend",
        "length": "duration_s loop",
        **_ALWAYS,
    },
}
"""What ``--help`` shows of each command that runs, by what people want."""


def _parsed(read: Callable[[str], Any], text: str) -> Any:
    """Return a field's value, or what argparse tells of it word by word."""
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def medium_of(path: Path) -> str:
    """Return ``image`` if a file's name is a picture's, else ``audio``."""
    return files.medium_of(path) or "audio"


def flag_of(field_name: str) -> str:
    """Return the flag of a recipe's field; a unit of seconds stands in the help and not in the flag.

    >>> flag_of("content_start_s")
    '--content-start'
    """
    return "--" + field_name.removesuffix("_s").replace("_", "-")


def add_recipe_options(
    parser: argparse.ArgumentParser, *media: str, only: Container[str] | None = None
) -> None:
    """Add a flag for every field of ``Recipe`` that has one and concerns one of some media.

    Flags that are not given leave no trace, so that the recipe decides.

    Args:
        parser: What to add to.
        media: ``audio``, ``image`` or both.
        only: Fields, if not all.
    """
    groups: dict[str, Any] = {}
    for f in dataclasses.fields(Recipe):
        group = f.metadata.get("group")
        if only is not None and f.name not in only:
            continue
        if group is None or group in {"audio", "image"} - {*media} or not f.metadata["flag"]:
            continue
        if group not in groups:
            groups[group] = parser.add_argument_group(f"{_TITLES[group]} (defaults: the recipe's)")
        flag, text = flag_of(f.name), str(f.metadata["help"]).replace("%", "%%")
        common: dict[str, Any] = {"dest": f.name, "default": argparse.SUPPRESS, "help": text}
        if f.type == "bool":
            groups[group].add_argument(flag, action=argparse.BooleanOptionalAction, **common)
        elif f.metadata["choices"]:
            groups[group].add_argument(flag, choices=f.metadata["choices"], **common)
        else:
            read, metavar = field_reader(str(f.type))
            groups[group].add_argument(flag, type=partial(_parsed, read), metavar=metavar, **common)


def recipe_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the recipe fields that were given on the command line."""
    names = {f.name for f in dataclasses.fields(Recipe)} - {"name", "source"}
    return {name: value for name, value in vars(arguments).items() if name in names}


def request_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says of a run as fields of ``Request``, as far as it says anything."""
    names = ("recipe", "weights", "preprocessing", "device", "seed", "precision", "tile", "memory_limit")
    given = {name: getattr(arguments, name) for name in names}
    given |= {name: tuple(getattr(arguments, name, ())) for name in ("content_masks", "style_masks")}
    given["overrides"] = recipe_overrides(arguments)
    return {name: value for name, value in given.items() if value is not None}


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run that are not part of a recipe."""
    run = parser.add_argument_group("run")
    run.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help="file to write; its folder is made (with --run-dir: DIR/result.wav or .png if not given)",
    )
    add_shared_options(run)
    run.add_argument(
        "--save-every",
        type=int,
        default=0,
        metavar="N",
        help="also keep every N-th step's result, and a sheet",
    )
    run.add_argument("--plot", action="store_true", help="also write a figure: content, style, result")
    run.add_argument(
        "--report", action="store_true", help="also write a page with players, spectrograms, losses, metrics"
    )
    run.add_argument("--force", action="store_true", help="replace an existing OUT")
    add_output_options(run)
    add_log_option(run)
    keep = parser.add_argument_group("runs that survive")
    keep.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="keep recipe, losses, checkpoints and results in DIR"
    )
    keep.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the run that DIR keeps, to the same result as without the interruption; takes no "
        "other options",
    )
    keep.add_argument(
        "--checkpoint-every", type=int, metavar="N", help="steps between checkpoints (default: 30 s)"
    )
    keep.add_argument(
        "--tensorboard",
        action="store_true",
        help="log losses, pictures and sounds into DIR/tensorboard (and the result every --save-every steps)",
    )


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add what a run on a picture has beside those on sounds."""
    run = parser.add_argument_group("settings")
    run.add_argument(
        "--like",
        type=Path,
        metavar="OLD",
        help="take all settings from a picture that specstyle wrote (or its .json); options beside it win, "
        "and CONTENT and STYLE may be left out: the same files again",
    )
    run.add_argument("--no-metadata", action="store_true", help="keep no settings inside OUT")
    # What is not given leaves it to --like.
    parser.set_defaults(recipe=None, seed=None, precision=None)
    add_mask_options(parser)


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """Add where the styles of a picture apply."""
    masks = parser.add_argument_group("masks (gray pictures: white counts, black does not)")
    for kind, text in (
        ("content", "where in the content a style applies"),
        ("style", "which part of a style counts"),
    ):
        masks.add_argument(
            f"--{kind}-mask",
            action="append",
            default=[],
            dest=f"{kind}_masks",
            metavar="FILE|all",
            help=f"{text}; once per style, in their order (all: no mask)",
        )


def add_shared_options(run: Any) -> None:
    """Add what a run and a list of runs have in common."""
    run.add_argument(
        "--recipe", default="default", metavar="R", help="a name (see `specstyle recipes`) or a .toml file"
    )
    run.add_argument("--weights", type=Path, metavar="FILE", help="VGG19 weights (.pth or .safetensors)")
    run.add_argument(
        "--preprocessing",
        choices=("torchvision", "caffe"),
        help="input of --weights, if the file does not say",
    )
    run.add_argument("--seed", type=int, default=0, metavar="N", help="of random weights, noise, phase")
    run.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps")
    run.add_argument(
        "--precision",
        choices=("auto", "fp32", "tf32", "bf16"),
        default="auto",
        help="of the network; auto: tf32 on NVIDIA GPUs that have it, else fp32",
    )
    run.add_argument(
        "--tile",
        default="auto",
        metavar="auto|off|N",
        help="compute in tiles of N pixels, which takes less memory and gives the same result; auto: where "
        "memory is short",
    )
    run.add_argument(
        "--memory-limit",
        type=float,
        metavar="GIB",
        help="hold at most so much memory, by an estimate, or refuse (default: plan for half of the "
        "machine's, for nine tenths of a GPU's)",
    )


def _log_file(text: str) -> Path:
    """Read the name of a log, which no input of a run may have: it is written on to."""
    path = Path(text)
    if path.suffix not in (".log", ".txt") or (path.exists() and not path.is_file()):
        raise argparse.ArgumentTypeError(f"must be a file that ends in .log or .txt, got {text}")
    return path


def add_log_option(group: Any) -> None:
    """Add where what the terminal is told is kept."""
    group.add_argument(
        "--log-file",
        type=_log_file,
        metavar="FILE",
        help="also add what the terminal is told to FILE (.log or .txt), each line with its time",
    )


def add_output_options(group: Any) -> None:
    """Add what every command that works has."""
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")
    group.add_argument("--debug", action="store_true", help="show a traceback with an error")
