"""argv to a run, and its outcome to words and an exit code."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from specstyle._version import __version__
from specstyle.cli.commands import add_commands
from specstyle.cli.options import add_recipe_options, add_run_options, recipe_overrides
from specstyle.cli.progress import FAILURE, INTERRUPTED, USAGE, ProgressLine, complain
from specstyle.errors import explain

_EXAMPLES = """examples:
  specstyle audio melody.wav rain.wav -o out.wav        play the melody by the rain
  specstyle image photo.jpg painting.jpg -o out.png     paint the photo like the painting
  specstyle texture rain.wav -o more.wav --duration 30  half a minute of new rain
  specstyle demo                                        make and stylize example sounds and a picture
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="specstyle",
        description="Style transfer on sound and on pictures through one engine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"specstyle {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for medium, what in (("audio", "sound"), ("image", "picture")):
        command = commands.add_parser(
            medium,
            help=f"stylize a {what}",
            description=f"Stylize a {what} by one or more others.",
            usage=f"specstyle {medium} CONTENT STYLE [STYLE ...] -o OUT [options]",
        )
        command.add_argument("content", type=Path, metavar="CONTENT", help=f"the {what} to stylize")
        command.add_argument(
            "styles", type=Path, nargs="+", metavar="STYLE", help=f"{what}s that give the style"
        )
        add_run_options(command)
        add_recipe_options(command, medium)
        command.set_defaults(action=_run_medium, medium=medium)
    _add_texture(commands)
    add_commands(commands)
    return parser


def _add_texture(commands: Any) -> None:
    """Add the command that needs no content."""
    texture = commands.add_parser(
        "texture",
        help="make a texture of any length from a sound",
        description="Make a new sound with the texture of one or more others, from noise. Of the first one "
        "it has the sample rate, the channels and the loudness.",
        usage="specstyle texture STYLE [STYLE ...] -o OUT [--duration X] [--loop] [options]",
    )
    texture.add_argument("styles", type=Path, nargs="+", metavar="STYLE", help="sounds that give the texture")
    add_run_options(texture)
    add_recipe_options(texture, "audio")
    texture.set_defaults(action=_run_medium, medium="texture")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done, 1 an input or the run failed, 2 wrong usage, 130 stopped by Ctrl-C.
    """
    arguments = build_parser().parse_args(argv)
    sys.exit(_guarded(arguments.action, arguments))


def _guarded(action: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; turn what it raises into one line and an exit code."""
    try:
        return action(arguments)
    except KeyboardInterrupt:
        return complain("interrupted at once, without waiting for a result", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return FAILURE
    except Exception as error:
        if arguments.debug:
            raise
        return complain(explain(error), USAGE if isinstance(error, ValueError) else FAILURE)


def _run_medium(arguments: argparse.Namespace) -> int:
    from specstyle.run.job import Job, run_job, take_part_in_job
    from specstyle.run.texture import texture_request
    from specstyle.run.transfer import Request

    overrides, styles = recipe_overrides(arguments), tuple(arguments.styles)
    request = (
        texture_request(styles, overrides)
        if arguments.medium == "texture"
        else Request(arguments.medium, arguments.content, styles, overrides=overrides)
    )
    request = dataclasses.replace(
        request,
        recipe=arguments.recipe,
        weights=arguments.weights,
        preprocessing=arguments.preprocessing,
        device=arguments.device,
        seed=arguments.seed,
        precision=arguments.precision,
        tile=arguments.tile,
        memory_limit=arguments.memory_limit,
    )
    job = Job(
        request,
        arguments.output,
        force=arguments.force,
        save_every=arguments.save_every,
        plot=arguments.plot,
    )
    team: Any = None
    if is_launched_by_torchrun(os.environ):
        from specstyle.run.sharing import join

        team, device = join(arguments.device)
        job = dataclasses.replace(job, request=dataclasses.replace(request, device=device))
    if team is not None and team.rank > 0:
        with ProgressLine(quiet=True) as progress:
            take_part_in_job(job, on_step=progress, team=team)
        return 0
    with ProgressLine(quiet=arguments.quiet) as progress:
        result, written = run_job(
            job,
            on_step=progress,
            on_note=progress.note,
            on_stage=progress.enter_stage,
            **({} if team is None else {"team": team}),
        )
    record = result.record
    if not arguments.quiet:
        print(summary(record))
        print("wrote " + ", ".join(str(path) for path in written))
    if record["stopped"]:
        return complain(
            f"stopped by Ctrl-C at step {record['steps']}; the best result so far is in {written[0]}",
            INTERRUPTED,
        )
    return 0


def is_launched_by_torchrun(environment: Mapping[str, str]) -> bool:
    """Return whether ``torchrun`` started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in environment and int(environment.get("WORLD_SIZE", "1")) > 1


def summary(record: dict[str, Any]) -> str:
    """Return one line on a run: what ran, and how the losses went."""
    start, end = record["losses"]["start"], record["losses"]["end"]
    parts = [
        f"{name} loss {start[name]:.4g} -> {end[name]:.4g}" for name in ("style", "content") if name in start
    ]
    if "spectral_convergence_db" in record:
        parts.append(f"spectral convergence {record['spectral_convergence_db']:.1f} dB")
    return (
        f"{record['recipe']['name']} on {record['network']['name']}: {record['steps']} steps in "
        f"{record['seconds']:.0f} s, {', '.join(parts)}"
    )
