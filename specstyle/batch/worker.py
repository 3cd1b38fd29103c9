"""A worker: runs one job after another in a process, and keeps networks and styles from one to the next."""

from __future__ import annotations

import dataclasses
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from specstyle.batch.jobs import Task
from specstyle.batch.table import Outcome, outcome_of
from specstyle.errors import explain, is_out_of_memory
from specstyle.files import make_folder
from specstyle.run.cache import Cache
from specstyle.run.job import run_job
from specstyle.run.request import Job, TransferError
from specstyle.run.settle import choose_device


class Abandoned(BaseException):
    """Nobody waits for the job any more. Not an ``Exception``: nothing may take it for the job's failure."""


class OutOfMemoryError(Exception):
    """Memory did not suffice for a job; a fresh process may have more."""


class Worker:
    """Runs jobs.

    Args:
        device: Where, unless a job's list says otherwise.
        threads: Of torch on the CPU; ``None``: as many as it takes by itself.
        abandoned: Asked after each step whether to leave the job.
        share: The main memory that a job may take that runs in it, in GiB, unless the job says otherwise.
    """

    def __init__(
        self,
        device: str,
        threads: int | None = None,
        abandoned: Callable[[], bool] = lambda: False,
        share: float | None = None,
    ) -> None:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self._device, self._abandoned, self._cache, self._share = device, abandoned, Cache(), share

    def run(self, task: Task) -> Outcome:
        """Run a job; what goes wrong is in its outcome.

        Raises:
            OutOfMemoryError: If memory did not suffice.
            Abandoned: If nobody waits for it any more; nothing is written then.
        """
        job = task.job
        if not task.pinned:
            job = dataclasses.replace(job, request=dataclasses.replace(job.request, device=self._device))
        try:
            job = self._within_share(job)
            make_folder(job.output.parent)
            result, _ = run_job(
                job, on_step=self._leave, on_note=_ignore, on_stage=_ignore, cache=self._cache
            )
        except TransferError as error:
            return outcome_of(
                task, "failed", None if error.result is None else error.result.record, explain(error)
            )
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(explain(error)) from error
            return outcome_of(task, "failed", error=explain(error))
        return outcome_of(task, "done", result.record)

    def _within_share(self, job: Job) -> Job:
        """Return a job that leaves the other workers of this machine their part of the main memory."""
        request = job.request
        if request.memory_limit is not None or choose_device(request.device).type == "cuda":
            return job
        return dataclasses.replace(job, request=dataclasses.replace(request, memory_limit=self._share))

    def _leave(self, _: Any) -> None:
        if self._abandoned():
            raise Abandoned


def _ignore(_: Any) -> None:
    """Do nothing."""


def serve(
    tasks: BinaryIO, answers: BinaryIO, device: str, threads: int | None, share: float | None = None
) -> None:
    """Run pickled tasks from a stream until it ends, and answer each with its pickled outcome.

    The end of the stream, which comes also if the other side is killed, ends a running job after its step.
    """
    waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    gone = threading.Event()

    def read() -> None:
        try:
            while True:
                waiting.put(pickle.load(tasks))
        except (EOFError, OSError, pickle.UnpicklingError):
            gone.set()
            waiting.put(None)

    def answer(value: Any) -> None:
        pickle.dump(value, answers)
        answers.flush()

    threading.Thread(target=read, daemon=True).start()
    worker = Worker(device, threads, gone.is_set, share)
    answer("ready")
    while (task := waiting.get()) is not None:
        try:
            answer(worker.run(task))
        except OutOfMemoryError as error:  # noqa: PERF203
            answer(error)


def main() -> None:
    """Serve on standard input and output; arguments: device, threads and share of memory, each or ``-``."""
    device, threads, share = sys.argv[1:]
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        own = (None if threads == "-" else int(threads)), (None if share == "-" else float(share))
        serve(sys.stdin.buffer, answers, device, *own)
    except (Abandoned, BrokenPipeError):
        # The reader thread may hold the lock of standard input, which an orderly exit would wait for.
        os._exit(0)


if __name__ == "__main__":
    main()
