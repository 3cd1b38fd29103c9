"""Time to quality: seconds until the final loss of the textbook loop is reached, both in one run.

The reference makes its steps of Adam at full size. The candidates are whole runs of specstyle, from the
network to the last scale, and stop at the first evaluation at full size that is as low as the reference's
last image by the candidate's own objective. Each input is kept as soon as it is done, so that an interrupted
run goes on where it was.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import specstyle
from bench.cases import PICTURE_ROWS, SOUND_ROWS, Case, Row, make_case, make_request
from bench.inputs import pictures, sounds
from bench.options import Options, hardware
from bench.paired import clock, spread
from bench.reference import Reference
from bench.report import Section, table
from specstyle.engine.device import convolutions_in
from specstyle.engine.optimize import StopRun
from specstyle.run.api import transfer
from specstyle.run.request import Progress

SIZE, SECONDS = 256, 5.0
MOST = 2
"""Evaluations of a run at most, by the reference's steps: each takes less time than one of these."""

TARGET = 1.0 / 3.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """A way to run specstyle.

    Attributes:
        name: Short, for the table.
        changes: Recipe fields.
    """

    name: str
    changes: dict[str, Any]


def _coarse(smallest: int, factor: float, steps: int) -> dict[str, Any]:
    """Return the recipe fields of one coarse scale before the full one."""
    return {"smallest_scale": smallest, "scale_factor": factor, "first_steps": steps, "carry": "change"}


ONE_SCALE = Plan("one scale", {"smallest_scale": None})
ADAM = Plan("one scale, Adam", {"smallest_scale": None, "optimizer": "adam"})
"""The reference's own steps, for where line searches end in another valley."""

PICTURE_PLANS = (
    ONE_SCALE,
    Plan("20 steps at 128", _coarse(128, 2.0, 20)),
    Plan("40 steps at 128", _coarse(128, 2.0, 40)),
    Plan("40 steps at 64", _coarse(64, 4.0, 40)),
)


def reach(case: Case, plan: Plan, target: float, *, steps: int, device: str) -> dict[str, Any]:
    """Run specstyle until a loss is reached.

    Args:
        case: What to do.
        plan: How.
        target: The loss.
        steps: Evaluations at full size at most.
        device: For the clock.

    Returns:
        Whether it was, the time, the evaluations at full size, and the loss.
    """
    now = clock(device)
    started = 0.0
    found: dict[str, Any] = {"reached": False, "time": 0.0, "evaluations": 0, "loss": float("inf")}

    def on_step(progress: Progress) -> None:
        if progress.scale < progress.scales:
            return
        found["evaluations"] += 1
        found["time"], found["loss"] = now() - started, progress.losses["total"]
        if progress.losses["total"] <= target:
            found["reached"] = True
            raise StopRun

    def on_stage(stage: str) -> None:
        nonlocal started
        started = now() if stage == "optimize" else started

    changes = {"optimizer": "lbfgs", "steps": steps, **plan.changes}
    if changes["optimizer"] == "adam":
        changes["lr"] = case.adam_rate
    asked = dataclasses.replace(case.request, overrides={**case.request.overrides, **changes})
    transfer(asked, on_step=on_step, on_stage=on_stage)
    return found


def slow_run(case: Case, steps: int, device: str) -> dict[str, Any]:
    """Run the textbook loop; return its time and the candidate's own losses of its last image."""
    with convolutions_in("fp32"):
        return _slow_run(case, steps, device)


def _slow_run(case: Case, steps: int, device: str) -> dict[str, Any]:
    now = clock(device)
    started = now()
    reference = Reference(case)
    told = time.monotonic()

    def on_step(loss: float, _image: torch.Tensor) -> None:
        nonlocal told
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"  reference: loss {loss:.6g}", flush=True)

    last = reference.run("adam", steps, on_step)
    spent = now() - started
    with torch.no_grad():
        loss = sum(x.double() for x in case.objective.losses(last).values())
    return {"time": spent, "loss": float(loss), "steps": steps}


def measure(case: Case, plans: tuple[Plan, ...], options: Options, steps: int) -> dict[str, Any]:
    """Return the reference's run and each plan's, one before it and one after it."""
    slow = slow_run(case, steps, options.device)
    found: dict[str, list[dict[str, Any]]] = {plan.name: [] for plan in plans}
    for _ in range(2):
        for plan in plans:
            found[plan.name].append(
                reach(case, plan, slow["loss"], steps=MOST * steps, device=options.device)
            )
            one = found[plan.name][-1]
            print(
                f"  {plan.name}: {'reached' if one['reached'] else 'NOT reached'} after {one['evaluations']} "
                f"evaluations in {one['time'] / slow['time']:.3f} of the time",
                flush=True,
            )
    return {"reference": slow, "plans": found}


def _inputs(options: Options) -> list[tuple[Row, str, Any, Any, tuple[Plan, ...]]]:
    rows: list[tuple[Row, str, Any, Any, tuple[Plan, ...]]] = []
    count = 1 if options.quick else 3
    size = min(options.sizes) if options.quick else SIZE
    duration = min(options.seconds) if options.quick else SECONDS
    quickest_first = (PICTURE_ROWS[1], *SOUND_ROWS, PICTURE_ROWS[0])
    for row in quickest_first:
        if row.medium == "audio":
            made = sounds(count, duration, options.data)
            plans = (ONE_SCALE, ADAM)
            rows += [(row, *one, plans) for one in made]
            continue
        for name, content, style in pictures(count, size, options.data):
            rows.append((row, name, content, style, PICTURE_PLANS))
    return rows


def code() -> str:
    """Return the date and the commit, for figures that stay when the code goes on."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        commit = specstyle.__version__
    else:
        commit = found.stdout.strip()
    return f"{datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()}, {commit}"


def cached(path: Path, make: Callable[[], dict[str, Any]], *, late: bool = False) -> dict[str, Any] | None:
    """Return what a file keeps, or make it and keep it; ``None`` if it is too late to make it."""
    if late and not path.is_file():
        return None
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    made = {**make(), "made": code()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return made


def run(options: Options) -> Section:
    """Measure every input and return the section."""
    steps = min(options.steps, 40) if options.quick else options.steps
    size = min(options.sizes) if options.quick else SIZE
    folder = options.results / "results" / "quality-time"
    found, missing = [], []
    begun = time.monotonic()
    for row, name, content, style, plans in _inputs(options):
        key = f"{row.name}, {name}"
        print(key, flush=True)
        said = f"{key}|{steps}|{size}|{options.data is not None}|{hardware(options)}"
        file = folder / f"{hashlib.sha256(said.encode()).hexdigest()[:12]}.json"

        def make(
            row: Row = row, content: Any = content, style: Any = style, name: str = name,
            plans: tuple[Plan, ...] = plans,
        ) -> dict[str, Any]:  # fmt: skip
            case = make_case(name, make_request(row, content, style, options, size=size))
            return {"row": row.name, "input": name, **measure(case, plans, options, steps)}

        late = options.minutes is not None and time.monotonic() - begun > 60 * options.minutes
        one = cached(file, make, late=late)
        if one is None:
            missing.append(key)
        else:
            found.append(one)
    return section(found, missing, options, steps)


def section(found: list[dict[str, Any]], missing: list[str], options: Options, steps: int) -> Section:
    """Return the report of some inputs."""
    lines, best = [], []
    for one in found:
        slow = one["reference"]
        shares = {}
        for name, runs in one["plans"].items():
            share = spread([x["time"] / slow["time"] for x in runs])
            reached = all(x["reached"] for x in runs)
            shares[name] = share.middle if reached else float("inf")
            shown = (
                f"{share.middle:.3f} [{share.low:.3f}..{share.high:.3f}]" if reached
                else f"not reached: {runs[0]['loss'] / slow['loss'] - 1:+.1%} of the loss"
            )  # fmt: skip
            lines.append(
                (
                    one["row"],
                    one["input"],
                    name,
                    shown,
                    runs[0]["evaluations"],
                    f"{slow['loss']:.4g}",
                    one["made"],
                )
            )
        best.append((one["row"], one["input"], min(shares.values())))
    head = (
        "row",
        "input",
        "specstyle's run",
        "time, reference = 1",
        "evaluations",
        "reference's last loss",
        "made",
    )
    met = [value <= TARGET for _, _, value in best]
    verdict = f"Target, at most a third of the time on every input: {sum(met)} of {len(met)} inputs " + (
        "met."
        if met and all(met)
        else "met; missed by " + ", ".join(f"{r} ({i})" for r, i, v in best if v > TARGET)
    )
    told = [_TEXT.format(steps=steps), verdict, table(head, lines)]
    if missing:
        told.append(f"Not measured yet (run it again, it goes on from here): {'; '.join(missing)}.")
    text = "\n\n".join(told)
    return Section(f"2 quality ({options.device})", "Time to quality", text, {"inputs": found})


_TEXT = """Time until the loss of {steps} Adam steps of the textbook loop is reached at full size (256x256,
5 s), coarser scales and targets included, as a share of the reference's time; L-BFGS where no other is named,
started from the content like the reference. Evaluations are those at full size. Each input has the date and
the commit of its own run."""
