"""End runs at random moments by random signals, go on with each, and compare with an uninterrupted run.

python -m bench.kills [--kinds image,audio,texture,sweep,batch,train,film] [--signals 25] [--seed 0]
    [--minutes 60]

Moments are drawn over the whole life of a process: while it imports, before the first checkpoint, in the
middle of a step or of a file. A process is ended (KILL, TERM, HUP, INT) until it ends by itself before that.
After each signal, what stands under a result's name must be whole, or what stood there before. A training is
kept after each step, since it is short.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound

READ: dict[str, Callable[[Path], Any]] = {".png": read_picture, ".wav": read_sound}
OLD = b"what stood there before"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SPECSTYLE = [sys.executable, "-m", "specstyle"]
SCALES = [
    "--size",
    "160",
    "--smallest-scale",
    "40",
    "--scale-factor",
    "2",
    "--save-every",
    "25",
    "--steps",
    "60",
]
KEPT = ["--checkpoint-every", "1", "--run-dir"]
LITE = ["--network", "vgg19-lite", "--quiet"]
TRAIN = "from specstyle.onepass import train as t; from specstyle.cli.main import main; t.EVERY_S = 0; main()"
RECIPE = 'network = "vgg19-lite"\nsize = 32\n'

KINDS = {
    "image": f"image c.png s.png {' '.join(SCALES)}",
    "image-adam": f"image c.png s.png {' '.join(SCALES)} --optimizer adam --lr 0.02",
    "image-sgd": f"image c.png s.png {' '.join(SCALES)} --optimizer sgd --lr 20",
    "audio": "audio c.wav s.wav --steps 30",
    "texture": "texture s.wav --duration 1 --steps 30",
    "sweep": "sweep image c.png s.png --grid strength=0.2,0.5,0.8 --size 64 --steps 20",
    "batch": "batch",
    "train": "train s.png --recipe tiny.toml --steps 12 --force --quiet",
    "film": "film f.mp4 --picture starry-night --force --quiet",
}
"""What is run; where its results go is added."""


def write_inputs(folder: Path, kinds: list[str]) -> None:
    """Write small sounds, pictures and a film."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import commands

    commands.write_inputs(folder)
    (folder / "tiny.toml").write_text(RECIPE)
    if "film" in kinds:
        import film_inputs

        film_inputs.write(folder / "f.mp4", film_inputs.scene(40), film_inputs.click(1.6))


def command(kind: str, inputs: Path, folder: Path) -> list[str]:
    """Return the command that begins a run in a folder."""
    words = [str(inputs / word) if (inputs / word).is_file() else word for word in KINDS[kind].split()]
    start = SPECSTYLE
    if kind in ("film", "train"):
        start = SPECSTYLE if kind == "film" else [sys.executable, "-c", TRAIN]
        folder.mkdir()
        output = folder / ("out.mp4" if kind == "film" else "out.safetensors")
        output.write_bytes(OLD)
        where = ["-o", str(output), "--run-dir", str(folder / "run")]
    elif kind == "sweep":
        where = [*LITE, "-o", str(folder)]
    elif kind == "batch":
        folder.mkdir(exist_ok=True)
        lines = (f"{inputs}/c.{s},{inputs}/s.{s},{n}.{s}" for n in (1, 2) for s in ("wav", "png"))
        (folder / "jobs.csv").write_text("\n".join(["content,style,output", *lines]))
        where = [str(folder / "jobs.csv"), *LITE, "--steps", "20", "--size", "64"]
    else:
        where = [*LITE, *KEPT, str(folder)]
    return [*start, *words, *where]


def with_default_signals() -> None:
    """Handle them as a terminal's programs do: what a shell starts in the background ignores some."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def check(folder: Path, whole: Path) -> None:
    """End the program if a result is neither whole nor what stood there before."""
    for path in results(folder):
        if path.suffix in READ:  # of a run that was stopped, not yet what it ends in
            good = not READ[path.suffix](path).notes
        else:
            wanted = (OLD, (whole / path.relative_to(folder)).read_bytes())
            good = path.name == "metrics.jsonl" or path.read_bytes() in wanted
        if not good:
            raise SystemExit(f"{path} is not whole")


def run_and_kill(
    begin: list[str], folder: Path, whole: Path, generator: random.Random, longest_s: float
) -> int:
    """Run to the end through kills; return how many there were."""
    kills = 0
    while True:
        resume = [*SPECSTYLE, begin[3], "--resume", str(folder), "--quiet"]
        words = resume if (folder / "run.json").exists() else begin
        process = subprocess.Popen(words, preexec_fn=with_default_signals)  # noqa: PLW1509 (one thread)
        try:
            code = process.wait(timeout=generator.uniform(0.0, longest_s))
        except subprocess.TimeoutExpired:
            number = generator.choice(SIGNALS)
            process.send_signal(number)
            code = process.wait()
            # Before it can handle a signal, a program ends by it.
            if code not in (0, -number, 128 + number):
                raise SystemExit(f"a run ended with exit code {code} after {number.name}") from None
        check(folder, whole)
        if code == 0:
            return kills
        if code in (1, 2):
            raise SystemExit(f"a run failed by itself after {kills} kills: {' '.join(begin)}")
        kills += 1


def results(folder: Path) -> Iterator[Path]:
    """Give what a run leaves under names of its own choice, but for what has times in it."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") or part == "run" for part in path.relative_to(folder).parts)
        named = path.suffix in (*READ, ".mp4", ".safetensors") or path.name == "metrics.jsonl"
        if named and not hidden:
            yield path


def same(one: Path, other: Path) -> bool:
    """Return whether two runs left the same results, losses and snapshots."""
    first, second = ({p.relative_to(f): p.read_bytes() for p in results(f)} for f in (one, other))
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            print(f"{other / name} differs", file=sys.stderr)
    return bool(first) and first == second


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--signals", type=int, default=25, help="of each kind: begin runs until so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no run after so many")
    arguments = parser.parse_args()
    generator, kinds = random.Random(arguments.seed), arguments.kinds.split(",")
    if not set(kinds) <= set(KINDS):
        parser.error(f"--kinds takes some of {', '.join(KINDS)}")
    end = time.monotonic() + 60 * arguments.minutes
    print("| kind | runs | signals | same bytes |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, kinds)
        for kind in kinds:
            whole = folder / f"{kind}-whole"
            started = time.monotonic()
            subprocess.run(command(kind, folder, whole), check=True, stdout=subprocess.DEVNULL)
            longest_s = 1.2 * (time.monotonic() - started)
            runs = kills = equal = 0
            while kills < arguments.signals and time.monotonic() < end:
                cut = folder / f"{kind}-{runs}"
                kills += run_and_kill(command(kind, folder, cut), cut, whole, generator, longest_s)
                equal += same(whole, cut)
                runs += 1
                shutil.rmtree(cut)
            print(f"| {kind} | {runs} | {kills} | {equal} |", flush=True)


if __name__ == "__main__":
    main()
