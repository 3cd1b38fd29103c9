"""The benchmarks' statistics, and one small run of the quality program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import stats

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

from pairs import RATE, densest, from_first_event, read  # noqa: E402
from statistics_of_pairs import median_interval, wins  # noqa: E402


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    data = np.random.default_rng(1).normal(5.0, 2.0, 15)
    low, high = median_interval(data.tolist())
    theirs = stats.bootstrap(
        (data,), np.median, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
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
