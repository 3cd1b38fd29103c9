"""The benchmark suite: measures this machine and keeps what it found in RESULTS.md.

python -m bench                                  everything that this device can, hours on a small CPU
python -m bench --quick                          small sizes and few steps, minutes
python -m bench --only speed,startup --size 256  some sections, some sizes
python -m bench --device cuda --precision fp32,tf32,bf16
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import math
import sys
from pathlib import Path
from typing import NoReturn

import torch

from bench.options import Options, hardware
from bench.report import write_section
from specstyle.engine.device import choose_device, settle_precision
from specstyle.run.memory import check_tile

SECTIONS = {
    "speed": "bench.speed",
    "quality": "bench.quality_time",
    "memory": "bench.memory",
    "large": "bench.large",
    "inversion": "bench.griffin_lim",
    "startup": "bench.startup",
    "profile": "bench.operators",
    "batch": "bench.batch",
}
"""Section to the module whose ``run`` measures it."""

QUICK = {"sizes": (64,), "seconds": (1.0,)}

PRECISIONS = ("fp32", "tf32", "bf16")
LEAST = {"size": 32, "seconds": 0.5, "steps": 1, "rounds": 1, "threads": 1}
"""A side that the textbook network can halve five times, a length for all recipes, what can be counted."""

MOST = {"size": 4096, "seconds": 600.0}
"""Of pictures that are drawn and sounds that are made."""


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    defaults = Options()
    made = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--device", default="auto", help="cpu or cuda (default: cuda where there is one)")
    add("--size", type=int, nargs="+", metavar="PIXELS", help="longest sides (default: 256 512 1024)")
    add("--seconds", type=float, nargs="+", metavar="S", help="durations of sounds (default: 5 30)")
    add(
        "--precision",
        help="fp32, tf32, bf16, with commas between (default: fp32 on a CPU, all that a GPU has)",
    )
    add("--tile", default=defaults.tile, help="auto, off or pixels")
    add("--only", metavar="NAMES", help=f"of {', '.join(SECTIONS)}, with commas between")
    add("--quick", action="store_true", help="small sizes, few steps")
    add("--steps", type=int, default=defaults.steps, help="of the reference in the time to quality (500)")
    add(
        "--minutes",
        type=float,
        help="speed, time to quality and large inputs begin no further case after so many",
    )
    add("--rounds", type=int, default=defaults.rounds, help="timed turns of each step (12)")
    add("--threads", type=int, default=defaults.threads, help="of the CPU (1)")
    add("--data", type=Path, metavar="FOLDER", help="real inputs: FOLDER/images and FOLDER/esc10")
    add("--weights", type=Path, metavar="FILE", help="VGG19's weights: adds gatys2016 with them")
    add("--results", type=Path, default=defaults.results, metavar="FOLDER", help="where RESULTS.md is")
    return made


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the options of a command line.

    Raises:
        ValueError: If one of them cannot be measured; nothing has been then.
    """
    _check(arguments)
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = choose_device(device)
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"--device must be auto, cpu or cuda, got {device!r}")
    quick = QUICK if arguments.quick else {}
    defaults = dataclasses.replace(Options(), **quick)
    return dataclasses.replace(
        defaults,
        device=device,
        sizes=tuple(arguments.size or defaults.sizes),
        seconds=tuple(arguments.seconds or defaults.seconds),
        precisions=_precisions(arguments.precision, chosen),
        **{name: getattr(arguments, name) for name in _SAME},
    )


_SAME = ("tile", "quick", "steps", "minutes", "rounds", "threads", "data", "weights", "results")


def _check(arguments: argparse.Namespace) -> None:
    """Refuse numbers and paths that make no sense.

    Raises:
        ValueError: Naming the option.
    """
    check_tile(arguments.tile)
    for name, least in LEAST.items():
        given = getattr(arguments, name)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and not (least <= value < math.inf):
                raise ValueError(f"--{name} must be at least {least:g}, got {value:g}")
    for name, most in MOST.items():
        largest = max(getattr(arguments, name) or [0])
        if arguments.data is None and largest > most:
            raise ValueError(f"--{name} must be at most {most:g} without --data FOLDER, got {largest:g}")
    if arguments.minutes is not None and not 0 <= arguments.minutes < math.inf:
        raise ValueError(f"--minutes must be a number from 0 on, got {arguments.minutes:g}")
    if arguments.data is not None and not arguments.data.is_dir():
        raise ValueError(f"--data: there is no folder {arguments.data}; check the path")
    if arguments.weights is not None and not arguments.weights.is_file():
        raise ValueError(f"--weights: there is no file {arguments.weights}; check the path")


def _precisions(asked: str | None, device: torch.device) -> tuple[str, ...]:
    """Return the precisions to measure.

    Args:
        asked: Their names with commas between; ``None``: fp32 on a CPU, all that a GPU has.
        device: What computes.

    Raises:
        ValueError: If there is no such precision, or the device does not have it.
    """
    if asked is None:
        return tuple(name for name in PRECISIONS if device.type == "cuda" and _has(device, name)) or ("fp32",)
    names = tuple(dict.fromkeys(name.strip() for name in asked.split(",")))
    for name in names:
        if name not in PRECISIONS:
            raise ValueError(
                f"--precision must be {', '.join(PRECISIONS)}, or several with commas between, got {name!r}"
            )
        settle_precision(name, device)
    return names


def _has(device: torch.device, precision: str) -> bool:
    try:
        settle_precision(precision, device)
    except ValueError:
        return False
    return True


def _refuse(reason: str) -> NoReturn:
    print(f"python -m bench: {reason}", file=sys.stderr)
    sys.exit(2)


def main(argv: list[str] | None = None) -> None:
    """Measure what the command line asks for."""
    arguments = parser().parse_args(argv)
    names = arguments.only.split(",") if arguments.only else list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        _refuse(f"there is no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    try:
        options = options_of(arguments)
    except ValueError as error:
        _refuse(str(error))
    torch.set_num_threads(options.threads)
    said = " ".join(sys.argv[1:] if argv is None else argv)
    for name in names:
        print(f"# {name}", flush=True)
        section = importlib.import_module(SECTIONS[name]).run(options)
        section = dataclasses.replace(section, commands=f"python -m bench {said}".strip())
        write_section(options.results, section, hardware(options))
        print(section.text, flush=True)
