"""The benchmarks' statistics, and one small run of the quality program."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
import soundfile
import torch
from scipy import stats

from specstyle.evaluate import evaluate

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import tunes  # noqa: E402
from pairs import RATE, Pair, densest, from_first_event, read  # noqa: E402
from quality import SCORES, each_pair, table, win_table  # noqa: E402
from statistics_of_pairs import median_interval, wins  # noqa: E402


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    data = np.random.default_rng(1).normal(5.0, 2.0, 15)
    low, high = median_interval(data.tolist())
    seed = "rng" if [int(part) for part in scipy.__version__.split(".")[:2]] >= [1, 15] else "random_state"
    theirs = stats.bootstrap(
        (data,), np.median, method="percentile", n_resamples=10_000, **{seed: np.random.default_rng(2)}
    ).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.25)
    assert high == pytest.approx(theirs.high, abs=0.25)
    assert low < np.median(data) < high


def test_wins_are_strict() -> None:
    assert wins([1.0, 2.0, 3.0], [0.0, 2.0, 4.0], higher_is_better=True) == 1
    assert wins([1.0, 2.0, 3.0], [0.0, 2.0, 4.0], higher_is_better=False) == 1


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> str:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return str(path)


def test_what_is_cut_out(tmp_path: Path) -> None:
    """The densest three seconds skip silence; the sparse cut begins just before the first event."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(8 * RATE)
    noise[: 4 * RATE] *= 1e-5
    sound = read(write(tmp_path / "a.wav", noise))
    dense = densest(sound).samples
    assert dense.shape == (1, 3 * RATE)
    assert float(dense.abs().mean()) > 0.05
    sparse = from_first_event(sound).samples[0].abs()
    assert float(sparse[: round(0.1 * RATE)].max()) < 1e-4
    assert float(sparse[round(0.3 * RATE) :].mean()) > 0.05


@pytest.mark.parametrize("name", sorted(tunes.MADE))
def test_what_the_tunes_are_made_of_is_the_same_every_time(name: str) -> None:
    sound, again = tunes.load(name), tunes.load(name)
    assert sound is not None
    assert again is not None
    assert sound.samples.shape == (1, 5 * RATE)
    assert np.array_equal(sound.samples, again.samples)
    assert float(sound.samples.abs().max()) == pytest.approx(0.3)
    seconds = sound.samples.reshape(5, -1).square().mean(1).sqrt()
    assert float(seconds.min()) > 0.005  # it sounds all the time


def test_absent_recordings_are_named_and_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(tunes.PAIRS) >= 12
    assert len(set(tunes.PAIRS)) == len(tunes.PAIRS)
    monkeypatch.setattr(tunes, "MUSIC", Path("nowhere"))
    monkeypatch.setattr(tunes, "DATA", Path("nowhere"))
    pairs, absent = tunes.load_pairs()
    assert [pair.name for pair in pairs] == ["chorale + drums"]
    assert set(absent) == {name for pair in tunes.PAIRS for name in pair} - set(tunes.MADE)


def test_tables_leave_out_what_has_no_score() -> None:
    """Notes of a content that has none; medians, wins and differences are those of the other pairs."""
    one = evaluate(*(tunes.load("drums"),) * 3).output
    rows = {
        "a": [
            replace(one, notes=notes, onset=onset) for notes, onset in ((None, 0.5), (0.5, 0.6), (0.9, 0.7))
        ],
        "b": [
            replace(one, notes=notes, onset=onset) for notes, onset in ((None, 0.4), (0.4, 0.7), (0.4, 0.6))
        ],
    }
    seconds = {"a": [1.0, 2.0, 3.0], "b": [1.0, 1.0, 1.0]}
    shown = {"notes": True, "onset": True}
    assert "| a | 0.70 (0.5..0.9) | 0.60 (0.5..0.7) | 2.0 |" in table("t", rows, seconds, shown)
    won = win_table(rows, "a", ["b"], shown).splitlines()[-1]
    assert won.startswith("| b | 2 of 2, +0.30 (+0.10..+0.50) | 2 of 3, +0.10 (-0.10..+0.10) |")
    assert "| y | - | 0.50 | 1.0 |" in each_pair(rows, seconds, ["y", "z", "w"], "a", shown)
    assert set(SCORES) <= {field.name for field in fields(one)}


@pytest.mark.slow
def test_tunes_of_one_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import tune

    sounds = [tunes.load(name) for name in ("drums", "chord")]
    short = [replace(s, samples=s.samples[:, :RATE]) for s in sounds if s is not None]
    monkeypatch.setattr(tune, "load_pairs", lambda: ([Pair("drums + chord", *short)], ["robin"]))
    quick = "default-audio:steps=2"
    monkeypatch.setattr(
        sys, "argv", ["tune.py", quick, quick + ":strength=0.9", "--json", str(tmp_path / "t.json")]
    )
    threads = torch.get_num_threads()
    tune.main()
    torch.set_num_threads(threads)
    said = capsys.readouterr()
    assert "robin is not there" in said.err
    for word in (*tune.SCORES, "(content equalized)", "Pairs on which", "| drums + chord |"):
        assert word in said.out
    assert set(json.loads((tmp_path / "t.json").read_text())["tunes"]) >= {quick, "(halves)"}


@pytest.mark.slow
def test_quality_of_your_own_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(RATE) / RATE
    clicks = np.sin(2 * np.pi * 500 * t) * (np.modf(4 * t)[0] < 0.2) + 0.01 * rng.standard_normal(RATE)
    content = write(tmp_path / "c.wav", 0.3 * clicks)
    style = write(tmp_path / "s.wav", 0.1 * rng.standard_normal(RATE))
    quick = "default-audio:steps=8"
    options = ["--same-onset", "--tries", "2", "--json", tmp_path / "q.json"]
    folders = ["--save", tmp_path / "out", "--figures", tmp_path / "figures"]
    recipes = [quick, quick + ":strength=0.9"]
    done = subprocess.run(
        [sys.executable, BENCH / "quality.py", *recipes, "--pair", content, style, *options, *folders],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "medians of 1 pairs" in done.stdout
    scores = json.loads((tmp_path / "q.json").read_text(encoding="utf-8"))["your pairs"]
    assert set(scores) == {"(content)", "(content equalized)", "(halves)", quick, quick + ":strength=0.9"}
    assert scores[quick]["c + s"]["snr_mean"] > scores["(content)"]["c + s"]["snr_mean"]
    assert len(list((tmp_path / "out").glob("*.wav"))) == 4
    assert len(list((tmp_path / "figures").glob("*.jpg"))) == 1
