"""How losses come from the device to the host: at once, or while the device works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from specstyle.engine.objective import summarize


@dataclass(frozen=True)
class UnderWay:
    """An evaluation whose losses are still to come, with copies of what was evaluated."""

    step: int
    names: tuple[str, ...]
    values: Callable[[], list[float]]
    image: Tensor
    parameters: list[Tensor]


def comes_late(device: torch.device) -> bool:
    """Return whether a device works on while its results are on their way."""
    return device.type == "cuda"


def sent(losses: dict[str, Tensor]) -> Callable[[], list[float]]:
    """Send losses to the host without waiting for them; return what waits, and gives them."""
    there = torch.stack(list(losses.values()))
    if there.device.type != "cuda":
        return there.tolist
    here = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
    here.copy_(there, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record(torch.cuda.current_stream(there.device))

    def values() -> list[float]:
        arrived.synchronize()
        found: list[float] = here.tolist()
        return found

    return values


def reported(losses: dict[str, Tensor]) -> dict[str, float]:
    """Bring losses to the host in one transfer, with their sums by group."""
    return named(tuple(losses), torch.stack(list(losses.values())).tolist())


def named(names: Sequence[str], numbers: Sequence[float]) -> dict[str, float]:
    """Return losses with their sums by group.

    Args:
        names: Of the terms.
        numbers: Their weighted losses.
    """
    values = dict(zip(names, numbers, strict=True))
    return {**summarize(values), **{name: value for name, value in values.items() if ":" in name}}
