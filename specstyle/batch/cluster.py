"""Workers as actors on a Ray cluster, one per GPU, or one per machine where there are none."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

from specstyle.batch.course import Death, as_death
from specstyle.batch.jobs import Task
from specstyle.batch.reach import check_reachable
from specstyle.batch.table import Outcome
from specstyle.errors import SpecstyleError, explain

GRACE_S = 5.0
"""A worker that is dismissed in the middle of a step has this long to end by itself."""


class _Actor:
    """A worker in a process of the cluster. Made an actor where it is hired, since Ray is optional."""

    def __init__(self, device: str) -> None:
        import threading

        from specstyle.batch.worker import Worker

        self._gone = threading.Event()
        self._worker = Worker(device, abandoned=self._gone.is_set)

    def pid(self) -> int:
        return os.getpid()

    def run(self, task: Task) -> Outcome | str | None:
        from specstyle.batch.worker import Abandoned, OutOfMemoryError

        try:
            return self._worker.run(task)
        except OutOfMemoryError as error:
            return str(error)
        except Abandoned:
            return None

    def leave(self) -> None:
        self._gone.set()


class RayCrew:
    """Workers on a Ray cluster. Files are read and written where they run, under the same paths as here.

    Args:
        address: ``auto``, ``local``, ``host:port`` or ``ray://host:port``.
        device: As for a run; ``auto`` takes the cluster's GPUs if it has any.
        workers: How many there are at most; ``None``: one per GPU, or one per machine without GPUs.

    Raises:
        SpecstyleError: If Ray is not installed, or there is no such cluster.
        ValueError: If that is no address.

    Attributes:
        workers: How many the cluster has room for.
        asks: What each of them needs.
    """

    def __init__(self, address: str, device: str, workers: int | None) -> None:
        self._ray = _connected(address)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        gpus = int(sum(node.get("GPU", 0) for node in nodes)) if device != "cpu" else 0
        cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        if not (gpus or cpus):
            raise SpecstyleError(f"--ray {address}: the cluster has neither GPUs nor CPUs to work on")
        self._device = device
        if gpus:
            self.workers = min(workers or gpus, gpus)
            self.asks = {"num_gpus": 1, "num_cpus": 1 if sum(cpus) >= self.workers else 0}
        else:
            self.workers = min(workers or len(cpus), sum(cpus))
            # Ray gives torch as many threads as CPUs are asked for.
            fair = sum(cpus) // self.workers
            self.asks = {"num_cpus": max(min(fair, *cpus), 1)}
        self._actors: dict[int, Any] = {}
        self._pids: dict[int, int] = {}
        self._calls: dict[Any, tuple[int, str]] = {}

    def hire(self, place: int) -> None:
        """Start a worker, in the place of one that died if there was one."""
        if place in self._actors:
            self._kill(place)
        self._pids.pop(place, None)
        # A second thread hears that the first shall leave its job.
        options = {**self.asks, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        actor = self._actors[place] = self._ray.remote(_Actor).options(**options).remote(self._device)
        self._calls[actor.pid.remote()] = (place, "pid")

    def give(self, place: int, task: Task) -> None:
        """Give an idle worker a job."""
        self._calls[self._actors[place].run.remote(task)] = (place, "run")

    def wait(self) -> tuple[int, Outcome | Death]:
        """Wait until a worker has finished its job or died."""
        while True:
            done, _ = self._ray.wait(list(self._calls), num_returns=1)
            place, what = self._calls.pop(done[0])
            try:
                came = self._ray.get(done[0])
            except self._ray.exceptions.RayError as error:
                if what == "run":
                    return place, Death(_reason(error), at_start=place not in self._pids)
                continue
            if what == "run":
                return place, as_death(came)
            self._pids[place] = came

    def pid(self, place: int) -> int | None:
        """Return the number of a worker's process, if it has started."""
        return self._pids.get(place)

    def dismiss(self) -> None:
        """End all workers and the connection; jobs that still run leave nothing behind."""
        running = [call for call, (_, what) in self._calls.items() if what == "run"]
        try:
            if running:
                for actor in self._actors.values():
                    actor.leave.remote()
                self._ray.wait(running, num_returns=len(running), timeout=GRACE_S)
        finally:
            for place in self._actors:
                self._kill(place)
            self._ray.shutdown()

    def _kill(self, place: int) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actors[place])


def _connected(address: str) -> Any:
    """Return Ray, connected to a cluster.

    Raises:
        SpecstyleError: If it is not installed, or there is no cluster.
        ValueError: If that is no address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without it Ray warns, at every start, of a default that will change.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise SpecstyleError("--ray needs Ray: pip install specstyle[ray]") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    check_reachable(address, ray)
    extra = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **extra)
    except Exception as error:  # of many kinds: no cluster, other versions, a bad address
        said = explain(error).removesuffix(" (--debug shows where)")
        raise SpecstyleError(
            f"--ray {address}: no connection to a cluster ({said}); start one by `ray start --head`, or give "
            "--ray local"
        ) from error
    return ray


def _reason(error: Exception) -> str:
    name = type(error).__name__.removesuffix("Error")
    return f"its worker on the cluster died ({name})"
