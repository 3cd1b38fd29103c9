"""Minutes of sound and tens of megapixels within a limit: peak memory, and how a step's time grows.

Each case is a whole command in a process of its own, watched from outside, with a few steps of Adam.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from PIL import Image

from bench.options import Options
from bench.report import Section, table, verdict

LIMIT_GIB = 6.0
LENGTHS, SIZES = (30.0, 120.0, 600.0), (1.0, 4.0, 36.0)
"""Seconds of sound, and megapixels."""

LINEAR = 2.0
"""Most that a second of sound may take by what a second of the shortest takes. A whole image is convolved
once forward and once for the gradient; in tiles, once more for the sums, and once more for the content's
features where these are not kept. That is a factor, and no slope."""

RATE = 44100
STEPS = 2
FILTERS = 4096


@dataclass(frozen=True)
class Found:
    """What a command took: the most resident memory, and the processor time of a step."""

    peak_gib: float
    step_s: float
    said: str


def _sound(path: Path, seconds: float) -> Path:
    """Write stereo of tones that come and go, and noise."""
    t = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).normal(size=t.size)
    tones = 0.3 * np.sin(2 * np.pi * 220 * t + 9 * np.sin(t)) * (np.sin(2 * np.pi * t / 3) > 0)
    both = np.stack([tones, 0.2 * noise * np.abs(np.sin(2 * np.pi * t / 7))], axis=1)
    soundfile.write(path, both.astype(np.float32), RATE, subtype="PCM_16")
    return path


def _picture(path: Path, megapixels: float) -> Path:
    side = round((megapixels * 1e6) ** 0.5)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    planes = [np.sin(x / 97) * np.cos(y / 53), np.cos((x + y) / 131), np.sin(y / 211)]
    pixels = np.stack([128 + 100 * plane for plane in planes], axis=2)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


def _run(arguments: list[str | Path]) -> Found:
    """Run a command and watch it."""
    command = [sys.executable, "-m", "specstyle", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    peak = [0]

    def watch() -> None:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak[0] = max(peak[0], watched.memory_info().rss)
            except psutil.NoSuchProcess:
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    times, said, watched = [], "", psutil.Process(process.pid)
    last = "it said nothing"
    with process:
        for line in process.stderr or ():
            last = line.strip() or last
            said = line.strip() if line.startswith("memory") else said
            if line.startswith("step "):
                used = watched.cpu_times()
                times.append(used.user + used.system)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {last}")
    return Found(peak[0] / 2**30, (times[-1] - times[0]) / (len(times) - 1), said)


def within_limit(peaks: dict[str, float]) -> bool | None:
    """Return whether all that was measured kept within the limit; ``None`` without the largest inputs.

    Args:
        peaks: Input to the most memory, in GiB.
    """
    if any(peak > LIMIT_GIB for peak in peaks.values()):
        return False
    asked = {_label("audio", LENGTHS[-1]), _label("image", SIZES[-1])}
    return True if asked <= set(peaks) else None


def is_linear(steps: dict[float, float]) -> bool | None:
    """Return whether a step's time grows with the length alone; ``None`` without the longest.

    Args:
        steps: Seconds of sound to the time of a step.
    """
    shortest = min(steps, default=0.0)
    if shortest != LENGTHS[0] or LENGTHS[-1] not in steps:
        return None
    each = {length: time / length for length, time in steps.items()}
    return max(each.values()) <= LINEAR * each[shortest]


def _label(medium: str, case: float) -> str:
    return f"{case:g} s of stereo" if medium == "audio" else f"{case:g} megapixels"


def _measure(medium: str, case: float, filters: int, folder: Path) -> dict[str, Any]:
    """Run one command and return what it took."""
    if medium == "audio":
        inputs = _sound(folder / "content.wav", case), _sound(folder / "style.wav", 5.0)
        more = ["--network", "wide-random", "--n-filters", str(filters), "--lr", "0.05"]
        more += ["--phase-iterations", "4"]
    else:
        inputs = _picture(folder / "content.png", case), _picture(folder / "style.png", 0.6)
        more = ["--network", "vgg19-random", "--lr", "0.02", "--smallest-scale", "none"]
        more += ["--size", str(round((case * 1e6) ** 0.5))]
    output = folder / ("out.wav" if medium == "audio" else "out.jpg")
    common = ["--optimizer", "adam", "--steps", str(STEPS), "--memory-limit", str(LIMIT_GIB)]
    common += ["--device", "cpu"]  # whose memory and time are looked at, also where there is a GPU
    found = _run([medium, *inputs, "-o", output, "--force", *common, *more])
    return {"medium": medium, "size": case, **dataclasses.asdict(found)}


def run(options: Options) -> Section:
    """Measure lengths and sizes and return the section."""
    lengths = (2.0, 6.0) if options.quick else LENGTHS
    sizes = (0.1, 0.4) if options.quick else SIZES
    filters = 64 if options.quick else FILTERS
    found: list[dict[str, Any]] = []
    left_out = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for medium, cases in (("audio", lengths), ("image", sizes)):
            for case in cases:
                if options.minutes is not None and time.monotonic() - began > 60 * options.minutes:
                    left_out.append(_label(medium, case))
                    continue
                found.append(_measure(medium, case, filters, Path(folder)))
                print(_label(medium, case), found[-1], flush=True)
    return section(found, left_out, filters)


def section(found: list[dict[str, Any]], left_out: list[str], filters: int) -> Section:
    """Return the report of some inputs, the smallest of a medium first."""
    rows, first = [], {}
    for one in found:
        least = first.setdefault(one["medium"], one)
        growth = one["step_s"] / least["step_s"], one["size"] / least["size"]
        told = (
            f"{one['peak_gib']:.2f}",
            *(f"{g:.1f}" for g in growth),
            f"{growth[0] / growth[1]:.2f}",
            one["said"],
        )
        rows.append((_label(one["medium"], one["size"]), *told))
    peaks = {_label(one["medium"], one["size"]): one["peak_gib"] for one in found}
    steps = {one["size"]: one["step_s"] for one in found if one["medium"] == "audio"}
    head = (
        "input",
        "peak, GiB",
        "time of a step, first = 1",
        "size, first = 1",
        "one by the other",
        "the plan",
    )
    targets = (
        (f"600 s and 36 megapixels within {LIMIT_GIB:g} GiB", verdict(within_limit(peaks))),
        (
            f"a step's time linear in length: a second at most {LINEAR:g} times one of 30 s, as tiles cost",
            verdict(is_linear(steps)),
        ),
    )
    parts = [_TEXT.format(filters=filters), table(head, rows), table(("target", ""), targets)]
    if left_out:
        parts.append(f"Not measured in this run: {', '.join(left_out)}.")
    return Section("3b large (cpu)", "Large inputs", "\n\n".join(parts), {"cases": found})


_TEXT = """Whole commands with a few steps of Adam and `--memory-limit 6`, from reading to writing: 44.1 kHz
stereo on `wide-random` with {filters} filters, pictures on `vgg19-random`. Memory is the most that was
resident. The time of a step is processor time."""
