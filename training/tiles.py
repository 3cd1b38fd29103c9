"""What the student is taught with: tiles of drawn pictures, of spectrograms, and of a folder's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specstyle.errors import FileError
from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound
from training.pictures import develop, draw_picture
from training.sounds import draw_spectrogram

Array = NDArray[Any]

SIDE = 128
"""Of a tile in pixels."""
_DRAWN = 192
"""Side of a drawn picture, from which tiles are cut."""
_FROM_ONE = 3
"""Tiles cut from one picture at most."""
_GIVEN_SHARE = 0.5
"""Of the tiles, where pictures or sounds are given."""


@dataclass(frozen=True)
class Sources:
    """Where tiles come from.

    Attributes:
        pictures: A folder of pictures, or ``None``.
        sounds: A folder of sounds, or ``None``.
        spectrograms: Share of tiles that are spectrograms.
    """

    pictures: Path | None = None
    sounds: Path | None = None
    spectrograms: float = 0.25


def make_tiles(count: int, sources: Sources, *, seed: int, say: Callable[[str], None]) -> Tensor:
    """Make tiles in random order: the same for the same arguments.

    Args:
        count: How many.
        sources: Where from.
        seed: Of everything that is drawn or chosen.
        say: Called with a line now and then.

    Returns:
        uint8 ``[count, 3, SIDE, SIDE]``.

    Raises:
        FileError: If a folder holds nothing that can be read.
    """
    rng = np.random.default_rng(seed)
    pictures = _files(sources.pictures, "picture")
    sounds = _files(sources.sounds, "sound")
    tiles: list[Array] = []
    while len(tiles) < count:
        if len(tiles) % 300 < _FROM_ONE:
            say(f"{len(tiles)} of {count} tiles drawn")
        if rng.random() < sources.spectrograms:
            whole = _spectrogram(sounds, rng)
        elif pictures and rng.random() < _GIVEN_SHARE:
            whole = develop(_zoomed(pictures[rng.integers(len(pictures))], rng), rng)
        else:
            whole = draw_picture(_DRAWN, rng)
        tiles += [_tile(whole, rng) for _ in range(_FROM_ONE)]
    order = rng.permutation(len(tiles))[:count]
    return torch.from_numpy(np.stack([tiles[k] for k in order]))


def _files(folder: Path | None, kind: str) -> list[Path]:
    if folder is None:
        return []
    found = [path for path in sorted(folder.rglob("*")) if _readable(path, kind)] if folder.is_dir() else []
    if not found:
        raise FileError(f"{folder}: holds no {kind} that can be read; name a folder with {kind}s in it")
    return found


def _readable(path: Path, kind: str) -> bool:
    try:
        read_picture(path) if kind == "picture" else read_sound(path)
    except FileError:
        return False
    return True


def _spectrogram(sounds: list[Path], rng: np.random.Generator) -> Array:
    if not sounds or rng.random() >= _GIVEN_SHARE:
        return draw_spectrogram(rng)
    sound = read_sound(sounds[rng.integers(len(sounds))])
    length = min(3 * sound.sample_rate, sound.samples.shape[1])
    start = rng.integers(sound.samples.shape[1] - length + 1)
    return draw_spectrogram(rng, sound.samples.mean(0)[start : start + length].numpy(), sound.sample_rate)


def _zoomed(path: Path, rng: np.random.Generator) -> Array:
    """Return a picture at a random size at which a tile still fits: strokes have no size of their own."""
    pixels = read_picture(path).pixels
    smallest = SIDE / min(pixels.shape[1:])
    zoom = np.exp(rng.uniform(np.log(min(smallest, 1.0)), 0.0)) if smallest < 1.0 else smallest
    size = [max(round(side * float(zoom)), SIDE) for side in pixels.shape[1:]]
    resized = torch.nn.functional.interpolate(
        pixels.float()[None], size, mode="bicubic", antialias=True, align_corners=False
    )
    return resized[0].clamp(0.0, 1.0).numpy()


def _tile(picture: Array, rng: np.random.Generator) -> Array:
    """Cut out a tile; what is too small is repeated in mirrors."""
    short = [max(SIDE - side, 0) for side in picture.shape[1:]]
    if any(short):
        picture = np.pad(picture, ((0, 0), (0, short[0]), (0, short[1])), mode="symmetric")
    top, left = (int(rng.integers(side - SIDE + 1)) for side in picture.shape[1:])
    tile = picture[:, top : top + SIDE, left : left + SIDE]
    return np.asarray(np.round(tile * 255.0), np.uint8)
