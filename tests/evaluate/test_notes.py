"""Notes kept: the count by hand and by mir_eval, the transcriber on tones, and nothing where it is absent."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specstyle.evaluate import evaluate
from specstyle.evaluate.notes import INSTALL, notes_kept, transcribe, transcriber_installed

RATE = 22050
SCALE = (60, 62, 64, 65, 67, 69)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        not transcriber_installed(),
        reason="needs Basic Pitch, which no extra can bring: " + "; ".join(INSTALL),
    ),
]


def melody(*pitches: int, seconds: float = 0.5) -> np.ndarray:
    """Plucked notes with six partials, one after the other."""
    t = np.arange(round(seconds * RATE)) / RATE
    envelope = np.minimum(t / 0.005, 1) * np.exp(-t / 0.25)
    return np.concatenate(
        [
            envelope
            * sum(0.6**k * np.sin(2 * np.pi * (k + 1) * 440 * 2 ** ((p - 69) / 12) * t) for k in range(6))
            for p in pitches
        ]
    )


def line(*pitches: int, late: float = 0.0) -> list[tuple[float, float, int]]:
    return [(0.5 * i + late, 0.5 * i + late + 0.4, pitch) for i, pitch in enumerate(pitches)]


def test_f1_of_its_closed_form() -> None:
    """F1 = 2 TP / (notes + notes): 4 of 6 and 6 found; 6 of 6 and 12 found; 50 ms are near enough."""
    content = line(*SCALE)
    assert notes_kept(content, content, 9.0) == 1
    assert notes_kept(line(60, 62, 64, 65, 66, 70), content, 9.0) == pytest.approx(8 / 12)
    assert notes_kept(sorted(content + line(*(p + 7 for p in SCALE))), content, 9.0) == pytest.approx(12 / 18)
    assert notes_kept(line(*SCALE, late=0.04), content, 9.0) == 1
    assert notes_kept(line(*SCALE, late=0.06), content, 9.0) == 0
    assert notes_kept([], content, 9.0) == 0
    assert notes_kept([(on, on, p) for on, _, p in content], content, 9.0) == 1  # where they end is all one


def test_only_the_common_duration_counts_and_few_notes_say_nothing() -> None:
    content = line(*SCALE)
    assert notes_kept(content[:5], content, 2.4) == 1
    assert notes_kept(content, content, 1.9) is None
    assert notes_kept(content, content[:4], 9.0) is None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(50, 80)), min_size=5, max_size=12, unique=True),
    st.lists(st.tuples(st.integers(0, 9), st.integers(50, 80)), max_size=12, unique=True),
)
def test_f1_is_symmetric_and_a_share(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """On a grid of half seconds and semitones, a partner is an equal note."""
    ours, theirs = ([(0.5 * on, 0.5 * on + 0.3, p) for on, p in sorted(notes)] for notes in (a, b))
    both = len(set(a) & set(b))
    assert notes_kept(theirs, ours, 9.0) == pytest.approx(2 * both / (len(a) + len(b)))


def test_a_scale_is_heard_whatever_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    handlers, disabled = list(logging.getLogger().handlers), logging.root.manager.disable
    found = transcribe(melody(*SCALE), RATE)
    assert found is not None
    assert notes_kept(found, line(*SCALE), 9.0) == pytest.approx(
        12 / (6 + len(found))
    )  # all six are among them
    assert len(found) <= 8  # a partial or two besides
    assert all(b[0] >= a[0] for a, b in itertools.pairwise(found))
    assert transcribe(0.001 * melody(*SCALE), RATE) == found
    assert transcribe(np.zeros(RATE), RATE) == []
    assert capsys.readouterr() == ("", "")
    assert (logging.getLogger().handlers, logging.root.manager.disable) == (handlers, disabled)


def test_scores_beside_the_baselines() -> None:
    content, hiss = melody(*SCALE), np.random.default_rng(0).standard_normal(3 * RATE)
    wrong = melody(*(pitch + 1 for pitch in SCALE))
    report = evaluate(2.0 * wrong, content, hiss, sample_rate=RATE)
    assert report.content.notes == 1
    assert report.output.notes == 0
    assert report.style.notes == report.style_halves.notes == 0
    assert report.equalized.notes is not None
    assert report.equalized.notes > 0.4
    none_to_keep = evaluate(content, hiss, hiss, sample_rate=RATE)
    assert none_to_keep.output.notes is None
