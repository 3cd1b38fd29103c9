"""A worker: runs one job after another in a process, and keeps networks and styles from one to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from specstyle.batch.jobs import Task
from specstyle.batch.results import Outcome, outcome_of
from specstyle.errors import explain, is_out_of_memory
from specstyle.run.build import choose_device
from specstyle.run.job import run_job
from specstyle.run.output import make_folder
from specstyle.run.request import Job, TransferError
from specstyle.run.warm import Warm


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
        self._device, self._abandoned, self._warm, self._share = device, abandoned, Warm(), share

    def run(self, task: Task) -> Outcome:
        """Run a job; what goes wrong is in its outcome.

        Raises:
            OutOfMemoryError: If memory did not suffice.
            Abandoned: If nobody waits for it any more; nothing is written then.
        """
        try:
            job = self._placed(task)
            make_folder(job.output.parent)
            result, _ = run_job(job, on_step=self._leave, on_note=_ignore, on_stage=_ignore, warm=self._warm)
        except TransferError as error:
            record = None if error.result is None else error.result.record
            return outcome_of(task, "failed", record, explain(error))
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(explain(error)) from error
            return outcome_of(task, "failed", error=explain(error))
        return outcome_of(task, "done", result.record)

    def _placed(self, task: Task) -> Job:
        """Return a job for this device, that leaves the other workers here their part of the main memory."""
        request = task.job.request
        if not task.pinned:
            request = dataclasses.replace(request, device=self._device)
        if request.memory_limit is None and choose_device(request.device).type != "cuda":
            request = dataclasses.replace(request, memory_limit=self._share)
        return dataclasses.replace(task.job, request=request)

    def _leave(self, _: Any) -> None:
        if self._abandoned():
            raise Abandoned


def _ignore(_: Any) -> None:
    """Do nothing."""
