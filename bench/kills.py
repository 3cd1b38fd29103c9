"""End runs at random moments by random signals, go on with each, and compare with an uninterrupted run.

python bench/kills.py [--runs 5] [--seed 0]

Moments are drawn over the whole life of a process: while it imports, before the first checkpoint, in the
middle of a step or of a file. A process is ended (KILL, TERM, HUP, INT) until it ends by itself before that.
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
from pathlib import Path

OPTIMIZERS = {"adam": ["--lr", "0.02"], "lbfgs": [], "sgd": ["--lr", "20"]}
STEPS = {"adam": 60, "lbfgs": 60, "sgd": 60}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SPECSTYLE = [sys.executable, "-m", "specstyle"]


def command(folder: Path, optimizer: str, run_dir: Path) -> list[str]:
    """Return the command that begins a run with three scales."""
    inputs = [str(folder / name) for name in ("drawn_scene.png", "brush_texture.png")]
    options = ["--size", "160", "--smallest-scale", "40", "--scale-factor", "2", "--save-every", "25"]
    options += ["--optimizer", optimizer, *OPTIMIZERS[optimizer], "--steps", str(STEPS[optimizer])]
    kept = ["--run-dir", str(run_dir), "--checkpoint-every", "1", "--network", "vgg19-lite", "--quiet"]
    return [*SPECSTYLE, "image", *inputs, *options, *kept]


def run_and_kill(begin: list[str], run_dir: Path, generator: random.Random, longest_s: float) -> int:
    """Run to the end through kills; return how many there were."""
    kills = 0
    while True:
        resume = [*SPECSTYLE, "image", "--resume", str(run_dir), "--quiet"]
        process = subprocess.Popen(resume if (run_dir / "run.json").exists() else begin)
        try:
            code = process.wait(timeout=generator.uniform(0.0, longest_s))
        except subprocess.TimeoutExpired:
            number = generator.choice(SIGNALS)
            process.send_signal(number)
            code = process.wait()
            # Before it can handle a signal, a program ends by it.
            if code not in (0, -number, 128 + number):
                raise SystemExit(f"a run ended with exit code {code} after {number.name}") from None
        if code == 0:
            return kills
        kills += 1


def same(one: Path, other: Path) -> bool:
    """Return whether two runs left the same results, losses and snapshots."""
    names = ["result.png", "metrics.jsonl", *(f"snapshots/{p.name}" for p in (one / "snapshots").iterdir())]
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="of each optimizer")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    print("| optimizer | runs | kills | same bytes |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        from specstyle.cli.demo import synthesize

        synthesize(folder)
        for optimizer in OPTIMIZERS:
            whole = folder / f"{optimizer}-whole"
            started = time.monotonic()
            subprocess.run(command(folder, optimizer, whole), check=True)
            longest_s = 1.2 * (time.monotonic() - started)
            kills = equal = 0
            for number in range(arguments.runs):
                cut = folder / f"{optimizer}-{number}"
                kills += run_and_kill(command(folder, optimizer, cut), cut, generator, longest_s)
                equal += same(whole, cut)
                shutil.rmtree(cut)
            print(f"| {optimizer} | {arguments.runs} | {kills} | {equal} |", flush=True)


if __name__ == "__main__":
    main()
