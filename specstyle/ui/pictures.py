"""Small PNG pictures for the page, made fast: of images on their way, of sounds and of pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from specstyle import figures
from specstyle.media.audiosettings import AudioSettings, expand
from specstyle.media.imagefiles import Picture
from specstyle.media.sounds import Sound
from specstyle.recipes import Recipe

LARGEST_SIDE = 640
"""Of a picture, in pixels."""

ROWS, COLUMNS = 256, 768
"""Largest size of a spectrogram."""


def live_png(image: Tensor, medium: str, recipe: Recipe) -> bytes:
    """Return an image in work as a PNG.

    A spectrogram's levels are those of the image itself: no phase is reconstructed.

    Args:
        image: ``[B, C, h, w]``, as ``Progress.image`` gives it.
        medium: ``audio`` or ``image``.
        recipe: Says how a sound's magnitudes were compressed.
    """
    image = image.detach().float().cpu()
    if medium == "image":
        return _picture_png(image[0].clamp(0.0, 1.0))
    mean = image.mean((0, 1))[None]
    pooled = adaptive_avg_pool2d(mean, (min(ROWS, mean.shape[1]), min(COLUMNS, mean.shape[2])))[0]
    names = AudioSettings.__dataclass_fields__
    magnitude = expand(pooled, AudioSettings(**{n: getattr(recipe, n) for n in names})).numpy()
    peak = float(magnitude.max())
    relative = magnitude / peak if peak > 0 else np.zeros_like(magnitude)
    return _levels_png(20.0 * np.log10(np.maximum(relative, 10 ** (-figures.RANGE_DB / 20))))


def source_png(source: Any) -> bytes:
    """Return a ``Sound``'s spectrogram or a small copy of a ``Picture`` as a PNG."""
    if isinstance(source, Picture):
        pixels = source.pixels.float()
        if source.alpha is not None:  # what is transparent is shown on mid-gray
            alpha = source.alpha.float()
            pixels = pixels * alpha + 0.5 * (1.0 - alpha)
        return _picture_png(pixels)
    sound: Sound = source
    levels_db, _ = figures.spectrogram_db(sound.name, sound.samples.numpy(), sound.sample_rate)
    powers = torch.from_numpy(10.0 ** (levels_db / 10.0))[None]
    pooled = adaptive_avg_pool2d(powers, (min(ROWS, powers.shape[1]), min(COLUMNS, powers.shape[2])))[0]
    return _levels_png(10.0 * np.log10(pooled.numpy()))


def _picture_png(pixels: Tensor) -> bytes:
    """Return pixels ``[3, h, w]`` from 0 to 1, made smaller where they are many."""
    height, width = pixels.shape[1:]
    shrink = min(1.0, LARGEST_SIDE / max(height, width))
    if shrink < 1.0:
        pixels = adaptive_avg_pool2d(pixels, (max(round(height * shrink), 1), max(round(width * shrink), 1)))
    return _png((pixels.movedim(0, 2).numpy() * 255.0 + 0.5).astype(np.uint8))


def _levels_png(levels_db: NDArray[Any]) -> bytes:
    """Return levels ``[bins, frames]`` in dB below the peak in the figures' colors, low frequencies below."""
    import matplotlib

    colors = matplotlib.colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    shades = np.clip(255.0 * (1.0 + levels_db / figures.RANGE_DB), 0.0, 255.0).astype(np.uint8)
    return _png(np.ascontiguousarray(colors[shades[::-1]]))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
