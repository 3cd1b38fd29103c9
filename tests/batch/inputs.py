"""Lists of quick jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HEADER = "content,style,output,network,n_filters,phase_iterations,steps\n"
ROW = "{content},{style},{output},wide-random,{filters},{phase},{steps}\n"


def write_list(folder: Path, *jobs: dict[str, Any], name: str = "jobs.csv") -> Path:
    """Write a list of quick jobs on sounds; each may name its own ``output``, ``content``, ``steps``..."""
    rows = []
    for i, job in enumerate(jobs):
        own = {"content": "c.wav", "style": "s.wav", "output": f"{i}.wav", "steps": 3, "filters": 32} | job
        rows.append(ROW.format(**own, phase=2 if str(own["content"]).endswith(".wav") else ""))
    path = folder / name
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    return path
