"""What is told of a run on several processes, of which each meets most errors: once, by the first one."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from specstyle.cli.progress import USAGE, complain
from specstyle.errors import explain

PATIENCE_S = 5.0
"""So long a process keeps an error to itself: torchrun ends it before that if the first one met it, too."""

_INSTEAD = {
    "batch": "; --workers N and --ray ADDRESS run several jobs at a time",
    "sweep": "; --workers N and --ray ADDRESS run several points at a time",
    "demo": "; it takes one process",
}


def is_launched_by_torchrun(environment: Mapping[str, str]) -> bool:
    """Return whether ``torchrun`` started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in environment and int(environment.get("WORLD_SIZE", "1")) > 1


def rank_of(environment: Mapping[str, str]) -> int:
    """Return the number of this process among those that ``torchrun`` started; 0 if it is alone."""
    return int(environment.get("RANK", "0")) if is_launched_by_torchrun(environment) else 0


def refuse_team(command: str, environment: Mapping[str, str]) -> None:
    """Refuse several processes for a command that all of them would run alike, on the same outputs.

    Raises:
        ValueError: Saying what to do instead.
    """
    if is_launched_by_torchrun(environment):
        raise ValueError(
            f"torchrun started {environment['WORLD_SIZE']} processes, and each would do all that `specstyle "
            f"{command}` does; start it without torchrun{_INSTEAD.get(command, '')}"
        )


def complain_once(error: Exception, code: int, rank: int) -> int:
    """Print an error in one line, unless another process does; return the exit code.

    Args:
        error: What went wrong.
        code: The exit code.
        rank: Of this process. From 1 on it waits: torchrun ends all processes as soon as one has failed, so
            who is left to speak met an error of its own. Nobody waits to tell that another process is gone,
            which may have been killed in silence.
    """
    if is_launched_by_torchrun(os.environ):
        from specstyle.engine.distrib import TeamError

        gone = isinstance(error, TeamError)
        first = _is_first_to_tell() if gone or rank == 0 else False
        if gone:
            return complain(explain(error), code) if first else code
    if rank == 0:
        return complain(explain(error), code)
    time.sleep(PATIENCE_S)
    return complain(f"rank {rank}: {explain(error)}", code)


def _is_first_to_tell() -> bool:
    """Return whether no other process of the team has told of an error; ``True`` if nobody knows."""
    # The store is torchrun's: it outlives the processes.
    with contextlib.suppress(Exception):
        from torch.distributed import distributed_c10d

        return bool(distributed_c10d._get_default_store().add("specstyle/errors", 1) == 1)
    return True


def parsed(
    parse: Callable[[Sequence[str] | None], argparse.Namespace], argv: Sequence[str] | None, rank: int
) -> argparse.Namespace:
    """Return the arguments that a parser makes of a command line; what is wrong is told once.

    Args:
        parse: The parser's method.
        argv: The command line.
        rank: Of this process.
    """
    if rank == 0:
        return parse(argv)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            return parse(argv)
    except SystemExit as end:
        if end.code == USAGE:  # all processes have the same command line
            time.sleep(PATIENCE_S)
        sys.exit(end.code)
