"""The command ``batch``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specstyle.cli.options import add_output_options, add_recipe_options, add_shared_options, recipe_overrides
from specstyle.cli.progress import FAILURE, INTERRUPTED, complain
from specstyle.errors import counted

if TYPE_CHECKING:
    from specstyle.batch.jobs import Common, Task
    from specstyle.batch.results import Outcome, Table
    from specstyle.batch.scheduler import Pool

_DESCRIPTION = """Run a list of jobs, with networks and styles loaded once per worker.

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


def add_batch_command(commands: Any) -> None:
    """Add the command to the parser's."""
    batch = commands.add_parser(
        "batch",
        help="run a list of jobs, on this machine or on a Ray cluster",
        description=_DESCRIPTION,
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
    add_worker_options(run)
    add_shared_options(run)
    run.add_argument("--force", action="store_true", help="replace outputs that another job made")
    add_output_options(run)
    add_recipe_options(batch, "audio", "image")
    batch.set_defaults(action=_batch)


def add_worker_options(run: Any) -> None:
    """Add what says who runs a list of jobs."""
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


def _batch(arguments: argparse.Namespace) -> int:
    teller = Teller(quiet=arguments.quiet)
    check_workers(arguments)
    tasks, table_path = _read(arguments, teller)
    table, interrupted = run_all(tasks, table_path, arguments, teller)
    return _end(table, interrupted=interrupted, quiet=arguments.quiet)


def check_workers(arguments: argparse.Namespace) -> None:
    """Refuse numbers of workers and retries that make no sense.

    Raises:
        ValueError: Naming the option.
    """
    for name, least in (("workers", 1), ("retries", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ValueError(f"--{name} must be at least {least}, got {value}")


def run_all(
    tasks: list[Task], table_path: Path, arguments: argparse.Namespace, teller: Teller
) -> tuple[Table, bool]:
    """Run the jobs that are not finished yet.

    Args:
        tasks: All jobs.
        table_path: Where their outcomes go.
        arguments: Of the command line.
        teller: Tells each outcome.

    Returns:
        The outcomes, and whether Ctrl-C came.
    """
    from specstyle.batch.scheduler import run_tasks

    todo, table = begin(tasks, table_path, arguments, teller)
    if not todo:
        return table, False
    pool = pool_for(arguments, len(todo))
    teller.note(f"{len(todo)} of {len(tasks)} jobs to run, {pool.workers} at a time")
    teller.expect(len(todo))

    def finished(outcome: Outcome) -> None:
        table.set(outcome)
        teller.finished(outcome)

    try:
        run_tasks(todo, pool, retries=arguments.retries, on_outcome=finished, on_note=teller.note)
    except KeyboardInterrupt:
        return table, True
    return table, False


def _read(arguments: argparse.Namespace, teller: Teller) -> tuple[list[Task], Path]:
    """Return the checked jobs, and where their table goes."""
    from specstyle.batch.lists import read_csv, read_folder

    jobs: Path = arguments.list
    if not jobs.is_dir():
        if arguments.output is not None:
            raise ValueError(f"--output is for a folder's results; {jobs} names an output for each job")
        return read_csv(jobs, common_of(arguments)), jobs.with_name(jobs.stem + ".results.csv")
    output = arguments.output or jobs / "results"
    tasks, ignored = read_folder(jobs, output, common_of(arguments))
    for line in ignored:
        teller.note(line)
    return tasks, output / "results.csv"


def common_of(arguments: argparse.Namespace) -> Common:
    """Return what the command line says for every job.

    Raises:
        ValueError: If this machine has no such device, or an option makes no sense for any job.
    """
    from specstyle.batch.jobs import Common
    from specstyle.run.settle import choose_device

    overrides = recipe_overrides(arguments)
    if overrides.get("init", "content") not in ("content", "style", "noise"):
        overrides["init"] = str(Path(overrides["init"]).absolute())
    if overrides.get("mask"):
        overrides["mask"] = str(Path(overrides["mask"]).absolute())
    weights = arguments.weights and arguments.weights.absolute()
    return Common(
        arguments.recipe,
        overrides,
        weights,
        arguments.preprocessing,
        arguments.seed,
        arguments.precision,
        arguments.tile,
        arguments.memory_limit,
        content_masks=_masks(getattr(arguments, "content_masks", ())),
        style_masks=_masks(getattr(arguments, "style_masks", ())),
        device=None if arguments.ray is not None else str(choose_device(arguments.device)),
    )


def _masks(given: Sequence[str]) -> tuple[str | Path, ...]:
    return tuple(mask if mask == "all" else Path(mask).absolute() for mask in given)


def begin(
    tasks: list[Task], path: Path, arguments: argparse.Namespace, teller: Teller
) -> tuple[list[Task], Table]:
    """Return the jobs that have to be run, and the table with what is known of the others."""
    from specstyle.batch.results import Table, state_of
    from specstyle.files import make_folder

    for note in dict.fromkeys(note for task in tasks for note in task.notes):
        teller.note(note)
    table = Table(path, tasks)
    states = [state_of(task) for task in tasks]
    again = ("waiting", "differs") if arguments.force else ("waiting",)
    make_folder(path.parent)
    table.set(*(state for state in states if state.status not in again))
    for state in states:
        if state.status not in again:
            teller.known(state)
    return [task for task, state in zip(tasks, states, strict=True) if state.status in again], table


def pool_for(arguments: argparse.Namespace, jobs: int) -> Pool:
    """Return the workers, none of them started."""
    if arguments.ray is not None:
        from specstyle.batch.cluster import RayPool

        return RayPool(arguments.ray, arguments.device, arguments.workers, jobs)
    from specstyle.batch.workers import LocalPool

    return LocalPool(arguments.device, arguments.workers, jobs)


def _end(table: Table, *, interrupted: bool, quiet: bool) -> int:
    if not quiet:
        print(table.format())
        print(f"{table.told()}; the table is in {table.path}")
    if interrupted:
        return complain(f"stopped by Ctrl-C: {table.told()}; the same command goes on", INTERRUPTED)
    return 0 if table.finished() else FAILURE


class Teller:
    """Tells each job on stderr as it ends.

    Args:
        quiet: Tell nothing but errors.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._ended, self._all = quiet, 0, 0

    def expect(self, jobs: int) -> None:
        """Say how many jobs there will be."""
        self._all = jobs

    def note(self, text: str) -> None:
        """Tell a line."""
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def known(self, outcome: Outcome) -> None:
        """Tell a job that is not run; one that is finished is no news."""
        if outcome.status == "differs":
            complain(f"job {outcome.job}, {outcome.output}: {outcome.error}", FAILURE)

    def finished(self, outcome: Outcome) -> None:
        """Tell a job that ended."""
        self._ended += 1
        if outcome.status == "failed":
            complain(f"job {outcome.job}, {outcome.output}: {outcome.error}", FAILURE)
        style = "" if outcome.style_loss_end is None else f", style loss {outcome.style_loss_end:.4g}"
        said = ""
        if outcome.steps is not None:
            said = f": {counted(outcome.steps, 'step')} in {outcome.seconds:.1f} s{style}"
        self.note(f"[{self._ended}/{self._all}] {outcome.output} {outcome.status}{said}")
