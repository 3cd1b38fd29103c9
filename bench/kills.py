"""End runs at random moments by random signals, go on with each, and compare with an uninterrupted run.

python -m bench.kills [--kinds image,audio,texture,sweep,batch,film] [--runs 5] [--seed 0] [--minutes 60]

Moments are drawn over the whole life of a process: while it imports, before the first checkpoint, in the
middle of a step or of a file. A process is ended (KILL, TERM, HUP, INT) until it ends by itself before that.
After each signal, what stands under a result's name must be readable.
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
from collections.abc import Iterator
from pathlib import Path

from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound

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

KINDS = {
    "image": f"image c.png s.png {' '.join(SCALES)}",
    "image-adam": f"image c.png s.png {' '.join(SCALES)} --optimizer adam --lr 0.02",
    "image-sgd": f"image c.png s.png {' '.join(SCALES)} --optimizer sgd --lr 20",
    "audio": "audio c.wav s.wav --steps 30",
    "texture": "texture s.wav --duration 1 --steps 30",
    "sweep": "sweep image c.png s.png --grid strength=0.2,0.5,0.8 --size 64 --steps 20",
    "batch": "batch",
    "film": "film f.mp4 --picture starry-night --quiet",
}
"""What is run; where its results go is added."""


def write_inputs(folder: Path, kinds: list[str]) -> None:
    """Write small sounds, pictures and a film."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import commands

    commands.write_inputs(folder)
    if "film" in kinds:
        import films

        films.write(folder / "f.mp4", films.scene(40), films.click(1.6))


def command(kind: str, inputs: Path, folder: Path) -> list[str]:
    """Return the command that begins a run in a folder."""
    words = [str(inputs / word) if (inputs / word).is_file() else word for word in KINDS[kind].split()]
    if kind == "film":
        where = ["-o", str(folder / "out.mp4"), "--run-dir", str(folder / "run")]
    elif kind == "sweep":
        where = [*LITE, "-o", str(folder)]
    elif kind == "batch":
        folder.mkdir(exist_ok=True)
        lines = (f"{inputs}/c.{s},{inputs}/s.{s},{n}.{s}" for n in (1, 2) for s in ("wav", "png"))
        (folder / "jobs.csv").write_text("\n".join(["content,style,output", *lines]))
        where = [str(folder / "jobs.csv"), *LITE, "--steps", "20", "--size", "64"]
    else:
        where = [*LITE, *KEPT, str(folder)]
    return [*SPECSTYLE, *words, *where]


def run_and_kill(begin: list[str], folder: Path, generator: random.Random, longest_s: float) -> int:
    """Run to the end through kills; return how many there were."""
    kills = 0
    while True:
        resume = [*SPECSTYLE, begin[3], "--resume", str(folder), "--quiet"]
        process = subprocess.Popen(resume if (folder / "run.json").exists() else begin)
        try:
            code = process.wait(timeout=generator.uniform(0.0, longest_s))
        except subprocess.TimeoutExpired:
            number = generator.choice(SIGNALS)
            process.send_signal(number)
            code = process.wait()
            # Before it can handle a signal, a program ends by it.
            if code not in (0, -number, 128 + number):
                raise SystemExit(f"a run ended with exit code {code} after {number.name}") from None
        for path in results(folder):
            if path.suffix in (".png", ".wav"):
                (read_picture if path.suffix == ".png" else read_sound)(path)
        if code == 0:
            return kills
        if code in (1, 2):
            raise SystemExit(f"a run failed by itself after {kills} kills: {' '.join(begin)}")
        kills += 1


def results(folder: Path) -> Iterator[Path]:
    """Give what a run leaves under names of its own choice, but for what has times in it."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") or part == "run" for part in path.relative_to(folder).parts)
        if not hidden and (path.suffix in (".png", ".wav", ".mp4") or path.name == "metrics.jsonl"):
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
    parser.add_argument("--runs", type=int, default=5, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no run after so many")
    arguments = parser.parse_args()
    generator, kinds = random.Random(arguments.seed), arguments.kinds.split(",")
    if not set(kinds) <= set(KINDS):
        parser.error(f"--kinds takes some of {', '.join(KINDS)}")
    end = time.monotonic() + 60 * arguments.minutes
    print("| kind | runs | kills | same bytes |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, kinds)
        for kind in kinds:
            whole = folder / f"{kind}-whole"
            started = time.monotonic()
            subprocess.run(command(kind, folder, whole), check=True, stdout=subprocess.DEVNULL)
            longest_s = 1.2 * (time.monotonic() - started)
            runs = kills = equal = 0
            while runs < arguments.runs and time.monotonic() < end:
                cut = folder / f"{kind}-{runs}"
                kills += run_and_kill(command(kind, folder, cut), cut, generator, longest_s)
                equal += same(whole, cut)
                runs += 1
                shutil.rmtree(cut)
            print(f"| {kind} | {runs} | {kills} | {equal} |", flush=True)


if __name__ == "__main__":
    main()
