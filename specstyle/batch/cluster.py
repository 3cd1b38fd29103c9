"""Workers as actors on a Ray cluster, one per GPU, or one per machine where there are none."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from concurrent.futures import Future
from typing import Any

from specstyle.batch.jobs import Task
from specstyle.batch.results import Outcome
from specstyle.batch.workers import Worker
from specstyle.errors import SpecstyleError, explain

PATIENCE_S = 3.0
"""How long a try to reach a host takes at most; Ray itself tries for more than a minute, with warnings."""


class RayPool:
    """Workers on a Ray cluster. Files are read and written where they run, under the same paths as here.

    Args:
        address: ``auto``, ``local``, ``host:port`` or ``ray://host:port``.
        device: As for a run; ``auto`` takes the cluster's GPUs if it has any.
        workers: How many there are at most; ``None``: one per GPU, or one per machine without GPUs.
        jobs: How many there are to run.

    Raises:
        SpecstyleError: If Ray is not installed, or there is no such cluster.
        ValueError: If that is no address.

    Attributes:
        workers: How many there are.
    """

    def __init__(self, address: str, device: str, workers: int | None, jobs: int) -> None:
        self._ray, self._device = _connected(address), device
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room, self._asks = room_on(nodes, device, workers)
        if not room:
            raise SpecstyleError(
                f"--ray {address}: the cluster has neither GPUs nor CPUs to work on; start nodes that have"
            )
        self.workers = min(room, jobs)

    def start(self, place: int) -> RayProcess:
        """Start a worker, anywhere."""
        # A second thread hears that the first shall leave its job.
        options = {**self._asks, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        return RayProcess(self._ray, self._ray.remote(Worker).options(**options).remote(self._device))

    def shutdown(self) -> None:
        """End the connection."""
        self._ray.shutdown()


class RayProcess:
    """A worker as an actor, by its handle."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.pid: Future[int] = actor.pid.remote().future()

    def submit(self, task: Task) -> Future[Outcome]:
        """Give it a job; an exception is its death."""
        future: Future[Outcome] = self._actor.run.remote(task).future()
        return future

    def reason(self, error: BaseException) -> str:
        """Return what is known of its death."""
        return f"its worker on the cluster died ({type(error).__name__.removesuffix('Error')})"

    def leave(self) -> None:
        """Ask it to leave its job after this step, with nothing written."""
        self._actor.leave.remote()

    def kill(self) -> None:
        """End it, if it has not ended."""
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actor)


def room_on(nodes: list[dict[str, float]], device: str, workers: int | None) -> tuple[int, dict[str, int]]:
    """Return how many workers a cluster has room for, and what each of them asks for.

    Args:
        nodes: The resources of each machine.
        device: As for a run.
        workers: How many there shall be at most; ``None``: one per GPU, or one per machine without GPUs.
    """
    gpus = int(sum(node.get("GPU", 0) for node in nodes)) if device != "cpu" else 0
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if gpus:
        count = min(workers or gpus, gpus)
        return count, {"num_gpus": 1, "num_cpus": 1 if sum(cpus) >= count else 0}
    if not cpus:
        return 0, {}
    count = min(workers or len(cpus), sum(cpus))
    # Ray gives torch as many threads as CPUs are asked for.
    return count, {"num_cpus": max(min(sum(cpus) // count, *cpus), 1)}


def check_reachable(address: str) -> None:
    """Refuse the address of a cluster where nobody answers.

    Args:
        address: ``auto``, ``local``, ``host:port`` or ``ray://host:port``.

    Raises:
        ValueError: If it is none of these.
        SpecstyleError: If nobody answers there.
    """
    found = os.environ.get("RAY_ADDRESS") if address == "auto" else address
    if address == "local" or found is None:
        return
    parts = re.fullmatch(r"(?:ray://)?([^\s:/]+|\[[^]]+]):(\d{1,5})", found)
    if parts is None or int(parts[2]) >= 2**16:
        whence = "" if found == address else f", which RAY_ADDRESS says is {found!r}"
        raise ValueError(f"--ray must be auto, local, HOST:PORT or ray://HOST:PORT, got {address!r}{whence}")
    try:
        socket.create_connection((parts[1].strip("[]"), int(parts[2])), PATIENCE_S).close()
    except (OSError, UnicodeError) as error:
        said = (getattr(error, "strerror", None) or str(error)).lower()
        raise _no_connection(address, f"{found}: {said}") from error


def _no_connection(address: str, said: str) -> SpecstyleError:
    return SpecstyleError(
        f"--ray {address}: no connection to a cluster ({said}); start one by `ray start --head`, or give "
        "--ray local"
    )


def _connected(address: str) -> Any:
    """Return Ray, connected to a cluster.

    Raises:
        SpecstyleError: If it is not installed, or there is no cluster.
        ValueError: If that is no address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without it Ray warns, at every start, of a default that will change.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address != "local":
        # Where something else than Ray answers, each of its twenty tries takes some forty seconds.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
    try:
        import ray
    except ImportError:
        raise SpecstyleError("--ray needs Ray: pip install specstyle[ray]") from None
    check_reachable(address)
    logging.getLogger("ray").setLevel(logging.ERROR)
    extra = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **extra)
    except Exception as error:  # of many kinds: no cluster, other versions, a bad address
        raise _no_connection(address, explain(error).removesuffix(" (--debug shows where)")) from error
    return ray
