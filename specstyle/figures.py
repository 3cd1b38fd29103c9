"""Figures: spectrograms and pictures side by side, and contact sheets. PNG files, no display."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

RANGE_DB = 80.0
"""Range of the color scale below a panel's own peak, in dB."""

_MAX_COLUMNS = 1200
_WINDOW_S = 0.046
_CHARACTERS_PER_INCH = 9.5
_DPI = 110
_SPECTROGRAM_INCHES = 4.0


def sound_figure(panels: list[tuple[str, NDArray[Any], int]], path: str | Path) -> None:
    """Write spectrograms side by side, on one color scale.

    Channels are averaged. 0 dB is each panel's own peak, so that a quiet sound shows its structure too;
    the scale reaches ``RANGE_DB`` down. All panels share the frequency axis, up to the highest Nyquist
    frequency; a long sound is drawn in at most some thousand columns, each the mean power of its frames.

    Args:
        panels: Title, samples ``[channels, length]`` (or ``[length]``) and sample rate in Hz, each.
        path: The PNG file to write.
    """
    figure = _new_figure(width=1.2 + _SPECTROGRAM_INCHES * len(panels), height=3.8)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    drawn: Any = None
    for axis, (title, samples, sample_rate) in zip(axes, panels, strict=True):
        levels_db, duration_s = spectrogram_db(samples, sample_rate)
        drawn = axis.imshow(
            levels_db,
            origin="lower",
            aspect="auto",
            extent=(0.0, duration_s, 0.0, sample_rate / 2),
            cmap="magma",
            vmin=-RANGE_DB,
            vmax=0.0,
            interpolation="nearest" if levels_db.shape[1] < 200 else "antialiased",
        )
        _title(axis, title, inches=_SPECTROGRAM_INCHES)
        axis.set_xlabel("time (s)")
        axis.set_facecolor("black")
    axes[0].set_ylim(0.0, max(rate for _, _, rate in panels) / 2)
    axes[0].set_ylabel("frequency (Hz)")
    figure.colorbar(drawn, ax=list(axes), label="level (dB re panel peak)", pad=0.015, aspect=25)
    _save(figure, path)


def contact_sheet(
    panels: list[tuple[str, NDArray[Any]]], path: str | Path, *, columns: int, inches: float = 2.4
) -> None:
    """Write pictures or spectrogram images in rows, each panel as high as the highest needs.

    Args:
        panels: Title and array, each: a picture ``[H, W, 3]`` from 0 to 1, or an image ``[H, W]`` of any
            range, drawn with row 0 at the bottom. All ``[H, W]`` arrays share one color scale.
        path: The PNG file to write.
        columns: Panels in a full row.
        inches: Width of a panel.
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    aspect = max(a.shape[0] / a.shape[1] if a.ndim == 3 else 0.75 for _, a in panels)
    lines = max(title.count("\n") for title, _ in panels)
    height = rows * (inches * min(aspect, 3.0) + 0.35 + 0.2 * lines)
    figure = _new_figure(width=columns * inches, height=height)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    flat = [array for _, array in panels if array.ndim == 2]
    limits = {"vmin": min(map(np.min, flat)), "vmax": max(map(np.max, flat))} if flat else {}
    for cell in cells:
        cell.set_axis_off()
    for cell, (title, array) in zip(cells, panels, strict=False):
        _title(cell, title, inches=inches)
        if array.ndim == 2:
            cell.imshow(array, origin="lower", aspect="auto", cmap="magma", **limits)
        else:
            cell.imshow(np.clip(array, 0.0, 1.0))
    _save(figure, path)


def picture_png(pixels: Tensor, *, longest: int) -> bytes:
    """Return a picture as a PNG, made smaller where it is larger.

    Args:
        pixels: ``[3, H, W]`` from 0 to 1.
        longest: The longest side, in pixels.
    """
    image = Image.fromarray((pixels.clamp(0.0, 1.0) * 255 + 0.5).byte().movedim(0, 2).numpy())
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return _encoded(image)


def levels_png(
    levels: NDArray[Any],
    *,
    size: tuple[int, int] | None = None,
    scale: tuple[float, float] = (-RANGE_DB, 0.0),
    colors: str = "magma",
) -> bytes:
    """Return levels as a PNG without axes, low frequencies below.

    Args:
        levels: ``[bins, columns]``.
        size: Width and height in pixels; ``None``: as many as there are levels.
        scale: The levels that have the first and the last color.
        colors: A color map of matplotlib.
    """
    from matplotlib import colormaps

    shades = np.clip((np.flipud(levels) - scale[0]) / (scale[1] - scale[0]), 0.0, 1.0)
    image = Image.fromarray((shades * 255 + 0.5).astype(np.uint8))
    if size is not None:
        image = image.resize(size, Image.Resampling.BOX)
    image.putpalette(colormaps[colors](np.arange(256), bytes=True)[:, :3].tobytes())
    return _encoded(image)


def spectrogram_db(
    samples: NDArray[Any], sample_rate: int, n_fft: int | None = None
) -> tuple[NDArray[np.float64], float]:
    """Compute levels ``[bins, columns]`` in dB re the peak, and the duration in seconds.

    Args:
        samples: ``[channels, length]`` or ``[length]``; channels are averaged.
        sample_rate: In Hz.
        n_fft: Window length in samples; None takes about 46 ms.
    """
    n_fft = n_fft or 2 ** round(math.log2(max(64.0, _WINDOW_S * sample_rate)))
    mono = np.atleast_2d(samples).mean(axis=0, dtype=np.float64)
    frames = max(1, math.ceil(4 * len(mono) / n_fft))
    hop, pooled = n_fft // 4, max(1, math.ceil(frames / _MAX_COLUMNS))
    if pooled > 2:  # every column has many frames: half the overlap does for their mean
        hop, pooled = n_fft // 2, math.ceil(pooled / 2)
    columns = max(1, math.ceil(len(mono) / (hop * pooled)))
    padded = np.pad(mono, (n_fft // 2, n_fft + hop * pooled))
    offsets = np.arange(pooled)[:, None] * hop + np.arange(n_fft)
    window = np.hanning(n_fft + 1)[:-1]
    power = np.empty((n_fft // 2 + 1, columns))
    for column in range(columns):
        spectra = np.fft.rfft(padded[offsets + column * hop * pooled] * window)
        power[:, column] = (np.abs(spectra) ** 2).mean(axis=0)
    peak = power.max()
    floor = 10 ** (-RANGE_DB / 10)
    relative = power / peak if peak > 0 else np.zeros_like(power)
    levels_db: NDArray[np.float64] = 10 * np.log10(np.maximum(relative, floor))
    return levels_db, len(mono) / sample_rate


# -- parts ---------------------------------------------------------------------------------------------------


def _encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _new_figure(*, width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _title(axis: Any, title: str, *, inches: float) -> None:
    """Set a title as it stands (a dollar sign in a file name starts no formula), its middle cut to fit."""
    room = int(inches * _CHARACTERS_PER_INCH)
    lines = [
        line if len(line) <= room else f"{line[: room - room // 2 - 1]}…{line[-(room // 2) :]}"
        for line in title.split("\n")
    ]
    axis.set_title("\n".join(lines), parse_math=False, fontsize=11)


def _save(figure: Figure, path: str | Path) -> None:
    with warnings.catch_warnings():
        # A title in a script that the font lacks is drawn as boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.08)
