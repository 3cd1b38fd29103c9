"""The commands ``spectrogram`` and ``invert``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from specstyle.cli.options import add_output_options, flag_of
from specstyle.cli.progress import say
from specstyle.recipes import DEFAULTS
from specstyle.recipes.recipe import Recipe


def add_spectrogram_commands(commands: Any) -> None:
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
