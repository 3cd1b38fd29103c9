"""``--run-dir`` and ``--resume`` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from run.test_kept import here

from specstyle.cli.main import main

__all__ = ["here"]

FAST = ["--network", "wide-random", "--n-filters", "32", "--steps", "3", "--phase-iterations", "2"]


def say(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_kept_run_needs_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    inputs = (tmp_path / "c.wav", tmp_path / "s.wav")
    code, out, _ = say("audio", *inputs, "--run-dir", run_dir, *FAST, capsys=capsys)
    assert code == 0
    assert f"wrote {run_dir / 'result.wav'}" in out
    code, out, _ = say("audio", "--resume", run_dir, capsys=capsys)
    assert code == 0
    assert "the run is finished; its result is" in out
    assert len(out.splitlines()) == 1


def test_a_run_is_resumed_by_the_command_that_began_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    say("audio", tmp_path / "c.wav", tmp_path / "s.wav", "--run-dir", run_dir, *FAST, capsys=capsys)
    (run_dir / "status.json").unlink()
    (run_dir / "result.wav").unlink()
    (run_dir / "result.wav.json").unlink()
    code, _, err = say("image", "--resume", run_dir, capsys=capsys)
    assert code == 2
    assert "keeps a run of `specstyle audio`" in err
    code, out, _ = say("audio", "--resume", run_dir, capsys=capsys)
    assert code == 0
    assert "result.wav" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["audio", "--resume", "d", "--steps", "4"], "leave out --steps"),
        (["audio", "a", "b", "--resume", "d"], "leave out content, styles"),
        (["audio", "--resume", "d", "-o", "x.wav"], "leave out --output"),
        (["audio", "--resume", "no-such-folder"], "keeps no run"),
        (["audio", "a.wav", "b.wav"], "say where the result goes: -o OUT, or --run-dir DIR"),
        (["audio", "a.wav", "b.wav", "-o", "c.wav", "--tensorboard"], "--tensorboard needs --run-dir DIR"),
        (
            ["audio", "a.wav", "b.wav", "-o", "c.wav", "--checkpoint-every", "3"],
            "--checkpoint-every needs --run-dir DIR",
        ),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = say(*arguments, capsys=capsys)
    assert code in (1, 2)
    assert said in err
    assert len(err.splitlines()) == 1
