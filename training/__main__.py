"""Make vgg19-lite.

    python -m training -o vgg19-lite.safetensors

It draws its own pictures and sounds, chooses the teacher's channels, fits the student layer by layer in
closed form, tunes it, lets it stylize some of the pictures, and tunes it on those as well. Stopped, it goes
on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from specstyle.engine.device import choose_device
from specstyle.errors import SpecstyleError
from specstyle.features import lite, weights
from specstyle.features.vgg import canonical_layer
from specstyle.features.weights import Weights
from specstyle.files import check_output, sha256_of
from training.course import Course, CourseSettings
from training.export import export
from training.layers import Base
from training.plan import make_plan
from training.tiles import Sources
from training.tuning import TuningSettings

KEPT = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")


def _parser() -> argparse.ArgumentParser:
    course, tuning = CourseSettings(), TuningSettings()
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "teacher",
        type=Path,
        nargs="?",
        help="VGG19's weights (.pth or .safetensors), or a part of them (default: those of --network vgg19)",
    )
    add(
        "--onto",
        type=Path,
        metavar="FILE",
        help="keep the first layers of this student as they are, up to --base-layer",
    )
    add("--base-layer", default="relu3_1", metavar="L", help="of --onto, the last to keep (%(default)s)")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the student (.safetensors)")
    add("--work", type=Path, metavar="DIR", help="where stages are kept (default: FILE.work)")
    add("--force", action="store_true", help="replace FILE")
    add("--preprocessing", choices=weights.PREPROCESSINGS, help="the teacher's, if its file does not say")
    add("--any-teacher", action="store_true", help="accept a teacher of other widths than VGG19's")
    add(
        "--layers",
        default=",".join(KEPT),
        help="layers whose maps and Gram matrices shall be right (%(default)s)",
    )
    add(
        "--widths",
        default="",
        metavar="L=N,...",
        help="channels of some layers",
    )
    add("--pictures", type=Path, metavar="DIR", help="also learn from the pictures in a folder")
    add("--sounds", type=Path, metavar="DIR", help="also learn from the sounds in a folder")
    add(
        "--spectrograms",
        type=float,
        default=Sources().spectrograms,
        help="share of tiles that are spectrograms",
    )
    for name, text in (
        ("tiles", "to draw"),
        ("fit_tiles", "for the closed form"),
        ("held_out", "to judge by"),
    ):
        add(
            "--" + name.replace("_", "-"),
            type=int,
            default=getattr(course, name),
            help=f"tiles {text} (%(default)s)",
        )
    add("--rounds", type=int, default=course.rounds, help="of tuning (%(default)s)")
    add(
        "--stylized",
        type=int,
        default=course.stylized,
        help="tiles that the student adds in each (%(default)s)",
    )
    add("--steps", type=int, default=tuning.steps, help="of tuning in all (%(default)s)")
    add("--batch", type=int, default=tuning.batch, help="crops per step (%(default)s)")
    add("--lr", type=float, default=tuning.lr, help="as a share of a layer's weights (%(default)s)")
    add("--gram-weight", type=float, default=tuning.gram_weight, help="(%(default)s)")
    add("--log-every", type=int, default=tuning.log_every, metavar="N", help="(%(default)s)")
    add("--seed", type=int, default=0)
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--live", action=argparse.BooleanOptionalAction, help="fresh crops at each step (default: on a GPU)")
    return parser


def _widths(text: str) -> dict[str, int]:
    widths = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if not number.isdigit():
            raise ValueError(f"--widths takes entries like relu1_2=24, got {part!r}")
        widths[canonical_layer(name)] = int(number)
    return widths


def _teacher(arguments: argparse.Namespace) -> Weights:
    if arguments.teacher is None:
        return weights.pretrained(weights.LAYERS[-1])
    return weights.load(
        arguments.teacher, preprocessing=arguments.preprocessing, any_width=arguments.any_teacher
    )


def _base(path: Path, last: str) -> Base:
    """Return a student's layers up to the last one to keep, and what they were taught."""
    loaded, said = lite.load(path), lite.description(path)
    if last not in loaded.tensors:
        raise ValueError(f"{path} has no layer {last}; it has {', '.join(loaded.layers)}")
    names = loaded.layers[: loaded.layers.index(last) + 1]
    return Base(
        {name: loaded.tensors[name] for name in names},
        {name: torch.tensor(said["channels"][name]) for name in names},
        {name: said["scales"][name] for name in names},
    )


def train(arguments: argparse.Namespace) -> None:
    """Train as the command line says and write the file."""
    check_output(arguments.output, force=arguments.force)
    device = choose_device(arguments.device)
    teacher = _teacher(arguments)
    channels = {name: len(bias) for name, (_, bias) in teacher.tensors.items()}
    kept = tuple(canonical_layer(name) for name in arguments.layers.split(","))
    base = _base(arguments.onto, canonical_layer(arguments.base_layer)) if arguments.onto else None
    given = {name: len(numbers) for name, numbers in base.channels.items()} if base else {}
    plan = make_plan(channels, kept=kept, widths={**_widths(arguments.widths), **given})
    tuning = TuningSettings(
        steps=arguments.steps,
        batch=arguments.batch,
        lr=arguments.lr,
        gram_weight=arguments.gram_weight,
        seed=arguments.seed,
        log_every=arguments.log_every,
    )
    settings = CourseSettings(
        tiles=arguments.tiles,
        fit_tiles=arguments.fit_tiles,
        held_out=arguments.held_out,
        rounds=arguments.rounds,
        stylized=arguments.stylized,
        live=device.type == "cuda" if arguments.live is None else arguments.live,
        tuning=tuning,
    )
    sources = Sources(arguments.pictures, arguments.sounds, arguments.spectrograms)
    work = arguments.work or arguments.output.with_name(arguments.output.name + ".work")
    course = Course(
        teacher,
        plan,
        sources,
        settings,
        base=base,
        work=work,
        device=device,
        say=lambda line: print(line, flush=True),
    )
    graduate = course.run()
    facts = {
        "teacher_sha256": teacher.sha256,
        "kept": list(plan.kept),
        "channels": {name: chosen.tolist() for name, chosen in graduate.lesson.channels.items()},
        "scales": graduate.lesson.scales,
        "settings": asdict(settings),
        "spectrograms": sources.spectrograms,
        "given": {"pictures": arguments.pictures is not None, "sounds": arguments.sounds is not None},
        "held_out_losses": graduate.losses,
        "onto": {"sha256": sha256_of(arguments.onto), "layers": list(base.tensors)} if base else None,
    }
    export(graduate.tensors, arguments.output, facts=facts)
    print(f"wrote {arguments.output}, SHA-256 {sha256_of(arguments.output)}")


def main() -> int:
    """Run; say in one line what was wrong."""
    arguments = _parser().parse_args()
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        train(arguments)
    except (SpecstyleError, ValueError) as error:
        print(f"training: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("training: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
