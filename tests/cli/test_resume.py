"""``--run-dir`` and ``--resume`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Outcome

pytestmark = pytest.mark.usefixtures("workplace")

FAST = ["--network", "wide-random", "--n-filters", "32", "--steps", "3", "--phase-iterations", "2"]


def test_a_kept_run_needs_no_output_and_is_resumed_by_the_command_that_began_it(
    cli: Callable[..., Outcome],
) -> None:
    run_dir = Path("run")
    code, out, _ = cli("audio", "c.wav", "s.wav", "--run-dir", run_dir, *FAST)
    assert code == 0
    assert "wrote run/result.wav" in out
    code, out, _ = cli("audio", "--resume", run_dir)
    assert (code, len(out.splitlines())) == (0, 1)
    assert "the run is finished; its result is" in out
    for name in ("status.json", "result.wav", "result.wav.json"):
        (run_dir / name).unlink()
    code, _, err = cli("image", "--resume", run_dir)
    assert code == 2
    assert "keeps a run of `specstyle audio`" in err
    code, out, _ = cli("audio", "--resume", run_dir)
    assert code == 0
    assert "result.wav" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("audio --resume d --steps 4", "leave out --steps"),
        ("audio a b --resume d", "leave out content, styles"),
        ("audio --resume d -o x.wav", "leave out --output"),
        ("audio --resume no-such-folder", "keeps no run"),
        ("audio a.wav b.wav -o c.wav --tensorboard", "--tensorboard needs --run-dir DIR"),
        ("audio a.wav b.wav -o c.wav --checkpoint-every 3", "--checkpoint-every needs --run-dir DIR"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(
    arguments: str, said: str, cli: Callable[..., Outcome]
) -> None:
    outcome = cli(*arguments.split())
    assert outcome.code in (1, 2)
    assert said in outcome.err
    assert len(outcome.lines) == 1
