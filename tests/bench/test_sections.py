"""The report keeps the sections that a run did not measure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import large, memory, startup
from bench.options import Options
from bench.paired import ratio, take_turns
from bench.report import Section, replace_section, table, write_section
from bench.suite import main


def test_a_section_is_replaced_and_the_others_stay() -> None:
    text = replace_section("", "2 b", "## B\n\nbefore")
    text = replace_section(text, "1 a", "## A")
    assert text.index("## A") < text.index("## B")
    again = replace_section(text, "2 b", "## B\n\nnew")
    assert "before" not in again
    assert "## A" in again
    assert replace_section(again, "2 b", "## B\n\nbefore") == text


def test_a_section_goes_to_the_report_and_its_figures_beside(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    write_section(folder, Section("1 a (cpu)", "A", "text", {"x": 1}, "python -m bench"), "a chip")
    report = (folder / "RESULTS.md").read_text(encoding="utf-8")
    assert "## A" in report
    assert "a chip; `python -m bench`" in report
    assert json.loads((folder / "results" / "1-a-cpu.json").read_text(encoding="utf-8"))["x"] == 1


def test_a_table() -> None:
    assert table(("a", "b"), [(1, 2)]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_loops_take_turns() -> None:
    order: list[str] = []

    def loop(name: str):  # type: ignore[no-untyped-def]
        def run(tick):  # type: ignore[no-untyped-def]
            while True:
                order.append(name)
                tick()

        return run

    time = iter(range(1000))
    loops = {"a": loop("a"), "b": loop("b")}
    times = take_turns(loops, warm_up={"a": 2, "b": 1}, rounds=3, now=lambda: float(next(time)))
    assert order == ["a", "a", "b", *["a", "b"] * 3]
    assert times == {"a": [1.0] * 3, "b": [1.0] * 3}
    assert str(ratio([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])) == "3.00 [2.50..3.50]"


def test_what_a_loop_raises_comes_out() -> None:
    def broken(tick):  # type: ignore[no-untyped-def]
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        take_turns({"a": broken}, warm_up={"a": 0}, rounds=1, now=lambda: 0.0)


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([], None),
        ([("600 s of stereo", 5.0)], None),
        ([("600 s of stereo", 5.0), ("36 megapixels", 5.9)], True),
        ([("600 s of stereo", 5.0), ("36 megapixels", 6.1)], False),
        ([("30 s of stereo", 6.1)], False),
    ],
)
def test_large_inputs_are_judged_by_the_largest(
    cases: list[tuple[str, float]], expected: bool | None
) -> None:
    assert large.within_limit(dict(cases)) is expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({30.0: 1.0}, None),
        ({30.0: 1.0, 600.0: 39.0}, True),
        ({30.0: 1.0, 120.0: 4.0, 600.0: 41.0}, False),
        ({30.0: 1.0, 120.0: 4.0}, None),
    ],
)
def test_a_step_is_linear_if_a_second_costs_no_more_than_tiles_do(
    steps: dict[float, float], expected: bool | None
) -> None:
    assert large.is_linear(steps) is expected


def test_peaks_of_memory_are_told_with_the_least_and_the_most_of_their_ratio() -> None:
    usual, more = ({"import": 10.0, "candidate": x, "reference": 40.0} for x in (20.0, 30.0))
    assert memory._told([usual, more, usual]) == ("10", "20", "40", "0.50 [0.50..0.75]")
    assert memory._told([usual, {**usual, "candidate": None}]) == ("10", "failed", "40", "")


def test_targets_of_start_up_are_told_with_their_share() -> None:
    times = {"`import torch`": [(2.0, 2.0)], "`specstyle --help`": [(1.0, 0.1)]}
    times[startup.FIRST_STEP] = [(9.0, 6.0)]
    text = startup._section(times, Options()).text
    assert "| `specstyle --help` | 0.05 [0.05..0.05] | < 0.3 s | 33% of it, met |" in text
    assert "< 5.0 s | 120% of it, missed |" in text


def test_an_unknown_section_is_told() -> None:
    with pytest.raises(SystemExit, match=r"no section x; there are speed"):
        main(["--only", "x"])


@pytest.mark.slow
def test_a_small_run_of_the_suite(tmp_path: Path) -> None:
    main(["--device", "cpu", "--quick", "--only", "speed", "--size", "32", "--seconds", "0.5",
          "--results", str(tmp_path)])  # fmt: skip
    report = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "## Steps per second" in report
    assert "not measured: no GPU" in report
