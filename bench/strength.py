"""Measure what ``--strength`` does: scores against strength, from the content (0) to pure style (1).

    python bench/strength.py                        the default for sounds, six pairs, nine strengths
    python bench/strength.py default-audio-wide     another recipe
    python bench/strength.py --json FILE            also keep every score

Prints medians over the pairs, and for each pair how many of the steps from one strength to the next move the
mean of the texture SNRs towards the style and the onset correlation away from the content.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import DEVELOPMENT, SPARSE, load_pair

from specstyle import transfer_audio
from specstyle.evaluate import evaluate

STRENGTHS = tuple(n / 8 for n in range(9))
PAIRS = (*((pair, False) for pair in DEVELOPMENT[::3]), *((pair, True) for pair in SPARSE[::3]))
TEXTURE = ("snr_mean", "snr_var", "snr_corr", "snr_mod")
SHOWN = ("texture", *TEXTURE, "spectrum_db", "onset", "convergence_db")


def measure(recipe: str, overrides: dict[str, Any]) -> dict[str, list[dict[str, float]]]:
    """Return the scores of each pair at each strength; ``texture`` is the mean of four SNRs."""
    found: dict[str, list[dict[str, float]]] = {}
    for (content, style), sparse in PAIRS:
        pair = load_pair(content, style, sparse=sparse)
        rows = []
        for strength in STRENGTHS:
            result = transfer_audio(pair.content, pair.style, recipe=recipe, strength=strength, **overrides)
            scores = asdict(evaluate(result.output, pair.content, pair.style).output)
            rows.append({**scores, "texture": float(np.mean([scores[name] for name in TEXTURE]))})
        found[pair.name] = rows
        print(
            f"{pair.name}: " + ", ".join(f"{row['texture']:.1f}/{row['onset']:.2f}" for row in rows),
            flush=True,
        )
    return found


def report(found: dict[str, list[dict[str, float]]]) -> str:
    """Return the medians over the pairs, and how monotone and how even they are, as Markdown."""
    table = np.array([[[row[name] for name in SHOWN] for row in rows] for rows in found.values()])
    lines = ["| strength | " + " | ".join(SHOWN) + " | way: texture | way: onset | mean |"]
    lines.append("|---" * (len(SHOWN) + 4) + "|")
    texture = table[:, :, 0]
    onset = table[:, :, SHOWN.index("onset")]
    ways = [(of - of[:, :1]) / (of[:, -1:] - of[:, :1]) for of in (texture, onset)]
    for i, strength in enumerate(STRENGTHS):
        cells = [f"{value:.2f}" for value in (*np.median(table[:, i], axis=0), *_way(ways, i))]
        lines.append(f"| {strength:g} | " + " | ".join(cells) + " |")
    steps = texture.shape[0] * (texture.shape[1] - 1)
    lines.append("")
    raised, not_raised = int((np.diff(texture) > 0).sum()), int((np.diff(onset) < 0.005).sum())
    fall, rise = max(0.0, float(-np.diff(texture).min())), max(0.0, float(np.diff(onset).max()))
    lines.append(
        f"Of {steps} steps, {raised} raise the texture SNR (largest fall: {fall:.2f} dB) and {not_raised} "
        f"do not raise the onset correlation (largest rise: {rise:.2f})."
    )
    return "\n".join(lines)


def _way(ways: list[np.ndarray], i: int) -> tuple[float, float, float]:
    """Return how much of the way from content to style a strength has gone: medians, and their mean."""
    texture, onset = (float(np.median(way[:, i])) for way in ways)
    return texture, onset, (texture + onset) / 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", default="default")
    parser.add_argument("--steps", type=int, help="evaluations (default: the recipe's)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(arguments.recipe, {} if arguments.steps is None else {"steps": arguments.steps})
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    print(report(found))


if __name__ == "__main__":
    main()
