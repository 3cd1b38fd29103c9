"""Workers as processes of this machine, one per device."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

import specstyle
from specstyle.batch.course import Death, as_death
from specstyle.batch.jobs import Task
from specstyle.batch.table import Outcome
from specstyle.run.memory import GIB, free_main_memory
from specstyle.run.settle import choose_device

GRACE_S = 5.0
"""A worker that is dismissed in the middle of a step has this long to end by itself."""


def devices_of(device: str) -> list[str]:
    """Return the devices of this machine on which jobs run side by side.

    Args:
        device: As for a run. ``auto`` and ``cuda`` mean every CUDA device that there is.

    Raises:
        ValueError: If the device is unknown or not on this machine.
    """
    chosen = choose_device(device)
    if chosen.type == "cuda" and ":" not in device:
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [str(chosen)]


class LocalCrew:
    """Worker processes that get tasks on their standard input and answer on their standard output.

    They are plain commands and no forks, since neither CUDA nor OpenMP survives a fork; and they have a
    session of their own, so that Ctrl-C on a terminal reaches only the one who can end them in order.

    Args:
        devices: Where workers run, in turns.
        threads: Of each worker; ``None``: as many as torch takes.
        workers: How many there will be, at most: what main memory is free now is shared out among them.
    """

    def __init__(self, devices: list[str], threads: int | None, workers: int = 1) -> None:
        self._devices, self._threads = devices, threads
        self._share = "-" if workers == 1 else f"{free_main_memory() / workers / GIB:.3f}"
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._ready: dict[int, bool] = {}
        self._came: queue.Queue[tuple[int, Any]] = queue.Queue()

    def hire(self, place: int) -> None:
        """Start a worker, in the place of one that died if there was one."""
        if place in self._processes:
            _end(self._processes[place])
        device = self._devices[place % len(self._devices)]
        threads = "-" if self._threads is None else str(self._threads)
        self._ready[place] = False
        process = self._processes[place] = subprocess.Popen(
            [sys.executable, "-m", "specstyle.batch.worker", device, threads, self._share],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(place, process), daemon=True).start()

    def _listen(self, place: int, process: subprocess.Popen[bytes]) -> None:
        """Pass on a worker's answers; the end of them is its death."""
        try:
            with process.stdout or io.BytesIO() as answers:
                while True:
                    self._came.put((place, pickle.load(answers)))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._came.put((place, process))

    def give(self, place: int, task: Task) -> None:
        """Give an idle worker a job."""
        pipe = self._processes[place].stdin
        # If the worker is dead, the end of its answers says so.
        with contextlib.suppress(OSError):
            if pipe is not None:
                pickle.dump(task, pipe)
                pipe.flush()

    def wait(self) -> tuple[int, Outcome | Death]:
        """Wait until a worker has finished its job or died."""
        while True:
            place, came = self._came.get()
            if came == "ready":
                self._ready[place] = True
            elif not isinstance(came, subprocess.Popen):
                return place, as_death(came)
            elif came is self._processes.get(place):  # not one that was replaced
                return place, Death(_reason(came.wait()), at_start=not self._ready[place])

    def pid(self, place: int) -> int | None:
        """Return the number of a worker's process."""
        return self._processes[place].pid if place in self._processes else None

    def dismiss(self) -> None:
        """End all workers; jobs that still run leave nothing behind."""
        end = time.monotonic() + GRACE_S
        try:
            for process in self._processes.values():
                _hang_up(process)
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(end - time.monotonic(), 0.0))
        finally:
            for process in self._processes.values():
                _end(process)


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Say by the end of its input that nobody waits for a worker any more."""
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    _hang_up(process)
    process.kill()
    process.wait()


def _environment() -> dict[str, str]:
    """Return an environment in which a worker imports this very package, and nothing that lies around."""
    home = str(Path(specstyle.__file__).parents[1])
    others = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([home, *([others] if others else [])]),
        "PYTHONSAFEPATH": "1",
    }


def _reason(code: int) -> str:
    if code >= 0:
        return f"its worker ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    said = "; is there enough memory?" if name == "SIGKILL" else ""
    return f"its worker was ended by {name}{said}"
