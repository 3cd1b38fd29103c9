"""The commands ``batch`` and ``sweep``, which run many jobs."""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specstyle.cli.options import (
    add_log_option,
    add_mask_options,
    add_output_options,
    add_recipe_options,
    add_shared_options,
    request_fields,
)
from specstyle.cli.progress import FAILURE, complain, name_of_signal, printable, say
from specstyle.errors import counted

if TYPE_CHECKING:
    from specstyle.batch.jobs import Task
    from specstyle.batch.results import Outcome, Table
    from specstyle.batch.scheduler import Pool
    from specstyle.batch.sweep import Sweep

_BATCH = """Run a list of jobs, with networks loaded once per worker.

JOBS.csv has one row per job, below the names of its columns (capitals or not):
  content, style, output   files, relative to JOBS.csv; several styles are separated by ;
  medium                   audio or image, where the content's name does not say it
  recipe, seed, weights, preprocessing, device
                           as the options of these names
  content_mask, style_mask one for each style, separated by ; (all: no mask)
  any field of a recipe    steps, strength, size, n_fft ... (`specstyle recipes default` shows them)
An empty cell is as if it was not given. Options given here hold for every row that does not say otherwise.

FOLDER has the folders contents and styles; every content is stylized by every style.

A second call runs what is missing. A job whose output was made by another job (other inputs, other options)
is told as `differs` and left alone, unless --force is given. The table is kept in JOBS.results.csv, or in
results.csv beside a folder's outputs.
"""

_EXIT = "exit codes: 0 all done, 1 some are not, 2 the list cannot be run and nothing was, 130 Ctrl-C"


_SWEEP = """Stylize one content at every point of a grid, and put the results side by side.

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


def add_batch_command(commands: Any) -> None:
    """Add the command ``batch`` to the parser's."""
    batch = commands.add_parser(
        "batch",
        help="run a list of jobs, on this machine or on a Ray cluster",
        description=_BATCH,
        epilog=_EXIT,
        usage="specstyle batch JOBS.csv|FOLDER [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    batch.add_argument("list", type=Path, metavar="JOBS.csv|FOLDER", help="the jobs")
    run = batch.add_argument_group("run")
    run.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="where a FOLDER's results go (default: FOLDER/results)",
    )
    _add_run_options(run, "outputs that another job made")
    add_recipe_options(batch, "audio", "image")
    batch.set_defaults(action=_batch)


def add_sweep_command(commands: Any) -> None:
    """Add the command ``sweep`` to the parser's."""
    sweep = commands.add_parser(
        "sweep",
        help="stylize at every point of a grid, and compare",
        description=_SWEEP,
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
    _add_run_options(sweep.add_argument_group("run"), "results that another sweep made")
    add_mask_options(sweep)
    add_recipe_options(sweep, "audio", "image")
    sweep.set_defaults(action=_sweep)


def _add_run_options(run: Any, replaced: str) -> None:
    """Add what says who runs a list of jobs, and how."""
    run.add_argument(
        "--workers", type=int, metavar="N", help="jobs at a time (default: one per device; one on a CPU)"
    )
    run.add_argument(
        "--retries",
        type=int,
        default=1,
        metavar="N",
        help="give a job whose worker died to another one so often (default: 1)",
    )
    run.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT; its machines need specstyle "
        "and the same files under the same paths",
    )
    add_shared_options(run)
    run.add_argument("--force", action="store_true", help=f"replace {replaced}")
    add_output_options(run)
    add_log_option(run)


def _batch(arguments: argparse.Namespace) -> int:
    from specstyle.batch.lists import read_csv, read_folder

    jobs: Path = arguments.list
    common = _common(arguments)
    if jobs.is_dir():
        output = arguments.output or jobs / "results"
        tasks, ignored = read_folder(jobs, output, common)
        for line in ignored:
            _note(arguments, line)
        path = output / "results.csv"
    else:
        if arguments.output is not None:
            raise ValueError(f"--output is for a folder's results; {jobs} names an output for each job")
        tasks, path = read_csv(jobs, common), jobs.with_name(jobs.stem + ".results.csv")
    table, interrupted = _run_all(tasks, path, arguments)
    if not arguments.quiet:
        print(printable(table.format()))
        say(f"{table.told()}; the table is in {table.path}")
    return _end(table, interrupted=interrupted)


def _sweep(arguments: argparse.Namespace) -> int:
    common = _common(arguments)
    sweep = _described(arguments, common)
    from specstyle.batch.results import measure, write_sheet, write_table
    from specstyle.batch.sweep import sweep_tasks

    folder: Path = arguments.output
    tasks = sweep_tasks(sweep, folder, common)
    table, interrupted = _run_all(tasks, folder / "results.csv", arguments)
    if not interrupted:
        outcomes = table.outcomes()
        if sweep.medium == "audio":
            _note(arguments, "measuring the results")
        scores = measure(sweep, folder, lambda line: _note(arguments, line))
        write_table(folder / "sweep.csv", sweep, outcomes, scores)
        written = [folder / "sweep.csv", *write_sheet(folder, sweep, outcomes, scores)]
        if not arguments.quiet:
            say(f"{table.told()}; wrote " + ", ".join(str(path) for path in written))
    return _end(table, interrupted=interrupted)


def _described(arguments: argparse.Namespace, common: dict[str, Any]) -> Sweep:
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
        return figure_sweep(arguments.figure, medium, *inputs, common)
    axes = [read_axis(text, medium) for text in arguments.grid]
    return plain_sweep(medium, *inputs, axes, random=arguments.random, seed=arguments.seed)


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says for every job, as fields of ``Request``.

    Raises:
        ValueError: If this machine has no such device, or an option makes no sense for any job.
    """
    for name, least in (("workers", 1), ("retries", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")
    from specstyle.batch.jobs import named_from
    from specstyle.engine.device import choose_device
    from specstyle.run.settle import check_memory_limit, check_tile

    common = named_from(Path(), request_fields(arguments))
    check_tile(arguments.tile)
    check_memory_limit(arguments.memory_limit)
    if arguments.ray is None:
        return {**common, "device": str(choose_device(arguments.device))}
    del common["device"]  # of other machines
    return common


def _run_all(tasks: list[Task], path: Path, arguments: argparse.Namespace) -> tuple[Table, int]:
    """Run the jobs that are not finished yet.

    Args:
        tasks: All jobs.
        path: Where their outcomes go.
        arguments: Of the command line.

    Returns:
        The outcomes, and the number of the signal that came, or 0.
    """
    from specstyle.batch.results import Table, state_of
    from specstyle.batch.scheduler import run_tasks
    from specstyle.files import make_folder

    for note in dict.fromkeys(note for task in tasks for note in task.notes):
        _note(arguments, note)
    states = [state_of(task) for task in tasks]
    again = ("waiting", "differs") if arguments.force else ("waiting",)
    todo = [task for task, state in zip(tasks, states, strict=True) if state.status in again]
    table = Table(path, tasks)
    make_folder(path.parent)
    table.set(*(state for state in states if state.status not in again))
    for state in states:
        if state.status == "differs" and not arguments.force:
            complain(f"job {state.job}, {state.output}: {state.error}", FAILURE)
    if not todo:
        return table, 0
    pool = _pool(arguments, len(todo))
    _note(arguments, f"{len(todo)} of {len(tasks)} jobs to run, {pool.workers} at a time")
    ended = itertools.count(1)

    def finished(outcome: Outcome) -> None:
        table.set(outcome)
        if outcome.status == "failed":
            complain(f"job {outcome.job}, {outcome.output}: {outcome.error}", FAILURE)
        _note(arguments, f"[{next(ended)}/{len(todo)}] {_told(outcome)}")

    try:
        run_tasks(
            todo,
            pool,
            retries=arguments.retries,
            on_outcome=finished,
            on_note=lambda line: _note(arguments, line),
        )
    except KeyboardInterrupt as stop:
        return table, getattr(stop, "number", int(signal.SIGINT))
    return table, 0


def _pool(arguments: argparse.Namespace, jobs: int) -> Pool:
    """Return the workers, none of them started."""
    if arguments.ray is not None:
        from specstyle.batch.cluster import RayPool

        return RayPool(arguments.ray, arguments.device, arguments.workers, jobs)
    from specstyle.batch.workers import LocalPool

    return LocalPool(arguments.device, arguments.workers, jobs)


def _note(arguments: argparse.Namespace, text: str) -> None:
    if not arguments.quiet:
        print(printable(text), file=sys.stderr, flush=True)


def _told(outcome: Outcome) -> str:
    """Return what became of a job, in words."""
    told = f"{outcome.output} {outcome.status}"
    if outcome.steps is not None:
        told += f": {counted(outcome.steps, 'step')} in {outcome.seconds:.1f} s"
    if outcome.style_loss_end is not None:
        told += f", style loss {outcome.style_loss_end:.4g}"
    return told


def _end(table: Table, *, interrupted: int) -> int:
    if interrupted:
        by = name_of_signal(interrupted)
        return complain(f"stopped by {by}: {table.told()}; the same command goes on", 128 + interrupted)
    return 0 if table.finished() else FAILURE
