"""Start-up: the command's help, the import, and the time from the command to the first step of a sound."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.inputs import sounds
from bench.options import Options
from bench.report import Section, table
from specstyle.run.writing import write_source

ROOT = Path(__file__).parents[1]
_FIRST_STEP = """
import sys
from specstyle import transfer_audio
class Done(Exception): pass
def stop(_): raise Done
try:
    transfer_audio(sys.argv[1], sys.argv[2], device=sys.argv[3], on_step=stop)
except Done:
    pass
"""


def _ran(command: Sequence[str]) -> tuple[float, float]:
    """Return wall time and processor time of a command, in seconds."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, spent


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
            "first step of a 5 s sound": [python, "-c", _FIRST_STEP, *files, options.device],
        }
        times: dict[str, list[tuple[float, float]]] = {what: [] for what in commands}
        for _ in range(repeat):
            for what, command in commands.items():
                times[what].append(_ran(command))
    return _section(times, options)


TARGETS = {"`specstyle --help`": 0.3, "`import specstyle`": 0.3, "first step of a 5 s sound": 5.0}


def _section(times: dict[str, list[tuple[float, float]]], options: Options) -> Section:
    rows = []
    bare = times["`import torch`"]
    for what, found in times.items():
        processor = [b / a for (_, a), (_, b) in zip(bare, found, strict=True)]
        limit = TARGETS.get(what)
        told = "" if limit is None else _verdict(limit, [p for _, p in found], min)
        asked = "" if limit is None else f"< {limit} s"
        spread = f"{statistics.median(processor):.2f} [{min(processor):.2f}..{max(processor):.2f}]"
        rows.append((what, spread, asked, told))
    head = ("what", "processor time, `import torch` = 1", "target", "")
    raw: dict[str, Any] = {"seconds": times}
    return Section(f"5 startup ({options.device})", "Start-up", _TEXT + "\n\n" + table(head, rows), raw)


def _verdict(limit: float, found: Sequence[float], pick: Callable[[Sequence[float]], float]) -> str:
    return "met" if pick(found) < limit else "missed"


_TEXT = """Processes that took turns, each from nothing; ratios of their processor time to that of a Python
that imports torch, with the least and the most. Targets are seconds, held against the least processor
time."""
