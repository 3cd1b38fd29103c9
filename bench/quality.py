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
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import SETS, Pair, load_pair
from PIL import Image
from statistics_of_pairs import median_interval, wins

from specstyle import figures, transfer_audio
from specstyle.evaluate import Scores, evaluate
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
    """A result, its scores, and the seconds that its transfer took."""

    output: Sound
    scores: Scores
    seconds: float


class Runner:
    """Makes and measures results."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._weights, self._device = arguments.weights, arguments.device
        self._save, self._figures = arguments.save, arguments.figures
        self._search, self._tries = arguments.search, arguments.tries

    def transfer(self, recipe: str, pair: Pair, **more: Any) -> Sound:
        """Return a recipe's result. ``recipe``: a name, then ``:field=value`` as often as wanted."""
        name, *changes = recipe.split(":")
        overrides = {key: _value(text) for key, text in (change.split("=", 1) for change in changes)}
        network = overrides.get("network", "vgg19" if name in ("vgg", "default-audio-vgg19") else None)
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
        started = time.monotonic()
        output = self.transfer(recipe, pair, **more)
        seconds = time.monotonic() - started
        return Measured(output, evaluate(output, pair.content, pair.style).output, seconds)

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


def table(title: str, rows: dict[str, list[Scores]], seconds: dict[str, list[float]]) -> str:
    """Return medians over pairs with bootstrap intervals, as Markdown."""
    count = len(next(iter(rows.values())))
    lines = [f"### {title}: medians of {count} pairs, 95 % bootstrap interval", ""]
    lines += ["| | " + " | ".join(SCORES) + " | s |", "|---" * (len(SCORES) + 2) + "|"]
    for name, scores in rows.items():
        cells = []
        for score in SCORES:
            values = [getattr(s, score) for s in scores]
            low, high = median_interval(values)
            cells.append(f"{np.median(values):.2f} ({low:.1f}..{high:.1f})")
        spent = f"{np.median(seconds[name]):.1f}" if seconds.get(name) else ""
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {spent} |")
    return "\n".join(lines)


def win_table(rows: dict[str, list[Scores]], first: str, others: list[str]) -> str:
    """Return on how many pairs the first recipe is better than each other, score by score."""
    lines = [f"Pairs on which {first} is better than", ""]
    lines += ["| | " + " | ".join(SCORES) + " |", "|---" * (len(SCORES) + 1) + "|"]
    for other in others:
        cells = (
            str(wins(_all(rows[first], name), _all(rows[other], name), higher_is_better=up))
            for name, up in SCORES.items()
        )
        lines.append(f"| {other} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _all(scores: list[Scores], name: str) -> list[float]:
    return [getattr(s, name) for s in scores]


def each_pair(rows: dict[str, list[Scores]], names: list[str], recipe: str) -> str:
    """Return one recipe's scores pair by pair."""
    lines = ["| " + recipe + " | " + " | ".join(SCORES) + " |", "|---" * (len(SCORES) + 1) + "|"]
    for name, scores in zip(names, rows[recipe], strict=True):
        cells = (f"{getattr(scores, score):.2f}" for score in SCORES)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run_set(
    title: str,
    pairs: list[Pair],
    recipes: list[str],
    runner: Runner,
    *,
    same_onset: bool,
    say: Callable[[str], None],
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
    say(table(title, rows, seconds) + "\n")
    if len(recipes) > 1:
        say(win_table(rows, recipes[0], recipes[1:]) + "\n")
    for recipe in recipes:
        say(each_pair(rows, [pair.name for pair in pairs], recipe) + "\n")
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "recipes", nargs="*", default=["default"], help="names, with :field=value for changes"
    )
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
    parser.add_argument("--weights", type=Path, help="VGG19 weights for recipes with vgg in their name")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the sounds")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="keep a spectrogram figure of each pair")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all scores")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    runner = Runner(arguments)
    chosen = (
        {"your pairs": arguments.pair} if arguments.pair else {n: SETS[n] for n in arguments.sets.split(",")}
    )
    everything: dict[str, Any] = {}
    for title, names in chosen.items():
        pairs = [load_pair(c, s, sparse=title == "sparse") for c, s in names]
        rows = run_set(title, pairs, arguments.recipes, runner, same_onset=arguments.same_onset, say=print)
        everything[title] = {
            name: {p.name: asdict(s) for p, s in zip(pairs, scores, strict=True)}
            for name, scores in rows.items()
        }
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
