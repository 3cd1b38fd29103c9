"""What looks on at a run: how much it draws, when it stops, and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from specstyle import Progress, StopRun
from specstyle.recipes import RECIPES
from specstyle.ui import watching
from specstyle.ui.job import curves
from specstyle.ui.watching import LeaveRun, Watch
from specstyle.ui.words import plain


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Line:
    """The server's end, as far as a watch sees it."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.wishes: list[str] = []
        self.gone = False

    def send(self, said: Any) -> None:
        self.told.append(said)

    def poll(self) -> bool:
        return self.gone or bool(self.wishes)

    def recv(self) -> str:
        if self.gone:
            raise EOFError
        return self.wishes.pop(0)

    def all(self, kind: str) -> list[Any]:
        return [said for said in self.told if said[0] == kind]


def step(number: int, steps: int = 100, scale: int = 1) -> Progress:
    losses = {"total": 2.0 / number, "style": 1.0 / number, "style:relu1_1": 1.0 / number}
    return Progress(number, steps, scale, 1, losses, lambda: torch.rand(1, 3, 8, 9), lambda: None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def watch(clock: Clock, line: Any) -> Watch:
    return Watch(line, "image", RECIPES["default-image"], clock)


def test_pictures_are_few(watch: Watch, clock: Clock, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = 0.01

    def draw(*_: Any) -> bytes:
        clock.now += cost
        return b"png"

    monkeypatch.setattr(watching, "live_png", draw)
    for number in range(1, 401):
        cost = 0.01 if number <= 200 else 0.2  # a large picture
        clock.now += 0.1
        watch(step(number, 500))
    drawn = [said[1] for said in line.all("picture")]
    assert 30 <= len([n for n in drawn if n <= 200]) <= 41  # twice a second
    assert 9 <= len([n for n in drawn if n > 200]) <= 12  # a tenth of the time


@pytest.mark.parametrize(
    ("wishes", "raised"), [(["stop"], StopRun), (["stop", "leave"], LeaveRun), ([], LeaveRun)]
)
def test_a_wish_to_stop_waits_until_the_run_is_kept(
    watch: Watch, line: Line, wishes: list[str], raised: type[Exception]
) -> None:
    watch(step(1))
    assert not watch.keep_now()
    line.wishes, line.gone = [*wishes], not wishes
    if wishes:
        watch(step(2))  # not kept yet
    assert watch.keep_now()
    with pytest.raises(raised):
        watch(step(3))


def test_a_wish_to_stop_does_not_wait_for_ever(watch: Watch, clock: Clock, line: Line) -> None:
    line.wishes = ["stop"]
    watch(step(1))
    clock.now += 11
    with pytest.raises(StopRun):
        watch(step(2))


def test_the_time_left_counts_this_part_of_a_run_only(watch: Watch, clock: Clock, line: Line) -> None:
    clock.now += 50  # reading
    watch(step(41))  # gone on with from step 40
    assert line.all("state")[-1][1]["seconds_left"] is None
    for number in range(42, 52):
        clock.now += 0.5
        watch(step(number))
    assert line.all("state")[-1][1]["seconds_left"] == pytest.approx(0.5 * 49)


@pytest.mark.parametrize("n", [1, 2, 299, 300, 301, 5000])
def test_curves(n: int) -> None:
    rows = [{"step": i, "total": 1.0 / i, "style": 0.5} for i in range(1, n + 1)]
    drawn = curves(rows)
    assert min(n, 150) <= len(drawn) <= 300
    assert drawn[-1]["step"] == n
    assert all(row["total"] == 1.0 / row["step"] for row in drawn)
    assert curves([]) == []


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
