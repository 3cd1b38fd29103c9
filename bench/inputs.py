"""Pictures and sounds to measure on: drawn by ``examples/synthesis``, or real ones from a folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from specstyle.media.imagefiles import Picture, read_picture
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound, resample
from specstyle.synthesis.pictures import brush_texture, drawn_scene
from specstyle.synthesis.sounds import SOUNDS

RATE = 22050
REAL_PICTURES = (("tubingen", "starry_night"), ("shipwreck", "the_scream"), ("starry_night", "tubingen"))
REAL_SOUNDS = (("rooster-1", "rain-1"), ("dog_bark-1", "fire_crackling-1"), ("baby_cry-1", "sea_waves-1"))
MADE_SOUNDS = (("plucked_melody", "rain"), ("voice_phrase", "fire_crackle"), ("rain", "plucked_melody"))


def pictures(count: int, size: int, folder: Path | None) -> list[tuple[str, Picture, Picture]]:
    """Return pairs of content and style with their names.

    Args:
        count: At most three.
        size: Longest side of drawn pictures; real ones keep their own and are reduced by the recipe.
        folder: With ``images``, or ``None`` to draw them.
    """
    if folder is not None:
        return [
            (f"{c} + {s}", _real_picture(folder, c), _real_picture(folder, s))
            for c, s in REAL_PICTURES[:count]
        ]
    return [
        (f"scene {seed} + brush {seed}", _drawn(drawn_scene, size, seed), _drawn(brush_texture, size, seed))
        for seed in range(count)
    ]


def sounds(count: int, duration_s: float, folder: Path | None) -> list[tuple[str, Sound, Sound]]:
    """Return pairs of content and style at 22.05 kHz, one channel, with their names.

    Args:
        count: At most three.
        duration_s: Length; recordings are repeated up to it.
        folder: With ``esc10``, or ``None`` to make them.
    """
    if folder is not None:
        return [
            (f"{c} + {s}", *(_real_sound(folder, name, duration_s) for name in (c, s)))
            for c, s in REAL_SOUNDS[:count]
        ]
    return [(f"{c} + {s}", *(_made(name, duration_s) for name in (c, s))) for c, s in MADE_SOUNDS[:count]]


def _drawn(draw: object, size: int, seed: int) -> Picture:
    pixels = torch.from_numpy(draw(size, size, seed=seed))  # type: ignore[operator]
    return Picture(pixels.movedim(2, 0).float().contiguous(), None, "drawn")


def _made(name: str, duration_s: float) -> Sound:
    samples = torch.from_numpy(SOUNDS[name](duration_s, RATE, seed=0))[None]
    return Sound(samples, RATE, "PCM_16", name)


def _real_picture(folder: Path, name: str) -> Picture:
    (path,) = (folder / "images").glob(f"{name}.*")
    return read_picture(path)


def _real_sound(folder: Path, name: str, duration_s: float) -> Sound:
    sound = read_sound(sorted((folder / "esc10").glob(f"{name}-*"))[0])
    sound = resample(dataclasses.replace(sound, samples=sound.samples.mean(0, keepdim=True)), RATE)
    length = round(duration_s * RATE)
    samples = sound.samples.repeat(1, -(-length // sound.samples.shape[1]))[:, :length].contiguous()
    return dataclasses.replace(sound, samples=samples)
