"""Where the time of a step goes, operator by operator, and what each change that stayed is worth.

A change is measured by undoing it: the step with and without it take turns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from bench.cases import PICTURE_ROWS, SOUND_ROWS, Case
from bench.options import Options
from bench.paired import clock, ratio
from bench.report import Section, table
from bench.speed import FULL_MEMORY, candidate_settings, case_of
from specstyle.engine import objective as engine_objective
from specstyle.engine.optimize import Step, optimize
from specstyle.features import VGG19, winograd
from specstyle.run.objective import build_objective

TOP, STEPS = 10, 4


def operators(case: Case, options: Options) -> list[tuple[str, float, float]]:
    """Return the operators of L-BFGS steps with full memory: name, share of the time, calls a step."""
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if options.on_gpu else [])
    profiler = profile(activities=kinds, acc_events=True)
    first = 2 if options.quick else FULL_MEMORY

    def on_step(step: Step) -> None:
        if step.step == first:
            profiler.start()
        if step.step == first + STEPS:
            profiler.stop()

    optimize(case.canvas(), case.objective, candidate_settings(case, "lbfgs"), first + STEPS, on_step=on_step)
    time_of = "self_device_time_total" if options.on_gpu else "self_cpu_time_total"
    found = [(e.key, float(getattr(e, time_of)), e.count / STEPS) for e in profiler.key_averages()]
    total = sum(time for _, time, _ in found)
    return [(key, time / total, calls) for key, time, calls in sorted(found, key=lambda f: -f[1])[:TOP]]


def _network(case: Case) -> VGG19:
    """Return the network that looks at the picture itself."""
    network: VGG19 = case.session.stages[0].features.parts[0][2]
    return network


@contextlib.contextmanager
def _layout_off(case: Case) -> Iterator[None]:
    """Run the network in torch's default memory layout."""
    with mock.patch.object(_network(case), "_channels_last", False):
        yield


@contextlib.contextmanager
def _plain_gram(case: Case) -> Iterator[None]:
    """Leave the gradient of Gram matrices to automatic differentiation."""

    def plain(features: Tensor) -> Tensor:
        flat = features.flatten(2)
        return flat @ flat.transpose(1, 2)

    terms = [_with_statistic(term, plain) for term in case.objective.terms]
    with mock.patch.object(case.objective, "terms", tuple(terms)):
        yield


def _with_statistic(term: Any, statistic: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(term, engine_objective.StyleTerm):
        return engine_objective.StyleTerm(term.layer, term.weight, term.target, statistic, term.distance)
    return term


@contextlib.contextmanager
def _relu_apart(case: Case) -> Iterator[None]:
    """Let the ReLUs write into tensors of their own."""
    with mock.patch.object(F, "relu_", F.relu):
        yield


@contextlib.contextmanager
def _direct(case: Case) -> Iterator[None]:
    """Convolve directly."""
    with mock.patch.object(winograd, "worthwhile", return_value=False):
        yield


@contextlib.contextmanager
def _uncut(case: Case) -> Iterator[None]:
    """Run the network to its end."""
    if case.weights is None:
        raise ValueError("only VGG19 has an end")
    recipe = case.recipe
    layers = (*_network(case).layers, case.weights.layers[-1])
    whole = VGG19(
        case.weights,
        layers,
        pooling=recipe.pooling,
        padding=recipe.padding,
        gains=_network(case)._gains,
        device=case.content.device,
    )
    with torch.no_grad():
        whole(case.content)  # what it makes once, its first image is not to pay for
    with mock.patch.object(case.objective, "features", whole):
        yield


@contextlib.contextmanager
def _targets_each_step(case: Case) -> Iterator[None]:
    """Compute the targets in every step."""
    plain = case.objective.value_and_grad

    def again(image: Tensor) -> Any:
        features = case.session.stages[0].features
        build_objective(case.recipe, features, case.content, case.styles, reference=case.session.reference)
        return plain(image)

    with mock.patch.object(case.objective, "value_and_grad", again):
        yield


CHANGES = {
    "the network ends at the deepest layer in use": _uncut,
    "targets once": _targets_each_step,
    "gradient of the Gram matrix written out": _plain_gram,
    "3x3 convolutions by Winograd's minimal filtering": _direct,
    "channels last": _layout_off,
    "ReLU in place": _relu_apart,
}


def worth(case: Case, options: Options) -> dict[str, list[list[float]]]:
    """Return the times of a value and gradient with each change undone, and of the same with it, in turns."""
    now = clock(options.device)

    def step() -> float:
        started = now()
        case.objective.value_and_grad(case.content)
        return now() - started

    rounds = 3 if options.quick else options.rounds
    times: dict[str, list[list[float]]] = {}
    for name, undone in CHANGES.items():
        pairs = []
        for turn in range(rounds + 1):
            here = step()
            with undone(case):
                pairs.append([step(), here])
            if not turn:
                pairs.clear()
        times[name] = pairs
    return times


def run(options: Options) -> Section:
    """Profile a step of each network, measure each change, and return the section."""
    size = min(options.sizes)
    duration = min(options.seconds)
    parts, raw = [_TEXT], {}
    for row in PICTURE_ROWS:
        case = case_of(row.name, row, size, options)
        times = worth(case, options)
        raw[row.name] = {"changes": times}
        lines = [(name, ratio([a for a, _ in pairs], [b for _, b in pairs])) for name, pairs in times.items()]
        parts += [f"### {row.name}, {size}x{size}", table(("change", "time without it, with it = 1"), lines)]
        parts.append(_operator_table(case, options))
    for row in SOUND_ROWS[:2]:
        case = case_of(row.name, row, duration, options)
        parts += [f"### {row.name}, {duration:g} s", _operator_table(case, options)]
    return Section(f"6 profile ({options.device})", "Where the time goes", "\n\n".join(parts), raw)


def _operator_table(case: Case, options: Options) -> str:
    found = operators(case, options)
    lines = [(f"`{key}`", f"{share:.1%}", f"{calls:.0f}") for key, share, calls in found]
    return table(("operator of an L-BFGS step", "share of the time", "calls"), lines)


_TEXT = """The operators of a step with full memory, by their own time; and the changes that stayed, each
undone in turns with the step as it is. [What was predicted](NOTES.md)."""
