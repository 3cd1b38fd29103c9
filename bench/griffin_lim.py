"""Spectrogram inversion against librosa and torchaudio: the small version of ``inversion.py``, summarized."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.options import Options
from bench.report import Section

HERE = Path(__file__).parent


def run(options: Options) -> Section:
    """Run ``inversion.py`` and keep its targets; the whole run has its own report."""
    title = "Spectrogram inversion against Griffin-Lim"
    if options.on_gpu:
        return Section("4 inversion (cuda)", title, "Measured on the CPU alone, like librosa.")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "inversion.md"
        command = [
            sys.executable,
            str(HERE / "inversion.py"),
            "--quick",
            "--repeat",
            "3",
            "--write",
            str(path),
        ]
        subprocess.run(command, check=True, capture_output=True, cwd=HERE.parent)
        text = path.read_text(encoding="utf-8")
    return Section("4 inversion (cpu)", title, _TEXT + "\n\n" + targets(text), {"report": text})


def targets(report: str) -> str:
    """Return the table of targets in a report of ``inversion.py``."""
    found = re.search(r"## Targets\n\n(.*?)\n\n##", report, re.DOTALL)
    if found is None:
        raise ValueError("the report of inversion.py has no targets")
    return found[1]


_TEXT = """A few cases of [`inversion.py`](inversion.py), at equal pairs of one transform and one inverse
and in equal time; [all 112 cases](results/inversion.md) are measured by `python bench/inversion.py`."""
