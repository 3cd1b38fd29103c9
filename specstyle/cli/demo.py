"""The demo: synthesized sounds and pictures, and one transfer in each medium. No download, no input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from specstyle.errors import FileError
from specstyle.files import make_folder
from specstyle.media.imagefiles import Picture
from specstyle.media.sounds import Sound
from specstyle.run.job import run_job
from specstyle.run.outputs import write_source
from specstyle.run.request import Job, Progress, Request, Stage

SAMPLE_RATE = 22050
DURATION_S = 3.0
SIZE = 256

SOUND_JOB = ("plucked_melody.wav", "rain.wav", "melody-played-by-rain.wav")
PICTURE_JOB = ("drawn_scene.png", "brush_texture.png", "scene-painted-with-brush.png")


def synthesize(folder: Path) -> list[Path]:
    """Write the example sounds and pictures into a folder; return their paths.

    Raises:
        FileError: If they cannot be written.
    """
    from specstyle.synthesis.pictures import PICTURES
    from specstyle.synthesis.sounds import SOUNDS

    written = []
    for name, make_sound in SOUNDS.items():
        samples = torch.from_numpy(make_sound(DURATION_S, SAMPLE_RATE, seed=0))[None]
        written.append(folder / f"{name}.wav")
        write_source("audio", Sound(samples, SAMPLE_RATE, "PCM_16", name), written[-1])
    for name, make_picture in PICTURES.items():
        pixels = torch.from_numpy(make_picture(SIZE, SIZE, seed=0)).movedim(2, 0).float()
        written.append(folder / f"{name}.png")
        write_source("image", Picture(pixels, None, name), written[-1])
    return written


def _input_paths(folder: Path) -> list[Path]:
    from specstyle.synthesis.pictures import PICTURES
    from specstyle.synthesis.sounds import SOUNDS

    return [folder / f"{name}.wav" for name in SOUNDS] + [folder / f"{name}.png" for name in PICTURES]


def run_demo(
    folder: Path,
    *,
    force: bool,
    on_step: Callable[[Progress], None],
    on_note: Callable[[str], None],
    on_stage: Callable[[Stage], None],
    on_done: Callable[[], None],
) -> tuple[list[Path], bool]:
    """Make the example inputs, play the melody by the rain, and paint the scene with the brush.

    Args:
        folder: Where everything goes; made if it is missing.
        force: Replace existing files.
        on_step: Called after each step.
        on_note: Called with each line that a user should know.
        on_stage: Called as each stage of a transfer begins.
        on_done: Called after each transfer.

    Returns:
        The files written, and whether the run was stopped.

    Raises:
        FileError: If the folder cannot be used.
    """
    make_folder(folder)
    results = [folder / job[2] for job in (SOUND_JOB, PICTURE_JOB)]
    for path in [*_input_paths(folder), *results]:
        if path.exists() and not force:
            raise FileError(f"{path}: exists already; name another DIR, or --force to replace it")
    on_note(f"synthesizing sounds and pictures into {folder}")
    written = synthesize(folder)
    jobs: tuple[tuple[str, tuple[str, str, str], dict[str, Any]], ...] = (
        ("audio", SOUND_JOB, {}),
        ("image", PICTURE_JOB, {"size": SIZE}),
    )
    for medium, (content, style, output), overrides in jobs:
        request = Request(
            medium, folder / content, (folder / style,), overrides={"network": _EMBEDDED[medium], **overrides}
        )
        on_note(f"{output}: {content} in the style of {style}")
        job = Job(request, folder / output, force=True, plot=True)
        result, paths = run_job(job, on_step=on_step, on_note=on_note, on_stage=on_stage)
        written += paths
        on_done()
        if result.record["stopped"]:
            return written, True
    return written, False


_EMBEDDED = {"audio": "kernel", "image": "vgg19-lite"}
"""The demo takes no VGG19 even where there is one, so that it does the same everywhere."""
