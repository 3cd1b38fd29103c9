"""An objective as one CUDA graph: a step costs one launch instead of hundreds."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from specstyle.engine.objective import Objective
from specstyle.errors import is_out_of_memory

WARM_UP = 3
"""Evaluations before the capture: libraries choose their algorithms and workspaces in them."""

_NEAR_LOSSES, _NEAR_GRADIENT = 0.01, 0.1
"""How far the first replay may lie from what was evaluated: more than sums in another order ever do, in bf16,
too, and far less than a graph in which something is missing."""


def ignore(_: str) -> None:
    """Do nothing with a note."""


class CapturedObjective(Objective):
    """The same losses and gradient, recorded once for an image's shape and replayed.

    What cannot be recorded (a loss that asks the host), or does not give the same when it is replayed, is
    evaluated as before, and the reason is told.

    Args:
        objective: Of whole images on a CUDA device, not necessarily the current one.
        on_note: Called with a line for the user if there is no graph.

    Reference:
        https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """

    def __init__(self, objective: Objective, on_note: Callable[[str], None] = ignore) -> None:
        super().__init__(objective.features, objective.terms)
        self._on_note = on_note
        self._graph: torch.cuda.CUDAGraph | None = None
        self.failure: str | None = None
        self._image: Tensor
        self._losses: Tensor
        self._gradient: Tensor

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum with respect to the image."""
        if self._graph is None and self.failure is None:
            self._try_to_record(image)
        if self._graph is None:
            return super().value_and_grad(image)
        with torch.cuda.device(image.device):
            self._image.copy_(image.detach())
            self._graph.replay()
            # The next replay writes over both.
            losses = self._losses.clone().unbind()
            return dict(zip((t.name for t in self.terms), losses, strict=True)), self._gradient.clone()

    def _try_to_record(self, image: Tensor) -> None:
        """Record, or say why not."""
        try:
            self._record(image)
        except (RuntimeError, ValueError) as error:  # what is wrong beyond recording comes up again
            self._let_go()
            if is_out_of_memory(error):
                raise
            self.failure = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self._on_note(f"steps are not recorded as a CUDA graph, and take longer: {self.failure}")

    def _let_go(self) -> None:
        """Free what a recording that came to nothing holds."""
        self._graph = None
        for name in ("_image", "_losses", "_gradient"):
            self.__dict__.pop(name, None)

    def _record(self, image: Tensor) -> None:
        with torch.cuda.device(image.device):
            here = torch.cuda.current_stream()
            side = _side(image.device)
            self._image = image.detach().clone()
            side.wait_stream(here)
            with torch.cuda.stream(side):
                for _ in range(WARM_UP - 1):
                    super().value_and_grad(self._image)
                with _waiting_fails():
                    losses, gradient = super().value_and_grad(self._image)
            here.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            try:
                # Its own stream would stay on the device of its first use.
                with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                    recorded, self._gradient = super().value_and_grad(self._image)
                    self._losses = self._stacked(recorded)
            finally:
                torch.cuda.set_stream(here)  # a capture that fails leaves its own behind
            self._check(graph, self._stacked(losses), gradient)
            self._graph = graph

    def _stacked(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.stack([losses[term.name] for term in self.terms])

    def _check(self, graph: torch.cuda.CUDAGraph, losses: Tensor, gradient: Tensor) -> None:
        """Replay for the first time, and compare.

        Raises:
            RuntimeError: If the replay is not what was evaluated.
        """
        if not bool(losses.isfinite().all()):
            return  # which is for the run to tell
        for filled in (self._losses, self._gradient):
            filled.fill_(torch.nan)  # or what an empty graph leaves as it was would pass for its work
        graph.replay()
        near = (self._losses - losses).abs().amax() <= _NEAR_LOSSES * losses.abs().amax()
        along = (self._gradient - gradient).norm() <= _NEAR_GRADIENT * gradient.norm()
        if not bool(near & along):
            raise RuntimeError("the first replay of the graph did not give what was evaluated")


@contextlib.contextmanager
def _waiting_fails() -> Iterator[None]:
    """Let fail what makes the host wait for a device: it cannot be recorded.

    Found before a recording, that costs nothing. A recording that fails keeps what it had allocated until the
    process ends, and no memory of the device can be given back any more (torch 2.11's ``capture_end``).
    """
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch calls this mode a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)


@functools.cache
def _side(device: torch.device) -> torch.cuda.Stream:
    """Return the stream on which a device's graphs are recorded: each has workspaces that are never freed."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


def captured(
    objective: Objective, device: torch.device, on_note: Callable[[str], None] = ignore
) -> Objective:
    """Return an objective as one CUDA graph if it can be one: on whole images, with a network of layers.

    Args:
        objective: Any.
        device: Where it is evaluated.
        on_note: See ``CapturedObjective``.
    """
    whole = type(objective) is Objective and hasattr(objective.features, "strides")
    return CapturedObjective(objective, on_note) if whole and device.type == "cuda" else objective
