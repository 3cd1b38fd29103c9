"""Films: flicker, time, memory and sync, on a pan over a photograph with something that passes before it.

    python -m bench.film [--optimizer]

The photograph is the cat of scikit-image's wheel, 288 x 512 pixels, 25 pictures a second; one thread.

- flicker: root mean square, in 0..1, of the difference between a picture and the one before, moved as the
  film moves, where that can be seen: of the film, of a pass on each picture alone, and of ``specstyle film``.
- contrast: standard deviation of the result's detail (without a Gaussian of 3 pixels) beside that of passes
  on each picture alone: what a mean over pictures blurs falls below 1.
- seconds: of the processor, a picture, with decoding, optical flow and all else but encoding.
- bytes: of an encoded picture, a pixel.
- memory: the most that the command holds, for films of 2 and of 10 seconds, sound and all.
- sync: lag of the result's sound behind the film's, in samples, where both click.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from PIL import Image
from scipy.signal import correlate

from bench.painting import find
from specstyle import film, load_style
from specstyle.films.file import Film
from specstyle.films.pictures import AtOnce, Look, Optimized, flicker, stylized_stills
from specstyle.films.writing import write_pictures
from specstyle.media.soundfiles import read_sound
from specstyle.onepass.memory import keep_freed_memory
from specstyle.run.request import Request
from specstyle.synthesis.sounds import SOUNDS

HEIGHT, WIDTH, FPS, RATE = 288, 512, 25, 44100
HALF = {"strength": 0.5}
STYLES = ("starry-night", "the-scream", "engraving")


def pan(path: Path, seconds: float, sound: np.ndarray | None = None) -> Path:
    """Write the film, with a melody or samples ``[length]`` at 44.1 kHz."""
    photograph = find("chelsea")
    if photograph is None:
        raise SystemExit("the photograph is in the wheel of scikit-image: pip install scikit-image")
    wide = cv2.resize(np.asarray(Image.open(photograph).convert("RGB")), None, fx=1.7, fy=1.7)
    passing = cv2.GaussianBlur(wide[300:380, 200:280, ::-1], (0, 0), 1)
    samples = SOUNDS["plucked_melody"](seconds, RATE, seed=0) if sound is None else sound
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"crf": "14"})
        video.height, video.width, video.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        audio = out.add_stream("aac", rate=RATE, layout="mono")
        for number in range(round(seconds * FPS)):
            swing = 60 * np.sin(number / 20)
            moved = np.float32([[1, 0, -100 - swing], [0, 1, -90 - swing / 3]])
            still = cv2.warpAffine(wide, moved, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
            left = 4 * number % (WIDTH - 80)
            still[180:260, left : left + 80] = passing
            frame = av.VideoFrame.from_ndarray(still, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        sounding = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "flt", "mono")
        sounding.sample_rate, sounding.pts, sounding.time_base = RATE, 0, Fraction(1, RATE)
        out.mux([*audio.encode(sounding), *audio.encode(None)])
    return path


def run(path: Path, look: Look) -> tuple[dict[str, float], float, float, float]:
    """Return flicker, contrast of detail, seconds and bytes."""
    kept: dict[str, Any] = {"frames": 0, "before": None, "moments": None, "errors": [0.0] * 3}
    original, started, details = Film(path), time.process_time(), []
    stills = list(stylized_stills(original, look, kept, lambda _: None))
    seconds = (time.process_time() - started) / len(stills)
    for still in stills[5:]:
        unit = still.pixels / np.float32(255)
        details.append(float((unit - cv2.GaussianBlur(unit, (0, 0), 3)).std()))
    with tempfile.TemporaryDirectory() as folder:
        encoded = Path(folder) / "part.mp4"
        write_pictures(encoded, original, ".mp4", iter(stills))
        size = encoded.stat().st_size / (len(stills) * HEIGHT * WIDTH)
    return flicker(kept), float(np.mean(details)), seconds, size


def alone(look: Look) -> Look:
    """Return what makes each picture without the one before."""
    return lambda still, movement, kept: look(still, None, kept)


def measure_flicker(folder: Path, optimizer: bool) -> None:
    """Print a row for each style."""
    path = pan(folder / "pan.mp4", 0.4 if optimizer else 3.0)
    looks: dict[str, Callable[[], Look]] = {
        name: lambda name=name: AtOnce(load_style(name), Request("image", None, (), overrides=HALF))
        for name in STYLES
    }
    if optimizer:
        painting = find("starry_night")
        if painting is None:
            raise SystemExit("the painting is not on this machine")
        looks = {"optimizer": lambda: Optimized(painting, Request("image", None, ()))}
    print("style | flicker: film, alone, film's result | contrast | seconds: alone, result | bytes a pixel")
    for name, make in looks.items():
        each, before, seconds, _ = run(path, alone(make()))
        made, after, longer, size = run(path, make())
        found = ", ".join(f"{x:.4f}" for x in (made["content"], each["output"], made["output"]))
        print(
            f"{name} | {found} | {after / before:.2f} | {seconds:.2f}, {longer:.2f} | {size:.3f}", flush=True
        )


def measure_memory(folder: Path) -> None:
    """Print the most that a process holds."""
    for seconds in (2, 10):
        path = pan(folder / "pan.mp4", seconds)
        words = ["-m", "specstyle", "film", path, "-o", folder / "out.mp4", "--force", "--quiet"]
        words += ["--picture", "starry-night", "--sound", "rain"]
        child = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *map(str, words)])
        _, status, usage = os.wait4(child, 0)
        print(f"memory, {seconds} s: {usage.ru_maxrss / 1024:.0f} MiB (exit code {status})", flush=True)


def measure_sync(folder: Path) -> None:
    """Print the lag, by the peak of the correlation with the film's sound."""
    samples = 0.02 * np.sin(np.arange(2 * RATE) / 30)
    samples[RATE : RATE + 20] += 0.8
    path = pan(folder / "click.mp4", 2.0, samples)
    for suffix in (".mp4", ".mkv"):
        out = folder / f"out{suffix}"
        film(path, out, picture="starry-night", sound="rain", strength=0.5, force=True)
        one, two = (read_sound(p).samples[0].numpy() for p in (out, path))
        lag = int(np.abs(correlate(one, two, "full")).argmax()) - (len(two) - 1)
        times = [[still.pts * f.time_base for still in f.pictures()] for f in (Film(out), Film(path))]
        print(f"sync, {suffix}: {lag} samples; {len(one)} of {len(two)}; same times: {times[0] == times[1]}")


def main() -> None:
    """Measure and print."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--optimizer", action="store_true", help="only its flicker and time, on ten pictures")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        measure_flicker(Path(folder), given.optimizer)
        if not given.optimizer:
            measure_sync(Path(folder))
            measure_memory(Path(folder))


if __name__ == "__main__":
    main()
