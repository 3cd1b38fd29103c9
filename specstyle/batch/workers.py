"""Workers, which keep networks from one job to the next, as processes of this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import Pipe, active_children, get_context
from multiprocessing.connection import Connection
from typing import Any

import torch

from specstyle.batch.jobs import Task
from specstyle.batch.results import Outcome, outcome_of
from specstyle.engine.device import choose_device
from specstyle.errors import explain, is_out_of_memory
from specstyle.files import make_folder
from specstyle.run.api import ignore
from specstyle.run.job import run_job
from specstyle.run.objective import Cache
from specstyle.run.request import Job, TransferError


class Abandoned(BaseException):
    """Nobody waits for the job any more. Not an ``Exception``: nothing may take it for the job's failure."""


class Worker:
    """Runs jobs.

    Args:
        device: Where, unless a job's list says otherwise.
        threads: Of torch on the CPU; ``None``: as many as it takes by itself.
        workers: How many share the main memory, unless a job says how much it may take.
    """

    def __init__(self, device: str, threads: int | None = None, workers: int = 1) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._device, self._workers, self._cache, self._gone = device, workers, Cache(), threading.Event()

    def pid(self) -> int:
        """Return the number of its process."""
        return os.getpid()

    def leave(self) -> None:
        """Leave the job after its step, with nothing written."""
        self._gone.set()

    def run(self, task: Task) -> Outcome:
        """Run a job; what goes wrong is in its outcome.

        A job that is abandoned writes nothing. That, and memory that does not suffice, counts as the worker's
        death: a fresh process may have more.
        """
        try:
            job = self._placed(task)
            make_folder(job.output.parent)
            result, _ = run_job(job, on_step=self._step, on_note=ignore, on_stage=ignore, cache=self._cache)
        except Abandoned:
            return outcome_of(task, "died", error="its batch has ended")
        except TransferError as error:
            record = None if error.result is None else error.result.record
            return outcome_of(task, "failed", record, explain(error))
        except Exception as error:
            return outcome_of(task, "died" if is_out_of_memory(error) else "failed", error=explain(error))
        return outcome_of(task, "done", result.record)

    def _placed(self, task: Task) -> Job:
        """Return a job for this device, that leaves the other workers here their part of the main memory."""
        request = task.job.request
        if not task.pinned:
            request = dataclasses.replace(request, device=self._device)
        if request.memory_limit is None and choose_device(request.device).type != "cuda":
            request = dataclasses.replace(request, workers=self._workers)
        return dataclasses.replace(task.job, request=request)

    def _step(self, _: Any) -> None:
        if self._gone.is_set():
            raise Abandoned


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


class LocalPool:
    """Workers on this machine, one per device.

    Args:
        device: As for a run; workers take the devices it stands for in turns.
        workers: How many there are at most; ``None``: one per device.
        jobs: How many there are to run.

    Attributes:
        workers: How many there are.
        threads: Of each worker; ``None``: as many as torch takes.
    """

    def __init__(self, device: str, workers: int | None, jobs: int) -> None:
        self._devices = devices_of(device)
        self.workers = min(workers or len(self._devices), jobs)
        # Workers that each take all cores would only wait for each other.
        self.threads = None if self.workers == 1 else max(torch.get_num_threads() // self.workers, 1)

    def start(self, place: int) -> LocalProcess:
        """Start the worker of a place."""
        return LocalProcess(self._devices[place % len(self._devices)], self.threads, self.workers)

    def shutdown(self) -> None:
        """Do nothing: there are no more than the workers."""


class LocalProcess:
    """A worker in an executor of its own: its death is no other's.

    It is spawned and not forked, since neither CUDA nor OpenMP survives a fork.
    """

    def __init__(self, device: str, threads: int | None, workers: int) -> None:
        reader, self._line = Pipe(duplex=False)
        others = active_children()
        with _apart():
            own = (device, threads, workers, reader)
            self._executor = ProcessPoolExecutor(1, get_context("spawn"), _begin, own)
            self.pid = self._executor.submit(os.getpid)
        self._processes = [process for process in active_children() if process not in others]
        reader.close()

    def submit(self, task: Task) -> Future[Outcome]:
        """Give it a job; an exception is its death."""
        try:
            return self._executor.submit(_run, task)
        except BrokenProcessPool as error:  # it died since its last job
            future: Future[Outcome] = Future()
            future.set_exception(error)
            return future

    def reason(self, error: BaseException) -> str:
        """Return what is known of its death."""
        if not isinstance(error, BrokenProcessPool):
            return str(error)
        self._executor.shutdown()
        code = next((process.exitcode for process in self._processes), None) or 0
        if code >= 0:
            return f"its worker ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"its worker was ended by {name}" + "; is there enough memory?" * (name == "SIGKILL")

    def leave(self) -> None:
        """Ask it to leave its job after this step, with nothing written."""
        self._line.close()

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._line.close()
        for process in self._processes:
            process.kill()
        self._executor.shutdown(cancel_futures=True)


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


def _begin(device: str, threads: int | None, workers: int, line: Connection) -> None:
    """Make this process a worker, until the other end of a line is closed or killed."""
    _worker.append(Worker(device, threads, workers))

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            line.recv()
        _worker[0].leave()
        with _busy:  # a running job is left after its step
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _run(task: Task) -> Outcome:
    with _busy:
        return _worker[0].run(task)
