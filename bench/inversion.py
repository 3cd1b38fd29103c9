"""Spectrogram inversion against librosa's and torchaudio's Griffin-Lim: how near, and how long.

    python bench/inversion.py                      # all cases, about 10 minutes
    python bench/inversion.py --quick              # a few cases, under a minute
    python bench/inversion.py --write bench/results/inversion.md

A pair is one transform and one inverse. All run on one thread in one process; repetitions of what is compared
take turns, and the least processor time counts, which other work on the machine disturbs least. torchaudio
works on, and is judged by, its own transform (reflected ends); librosa and specstyle by one with zeros around
the sound. Their momentum is 0.99, their default.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import torch
import torchaudio
from torch import Tensor

from specstyle.media.inversion import invert
from specstyle.media.phase import spectral_convergence_db
from specstyle.media.stft import StftSettings, stft
from specstyle.synthesis.sounds import SOUNDS

ESC10 = Path(__file__).resolve().parents[2] / "shared" / "data" / "esc10"
KINDS = {
    "speech": ["voice_phrase", "baby_cry", "rooster"],
    "music": ["plucked_melody"],
    "percussion": ["clock_tick", "dog_bark", "fire_crackle", "fire_crackling"],
    "noise": ["white_noise", "rain", "rain (recorded)", "sea_waves", "helicopter", "chainsaw"],
}
RECORDED = {"rain (recorded)": "rain"}
STYLIZED = [
    ("voice_phrase", "rain"),
    ("rooster", "fire_crackle"),
    ("plucked_melody", "rain"),
    ("sea_waves", "voice_phrase"),
    ("fire_crackling", "rooster"),
    ("baby_cry", "sea_waves"),
]
SECONDS = 2.5
RATES, SIZES, OVERLAPS = (22050, 44100), (1024, 2048), (4, 8)
TARGETS = {32: (8.0, 3.0), 100: (6.0, 1.0)}
"""Pairs: how many dB better in the median and on every clip."""

LIBRARIES = ("torchaudio", "librosa")
Method = Callable[[int], Tensor]


@dataclass(frozen=True)
class Case:
    """One clip in one transform: the inversion methods and what they reach."""

    kind: str
    clip: str
    rate: int
    settings: StftSettings
    samples: Tensor

    @property
    def name(self) -> str:
        """Return rate, FFT size, hop and clip in short."""
        return f"{self.rate} Hz, {self.settings.n_fft}/{self.settings.hop_length}, {self.clip}"


@dataclass(frozen=True)
class Outcome:
    """What was measured on one case; dB by method and pairs, seconds by method at 32 pairs."""

    case: Case
    db: dict[tuple[str, int], float]
    seconds: dict[str, float]
    db_in_equal_time: dict[str, float]

    def gain(self, pairs: int, library: str | None = None) -> float:
        """Return by how many dB specstyle is better than one library, or than the better one."""
        names = LIBRARIES if library is None else (library,)
        return min(self.db[name, pairs] for name in names) - self.db["specstyle", pairs]


def read_clip(name: str, rate: int) -> np.ndarray | None:
    """Return the loudest part of a clip, synthesized or recorded, or None if there is no recording."""
    length = int(SECONDS * rate)
    if name == "white_noise":
        return 0.1 * np.random.default_rng(0).standard_normal(length)
    if name in SOUNDS:
        return SOUNDS[name](SECONDS, rate)
    found = sorted(ESC10.glob(f"{RECORDED.get(name, name)}-1-*.ogg"))
    if not found:
        return None
    samples, own_rate = soundfile.read(found[0], always_2d=True)
    samples = soxr.resample(samples.mean(axis=1), own_rate, rate)
    starts = range(0, max(1, len(samples) - length), rate // 10)
    best = max(starts, key=lambda start: float(np.square(samples[start : start + length]).sum()))
    return samples[best : best + length]


def make_cases(quick: bool) -> list[Case]:
    """Return every clip at every rate, size and overlap (or a few of them)."""
    transforms = [(rate, n, n // part) for rate in RATES for n in SIZES for part in OVERLAPS]
    if quick:
        transforms = [(22050, 1024, 256), (22050, 1024, 128)]
    cases = []
    for rate, n_fft, hop in transforms:
        for kind, names in KINDS.items():
            for name in names[:2] if quick else names:
                samples = read_clip(name, rate)
                if samples is None:
                    continue
                # A whole number of hops: all three then see the same frames.
                x = torch.from_numpy(np.ascontiguousarray(samples[: len(samples) // hop * hop])).float()
                cases.append(Case(kind, name, rate, StftSettings(n_fft, hop, n_fft), x))
    return cases


def methods(magnitude: Tensor, own: Tensor, settings: StftSettings, length: int) -> dict[str, Method]:
    """Return the three inversions as functions of the number of pairs.

    Args:
        magnitude: With zeros around the sound, ``[n_bins, frames]``.
        own: torchaudio's, with reflected ends.
        settings: The transform.
        length: Number of samples.
    """
    n, hop, window = settings.n_fft, settings.hop_length, torch.hann_window(settings.n_fft)

    def by_torchaudio(pairs: int) -> Tensor:
        torch.manual_seed(0)
        return torchaudio.functional.griffinlim(
            own, window, n, hop, n, power=1.0, n_iter=pairs, momentum=0.99, length=length, rand_init=True
        )

    # librosa 1.0 renamed it.
    seed = {"rng" if "rng" in signature(librosa.griffinlim).parameters else "random_state": 0}

    def by_librosa(pairs: int) -> Tensor:
        return torch.from_numpy(
            librosa.griffinlim(
                magnitude.numpy(), n_iter=pairs, hop_length=hop, momentum=0.99, length=length, **seed
            )
        )

    def by_specstyle(pairs: int) -> Tensor:
        return invert(magnitude, settings, length, iterations=pairs).waveform

    return {"specstyle": by_specstyle, "torchaudio": by_torchaudio, "librosa": by_librosa}


def reflected(x: Tensor, settings: StftSettings) -> Tensor:
    """Return the magnitudes that torchaudio's default transform gives."""
    window = torch.hann_window(settings.n_fft)
    return torch.stft(x, settings.n_fft, settings.hop_length, window=window, return_complex=True).abs()


def convergence_db(name: str, y: Tensor, magnitude: Tensor, own: Tensor, settings: StftSettings) -> float:
    """Return the spectral convergence, each library by the transform that it works in."""
    if name != "torchaudio":
        return spectral_convergence_db(y, magnitude, settings)
    return 20.0 * math.log10(float((reflected(y, settings) - own).norm() / own.norm()))


def measure(case: Case, repeat: int) -> Outcome:
    """Run the three methods on one case, in turns."""
    settings, length = case.settings, len(case.samples)
    magnitude, own = stft(case.samples, settings).abs(), reflected(case.samples, settings)
    run = methods(magnitude, own, settings, length)
    db: dict[tuple[str, int], float] = {}
    times: dict[str, list[float]] = {name: [] for name in run}
    for turn in range(repeat + 1):  # the first one warms up
        for name, function in run.items():
            start = time.process_time()
            y = function(32)
            if turn:
                times[name].append(time.process_time() - start)
            db[name, 32] = convergence_db(name, y, magnitude, own, settings)
    seconds = {name: min(values) for name, values in times.items()}
    equal = {}
    for name, function in run.items():
        db[name, 100] = convergence_db(name, function(100), magnitude, own, settings)
        if name != "specstyle":
            pairs = max(1, round(32 * seconds["specstyle"] / seconds[name]))
            equal[name] = convergence_db(name, function(pairs), magnitude, own, settings)
    return Outcome(case, db, seconds, equal)


def stylize(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Return magnitudes that no signal has, made of two signals' magnitudes ``[n_bins, frames]``."""
    floor = 1e-4 * float(first.max())
    smooth = [
        torch.nn.functional.avg_pool1d(m.T[:, None], 31, 1, 15)[:, 0].T + floor for m in (first, second)
    ]
    distance = torch.cdist(torch.log(first + floor).T, torch.log(second + floor).T)
    return {
        "geometric mean": (first * second).sqrt(),
        "envelope swapped": first * smooth[1] / smooth[0],
        "nearest style frames": second[:, distance.argmin(dim=1)],
    }


def measure_stylized(quick: bool) -> list[tuple[str, dict[int, float], dict[int, float]]]:
    """Return what was stylized, specstyle's dB by pairs, and the better library's."""
    results = []
    for rate, n_fft, hop in [(22050, 1024, 256)] if quick else [(22050, 1024, 256), (44100, 2048, 256)]:
        settings = StftSettings(n_fft, hop, n_fft)
        for names in STYLIZED[:1] if quick else STYLIZED:
            clips = [read_clip(name, rate) for name in names]
            if any(clip is None for clip in clips):
                continue
            length = min(len(clip) for clip in clips) // hop * hop
            found = [stft(torch.from_numpy(clip[:length]).float(), settings).abs() for clip in clips]
            for label, magnitude in stylize(*found).items():
                run = methods(magnitude, magnitude, settings, length)
                db = {
                    (name, pairs): spectral_convergence_db(function(pairs), magnitude, settings)
                    for name, function in run.items()
                    for pairs in TARGETS
                }
                ours = {pairs: db["specstyle", pairs] for pairs in TARGETS}
                theirs = {pairs: min(db[name, pairs] for name in LIBRARIES) for pairs in TARGETS}
                results.append((f"{rate} Hz, {n_fft}/{hop}, {names[0]} as {names[1]}: {label}", ours, theirs))
    return results


def table(rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table, its first row the head."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * (lines[0].count("|") - 1), *lines[1:]])


def summarize(outcomes: list[Outcome]) -> str:
    """Return medians and worst cases against the targets."""
    rows: list[list[object]] = [["", "median", "target", "worst clip", "target", ""]]
    for pairs, (median_db, worst_db) in TARGETS.items():
        gains = [outcome.gain(pairs) for outcome in outcomes]
        worst = min(outcomes, key=lambda outcome, pairs=pairs: outcome.gain(pairs))  # type: ignore[misc]
        met = statistics.median(gains) >= median_db and min(gains) >= worst_db
        rows.append(
            [
                f"better at {pairs} pairs, dB",
                f"{statistics.median(gains):.1f}",
                f">= {median_db:.0f}",
                f"{min(gains):.1f} ({worst.case.name})",
                f">= {worst_db:.0f}",
                "met" if met else "missed",
            ]
        )
    for library in LIBRARIES:
        gains = [outcome.db_in_equal_time[library] - outcome.db["specstyle", 32] for outcome in outcomes]
        middle = statistics.median(gains)
        rows.append(
            [
                f"better than {library} in the time of 32 pairs, dB",
                f"{middle:.1f}",
                ">= 10",
                f"{min(gains):.1f}",
                "",
                "met" if middle >= 10 else "missed",
            ]
        )
    for library, limit in (("torchaudio", 0.7), ("librosa", math.inf)):
        ratios = [outcome.seconds["specstyle"] / outcome.seconds[library] for outcome in outcomes]
        middle, most = statistics.median(ratios), max(ratios)
        target = "" if limit == math.inf else f"<= {limit}"
        verdict = "" if limit == math.inf else "met" if most <= limit else "missed"
        label = f"time of 32 pairs, start included, {library}'s = 1"
        rows.append([label, f"{middle:.2f}", target, f"{most:.2f}", target, verdict])
    return table(rows)


def by_group(outcomes: list[Outcome]) -> str:
    """Return medians by kind of sound and by transform."""
    rows: list[list[object]] = [
        [
            "",
            "cases",
            *(f"{name}, {pairs}" for pairs in TARGETS for name in ("specstyle", *LIBRARIES)),
            "time",
        ]
    ]
    groups: dict[str, list[Outcome]] = {"all": outcomes}
    for outcome in outcomes:
        case = outcome.case
        overlap = case.settings.n_fft // case.settings.hop_length
        for key in (case.kind, f"{case.rate} Hz", f"n_fft {case.settings.n_fft}", f"hop n_fft/{overlap}"):
            groups.setdefault(key, []).append(outcome)
    for key, members in groups.items():
        cells = [
            f"{statistics.median(member.db[name, pairs] for member in members):.1f}"
            for pairs in TARGETS
            for name in ("specstyle", *LIBRARIES)
        ]
        ratio = statistics.median(m.seconds["specstyle"] / m.seconds["torchaudio"] for m in members)
        rows.append([key, len(members), *cells, f"{ratio:.2f}"])
    return table(rows)


def every_case(outcomes: list[Outcome]) -> str:
    """Return one row for each case."""
    rows: list[list[object]] = [["case", "specstyle, 32", "better by", "specstyle, 100", "better by", "time"]]
    for outcome in outcomes:
        ratio = outcome.seconds["specstyle"] / outcome.seconds["torchaudio"]
        cells = [(f"{outcome.db['specstyle', pairs]:.1f}", f"{outcome.gain(pairs):.1f}") for pairs in TARGETS]
        rows.append([outcome.case.name, *cells[0], *cells[1], f"{ratio:.2f}"])
    return table(rows)


def report(outcomes: list[Outcome], stylized: list[tuple[str, dict[int, float], dict[int, float]]]) -> str:
    """Return everything as Markdown."""
    rows: list[list[object]] = [
        ["stylized magnitudes", *(f"{w}, {p}" for p in TARGETS for w in ("specstyle", "best library"))]
    ]
    for label, ours, theirs in stylized:
        rows.append([label, *(f"{who[pairs]:.2f}" for pairs in TARGETS for who in (ours, theirs))])
    better = [theirs[pairs] - ours[pairs] for _, ours, theirs in stylized for pairs in TARGETS]
    never = min(better) >= 0.0
    versions = (
        f"torch {torch.__version__}, torchaudio {torchaudio.__version__}, librosa {librosa.__version__}"
    )
    return "\n\n".join(
        [
            "# Spectrogram inversion against librosa and torchaudio",
            f"Made by `python bench/inversion.py` ({len(outcomes)} cases, {versions}, one thread). Spectral "
            'convergence in dB, lower is better; "better" is against the better of the two libraries; time '
            "is processor time, relative to torchaudio's 32 iterations.",
            "## Targets",
            summarize(outcomes),
            "## Medians",
            by_group(outcomes),
            "## Magnitudes that no signal has",
            f"Never worse than the better library: {'met' if never else 'missed'}; better by "
            f"{min(better):.2f} to {max(better):.2f} dB, {statistics.median(better):.2f} in the median.",
            table(rows),
            "## Every case",
            every_case(outcomes),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few cases only")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="timed repetitions (default: 3)")
    parser.add_argument("--write", type=Path, metavar="PATH", help="also write the report as Markdown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    if not ESC10.is_dir():
        print(f"no recordings at {ESC10}: synthesized clips only", file=sys.stderr)
    cases = make_cases(options.quick)
    outcomes = []
    for number, case in enumerate(cases, start=1):
        outcomes.append(measure(case, options.repeat))
        gains = ", ".join(f"{outcomes[-1].gain(pairs):.1f} dB at {pairs}" for pairs in TARGETS)
        print(f"{number}/{len(cases)} {case.name}: better by {gains}", file=sys.stderr, flush=True)
    text = report(outcomes, measure_stylized(options.quick))
    print(text)
    if options.write is not None:
        options.write.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
