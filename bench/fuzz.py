"""Damage files of every kind that is read at random, read them, and tell what is no clear answer.

python -m bench.fuzz [--seconds 60] [--seed 0]

The files are those of tests/corpus, and small ones made here. An answer is what was read, or one line that
refuses it, within three seconds. A file that gets another one is kept, and named. Nothing guides the damage
by what code it reaches: atheris is not used.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from specstyle.errors import ListError, SpecstyleError
from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound

ROOT = Path(__file__).parents[1]
SLOW_S = 3.0

Reader = Callable[[Path], object]
Files = list[tuple[str, bytes]]


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


def texts_and_tensors() -> dict[str, tuple[Reader, Files]]:
    """Return the readers of all that is neither a sound nor a picture, with small files for each."""
    from safetensors.torch import save

    from specstyle.batch.lists import read_csv
    from specstyle.engine.checkpoint import load_state, save_state
    from specstyle.features.weights import load
    from specstyle.media.masks import read_mask
    from specstyle.media.spectrogramfile import load_spectrogram
    from specstyle.onepass import stylefile
    from specstyle.recipes import RECIPES, to_toml
    from specstyle.recipes.files import read_recipe
    from specstyle.run.settings import read_settings

    def written(write: Callable[[Path], object], suffix: str) -> bytes:
        with tempfile.TemporaryDirectory() as name:
            write(path := Path(name) / f"a{suffix}")
            return path.read_bytes()

    kernels = {"features.0.weight": torch.ones(4, 3, 3, 3), "features.0.bias": torch.ones(4)}
    state = {"step": 3, "losses": [0.5, 1.0], "x": torch.ones(2, 3), "old": [torch.ones(4)]}
    spectrogram = {"magnitude": np.ones((1, 65, 9), np.float32), "sample_rate": 8000, "n_fft": 128}
    spectrogram |= {"hop_length": 32, "win_length": 128, "length": 256}
    record = {"specstyle": "0.1", "medium": "image", "recipe": {"steps": 3}, "styles": ["s.png"]}
    photo = next((ROOT / "docs" / "figures").glob("*.jpg"))
    jobs = "content,style,output,steps,strength\n"
    jobs += f"{photo},{photo};{photo},a.png,3,0.5\n{photo},{photo},b.png,,1\n"
    mask = "start_s,stop_s,low_hz,high_hz,amount\n0.5,1,100,,0.5\n,,,2000,1\n"
    recipes = [(f"{name}.toml", to_toml(recipe).encode()) for name, recipe in RECIPES.items()]
    return {
        "recipes": (read_recipe, recipes),
        "lists": (lambda path: read_csv(path, {}), [("jobs.csv", jobs.encode())]),
        "masks": (read_mask, [("mask.csv", mask.encode())]),
        "spectrograms": (
            load_spectrogram,
            [("s.npz", written(lambda path: np.savez(path, **spectrogram), ".npz"))],
        ),
        "checkpoints": (load_state, [("c.pt", written(lambda path: save_state(path, state), ".pt"))]),
        "weights": (
            lambda path: load(path, any_width=True),
            [
                ("w.pth", written(lambda path: torch.save(kernels, path), ".pth")),
                ("w.safetensors", save(kernels, {"preprocessing": "caffe"})),
            ],
        ),
        "styles": (
            stylefile.load_style,
            [(path.name, path.read_bytes()) for path in stylefile.SHIPPED.glob("pictures.*")],
        ),
        "records": (read_settings, [("r.json", json.dumps(record).encode())]),
    }


def fuzz(read: Reader, files: Files, seconds: float, seed: int, folder: Path) -> str:
    """Read damaged files for some time; name those without a clear answer, and return what to tell."""
    rng, end = random.Random(seed), time.monotonic() + seconds
    others = [content for _, content in files]
    runs = understood = kept = 0
    slowest = 0.0
    while time.monotonic() < end:
        name, content = rng.choice(files)
        path = folder / f"{runs}-{name}"
        path.write_bytes(damaged(content, others, rng))
        began, said = time.monotonic(), ""
        try:
            read(path)
            understood += 1
        except SpecstyleError as error:
            # Of a table, each bad line has its own, and the terminal gets them in one.
            lines = len(str(error).splitlines())
            said = f"an error of {lines} lines" if lines > 1 and not isinstance(error, ListError) else ""
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        spent = time.monotonic() - began
        slowest, runs = max(slowest, spent), runs + 1
        if said or spent > SLOW_S:
            kept += 1
            print(f"{path}: {said or f'{spent:.1f} s'}")
        else:
            path.unlink()
    return f"{runs} files, {understood} read, {kept} without a clear answer, slowest {slowest:.2f} s"


def main() -> None:
    """Print what was found; the exit code is 1 where that is anything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for each kind of file")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from corpus import pictures, sounds

    odd: dict[str, tuple[Reader, Files]] = {
        kind: (read, [(c.name, c.content) for c in cases if c.content and "bomb" not in c.name])
        for kind, read, cases in (
            ("sounds", read_sound, sounds.sound_cases()),
            ("pictures", read_picture, pictures.picture_cases()),
        )
    }
    folder = Path(tempfile.mkdtemp(prefix="specstyle-fuzz-"))
    for kind, (read, files) in (odd | texts_and_tensors()).items():
        print(f"{kind}: {fuzz(read, files, arguments.seconds, arguments.seed, folder)}", flush=True)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"at most {largest} MiB in the process")
    if any(folder.iterdir()):
        raise SystemExit(f"what had no clear answer is in {folder}")
    folder.rmdir()


if __name__ == "__main__":
    main()
