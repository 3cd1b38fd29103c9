"""The commands beside ``audio`` and ``image``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from specstyle.cli.batching import add_batch_command, add_sweep_command
from specstyle.cli.doctor import add_doctor_command
from specstyle.cli.onepass import add_onepass_commands
from specstyle.cli.options import add_output_options, flag_of
from specstyle.cli.progress import USAGE, ProgressLine, complain, name_of_signal, say
from specstyle.errors import SpecstyleError
from specstyle.recipes import DEFAULTS
from specstyle.recipes.recipe import Recipe

_UI = """Serve a page on this machine: drop two sounds or two pictures, watch, listen, compare, download.

It answers to this machine only, and to who has the address that it prints; it fetches nothing from elsewhere.
Ctrl-C ends it; its jobs are listed again when it is started in the same folder.
"""


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    recipes = commands.add_parser("recipes", help="list the recipes, or print one as TOML")
    recipes.add_argument("name", nargs="?", metavar="NAME", help="a recipe's name")
    recipes.add_argument(
        "--medium", choices=("audio", "image"), default="audio", help="for the names default and vgg"
    )
    recipes.set_defaults(action=_recipes, debug=False)
    networks = commands.add_parser("networks", help="list the networks, or fetch one")
    networks.add_argument("verb", nargs="?", choices=("fetch",), help="download weights (548 MB)")
    networks.add_argument("name", nargs="?", metavar="NAME", help="vgg19")
    networks.set_defaults(action=_networks, debug=False)
    demo = commands.add_parser(
        "demo",
        help="make example sounds and pictures, and stylize them",
        description="Write two recordings, a photograph and a painting, synthesize four sounds and two "
        "pictures, play a melody by the rain, and paint a scene.",
    )
    demo.add_argument("folder", nargs="?", type=Path, default=Path("demo"), metavar="DIR", help="where to")
    demo.add_argument("--force", action="store_true", help="replace existing files")
    add_output_options(demo)
    demo.set_defaults(action=_demo)
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a stylized sound beside four baselines, or a folder of them",
        description="Measure a stylized sound beside four baselines; or score the sounds of a folder into a "
        "table, from their records (OUT.wav.json) or by --content and --style for all.",
    )
    evaluate.add_argument("output", type=Path, metavar="OUT|FOLDER", help="the stylized sound, or a folder")
    evaluate.add_argument("--content", type=Path, metavar="C", help="its content")
    evaluate.add_argument("--style", type=Path, metavar="S", help="its style")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.add_argument(
        "-o", "--output", type=Path, dest="table", metavar="CSV", help="the table of a folder's scores"
    )
    evaluate.add_argument("--force", action="store_true", help="replace an existing table")
    evaluate.add_argument("--debug", action="store_true", help="show a traceback with an error")
    evaluate.set_defaults(action=_evaluate)
    add_batch_command(commands)
    add_sweep_command(commands)
    add_onepass_commands(commands)
    add_doctor_command(commands)
    _add_spectrograms(commands)
    _add_ui(commands)


def _add_ui(commands: Any) -> None:
    ui = commands.add_parser(
        "ui",
        help="serve a web page on this machine",
        description=_UI,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ui.add_argument("--port", type=int, default=7860, metavar="N", help="0: a free one (default: 7860)")
    ui.add_argument(
        "--folder",
        type=Path,
        default=Path("specstyle-ui"),
        metavar="DIR",
        help="where jobs and their results are kept (default: specstyle-ui)",
    )
    ui.add_argument(
        "--max-upload-mb", type=float, default=200.0, metavar="MB", help="largest file (default: 200)"
    )
    ui.add_argument(
        "--max-minutes", type=float, default=float("inf"), metavar="M", help="stop a job that takes longer"
    )
    ui.add_argument("--no-browser", action="store_true", help="do not open the page")
    add_output_options(ui)
    ui.set_defaults(action=_ui)


def _add_spectrograms(commands: Any) -> None:
    """Add the two commands to the parser's; their defaults are those of the recipe ``default-audio``."""
    options = {f.name: f for f in dataclasses.fields(Recipe)}
    own = DEFAULTS["audio", "wide-random"]
    forth = commands.add_parser("spectrogram", help="write a sound's magnitudes as .npz")
    forth.add_argument("source", type=Path, metavar="IN", help="the sound")
    forth.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="the .npz to write")
    for name in ("n_fft", "hop_length", "win_length"):
        text = options[name].metadata["help"]
        forth.add_argument(flag_of(name), type=int, metavar="N", default=getattr(own, name), help=text)
    window = options["window"].metadata["help"]
    forth.add_argument("--window", metavar="WORD", default=own.window, help=window)
    _add_last(forth, _spectrogram)

    back = commands.add_parser("invert", help="find a sound with the magnitudes in a .npz")
    back.add_argument("source", type=Path, metavar="IN", help="a .npz, as `specstyle spectrogram` writes it")
    back.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="the sound to write")
    iterations = f"pairs of one transform and one inverse (default: {own.phase_iterations})"
    back.add_argument("--iterations", type=int, metavar="N", default=own.phase_iterations, help=iterations)
    methods = options["phase_method"].metadata["choices"]
    method = f"default: {own.phase_method}"
    back.add_argument("--method", choices=methods, default=own.phase_method, help=method)
    starts = [start for start in options["phase"].metadata["choices"] if start != "content"]
    back.add_argument(
        "--start", choices=starts, default="auto", help="first phase; auto, the default, is pghi"
    )
    back.add_argument("--seed", type=int, default=0, metavar="N", help="of --start random (default: 0)")
    back.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps")
    _add_last(back, _invert)


def _add_last(command: argparse.ArgumentParser, action: Any) -> None:
    command.add_argument("--force", action="store_true", help="replace an existing OUT")
    add_output_options(command)
    command.set_defaults(action=action)


def _spectrogram(arguments: argparse.Namespace) -> int:
    from specstyle.media.spectrogramfile import write_spectrogram

    names = ("n_fft", "hop_length", "win_length", "window", "force")
    given = {name: getattr(arguments, name) for name in names}
    written = write_spectrogram(arguments.source, arguments.output, **given)
    if not arguments.quiet:
        channels, n_bins, frames = written.magnitude.shape
        transform = f"n_fft {written.settings.n_fft}, hop_length {written.settings.hop_length}"
        print(f"{channels} x {n_bins} bins x {frames} frames, {transform}")
        say(f"wrote {arguments.output}")
    return 0


def _invert(arguments: argparse.Namespace) -> int:
    from specstyle.engine.device import choose_device
    from specstyle.media.spectrogramfile import write_inversion

    device = choose_device(arguments.device)
    found = write_inversion(
        arguments.source,
        arguments.output,
        method=arguments.method,
        iterations=arguments.iterations,
        start=arguments.start,
        seed=arguments.seed,
        device="cpu" if device.type == "mps" else device,  # which has no complex numbers
        force=arguments.force,
    )
    if not arguments.quiet:
        how = f"{found.method} from {found.start}, {arguments.iterations} iterations"
        print(f"{how}: spectral convergence {found.spectral_convergence_db:.1f} dB")
        say(f"wrote {arguments.output}")
    return 0


def _recipes(arguments: argparse.Namespace) -> int:
    from specstyle.recipes import RECIPES, default_recipe, get_recipe, to_toml

    if arguments.name is None:
        width = max(map(len, RECIPES))
        print(f"{'default':<{width}}  the one of the default-* recipes that suits the medium and the network")
        own = {recipe.name for recipe in DEFAULTS.values()}
        for recipe in sorted(RECIPES.values(), key=lambda r: r.name not in own):
            print(f"{recipe.name:<{width}}  {recipe.source}")
    elif arguments.name == "default":
        print(to_toml(default_recipe(arguments.medium, "vgg19-lite")), end="")
    else:
        print(to_toml(get_recipe(arguments.name)), end="")
    return 0


def _networks(arguments: argparse.Namespace) -> int:
    from specstyle.features import weights
    from specstyle.features.networks import NETWORKS

    if arguments.verb is None:
        for info in NETWORKS.values():
            print(f"{info.name:<13} {info.text}")
        print(f"{'auto':<13} the default: what suits the medium, the recipe's layers and the device")
        if weights.cache_path().is_file():
            print(f"vgg19 is torchvision's: {weights.cache_path()}")
        return 0
    if arguments.name != "vgg19":
        return complain("networks fetch needs the name vgg19; the others are there already", USAGE)
    print(f"vgg19 is in {weights.fetch()}")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from specstyle.cli.demo import run_demo

    with ProgressLine(quiet=arguments.quiet) as progress:
        written, stopped = run_demo(arguments.folder, force=arguments.force, progress=progress)
    if not arguments.quiet:
        say("wrote " + ", ".join(str(path) for path in written))
    if stopped:
        by = name_of_signal(progress.signal)
        return complain(f"stopped by {by}; the rest of the demo was not made", 128 + progress.signal)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    if arguments.output.is_dir():
        return _evaluate_folder(arguments)
    if arguments.content is None or arguments.style is None:
        return complain("evaluate needs --content and --style with a single sound", USAGE)
    if arguments.table is not None:
        return complain(
            "evaluate writes a table (-o) of a folder only; --json prints a sound's scores", USAGE
        )
    from specstyle.evaluate import evaluate, format_table, to_json
    from specstyle.media.soundfiles import read_sound

    report = evaluate(*map(read_sound, (arguments.output, arguments.content, arguments.style)))
    print(to_json(report) if arguments.json else format_table(report))
    return 0


def _evaluate_folder(arguments: argparse.Namespace) -> int:
    if arguments.table is None or arguments.json:
        return complain("evaluate writes the scores of a folder into a table: -o scores.csv", USAGE)
    from specstyle.evaluate import score_folder, write_csv
    from specstyle.files import check_output

    check_output(arguments.table, force=arguments.force)
    rows = score_folder(
        arguments.output,
        content=arguments.content,
        style=arguments.style,
        on_skip=lambda line: say(line, file=sys.stderr),
    )
    write_csv(rows, arguments.table)
    say(f"wrote {arguments.table} ({len(rows)} sounds)")
    return 0


def _ui(arguments: argparse.Namespace) -> int:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise SpecstyleError(
            f"the page needs {' and '.join(missing)}, which cannot be imported: pip install 'specstyle[ui]'"
        )
    if not 0 <= arguments.port < 2**16:
        raise ValueError(f"--port must be from 0 to 65535, got {arguments.port}")
    from specstyle.ui.server import serve
    from specstyle.ui.words import Limits

    def told(address: str) -> None:
        if not arguments.quiet:
            say(f"{address}  (jobs are kept in {arguments.folder}; Ctrl-C ends)")

    with contextlib.suppress(KeyboardInterrupt):  # that is how it ends
        serve(
            arguments.folder,
            port=arguments.port,
            limits=Limits(upload_mb=arguments.max_upload_mb, job_minutes=arguments.max_minutes),
            browser=not arguments.no_browser,
            on_address=told,
        )
    return 0
