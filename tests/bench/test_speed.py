"""What is measured on a GPU only, as far as a CPU can tell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench import speed
from bench.cases import PICTURE_ROWS, SOUND_ROWS
from bench.options import Options
from bench.paired import Spread, take_turns
from bench.reference import Reference

LITE, KERNEL = PICTURE_ROWS[1], SOUND_ROWS[0]


def test_each_loop_makes_its_steps_in_its_own_settings() -> None:
    seen, now = [], [""]

    @contextlib.contextmanager
    def within(name: str) -> Iterator[None]:
        now[0] = name
        yield
        now[0] = ""

    def loop(tick: Any) -> None:
        while True:
            seen.append(now[0])
            tick()

    warm_up = {"a": 2, "b": 1}
    take_turns({"a": loop, "b": loop}, warm_up=warm_up, rounds=2, now=lambda: 0.0, within=within)
    assert seen == ["a", "a", "b", *["a", "b"] * 2]


def test_the_reference_computes_in_fp32_and_the_candidate_in_its_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a candidate in TF32, which CPUs do not have: what counts is what is set."""
    found: dict[str, set[bool]] = {"reference": set(), "candidate": set()}

    def note(who: str) -> None:
        found[who].add(torch.backends.cudnn.allow_tf32)

    case = speed.case_of("x", LITE, 32, Options())
    case.session.precision = "tf32"
    ours, theirs = case.objective.losses, Reference.features
    monkeypatch.setattr(case.objective, "losses", lambda image: note("candidate") or ours(image))
    monkeypatch.setattr(Reference, "features", lambda *given: note("reference") or theirs(*given))
    monkeypatch.setattr(speed, "peak_flops", lambda *_: 1.0)
    speed.measure(case, Options(quick=True, rounds=2), "tf32")
    assert found == {"reference": {False}, "candidate": {True}}


def test_adam_on_a_gpu_is_timed_by_as_many_steps_as_it_reports() -> None:
    def on(kind: str) -> Any:
        return SimpleNamespace(content=SimpleNamespace(device=torch.device(kind)))

    assert [speed.steps_a_turn(on("cuda"), m) for m in speed.METHODS] == [1, 10]
    assert [speed.steps_a_turn(on("cpu"), m) for m in speed.METHODS] == [1, 1]


def test_losses_at_the_end_are_taken_by_the_exact_network() -> None:
    options = Options(quick=True, steps=10)
    exact, case = (speed.case_of("x", LITE, 32, options, p) for p in ("fp32", "bf16"))
    assert speed.ends_by_fp32(exact, exact, options) == {"lbfgs": 1.0, "adam": 1.0}
    for end in speed.ends_by_fp32(case, exact, options).values():
        assert end != 1.0
        assert end == pytest.approx(1.0, abs=0.3)


def test_targets_on_a_gpu() -> None:
    def one(precision: str, times: float, seconds: float, **more: Any) -> dict[str, Any]:
        return {
            "case": "gatys2016, vgg19, 512x512", "precision": precision, "lbfgs": Spread(times, times, times),
            "adam": Spread(9.0, 9.0, 9.0),
            "seconds": {"candidate lbfgs": [seconds], "candidate adam": [0.0025]}, **more,
        }  # fmt: skip

    rows = speed._gpu_targets(
        [
            one("fp32", 4.0, 0.01),
            one("bf16", 12.0, 0.001, ends={"lbfgs": 1.06, "adam": 1.001}),
            one("bf16", 12.0, 0.001, ends={"lbfgs": 1.0, "adam": float("nan")}),
        ]
    )
    assert not any("in fp32, reference" in what for what, *_ in rows)
    assert ("512x512, L-BFGS in bf16, reference in fp32 = 1", ">= 10", "12.00", "met") in rows
    assert ("512x512, Adam in bf16, reference in fp32 = 1", ">= 10", "9.00", "missed") in rows
    assert ("steps/s, 512x512, L-BFGS in bf16", ">= 500", "1000", "met") in rows
    assert ("steps/s, 512x512, Adam in bf16", ">= 500", "400", "missed") in rows
    assert ("loss at the end, L-BFGS in bf16, in fp32 = 1", "<= 1.01", "1.0600", "missed") in rows
    assert ("loss at the end, Adam in bf16, in fp32 = 1", "<= 1.01", "nan", "missed") in rows
