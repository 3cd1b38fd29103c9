"""What is learned from: photographs or sounds of a folder, and what the package draws and synthesizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from specstyle.engine.canvas import resize
from specstyle.errors import FileError
from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import SUFFIXES as SOUNDS_WRITTEN
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import resample
from specstyle.onepass.soundnetwork import SAMPLE_RATE

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")

SOUND_SUFFIXES = tuple(SOUNDS_WRITTEN)

TUNES, TAKES = ("plucked_melody", "voice_phrase"), 5
"""Synthesized sounds, and how often each is drawn anew."""

FAINT = 1e-8
"""Mean square below which a stretch is silence."""

SCENES = 4
"""Drawn pictures."""

HELD_OUT = 6
"""Every so many-th picture is not learned from."""

SMALLEST, LARGEST = 0.7, 1.5
"""How the longest side of a picture that is learned from may stand to the size asked for."""


class PictureContents:
    """Crops of pictures, mirrored, and lightened or darkened at random.

    Args:
        folder: Of photographs; ``None``: drawn scenes alone.
        crop: Side of what is cut out, in pixels.
        size: Longest side of a whole picture, about.

    Attributes:
        held_out: The middle of each picture that is not learned from, ``[N, 3, crop, crop]``.

    Raises:
        FileError: If the folder holds no picture, or one cannot be read.
    """

    def __init__(self, folder: Path | None, crop: int, size: int) -> None:
        from specstyle.synthesis.pictures import drawn_scene

        self._crop, self._size = crop, size
        scenes = (drawn_scene(size, size * 4 // 3, seed=seed) for seed in range(SCENES))
        pictures = [torch.from_numpy(scene).movedim(2, 0).float() for scene in scenes]
        paths = [] if folder is None else files_in(folder, "image")
        pictures += [read_picture(path).pixels.float() for path in paths]
        sized = [_shrunk(picture, round(LARGEST * size)) for picture in pictures]
        self._pictures = [p for number, p in enumerate(sized) if number % HELD_OUT]
        held_out = [_scaled(p, size, crop) for p in sized[::HELD_OUT]]
        middles = [((p.shape[1] - crop) // 2, (p.shape[2] - crop) // 2) for p in held_out]
        self.held_out = torch.stack(
            [p[:, y : y + crop, x : x + crop] for p, (y, x) in zip(held_out, middles, strict=True)]
        )

    def __call__(self, count: int, generator: torch.Generator, share: float = 1.0) -> Tensor:
        """Return crops, ``[count, 3, H, H]`` with a share of the side of ``crop``."""
        side = round(share * self._crop)
        return torch.stack([self._cut(generator, side) for _ in range(count)])

    def _cut(self, generator: torch.Generator, side: int) -> Tensor:
        def draw(low: float, high: float) -> float:
            return low + (high - low) * float(torch.rand((), generator=generator))

        picture = self._pictures[int(draw(0, len(self._pictures)))]
        picture = _scaled(picture, round(draw(SMALLEST, LARGEST) * self._size), self._crop)
        y, x = (int(draw(0, whole - side + 1)) for whole in picture.shape[1:])
        crop = picture[:, y : y + side, x : x + side]
        crop = crop.flip(2) if draw(0, 1) < 0.5 else crop
        return crop.clamp(0.0, 1.0).pow(2.0 ** draw(-0.7, 0.7))


class SoundContents:
    """Stretches of sounds.

    Args:
        folder: Of sounds; ``None``: synthesized ones alone.
        length: Of a stretch, in samples at ``SAMPLE_RATE``.

    Attributes:
        held_out: A stretch of each sound that is not learned from, ``[N, length]``.

    Raises:
        FileError: If the folder holds no sound, or one cannot be read.
    """

    def __init__(self, folder: Path | None, length: int) -> None:
        from specstyle.synthesis.sounds import SOUNDS

        self._length, seconds = length, 2.0 * length / SAMPLE_RATE
        made = [
            torch.from_numpy(np.asarray(SOUNDS[name](seconds, SAMPLE_RATE, seed=seed))).float()
            for seed in range(TAKES)
            for name in TUNES
        ]
        paths = [] if folder is None else files_in(folder, "audio")
        for path in paths:
            mono = replace(sound := read_sound(path), samples=sound.samples.mean(0, keepdim=True))
            made.append(resample(mono, SAMPLE_RATE).samples[0].float())
        long = [sound.repeat(-(-length // len(sound))) for sound in made if bool(sound.any())]
        self._sounds = [sound for number, sound in enumerate(long) if number % HELD_OUT]
        self.held_out = torch.stack([sound[:length] for sound in long[::HELD_OUT]])

    def __call__(self, count: int, generator: torch.Generator, share: float = 1.0) -> Tensor:
        """Return stretches that are not silent, ``[count, length]``."""
        return torch.stack([self._cut(generator) for _ in range(count)])

    def _cut(self, generator: torch.Generator) -> Tensor:
        sound = self._sounds[int(torch.randint(len(self._sounds), (), generator=generator))]
        start = int(torch.randint(len(sound) - self._length + 1, (), generator=generator))
        found = sound[start : start + self._length]
        return found if float(found.square().mean()) > FAINT else self._cut(generator)


def files_in(folder: Path, medium: str) -> list[Path]:
    """Return the pictures or sounds of a folder by their names.

    Raises:
        FileError: If there is no such folder, or none of them in it.
    """
    what, suffixes = {"image": ("pictures", SUFFIXES), "audio": ("sounds", SOUND_SUFFIXES)}[medium]
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in suffixes)
    if not paths:
        raise FileError(f"{folder}: is no folder with {what} ({', '.join(suffixes)}); name another")
    return paths


def _shrunk(picture: Tensor, longest: int) -> Tensor:
    """Return a picture whose longest side is at most that."""
    factor = longest / max(picture.shape[1:])
    if factor >= 1.0:
        return picture
    return resize(picture[None], *(max(round(side * factor), 1) for side in picture.shape[1:]))[0]


def _scaled(picture: Tensor, longest: int, shortest: int) -> Tensor:
    """Return a picture of a longest side, but no side of it shorter than the other number."""
    factor = max(longest / max(picture.shape[1:]), shortest / min(picture.shape[1:]))
    height, width = (max(round(side * factor), shortest) for side in picture.shape[1:])
    return resize(picture[None], height, width)[0]
