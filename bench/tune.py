"""Whether the tune stays and the style's events come: recipes on music, speech, calls and instruments.

    python bench/tune.py                                      the default
    python bench/tune.py default-audio kernel:strength=0.4    any recipes, fields changed, as bench/quality.py
    python bench/tune.py default-audio --save out             results kept to listen to
    python bench/tune.py default-audio default-audio:strength=0.75 --frontier notes.png

Prints medians over the pairs with bootstrap intervals, beside the content, the content through an equalizer
and the style's halves; on how many pairs the first recipe is better than each other, with the median
difference and its interval; and each recipe pair by pair. ``notes`` needs Basic Pitch (``pip install -e
'.[judge]'``, then ``pip install --no-deps basic-pitch``), and is left out of the medians where a content has
fewer than five notes. Seconds are processor time on one thread.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch
from quality import common_options, run_set, runner_of, write_scores
from tunes import load_pairs

from specstyle.evaluate.notes import INSTALL, transcriber_installed

SCORES = {
    "notes": True,
    "salience": True,
    "chroma": True,
    "onset": True,
    "snr_mean": True,
    "snr_var": True,
    "snr_skew": True,
    "snr_corr": True,
    "snr_mod": True,
    "spectrum_db": False,
    "crest": False,
    "copy": False,
}
"""What is printed, and whether more is better."""


def frontier(scores: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw each recipe's median of notes over its median of the variance.

    Args:
        scores: By recipe and pair.
        path: Of the PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure((6.0, 4.0), layout="constrained", dpi=120)
    axes = figure.add_subplot(xlabel="envelope variance, SNR dB (style)", ylabel="notes kept, F1 (tune)")
    for name, rows in scores.items():
        kept = [row["notes"] for row in rows if row["notes"] is not None and not math.isnan(row["notes"])]
        x, y = median(row["snr_var"] for row in rows), median(kept)
        axes.plot(x, y, "o", color="C0" if name.startswith("default") else "C1")
        label = name.removeprefix("default-audio:")
        axes.annotate(label, (x, y), (4, 5), textcoords="offset points", fontsize=7)
    axes.set_ylim(0.0, 1.0)
    axes.margins(x=0.2)
    axes.grid(alpha=0.3)
    figure.savefig(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common_options(parser)
    parser.add_argument("--frontier", type=Path, metavar="PNG", help="draw notes over variance")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pairs, absent = load_pairs()
    for name in absent:
        print(f"{name} is not there; its pairs are left out", file=sys.stderr)
    if not transcriber_installed():
        print("notes are not counted without Basic Pitch: " + "; ".join(INSTALL), file=sys.stderr)
    if not pairs:
        sys.exit("there are no pairs")
    rows = run_set("tunes", pairs, arguments.recipes, runner_of(arguments), say=print, shown=SCORES)
    write_scores(arguments.json, {"tunes": (pairs, rows)})
    if arguments.frontier is not None:
        frontier({name: [asdict(s) for s in found] for name, found in rows.items()}, arguments.frontier)


if __name__ == "__main__":
    main()
