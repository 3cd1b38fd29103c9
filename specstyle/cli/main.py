"""argv to a run, and its outcome to words and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specstyle import __version__
from specstyle.cli.options import (
    SHOWN,
    add_picture_options,
    add_recipe_options,
    add_run_options,
    flag_of,
    medium_of,
    request_fields,
)
from specstyle.cli.parser import Parser
from specstyle.cli.progress import (
    FAILURE,
    USAGE,
    Logged,
    ProgressLine,
    Stopped,
    begin,
    complain,
    name_of_signal,
    say,
    stop_at_once,
    stopped_by,
)
from specstyle.errors import RunFinishedError, counted, explain
from specstyle.recipes.recipe import Recipe

if TYPE_CHECKING:
    from specstyle.run.request import Job, Request

_EXAMPLES = """examples:
  specstyle audio melody.wav rain.wav -o out.wav        play the melody by the rain
  specstyle image photo.jpg painting.jpg -o out.png     paint the photo like the painting
  specstyle demo                                        make and stylize example sounds and a picture
"""

_MEDIA = {
    "audio": ("stylize a sound", "Stylize a sound by one or more others."),
    "image": ("stylize a picture", "Stylize a picture by one or more others."),
    "texture": (
        "make a texture of any length from a sound, or of any size from a picture",
        "Make a new sound with the texture of one or more others, from noise; of the first one it has the "
        "sample rate, the channels and the loudness. Of pictures, new canvas of any size.",
    ),
}
"""Commands that run: what they do, in short and at length."""


def build_parser(*, inputs_optional: bool = False, only: str | None = None) -> Parser:
    """Return the parser of the whole command line.

    Args:
        inputs_optional: Whether inputs may be left out, because ``--like`` or ``--resume`` names them.
        only: The one command of ``_MEDIA`` that will be asked for; ``None``: that is not known.
    """
    parser = Parser(
        prog="specstyle",
        description="Style transfer on sound and on pictures through one engine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"specstyle {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parser.commands = commands.choices
    some = "*" if inputs_optional else "+"
    for medium, (text, description) in _MEDIA.items():
        if only not in (None, medium):
            continue
        what = {"image": "picture", "audio": "sound", "texture": "sounds or picture"}[medium]
        content = "" if medium == "texture" else "CONTENT "
        command = commands.add_parser(
            medium,
            help=text,
            description=description,
            usage=f"specstyle {medium} {content}STYLE [STYLE ...] -o OUT [options]\n"
            f"       specstyle {medium} --resume DIR",
            shown=SHOWN[medium],
        )
        if content:
            first: dict[str, Any] = {"nargs": "?"} if inputs_optional else {}
            told = f"the {what} to stylize"
            command.add_argument("content", type=Path, metavar="CONTENT", help=told, **first)
        told = f"{what}s that give the {'style' if content else 'texture'}"
        command.add_argument("styles", type=Path, nargs=some, metavar="STYLE", help=told)
        add_run_options(command)
        if medium == "image":
            add_picture_options(command)
        add_recipe_options(command, *(("audio", "image") if medium == "texture" else (medium,)))
        command.set_defaults(action=_run_medium, medium=medium)
    if only is None:
        from specstyle.cli.commands import add_commands

        add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done, 1 an input or the run failed, 2 wrong usage, 130 stopped by Ctrl-C (143 by SIGTERM,
    129 by SIGHUP).
    """
    given = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    named = any(word.partition("=")[0] in ("--like", "--resume") for word in given)
    only = given[0] if given[0] in _MEDIA else None
    arguments = build_parser(inputs_optional=named, only=only).parse_args(given)
    for stream in (sys.stdout, sys.stderr):  # an encoding that lacks a letter is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_logged(arguments))


def _logged(arguments: argparse.Namespace) -> int:
    """Run a command; what the terminal is told goes into a file, too, where one is named."""
    log: Path | None = getattr(arguments, "log_file", None)
    if log is None:
        return _guarded(arguments.action, arguments)
    try:
        file = log.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        return complain(explain(error), FAILURE)
    out, err = Logged(sys.stdout, file), Logged(sys.stderr, file)
    with file, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return _guarded(arguments.action, arguments)


def _guarded(action: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; turn what it raises into one line and an exit code."""
    Stopped.asked = 0
    try:
        with stopped_by(stop_at_once):
            return action(arguments)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        sys.stderr.close()
        return FAILURE
    except Exception as error:
        if arguments.debug:
            raise
        if Stopped.asked:
            return _interrupted()
        return complain(explain(error), USAGE if isinstance(error, ValueError) else FAILURE)


def _interrupted() -> int:
    number = Stopped.asked or int(signal.SIGINT)
    return complain("interrupted at once, without waiting for a result", 128 + number)


def _run_medium(arguments: argparse.Namespace) -> int:
    given = [
        path.name for path in (getattr(arguments, "content", None), *arguments.styles) if path is not None
    ]
    begin(f"{arguments.medium}: {', '.join(given) or arguments.resume}", quiet=arguments.quiet)
    from specstyle.run.job import run_job

    described = _new_job if arguments.resume is None else _resumed_job
    try:
        job, notes = described(arguments)
    except RunFinishedError as finished:  # whoever resumes until all is done is done
        if not arguments.quiet:
            say(str(finished))
        return 0
    with ProgressLine(quiet=arguments.quiet) as progress:
        for note in notes:
            progress.note(note)
        result, written = run_job(job, on_step=progress, on_note=progress.note, on_stage=progress.enter_stage)
    return _end(job, result.record, written, quiet=arguments.quiet, number=progress.signal)


def _end(job: Job, record: dict[str, Any], written: Sequence[Path], *, quiet: bool, number: int) -> int:
    """Tell what came of a run, which a signal may have stopped; return the exit code."""
    if not quiet:
        with contextlib.suppress(OSError):
            print(summary(job, record))
            say("wrote " + ", ".join(map(str, written)))
            print(what_next(job, record), flush=True)
    if record["stopped"]:
        more = "" if job.run_dir is None else f"; --resume {job.run_dir} goes on"
        return complain(
            f"stopped by {name_of_signal(number)} at step {record['steps']}; the best result so far is in "
            f"{written[0]}{more}",
            128 + number,
        )
    return 0


def _new_job(arguments: argparse.Namespace) -> tuple[Job, tuple[str, ...]]:
    """Return the job that the command line describes, and what to tell the user.

    Raises:
        ValueError: If something is missing.
    """
    from specstyle.run.request import Job

    output = arguments.output
    if output is None and arguments.run_dir is not None:
        output = arguments.run_dir / ("result.png" if arguments.medium == "image" else "result.wav")
    if output is None:
        raise ValueError("say where the result goes: -o OUT, or --run-dir DIR")
    for name in ("checkpoint_every", "tensorboard"):
        if getattr(arguments, name) and arguments.run_dir is None:
            raise ValueError(f"{flag_of(name)} needs --run-dir DIR to write into")
    request, notes = _request(arguments)
    names = ("force", "save_every", "plot", "run_dir", "checkpoint_every", "tensorboard", "report")
    said = {name: getattr(arguments, name) for name in names}
    return Job(request, output, metadata=not getattr(arguments, "no_metadata", False), **said), notes


def _resumed_job(arguments: argparse.Namespace) -> tuple[Job, tuple[str, ...]]:
    """Return the job that ``--resume`` names, and what to tell the user.

    Raises:
        ValueError: If the command line says anything else of the run.
    """
    from specstyle.run.checkpoint import resumed_job

    parser = build_parser(inputs_optional=True, only=arguments.medium)
    bare = parser.parse_args([arguments.medium, "--resume", str(arguments.resume)])
    said = {name for name, value in vars(arguments).items() if getattr(bare, name, None) != value}
    others = sorted(said - {"resume", "quiet", "debug", "action", "log_file"})
    if others:
        names = ", ".join(name if name in ("content", "styles") else flag_of(name) for name in others)
        raise ValueError(f"--resume goes on with the run as it was begun; leave out {names}")
    job, notes = resumed_job(arguments.resume)
    if job.request.medium != arguments.medium and (job.request.medium, arguments.medium) != (
        "audio",
        "texture",
    ):
        raise ValueError(
            f"{arguments.resume} keeps a run of `specstyle {job.request.medium}`; resume it by that command"
        )
    return job, notes


def _request(arguments: argparse.Namespace) -> tuple[Request, tuple[str, ...]]:
    """Return what is asked for, and what a user should know of it."""
    from specstyle.run.api import texture_request
    from specstyle.run.record import request_like
    from specstyle.run.request import Request

    given = request_fields(arguments)
    content, styles = getattr(arguments, "content", None), tuple(arguments.styles)
    if getattr(arguments, "like", None) is not None:
        return request_like(arguments.like, content=content, styles=styles, **given)
    if arguments.medium == "texture":
        medium = medium_of(styles[0])
        other, what = ("audio", "sounds") if medium == "image" else ("image", "pictures")
        for field in dataclasses.fields(Recipe):
            if field.name in given["overrides"] and field.metadata.get("group") == other:
                raise ValueError(f"{flag_of(field.name)} is for {what}, and {styles[0]} is none; drop it")
        request = texture_request(styles, given.pop("overrides"), medium=medium)
        return dataclasses.replace(request, **given), ()
    return Request(arguments.medium, content, styles, **given), ()


def summary(job: Job, record: dict[str, Any]) -> str:
    """Return one line on a run: what ran, for how long, and how much of each is in the result."""
    start, end, steps = record["losses"]["start"], record["losses"]["end"], counted(record["steps"], "step")
    parts = [
        f"{steps} of {record['recipe']['name']} on {record['network']['name']} in {record['seconds']:.0f} s"
    ]
    left: dict[str, list[float]] = {}
    for name, share in record.get("content_left", {}).items():
        kind = "detail" if job.request.medium == "image" else "attacks" if "flux" in name else "tune"
        # Of sounds the record has what a squared error leaves; told is what its root does.
        told = share if kind == "detail" else 1.0 - max(1.0 - share, 0.0) ** 0.5
        left.setdefault(kind, []).append(max(told, 0.0))  # farther away than silence is not less than nothing
    kept = [f"{100 * sum(shares) / len(shares):.0f} % of its {kind}" for kind, shares in left.items()]
    if kept:
        parts.append(f"of the content it has {' and '.join(kept)}")
    if end.get("style", 0.0) < start.get("style", 0.0):  # it rises only where the content is the style
        parts.append(f"style loss down to {100 * end['style'] / start['style']:.2g} %")
    return "; ".join(parts)


def what_next(job: Job, record: dict[str, Any]) -> str:
    """Return one line on what to try."""
    strength = record["recipe"]["strength"]
    if strength == 1:  # a texture, too
        tried = f"--seed {record['seed'] + 1} makes another one"
    else:
        more, less = min(strength + 0.2, 1.0), max(strength - 0.2, 0.0)
        content = f", {less:.2g} more of the content" if strength else ""
        tried = f"--strength {more:.2g} has more of the style{content}"
    report = "" if job.report else "; --report shows all side by side"
    return f"next: {tried}{report}"
