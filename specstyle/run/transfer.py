"""One run in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from specstyle.engine.optimize import NonFiniteLossError
from specstyle.run.build import choose_device, settle_recipe
from specstyle.run.request import Progress, Request, Result, TransferError
from specstyle.run.session import Session


def _ignore(_: Any) -> None:
    """Do nothing."""


def transfer(
    request: Request,
    *,
    on_step: Callable[[Progress], None] = _ignore,
    on_note: Callable[[str], None] = _ignore,
) -> Result:
    """Stylize a content by styles, without touching the disk but to read.

    Args:
        request: What to do.
        on_step: Called after each step; may raise ``StopRun`` to end with the best result so far.
        on_note: Called with each line that a user should know, as soon as it is known.

    Raises:
        RecipeError: If options do not fit together.
        FileError: If an input cannot be used.
        WeightsError: If the network's weights cannot be had.
        TransferError: If a loss became NaN or infinite; it carries the last good result.
    """
    started = time.monotonic()
    if not request.styles:
        raise ValueError("give at least one style")
    device = choose_device(request.device)
    recipe, notes = settle_recipe(
        request.medium, request.recipe, weights=request.weights, overrides=request.overrides
    )
    run = Session(request, recipe, device, on_step)
    notes += run.network.notes + run.notes
    for note in notes:
        on_note(note)
    failure: NonFiniteLossError | None = None
    try:
        state = run.optimize()
    except NonFiniteLossError as error:
        if error.state is None:
            raise TransferError(str(error), None) from error
        state, failure = error.state, error
    result = run.result(state, notes, started)
    if failure is not None:
        raise TransferError(str(failure), result) from failure
    return result


__all__ = ["Progress", "Request", "Result", "TransferError", "transfer"]
