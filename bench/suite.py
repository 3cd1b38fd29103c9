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
import sys
from pathlib import Path

import torch

from bench.options import Options, hardware
from bench.report import write_section

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


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default="auto", help="cpu or cuda (default: cuda where there is one)")
    add("--size", type=int, nargs="+", metavar="PIXELS", help="longest sides (default: 256 512 1024)")
    add("--seconds", type=float, nargs="+", metavar="S", help="durations of sounds (default: 5 30)")
    add("--precision", help="fp32, tf32, bf16, with commas between (default: all that the device has)")
    add("--tile", default=defaults.tile, help="auto, off or pixels, where requests know tiles")
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
    return parser


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the options of a command line."""
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    possible = ("fp32", "tf32", "bf16") if device.startswith("cuda") else ("fp32",)
    names = arguments.precision.split(",") if arguments.precision else list(possible)
    if not _has_precision():
        names = [name for name in names if name == "fp32"]
    quick = QUICK if arguments.quick else {}
    defaults = dataclasses.replace(Options(), **quick)
    return dataclasses.replace(
        defaults,
        device=device,
        sizes=tuple(arguments.size or defaults.sizes),
        seconds=tuple(arguments.seconds or defaults.seconds),
        precisions=tuple(names),
        **{name: getattr(arguments, name) for name in _SAME},
    )


_SAME = ("tile", "quick", "steps", "minutes", "rounds", "threads", "data", "weights", "results")


def _has_precision() -> bool:
    from specstyle.run.request import Request

    return "precision" in Request.__dataclass_fields__


def main(argv: list[str] | None = None) -> None:
    """Measure what the command line asks for."""
    arguments = _parser().parse_args(argv)
    names = arguments.only.split(",") if arguments.only else list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        sys.exit(f"there is no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    options = options_of(arguments)
    torch.set_num_threads(options.threads)
    said = " ".join(sys.argv[1:] if argv is None else argv)
    for name in names:
        print(f"# {name}", flush=True)
        section = importlib.import_module(SECTIONS[name]).run(options)
        section = dataclasses.replace(section, commands=f"python -m bench {said}".strip())
        write_section(options.results, section, hardware(options))
        print(section.text, flush=True)
