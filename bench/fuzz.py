"""Damage files of every kind that is read at random, read them, and tell what is no clear answer.

python -m bench.fuzz [--seconds 60] [--seed 0] [--guided KIND]

The files are those of tests/corpus, and small ones made here. An answer is what was read, or one line that
refuses it, within three seconds. A file that gets another one is kept, and named. Damage is blind; with
--guided, of one kind of file, atheris leads it to Python code that no file has reached yet.
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

# Nothing of specstyle is imported here: atheris sees what is imported while it looks on.
ROOT = Path(__file__).parents[1]
SLOW_S = 3.0
LONGEST = 2**16
"""Bytes of a file that is damaged under guidance."""

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


def readers() -> dict[str, tuple[Reader, Files]]:
    """Return the readers of all kinds of files, with files for each."""
    from specstyle.media.imagefiles import read_picture
    from specstyle.media.soundfiles import read_sound

    sys.path.insert(0, str(ROOT / "tests"))
    from corpus import pictures, sounds

    odd: dict[str, tuple[Reader, Files]] = {
        kind: (read, [(c.name, c.content) for c in cases if c.content and "bomb" not in c.name])
        for kind, read, cases in (
            ("sounds", read_sound, sounds.sound_cases()),
            ("pictures", read_picture, pictures.picture_cases()),
        )
    }
    return odd | texts_and_tensors()


def texts_and_tensors() -> dict[str, tuple[Reader, Files]]:
    """Return the readers of all that is neither a sound nor a picture, with small files for each."""
    from safetensors.torch import save

    from specstyle.batch.lists import read_csv
    from specstyle.features.weights import load
    from specstyle.files import load_state, save_state
    from specstyle.media.masks import read_mask
    from specstyle.media.spectrogramfile import load_spectrogram
    from specstyle.onepass import stylefile
    from specstyle.recipes import RECIPES, to_toml
    from specstyle.recipes.files import read_recipe
    from specstyle.run.record import read_settings

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
            [("pictures.safetensors", stylefile.SHIPPED["image"].read_bytes())],
        ),
        "records": (read_settings, [("r.json", json.dumps(record).encode())]),
    }


def answer(read: Reader, path: Path) -> tuple[bool, str, float]:
    """Read a file; return whether it was understood, what is wrong with the answer, and its seconds."""
    from specstyle.errors import ListError, SpecstyleError

    began, understood, said = time.monotonic(), False, ""
    try:
        read(path)
        understood = True
    except SpecstyleError as error:
        # Of a table, each bad line has its own, and the terminal gets them in one.
        lines = len(str(error).splitlines())
        said = f"an error of {lines} lines" if lines > 1 and not isinstance(error, ListError) else ""
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    spent = time.monotonic() - began
    return understood, said or (f"{spent:.1f} s" if spent > SLOW_S else ""), spent


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
        good, said, spent = answer(read, path)
        slowest, runs, understood = max(slowest, spent), runs + 1, understood + good
        if said:
            kept += 1
            print(f"{path}: {said}")
        else:
            path.unlink()
    return f"{runs} files, {understood} read, {kept} without a clear answer, slowest {slowest:.2f} s"


def guided(kind: str, seconds: float, seed: int, folder: Path) -> None:
    """Let atheris damage files of a kind for some time, tell what it tells, and end the program."""
    try:
        import atheris
    except ImportError:
        raise SystemExit("--guided needs atheris, which is not installed: pip install atheris") from None
    seeds = folder / "seeds"
    seeds.mkdir()
    with atheris.instrument_imports(include=["specstyle", "PIL", "tomllib"]):
        read, files = readers()[kind]
        for number, (name, content) in enumerate(files):
            (path := seeds / f"{number}-{name}").write_bytes(content)
            answer(read, path)  # what is imported late is looked on, too
    suffixes, told = sorted({Path(name).suffix for name, _ in files}), set[str]()

    def once(data: bytes) -> None:
        path = folder / f"damaged{suffixes[len(data) % len(suffixes)]}"
        path.write_bytes(data)
        _, said, _ = answer(read, path)
        if said and said[:40] not in told:
            told.add(said[:40])
            print(f"{path.rename(folder / f'{len(told)}{path.suffix}')}: {said}", flush=True)

    options = {"max_total_time": round(seconds), "seed": seed + 1, "max_len": LONGEST, "rss_limit_mb": 0}
    options |= {"verbosity": 0, "print_final_stats": 1}
    atheris.Setup(["", str(seeds), *(f"-{name}={value}" for name, value in options.items())], once)
    atheris.Fuzz()


def main() -> None:
    """Print what was found; the exit code is 1 where that is anything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for each kind of file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", metavar="KIND", help="of one kind of file, by atheris")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="specstyle-fuzz-"))
    if arguments.guided:
        guided(arguments.guided, arguments.seconds, arguments.seed, folder)
    for kind, (read, files) in readers().items():
        print(f"{kind}: {fuzz(read, files, arguments.seconds, arguments.seed, folder)}", flush=True)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"at most {largest} MiB in the process")
    if any(folder.iterdir()):
        raise SystemExit(f"what had no clear answer is in {folder}")
    folder.rmdir()


if __name__ == "__main__":
    main()
