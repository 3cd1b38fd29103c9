"""How much faster one batch of short jobs is than as many separate commands.

Contents and styles are two-second sounds made by the code in examples/synthesis. Both ways run on one thread
and take turns. Outputs are compared byte by byte.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile

from bench.options import Options
from bench.paired import ratio
from bench.report import Section, table, verdict

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))

from synthesis.sounds import SOUNDS  # noqa: E402

RATE = 22050
DURATION_S = 2.0
JOBS, STEPS, REPEAT, TARGET = 10, 10, 3, 3.0


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
    """Return the processor seconds of a command and its processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    before = os.times()
    command = [sys.executable, "-m", "specstyle", *argv, "--quiet"]
    subprocess.run(command, check=True, cwd=folder, env=environment)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def both_ways(number: int, steps: int) -> tuple[float, float]:
    """Return the time of one batch and of as many commands.

    Raises:
        SystemExit: If their outputs differ in a byte.
    """
    more = ["--steps", str(steps)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = write_jobs(folder, number)
        together, apart = timed(folder, "batch", "jobs.csv", *more), 0.0
        for i, (content, style, output) in enumerate(jobs):
            apart += timed(folder, "audio", content, style, "-o", f"single{i}.wav", *more)
            if (folder / output).read_bytes() != (folder / f"single{i}.wav").read_bytes():
                raise SystemExit(f"{output} is not what the separate command made")
    return together, apart


def run(options: Options) -> Section:
    """Measure both ways in turns and return the section."""
    number = 3 if options.quick else JOBS
    times = [both_ways(number, STEPS) for _ in range(1 if options.quick else REPEAT)]
    found = ratio([apart for _, apart in times], [together for together, _ in times])
    rows = [(f"{number} jobs", str(found), f">= {TARGET:g}", verdict(found.middle >= TARGET))]
    head = ("", "separate commands by one batch, time", "asked", "")
    raw = {"seconds": {"batch": [a for a, _ in times], "commands": [b for _, b in times]}}
    return Section("7 batch (cpu)", "One batch of short jobs", _TEXT + "\n\n" + table(head, rows), raw)


_TEXT = f"""Sounds of {DURATION_S:g} s with {STEPS} steps each, by one `specstyle batch` and by as many
separate commands, in turns, processor time. Both wrote the same bytes."""
