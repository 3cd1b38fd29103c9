"""Judge a result beside the baselines that it must beat, as numbers, a table or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specstyle.errors import FileError
from specstyle.evaluate import similarity
from specstyle.evaluate.notes import (
    INSTALL,
    LEAST_NOTES,
    Note,
    notes_kept,
    transcribe,
    transcriber_installed,
)
from specstyle.evaluate.texture import (
    Array,
    TextureStatistics,
    crest_distance_db,
    mono,
    texture_snr,
    texture_statistics,
)
from specstyle.media import loudness
from specstyle.media.equalize import equalize
from specstyle.media.sounds import Sound, check_sound

MIN_DURATION_S = 0.1
"""Shorter sounds are refused: their halves have next to no modulation left to measure."""


@dataclass(frozen=True)
class Scores:
    """What is measured on one sound. Texture statistics, spectrum and copy: against the style.

    Attributes:
        snr_mean: Of the envelopes' means, in dB (``texture.texture_snr``, also the next four).
        snr_var: Of their variances.
        snr_skew: Of their skewness.
        snr_corr: Of the correlations between bands.
        snr_mod: Of the modulations.
        spectrum_db: Distance of the long-term spectra (``similarity.spectrum_distance_db``).
        crest: Distance of the band envelopes' crests in dB (``texture.crest_distance_db``).
        copy: Largest correlation of a half-second piece with the style (``similarity.copy_score``).
        onset: Correlation of onset strengths with the content (``similarity.onset_correlation``).
        chroma: Correlation of chroma with the content (``similarity.chroma_correlation``).
        salience: Correlation of fine structure with the content (``similarity.salience_correlation``).
        notes: F1 of the content's notes that Basic Pitch finds again (``notes.notes_kept``); ``None`` where
            it is not installed, or the content has fewer than 5 notes.
        convergence_db: Spectral convergence to the content (``similarity.convergence_db``).
        inconsistency_db: With the content's phase (``similarity.phase_inconsistency_db``).
        loudness_lufs: Integrated loudness; ``None`` where BS.1770 has none.
        rms_db: Level re full scale; ``None`` for silence.
        peak_db: Largest sample re full scale; ``None`` for silence.
    """

    snr_mean: float
    snr_var: float
    snr_skew: float
    snr_corr: float
    snr_mod: float
    spectrum_db: float
    crest: float
    copy: float
    onset: float
    chroma: float
    salience: float
    notes: float | None
    convergence_db: float
    inconsistency_db: float
    loudness_lufs: float | None
    rms_db: float | None
    peak_db: float | None


@dataclass(frozen=True)
class Report:
    """The scores of a result and of four baselines.

    Attributes:
        output: The result's.
        content: The content itself.
        equalized: The content equalized to the style's long-term spectrum.
        style: The style itself.
        style_halves: The style's first half, judged against its second.
        sample_rate: In Hz, the lowest of the three sounds', at which all was measured (loudness, level
            and peak: at each sound's own).
    """

    output: Scores
    content: Scores
    equalized: Scores
    style: Scores
    style_halves: Scores
    sample_rate: int


def evaluate(
    output: Sound | Array | Tensor,
    content: Sound | Array | Tensor,
    style: Sound | Array | Tensor,
    *,
    sample_rate: int | None = None,
) -> Report:
    """Judge a result and, beside it, four baselines made on the spot.

    Statistics are those of the mean of the channels, at the lowest of the three sample rates.

    Args:
        output: The result: a sound, or an array ``[length]`` or ``[channels, length]``.
        content: What its structure came from.
        style: What its texture came from.
        sample_rate: Of the arrays, in Hz; sounds have their own.

    Returns:
        All scores.

    Raises:
        FileError: If a sound is silent, constant, not finite or shorter than 0.1 s, or its channels cancel.
        ValueError: If an array comes without a rate or in another shape.
    """
    result, source, model = (
        _as_sound(value, sample_rate, role)
        for value, role in ((output, "output"), (content, "content"), (style, "style"))
    )
    rate = min(sound.sample_rate for sound in (result, source, model))
    middle = model.samples.shape[1] // 2
    first = replace(model, samples=model.samples[:, :middle])
    second = replace(model, samples=model.samples[:, middle:])
    target, half = _Target.of(source, model, rate), mono(second, rate)
    return Report(
        output=_score(result, rate, target),
        content=_score(source, rate, target),
        equalized=_score(equalize(source, model), rate, target),
        style=_score(model, rate, target),
        style_halves=_score(
            first, rate, replace(target, style=half, statistics=texture_statistics(half, rate))
        ),
        sample_rate=rate,
    )


class Judge:
    """Scores results of one content and style; what does not depend on the result is measured once.

    Args:
        content: What the structure comes from.
        style: What the texture comes from.

    Raises:
        FileError: As ``evaluate`` does.
    """

    def __init__(self, content: Sound, style: Sound) -> None:
        source, model = _as_sound(content, None, "content"), _as_sound(style, None, "style")
        self._rate = min(source.sample_rate, model.sample_rate)
        self._target = _Target.of(source, model, self._rate)

    def score(self, output: Sound) -> Scores:
        """Return the scores of a result; those of ``evaluate``, if it has the content's rate."""
        return _score(_as_sound(output, None, "output"), self._rate, self._target)


def format_table(report: Report) -> str:
    """Return the report as text: a row per score, a column for the output and each baseline.

    Args:
        report: From ``evaluate``.
    """
    columns = {title: getattr(report, name) for title, name in _COLUMNS.items()}
    lines = [" " * 34 + "".join(f"{title:>11}" for title in columns)]
    for heading, names in _ROWS.items():
        lines.append(heading)
        for name, (title, digits) in names.items():
            cells = (_cell(getattr(scores, name), digits) for scores in columns.values())
            lines.append(f"  {title:<32}" + "".join(cells))
    lines.append(
        f"Measured at {report.sample_rate} Hz. Higher SNR is nearer; numbers only stand in for ears."
    )
    if not transcriber_installed():
        lines += ["Notes are counted where Basic Pitch is installed, by two commands:", *INSTALL]
    return "\n".join(lines)


def to_json(report: Report) -> str:
    """Return the report as a JSON object: one object per sound under the report's own names.

    Args:
        report: From ``evaluate``.
    """
    return json.dumps(asdict(report), indent=2, allow_nan=False)


_COLUMNS = {name.removeprefix("style_"): name for name in Report.__annotations__ if name != "sample_rate"}

_ROWS: dict[str, dict[str, tuple[str, int]]] = {
    "against the style": {
        "snr_mean": ("envelope mean, SNR dB", 1),
        "snr_var": ("envelope variance, SNR dB", 1),
        "snr_skew": ("envelope skew, SNR dB", 1),
        "snr_corr": ("cross-band correlation, SNR dB", 1),
        "snr_mod": ("modulation power, SNR dB", 1),
        "spectrum_db": ("long-term spectrum, distance dB", 1),
        "crest": ("crest of bands, distance dB", 1),
        "copy": ("copy score", 2),
    },
    "against the content": {
        "onset": ("onset correlation", 2),
        "chroma": ("chroma correlation", 2),
        "salience": ("salience (partials), correlation", 2),
        "notes": ("notes kept, F1", 2),
        "convergence_db": ("spectral convergence, dB", 1),
        "inconsistency_db": ("inconsistency with its phase, dB", 1),
    },
    "by itself": {
        "loudness_lufs": ("loudness, LUFS", 1),
        "rms_db": ("level, dB re full scale", 1),
        "peak_db": ("peak, dB re full scale", 1),
    },
}


def _cell(value: float | None, digits: int) -> str:
    """Return a number, or a dash, right-aligned in its column."""
    return f"{'-' if value is None else format(value, f'.{digits}f'):>11}"


@dataclass(frozen=True)
class _Target:
    """What sounds are judged against: content and style as one channel ``[length]`` each."""

    content: Array
    style: Array
    statistics: TextureStatistics
    notes: list[Note] | None

    @classmethod
    def of(cls, content: Sound, style: Sound, rate: int) -> _Target:
        """Return both at another rate, the style's statistics and the content's notes."""
        source, model = mono(content, rate), mono(style, rate)
        return cls(source, model, texture_statistics(model, rate), transcribe(source, rate))

    def notes_kept(self, x: Array, rate: int) -> float | None:
        """Return the share of the content's notes that a sound has; ``None``: see ``Scores``."""
        if self.notes is None or len(self.notes) < LEAST_NOTES:
            return None
        found = transcribe(x, rate)
        return None if found is None else notes_kept(found, self.notes, min(x.size, self.content.size) / rate)


def _score(sound: Sound, rate: int, target: _Target) -> Scores:
    """Measure one sound, at ``rate``, against content and style."""
    x, samples = mono(sound, rate), sound.samples.numpy()
    statistics = texture_statistics(x, rate)
    return Scores(
        **texture_snr(statistics, target.statistics),
        spectrum_db=similarity.spectrum_distance_db(x, target.style, rate),
        crest=crest_distance_db(statistics, target.statistics),
        copy=similarity.copy_score(x, target.style, rate),
        onset=similarity.onset_correlation(x, target.content, rate),
        chroma=similarity.chroma_correlation(x, target.content, rate),
        salience=similarity.salience_correlation(x, target.content, rate),
        notes=target.notes_kept(x, rate),
        convergence_db=similarity.convergence_db(x, target.content, rate),
        inconsistency_db=similarity.phase_inconsistency_db(x, target.content, rate),
        loudness_lufs=loudness.loudness_lufs(samples, sound.sample_rate),
        rms_db=loudness.rms_db(samples),
        peak_db=loudness.peak_db(samples),
    )


def _as_sound(value: Any, sample_rate: int | None, role: str) -> Sound:
    """Return a usable sound from what the caller gave, or say what is wrong with it."""
    if isinstance(value, Sound):
        sound = value
    elif sample_rate is None:
        raise ValueError(f"{role} is an array; give its sample_rate, or a Sound")
    else:
        array = (
            value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value, float))
        )
        samples = array.to(torch.float64)
        sound = Sound(samples[None] if samples.ndim == 1 else samples, sample_rate, name=role)
    check_sound(sound, role=role, min_samples=int(np.ceil(MIN_DURATION_S * sound.sample_rate)))
    if not bool(sound.samples.mean(dim=0).any()):
        raise FileError(f"{sound.name} ({role}) has channels that cancel each other; give one of them alone")
    return sound
