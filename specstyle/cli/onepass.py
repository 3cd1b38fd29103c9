"""The commands of one pass: ``train``, ``apply``, ``styles``, and ``film``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from specstyle.cli.options import add_output_options, add_recipe_options, medium_of, recipe_overrides
from specstyle.cli.progress import FAILURE, ProgressLine, begin, complain, say
from specstyle.errors import FileError, SpecstyleError, explain
from specstyle.recipes.recipe import AT_ONCE

_TRAIN = """Train a small network that stylizes in one pass, by the objective of a recipe.

Several styles share one network and can be blended; a .toml file lists styles with their sources and
licenses. Contents are drawn by the program, and come from --data: networks that saw photographs are better on
photographs. With --run-dir the same command goes on where it was stopped.
"""
_APPLY = """Stylize pictures or sounds in one pass, by a network of `specstyle train` or one that comes along.

`any` takes any picture or sound as the style, untrained: the last INPUT is the style then.
Pictures keep their size, unless --size says otherwise. A folder as INPUT, or several INPUTs, make OUT a
folder, with a result in it for each. With --stream a sound is read from standard input and played as it
comes in, as WAV (or, with --pcm, as raw samples) on standard output.
"""
_FILM = """Stylize a film's pictures, its sound or both; what is not named is copied as it is.

A STYLE is a trained style's file, or one of `specstyle styles`; or a picture or a sound, for the optimizer,
which takes much longer. Pictures keep their times, the sound its rate and its length. Each picture is made
beside the one before, so that it flickers less. With --run-dir the same command goes on where it was
stopped. Needs the extra `film` (pip install 'specstyle[film]').
"""


def add_onepass_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    raw = argparse.RawDescriptionHelpFormatter
    train = commands.add_parser(
        "train", help="train a network that stylizes at once", description=_TRAIN, formatter_class=raw
    )
    train.add_argument(
        "styles", type=Path, nargs="+", metavar="STYLE", help="pictures or sounds, or a list (.toml)"
    )
    train.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NAME.safetensors", help="file to write"
    )
    train.add_argument(
        "--medium",
        choices=("image", "audio"),
        help="of the styles (default: the first one's; of a list: image)",
    )
    train.add_argument("--data", type=Path, metavar="FOLDER", help="photographs or sounds to learn from")
    train.add_argument("--minutes", type=float, default=30.0, metavar="M", help="how long (default: 30)")
    train.add_argument("--steps", type=int, metavar="N", help="how many steps, whatever time they take")
    train.add_argument("--run-dir", type=Path, metavar="DIR", help="keep the training, and samples, in DIR")
    train.add_argument(
        "--start",
        metavar="FILE|scratch",
        help="styles whose network to begin with (default: those that come along; for sounds, any), or none",
    )
    train.add_argument("--recipe", default="default", metavar="R", help="a recipe's name or a .toml file")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn at random")
    train.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps")
    train.add_argument("--force", action="store_true", help="replace an existing file")
    add_output_options(train)
    train.set_defaults(action=_train)
    apply = commands.add_parser(
        "apply", help="stylize pictures or sounds at once", description=_APPLY, formatter_class=raw
    )
    named = "a trained style's file, one of `specstyle styles`, or any"
    apply.add_argument("style", metavar="NAME", help=named)
    apply.add_argument("inputs", type=Path, nargs="*", metavar="INPUT", help="files, or folders of them")
    apply.add_argument("-o", "--output", type=Path, metavar="OUT", help="file or folder to write")
    apply.add_argument("--stream", action="store_true", help="play standard input to standard output")
    apply.add_argument(
        "--pcm",
        type=_pcm,
        metavar="RATE:CHANNELS",
        help="a stream is raw samples of 16 bits (little-endian), and no WAV: 44100:2",
    )
    apply.add_argument(
        "--blend", type=_blend, default={}, metavar="A=1,B=2", help="weights of a file's styles"
    )
    apply.add_argument(
        "--content-mask",
        action="append",
        default=[],
        dest="content_masks",
        metavar="FILE|all",
        help="where the style applies (white) and does not (black); once, or once per style of --blend",
    )
    apply.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps")
    apply.add_argument("--seed", type=int, default=0, metavar="N", help="of a sound's noise")
    apply.add_argument("--plot", action="store_true", help="also write a figure: content and result")
    apply.add_argument("--no-metadata", action="store_true", help="keep no settings inside OUT")
    apply.add_argument("--force", action="store_true", help="replace existing files")
    add_output_options(apply)
    add_recipe_options(apply, "image", "audio", only={*AT_ONCE["image"], *AT_ONCE["audio"]})
    apply.set_defaults(action=_apply)
    styles = commands.add_parser("styles", help="list the trained styles that come along")
    styles.set_defaults(action=_styles, debug=False)
    film = commands.add_parser(
        "film",
        help="stylize a film",
        description=_FILM,
        formatter_class=raw,
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


def _blend(text: str) -> dict[str, float]:
    """Read ``A=1,B=2``."""
    try:
        parts = [part.rsplit("=", 1) for part in text.split(",")]
        return {name.strip(): float(weight) for name, weight in parts}
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected names and weights as in A=1,B=2, got {text!r}") from None


def _pcm(text: str) -> tuple[int, int]:
    """Read ``44100:2``."""
    rate, _, channels = text.partition(":")
    if not (rate.isdigit() and channels.isdigit() and int(rate) > 0 and 0 < int(channels) <= 64):
        raise argparse.ArgumentTypeError(f"expected a rate in Hz and channels as in 44100:2, got {text!r}")
    return int(rate), int(channels)


def _train(arguments: argparse.Namespace) -> int:
    from specstyle.onepass.memory import keep_freed_memory
    from specstyle.onepass.train import train

    def note(line: str) -> None:
        if not arguments.quiet:
            say(line, file=sys.stderr)

    def report(found: Any, optimizer: Sequence[float]) -> None:
        ours, theirs = (sum(losses) / len(losses) for losses in (found.style_loss, optimizer))
        note(
            f"step {found.step}, {100 * found.share:.0f} %: style loss {ours:.3f} on contents held out (an "
            f"optimizer's: {theirs:.3f}), {found.left:.2f} of them left at strength 0.5 (aim: "
            f"{found.aim:.2f})"
        )

    names = ("medium", "data", "minutes", "steps", "run_dir", "start", "recipe", "seed", "device", "force")
    given = {name: getattr(arguments, name) for name in names}
    first = arguments.styles[0]
    given["medium"] = arguments.medium or ("image" if first.suffix.lower() == ".toml" else medium_of(first))
    keep_freed_memory()
    style = train(arguments.styles, arguments.output, on_report=report, on_note=note, **given)
    if not arguments.quiet:
        say(f"wrote {arguments.output} ({', '.join(style.names)})")
    return 0


def _apply(arguments: argparse.Namespace) -> int:
    begin(f"apply {arguments.style}: {', '.join(p.name for p in arguments.inputs)}", quiet=arguments.quiet)
    from specstyle.onepass.apply import apply_request
    from specstyle.onepass.memory import keep_freed_memory
    from specstyle.run.job import run_job
    from specstyle.run.request import Job, Request

    keep_freed_memory()
    style, shown = _style(arguments)
    style.blend(arguments.blend)
    if arguments.stream:
        return _stream(arguments, style)
    if not arguments.inputs or arguments.output is None:
        raise ValueError("apply needs one INPUT at least, and -o OUT (or --stream)")
    pairs, failed = _outputs(arguments.inputs, arguments.output, style.medium), 0
    for source, output in pairs:
        request = Request(
            style.medium,
            source,
            shown,
            overrides=recipe_overrides(arguments),
            content_masks=tuple(arguments.content_masks),
            device=arguments.device,
            seed=arguments.seed,
        )
        job = Job(
            request, output, force=arguments.force, plot=arguments.plot, metadata=not arguments.no_metadata
        )

        def note(line: str, name: str = source.name) -> None:
            if not arguments.quiet:
                say(f"{name}: {line}" if len(pairs) > 1 else line, file=sys.stderr)

        run = partial(apply_request, style=style, blend=arguments.blend)
        try:
            result, written = run_job(job, on_step=_nothing, on_note=note, on_stage=_nothing, run=run)
        except SpecstyleError as error:
            if len(pairs) == 1:
                raise
            failed += 1
            complain(explain(error), FAILURE)
            continue
        if not arguments.quiet:
            strength = result.record["recipe"]["strength"]
            told = f"strength {strength:g}, from 0 (the content) to 1"
            say(f"wrote {written[0]} in {result.record['seconds']:.1f} s ({told})")
    if failed:
        what = {"image": "pictures", "audio": "sounds"}[style.medium]
        return complain(f"{failed} of {len(pairs)} {what} could not be stylized", FAILURE)
    return 0


def _style(arguments: argparse.Namespace) -> tuple[Any, tuple[Path, ...]]:
    """Return the style that is named, and the file that shows it: with ``any``, the last input."""
    from specstyle.onepass.apply import any_style
    from specstyle.onepass.stylefile import load_style

    if arguments.style != "any":
        return load_style(arguments.style), ()
    if len(arguments.inputs) < (1 if arguments.stream else 2):
        raise ValueError("apply any needs a STYLE behind the inputs: specstyle apply any INPUT STYLE -o OUT")
    source = arguments.inputs.pop()
    known = [path for path in arguments.inputs if not path.is_dir()]  # in a folder is what the style is
    medium = "audio" if arguments.stream else medium_of((known or [source])[0])
    return any_style(source, medium=medium), (source,)


def _stream(arguments: argparse.Namespace, style: Any) -> int:
    """Play standard input to standard output."""
    from specstyle.onepass.apply import settled
    from specstyle.onepass.streaming import stream

    if arguments.inputs or arguments.output is not None:
        raise ValueError("--stream reads standard input and writes standard output; drop INPUT and -o")
    if style.medium != "audio":
        raise ValueError(f"{arguments.style} is a style for pictures, and a stream is a sound")
    overrides = recipe_overrides(arguments)
    if {*overrides} - {"strength"}:
        raise ValueError("of a stream only --strength, --blend and --seed can be said")
    strength = settled(style, overrides).strength
    where = sys.stdin.buffer, sys.stdout.buffer
    latency_s = stream(*where, style, arguments.blend, strength, pcm=arguments.pcm, seed=arguments.seed)
    if not arguments.quiet:
        print(f"played, {1000 * latency_s:.0f} ms behind", file=sys.stderr)
    return 0


def _nothing(_: Any) -> None:
    """Do nothing."""


def _outputs(inputs: Sequence[Path], output: Path, medium: str) -> list[tuple[Path, Path]]:
    """Return what is stylized, and where each result goes.

    Raises:
        FileError: If a folder holds nothing of a medium, or two results would have one name.
    """
    from specstyle.media import imagefiles, soundfiles
    from specstyle.onepass.contents import files_in

    check_output_suffix = {
        "image": imagefiles.check_output_suffix,
        "audio": soundfiles.check_output_suffix,
    }[medium]
    found: list[Path] = []
    for given in inputs:
        found += files_in(given, medium) if given.is_dir() else [given]
    if len(inputs) == 1 and not inputs[0].is_dir():
        return [(found[0], output)]
    if output.suffix and not output.is_dir():
        raise FileError(f"{output}: several inputs need a folder to go to; name one, without a suffix")

    def name(path: Path) -> str:
        try:
            check_output_suffix(path)
        except FileError:  # what is read, but not written
            return path.stem + (".png" if medium == "image" else ".wav")
        return path.name

    names = [name(path) for path in found]
    twice = [each for each, count in Counter(names).items() if count > 1]
    if twice:
        raise FileError(
            f"{twice[0]}: would be the name of {Counter(names)[twice[0]]} results; rename an input"
        )
    return [(path, output / each) for path, each in zip(found, names, strict=True)]


def _styles(arguments: argparse.Namespace) -> int:
    from specstyle.onepass.stylefile import load_style, shipped

    for name in (known := shipped()):
        style = load_style(name)
        said = style.styles[style.names.index(name)]
        about = "; ".join(said[key] for key in ("source", "license") if key in said)
        print(f"{name:<{max(map(len, known))}}  {about}")
    print(f"{'any':<{max(map(len, known))}}  the picture or sound that you give as the last input")
    return 0


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
