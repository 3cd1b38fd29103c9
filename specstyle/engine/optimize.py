"""The loop: one evaluation of the objective after another, by Adam, SGD or L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.canvas import Canvas
from specstyle.engine.evaluations import (
    NonFiniteLossError,
    Run,
    SafePoint,
    State,
    Step,
    StopRun,
)
from specstyle.engine.lbfgs import Memory, minimize
from specstyle.engine.objective import MakeRoom, Objective, with_room
from specstyle.errors import counted

DECAY_STEPS = 100
"""Steps in which the learning rate falls by the factor ``lr_decay``, continuously."""


@dataclass(frozen=True)
class OptimizerSettings:
    """Which method, and its constants. The names are those of ``Recipe``."""

    method: str = "lbfgs"
    lr: float = 1.0
    lr_decay: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = False
    history: int = 10
    restart_every: int | None = None
    keep: str = "last"

    def __post_init__(self) -> None:
        for name, value, accepted in (
            ("method", self.method, ("adam", "lbfgs", "sgd")),
            ("keep", self.keep, ("last", "best", "average")),
        ):
            if value not in accepted:
                raise ValueError(f"{name} must be one of {', '.join(accepted)}, got {value!r}")


def optimize(
    canvas: Canvas,
    objective: Objective,
    settings: OptimizerSettings,
    steps: int,
    *,
    on_step: Callable[[Step], None] = lambda _: None,
    memory: dict[str, Any] | None = None,
    report_every: int = 1,
    steps_before: int = 0,
    on_safe: SafePoint | None = None,
    resume: dict[str, Any] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
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
            at every so many: a GPU need not wait for the host in between. L-BFGS, which decides by
            the losses, and ``keep`` other than ``"last"`` report every step.
        steps_before: Evaluations of the run before this call: reports fall on multiples of ``report_every``
            of all of them.
        on_safe: Called between two steps, where the run could be taken up again: with the number of
            evaluations made and a function that returns a snapshot, plain values and tensors that are valid
            until ``on_safe`` returns. First-order methods call it after every step, L-BFGS between two line
            searches.
        resume: Such a snapshot of a run with the same arguments; it goes on from there to the same result.
        on_note: Called with a line for the user where L-BFGS comes to remember fewer steps, see below.

    Returns:
        The result. L-BFGS keeps the evaluated image of lowest loss even for ``keep="last"``: its last
        evaluation may be a trial of the line search that it did not accept.

    Where a device is out of memory between two evaluations, the objective makes room if it can
    (``Objective.make_room``), or L-BFGS remembers fewer steps; what failed is done again, and no step is
    lost.

    Raises:
        NonFiniteLossError: If a loss becomes NaN or infinite.
        RuntimeError: If a device is out of memory and there is no more room to be made.
        ValueError: If ``steps`` or ``report_every`` is not positive.
    """
    for name, value in (("steps", steps), ("report_every", report_every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    run = Run(
        canvas,
        objective,
        steps,
        keep="best" if settings.method == "lbfgs" and settings.keep == "last" else settings.keep,
        on_step=on_step,
        on_safe=on_safe,
        report_every=report_every,
        steps_before=steps_before,
    )
    _clip(canvas)
    if resume is not None:
        run.restore(resume)
    saved = None if resume is None else resume["optimizer"]
    try:
        if settings.method == "lbfgs":
            _lbfgs(run, settings, memory or {}, saved, on_note)
        else:
            _first_order(run, settings, memory or {}, saved)
    except StopRun:
        return run.state(stopped=True)
    return run.state()


@torch.no_grad()
def _clip(canvas: Canvas) -> None:
    """Move every parameter that left the canvas' box to its border."""
    box = canvas.bounds()
    if box is not None:
        for parameter in canvas.parameters():
            parameter.clamp_(*box)


def _first_order(
    run: Run, settings: OptimizerSettings, memory: dict[str, Any], saved: dict[str, Any] | None
) -> None:
    """Adam (Kingma & Ba 2015) or gradient descent, with an exponential decay of the learning rate."""
    parameters = run.canvas.parameters()
    # One pass over the parameters, without temporary copies of them.
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    optimizer: torch.optim.Optimizer
    if settings.method == "adam":
        betas = (settings.beta1, settings.beta2)
        optimizer = torch.optim.Adam(parameters, settings.lr, betas, settings.epsilon, fused=fused)
    else:
        optimizer = torch.optim.SGD(parameters, settings.lr, fused=fused)
    if saved is None:
        states = [memory] if "exp_avg" in memory else []
        saved = {"before": int(memory.get("step", 0)), "states": states}
    before = saved["before"]
    for parameter, state in zip(parameters, saved["states"], strict=False):
        optimizer.state[parameter] = dict(state)
    run.memory = dict(optimizer.state[parameters[0]])
    make_room = run.objective.make_room
    for step in range(run.done, run.steps):
        _, gradients = _evaluated(run, make_room)
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * settings.lr_decay ** (step / DECAY_STEPS)
            if settings.epsilon_hat:
                # TensorFlow adds epsilon before the bias correction of the second moment.
                correction = 1.0 - settings.beta2 ** (before + step + 1)
                group["eps"] = settings.epsilon / math.sqrt(correction)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        _update(optimizer, parameters, make_room)
        for parameter in parameters:
            parameter.grad = None
        _clip(run.canvas)
        run.memory = dict(optimizer.state[parameters[0]])
        run.offer(lambda: {"before": before, "states": [dict(optimizer.state[p]) for p in parameters]})
    run.evaluate_last()


def _evaluated(run: Run, make_room: MakeRoom) -> tuple[float, list[Tensor]]:
    """Evaluate; where memory runs out before the step was told, make room and do so again."""
    done = run.done

    def room() -> bool:
        # Room for what is kept is taken at the first step, before it is told.
        kept = run.kept_parameters and (run.keep != "average" or run.average is not None)
        return (run.done == done or not kept) and make_room()

    def undo() -> None:
        if run.done > done:
            run.done, run.kept, run.average_count = done, {}, 0

    return with_room(run.evaluate, room, undo)


def _update(optimizer: torch.optim.Optimizer, parameters: list[Tensor], make_room: MakeRoom) -> None:
    """Let a method change the parameters; where memory runs out in it, make room and do so again."""
    before = [dict(optimizer.state[parameter]) for parameter in parameters]
    counts = [state["step"].clone() if "step" in state else None for state in before]

    def undo() -> None:
        # Averages may be there in part, and the steps counted already.
        for parameter, state, count in zip(parameters, before, counts, strict=True):
            optimizer.state[parameter] = dict(state)
            if count is not None:
                state["step"].copy_(count)

    with_room(optimizer.step, make_room, undo)


def _lbfgs(
    run: Run,
    settings: OptimizerSettings,
    before: dict[str, Any],
    saved: dict[str, Any] | None,
    on_note: Callable[[str], None],
) -> None:
    """L-BFGS, within the canvas' box if it has one."""
    parameters = run.canvas.parameters()
    memory = Memory(settings.history)
    # Vectors of a single parameter leave in its shape, so that they can be resized.
    shape = list(parameters[0].shape) if len(parameters) == 1 else [-1]
    memory.restore((step.flatten(), change.flatten()) for step, change in before.get("pairs", ()))

    def make_room() -> bool:
        if run.objective.make_room():
            return True
        if not memory.shrink():
            return False
        steps = counted(memory.size, "step")
        on_note(f"the device is out of memory; L-BFGS goes on and remembers {steps}")
        return True

    def evaluate(flat: Tensor) -> tuple[float, Tensor]:
        with torch.no_grad():
            parts = torch.split(flat, [parameter.numel() for parameter in parameters])
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.copy_(part.view_as(parameter))
        total, gradients = _evaluated(run, make_room)
        return total, _gather(gradients)

    minimize(
        evaluate,
        _gather(parameters).clone(),
        memory,
        evaluations=run.steps,
        box=run.canvas.bounds(),
        restart_every=settings.restart_every,
        on_safe=lambda snapshot: run.offer(lambda: _shaped(snapshot(), shape)),
        resume=None if saved is None else _shaped(saved, [-1]),
        make_room=make_room,
    )
    if len(parameters) == 1:
        run.memory = {"pairs": [(s.view(shape), y.view(shape)) for s, y in memory.pairs()]}


def _shaped(values: dict[str, Any], shape: list[int]) -> dict[str, Any]:
    """Return an L-BFGS snapshot with its vectors in a shape."""
    vectors = {name: v.reshape(shape) for name, v in values.items() if isinstance(v, Tensor)}
    pairs = [(s.reshape(shape), y.reshape(shape)) for s, y in values["pairs"]]
    return {**values, **vectors, "pairs": pairs}


def _gather(tensors: list[Tensor]) -> Tensor:
    flat = [t.detach().reshape(-1) for t in tensors]
    return flat[0] if len(flat) == 1 else torch.cat(flat)


__all__ = ["NonFiniteLossError", "OptimizerSettings", "State", "Step", "StopRun", "optimize"]
