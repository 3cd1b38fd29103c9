"""Damage the files of tests/corpus at random, read them, and tell what is no clear answer.

python -m bench.fuzz [--seconds 60] [--seed 0]

An answer is a sound or a picture, or one line that refuses it, within three seconds. A file that gets
another one is kept, and named.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from specstyle.errors import FileError
from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound

SLOW_S = 3.0


def damaged(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return a file with some bytes changed, cut out or put in, most of them in its head."""
    found = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        place = rng.randrange(max(min(len(found), 200) if rng.random() < 0.6 else len(found), 1))
        kind = rng.randrange(5)
        if kind == 0:
            del found[max(place, 8) :]
        elif kind == 1:
            del found[place : place + rng.randrange(1, 100)]
        elif kind == 2:
            found[place:place] = rng.randbytes(rng.randrange(1, 40))
        elif kind == 3:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            found[place:place] = other[start : start + 500]
        elif place < len(found):
            found[place] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return bytes(found)


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for sounds, and as many for pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from corpus import pictures, sounds

    folder = Path(tempfile.mkdtemp(prefix="specstyle-fuzz-"))
    for read, cases in ((read_sound, sounds.sound_cases()), (read_picture, pictures.picture_cases())):
        rng, end = random.Random(arguments.seed), time.monotonic() + arguments.seconds
        files = [(c.name, c.content) for c in cases if c.content and "bomb" not in c.name]
        runs = understood = 0
        slowest = 0.0
        while time.monotonic() < end:
            name, content = rng.choice(files)
            path = folder / f"{runs}-{name}"
            path.write_bytes(damaged(content, [other for _, other in files], rng))
            began, said = time.monotonic(), ""
            try:
                read(path)  # type: ignore[operator]
                understood += 1
            except FileError as error:
                said = "an error of several lines" if "\n" in str(error) else ""
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            spent = time.monotonic() - began
            slowest, runs = max(slowest, spent), runs + 1
            if said or spent > SLOW_S:
                print(f"{path}: {said or f'{spent:.1f} s'}")
            else:
                path.unlink()
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"{runs} files, {understood} read, slowest {slowest:.2f} s, at most {largest} MiB in the process"
        )


if __name__ == "__main__":
    main()
