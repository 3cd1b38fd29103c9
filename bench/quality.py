"""Run recipes over pairs of recordings and print what the results measure, with baselines.

    python bench/quality.py                                             the default on both sets
    python bench/quality.py default-audio ulyanov2016:steps=100         any recipes, fields changed
    python bench/quality.py default-audio ulyanov2016 --same-onset      the others' strength per pair set
                                                                        for the first one's onset correlation
    python bench/quality.py --pair a.wav b.wav --save out               your own, results kept to listen to

Numbers stand in for ears: ``--save DIR`` keeps contents, styles and results to listen to.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import clock
from pairs import SETS, Pair, load_pair
from PIL import Image
from statistics_of_pairs import median_interval, wins

from specstyle import figures, transfer_audio
from specstyle.engine.device import choose_device
from specstyle.evaluate import Judge, Scores, evaluate
from specstyle.media.soundfiles import write_sound
from specstyle.media.sounds import Sound

FIGURE_WIDTH = 900
"""Of the figures that are kept, in pixels."""

SCORES = {
    "snr_mean": True,
    "snr_var": True,
    "snr_corr": True,
    "snr_mod": True,
    "spectrum_db": False,
    "crest": False,
    "onset": True,
    "salience": True,
    "copy": False,
}
"""What is printed, and whether more is better."""


def _logit(u: float) -> float:
    return math.log(u / (1.0 - u))


@dataclass(frozen=True)
class Measured:
    """A result, its scores, and the seconds that its transfer took: processor time, on a GPU wall time."""

    output: Sound
    scores: Scores
    seconds: float


class Runner:
    """Makes and measures results."""

    def __init__(
        self,
        *,
        weights: Path | None = None,
        device: str = "auto",
        save: Path | None = None,
        figures: Path | None = None,
        search: tuple[float, float] = (0.004, 0.996),
        tries: int = 7,
    ) -> None:
        self._weights, self._device = weights, device
        self._save, self._figures = save, figures
        self._search, self._tries = search, tries
        self._now = clock(str(choose_device(device)))
        self._judges: dict[str, Judge] = {}

    def transfer(self, recipe: str, pair: Pair, **more: Any) -> Sound:
        """Return a recipe's result. ``recipe``: a name, then ``:field=value`` as often as wanted."""
        name, *changes = recipe.split(":")
        overrides = {key: _value(text) for key, text in (change.split("=", 1) for change in changes)}
        network = overrides.get("network", "vgg19" if name == "default-audio-vgg19" else None)
        weights = self._weights if network == "vgg19" else None
        result = transfer_audio(
            pair.content,
            pair.style,
            recipe=name,
            weights=weights,
            device=self._device,
            **{**overrides, **more},
        )
        output: Sound = result.output
        return output

    def measure(self, recipe: str, pair: Pair, **more: Any) -> Measured:
        """Transfer and measure."""
        started = self._now()
        output = self.transfer(recipe, pair, **more)
        seconds = self._now() - started
        if pair.name not in self._judges:
            self._judges[pair.name] = Judge(pair.content, pair.style)
        return Measured(output, self._judges[pair.name].score(output), seconds)

    def at_onset(self, recipe: str, pair: Pair, onset: float) -> Measured:
        """Return the result at the strength whose onset correlation is nearest to a given one."""
        low, high = (_logit(u) for u in self._search)
        found: list[Measured] = []
        for _ in range(self._tries):
            middle = (low + high) / 2.0
            found.append(self.measure(recipe, pair, strength=1.0 / (1.0 + math.exp(-middle))))
            low, high = (middle, high) if found[-1].scores.onset > onset else (low, middle)
        return min(found, key=lambda measured: abs(measured.scores.onset - onset))

    def keep(self, output: Sound, pair: Pair, recipe: str, *, draw: bool) -> None:
        """Write the sounds and the figure that were asked for."""
        stem = pair.name.replace(" + ", "+")
        if self._save is not None:
            self._save.mkdir(parents=True, exist_ok=True)
            for role, sound in (("content", pair.content), ("style", pair.style), (recipe, output)):
                whole = replace(sound, subtype="FLOAT")  # resampling may have passed full scale
                write_sound(whole, self._save / f"{stem}_{role.replace(':', ',')}.wav")
        if self._figures is not None and draw:
            self._figures.mkdir(parents=True, exist_ok=True)
            sounds = {"content": pair.content, "style": pair.style, recipe: output}
            panels = [(title, sound.samples.numpy(), sound.sample_rate) for title, sound in sounds.items()]
            large = self._figures / f"{stem}.png"
            figures.sound_figure(panels, large)
            with Image.open(large) as image:  # small enough for a repository
                size = (FIGURE_WIDTH, round(image.height * FIGURE_WIDTH / image.width))
                image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(
                    large.with_suffix(".jpg"), quality=80
                )
            large.unlink()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return tuple(text.split("+")) if "+" in text else text


def baseline_scores(pair: Pair) -> dict[str, Scores]:
    """Return the scores of what a result must beat."""
    report = evaluate(pair.content, pair.content, pair.style)
    return {
        "(content)": report.content,
        "(content equalized)": report.equalized,
        "(halves)": report.style_halves,
    }


def table(
    title: str,
    rows: dict[str, list[Scores]],
    seconds: dict[str, list[float]],
    shown: dict[str, bool] = SCORES,
) -> str:
    """Return medians over pairs with bootstrap intervals, as Markdown."""
    count = len(next(iter(rows.values())))
    lines = [f"### {title}: medians of {count} pairs, 95 % bootstrap interval", ""]
    lines += ["| | " + " | ".join(shown) + " | s |", "|---" * (len(shown) + 2) + "|"]
    for name, scores in rows.items():
        cells = [_median([v for v in _all(scores, score) if v is not None]) for score in shown]
        spent = f"{np.median(seconds[name]):.1f}" if seconds.get(name) else ""
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {spent} |")
    return "\n".join(lines)


def _median(values: list[float]) -> str:
    if not values:
        return "-"
    low, high = median_interval(values)
    return f"{np.median(values):.2f} ({low:.1f}..{high:.1f})"


def win_table(
    rows: dict[str, list[Scores]], first: str, others: list[str], shown: dict[str, bool] = SCORES
) -> str:
    """Return on how many pairs the first recipe is better than each other, score by score.

    Behind it stands by how much its score is larger: the median of the differences, and its interval.
    """
    lines = [f"Pairs on which {first} is better than, and median difference with its 95 % interval", ""]
    lines += ["| | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for other in others:
        cells = (_won(_all(rows[first], name), _all(rows[other], name), up) for name, up in shown.items())
        lines.append(f"| {other} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _won(ours: list[float | None], theirs: list[float | None], more_is_better: bool) -> str:
    """Return one cell: of the pairs that both have a score on."""
    both = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    if not both:
        return "-"
    won = wins([a for a, _ in both], [b for _, b in both], higher_is_better=more_is_better)
    differences = [a - b for a, b in both]
    low, high = median_interval(differences)
    return f"{won} of {len(both)}, {np.median(differences):+.2f} ({low:+.2f}..{high:+.2f})"


def _all(scores: list[Scores], name: str) -> list[float | None]:
    return [getattr(s, name) for s in scores]


def each_pair(
    rows: dict[str, list[Scores]],
    seconds: dict[str, list[float]],
    names: list[str],
    recipe: str,
    shown: dict[str, bool] = SCORES,
) -> str:
    """Return one recipe's scores pair by pair."""
    lines = [f"| {recipe} | " + " | ".join(shown) + " | s |", "|---" * (len(shown) + 2) + "|"]
    for name, scores, spent in zip(names, rows[recipe], seconds[recipe], strict=True):
        values = (getattr(scores, score) for score in shown)
        cells = ("-" if value is None else f"{value:.2f}" for value in values)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {spent:.1f} |")
    return "\n".join(lines)


def run_set(
    title: str,
    pairs: list[Pair],
    recipes: list[str],
    runner: Runner,
    *,
    same_onset: bool = False,
    say: Callable[[str], None],
    shown: dict[str, bool] = SCORES,
) -> dict[str, list[Scores]]:
    """Measure recipes on pairs and print the tables."""
    rows: dict[str, list[Scores]] = {}
    seconds: dict[str, list[float]] = {}
    for pair in pairs:
        for name, scores in baseline_scores(pair).items():
            rows.setdefault(name, []).append(scores)
        onset = 0.0
        for recipe in recipes:
            if same_onset and recipe != recipes[0]:
                made = runner.at_onset(recipe, pair, onset)
            else:
                made = runner.measure(recipe, pair)
            scores, spent = made.scores, made.seconds
            runner.keep(made.output, pair, recipe, draw=recipe == recipes[0])
            onset = scores.onset if recipe == recipes[0] else onset
            rows.setdefault(recipe, []).append(scores)
            seconds.setdefault(recipe, []).append(spent)
            print(
                f"{pair.name}: {recipe}: onset {scores.onset:.2f}, {spent:.0f} s", file=sys.stderr, flush=True
            )
    say(table(title, rows, seconds, shown) + "\n")
    if len(recipes) > 1:
        say(win_table(rows, recipes[0], recipes[1:], shown) + "\n")
    for recipe in recipes:
        say(each_pair(rows, seconds, [pair.name for pair in pairs], recipe, shown) + "\n")
    return rows


def common_options(parser: argparse.ArgumentParser) -> None:
    """Add what this program and ``tune.py`` are asked in the same words."""
    parser.add_argument(
        "recipes", nargs="*", default=["default"], help="names, with :field=value for changes"
    )
    parser.add_argument("--weights", type=Path, help="VGG19 weights for recipes with vgg in their name")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the sounds")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="keep a spectrogram figure of each pair")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all scores")


def runner_of(arguments: argparse.Namespace, **more: Any) -> Runner:
    """Return what measures as a command line says."""
    names = ("weights", "device", "save", "figures")
    return Runner(**{name: getattr(arguments, name) for name in names}, **more)


def write_scores(path: Path | None, sets: dict[str, tuple[list[Pair], dict[str, list[Scores]]]]) -> None:
    """Keep all scores, by set, recipe and pair, if there is a path to keep them at."""
    if path is None:
        return
    everything = {
        title: {
            name: {p.name: asdict(s) for p, s in zip(pairs, scores, strict=True)}
            for name, scores in rows.items()
        }
        for title, (pairs, rows) in sets.items()
    }
    path.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common_options(parser)
    parser.add_argument("--sets", default="development,sparse", help="of: " + ", ".join(SETS))
    parser.add_argument(
        "--pair", nargs=2, action="append", metavar=("CONTENT", "STYLE"), help="your own pairs"
    )
    parser.add_argument(
        "--same-onset", action="store_true", help="set the others' strength by the first's onset"
    )
    parser.add_argument(
        "--search", nargs=2, type=float, default=(0.004, 0.996), help="strengths to search among"
    )
    parser.add_argument("--tries", type=int, default=7, help="results per search")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    runner = runner_of(arguments, search=tuple(arguments.search), tries=arguments.tries)
    chosen = (
        {"your pairs": arguments.pair} if arguments.pair else {n: SETS[n] for n in arguments.sets.split(",")}
    )
    measured = {}
    for title, names in chosen.items():
        pairs = [load_pair(c, s, sparse=title == "sparse") for c, s in names]
        rows = run_set(title, pairs, arguments.recipes, runner, same_onset=arguments.same_onset, say=print)
        measured[title] = (pairs, rows)
    write_scores(arguments.json, measured)


if __name__ == "__main__":
    main()
