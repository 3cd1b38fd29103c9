"""Words that nobody would type, through the parser and all that is settled before a run."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import write_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from specstyle.cli import batching, main
from specstyle.run import job as jobs
from specstyle.run.settle import check_request, settle_request

PARSER = main.build_parser()
NUMBERS = ["0", "1", "-1", "2", "0.5", "-0", "1e9", "1e400", "nan", "inf", "1_0", "٣", "9" * 400]
PATHS = ["c.wav", "s.wav", "c.png", "s.png", "jobs.csv", "none.wav", "none.png", "out.wav", "out.png", "."]
ODD = ["", " ", "-", "--", "=", ",", "1,2", "relu1_1", "steps=1,2", "lin:0..1:5", "auto", "%s", "none"]
ODD += ["a\nb", "\x1b[2J", "\udcff", "ä" * 300, "[" * 300]
LEFT_OUT = {"--debug"}  # whose purpose is a traceback


def options_of(command: str) -> list[argparse.Action]:
    return [a for a in PARSER.commands[command]._actions if not LEFT_OUT & {*a.option_strings}]


def values_of(action: argparse.Action) -> st.SearchStrategy[str]:
    """Of an option, most of them of the kind that it takes."""
    choices = [str(choice) for choice in action.choices or ()]
    known = st.sampled_from(choices or NUMBERS + PATHS)
    return st.one_of(known, known, st.sampled_from(NUMBERS), st.sampled_from(ODD), st.text(max_size=5))


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from([*PARSER.commands]))
    words = [command]
    for action in options_of(command):
        if not action.option_strings:
            count = 1 if action.nargs is None else draw(st.integers(0, 2))
            words += [
                draw(values_of(action) if action.choices else st.sampled_from(PATHS)) for _ in range(count)
            ]
    words += draw(st.sampled_from([[], ["-o", "new.wav"], ["-o", "new.png"]]))
    flagged = [action for action in options_of(command) if action.option_strings]
    for action in draw(st.lists(st.sampled_from(flagged), max_size=5)):
        flag = draw(st.sampled_from(action.option_strings))
        form = draw(st.sampled_from(["as it takes", "as it takes", "as it takes", "bare", "joined", "cut"]))
        value = [] if action.nargs == 0 and form == "as it takes" else [draw(values_of(action))]
        words += {
            "bare": [flag],
            "joined": [f"{flag}={''.join(value)}"],
            "cut": [flag[: draw(st.integers(1, len(flag)))], *value],
        }.get(form, [flag, *value])
    return draw(st.permutations(words)) if draw(st.integers(0, 9)) == 0 else words


SETTLED: list[jobs.Job] = []


def settled(job: jobs.Job, **_: Any) -> None:
    check_request(job.request)
    settle_request(job.request)
    SETTLED.append(job)
    raise SystemExit(0)


def stop(*_: Any) -> None:
    raise SystemExit(0)


def said(words: list[str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main.main(words)
    return int(ended.value.code or 0), err.getvalue()


def test_whatever_is_typed_is_settled_or_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    """No run begins: what the words mean is settled, and of commands that do not run that way, parsed."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.csv").write_text("content,style,output\nc.wav,s.wav,o.wav\nc.png,s.png,o.png\n")
    real = main._guarded

    def guarded(action: Callable[..., int], arguments: argparse.Namespace) -> int:
        runs = arguments.command in ("audio", "image", "texture", "batch", "sweep")
        return real(action, arguments) if runs else 0

    monkeypatch.setattr(main, "_guarded", guarded)
    monkeypatch.setattr(main, "build_parser", functools.cache(main.build_parser))  # the same, made once
    monkeypatch.setattr(jobs, "run_job", settled)
    monkeypatch.setattr(batching, "_run_all", stop)
    before = sorted(Path().iterdir())

    @settings(max_examples=int(os.environ.get("SPECSTYLE_EXAMPLES", "1000")))
    @given(command_lines())
    def holds(words: list[str]) -> None:
        code, err = said(words)
        assert code in (0, 1, 2)
        assert "Traceback" not in err
        assert "unexpected" not in err
        if code:
            assert len(err.splitlines()) == 1
            assert err.startswith("specstyle")
        assert sorted(Path().iterdir()) == before

    holds()
    assert SETTLED  # and not all of them refused
