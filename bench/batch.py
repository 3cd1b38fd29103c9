"""How much faster one batch of short jobs is than as many separate commands.

    python bench/batch.py [--jobs N] [--steps N] [--repeat N]

Contents and styles are two-second sounds made by the code in examples/synthesis. Both ways run on one thread
and take turns; the least time of each counts. Outputs are compared byte by byte.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))

from synthesis.sounds import SOUNDS  # noqa: E402

RATE = 22050
DURATION_S = 2.0


def write_jobs(folder: Path, number: int) -> list[tuple[str, str, str]]:
    """Write sounds and ``jobs.csv``; return content, style and output of each job."""
    for name, make in SOUNDS.items():
        for seed in range(3):
            soundfile.write(folder / f"{name}{seed}.wav", make(DURATION_S, RATE, seed=seed), RATE)
    names = list(SOUNDS)
    contents = [f"{name}{seed}.wav" for seed in range(3) for name in names if name != "rain"]
    jobs = [(contents[i % len(contents)], f"rain{i % 2}.wav", f"batch{i}.wav") for i in range(number)]
    rows = ["content,style,output", *map(",".join, jobs)]
    (folder / "jobs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return jobs


def timed(folder: Path, *argv: str) -> float:
    """Return the seconds of a command."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    command = [sys.executable, "-m", "specstyle", *argv, "--quiet"]
    subprocess.run(command, check=True, cwd=folder, env=environment)
    return time.monotonic() - started


def main() -> None:
    """Run both ways and print their times and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    steps = ["--steps", str(given.steps)]
    together, apart = [], []
    for _ in range(given.repeat):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            jobs = write_jobs(folder, given.jobs)
            together.append(timed(folder, "batch", "jobs.csv", *steps))
            spent = 0.0
            for i, (content, style, output) in enumerate(jobs):
                spent += timed(folder, "audio", content, style, "-o", f"single{i}.wav", *steps)
                if (folder / output).read_bytes() != (folder / f"single{i}.wav").read_bytes():
                    sys.exit(f"{output} is not what the separate command made")
            apart.append(spent)
    print(f"{given.jobs} jobs of {DURATION_S:g} s, {given.steps} steps each")
    print(f"one batch: {min(together):.1f} s; {given.jobs} commands: {min(apart):.1f} s")
    print(f"ratio: {min(apart) / min(together):.1f}")


if __name__ == "__main__":
    main()
