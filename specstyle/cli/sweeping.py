"""The command ``sweep``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specstyle.cli.batching import Teller, add_worker_options, check_workers, common_of, run_all
from specstyle.cli.options import (
    add_mask_options,
    add_output_options,
    add_recipe_options,
    add_shared_options,
)
from specstyle.cli.progress import FAILURE, INTERRUPTED, complain

if TYPE_CHECKING:
    from specstyle.batch.sweep import Sweep

_DESCRIPTION = """Stylize one content at every point of a grid, and put the results side by side.

  --grid style_weight=0.1,1,10             values; any field of a recipe, and seed
  --grid content_layer=conv2_2,conv4_2     one layer in each value
  --grid style_layers=relu1_1+relu2_1,relu3_1
                                           several layers in a value: + between them
  --grid strength=lin:0..1:5               5 numbers from 0 to 1, evenly
  --grid tv_weight=log:1e-6..1e-2:5        the same, evenly in the logarithm
  --random 20                              20 points at random, ranges in full (then without :N)
  --figure tradeoff|layers|init            the layout of figures 4, 5 and 6 of Gatys et al. 2016

Options given here hold at every point. DIR gets the results, named by their values, sweep.csv (for sounds
with the scores of `specstyle evaluate`), sheet.png, and sheet.html with players. A second call does what is
missing.
"""


def add_sweep_command(commands: Any) -> None:
    """Add the command to the parser's."""
    sweep = commands.add_parser(
        "sweep",
        help="stylize at every point of a grid, and compare",
        description=_DESCRIPTION,
        usage="specstyle sweep audio|image CONTENT STYLE [STYLE ...] -o DIR --grid FIELD=A,B,... [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sweep.add_argument("medium", choices=("audio", "image"), metavar="audio|image", help="what is stylized")
    sweep.add_argument("content", type=Path, metavar="CONTENT", help="the sound or picture to stylize")
    sweep.add_argument("styles", type=Path, nargs="+", metavar="STYLE", help="what gives the style")
    grid = sweep.add_argument_group("sweep")
    grid.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where results go")
    grid.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="FIELD=A,B,...",
        help="vary a field; several make a grid",
    )
    grid.add_argument(
        "--random", type=int, metavar="N", help="N points at random in the place of all (drawn by --seed)"
    )
    grid.add_argument(
        "--figure", choices=("tradeoff", "layers", "init"), help="a figure of Gatys et al. 2016 instead"
    )
    run = sweep.add_argument_group("run")
    add_worker_options(run)
    add_shared_options(run)
    run.add_argument("--force", action="store_true", help="replace results that another sweep made")
    add_output_options(run)
    add_mask_options(sweep)
    add_recipe_options(sweep, "audio", "image")
    sweep.set_defaults(action=_sweep)


def _sweep(arguments: argparse.Namespace) -> int:
    check_workers(arguments)
    sweep = _described(arguments)
    from specstyle.batch.sheet import measure, write_sheet, write_table
    from specstyle.batch.sweep import sweep_tasks

    folder: Path = arguments.output
    teller = Teller(quiet=arguments.quiet)
    tasks = sweep_tasks(sweep, folder, common_of(arguments))
    table, interrupted = run_all(tasks, folder / "results.csv", arguments, teller)
    outcomes = table.outcomes()
    if interrupted:
        done = sum(outcome.status in ("done", "skipped") for outcome in outcomes)
        return complain(
            f"stopped by Ctrl-C: {done} of {len(outcomes)} done; the same command goes on", INTERRUPTED
        )
    if sweep.medium == "audio":
        teller.note("measuring the results")
    scores = measure(sweep, tasks, folder)
    write_table(folder / "sweep.csv", sweep, outcomes, scores)
    written = [folder / "sweep.csv", *write_sheet(folder, sweep, outcomes, scores)]
    if not arguments.quiet:
        print(f"{table.told()}; wrote " + ", ".join(str(path) for path in written))
    return 0 if table.finished() else FAILURE


def _described(arguments: argparse.Namespace) -> Sweep:
    """Return the sweep that the command line describes.

    Raises:
        ValueError: If it describes none.
    """
    if bool(arguments.grid) == (arguments.figure is not None):
        raise ValueError("give either --grid FIELD=A,B,... (several make a grid) or --figure NAME")
    if arguments.figure is not None and arguments.random is not None:
        raise ValueError("--random draws from --grid, and --figure has points of its own; leave one out")
    from specstyle.batch.sweep import figure_sweep, plain_sweep, read_axis

    medium, inputs = arguments.medium, (arguments.content, arguments.styles)
    if arguments.figure is not None:
        return figure_sweep(arguments.figure, medium, *inputs, common_of(arguments))
    axes = [read_axis(text, medium) for text in arguments.grid]
    return plain_sweep(medium, *inputs, axes, random=arguments.random, seed=arguments.seed)
