"""Start-up: the command's help, the import, and the time from the command to the first step of a sound."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.inputs import sounds
from bench.options import Options
from bench.report import Section, table, verdict
from specstyle.run.outputs import write_source

ROOT = Path(__file__).parents[1]


def _ran(command: Sequence[str]) -> tuple[float, float]:
    """Return wall time and processor time of a command, in seconds."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, spent


def _to_first_step(command: Sequence[str]) -> tuple[float, float]:
    """Return wall time and processor time from a command to the line that tells its first step."""
    started = time.perf_counter()
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as run:
        watched = psutil.Process(run.pid)
        for line in run.stderr or ():
            if line.startswith("step "):
                used = watched.cpu_times()
                wall = time.perf_counter() - started
                run.kill()
                return wall, used.user + used.system
    raise SystemExit(f"{' '.join(command)} told no step")


def run(options: Options) -> Section:
    """Measure each command in turns and return the section."""
    repeat = 3 if options.quick else 7
    with tempfile.TemporaryDirectory() as name:
        files = []
        _, *pair = sounds(1, 5.0, None)[0]
        for sound, role in zip(pair, ("content", "style"), strict=True):
            files.append(str(Path(name) / f"{role}.wav"))
            write_source("audio", sound, Path(files[-1]))
        python = sys.executable
        commands: dict[str, list[str]] = {
            "`python -c pass`": [python, "-c", "pass"],
            "`import torch`": [python, "-c", "import torch"],
            "`specstyle --help`": [python, "-m", "specstyle", "--help"],
            "`import specstyle`": [python, "-c", "import specstyle"],
        }
        sound = [python, "-m", "specstyle", "audio", *files, "-o", str(Path(name) / "out.wav")]
        times: dict[str, list[tuple[float, float]]] = {what: [] for what in (*commands, FIRST_STEP)}
        for _ in range(repeat):
            for what, command in commands.items():
                times[what].append(_ran(command))
            times[FIRST_STEP].append(_to_first_step([*sound, "--device", options.device]))
    return _section(times, options)


FIRST_STEP = "first step of `specstyle audio` on 5 s"
TARGETS = {"`specstyle --help`": 0.3, "`import specstyle`": 0.3, FIRST_STEP: 5.0}


def _section(times: dict[str, list[tuple[float, float]]], options: Options) -> Section:
    rows = []
    bare = times["`import torch`"]
    for what, found in times.items():
        processor = [b / a for (_, a), (_, b) in zip(bare, found, strict=True)]
        limit = TARGETS.get(what)
        spent = statistics.median(p for _, p in found)
        told = "" if limit is None else f"{spent / limit:.0%} of it, {verdict(spent < limit)}"
        asked = "" if limit is None else f"< {limit} s"
        spread = f"{statistics.median(processor):.2f} [{min(processor):.2f}..{max(processor):.2f}]"
        rows.append((what, spread, asked, told))
    head = ("what", "processor time, `import torch` = 1", "target", "")
    raw: dict[str, Any] = {"seconds": times}
    return Section(f"5 startup ({options.device})", "Start-up", _TEXT + "\n\n" + table(head, rows), raw)


_TEXT = """Processes that took turns, each from nothing; ratios of their processor time to that of a Python
that imports torch, with the least and the most. Targets are seconds, held against the median of the
processor time, which other work on the machine disturbs least."""
