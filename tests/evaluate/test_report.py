"""The whole evaluation: baselines are what they say, tables and JSON say what the report holds."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import signal

from specstyle.errors import FileError
from specstyle.evaluate import Judge, Report, Scores, equalize, evaluate, format_table, to_json
from specstyle.evaluate.similarity import onset_correlation, spectrum_distance_db
from specstyle.media.equalize import long_term_power
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound, resample
from specstyle.media.stft import StftSettings

ESC10 = Path(__file__).parents[2].parent / "shared" / "data" / "esc10"
RATE = 16000


pytestmark = pytest.mark.usefixtures("one_thread")


def noise(seconds: float = 1.0, seed: int = 0, channels: int = 1, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, round(seconds * rate)))


def sound(samples: np.ndarray, rate: int = RATE) -> Sound:
    return Sound(torch.from_numpy(np.atleast_2d(samples).copy()), rate)


def events() -> np.ndarray:
    """Return three bursts on a faint floor, ``[1, 16000]``."""
    x = 0.001 * noise()
    for start in (2000, 7000, 12000):
        x[:, start : start + 1500] += noise(1500 / RATE, start) * signal.windows.hann(3000)[1500:]
    return x


def colored(seconds: float = 1.5, seed: int = 4) -> np.ndarray:
    return signal.lfilter([0.3], [1, -0.7], noise(seconds, seed), axis=1)


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(sound(colored(1.5, 9)), sound(events()), sound(colored()))


def test_the_style_against_itself_is_perfect(report: Report) -> None:
    style = report.style
    assert min(style.snr_mean, style.snr_var, style.snr_skew, style.snr_corr, style.snr_mod) == 120
    assert style.spectrum_db < 1e-9  # nothing but rounding, in float64
    assert style.crest == 0
    assert style.copy == pytest.approx(1)


def test_the_content_against_itself_is_perfect(report: Report) -> None:
    content = report.content
    assert content.onset == pytest.approx(1)
    assert content.chroma == pytest.approx(1)
    assert content.salience == pytest.approx(1)
    assert content.convergence_db == content.inconsistency_db == -120


def test_baselines_stand_in_the_order_that_they_must(report: Report) -> None:
    """The equalizer gets the spectrum and nothing else; a sound of the same process gets everything."""
    assert report.equalized.spectrum_db < 1
    assert report.content.spectrum_db > 5
    assert report.equalized.onset > 0.9
    assert report.equalized.snr_var < 3
    halves = [sound(half) for half in np.array_split(colored(), 2, axis=1)]
    assert report.style_halves == Judge(sound(events()), halves[1]).score(halves[0])
    assert report.style_halves.snr_var > 10
    assert report.output.snr_mean > 25 > report.equalized.snr_mean
    assert report.output.copy < 0.2
    assert report.sample_rate == RATE


def test_equalizing_gives_the_spectrum_level_included() -> None:
    content, style = sound(noise(2.0, 1, channels=2)), sound(colored(2.0))
    found = equalize(content, style)
    assert found.samples.shape == content.samples.shape
    settings = StftSettings(1024, 256, 1024)
    ratio = 10 * np.log10(long_term_power(found, settings) / long_term_power(style, settings))
    # ±1 dB: a sixth of an octave holds few independent values at the low end
    assert np.abs(ratio[20:]).max() < 1
    mono = found.samples.mean(dim=0).numpy()
    assert spectrum_distance_db(mono, style.samples[0].numpy(), RATE) < 1


def test_equalizing_a_sound_to_itself_changes_nothing_but_its_ends() -> None:
    content = sound(events())
    found = equalize(content, content).samples
    torch.testing.assert_close(found[:, 80:-80], content.samples[:, 80:-80])  # 5 ms


def test_the_equalizer_is_zero_phase_and_linear() -> None:
    """A click stays where it is and becomes symmetric; a gain in the style is a gain in the result."""
    click = np.zeros((1, 8001))
    click[0, 4000] = 1.0
    click += 1e-9 * noise(8001 / RATE)
    found = equalize(sound(click), sound(colored())).samples[0].numpy()
    assert int(np.abs(found).argmax()) == 4000
    # Frames of hop n_fft/4 filter a click near the frame's ends slightly otherwise: 1 %.
    np.testing.assert_allclose(found, found[::-1], atol=0.01 * np.abs(found).max())
    double = equalize(sound(click), sound(2 * colored())).samples[0].numpy()
    np.testing.assert_allclose(double, 2 * found, atol=1e-9)


def test_the_equalizer_takes_another_rate_and_a_silent_content_band() -> None:
    low = sound(signal.lfilter(*signal.butter(8, 0.2), noise(1.0, 2), axis=1))
    found = equalize(low, resample(sound(noise(1.0, 3)), 22050))
    assert found.sample_rate == RATE
    assert bool(torch.isfinite(found.samples).all())
    # no click where the file was cut, as there is without the fades
    assert float(found.samples.abs().max() / found.samples.std()) < 8


def test_arrays_and_sounds_give_the_same(report: Report) -> None:
    again = evaluate(colored(1.5, 9)[0], events(), torch.from_numpy(colored()), sample_rate=RATE)
    assert again == report


def test_the_level_of_any_sound_changes_only_its_level(report: Report) -> None:
    again = evaluate(sound(4 * colored(1.5, 9)), sound(0.5 * events()), sound(0.25 * colored()))
    levels = ("loudness_lufs", "rms_db", "peak_db")
    for name in (f.name for f in dataclasses.fields(Scores) if f.name not in levels):
        assert getattr(again.output, name) == pytest.approx(getattr(report.output, name), abs=1e-6)
    assert again.output.peak_db == pytest.approx(report.output.peak_db + 20 * math.log10(4))


def test_channels_and_rates_are_brought_together() -> None:
    stereo = np.repeat(colored(), 2, axis=0)
    style = resample(sound(stereo), 32000)
    found = evaluate(sound(colored(1.5, 9)), sound(events()), style)
    plain = evaluate(sound(colored(1.5, 9)), sound(events()), sound(colored()))
    assert found.sample_rate == RATE
    # resampling up and down leaves out the last percents below Nyquist
    assert found.output.snr_mean == pytest.approx(plain.output.snr_mean, abs=1.5)
    assert found.style.loudness_lufs == pytest.approx(plain.style.loudness_lufs + 3.01, abs=0.1)


def test_json_and_table_say_what_the_report_holds(report: Report) -> None:
    parsed = json.loads(to_json(report))
    assert parsed["output"]["snr_mean"] == report.output.snr_mean
    assert set(parsed) >= {"output", "content", "equalized", "style", "style_halves", "sample_rate"}
    lines = format_table(report).splitlines()
    assert lines[0].split() == ["output", "content", "equalized", "style", "halves"]
    (row,) = (line for line in lines if "envelope mean" in line)
    cells = row[34:].split()
    assert cells[0] == f"{report.output.snr_mean:.1f}"
    assert cells[3] == "120.0"
    assert max(map(len, lines)) <= 90


def test_the_table_has_a_row_for_every_score(report: Report) -> None:
    rows = [line for line in format_table(report).splitlines() if line.startswith("  ")][1:]
    names = [f.name for f in dataclasses.fields(Scores)]
    assert len(rows) == len(names)
    for row, name in zip(rows, names, strict=True):
        value = getattr(report.output, name)
        told = row[34:].split()[0]
        assert told == "-" if value is None else float(told) == pytest.approx(value, abs=0.051)


def test_without_a_transcriber_the_table_says_how_to_get_one(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specstyle.evaluate.notes.find_spec", lambda name: None)
    told = format_table(report).splitlines()
    assert told[-2:] == ["pip install 'specstyle[judge]'", "pip install --no-deps basic-pitch"]
    assert max(map(len, told)) <= 90
    assert evaluate(sound(colored(1.5, 9)), sound(events()), sound(colored())).output.notes is None


def test_half_a_style_may_be_silent() -> None:
    style = colored()
    style[:, : style.shape[1] // 2 + 10] = 0
    found = evaluate(sound(colored(1.0, 9)), sound(events()), sound(style))
    assert found.style_halves.copy == 0
    assert found.style_halves.rms_db is None
    assert found.style_halves.loudness_lufs is None
    json.loads(to_json(found))


def test_what_cannot_be_judged_is_one_line() -> None:
    good = sound(noise())
    for bad, message in (
        (sound(np.zeros((1, 8000))), "silence"),
        (sound(np.full((1, 8000), np.nan)), "NaN"),
        (sound(noise(0.05)), "samples"),
        (sound(np.concatenate([noise(), -noise()])), "cancel"),
    ):
        with pytest.raises(FileError, match=message) as caught:
            evaluate(bad, good, good)
        assert "\n" not in str(caught.value)
        assert "(output)" in str(caught.value)
    with pytest.raises(ValueError, match="sample_rate"):
        evaluate(noise(), good, good)
    with pytest.raises(ValueError, match="shape"):
        evaluate(np.zeros((1, 2, 3)), good, good, sample_rate=RATE)


@pytest.mark.skipif(not ESC10.is_dir(), reason="needs the project's shared recordings")
def test_baselines_on_recordings_are_near_those_of_findings() -> None:
    """FINDINGS.md, medians of 12 pairs at 3 s; three pairs at 2 s scatter around them."""
    names = (
        ("rooster-1-27724-A", "rain-1-29561-A"),
        ("dog_bark-1-32318-A", "fire_crackling-1-17565-A"),
        ("dog_bark-2-122104-B", "rain-2-82367-A"),
    )
    reports = []
    for pair in names:
        content, style = (resample(read_sound(ESC10 / f"{name}.ogg"), RATE) for name in pair)
        cut = [Sound(s.samples[:, : 2 * RATE], RATE) for s in (content, style)]
        reports.append(evaluate(cut[0], cut[0], cut[1]))
    assert 11 < np.median([r.equalized.snr_mean for r in reports]) < 25
    assert all(r.equalized.spectrum_db < 1.5 for r in reports)
    assert np.median([r.equalized.onset for r in reports]) > 0.85
    assert np.median([r.style_halves.snr_mean for r in reports]) > 20
    assert np.median([r.style_halves.snr_var for r in reports]) > 8
    assert all(abs(r.style_halves.onset) < 0.5 for r in reports)
    first = resample(read_sound(ESC10 / f"{names[0][0]}.ogg"), RATE).samples[0, : 2 * RATE].numpy()
    assert onset_correlation(first, first, RATE) == pytest.approx(1)
