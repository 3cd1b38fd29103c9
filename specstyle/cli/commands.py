"""The commands beside ``audio`` and ``image``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from specstyle.cli.batching import add_batch_command
from specstyle.cli.options import add_output_options
from specstyle.cli.progress import INTERRUPTED, USAGE, ProgressLine, complain
from specstyle.cli.serving import add_ui_command
from specstyle.cli.spectrograms import add_spectrogram_commands
from specstyle.cli.sweeping import add_sweep_command


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    recipes = commands.add_parser("recipes", help="list the recipes, or print one as TOML")
    recipes.add_argument("name", nargs="?", metavar="NAME", help="a recipe's name")
    recipes.add_argument(
        "--medium", choices=("audio", "image"), default="audio", help="for the names default and vgg"
    )
    recipes.set_defaults(action=_recipes, debug=False)
    networks = commands.add_parser("networks", help="list the networks, or fetch one")
    networks.add_argument("verb", nargs="?", choices=("fetch",), help="download weights (once, 548 MB)")
    networks.add_argument("name", nargs="?", metavar="NAME", help="vgg19")
    networks.set_defaults(action=_networks, debug=False)
    demo = commands.add_parser(
        "demo",
        help="make example sounds and pictures, and stylize them",
        description="Synthesize four sounds and two pictures, play a melody by the rain, and paint a scene.",
    )
    demo.add_argument("folder", nargs="?", type=Path, default=Path("demo"), metavar="DIR", help="where to")
    demo.add_argument("--force", action="store_true", help="replace existing files")
    add_output_options(demo)
    demo.set_defaults(action=_demo)
    evaluate = commands.add_parser("evaluate", help="measure a stylized sound beside four baselines")
    evaluate.add_argument("output", type=Path, metavar="OUT", help="the stylized sound")
    evaluate.add_argument("--content", type=Path, required=True, metavar="C", help="its content")
    evaluate.add_argument("--style", type=Path, required=True, metavar="S", help="its style")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.add_argument("--debug", action="store_true", help="show a traceback with an error")
    evaluate.set_defaults(action=_evaluate)
    add_batch_command(commands)
    add_sweep_command(commands)
    add_spectrogram_commands(commands)
    add_ui_command(commands)


def _recipes(arguments: argparse.Namespace) -> int:
    from specstyle.recipes import DEFAULTS, RECIPES, default_recipe, get_recipe, to_toml

    if arguments.name is None:
        width = max(map(len, RECIPES))
        print(f"{'default':<{width}}  the one of the default-* recipes that suits the medium and the network")
        print(f"{'vgg':<{width}}  the default-* recipe of the medium for pretrained VGG19")
        own = {recipe.name for recipe in DEFAULTS.values()}
        for recipe in sorted(RECIPES.values(), key=lambda r: r.name not in own):
            print(f"{recipe.name:<{width}}  {recipe.source}")
    elif arguments.name == "default":
        network = {"audio": "kernel", "image": "vgg19-lite"}[arguments.medium]
        print(to_toml(default_recipe(arguments.medium, network)), end="")
    elif arguments.name == "vgg":
        print(to_toml(default_recipe(arguments.medium, "vgg19")), end="")
    else:
        print(to_toml(get_recipe(arguments.name)), end="")
    return 0


def _networks(arguments: argparse.Namespace) -> int:
    from specstyle.features import weights
    from specstyle.features.networks import NETWORKS

    if arguments.verb is None:
        for info in NETWORKS.values():
            where = ""
            if info.download:
                found = weights.is_cached()
                where = f" [on this machine: {weights.cache_path()}]" if found else " [not on this machine]"
            print(f"{info.name:<13} {info.text}{where}")
        print(f"{'auto':<13} the default: vgg19 if it is on this machine, else the one that suits the medium")
        return 0
    fetchable = [info.name for info in NETWORKS.values() if info.download]
    if arguments.name not in fetchable:
        return complain(f"networks fetch needs the name of one of: {', '.join(fetchable)}", USAGE)
    print(f"vgg19 is in {weights.fetch()}")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from specstyle.cli.demo import run_demo

    with ProgressLine(quiet=arguments.quiet) as progress:
        written, stopped = run_demo(
            arguments.folder,
            force=arguments.force,
            on_step=progress,
            on_note=progress.note,
            on_stage=progress.enter_stage,
            on_done=progress.close,
        )
    if not arguments.quiet:
        print("wrote " + ", ".join(str(path) for path in written))
    if stopped:
        return complain("stopped by Ctrl-C; the rest of the demo was not made", INTERRUPTED)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from specstyle.evaluate import evaluate, format_table, to_json
    from specstyle.media.soundfiles import read_sound
    from specstyle.media.sounds import check_sound

    sounds = {}
    for role in ("output", "content", "style"):
        sounds[role] = read_sound(getattr(arguments, role))
        check_sound(sounds[role], role=role, min_samples=1)
    report = evaluate(sounds["output"], sounds["content"], sounds["style"])
    print(to_json(report) if arguments.json else format_table(report))
    return 0
