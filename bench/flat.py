"""Run after run in one process: whether its memory grows.

python -m bench.flat [--runs 200] [--steps 3]

Pictures and sounds take turns, by ``transfer_image`` and ``transfer_audio`` on ``vgg19-lite``. What is told
is the resident memory after some of the runs, and how many objects Python keeps track of.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from pathlib import Path

import psutil

import specstyle


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import commands

    process, told = psutil.Process(), {arguments.runs * share // 10 for share in (1, 3, 5, 7, 10)}
    print("| runs | resident, MiB | Python's objects |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        commands.write_inputs(Path(name))
        given = {"steps": arguments.steps, "network": "vgg19-lite"}
        for run in range(1, arguments.runs + 1):
            if run % 2:
                specstyle.transfer_image(f"{name}/c.png", f"{name}/s.png", size=96, seed=run, **given)
            else:
                specstyle.transfer_audio(f"{name}/c.wav", f"{name}/s.wav", seed=run, **given)
            if run in told:
                gc.collect()
                resident = process.memory_info().rss / 2**20
                print(f"| {run} | {resident:.0f} | {len(gc.get_objects())} |", flush=True)


if __name__ == "__main__":
    main()
