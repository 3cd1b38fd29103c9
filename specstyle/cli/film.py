"""The command ``film``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from specstyle.cli.options import add_output_options, add_recipe_options, recipe_overrides
from specstyle.cli.progress import ProgressLine, begin, say

_FILM = """Stylize a film's pictures, its sound or both; what is not named is copied as it is.

A STYLE is a trained style's file, or one of `specstyle styles`; or a picture or a sound, for the optimizer,
which takes much longer. Pictures keep their times, the sound its rate and its length. Each picture is made
beside the one before, so that it flickers less. With --run-dir the same command goes on where it was
stopped. Needs the extra `film` (pip install 'specstyle[film]').
"""


def add_film_command(commands: Any) -> None:
    """Add the command to the parser's."""
    film = commands.add_parser(
        "film",
        help="stylize a film",
        description=_FILM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    film.add_argument("content", type=Path, metavar="IN", help="film to stylize")
    film.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="film to write")
    film.add_argument("--picture", metavar="STYLE", help="style for its pictures")
    film.add_argument("--sound", metavar="STYLE", help="style for its sound")
    film.add_argument("--run-dir", type=Path, metavar="DIR", help="keep what is done in DIR, to go on from")
    film.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps")
    film.add_argument("--seed", type=int, default=0, metavar="N", help="of a sound's noise")
    film.add_argument("--force", action="store_true", help="replace existing files")
    add_output_options(film)
    add_recipe_options(film, "image", "audio", only={"strength"})
    film.set_defaults(action=_film)


def _film(arguments: argparse.Namespace) -> int:
    begin(f"film: {arguments.content.name}", quiet=arguments.quiet)
    from specstyle.films.film import film
    from specstyle.onepass.memory import keep_freed_memory

    keep_freed_memory()
    names = ("picture", "sound", "run_dir", "device", "seed", "force")
    given = {name: getattr(arguments, name) for name in names} | recipe_overrides(arguments)
    with ProgressLine(quiet=arguments.quiet) as progress:
        record = film(arguments.content, arguments.output, on_step=progress, on_note=progress.note, **given)
    if not arguments.quiet:
        say(f"wrote {record['output']} in {record['seconds']:.1f} s")
    return 0
