"""Sounds at once beside the optimizer: statistics, notes and time, on contents that no training saw.

    python bench/onepass_sounds.py [NAME.safetensors] [--strengths 0.5 0.75] [--save FOLDER] [--no-optimizer]
    python bench/onepass_sounds.py --latency

Contents are made here (``tunes.MADE``) or of ``../shared/data/esc10``, but of none of the recordings that the
styles' networks learned from. Each style of the file is measured against its own recording, which must be in
``../shared/data``; others are left out. The network for any sound plays the same contents, by these
recordings, by some that it learned from, and by others. Printed are medians over all pairs, as
``bench/tune.py`` has them, for the optimizer (the default, a hundred steps) and for the networks at each
strength, and processor time on one thread.
``--latency`` gives ``specstyle apply --stream`` samples in real time and says by how much, by the clock, each
came out later.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from pairs import DATA
from tunes import load

from specstyle import any_style, apply, transfer_audio
from specstyle.evaluate import Judge
from specstyle.media.soundfiles import read_sound, write_sound
from specstyle.media.sounds import Sound
from specstyle.onepass.stylefile import SHIPPED, load_style

CONTENTS = ("chorale", "scale", "voice", "rooster-2-95258-A", "dog_bark-2-122104-B", "baby_cry-2-66637-A")
RECORDINGS = {
    "rain": "esc10/rain-1-29561-A.ogg",
    "fire": "esc10/fire_crackling-2-30322-B.ogg",
    "sea": "esc10/sea_waves-1-91359-A.ogg",
    "clock": "esc10/clock_tick-1-48413-A.ogg",
    "birds": "music/robin.ogg",
}
ANY = {
    "any, seen": (
        "rain-1-29561-A",
        "fire_crackling-1-17565-A",
        "sea_waves-1-91359-A",
        "clock_tick-1-48413-A",
    ),
    "any, unseen": (
        "rain-2-82367-A",
        "fire_crackling-2-30322-B",
        "sea_waves-2-132157-A",
        "clock_tick-2-88724-A",
    ),
}
"""Recordings of ESC-10 that the network for any sound learned from, and others of the same kinds."""

FIELDS = ("notes", "salience", "onset", "snr_mean", "snr_var", "snr_corr", "snr_mod", "spectrum_db", "crest")


def pairs_of(arguments: argparse.Namespace) -> Iterator[tuple[Sound, str, dict[str, Callable[[], Any]]]]:
    """Give each style, its name, and what plays a content by it, by the name of a row."""
    network = load_style(arguments.file)
    for name in network.names:
        path = DATA.parent / RECORDINGS.get(name, "none")
        if path.is_file():
            style = read_sound(path)
            made = {
                f"at once, {s:g}": partial(apply, network, blend={name: 1.0}, strength=s)
                for s in arguments.strengths
            }
            found = any_style(style)
            made |= {f"any, these, {s:g}": partial(apply, found, strength=s) for s in arguments.strengths}
            if not arguments.no_optimizer:
                made["optimizer"] = partial(transfer_audio, style=style, steps=100)
            yield style, name, made
    for how, recordings in ANY.items():
        for name in recordings:
            path = DATA / f"{name}.ogg"
            if path.is_file():
                style = read_sound(path)
                found = any_style(style)
                yield (
                    style,
                    name,
                    {f"{how}, {s:g}": partial(apply, found, strength=s) for s in arguments.strengths},
                )


def latency() -> None:
    """Give a stream samples in real time; print by how much each came out after it went in."""
    rate, chunk, seconds = 44100, 441, 12
    command = [
        sys.executable,
        "-m",
        "specstyle",
        "apply",
        "rain",
        "--stream",
        "--pcm",
        f"{rate}:1",
        "--strength",
        "0",
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    output, arrived = process.stdout, list[tuple[float, int]]()

    def listen() -> None:
        total = 0
        while data := output.read(65536):
            total += len(data) // 2
            arrived.append((time.perf_counter(), total))

    listener = threading.Thread(target=listen)
    listener.start()
    sent = np.zeros(rate * seconds, np.int16)
    process.stdin.write(sent[: rate // 2].tobytes())  # it is there when something comes out
    process.stdin.flush()
    while not arrived:
        time.sleep(0.01)
    started = time.perf_counter()
    for first in range(rate // 2, len(sent), chunk):
        time.sleep(max(0.0, started + (first + chunk - rate // 2) / rate - time.perf_counter()))
        process.stdin.write(sent[first : first + chunk].tobytes())
        process.stdin.flush()
    process.stdin.close()
    listener.join()
    behind = []
    for sample in range(rate, len(sent) - rate, rate // 10):
        at = next(when for when, total in arrived if total > sample)
        behind.append(at - (started + (sample - rate // 2) / rate))
    print(
        f"behind by the clock: {1000 * median(behind):.0f} ms in the median, {1000 * max(behind):.0f} at most"
    )


def main() -> None:
    """Measure and print."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("file", type=Path, nargs="?", default=SHIPPED["audio"])
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 0.75])
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep the sounds")
    parser.add_argument("--no-optimizer", action="store_true")
    parser.add_argument("--latency", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.latency:
        latency()
        return
    rows: dict[str, list[dict[str, float]]] = {}
    for style, name, made in pairs_of(arguments):
        for content in filter(None, map(load, CONTENTS)):
            judge = Judge(content, style)
            for how, make in made.items():
                started = time.process_time()
                output = make(content).output
                spent = time.process_time() - started
                scores = asdict(judge.score(output))
                rows.setdefault(how, []).append({**{n: scores[n] for n in FIELDS}, "s": spent})
                if arguments.save is not None:
                    arguments.save.mkdir(parents=True, exist_ok=True)
                    write_sound(output, arguments.save / f"{content.name}-{name}-{how}.wav")
    names = (*FIELDS, "s")
    print("| | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    for how, found in rows.items():
        kept = ([r[n] for r in found if r[n] is not None and r[n] == r[n]] for n in names)
        print(f"| {how} | " + " | ".join(f"{median(values or [math.nan]):.2f}" for values in kept) + " |")
    print(f"\n{', '.join(f'{len(found)} pairs {how}' for how, found in rows.items())}")


if __name__ == "__main__":
    main()
