"""Sounds at once beside the optimizer: statistics, notes and time, on contents that no training saw.

    python bench/onepass_sounds.py NAME.safetensors [--strengths 0.5 0.75] [--save FOLDER] [--no-optimizer]

Contents are made here (``tunes.MADE``) or of ``../shared/data/esc10``, but of none of the recordings that the
styles' networks learned from. Each style of the file is measured against its own recording, which must be in
``../shared/data``; others are left out. Printed are medians over all pairs, as ``bench/tune.py`` has them,
for the optimizer (the default, a hundred steps) and for the network at each strength, and processor time on
one thread.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch
from pairs import DATA
from tunes import load

from specstyle import apply, transfer_audio
from specstyle.evaluate import evaluate
from specstyle.media.soundfiles import read_sound, write_sound
from specstyle.media.sounds import Sound
from specstyle.onepass.stylefile import load_style

CONTENTS = ("chorale", "scale", "voice", "rooster-2-95258-A", "dog_bark-2-122104-B", "baby_cry-2-66637-A")
RECORDINGS = {
    "rain": "esc10/rain-1-29561-A.ogg",
    "fire": "esc10/fire_crackling-2-30322-B.ogg",
    "sea": "esc10/sea_waves-1-91359-A.ogg",
    "clock": "esc10/clock_tick-1-48413-A.ogg",
    "birds": "music/robin.ogg",
}
FIELDS = ("notes", "salience", "onset", "snr_mean", "snr_var", "snr_corr", "snr_mod", "spectrum_db", "crest")


def measured(output: Sound, content: Sound, style: Sound) -> dict[str, float]:
    """Return the scores of a result."""
    found = evaluate(output, content, style).output
    return {name: getattr(found, name) for name in FIELDS if getattr(found, name) is not None}


def main() -> None:
    """Measure and print."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("file", type=Path)
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 0.75])
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep the sounds")
    parser.add_argument("--no-optimizer", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = load_style(arguments.file)
    rows: dict[str, list[dict[str, float]]] = {}
    for name in network.names:
        path = DATA.parent / RECORDINGS.get(name, "none")
        if not path.is_file():
            continue
        style = read_sound(path)
        for content in filter(None, map(load, CONTENTS)):
            at_once = partial(apply, network, content, blend={name: 1.0})
            made = {f"at once, {s:g}": partial(at_once, strength=s) for s in arguments.strengths}
            if not arguments.no_optimizer:
                made["optimizer"] = partial(transfer_audio, content, style, steps=100)
            for how, make in made.items():
                started = time.process_time()
                output = make().output
                spent = time.process_time() - started
                rows.setdefault(how, []).append({**measured(output, content, style), "s": spent})
                if arguments.save is not None:
                    arguments.save.mkdir(parents=True, exist_ok=True)
                    write_sound(output, arguments.save / f"{content.name}-{name}-{how[-4:].strip()}.wav")
    names = (*FIELDS, "s")
    print("| |" + " | ".join(names) + " |\n|---" * 1 + "|---" * len(names) + "|")
    for how, found in rows.items():
        cells = (median([r[n] for r in found if n in r and r[n] == r[n]] or [float("nan")]) for n in names)
        print(f"| {how} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    print(f"\n{len(found)} pairs")


if __name__ == "__main__":
    main()
