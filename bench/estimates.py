"""What was estimated before a run beside what it took: memory and time, each in a process of its own.

    python -m bench.estimates

Aim: within 25 %. Memory is the peak above what the process held before its first step; time is that of the
optimization.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "picture 1024, vgg19-lite": {"medium": "image", "size": 1024, "network": "vgg19-lite"},
    "picture 512, vgg19-random": {"medium": "image", "size": 512, "network": "vgg19-random"},
    "sound 60 s, kernel": {"medium": "audio", "seconds": 60.0, "network": "kernel"},
    "sound 30 s, wide-random": {"medium": "audio", "seconds": 30.0, "network": "wide-random"},
    "sound 30 s, vgg19-lite": {"medium": "audio", "seconds": 30.0, "network": "vgg19-lite"},
}

STEPS = 12


def worker(case: dict[str, Any]) -> None:
    """Run one case and print what was estimated and what was used."""
    import resource
    import time

    import torch

    from bench.inputs import pictures, sounds
    from specstyle.engine.device import GIB, choose_device, held_memory
    from specstyle.run.inputs import Session
    from specstyle.run.loop import ScaleLoop
    from specstyle.run.memory import Estimate
    from specstyle.run.request import Request
    from specstyle.run.settle import settle_request

    overrides: dict[str, Any] = {"network": case["network"], "steps": STEPS, "smallest_scale": None}
    if case["medium"] == "image":
        _, content, style = pictures(1, case["size"], None)[0]
        overrides["size"] = case["size"]
    else:
        _, content, style = sounds(1, case["seconds"], None)[0]
    # A limit far above makes a measurement certain.
    request = Request(case["medium"], content, [style], overrides=overrides, memory_limit=1000.0)
    recipe, _ = settle_request(request)
    run = Session(request, recipe, choose_device("cpu"), lambda _: None)
    estimate = Estimate(run)
    planned, seconds = estimate.plan(0), estimate.seconds()
    held = held_memory(torch.device("cpu"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started = time.perf_counter()
    ScaleLoop(run, estimate).optimize()
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    used = (peak - held if peak > before else float("nan")) / GIB
    print(json.dumps({"said_gib": planned.needed / GIB, "used_gib": used, "said_s": seconds, "took_s": took}))


def main() -> None:
    """Print a line for each case."""
    print("| case | memory said / used | time said / taken |\n|---|---|---|")
    for name, case in CASES.items():
        command = [sys.executable, "-m", "bench.estimates", json.dumps(case)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        memory, time = (found[f"said_{u}"] / found[f"{w}_{u}"] for w, u in (("used", "gib"), ("took", "s")))
        print(f"| {name} | {memory:.2f} ({found['used_gib']:.2f} GiB) | {time:.2f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker(json.loads(sys.argv[1]))
    else:
        main()
