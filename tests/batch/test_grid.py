"""The points of a sweep."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specstyle.batch.sweep import Axis, draw, fields_of, file_stem, grid, read_axis
from specstyle.errors import ListError


def axes(*texts: str, medium: str = "image") -> list[Axis]:
    return [read_axis(text, medium) for text in texts]


def test_a_grid_is_every_combination_the_last_axis_fastest() -> None:
    points = grid(axes("strength=0.3,0.6", "steps=1,2"))
    assert points == [
        (("strength", s), ("steps", n)) for s in ("0.3", "0.6") for n in ("1", "2")
    ]  # fmt: skip


@given(count=st.integers(2, 9), low=st.floats(1e-6, 1.0), factor=st.floats(1.5, 1e6))
def test_ranges_are_even(count: int, low: float, factor: float) -> None:
    high = low * factor
    log = [float(v) for v in read_axis(f"style_weight=log:{low!r}..{high!r}:{count}", "image").values]
    even = [float(v) for v in read_axis(f"style_weight=lin:{low!r}..{high!r}:{count}", "image").values]
    for i in range(count):
        assert log[i] == pytest.approx(math.exp(math.log(low) + i / (count - 1) * math.log(factor)), rel=1e-3)
        assert even[i] == pytest.approx(low + i * (high - low) / (count - 1), rel=1e-3)


def test_whole_numbers_stay_whole() -> None:
    assert read_axis("steps=lin:10..30:3", "image").values == ("10", "20", "30")
    assert read_axis("seed=lin:0..2:3", "image").values == ("0", "1", "2")
    drawn = axes("steps=log:10..1000")[0].draw(random.Random(0))
    assert str(int(drawn)) == drawn


def test_values_reach_the_recipe_in_their_types() -> None:
    point = grid(axes("style_layers=relu1_1+relu2_1,relu3_1", "seed=7", "clip=false"))[0]
    assert fields_of(point) == {
        "overrides": {"style_layers": ("relu1_1", "relu2_1"), "clip": False},
        "seed": 7,
    }
    assert fields_of(grid(axes("content_layer=conv2_2,conv4_2"))[1])["overrides"] == {
        "content_layers": ("conv4_2",)
    }
    assert fields_of(grid(axes("smallest-scale=none"))[0]) == {"overrides": {"smallest_scale": None}}


@given(count=st.integers(1, 12), more=st.integers(0, 12), seed=st.integers(0, 99))
def test_random_points_are_in_range_different_and_stable(count: int, more: int, seed: int) -> None:
    varied = axes("tv_weight=log:1e-6..1e-2", "strength=lin:0..1", "init=content,noise")
    points = draw(varied, count, seed)
    assert len(set(points)) == count
    assert draw(varied, count + more, seed)[:count] == points
    for point in points:
        values = fields_of(point)["overrides"]
        assert 1e-6 <= values["tv_weight"] <= 1e-2
        assert 0.0 <= values["strength"] <= 1.0
        assert values["init"] in ("content", "noise")


VALUES = st.tuples(
    st.sampled_from(["0.1", "0.10", "1"]), st.sampled_from(["a+b", "a-b", "x" * 200, "y" * 200])
)


@given(left=VALUES, right=VALUES)
def test_names_of_files_differ_as_the_points_do(left: tuple[str, str], right: tuple[str, str]) -> None:
    stems = [file_stem((("strength", s), ("init", i))) for s, i in (left, right)]
    assert (stems[0] == stems[1]) == (left == right)
    assert all(len(stem) <= 120 and "/" not in stem for stem in stems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("strength", "--grid needs FIELD=VALUE"),
        ("strength=", "--grid needs FIELD=VALUE"),
        ("frobnicate=1", "--grid frobnicate: there is no such field for image"),
        ("n_fft=512", "no such field for image"),
        ("steps=1,x", "--grid steps: expected a whole number, got 'x'"),
        ("steps=1,1", "a value is there twice"),
        ("strength=log:0..1:5", "from a number above 0"),
        ("strength=lin:1..0:5", "up to a larger one, got 1..0"),
        ("strength=lin:a..b:5", "a..b is no range of numbers"),
        ("strength=lin:0..1:1", "at least 2 values"),
        ("init=lin:0..1:3", "has no numbers to range over"),
    ],
)
def test_what_is_no_axis_is_told(text: str, said: str) -> None:
    with pytest.raises(ListError, match=said.replace(".", r"\.")):
        read_axis(text, "image")


def test_points_that_cannot_be_made_are_told() -> None:
    with pytest.raises(ListError, match=r"say how many numbers \(A\.\.B:5\), or add --random N"):
        grid(axes("strength=log:0.1..1"))
    with pytest.raises(ListError, match="is given twice"):
        grid(axes("strength=0.1", "strength=0.2"))
    with pytest.raises(ListError, match="no more than 2 different points"):
        draw(axes("init=content,noise"), 3, 0)
    with pytest.raises(ListError, match="must be at least 1"):
        draw(axes("init=content,noise"), 0, 0)
