"""The demo: sounds and pictures, recorded and synthesized, and transfers of each kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from specstyle.cli.progress import ProgressLine
from specstyle.errors import FileError
from specstyle.files import SAMPLES, make_folder
from specstyle.media.imagefiles import Picture
from specstyle.media.sounds import Sound
from specstyle.onepass.apply import apply_request
from specstyle.onepass.stylefile import load_style
from specstyle.run.api import ignore
from specstyle.run.job import run_job
from specstyle.run.outputs import write_source
from specstyle.run.request import Job, Request

SAMPLE_RATE = 22050
DURATION_S = 3.0
SIZE = 256

SOUND_JOB = ("plucked_melody.wav", "rain.wav", "melody-played-by-rain.wav")
PICTURE_JOB = ("drawn_scene.png", "brush_texture.png", "scene-painted-with-brush.png")
AT_ONCE = {
    "audio": ("rain", SOUND_JOB[0], "melody-by-rain-at-once.wav"),
    "image": ("swirls", PICTURE_JOB[0], "scene-at-once.png"),
}
"""By medium: a style that comes along, a content, and a result."""


def _sources(folder: Path) -> dict[Path, Callable[[], Sound | Picture]]:
    """Return how to make each example sound and picture, by where it goes."""
    from specstyle.synthesis.pictures import PICTURES
    from specstyle.synthesis.sounds import SOUNDS

    def sound(name: str) -> Sound:
        samples = torch.from_numpy(SOUNDS[name](DURATION_S, SAMPLE_RATE, seed=0))[None]
        return Sound(samples, SAMPLE_RATE, "PCM_16", name)

    def picture(name: str) -> Picture:
        pixels = torch.from_numpy(PICTURES[name](SIZE, SIZE, seed=0)).movedim(2, 0).float()
        return Picture(pixels, None, name)

    sounds = {folder / f"{name}.wav": partial(sound, name) for name in SOUNDS}
    return {**sounds, **{folder / f"{name}.png": partial(picture, name) for name in PICTURES}}


def synthesize(folder: Path) -> list[Path]:
    """Write the example sounds and pictures into a folder; return their paths."""
    sources = _sources(folder)
    for path, make in sources.items():
        write_source("audio" if path.suffix == ".wav" else "image", make(), path)
    return list(sources)


def run_demo(folder: Path, *, force: bool, progress: ProgressLine) -> tuple[list[Path], bool]:
    """Make the example inputs, play the melody by the rain, and paint the scene with the brush; both twice.

    Args:
        folder: Where everything goes; made if it is missing.
        force: Replace existing files.
        progress: Shows each step, and what a user should know.

    Returns:
        The files written, and whether the run was stopped.

    Raises:
        FileError: If the folder cannot be used.
    """
    make_folder(folder)
    jobs_of = (SOUND_JOB, PICTURE_JOB, *AT_ONCE.values())
    copies = (folder / path.name for path in SAMPLES.iterdir())
    for path in [*copies, *_sources(folder), *(folder / output for _, _, output in jobs_of)]:
        if path.exists() and not force:
            raise FileError(f"{path}: exists already; name another DIR, or --force to replace it")
    progress.note(f"putting recordings, pictures and what is synthesized into {folder}")
    written = [Path(shutil.copyfile(path, folder / path.name)) for path in sorted(SAMPLES.iterdir())]
    written += synthesize(folder)
    # No VGG19 even where there is one, so that it does the same everywhere.
    jobs: tuple[tuple[str, tuple[str, str, str], dict[str, Any]], ...] = (
        ("audio", SOUND_JOB, {"network": "vgg19-lite"}),
        ("image", PICTURE_JOB, {"network": "vgg19-lite", "size": SIZE}),
    )
    for medium, (content, style, output), overrides in jobs:
        request = Request(medium, folder / content, (folder / style,), overrides=overrides)
        progress.note(f"{output}: {content} in the style of {style}")
        job = Job(request, folder / output, force=True, plot=True)
        result, paths = run_job(job, on_step=progress, on_note=progress.note, on_stage=progress.enter_stage)
        written += paths
        progress.close()
        if result.record["stopped"]:
            return written, True
        written += _at_once(medium, folder, progress)
    return written, False


def _at_once(medium: str, folder: Path, progress: ProgressLine) -> list[Path]:
    """Stylize the same content by a trained network; return the files written."""
    name, content, output = AT_ONCE[medium]
    progress.note(f"{output}: {content} by the trained style {name}, at once")
    run = partial(apply_request, style=load_style(name), blend={})
    job = Job(Request(medium, folder / content, ()), folder / output, force=True)
    result, paths = run_job(job, on_step=progress, on_note=progress.note, on_stage=ignore, run=run)
    progress.note(f"took {result.record['seconds']:.1f} s")
    return paths
