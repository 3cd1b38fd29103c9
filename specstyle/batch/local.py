"""Workers as processes of this machine, one per device."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import Pipe, active_children, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch

from specstyle.batch.jobs import Task
from specstyle.batch.results import Outcome
from specstyle.batch.scheduler import GRACE_S, Death
from specstyle.batch.worker import Worker
from specstyle.run.build import choose_device
from specstyle.run.planning import GIB, free_main_memory


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


@dataclass
class _Place:
    executor: ProcessPoolExecutor
    ready: Future[int]
    processes: list[BaseProcess]
    line: Connection


class LocalPool:
    """Worker processes, each in an executor of its own: the death of one is no other's.

    They are spawned and not forked, since neither CUDA nor OpenMP survives a fork.

    Args:
        device: As for a run; workers take the devices it stands for in turns.
        workers: How many there are at most; ``None``: one per device.
        jobs: How many there are to run.

    Attributes:
        workers: How many there are.
        threads: Of each worker; ``None``: as many as torch takes.
        share: The main memory for each, in GiB: its part of what is free now; ``None``: all.
    """

    def __init__(self, device: str, workers: int | None, jobs: int) -> None:
        self._devices = devices_of(device)
        self.workers = min(workers or len(self._devices), jobs)
        alone = self.workers == 1
        # Workers that each take all cores would only wait for each other.
        self.threads = None if alone else max(torch.get_num_threads() // self.workers, 1)
        self.share = None if alone else free_main_memory() / self.workers / GIB
        self._places: dict[int, _Place] = {}
        self._running: dict[Future[Outcome], int] = {}

    def start(self, place: int) -> None:
        """Start a worker, in the place of one that died if there was one."""
        if place in self._places:
            _end(self._places[place])
        reader, line = Pipe(duplex=False)
        own = (self._devices[place % len(self._devices)], self.threads, self.share, reader)
        others = active_children()
        with _apart():
            executor = ProcessPoolExecutor(1, get_context("spawn"), _begin, own)
            ready = executor.submit(os.getpid)
        started = [process for process in active_children() if process not in others]
        self._places[place] = _Place(executor, ready, started, line)
        reader.close()

    def submit(self, place: int, task: Task) -> None:
        """Give an idle worker a job."""
        try:
            future = self._places[place].executor.submit(_run, task)
        except BrokenProcessPool as error:  # it died since its last job
            future = Future()
            future.set_exception(error)
        self._running[future] = place

    def wait(self) -> tuple[int, Outcome | Death]:
        """Wait until a worker has finished its job or died."""
        future = wait(self._running, return_when=FIRST_COMPLETED).done.pop()
        number = self._running.pop(future)
        place, error = self._places[number], future.exception()
        if error is None:
            return number, future.result()
        if not isinstance(error, BrokenProcessPool):
            return number, Death(str(error))
        place.executor.shutdown()
        return number, Death(_reason(place), at_start=place.ready.exception() is not None)

    def pid(self, place: int) -> int | None:
        """Return the number of a worker's process, if it is known."""
        return next((process.pid for process in self._places[place].processes), None)

    def shutdown(self) -> None:
        """End all workers; jobs that still run leave nothing behind."""
        end = time.monotonic() + GRACE_S
        try:
            for place in self._places.values():
                place.line.close()
            for place in self._places.values():
                for process in place.processes:
                    process.join(max(end - time.monotonic(), 0.0))
        finally:
            for place in self._places.values():
                _end(place)


def _end(place: _Place) -> None:
    place.line.close()
    for process in place.processes:
        process.kill()
    place.executor.shutdown(cancel_futures=True)


def _reason(place: _Place) -> str:
    code = next((process.exitcode for process in place.processes), None) or 0
    if code >= 0:
        return f"its worker ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    said = "; is there enough memory?" if name == "SIGKILL" else ""
    return f"its worker was ended by {name}{said}"


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """Let processes start that import nothing which lies in the current folder, and that Ctrl-C passes by.

    Who started them ends them, in order.
    """
    handler, safe = signal.signal(signal.SIGINT, signal.SIG_IGN), os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        os.environ.pop("PYTHONSAFEPATH")
        os.environ.update({} if safe is None else {"PYTHONSAFEPATH": safe})


_worker: list[Worker] = []
_busy = threading.Lock()
"""What a process that is a worker holds: itself, and whether it is at a job."""


def _begin(device: str, threads: int | None, share: float | None, line: Connection) -> None:
    """Make this process a worker, until the other end of a line is closed or killed."""
    gone = threading.Event()
    _worker.append(Worker(device, threads, gone.is_set, share))

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            line.recv()
        gone.set()
        with _busy:  # a running job is left after its step
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _run(task: Task) -> Outcome:
    with _busy:
        return _worker[0].run(task)
