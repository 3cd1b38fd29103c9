"""What TensorBoard's own reader finds in a run's log."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import go
from run.test_kept import STEPS, Killed, job, killed_at

from specstyle.errors import SpecstyleError
from specstyle.run.checkpoint import resumed_job

pytestmark = pytest.mark.usefixtures("workplace")

accumulator: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder: Path) -> Any:
    found = accumulator.EventAccumulator(str(folder), size_guidance={"images": 0, "audio": 0, "scalars": 0})
    found.Reload()
    return found


def test_losses_sounds_and_pictures_are_logged(tmp_path: Path) -> None:
    result, written = go(job(tmp_path, "sound, adam", "run", tensorboard=True, save_every=6))
    log = tmp_path / "run" / "tensorboard"
    assert log in written
    found = read(log)
    totals = found.Scalars("losses/total")
    assert [event.step for event in totals] == list(range(1, STEPS + 1))
    assert totals[0].value == pytest.approx(result.record["losses"]["start"]["total"], rel=1e-5)
    assert set(found.Tags()["audio"]) == {"content", "style", "result"}
    assert [event.step for event in found.Audio("result")] == [6, 12, 12]
    assert found.Audio("result")[0].sample_rate == 8000
    assert {"content spectrogram", "result spectrogram"} <= set(found.Tags()["images"])


def test_pictures_are_logged_and_what_was_told_twice_counts_once(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        go(job(tmp_path, "picture, adam", "run", tensorboard=True), on_step=killed_at(7))
    go(resumed_job(tmp_path / "run")[0])
    found = read(tmp_path / "run" / "tensorboard")
    assert [event.step for event in found.Scalars("losses/total")] == list(range(1, STEPS + 1))
    assert (found.Images("result")[0].width, found.Images("result")[0].height) == (39, 31)


def test_a_machine_without_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    given_job = dataclasses.replace(job(tmp_path, "sound, adam", "run"), tensorboard=True)
    with pytest.raises(SpecstyleError, match=r"pip install 'specstyle\[tensorboard\]'"):
        go(given_job)
    assert not (tmp_path / "run").exists()
