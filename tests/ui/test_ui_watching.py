"""What looks on at a run: how much it draws, when it stops, and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from specstyle import Progress, StopRun
from specstyle.recipes import RECIPES
from specstyle.ui import watching
from specstyle.ui.watching import LeaveRun, Watch, curves
from specstyle.ui.words import plain


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def step(number: int, steps: int = 100, scale: int = 1) -> Progress:
    losses = {"total": 2.0 / number, "style": 1.0 / number, "style:relu1_1": 1.0 / number}
    return Progress(number, steps, scale, 1, losses, lambda: torch.rand(1, 3, 8, 9), lambda: None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Watch:
    return Watch("image", RECIPES["default-image"], 60.0, clock)


def test_pictures_are_few_and_only_for_who_looks(
    watch: Watch, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = 0.01

    def draw(*_: Any) -> bytes:
        clock.now += cost
        return b"png"

    monkeypatch.setattr(watching, "live_png", draw)
    drawn = []
    for number in range(1, 500):
        if number <= 400:
            watch.look()
        cost = 0.01 if number <= 200 else 0.2  # a large picture
        clock.now += 0.1
        watch(step(number, 500))
        assert watch.picture is not None
        drawn.append(watch.picture[0])
    assert 30 <= len(set(drawn[:200])) <= 41  # twice a second
    assert 9 <= len(set(drawn[200:400])) <= 12  # a tenth of the time
    assert len(set(drawn[460:])) == 1  # nobody looks


@pytest.mark.parametrize(("leave", "raised"), [(False, StopRun), (True, LeaveRun)])
def test_a_wish_to_stop_waits_until_the_run_is_kept(
    watch: Watch, leave: bool, raised: type[Exception]
) -> None:
    watch(step(1))
    assert not watch.keep_now()
    watch.ask_to_stop()
    watch.ask_to_stop(leave=leave)  # the server ends
    watch(step(2))  # not kept yet
    assert watch.state()["stopping"]
    assert watch.keep_now()
    with pytest.raises(raised):
        watch(step(3))


def test_a_wish_to_stop_does_not_wait_for_ever(watch: Watch, clock: Clock) -> None:
    watch.ask_to_stop()
    watch(step(1))
    clock.now += 11
    with pytest.raises(StopRun):
        watch(step(2))


def test_the_time_that_a_run_may_take(watch: Watch, clock: Clock) -> None:
    clock.now += 59
    watch(step(1))
    clock.now += 2
    watch(step(2))
    assert watch.out_of_time
    watch.keep_now()
    with pytest.raises(StopRun):
        watch(step(3))


def test_the_time_left_counts_this_part_of_a_run_only(watch: Watch, clock: Clock) -> None:
    assert watch.state() == {}
    clock.now += 50  # reading
    watch(step(41))  # gone on with from step 40
    assert watch.state()["seconds_left"] is None
    for number in range(42, 52):
        clock.now += 0.5
        watch(step(number))
    assert watch.state()["seconds_left"] == pytest.approx(0.5 * 49)
    clock.now += 0.3  # within the next step
    assert watch.state()["seconds_left"] == pytest.approx(0.5 * 49 - 0.3)


@pytest.mark.parametrize("n", [1, 2, 299, 300, 301, 5000])
def test_curves(n: int) -> None:
    rows = [{"step": float(i), "total": 1.0 / i, "style": 0.5} for i in range(1, n + 1)]
    drawn = curves(rows)
    assert len(drawn["step"]) == len(drawn["total"]) == min(n, len(drawn["step"]))
    assert min(n, 150) <= len(drawn["step"]) <= 300
    assert drawn["step"][-1] == n
    assert drawn["total"] == [1.0 / s for s in drawn["step"] if s]
    assert set(drawn) == {"step", "total", "style"}
    assert curves([]) == {}


def test_words_for_a_page() -> None:
    assert plain("a.png is a sound (WAV), not a picture; use `specstyle audio` for sounds") == (
        "a.png is a sound (WAV), not a picture"
    )
    assert (
        plain("use a smaller --size or a lower --sample-rate") == "use a smaller size or a lower sample rate"
    )
    assert plain("time: roughly 2 min on this device; Ctrl-C keeps the result so far") == (
        "time: roughly 2 min on this device; Stop keeps the result so far"
    )
    assert plain("a--b and C-x stay") == "a--b and C-x stay"


def test_a_name_that_another_file_has_here_is_said_once() -> None:
    names = {Path("/here/style-1.wav"): "style-2.wav", Path("/here/style-2.wav"): "style-1.wav"}
    assert (
        plain("/here/style-1.wav: no sound; style-2.wav: none", names)
        == "style-2.wav: no sound; style-1.wav: none"
    )
