"""What a machine with a GPU is asked, in one call: `make gpu`.

    python -m bench.gpu [--device cuda] [--seconds 420]

Steps per second of the default picture at 512 x 512 and of 5 s of sound beside the textbook loop's in
fp32, in each precision, with the losses at the end. Writes `results/gpu.json` and prints it; on a CPU
(`--device cpu`) it shows that it runs, and its figures are not kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.cases import PICTURE_ROWS, SOUND_ROWS, Row, make_case, make_request
from bench.inputs import pictures, sounds
from bench.options import Options
from bench.reference import Reference
from specstyle.engine.device import convolutions_in
from specstyle.engine.optimize import OptimizerSettings, optimize

RESULTS = Path(__file__).parent / "results" / "gpu.json"
WARM_UP, STEPS = 10, 200


def steps_per_second(run: Any, device: str) -> float:
    """Return the rate of a function that makes some steps and returns how many."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    started = time.perf_counter()
    steps = run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return float(steps / (time.perf_counter() - started))


def measured(row: Row, sources: Sequence[Any], *, device: str, precision: str, steps: int) -> dict[str, Any]:
    """Return steps per second of specstyle and, in fp32, of the textbook loop, and the loss at the end."""
    request = make_request(row, *sources, Options(device=device), size=512, precision=precision)
    case = make_case(row.name, request)
    adam = OptimizerSettings("adam", lr=case.adam_rate)
    ends: list[float] = []

    def ours() -> int:
        state = optimize(case.canvas(), case.objective, adam, steps, report_every=10)
        ends.append(state.losses_end["total"])
        return steps

    with convolutions_in(case.session.precision):
        optimize(case.canvas(), case.objective, adam, WARM_UP)
        found: dict[str, Any] = {"steps_per_s": steps_per_second(ours, device), "loss": ends[0]}
    if precision == "fp32":
        reference = Reference(case)

        def textbook() -> int:
            reference.run("adam", steps, lambda *_: None)
            return steps

        reference.run("adam", WARM_UP, lambda *_: None)
        found["textbook_steps_per_s"] = steps_per_second(textbook, device)
    return found


def main() -> None:
    """Measure what time allows, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=420.0, help="begin nothing after so many")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    cuda = arguments.device.startswith("cuda")
    inputs = {"image": pictures(1, 512, None)[0][1:], "audio": sounds(1, 5.0, None)[0][1:]}
    began, rows = time.monotonic(), []
    for row in (*PICTURE_ROWS, *SOUND_ROWS):
        for precision in ("fp32", "tf32", "bf16") if cuda else ("fp32",):
            if time.monotonic() - began > arguments.seconds:
                rows.append({"case": row.name, "precision": precision, "left out": "no time"})
                continue
            options = {"device": arguments.device, "precision": precision, "steps": arguments.steps}
            found = measured(row, inputs[row.medium], **options)
            rows.append({"case": row.name, "precision": precision, **found})
            print(json.dumps(rows[-1]), flush=True)
    name = torch.cuda.get_device_name() if cuda else "cpu"
    if cuda:
        RESULTS.write_text(
            json.dumps({"device": name, "torch": torch.__version__, "rows": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
