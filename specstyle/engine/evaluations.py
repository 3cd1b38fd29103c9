"""What happens at each evaluation of a run: it is counted, checked, reported, and the best one is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.canvas import Canvas
from specstyle.engine.objective import Objective, summarize
from specstyle.errors import SpecstyleError

AVERAGE_DECAY = 0.99
"""What a moving average of the images keeps of itself at each of them (Crowson 2021)."""


class StopRun(Exception):  # noqa: N818 (it is a request, not an error)
    """Raised by an ``on_step`` function to end the run with the best result so far."""


class NonFiniteLossError(SpecstyleError):
    """A loss became NaN or infinite.

    Attributes:
        step: The step at which it did, counted from 1.
        state: The run up to the last good step, or ``None`` if there was none.
    """

    def __init__(self, step: int, state: State | None) -> None:
        self.step, self.state = step, state
        kept = "the result of the step before it is kept" if state else "there is no earlier result"
        super().__init__(
            f"the loss became NaN or infinite at step {step}; {kept}; "
            "lower the weights, or the learning rate of adam and sgd"
        )


@dataclass(frozen=True)
class Step:
    """One finished evaluation.

    Attributes:
        step: Its number in this call of ``optimize``, from 1.
        steps: How many there will be.
        losses: Weighted losses: ``total``, then by group (``content``, ``style``, ``tv``), then by term.
        image: Returns a copy of the image that was evaluated, ``[B, C, H, W]``. It and ``parameters`` are to
            be called before ``on_step`` returns.
        parameters: Returns copies of the canvas' parameters that made it.
    """

    step: int
    steps: int
    losses: dict[str, float]
    image: Callable[[], Tensor]
    parameters: Callable[[], list[Tensor]] = list


@dataclass
class State:
    """Where a run has come to.

    Attributes:
        image: The result by the rule of ``keep``, ``[B, C, H, W]``.
        parameters: The canvas' parameters that made it (for an average: those of the last image).
        steps: Evaluations made.
        losses_start: Losses of the first image.
        losses_end: Losses of the result.
        stopped: Whether an ``on_step`` function ended the run early.
        memory: The optimizer's: Adam's step count and two averages (``step``, ``exp_avg``, ``exp_avg_sq``),
            or L-BFGS' steps and changes of gradient (``pairs``, the oldest first), in the parameters' shape.
    """

    image: Tensor
    parameters: list[Tensor]
    steps: int
    losses_start: dict[str, float]
    losses_end: dict[str, float]
    stopped: bool = False
    memory: dict[str, Any] = field(default_factory=dict)


SafePoint = Callable[[int, Callable[[], dict[str, Any]]], None]
"""Called between two steps with the number made and a function that returns all that it takes to go on."""


_SAVED = ("done", "first", "kept", "kept_parameters", "average", "average_count")
"""Of a ``Run``, what a snapshot holds beside the parameters."""


class Run:
    """Evaluations of one call of ``optimize``: counted, checked, reported, and the kept image chosen.

    Its arguments are those of ``optimize``, and of ``OptimizerSettings``.
    """

    def __init__(
        self,
        canvas: Canvas,
        objective: Objective,
        steps: int,
        *,
        keep: str,
        on_step: Callable[[Step], None],
        on_safe: SafePoint | None,
        report_every: int,
        steps_before: int,
    ) -> None:
        self.canvas, self.objective, self.on_step, self.on_safe = canvas, objective, on_step, on_safe
        self.steps, self.done, self.steps_before = steps, 0, steps_before
        self.keep = keep
        self.report_every = report_every if keep == "last" else 1
        self.first: dict[str, float] = {}
        self.kept: dict[str, float] = {}
        self.kept_parameters: list[Tensor] = []
        self.average: Tensor | None = None
        self.average_count = 0
        self.memory: dict[str, Any] = {}

    def evaluate(self) -> tuple[float, list[Tensor]]:
        """Evaluate the canvas as it is; return the total (NaN if unreported) and the gradients."""
        parameters = self.canvas.parameters()
        with torch.enable_grad():
            image = self.canvas.image()
        losses, gradient = self.objective.value_and_grad(image)
        # Fused optimizers read parameter and gradient side by side, whatever their strides say.
        gradients = [g.contiguous() for g in torch.autograd.grad(image, parameters, gradient)]
        self.done += 1
        if (self.steps_before + self.done) % self.report_every and self.done not in (1, self.steps):
            return math.nan, gradients
        image, report = image.detach(), reported(losses)
        self._accept(self.done, image, report, parameters)
        self._tell(report, image, parameters)
        return report["total"], gradients

    def _tell(self, losses: dict[str, float], image: Tensor, parameters: list[Tensor]) -> None:
        over = False

        def copies(tensors: list[Tensor]) -> list[Tensor]:
            if over:
                raise RuntimeError("a step's image and parameters are to be asked for before on_step returns")
            return _copies(tensors)

        try:
            made = (lambda: copies([image])[0], lambda: copies(parameters))
            self.on_step(Step(self.done, self.steps, dict(losses), *made))
        finally:
            over = True

    def offer(self, optimizer: Callable[[], dict[str, Any]]) -> None:
        """Tell that the run could go on from here, later and elsewhere, with what the optimizer needs."""

        def snapshot() -> dict[str, Any]:
            parameters = [parameter.detach() for parameter in self.canvas.parameters()]
            own = {name: getattr(self, name) for name in _SAVED}
            return {**own, "parameters": parameters, "optimizer": optimizer()}

        if self.on_safe is not None:
            self.on_safe(self.done, snapshot)

    @torch.no_grad()
    def restore(self, values: dict[str, Any]) -> None:
        """Go back to a safe point; the canvas, too."""
        for name in _SAVED:
            setattr(self, name, values[name])
        for parameter, saved in zip(self.canvas.parameters(), values["parameters"], strict=True):
            parameter.copy_(saved)

    @torch.no_grad()
    def evaluate_last(self) -> None:
        """Take in the image that the last update left; it is a candidate for the result, but no step."""
        image = self.canvas.image()
        self._accept(self.done + 1, image, reported(self.objective.losses(image)), self.canvas.parameters())

    @torch.no_grad()
    def _accept(self, step: int, image: Tensor, report: dict[str, float], parameters: list[Tensor]) -> None:
        if not math.isfinite(report["total"]):
            raise NonFiniteLossError(step, self.state(steps=step - 1) if self.kept else None)
        self.first = self.first or report
        if self.keep != "best" or not self.kept or report["total"] < self.kept["total"]:
            self.kept = report
            if self.kept_parameters:
                for copy, parameter in zip(self.kept_parameters, parameters, strict=True):
                    copy.copy_(parameter.detach())
            else:
                self.kept_parameters = _copies(parameters)
        if self.keep == "average":
            self.average_count += 1
            self.average = torch.zeros_like(image) if self.average is None else self.average
            self.average.lerp_(image, 1.0 - AVERAGE_DECAY)

    @torch.no_grad()
    def state(self, *, stopped: bool = False, steps: int | None = None) -> State:
        """Return the result so far, with its own losses."""
        done = self.done if steps is None else steps
        if not self.kept_parameters:
            raise RuntimeError("no step was made")
        for parameter, copy in zip(self.canvas.parameters(), self.kept_parameters, strict=True):
            parameter.copy_(copy)
        if self.average is None:
            image, losses = self.canvas.image().clone(), self.kept
        else:
            image = self.average / (1.0 - AVERAGE_DECAY**self.average_count)
            losses = reported(self.objective.losses(image))
        return State(image, self.kept_parameters, done, self.first, losses, stopped, self.memory)


def reported(losses: dict[str, Tensor]) -> dict[str, float]:
    """Bring losses to the host in one transfer, with their sums by group."""
    values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
    return {**summarize(values), **{name: value for name, value in values.items() if ":" in name}}


def _copies(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]
