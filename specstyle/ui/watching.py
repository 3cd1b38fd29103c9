"""Works on a page's jobs in a process of its own, so that one that does not end can be ended."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specstyle.engine.optimize import StopRun
from specstyle.errors import RunFinishedError
from specstyle.figures import RANGE_DB, levels_png, picture_png, spectrogram_db
from specstyle.films.file import Film
from specstyle.media.audio import AudioSettings, expand
from specstyle.media.pictures import Picture
from specstyle.media.sounds import Sound
from specstyle.pages import heard
from specstyle.recipes import Recipe
from specstyle.run.job import run_job
from specstyle.run.objective import Cache
from specstyle.run.outputs import write_source
from specstyle.run.request import Progress, Result, TransferError
from specstyle.run.settle import settle_request
from specstyle.ui.job import Entry, read

TELL_EVERY_S = 0.2  # seconds from one word on where a run is to the next
PICTURE_EVERY_S = 0.5  # seconds from one picture to the next, at least
PICTURE_SHARE = 0.1  # of the time of a run that may go into its pictures
PATIENCE_S = 10.0  # how long a wish to stop waits for a checkpoint, so that the run can go on without a loss
LARGEST_SIDE = 640  # of a picture for the page, in pixels
SPECTROGRAM = (1024, 320)  # width and height of a spectrogram for the page, in pixels


class LeaveRun(Exception):  # noqa: N818 (it is a request, not an error)
    """Leaves a run as it is kept, without making a result: the server ends."""


class Watch:
    """Takes in the steps of one run of a settled recipe, tells the server, and brings its wish to stop."""

    def __init__(
        self, line: Connection, medium: str, recipe: Recipe, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line, self._medium, self._recipe, self._clock = line, medium, recipe, clock
        self._first: tuple[int, float] | None = None
        self._told = self._drawn = self._pause = -1e9
        if medium == "film":  # keeps what it has by itself, and shows nothing
            self._drawn = float("inf")
        self._asked: float | None = None
        self._kept, self._leave = medium == "film", False

    def keep_now(self) -> bool:
        """Return whether the run is to be kept at once, since it will be stopped."""
        self._listen()
        self._kept = self._asked is not None
        return self._kept

    def _listen(self) -> None:
        try:
            while self._line.poll():
                self._leave = self._line.recv() == "leave" or self._leave
                self._asked = self._clock() if self._asked is None else self._asked
        except (EOFError, OSError):  # the server is gone
            self._asked, self._leave = -1e9, True

    def __call__(self, progress: Progress) -> None:
        """Take in a step; ``StopRun`` if a user or the clock asks for it, ``LeaveRun`` if the server ends."""
        now = self._clock()
        if self._first is None or progress.step <= self._first[0]:
            self._first = (progress.step, now)
        self._listen()
        if now - self._told > TELL_EVERY_S or progress.step == progress.steps:
            self._tell(progress, now)
        self._draw(progress, now)
        if self._asked is not None and (self._kept or now - self._asked > PATIENCE_S):
            raise LeaveRun if self._leave else StopRun

    def _tell(self, now: Progress, at: float) -> None:
        """Tell where the run is, in plain values."""
        first, since = self._first or (now.step, at)
        made = now.step - first
        left = round((at - since) / made * (now.steps - now.step), 1) if made else None
        said = {"step": now.step, "steps": now.steps, "scale": now.scale, "scales": now.scales}
        with contextlib.suppress(OSError):  # the next wish says that the server is gone
            self._line.send(("state", {**said, "seconds_left": left}))
        self._told = at

    def _draw(self, progress: Progress, now: float) -> None:
        """Make a picture if enough time has passed."""
        if now < self._drawn + max(PICTURE_EVERY_S, self._pause):
            return
        began = self._clock()
        png = live_png(progress.image(), self._medium, self._recipe)
        self._drawn = self._clock()
        self._pause = (self._drawn - began) / PICTURE_SHARE
        with contextlib.suppress(OSError):
            self._line.send(("picture", progress.step, png))


def live_png(image: Tensor, medium: str, recipe: Recipe) -> bytes:
    """Return an image in work, ``[B, C, h, w]``, as a PNG; no phase is reconstructed for it."""
    image = image.detach().float().cpu()
    if medium == "image":
        return picture_png(image[0], longest=LARGEST_SIDE)
    settings = AudioSettings(**{name: getattr(recipe, name) for name in AudioSettings.__dataclass_fields__})
    magnitude = expand(image.mean((0, 1)), settings).numpy()
    peak = max(float(magnitude.max()), 1e-30)
    levels_db = 20.0 * np.log10(np.maximum(magnitude / peak, 10 ** (-RANGE_DB / 20)))
    return levels_png(levels_db, size=SPECTROGRAM)


def show(source: Any, folder: Path, stem: str = "") -> dict[str, Any]:
    """Write a preview of a sound, picture or film, and what every browser plays; return what it is."""
    length = {}
    if isinstance(source, Sound):
        levels_db, _ = spectrogram_db(source.samples.numpy(), source.sample_rate)
        (folder / f"{stem}preview.png").write_bytes(levels_png(levels_db, size=SPECTROGRAM))
        write_source("audio", dataclasses.replace(source, subtype="PCM_16"), folder / f"{stem}listen.wav")
        return {**heard(source), "channels": source.samples.shape[0], "sample_rate": source.sample_rate}
    if isinstance(source, Film):
        first, length = next(source.pictures()).pixels, {"duration_s": source.duration_s}
        source = Picture(torch.from_numpy(first).movedim(2, 0) / 255.0, None, source.path.name)
    pixels = source.pixels.float()
    if source.alpha is not None:  # what is transparent is shown on mid-gray
        alpha = source.alpha.float()
        pixels = pixels * alpha + 0.5 * (1.0 - alpha)
    (folder / f"{stem}preview.png").write_bytes(picture_png(pixels, longest=LARGEST_SIDE))
    return {"width": source.width, "height": source.height, **length}


def work(line: Connection) -> None:
    """Run jobs as the server names their folders, until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then hangs up
    cache = Cache()
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked = line.recv()
            if isinstance(asked, Path):  # and no wish for one that has just ended
                entry = read(asked)
                line.send(("end", *_done(entry, line, cache)))


def _done(entry: Entry, line: Connection, cache: Cache) -> tuple[str, str]:
    """Do what is left of a job; return how it ended, and why."""
    place = 0

    def note(text: str) -> None:
        line.send(("note", entry.plain(text)))

    try:
        if entry.kind == "film":
            entry.film(on_step=Watch(line, "film", Recipe()), on_note=note)
            line.send(("shown", 0, show(Film(entry.result(0)), entry.folder, "result-0."), {}))
            return "finished", ""
        for place in range(len(entry.points)):
            try:
                job, run = entry.job(place)
            except RunFinishedError:
                continue
            if run is not None and job.record_path.exists():
                continue
            line.send(("part", place))
            watch = Watch(line, entry.medium, Recipe() if run else settle_request(job.request)[0])
            result, _ = run_job(
                job,
                on_step=watch,
                on_note=note,
                on_stage=lambda stage: line.send(("stage", stage)),
                cache=cache,
                keep_now=watch.keep_now,
                run=run,
            )
            _show(entry, place, result, line)
            if result.record["stopped"]:
                return "stopped", f"Stopped at step {result.record['steps']}. This is the best result so far."
    except LeaveRun:
        return "running", ""  # the next server finds it
    except StopRun:
        return "stopped", "Stopped. Go on takes up what was kept."
    except Exception as error:  # a job that fails must not end the worker
        if isinstance(error, TransferError) and error.result is not None:
            _show(entry, place, error.result, line)
        return "failed", entry.plain(error)
    return "finished", ""


def _show(entry: Entry, place: int, result: Result, line: Connection) -> None:
    """Write what the page shows of a result, and tell what it is."""
    content = {}
    if entry.medium == "audio":
        content = show(result.content, entry.folder, "view.")
    else:  # to compare, at the result's own size
        longest = max(result.output.width, result.output.height)
        pixels = result.content.pixels.float()
        (entry.folder / "view.png").write_bytes(picture_png(pixels, longest=longest))
    line.send(("shown", place, show(result.output, entry.folder, f"result-{place}."), content))
