"""Peak memory against size and length, each case in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from bench.cases import PICTURE_ROWS, SOUND_ROWS, Row
from bench.options import Options
from bench.reference import Reference
from bench.report import Section, table
from bench.speed import candidate_settings, case_of
from specstyle.engine.optimize import optimize
from specstyle.run.api import transfer

STEPS = 3
TURNS = 3
"""How often each case is measured; the parts take turns."""

PARTS = ("import", "candidate", "reference")


def peak_mib(device: str) -> float:
    """Return the most memory so far: of the device if it is a GPU, else of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage tells on Linux begins with the most of the process before exec
        (told,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(told.split()[1]) / 2**10
    scale = 2**10 if sys.platform != "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def one(part: str, row: Row, size: float, options: Options) -> float:
    """Return the peak of one part in this process, in MiB.

    Args:
        part: ``import``: nothing but the modules; ``candidate``: a whole transfer of a few steps;
            ``reference``: the textbook loop as long.
        row: What to run.
        size: In pixels or seconds.
        options: Of the suite.
    """
    torch.set_num_threads(options.threads)
    if part == "import":
        return peak_mib(options.device)
    case = case_of("memory", row, size, options)
    if part == "candidate":
        transfer(dataclasses.replace(case.request, overrides={**case.request.overrides, "steps": STEPS}))
        optimize(case.canvas(), case.objective, candidate_settings(case, "adam"), STEPS)
    else:
        Reference(case).run("adam", STEPS, lambda _loss, _image: None)
    return peak_mib(options.device)


def _in_a_process(part: str, row: Row, size: float, options: Options) -> float | None:
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(options).items()}
    asked = json.dumps([part, dataclasses.astuple(row), size, plain])
    command = [sys.executable, "-m", "bench.memory", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode != 0:
        print(f"{part}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}", flush=True)
        return None
    return float(done.stdout.split()[-1])


def run(options: Options) -> Section:
    """Measure every row at every size and return the section."""
    rows: list[tuple[object, ...]] = []
    raw: list[dict[str, Any]] = []
    for row in (*PICTURE_ROWS, *SOUND_ROWS):
        sizes = options.sizes if row.medium == "image" else options.seconds
        for size in sizes:
            turns = [
                {part: _in_a_process(part, row, size, options) for part in PARTS}
                for _ in range(1 if options.quick else TURNS)
            ]
            raw.append({"row": row.name, "size": size, "turns": turns})
            label = f"{size}x{size}" if row.medium == "image" else f"{size:g} s"
            rows.append((row.name, label, *_told(turns)))
            print(*rows[-1], flush=True)
    head = ("row", "size", "modules alone, MiB", "specstyle, MiB", "reference, MiB", "specstyle / reference")
    return Section(
        f"3 memory ({options.device})", "Peak memory", _TEXT + "\n\n" + table(head, rows), {"cases": raw}
    )


def _told(turns: list[dict[str, float | None]]) -> tuple[str, ...]:
    """Return the median peak of each part, and the ratio of the last two with the least and the most."""
    by_part = [[x for turn in turns if (x := turn[part]) is not None] for part in PARTS]
    if any(len(peaks) < len(turns) for peaks in by_part):
        return (*(f"{statistics.median(p):.0f}" if len(p) == len(turns) else "failed" for p in by_part), "")
    ratios = [ours / theirs for ours, theirs in zip(*by_part[1:], strict=True)]
    both = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}..{max(ratios):.2f}]"
    return (*(f"{statistics.median(peaks):.0f}" for peaks in by_part), both)


_TEXT = f"""The most memory that a process had (on a GPU: that torch allocated there) in {STEPS} steps,
modules, network and targets included: the median of {TURNS} turns, and of the ratio the least and the most as
well. On a CPU both hold the pieces of the case as well, so the reference's figure is an upper bound of its
own need."""


def main() -> None:
    """Print the peak of one part, asked for as JSON."""
    part, row, size, fields = json.loads(sys.argv[1])
    for name in ("data", "weights", "results"):
        fields[name] = None if fields[name] is None else Path(fields[name])
    for name in ("sizes", "seconds", "precisions"):
        fields[name] = tuple(fields[name])
    print(one(part, Row(*row), size, Options(**fields)))


if __name__ == "__main__":
    main()
