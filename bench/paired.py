"""Loops that take turns, step by step, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import contextlib
import ctypes
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from specstyle.engine.optimize import StopRun

Loop = Callable[[Callable[[], None]], None]
"""Runs an optimization and calls its argument after each step; that call may raise ``StopRun``."""


def clock(device: str) -> Callable[[], float]:
    """Return a clock: processor time on a CPU, wall time of finished work on a GPU.

    Other work on the machine disturbs processor time least.
    """
    if not device.startswith("cuda"):
        return time.process_time

    def now() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


@dataclass(frozen=True)
class Spread:
    """A median with the quartiles around it."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} [{self.low:.2f}..{self.high:.2f}]"


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Spread:
    """Return the ratio of two loops' times: each turn's own, so that what slows both cancels."""
    return spread([a / b for a, b in zip(numerator, denominator, strict=True)])


class _Runner:
    """One loop in a thread that runs only while it is its turn."""

    def __init__(self, loop: Loop) -> None:
        self._loop, self._go, self._done = loop, threading.Semaphore(0), threading.Semaphore(0)
        self._stop, self.ended = False, False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._stop:
                self._loop(self._tick)
        except StopRun:
            pass
        except BaseException as error:
            self.error = error
        self.ended = True
        self._done.release()

    def _tick(self) -> None:
        self._done.release()
        self._go.acquire()
        if self._stop:
            raise StopRun

    def turn(self) -> None:
        """Let it make one step."""
        self._go.release()
        self._done.acquire()
        if self.error is not None:
            raise self.error
        if self.ended:
            raise RuntimeError("a loop ended before its turns were over")

    def stop(self) -> None:
        """End it."""
        self._stop = True
        self._go.release()
        self._thread.join()


def _share_one_heap() -> None:
    """Let all threads have their memory from one heap, as a run on the main thread has.

    glibc gives each thread one of its own, too small for large tensors: each of them is then mapped anew,
    page by page, and a loop took half as long again as the same loop in another thread.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


_M_ARENA_MAX = -8


def take_turns(
    loops: dict[str, Loop],
    *,
    warm_up: dict[str, int],
    rounds: int,
    now: Callable[[], float],
    within: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> dict[str, list[float]]:
    """Run loops in turns, one step each, and return the times of their steps.

    Args:
        loops: By name.
        warm_up: By name, first steps that are not timed (an L-BFGS fills its memory meanwhile).
        rounds: Steps of each that are.
        now: The clock.
        within: Where a loop of some name makes its steps: settings that hold for the whole process.
    """
    _share_one_heap()
    runners = {name: _Runner(loop) for name, loop in loops.items()}
    times: dict[str, list[float]] = {name: [] for name in loops}
    try:
        for name, runner in runners.items():
            for _ in range(warm_up[name]):
                with within(name):
                    runner.turn()
        for _ in range(rounds):
            for name, runner in runners.items():
                with within(name):
                    started = now()
                    runner.turn()
                    times[name].append(now() - started)
    finally:
        for runner in runners.values():
            runner.stop()
    return times
