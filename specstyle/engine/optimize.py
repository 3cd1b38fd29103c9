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
from specstyle.engine.team import ALONE, Team
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
    memory: dict[str, Any] | None = None,
    report_every: int = 1,
    team: Team = ALONE,
) -> State:
    """Lower an objective by changing a canvas.

    Args:
        canvas: What to change, in place; it ends as the result (for an average: as the last image).
        objective: What to lower.
        settings: The method.
        steps: Evaluations of loss and gradient.
        on_step: Called after each evaluation that is reported; may raise ``StopRun``.
        memory: ``State.memory`` of an earlier call, to go on with; it is used up.
        report_every: Bring losses to the host, check and report them only at the first and the last step and
            at every so many. A GPU then need not wait for the host in between. L-BFGS, which decides by
            the losses, and ``keep`` other than ``"last"`` report every step.
        team: Who holds the other parts of the canvas.

    Returns:
        The result. L-BFGS keeps the evaluated image of lowest loss even for ``keep="last"``: its last
        evaluation may be a trial of the line search that it did not accept.

    Raises:
        NonFiniteLossError: If a loss becomes NaN or infinite.
        ValueError: If ``steps`` or ``report_every`` is not positive.
    """
    for name, value in (("steps", steps), ("report_every", report_every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    run = _Run(canvas, objective, settings, steps, on_step=on_step, report_every=report_every, team=team)
    clip_(canvas)
    try:
        if settings.method == "lbfgs":
            _lbfgs(run, memory or {})
        else:
            _first_order(run, memory or {})
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
        *,
        on_step: Callable[[Step], None],
        report_every: int,
        team: Team,
    ) -> None:
        self.canvas, self.objective, self.settings = canvas, objective, settings
        self.steps, self.on_step, self.team, self.done = steps, on_step, team, 0
        self.keep = "best" if settings.method == "lbfgs" and settings.keep == "last" else settings.keep
        self.report_every = report_every if self.keep == "last" else 1
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
        if self.done % self.report_every and self.done not in (1, self.steps):
            return math.nan, gradients
        report = self._accept(self.done, image.detach(), losses)
        self._tell(report, image.detach())
        return report["total"], gradients

    def _tell(self, report: dict[str, float], image: Tensor) -> None:
        """Call ``on_step``; if it asks for the end in one process of the team, all end."""
        now, stop = _Moment(image, self.canvas.parameters()), False
        try:
            self.on_step(Step(self.done, self.steps, dict(report), now.image, now.parameters))
        except StopRun:
            stop = True
        now.over = True
        if self.team.any(stop):
            raise StopRun

    @torch.no_grad()
    def evaluate_last(self) -> None:
        """Take in the image that the last update left; it is a candidate for the result, but no step."""
        image = self.canvas.image()
        self._accept(self.done + 1, image, self.objective.losses(image))

    def _accept(self, step: int, image: Tensor, losses: dict[str, Tensor]) -> dict[str, float]:
        report = _report(losses)
        if not math.isfinite(report["total"]):
            raise NonFiniteLossError(step, self.state(steps=step - 1) if self.kept else None)
        self.first = self.first or report
        if self.keep != "best" or not self.kept or report["total"] < self.kept["total"]:
            self.kept = report
            if self.kept_parameters:
                for copy, parameter in zip(self.kept_parameters, self.canvas.parameters(), strict=True):
                    copy.copy_(parameter.detach())
            else:
                self.kept_parameters = _copies(self.canvas.parameters())
        if self.keep == "average":
            self.average_count += 1
            self.average = torch.zeros_like(image) if self.average is None else self.average
            self.average.lerp_(image, 1.0 - self.settings.average_decay)
        return report

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
            image = self.average / (1.0 - self.settings.average_decay**self.average_count)
            losses = _report(self.objective.losses(image))
        return State(image, self.kept_parameters, done, self.first, losses, stopped, self.memory)


class _Moment:
    """What was evaluated, as long as the optimizer has not changed it."""

    def __init__(self, image: Tensor, parameters: list[Tensor]) -> None:
        self._image, self._parameters, self.over = image, parameters, False

    def image(self) -> Tensor:
        self._check()
        return self._image.clone()

    def parameters(self) -> list[Tensor]:
        self._check()
        return _copies(self._parameters)

    def _check(self) -> None:
        if self.over:
            raise RuntimeError("a step's image and parameters are to be asked for before on_step returns")


def _copies(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def _report(losses: dict[str, Tensor]) -> dict[str, float]:
    """Bring losses to the host in one transfer, with their sums by group."""
    values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
    return {**summarize(values), **{name: value for name, value in values.items() if ":" in name}}


def _first_order(run: _Run, memory: dict[str, Any]) -> None:
    """Adam (Kingma & Ba 2015) or gradient descent, with an exponential decay of the learning rate."""
    settings = run.settings
    parameters = run.canvas.parameters()
    optimizer: torch.optim.Optimizer
    before = int(memory["step"]) if "step" in memory else 0
    # One pass over the parameters, without temporary copies of them.
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    if settings.method == "adam":
        betas = (settings.beta1, settings.beta2)
        optimizer = torch.optim.Adam(
            parameters, lr=settings.lr, betas=betas, eps=settings.epsilon, fused=fused
        )
        for parameter in parameters[: 1 if "exp_avg" in memory else 0]:
            optimizer.state[parameter] = dict(memory)
    else:
        optimizer = torch.optim.SGD(parameters, lr=settings.lr, fused=fused)
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
        for parameter in parameters:
            parameter.grad = None
        clip_(run.canvas)
        run.memory = dict(optimizer.state[parameters[0]]) if settings.method == "adam" else {}
    run.evaluate_last()


def _lbfgs(run: _Run, before: dict[str, Any]) -> None:
    """L-BFGS, within the canvas' box if it has one."""
    parameters = run.canvas.parameters()
    memory = lbfgs.Memory(run.settings.history, run.team)
    for step, change in before.get("pairs", ()):
        memory.add(step.flatten(), change.flatten())

    def evaluate(flat: Tensor) -> tuple[float, Tensor]:
        _scatter(flat, parameters)
        total, gradients = run.evaluate()
        return total, _gather(gradients)

    lbfgs.minimize(
        evaluate,
        _gather(parameters).clone(),
        evaluations=run.steps,
        box=run.canvas.bounds(),
        restart_every=run.settings.restart_every,
        memory=memory,
        team=run.team,
    )
    if len(parameters) == 1:
        shape = parameters[0].shape
        run.memory = {"pairs": [(s.view(shape), y.view(shape)) for s, y in memory.pairs()]}


def _gather(tensors: list[Tensor]) -> Tensor:
    flat = [t.detach().reshape(-1) for t in tensors]
    return flat[0] if len(flat) == 1 else torch.cat(flat)


@torch.no_grad()
def _scatter(flat: Tensor, parameters: list[Tensor]) -> None:
    start = 0
    for parameter in parameters:
        parameter.copy_(flat[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
