"""What the terminal is told, in a file, too."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Outcome
from tqdm import tqdm

from specstyle.cli.progress import Logged

Cli = Callable[..., Outcome]
IMAGE = ["image", "c.png", "s.png", "--steps", "2", "--network", "vgg19-lite", "--size", "32"]
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


def logged() -> list[str]:
    lines = Path("run.log").read_text("utf-8").splitlines()
    assert all(TIME.match(line) for line in lines)
    return [TIME.sub("", line, count=1) for line in lines]


def test_what_is_told_is_in_the_file(workplace: Path, cli: Cli) -> None:
    done = cli(*IMAGE, "-o", "out.png", "--log-file", "run.log")
    assert done.code == 0
    assert "step 3/3" in done.err
    assert sorted(logged()) == sorted(done.err.splitlines() + done.out.splitlines())
    before = logged()
    again = cli(*IMAGE, "-o", "out.png", "--log-file", "run.log")
    assert again.code == 1
    assert logged() == before + again.lines


def test_a_sweep_and_a_resumed_run_have_one(workplace: Path, cli: Cli) -> None:
    sweep = ["sweep", *IMAGE, "-o", "grid", "--grid", "seed=1,2", "--log-file", "run.log"]
    done = cli(*sweep)
    assert done.code == 0, done.err
    assert sorted(logged()) == sorted(done.err.splitlines() + done.out.splitlines())
    assert cli(*IMAGE, "--run-dir", "kept", "--quiet").code == 0
    done = cli("image", "--resume", "kept", "--log-file", "run.log")
    assert done.code == 0
    assert logged()[-1] in done.out


@pytest.mark.parametrize("name", ["c.png", "s.csv", "folder.log", "log"])
def test_an_input_is_no_log(name: str, workplace: Path, cli: Cli) -> None:
    Path("folder.log").mkdir()
    before = Path("c.png").read_bytes()
    refused = cli(*IMAGE, "-o", "out.png", "--log-file", name)
    assert (refused.code, len(refused.lines)) == (2, 1)
    assert "must be a file that ends in .log or .txt" in refused.err
    assert Path("c.png").read_bytes() == before


def test_a_log_without_a_folder_is_told(workplace: Path, cli: Cli) -> None:
    refused = cli(*IMAGE, "-o", "out.png", "--log-file", "none/run.log")
    assert (refused.code, len(refused.lines)) == (1, 1)
    assert not Path("out.png").exists()


def test_of_a_bar_the_last_is_kept() -> None:
    stream, file = io.StringIO(), io.StringIO()
    both = Logged(stream, file)
    for _ in tqdm(range(3), file=both, mininterval=0, ascii=True):
        tqdm.write("a note", file=both)
    lines = [TIME.sub("", line, count=1) for line in file.getvalue().splitlines()]
    assert lines[:3] == ["a note"] * 3
    assert len(lines) == 4
    assert "3/3" in lines[3]
    assert stream.getvalue().count("\r") > 4
