"""Where in time and frequency a stylized sound replaces its content: soft masks, and the mix by them."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle.errors import FileError, RecipeError
from specstyle.files import read_bytes, sha256_of
from specstyle.media.imagefiles import read_picture
from specstyle.media.sounds import Sound
from specstyle.media.stft import long_stft, shaped

EDGE_OCTAVES = 1 / 6
EDGE_BINS = 5
"""A soft edge in frequency is a sixth of an octave wide, at least so many bins (the window blurs as far)."""

EDGE_S = 0.02
"""A soft edge in time, in seconds."""

SILENCE_DB = -40.0
"""Of a sound's level: what stays below it is silence."""

SILENCE_S = 0.2
"""Less of it is a gap."""

COLUMNS = ("start_s", "stop_s", "low_hz", "high_hz", "amount")


@dataclass(frozen=True)
class Region:
    """A rectangle in time and frequency, its soft edges inside it.

    Attributes:
        start_s: Where it begins, in seconds of the output; -inf: open.
        stop_s: Where it ends; inf: open.
        low_hz: Its lowest frequency; -inf: open.
        high_hz: Its highest frequency; inf: open.
        amount: Of the style there, from 0 to 1.
    """

    start_s: float = -math.inf
    stop_s: float = math.inf
    low_hz: float = -math.inf
    high_hz: float = math.inf
    amount: float = 1.0

    def weights(self, times_s: Tensor, frequencies_hz: Tensor, duration_s: float) -> Tensor:
        """Return how much of each position belongs to it, ``[frequencies, times]`` in 0..1.

        A side at an end of the sound, in time or in frequency, has no soft edge: nothing is beyond it.
        """
        least = EDGE_BINS * float(frequencies_hz[1] - frequencies_hz[0])
        low_edge = max(self.low_hz * (2**EDGE_OCTAVES - 1.0), least)
        high_edge = max(self.high_hz * (1.0 - 2**-EDGE_OCTAVES), least)
        low = self.low_hz if self.low_hz > 0.0 else -math.inf
        high = self.high_hz if self.high_hz < float(frequencies_hz[-1]) else math.inf
        start = self.start_s if self.start_s > 0.0 else -math.inf
        stop = self.stop_s if self.stop_s < duration_s else math.inf
        rows = _inside(frequencies_hz, low, high, low_edge, high_edge)
        return rows[:, None] * _inside(times_s, start, stop, EDGE_S, EDGE_S)


@dataclass(frozen=True, eq=False)
class SoundMask:
    """How much of the style each position in time and frequency gets: 0, the content untouched, to 1.

    Attributes:
        keep: Bands in Hz that stay untouched, ends included; their soft edges lie outside of them.
        picture: Gray values ``[H, W]`` in 0..1: time from left to right over the whole sound, frequency from
            the bottom (0 Hz) to the top (half of the sample rate).
        regions: Painted one over the other on 0; ``None``: the style is everywhere.
        sounding: Ranges of the content that are no silence; ``None``: all of it counts.
        mix: Factor on all of it.
        file: Path and hash of the file that it came from, if any, for the record.
    """

    keep: tuple[tuple[float, float], ...] = ()
    picture: Tensor | None = None
    regions: tuple[Region, ...] | None = None
    sounding: tuple[Region, ...] | None = None
    mix: float = 1.0
    file: dict[str, str] | None = None

    def weights(self, times_s: Tensor, frequencies_hz: Tensor, duration_s: float) -> Tensor:
        """Return the mask.

        Args:
            times_s: Seconds of the sound, float64 ``[times]``.
            frequencies_hz: From 0 to half of the sample rate in even steps, float64 ``[bins]``.
            duration_s: Of the whole sound.

        Returns:
            float64 ``[bins, times]`` in 0..1.
        """
        found = torch.full((len(frequencies_hz), len(times_s)), self.mix, dtype=torch.float64)
        if self.picture is not None:
            found *= _looked_up(self.picture, times_s / duration_s, frequencies_hz / frequencies_hz[-1])
        for regions in (self.regions, self.sounding):
            if regions is None:
                continue
            painted = torch.zeros_like(found)
            for region in regions:
                painted = torch.lerp(
                    painted,
                    torch.full_like(painted, region.amount),
                    region.weights(times_s, frequencies_hz, duration_s),
                )
            found *= painted
        for low, high in self.keep:
            found *= _outside(frequencies_hz, low, high)[:, None]
        return found


def mask_of(recipe: Any) -> SoundMask:
    """Return what a recipe asks for by its ``mask``, ``keep_band`` and ``mix``.

    Raises:
        FileError: If its mask cannot be read.
    """
    mask = SoundMask(keep=tuple(read_band(band) for band in recipe.keep_band), mix=recipe.mix)
    if recipe.mask is None:
        return mask
    try:
        read = read_mask(Path(recipe.mask))
        file = {"path": recipe.mask, "sha256": sha256_of(Path(recipe.mask))}
    except (FileError, OSError) as error:
        raise FileError(f"--mask {recipe.mask} (a picture or a CSV table): {error}") from error
    return replace(mask, picture=read.picture, regions=read.regions, file=file)


def sounding(content: Sound) -> tuple[Region, ...]:
    """Return the ranges of a sound that are no silence, whole with their soft edges."""
    hop = max(round(content.sample_rate * EDGE_S), 1)
    samples = content.samples.abs().amax(0)
    padded = torch.nn.functional.pad(samples, (0, -len(samples) % hop))
    loudest = padded.reshape(-1, hop).amax(1)
    level = float(content.samples.square().mean().sqrt())
    loud = (loudest > level * 10 ** (SILENCE_DB / 20)).tolist()
    found: list[tuple[int, int]] = []
    for block, is_loud in enumerate(loud):
        if is_loud and found and (block - found[-1][1]) * EDGE_S < SILENCE_S:
            found[-1] = (found[-1][0], block + 1)
        elif is_loud:
            found.append((block, block + 1))
    step = hop / content.sample_rate
    return tuple(Region(start * step - EDGE_S, stop * step + EDGE_S) for start, stop in found)


def mixed(content: Sound, result: Sound, mask: SoundMask) -> Sound:
    """Return a content with its stylized version where a mask says so.

    ``istft(M STFT(result) + (1 - M) STFT(content))``, written as ``content + istft(M STFT(result -
    content))``: the transform is linear, and so the content comes back without rounding where M is 0. It has
    a Hann window of about 93 ms (2048 samples at 22.05 kHz): where M changes, the change reaches half of that
    and some 50 Hz further. Block by block: beside the sounds, one of their size is held, and another while it
    is made.
    """
    rate, (_, length) = content.sample_rate, content.samples.shape
    settings = long_stft(rate)
    frequencies = torch.linspace(0.0, rate / 2, settings.n_bins, dtype=torch.float64)

    def gains(first: int, count: int) -> Tensor:
        frames = torch.arange(first, first + count, dtype=torch.float64)
        return mask.weights(frames * settings.hop_length / rate, frequencies, length / rate)

    change = shaped(result.samples - content.samples, gains, settings)
    return replace(result, samples=change.add_(content.samples))


def read_mask(path: Path) -> SoundMask:
    """Read a mask: a picture (see ``SoundMask.picture``), or a table of regions as CSV.

    The table's header names some of ``start_s, stop_s, low_hz, high_hz, amount``; an empty cell leaves that
    side open (``amount``: 1). Later rows are painted over earlier ones, on 0.

    Raises:
        FileError: If it is neither.
    """
    if path.suffix.lower() != ".csv":
        return SoundMask(picture=read_picture(path).pixels.mean(0).double())
    try:
        rows = list(csv.reader(read_bytes(path).decode("utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no table"
        raise FileError(f"{path}: the mask cannot be read: {reason}; give a PNG or a CSV file") from None
    names = [cell.strip() for cell in rows[0]] if rows else []
    if not names or not set(names) <= set(COLUMNS) or len(set(names)) < len(names):
        raise FileError(
            f"{path}, line 1: a mask's table begins with names of columns, each once, of "
            f"{', '.join(COLUMNS)}; got {','.join(names) or 'nothing'}"
        )
    filled = [(line, row) for line, row in enumerate(rows[1:], 2) if any(cell.strip() for cell in row)]
    for line, row in filled:
        if any(cell.strip() for cell in row[len(names) :]):
            raise FileError(
                f"{path}, line {line}: has {len(row)} cells for {len(names)} columns; remove some"
            )
    cells = [(line, dict(zip(names, row, strict=False))) for line, row in filled]
    if not cells:
        raise FileError(f"{path}: the mask has no region; give at least one row below the header")
    return SoundMask(regions=tuple(_region(path, line, row) for line, row in cells))


def _region(path: Path, line: int, row: dict[str, str]) -> Region:
    try:
        region = Region(**{name: float(text) for name, text in row.items() if text.strip()})
    except ValueError:
        raise FileError(f"{path}, line {line}: every cell must be a number or empty, got {row}") from None
    if (
        not (region.start_s < region.stop_s and region.low_hz < region.high_hz)
        or not 0.0 <= region.amount <= 1.0
    ):
        raise FileError(
            f"{path}, line {line}: a region needs start_s below stop_s, low_hz below high_hz and an amount "
            f"from 0 to 1, got {row}"
        )
    return region


def _ramp(x: Tensor) -> Tensor:
    """Return a smooth step from 0 at 0 to 1 at 1."""
    return torch.sin(torch.pi / 2 * x.clamp(0.0, 1.0)).square()


def _inside(x: Tensor, low: float, high: float, low_edge: float, high_edge: float) -> Tensor:
    """Return 1 inside, with soft edges that end at ``low`` and ``high``; an infinite end has none."""
    up = torch.ones_like(x) if math.isinf(low) else _ramp((x - low) / min(low_edge, (high - low) / 2))
    down = torch.ones_like(x) if math.isinf(high) else _ramp((high - x) / min(high_edge, (high - low) / 2))
    return up * down


def _outside(frequencies_hz: Tensor, low: float, high: float) -> Tensor:
    """Return 0 in a band and as far around it as the window blurs, then soft edges, then 1."""
    blur = EDGE_BINS * float(frequencies_hz[1] - frequencies_hz[0])
    found = torch.zeros_like(frequencies_hz)
    if math.isfinite(high):
        start = high + blur
        found += _ramp((frequencies_hz - start) / max(start * (2**EDGE_OCTAVES - 1.0), blur))
    if low > 0.0:
        start = low - blur
        found += _ramp((start - frequencies_hz) / max(start * (1.0 - 2**-EDGE_OCTAVES), blur))
    return found


def _looked_up(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a picture's values, bilinear, at x and y that go from 0, its left and bottom edge, to 1."""

    def along(values: Tensor, positions: Tensor) -> Tensor:
        place = (positions * len(values) - 0.5).clamp(0.0, len(values) - 1.0)
        before = place.floor().long().clamp(max=max(len(values) - 2, 0))
        after = (before + 1).clamp(max=len(values) - 1)
        return torch.lerp(values[before], values[after], (place - before)[:, None].to(values))

    return along(along(picture.flip(0), y).T, x).T


def read_band(text: str) -> tuple[float, float]:
    """Return the lower and the upper end of a band in Hz; an end that is missing is open.

    Raises:
        RecipeError: If it is no such band.

    >>> read_band("0-200"), read_band("4000-")
    ((0.0, 200.0), (4000.0, inf))
    """
    low, dash, high = text.partition("-")
    try:
        ends = float(low or 0.0), float(high or math.inf)
    except ValueError:
        ends = math.nan, math.nan
    if not dash or text.strip() == "-" or not 0.0 <= ends[0] < ends[1]:
        raise RecipeError(f"keep_band needs bands in Hz such as 0-200 or 4000-, got {text!r}")
    return ends
