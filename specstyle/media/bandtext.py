"""Frequency bands as a recipe writes them."""

from __future__ import annotations

import math

from specstyle.errors import RecipeError


def read_band(text: str) -> tuple[float, float]:
    """Return the lower and the upper end of a band in Hz; an end that is missing is open.

    Raises:
        RecipeError: If it is no such band.

    >>> read_band("0-200"), read_band("4000-")
    ((0.0, 200.0), (4000.0, inf))
    """
    low, dash, high = text.partition("-")
    try:
        ends = float(low or 0.0), float(high or math.inf)
    except ValueError:
        ends = math.nan, math.nan
    if not dash or text.strip() == "-" or not 0.0 <= ends[0] < ends[1]:
        raise RecipeError(f"keep_band needs bands in Hz such as 0-200 or 4000-, got {text!r}")
    return ends
