"""Steps per second against the textbook loop, and the share of the arithmetic floor."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.cases import PICTURE_ROWS, SOUND_ROWS, Case, Row, make_case, make_request
from bench.floor import peak_flops, step_flop
from bench.inputs import pictures, sounds
from bench.options import NO_GPU, Options
from bench.paired import Loop, Spread, clock, ratio, take_turns
from bench.reference import Reference
from bench.report import Section, table
from specstyle.engine.device import convolutions_in
from specstyle.engine.optimize import OptimizerSettings, optimize
from specstyle.run.job import REPORT_EVERY
from specstyle.run.settle import optimizer_settings

FULL_MEMORY = 12
"""Steps after which an L-BFGS of ten pairs works at full cost."""

WARM = 2
"""Steps after which Adam does."""

METHODS = {"lbfgs": "L-BFGS", "adam": "Adam"}

HEAD = (
    "case", "precision", "L-BFGS, reference = 1", "Adam, reference = 1", "L-BFGS / Adam, time",
    "share of the floor", "loss off by", "gradient off by",
)  # fmt: skip
ENDLESS = 10**9


def candidate(case: Case, method: str) -> Loop:
    """Return specstyle's own loop on a case."""
    settings, every = candidate_settings(case, method), steps_a_turn(case, method)

    def loop(tick: Callable[[], None]) -> None:
        objective = case.objective
        optimize(case.canvas(), objective, settings, ENDLESS, on_step=lambda _: tick(), report_every=every)

    return loop


def steps_a_turn(case: Case, method: str) -> int:
    """Return how many steps are made at a time: as many as a run on a GPU makes before it looks at a loss."""
    return REPORT_EVERY if case.content.device.type == "cuda" and method == "adam" else 1


def candidate_settings(case: Case, method: str) -> OptimizerSettings:
    """Return the recipe's optimizer, or Adam as the reference runs it."""
    settings = optimizer_settings(case.recipe)
    if method == "lbfgs":
        return dataclasses.replace(settings, method="lbfgs")
    return OptimizerSettings(method="adam", lr=case.adam_rate)


def plain(reference: Reference, method: str) -> Loop:
    """Return the textbook loop on a case."""

    def loop(tick: Callable[[], None]) -> None:
        every, done = steps_a_turn(reference.case, method), 0

        def on_step(_loss: float, _image: Tensor) -> None:
            nonlocal done
            done += 1
            if done == 1 or done % every == 0:  # as optimize reports
                tick()

        reference.run(method, ENDLESS, on_step)

    return loop


def deviation(case: Case, reference: Reference) -> tuple[float, float]:
    """Return how far loss and gradient lie from the reference's, relative, at the start with some noise."""
    noise = torch.rand(case.content.shape, generator=torch.Generator().manual_seed(0)).to(case.content)
    image = case.content + 0.05 * noise
    with convolutions_in(case.session.precision):
        losses, gradient = case.objective.value_and_grad(image)
    leaf = image.clone().requires_grad_(True)
    with convolutions_in("fp32"):
        loss = reference.loss(leaf)
        loss.backward()  # type: ignore[no-untyped-call]
    if leaf.grad is None:
        raise RuntimeError("the reference's loss does not depend on the image")
    found, value = float(sum(x.double() for x in losses.values())), float(loss.detach())
    return abs(found / value - 1.0), float((gradient - leaf.grad).norm() / leaf.grad.norm())


def measure(case: Case, options: Options, precision: str) -> dict[str, Any]:
    """Run four loops in turns and return what was found."""
    with convolutions_in("fp32"):
        reference = Reference(case)
    off = deviation(case, reference)
    loops = {
        f"{who} {method}": make(method)
        for method in ("lbfgs", "adam")
        for who, make in (
            ("candidate", lambda m: candidate(case, m)),
            ("reference", lambda m: plain(reference, m)),
        )
    }
    peak = peak_flops(options.device, precision)
    times = take_turns(
        loops,
        warm_up=dict.fromkeys(loops, WARM) if options.quick else _warm_up(loops),
        rounds=min(options.rounds, 4) if options.quick else options.rounds,
        now=clock(options.device),
        within=lambda name: convolutions_in(precision if name.startswith("candidate") else "fp32"),
    )
    for name, spent in times.items():
        times[name] = [one / steps_a_turn(case, name.split()[1]) for one in spent]
    flop = step_flop(case)
    best = statistics.median(times["candidate lbfgs"])
    return {
        "case": case.name, "precision": precision, "flop": flop, "peak_flop_per_s": peak, "seconds": times,
        "lbfgs": ratio(times["reference lbfgs"], times["candidate lbfgs"]),
        "adam": ratio(times["reference adam"], times["candidate adam"]),
        "lbfgs_adam": ratio(times["candidate lbfgs"], times["candidate adam"]),
        "share": flop / peak / best, "loss_off": off[0], "gradient_off": off[1],
    }  # fmt: skip


def _warm_up(loops: dict[str, Loop]) -> dict[str, int]:
    return {name: FULL_MEMORY if name.endswith("lbfgs") else WARM for name in loops}


def ends_by_fp32(case: Case, exact: Case, options: Options) -> dict[str, float]:
    """Return the loss that runs end at by that of the same steps in fp32, both taken in fp32.

    Args:
        case: In another precision.
        exact: The same in fp32.
        options: Say how many steps.
    """
    steps = min(options.steps, 50) if options.quick else options.steps
    found = {}
    for method in METHODS:
        ends = []
        for one in (case, exact):
            with convolutions_in(one.session.precision):
                state = optimize(one.canvas(), one.objective, candidate_settings(one, method), steps)
            with torch.no_grad(), convolutions_in("fp32"):
                ends.append(float(sum(x.double() for x in exact.objective.losses(state.image).values())))
        found[method] = ends[0] / ends[1]
    return found


def each_case(options: Options, rows: tuple[Row, ...]) -> list[tuple[str, Any]]:
    """Return the name of each case, and what makes it, for every size and duration."""
    found: list[tuple[str, Any]] = []
    for row in rows:
        if row.medium == "image":
            found += [(f"{row.name}, {size}x{size}", (row, size)) for size in options.sizes]
        else:
            found += [(f"{row.name}, {seconds:g} s", (row, seconds)) for seconds in options.seconds]
    return found


def case_of(name: str, row: Row, size: float, options: Options, precision: str = "fp32") -> Case:
    """Return one case: a row at a size in pixels or a duration in seconds."""
    if row.medium == "image":
        _, content, style = pictures(1, int(size), options.data)[0]
        return make_case(
            name, make_request(row, content, style, options, size=int(size), precision=precision)
        )
    _, content, style = sounds(1, size, options.data)[0]
    return make_case(name, make_request(row, content, style, options, precision=precision))


def run(options: Options) -> Section:
    """Measure every row and return the section."""
    network = () if options.weights is None else (Row("gatys2016, vgg19", "image", "gatys2016", "vgg19"),)
    found = []
    left_out = []
    began = time.monotonic()
    for name, (row, size) in _quickest_first(each_case(options, (*network, *PICTURE_ROWS, *SOUND_ROWS))):
        if options.minutes is not None and time.monotonic() - began > 60 * options.minutes:
            left_out.append(name)
            continue
        for precision in options.precisions:
            found.append(measure(case_of(name, row, size, options, precision), options, precision))
            shown = found[-1]
            if options.on_gpu and precision != "fp32":
                exact = case_of(name, row, size, options)
                shown["ends"] = ends_by_fp32(case_of(name, row, size, options, precision), exact, options)
            print(f"{name}, {precision}: L-BFGS {shown['lbfgs']}, Adam {shown['adam']}", flush=True)
    lines = [_line(one, options) for one in found]
    head = (*HEAD, "steps/s") if options.on_gpu else HEAD
    if not options.on_gpu:
        lines += [("gatys2016, 512x512, on a GPU", p, *[NO_GPU] * (len(HEAD) - 2)) for p in ("fp32", "bf16")]
    text = "\n\n".join([_TEXT, table(head, lines), _targets(found, options)])
    if left_out:
        text += f"\n\nNot measured in this run: {', '.join(left_out)}."
    raw = {"cases": [{k: _plain(v) for k, v in one.items()} for one in found]}
    if 256 in options.sizes:
        return Section(f"1 speed ({options.device})", "Steps per second", text, raw)
    # A run of large cases alone does not take the place of the small ones'.
    return Section(f"1 speed, large ({options.device})", "Steps per second, large inputs", text, raw)


def _quickest_first(cases: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return cases with those last whose reference takes long: full VGG19."""
    return sorted(cases, key=lambda case: "gatys2016" in case[0])


def _line(one: dict[str, Any], options: Options) -> tuple[object, ...]:
    cells = (
        one["case"], one["precision"], one["lbfgs"], one["adam"], one["lbfgs_adam"],
        f"{one['share']:.0%}", f"{one['loss_off']:.0e}", f"{one['gradient_off']:.0e}",
    )  # fmt: skip
    return (
        (*cells, f"{1.0 / statistics.median(one['seconds']['candidate lbfgs']):.0f}")
        if options.on_gpu
        else cells
    )


_TEXT = """Steps per second of specstyle by those of the textbook loop (`reference.py`) at the same losses;
the time of an L-BFGS step by that of an Adam step, both specstyle's, with full memory; the floor's time
(network and Gram products alone, convolved directly, at the best rate of a large product or convolution in
the same run) by the time of an L-BFGS step, above 100 % where convolutions do with fewer products; and how
far loss and gradient lie from the reference's. The kernel has no
textbook: it is a bench of its own (duration.py)."""


def _targets(found: list[dict[str, Any]], options: Options) -> str:
    at_256 = [one for one in found if "256x256" in one["case"]]
    worst = min((min(one["lbfgs"].middle, one["adam"].middle) for one in at_256), default=None)
    slowest = max((one["lbfgs_adam"].middle for one in found), default=None)
    rows = [
        ("steps/s at 256x256, reference = 1", ">= 1.5", _number(worst), _met(worst, lambda x: x >= 1.5)),
        ("L-BFGS / Adam per evaluation", "<= 1.15", _number(slowest), _met(slowest, lambda x: x <= 1.15)),
    ]
    rows += _gpu_targets(found) if options.on_gpu else [
        ("H200, 512x512, gatys2016: 500 steps/s in bf16, 10 x the reference", "", NO_GPU, "not measured")
    ]  # fmt: skip
    return table(("target", "asked", "worst found", ""), rows)


def _gpu_targets(found: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    rows = []
    for one in found:
        if "gatys2016" not in one["case"] or "512x512" not in one["case"]:
            continue
        if one["precision"] != "bf16":
            continue  # by its arithmetic alone, fp32 could not be ten times as fast as fp32
        for method, name in METHODS.items():
            rate, times = 1.0 / statistics.median(one["seconds"][f"candidate {method}"]), one[method].middle
            what = f"512x512, {name} in bf16"
            rows.append((f"steps/s, {what}", ">= 500", f"{rate:.0f}", _met(rate, lambda x: x >= 500)))
            rows.append(
                (f"{what}, reference in fp32 = 1", ">= 10", _number(times), _met(times, lambda x: x >= 10))
            )
    kinds = dict.fromkeys((one["precision"], method) for one in found for method in one.get("ends", ()))
    for precision, method in kinds:
        ends = [one["ends"][method] for one in found if one["precision"] == precision and "ends" in one]
        what = f"loss at the end, {METHODS[method]} in {precision}, in fp32 = 1"
        worst = max(ends, key=lambda x: math.inf if math.isnan(x) else x)
        rows.append((what, "<= 1.01", f"{worst:.4f}", _met(worst, lambda x: x <= 1.01)))
    return rows


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _met(value: float | None, accept: Callable[[float], bool]) -> str:
    return "not measured" if value is None else "met" if accept(value) else "missed"


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if isinstance(value, Spread) else value
