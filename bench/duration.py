"""How time and memory of a sound's transfer grow with its duration.

    python bench/duration.py [RECIPE ...]

Content and style are recordings strung together, equally long. Times are relative to the recipe's shortest.
"""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
import time

import torch
from pairs import DEVELOPMENT, RATE, read

from specstyle import transfer_audio
from specstyle.media.sounds import Sound

DURATIONS_S = (3, 6, 12, 24, 48)


def strung_together(names: list[str], duration_s: float) -> Sound:
    """Return recordings one after another, repeated up to a duration."""
    sounds = [read(name) for name in names]
    samples = torch.cat([sound.samples for sound in sounds], 1)
    length = round(duration_s * RATE)
    return dataclasses.replace(
        sounds[0], samples=samples.repeat(1, -(-length // samples.shape[1]))[:, :length]
    )


def measure(recipe: str, duration_s: float) -> None:
    """Print the seconds of one transfer and the most memory that this process had."""
    torch.set_num_threads(1)
    contents, styles = (sorted({pair[i] for pair in DEVELOPMENT}) for i in (0, 1))
    content, style = strung_together(contents, duration_s), strung_together(styles, duration_s)
    started = time.process_time()
    transfer_audio(content, style, recipe=recipe, steps=10)
    spent = time.process_time() - started
    print(spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def main() -> None:
    """Run each case in a process of its own and print a table."""
    recipes = sys.argv[1:] or ["default-audio"]
    print("| recipe | duration, s | time, first = 1 | memory, GiB |\n|---|---|---|---|")
    for recipe in recipes:
        first = 0.0
        for duration_s in DURATIONS_S:
            command = [sys.executable, __file__, "--one", recipe, str(duration_s)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            spent, memory = map(float, done.stdout.split()[-2:])
            first = first or spent
            print(f"| {recipe} | {duration_s} | {spent / first:.1f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2], float(sys.argv[3]))
    else:
        main()
