"""The loop: one evaluation of the objective after another, by Adam, SGD or L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from specstyle.engine import lbfgs
from specstyle.engine.canvas import Canvas, clip_
from specstyle.engine.objective import Objective, summarize
from specstyle.errors import SpecstyleError


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
        image: Returns a copy of the image that was evaluated, ``[B, C, H, W]``.
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
        moments: Adam's memory (step count and its two averages), for the next scale.
    """

    image: Tensor
    parameters: list[Tensor]
    steps: int
    losses_start: dict[str, float]
    losses_end: dict[str, float]
    stopped: bool = False
    moments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerSettings:
    """Which method, and its constants. The names are those of ``Recipe``."""

    method: str = "lbfgs"
    lr: float = 1.0
    lr_decay: float = 1.0
    lr_decay_steps: int = 100
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = False
    history: int = 10
    restart_every: int | None = None
    keep: str = "last"
    average_decay: float = 0.99

    def __post_init__(self) -> None:
        for name, value, accepted in (
            ("method", self.method, ("adam", "lbfgs", "sgd")),
            ("keep", self.keep, ("last", "best", "average")),
        ):
            if value not in accepted:
                raise ValueError(f"{name} must be one of {', '.join(accepted)}, got {value!r}")


def ignore(_: Step) -> None:
    """Do nothing with a step."""


def optimize(
    canvas: Canvas,
    objective: Objective,
    settings: OptimizerSettings,
    steps: int,
    *,
    on_step: Callable[[Step], None] = ignore,
    moments: dict[str, Any] | None = None,
) -> State:
    """Lower an objective by changing a canvas.

    Args:
        canvas: What to change, in place.
        objective: What to lower.
        settings: The method.
        steps: Evaluations of loss and gradient.
        on_step: Called after each evaluation; may raise ``StopRun``.
        moments: ``State.moments`` of an earlier call, to go on with Adam's memory.

    Returns:
        The result. L-BFGS keeps the evaluated image of lowest loss even for ``keep="last"``: its last
        evaluation may be a trial of the line search that it did not accept.

    Raises:
        NonFiniteLossError: If a loss becomes NaN or infinite.
        ValueError: If ``steps`` is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    run = _Run(canvas, objective, settings, steps, on_step)
    clip_(canvas)
    try:
        if settings.method == "lbfgs":
            _lbfgs(run)
        else:
            _first_order(run, moments or {})
    except StopRun:
        return run.state(stopped=True)
    return run.state()


class _Run:
    """Evaluations of one call: counted, checked, reported, and the kept image chosen."""

    def __init__(
        self,
        canvas: Canvas,
        objective: Objective,
        settings: OptimizerSettings,
        steps: int,
        on_step: Callable[[Step], None],
    ) -> None:
        self.canvas, self.objective, self.settings = canvas, objective, settings
        self.steps, self.on_step, self.done = steps, on_step, 0
        self.keep = "best" if settings.method == "lbfgs" and settings.keep == "last" else settings.keep
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.last_image: Tensor | None = None
        self.last_parameters: list[Tensor] = []
        self.best_parameters: list[Tensor] = []
        self.best_total = math.inf
        self.best: dict[str, float] = {}
        self.best_image: Tensor | None = None
        self.average: Tensor | None = None
        self.average_count = 0
        self.moments: dict[str, Any] = {}

    def evaluate(self) -> tuple[float, list[Tensor]]:
        """Evaluate the canvas as it is; return the total and the gradients of its parameters."""
        parameters = self.canvas.parameters()
        with torch.enable_grad():
            image = self.canvas.image()
        losses, gradient = self.objective.value_and_grad(image)
        gradients = list(torch.autograd.grad(image, parameters, gradient))
        report = self._accept(image.detach(), losses)
        self.done += 1
        copies = self.last_parameters
        self.on_step(Step(self.done, self.steps, dict(report), image.detach().clone, lambda: [*copies]))
        return report["total"], gradients

    @torch.no_grad()
    def evaluate_last(self) -> None:
        """Take in the image that the last update left; it is a candidate for the result, but no step."""
        image = self.canvas.image()
        self._accept(image, self.objective.losses(image))

    def _accept(self, image: Tensor, losses: dict[str, Tensor]) -> dict[str, float]:
        report = _report(losses)
        if not math.isfinite(report["total"]):
            raise NonFiniteLossError(self.done + 1, self.state() if self.done else None)
        self.first = self.first or report
        self.last, self.last_image = report, image
        self.last_parameters = [p.detach().clone() for p in self.canvas.parameters()]
        if report["total"] < self.best_total:
            self.best_total, self.best = report["total"], report
            self.best_image, self.best_parameters = image, self.last_parameters
        if self.settings.keep == "average":
            self.average_count += 1
            decay = self.settings.average_decay
            old = torch.zeros_like(image) if self.average is None else self.average
            self.average = decay * old + (1.0 - decay) * image
        return report

    @torch.no_grad()
    def state(self, *, stopped: bool = False) -> State:
        """Return the result so far, with its own losses."""
        if self.last_image is None or self.best_image is None:
            raise RuntimeError("no step was made")
        image, parameters, losses = self.last_image, self.last_parameters, self.last
        if self.average is not None:
            image = self.average / (1.0 - self.settings.average_decay**self.average_count)
            losses = _report(self.objective.losses(image))
        elif self.keep == "best":
            image, parameters, losses = self.best_image, self.best_parameters, self.best
        return State(image.clone(), parameters, self.done, self.first, losses, stopped, self.moments)


def _report(losses: dict[str, Tensor]) -> dict[str, float]:
    """Bring losses to the host in one transfer, with their sums by group."""
    values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
    return {**summarize(values), **{name: value for name, value in values.items() if ":" in name}}


def _first_order(run: _Run, moments: dict[str, Any]) -> None:
    """Adam (Kingma & Ba 2015) or gradient descent, with an exponential decay of the learning rate."""
    settings = run.settings
    parameters = run.canvas.parameters()
    optimizer: torch.optim.Optimizer
    if settings.method == "adam":
        betas = (settings.beta1, settings.beta2)
        optimizer = torch.optim.Adam(parameters, lr=settings.lr, betas=betas, eps=settings.epsilon)
        for parameter in parameters[: 1 if moments else 0]:
            optimizer.state[parameter] = {k: v.clone() for k, v in moments.items()}
    else:
        optimizer = torch.optim.SGD(parameters, lr=settings.lr)
    before = int(moments["step"]) if moments else 0
    for step in range(run.steps):
        _, gradients = run.evaluate()
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * settings.lr_decay ** (step / settings.lr_decay_steps)
            if settings.epsilon_hat:
                # TensorFlow adds epsilon before the bias correction of the second moment.
                correction = 1.0 - settings.beta2 ** (before + step + 1)
                group["eps"] = settings.epsilon / math.sqrt(correction)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        clip_(run.canvas)
        run.moments = dict(optimizer.state[parameters[0]]) if settings.method == "adam" else {}
    run.evaluate_last()


def _lbfgs(run: _Run) -> None:
    """L-BFGS, within the canvas' box if it has one."""
    parameters = run.canvas.parameters()

    def evaluate(flat: Tensor) -> tuple[float, Tensor]:
        _scatter(flat, parameters)
        total, gradients = run.evaluate()
        return total, _gather(gradients)

    lbfgs.minimize(
        evaluate,
        _gather(parameters),
        evaluations=run.steps,
        history=run.settings.history,
        box=run.canvas.bounds(),
        restart_every=run.settings.restart_every,
    )


def _gather(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


@torch.no_grad()
def _scatter(flat: Tensor, parameters: list[Tensor]) -> None:
    start = 0
    for parameter in parameters:
        parameter.copy_(flat[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
