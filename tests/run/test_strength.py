"""The one knob: monotone from the content to the style, by what evaluation measures."""

from __future__ import annotations

import numpy as np
import pytest

from specstyle import transfer_audio
from specstyle.evaluate import evaluate
from specstyle.synthesis.sounds import plucked_melody, rain

RATE = 8000


pytestmark = pytest.mark.usefixtures("one_thread")


def test_strength_is_monotone_and_without_leaps() -> None:
    content, style = plucked_melody(2.0, RATE), rain(2.0, RATE)
    texture, onset, spectrum = [], [], []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        result = transfer_audio(content, style, sample_rate=RATE, strength=strength, steps=25)
        scores = evaluate(result.output.samples, content, style, sample_rate=RATE).output
        texture.append(np.mean([scores.snr_mean, scores.snr_var, scores.snr_corr, scores.snr_mod]))
        onset.append(scores.onset)
        spectrum.append(scores.spectrum_db)
    assert onset[0] == pytest.approx(1.0, abs=1e-3)
    assert min(np.diff(texture)) > 0
    assert max(np.diff(onset)) < 0.01
    assert spectrum[0] > spectrum[1] > spectrum[2]
    way = (np.array(texture) - texture[0]) / (texture[-1] - texture[0])
    assert max(np.diff(way)) < 0.75  # of four steps: no single one goes nearly all the way
