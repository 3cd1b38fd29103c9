"""One run in memory."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from specstyle.engine.optimize import NonFiniteLossError
from specstyle.errors import RecipeError
from specstyle.run.build import choose_device, settle_request
from specstyle.run.checkpoints import Keeper
from specstyle.run.course import Course
from specstyle.run.planning import check_tile
from specstyle.run.precision import convolutions_in
from specstyle.run.request import Progress, Request, Result, Stage, TransferError
from specstyle.run.session import Session
from specstyle.run.shortage import explained
from specstyle.run.warm import COLD, Warm


def _ignore(_: Any) -> None:
    """Do nothing."""


def transfer(
    request: Request,
    *,
    on_step: Callable[[Progress], None] = _ignore,
    on_note: Callable[[str], None] = _ignore,
    on_stage: Callable[[Stage], None] = _ignore,
    warm: Warm = COLD,
    keeper: Keeper | None = None,
) -> Result:
    """Stylize a content by styles, without touching the disk but to read.

    Args:
        request: What to do.
        on_step: Called after each step; may raise ``StopRun`` to end with the best result so far.
        on_note: Called with each line that a user should know, as soon as it is known.
        on_stage: Called as each stage begins: ``optimize`` after the inputs and the network were read, then
            ``finish``, the way from the image back to a sound or picture.
        warm: Networks and styles of earlier runs; by default nothing is kept.
        keeper: Keeps the run as it goes, and has where to go on from.

    Raises:
        RecipeError: If options do not fit together.
        FileError: If an input cannot be used.
        WeightsError: If the network's weights cannot be had.
        TransferError: If a loss became NaN or infinite; it carries the last good result.
        ShortageError: If memory does not suffice, in tiles either.
    """
    started = time.monotonic()
    run, notes = _prepare(request, on_step, on_note=on_note, warm=warm, keeper=keeper)
    notes += run.outlook.notes()
    for note in notes:
        on_note(note)
    failure: NonFiniteLossError | None = None
    on_stage("optimize")
    try:
        with _explained(run), convolutions_in(run.precision):
            state = Course(run).optimize()
    except NonFiniteLossError as error:
        if error.state is None:
            raise TransferError(str(error), None) from error
        state, failure = error.state, error
    on_stage("finish")
    notes += tuple(run.told)
    with _explained(run):
        result = run.result(state, notes, started, None if failure is None else str(failure))
    for note in result.notes[len(notes) :]:
        on_note(note)
    if failure is not None:
        raise TransferError(str(failure), result) from failure
    return result


def _explained(run: Session) -> contextlib.AbstractContextManager[None]:
    """Return what says in one line that memory did not suffice."""
    return explained(run.recipe, run.request.medium, kept=run.keeper is not None)


def _prepare(
    request: Request,
    on_step: Callable[[Progress], None],
    *,
    on_note: Callable[[str], None] = _ignore,
    warm: Warm = COLD,
    keeper: Keeper | None = None,
) -> tuple[Session, tuple[str, ...]]:
    """Return what is ready to run, and what the user should be told of it."""
    _check(request)
    device = choose_device(request.device)
    recipe, notes = settle_request(request)
    run = Session(request, recipe, device, on_step, on_note=on_note, warm=warm, keeper=keeper)
    return run, notes + run.network.notes + run.notes


def _check(request: Request) -> None:
    """Refuse what no recipe can mend.

    Raises:
        ValueError: If the medium, the seed, the styles or how the run is done make no sense.
    """
    if request.medium not in ("audio", "image"):
        raise ValueError(f"medium must be audio or image, got {request.medium!r}")
    if not request.styles:
        raise ValueError("give at least one style")
    if not 0 <= request.seed < 2**63:
        raise ValueError(f"seed must be from 0 to 2^63 - 1, got {request.seed}")
    check_tile(request.tile)
    check_memory_limit(request.memory_limit)
    every: Any = request.report_every
    if isinstance(every, bool) or not isinstance(every, Integral) or every < 1:
        raise ValueError(f"report_every must be a whole number of steps from 1 on, got {every!r}")
    if request.preprocessing is not None and request.weights is None:
        raise RecipeError("preprocessing describes the file of --weights; give both or neither")


def check_memory_limit(limit: Any) -> None:
    """Refuse a limit of memory that is none.

    Args:
        limit: In GiB; ``None``: what is free.

    Raises:
        ValueError: If it is neither ``None`` nor a number above 0.
    """
    number = not isinstance(limit, bool) and isinstance(limit, Real) and math.isfinite(limit)
    if limit is not None and not (number and limit > 0):
        raise ValueError(f"memory_limit must be a number of GiB above 0, got {limit!r}")


__all__ = [
    "Progress",
    "Request",
    "Result",
    "Stage",
    "TransferError",
    "check_memory_limit",
    "transfer",
]
