"""A run that was left at any safe point, through a file, ends in the same bits as one that was not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from draws import rand
from engine.test_optimize import SHAPE, objective
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine.canvas import Pixels
from specstyle.engine.optimize import (
    OptimizerSettings,
    State,
    StopRun,
    optimize,
)
from specstyle.errors import CheckpointError
from specstyle.files import STATE_FORMAT, load_state, save_state

METHODS: dict[str, dict[str, Any]] = {
    "adam": {"method": "adam", "lr": 0.02, "lr_decay": 1e-3},
    "adam with epsilon hat": {"method": "adam", "lr": 0.02, "epsilon": 1e-2, "epsilon_hat": True},
    "adam, average": {"method": "adam", "lr": 0.02, "keep": "average"},
    "sgd, best": {"method": "sgd", "lr": 0.01, "keep": "best"},
    "lbfgs": {"method": "lbfgs", "history": 3},
    "lbfgs in rounds": {"method": "lbfgs", "restart_every": 5},
}
START = rand(*SHAPE, seed=1)


def go(
    kind: str, steps: int, *, upper: float | None = None, **options: Any
) -> tuple[State, list[dict[str, float]]]:
    losses: list[dict[str, float]] = []
    state = optimize(
        Pixels(START, upper=upper),
        objective(),
        OptimizerSettings(**METHODS[kind]),
        steps,
        on_step=lambda step: losses.append({"step": step.step, **step.losses}),
        **options,
    )
    return state, losses


class Left(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("kind", METHODS)
@given(leave=st.integers(1, 24), upper=st.sampled_from([None, 0.6]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_resumed_run_ends_as_one_that_was_not_left(
    tmp_path: Path, kind: str, leave: int, upper: float | None
) -> None:
    whole, told = go(kind, 24, upper=upper)
    file = tmp_path / "state.pt"
    file.unlink(missing_ok=True)

    def leave_at(step: int, snapshot: Any) -> None:
        if step >= leave:
            save_state(file, snapshot())
            raise Left

    try:
        go(kind, 24, upper=upper, on_safe=leave_at)
    except Left:
        saved = load_state(file)
        again, later = go(kind, 24, upper=upper, resume=saved)
        assert later == told[saved["done"] :]
        assert torch.equal(again.image, whole.image)
        assert again.losses_end == whole.losses_end
        assert again.losses_start == whole.losses_start
        assert again.steps == whole.steps
        assert_same(again.memory, whole.memory)
    else:
        assert kind.startswith("lbfgs")  # its last evaluations may all be of one line search


def assert_same(left: Any, right: Any) -> None:
    if isinstance(left, Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for name, value in left.items():
            assert_same(value, right[name])
    elif isinstance(left, (list, tuple)):
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def test_first_order_methods_can_be_left_after_every_step() -> None:
    for kind in ("adam", "sgd, best"):
        seen: list[int] = []
        go(kind, 7, on_safe=lambda step, _, seen=seen: seen.append(step))
        assert seen == list(range(1, 8))


def test_lbfgs_can_be_left_between_line_searches() -> None:
    seen: list[int] = []
    go("lbfgs", 20, on_safe=lambda step, _: seen.append(step))
    assert seen[0] == 1
    assert seen == sorted(seen)
    assert len(seen) > 8


def test_keeping_a_run_does_not_change_it(tmp_path: Path) -> None:
    for kind in METHODS:
        state, _ = go(kind, 9)
        kept, _ = go(kind, 9, on_safe=lambda _, snapshot: save_state(tmp_path / "s.pt", snapshot()))
        assert torch.equal(state.image, kept.image)


def test_a_run_that_was_stopped_can_be_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "s.pt"
    whole, _ = go("adam", 9)

    def stop(step: Any) -> None:
        if step.step == 5:
            raise StopRun

    optimize(
        Pixels(START),
        objective(),
        OptimizerSettings(**METHODS["adam"]),
        9,
        on_step=stop,
        on_safe=lambda _, snapshot: save_state(file, snapshot()),
    )
    saved = load_state(file)
    assert saved["done"] == 4
    assert torch.equal(go("adam", 9, resume=saved)[0].image, whole.image)


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    values = {"a": torch.arange(3), "b": [1, 2.5, None, "x"], "c": {"d": (torch.zeros(2, 2), True)}}
    save_state(tmp_path / "s.pt", values)
    assert_same(load_state(tmp_path / "s.pt"), values)
    assert [p.name for p in tmp_path.iterdir()] == ["s.pt"]


def test_a_failed_write_leaves_the_older_state(tmp_path: Path) -> None:
    file = tmp_path / "s.pt"
    save_state(file, {"a": 1})
    (tmp_path / ".s.pt.part").mkdir()  # stands where the new one is to be written
    with pytest.raises(CheckpointError, match=r"s\.pt: the checkpoint cannot be written"):
        save_state(file, {"a": 2})
    assert load_state(file) == {"a": 1}


ODD_NUMBER = b"\x80\x4b\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 half", b"no checkpoint at all", ODD_NUMBER, None], ids=str
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    """Nothing beside it: torch warns of a pickle's odd number. None: a file that is cut."""
    file = tmp_path / "s.pt"
    save_state(file, {"a": torch.zeros(1000)})
    file.write_bytes(file.read_bytes()[:-700] if content is None else content)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(CheckpointError, match=r"s\.pt: is .*delete it"):
            load_state(file)
    assert not told


class Harmful:
    def __reduce__(self) -> Any:
        return (print, ("run",))


def test_a_file_that_would_run_something_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"format": STATE_FORMAT, "values": {"a": Harmful()}}, tmp_path / "s.pt")
    with pytest.raises(CheckpointError):
        load_state(tmp_path / "s.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("read", [{"format": STATE_FORMAT + 1, "values": {}}, {"values": {}}, [1]])
def test_another_format_is_refused(tmp_path: Path, read: Any) -> None:
    torch.save(read, tmp_path / "s.pt")
    with pytest.raises(CheckpointError, match=f"reads {STATE_FORMAT}"):
        load_state(tmp_path / "s.pt")
