"""Medians, paired wins and bootstrap intervals of scores over pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000


def median_interval(values: Sequence[float], *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Return a percentile bootstrap interval of the median (Efron & Tibshirani 1993, chapter 13).

    Args:
        values: One per pair.
        level: Coverage that is aimed at.
        seed: Of the resampling.
    """
    data = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    medians = np.median(data[rng.integers(0, data.size, (RESAMPLES, data.size))], axis=1)
    low, high = np.quantile(medians, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def wins(ours: Sequence[float], theirs: Sequence[float], *, higher_is_better: bool) -> int:
    """Return on how many pairs ours is strictly better.

    Args:
        ours: One score per pair.
        theirs: The other's scores of the same pairs.
        higher_is_better: The direction.
    """
    sign = 1.0 if higher_is_better else -1.0
    return sum(sign * a > sign * b for a, b in zip(ours, theirs, strict=True))
