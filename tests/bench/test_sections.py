"""The report keeps the sections that a run did not measure."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import large, memory, startup
from bench.options import Options
from bench.paired import ratio, take_turns
from bench.report import Section, replace_section, table, write_section
from bench.suite import main, options_of, parser


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


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--only", "x"], "there is no section x; there are speed"),
        (["--precision", "foo"], "--precision must be fp32, tf32, bf16, or several"),
        (["--precision", "fp32,"], "got ''"),
        (["--precision", "fp32,tf32"], "precision tf32 needs an NVIDIA GPU"),
        (["--size", "64", "0"], "--size must be at least 32, got 0"),
        (["--size", "5000"], "--size must be at most 4096 without --data FOLDER, got 5000"),
        (["--seconds", "-1"], "--seconds must be at least 0.5, got -1"),
        (["--seconds", "nan"], "--seconds must be at least 0.5, got nan"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--steps", "-3"], "--steps must be at least 1, got -3"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--minutes", "-1"], "--minutes must be a number from 0 on, got -1"),
        (["--tile", "abc"], "tile must be auto, off or a whole number"),
        (["--device", "cuda"], "device 'cuda' is not available on this machine, which has cpu"),
        (["--device", "tpu"], "device must be auto, cpu"),
        (["--data", "nowhere"], "--data: there is no folder nowhere"),
        (["--weights", "nowhere.pth"], "--weights: there is no file nowhere.pth"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    argv: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        main(["--results", str(tmp_path), "--only", "memory", *argv])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.splitlines()) == 1
    assert not said.out
    assert not list(tmp_path.iterdir())


def test_precisions_are_those_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*argv: str) -> tuple[str, ...]:
        return options_of(parser().parse_args(argv)).precisions

    assert measured("--device", "cpu") == ("fp32",)
    assert measured("--device", "cpu", "--precision", "fp32, bf16") == ("fp32", "bf16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for capability, expected in ((7, 5), ("fp32",)), ((8, 0), ("fp32", "tf32", "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert measured() == expected


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux tells the peak there")
def test_the_peak_of_a_process_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ru_maxrss`` of a fresh process is at least that of the one that started it."""
    monkeypatch.setattr(memory.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=2**40))
    before = memory.peak_mib("cpu")
    assert 10 < before < 2**20


def test_what_a_failed_command_said_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"failed: specstyle: .*no\.wav"):
        large._run(["audio", tmp_path / "no.wav", tmp_path / "no.wav", "-o", tmp_path / "out.wav"])


@pytest.mark.slow
def test_a_small_run_of_the_suite(tmp_path: Path) -> None:
    main(["--device", "cpu", "--quick", "--only", "speed", "--size", "32", "--seconds", "0.5",
          "--results", str(tmp_path)])  # fmt: skip
    report = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "## Steps per second" in report
    assert "not measured: no GPU" in report
