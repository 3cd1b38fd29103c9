"""An objective as one CUDA graph: a step costs one launch instead of hundreds."""

from __future__ import annotations

import torch
from torch import Tensor

from specstyle.engine.objective import Objective

WARM_UP = 3
"""Evaluations before the capture: libraries choose their algorithms and workspaces in them."""


class CapturedObjective(Objective):
    """The same losses and gradient, recorded once for an image's shape and replayed.

    What cannot be recorded (a loss that asks the host) is evaluated as before.

    Args:
        objective: Of whole images on a CUDA device.

    Reference:
        https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__(objective.features, objective.terms)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._failed = False
        self._image: Tensor
        self._losses: Tensor
        self._gradient: Tensor

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum with respect to the image."""
        if self._graph is None and not self._failed:
            try:
                self._record(image)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError):  # what is wrong beyond recording comes up again below
                self._failed = True
        if self._graph is None:
            return super().value_and_grad(image)
        self._image.copy_(image.detach())
        self._graph.replay()
        # The next replay writes over both.
        losses = self._losses.clone().unbind()
        return dict(zip((t.name for t in self.terms), losses, strict=True)), self._gradient.clone()

    def _record(self, image: Tensor) -> None:
        self._image = image.detach().clone()
        side = torch.cuda.Stream(image.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(image.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                super().value_and_grad(self._image)
        torch.cuda.current_stream(image.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            losses, self._gradient = super().value_and_grad(self._image)
            self._losses = torch.stack([losses[term.name] for term in self.terms])
        self._graph = graph
