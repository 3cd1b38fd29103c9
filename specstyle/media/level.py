"""The level of a finished sound: as loud as its content, with its peaks held below full scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from specstyle.media.loudness import BLOCK, GATE_LUFS, Array, around, loudness_lufs, true_peaks
from specstyle.media.sounds import Sound

MODES = ("match", "peak", "rms")

CEILING = 10 ** (-1 / 20)
"""Largest true peak of a sound of matched loudness: -1 dBTP (EBU R 128), or its content's if that is more."""

PEAK_LIMIT = 0.999
"""Largest sample, unless a content has a larger one."""

LOOKAHEAD_S = 0.005
RELEASE_S = 0.05
"""The limiter's gain falls in the 5 ms before a peak; the dB it takes fall to 1/e in 50 ms after it."""


_MOST_LOST_DB = 1.5
"""If a limiter takes more than this of the loudness, it takes the crackle from a fire: all is turned down
instead. What it takes is made up for by as much at most, since it takes part of that again. With 3 dB a bark
by fire lost 12.5 dB of its crackles, and its bands' variance 5 dB of SNR (`bench/strength.py`)."""

_NEAR_DB = 0.1
_TURNS = 3
_HALVINGS = 6
"""How exactly, and in how many turns, the gain before the limiter is found."""

_FORGOTTEN_DB = 1e-4
"""A limiter that takes less than this has let go."""


@dataclass(frozen=True)
class Level:
    """What was done to a sound's level.

    Attributes:
        mode: ``match``, ``peak`` or ``rms``.
        gain_db: Of all channels alike, after each was brought to the RMS of the content's.
        limited_db: The most that the limiter took away at any time.
        quieter_db: By how much the sound is less loud than its content in the end (LU; dB of RMS where
            there is no loudness, and of ``rms`` and ``peak``). 0: it is not.
    """

    mode: str
    gain_db: float = 0.0
    limited_db: float = 0.0
    quieter_db: float = 0.0


def finish_sound(
    sound: Sound,
    content: Sound,
    mode: str = "match",
    *,
    loop: bool = False,
    mix: Callable[[Sound], Sound] | None = None,
    unbounded: bool = False,
) -> tuple[Sound, Level]:
    """Bring a sound to its content's level: without a mean, the balance of its channels as the content's.

    Each channel is brought to the RMS of the content's; the rest acts on all channels alike:

    - ``match``: the loudness (ITU-R BS.1770) becomes the content's, and a limiter holds true peaks at
      -1 dBTP. Where the content itself has larger ones, they are the ceiling, so that a content that is given
      back is given back as it was. What the limiter takes of the loudness is made up for, up to 1.5 dB.
      Sounds that BS.1770 has no loudness of, such as those below 0.4 s, are matched by their RMS.
    - ``peak``: the largest sample becomes the content's.
    - ``rms``: nothing more, unless samples would pass full scale: then all is turned down.

    No sample passes .999 of full scale in any of them, unless the content has such samples itself. A content
    beyond full scale counts as turned down to it.

    Args:
        sound: What was decoded, with as many channels as ``content``.
        content: Its channels' RMS (without their mean) is the aim; a silent channel stays silent.
        mode: See above.
        loop: Whether the sound's end flows into its beginning; so does the limiter's gain then.
        mix: Mixes the sound, at the content's level, with the content, before peaks are held.
        unbounded: The file will hold floats, which full scale does not end: then nothing is turned down for
            it, be it the content's own peaks, those of ``rms``, or more than a limiter should take.

    Returns:
        The sound, and what was done.

    Raises:
        ValueError: If there is no such mode, the numbers of channels differ, or the sound is not finite.
    """
    if mode not in MODES:
        raise ValueError(f"level must be one of {', '.join(MODES)}, got {mode!r}")
    if sound.samples.shape[0] != content.samples.shape[0]:
        raise ValueError(
            f"the sound has {sound.samples.shape[0]} channels and the content {content.samples.shape[0]}; "
            "they must have as many"
        )
    if not bool(torch.isfinite(sound.samples).all()):
        raise ValueError("the sound has samples that are NaN or infinite; it cannot be brought to a level")
    # Channel by channel: of a long sound no more copies are held than must be.
    samples = torch.empty_like(sound.samples)
    for channel, *both in zip(samples, sound.samples, content.samples, strict=True):
        channel.copy_(_at_level(*both))
    gain = 1.0
    if mode == "match":
        gain = 10 ** (_louder_db(content, samples) / 20)
    elif mode == "peak":
        gain = _ratio(max(_peak(channel - channel.mean()) for channel in content.samples), _peak(samples))
    sound = replace(sound, samples=samples.mul_(gain))
    full = 1.0 if unbounded else min(1.0, _ratio(1.0, _peak(content.samples)))
    if mix is not None:
        sound = mix(sound)
    if mode == "match":
        done = Level(mode, _db(gain))
        return _limited(sound, content, done, full, loop=loop, make_up=mix is None, unbounded=unbounded)
    if unbounded:
        return sound, Level(mode, _db(gain))
    # A content that is mixed in comes back at its own level, and may reach full scale.
    limit = PEAK_LIMIT if mix is None else min(max(PEAK_LIMIT, _peak(content.samples)), 1.0)
    down = min(1.0, _ratio(limit, _peak(sound.samples)))
    sound.samples.mul_(down)
    gain_db = _db(gain * down)
    return sound, Level(mode, gain_db, quieter_db=max(0.0, -gain_db))


def _at_level(samples: Tensor, like: Tensor) -> Tensor:
    """Return a channel ``[length]`` without its mean and with the RMS that another has about its own."""
    centered = samples - samples.mean()
    # In two steps, so that the square of a very quiet sound does not vanish. What a constant leaves when
    # its mean is taken away is rounding, not sound.
    peak, peak_before = (torch.linalg.vector_norm(x, math.inf) for x in (centered, samples))
    if bool((like == like[:1]).all()) or not bool(peak > 1e-12 * peak_before):
        return centered.zero_()
    centered /= peak
    wanted = torch.linalg.vector_norm(like - like.mean()) / math.sqrt(len(like))
    rms = torch.linalg.vector_norm(centered) / math.sqrt(len(centered))
    return centered.mul_(wanted / rms)


def _louder_db(content: Sound, samples: Tensor) -> float:
    """Return by how much a content is louder than samples; 0 where there is no loudness of one of them."""
    means = content.samples.mean(1, keepdim=True)
    # A constant would begin with a click in the filters.
    centered = content.samples - means if bool((means.abs() > 1e-6).any()) else content.samples
    wanted, found = (
        loudness_lufs(x.numpy(), content.sample_rate, gate_lufs=_gate(content)) for x in (centered, samples)
    )
    return 0.0 if wanted is None or found is None else wanted - found


def _gate(content: Sound) -> float:
    """Return the absolute gate for a content at full scale: of a quieter copy, no more is left out."""
    return GATE_LUFS + _db(_peak(content.samples))


def _limited(
    sound: Sound, content: Sound, level: Level, full: float, *, loop: bool, make_up: bool, unbounded: bool
) -> tuple[Sound, Level]:
    """Hold the peaks of a sound of matched loudness, in place, and make up for what that takes of it.

    ``full`` is what the content is turned down by to full scale; see ``finish_sound`` for the rest.
    """
    samples, rate = sound.samples.numpy(), sound.sample_rate
    sound.samples.mul_(full)
    level = replace(level, gain_db=level.gain_db + _db(full), quieter_db=0.0 - _db(full))
    peaks = true_peaks(samples, loop=loop)
    ceiling = CEILING
    if peaks.max(initial=0.0) > CEILING:
        ceiling = max(CEILING, full * float(true_peaks(content.samples.numpy()).max()))
    peaks /= ceiling
    # Where the ceiling is above full scale, no sample is all the same.
    largest = max(PEAK_LIMIT, full * _peak(content.samples))
    for channel in samples:
        np.maximum(peaks, np.abs(channel) / largest, out=peaks)
    if peaks.max(initial=0.0) <= 1.0:
        return sound, level
    gate = _gate(content) + _db(full)

    def loudness(gains: Array | None) -> float:
        found = loudness_lufs(samples, rate, gains=gains, gate_lufs=gate)
        if found is not None:
            return found
        squares = sum(float(np.sum((x if gains is None else x * gains) ** 2)) for x in samples)
        return 0.5 * _db(squares / samples.size)

    whole = loudness(None)

    def limit(gain_db: float) -> tuple[Array, float]:
        """Return the limiter's gains at a gain before it, and what they take of the loudness."""
        curve = limiter_gains(peaks, rate, gain=10 ** (gain_db / 20), loop=loop)
        return curve, whole - loudness(curve)

    first = limit(0.0)
    if first[1] > _MOST_LOST_DB and unbounded:
        return sound, level
    gain_db, curve, lost = _settled(limit, first, lowest_db=-_db(float(peaks.max())), make_up=make_up)
    limited_db = -_db(float(curve.min()))
    curve *= 10 ** (gain_db / 20)
    sound.samples.mul_(torch.from_numpy(curve))
    # The gain moves a little within the reach of an oversampled value.
    over = max(1.0, float(true_peaks(samples, loop=loop).max()) / ceiling, _peak(sound.samples) / largest)
    sound.samples.div_(over)
    return sound, replace(
        level,
        gain_db=level.gain_db + gain_db - _db(over),
        limited_db=limited_db,
        quieter_db=max(0.0, level.quieter_db + lost - gain_db + _db(over)),
    )


def _settled(
    limit: Callable[[float], tuple[Array, float]],
    first: tuple[Array, float],
    *,
    lowest_db: float,
    make_up: bool,
) -> tuple[float, Array, float]:
    """Return the gain before a limiter, the limiter's own, and what that takes of the loudness.

    Where it would take too much without any, less is sent into it; else what it takes may be made up for.
    """
    gain_db, (curve, lost) = 0.0, first
    if lost > _MOST_LOST_DB:
        low, high = lowest_db, 0.0
        for _ in range(_HALVINGS):
            gain_db = (low + high) / 2
            low, high = (gain_db, high) if limit(gain_db)[1] <= _MOST_LOST_DB else (low, gain_db)
        return low, *limit(low)
    for _ in range(_TURNS if make_up else 0):
        if lost - gain_db < _NEAR_DB or gain_db >= _MOST_LOST_DB:
            break
        gain_db = min(lost, _MOST_LOST_DB)
        curve, lost = limit(gain_db)
    return gain_db, curve, lost


def limiter_gains(peaks: Array, sample_rate: int, *, gain: float = 1.0, loop: bool = False) -> Array:
    """Return the gain of a look-ahead limiter that holds a sound at 1.

    The dB by which each peak is beyond 1 begin to be taken 5 ms before it (half a cosine) and are given back
    with a time constant of 50 ms after it. Where no peak is near, the gain is exactly 1. The time is linear
    in the length; beside the result only a block is held.

    Args:
        peaks: Of the sound at each sample, at least 0, shape ``[length]``.
        sample_rate: In Hz.
        gain: Factor on the peaks, beforehand.
        loop: Whether the end flows into the beginning.

    Returns:
        float64 ``[length]`` in 0..1, without ``gain``: ``peaks · gain`` times it is at most 1.

    Reference:
        Giannoulis, Massberg & Reiss 2012, "Digital dynamic range compressor design: a tutorial and
        analysis", for gains that are found and smoothed in dB, beside the signal.
    """
    from scipy.ndimage import maximum_filter1d

    ahead = max(1, round(LOOKAHEAD_S * sample_rate))
    release = RELEASE_S * sample_rate
    window = np.hanning(ahead + 3)[1:-1]
    window /= window.sum()
    length = len(peaks)
    gains = np.ones(length)
    # On a circle the limiter has heard as much as it remembers before it begins, and else it looks ahead.
    first = -ahead - (math.ceil(30 * release) if loop else 0)
    held, tail = 0.0, np.zeros(ahead)
    for start in range(first, length, BLOCK):
        stop = min(start + BLOCK, length)
        near = around(peaks[None], start, stop + ahead, loop=loop)[0] * gain
        if near.max() <= 1.0 and held == 0.0 and not tail.any():
            continue
        wanted = 20.0 * np.log10(np.maximum(near, 1.0))
        # Of each value and the next ``ahead`` ones.
        ahead_of = maximum_filter1d(wanted, ahead + 1, mode="constant", origin=-((ahead + 1) // 2))
        ahead_of = ahead_of[: stop - start]
        # The largest of what is wanted now and of what was, fallen since: in logarithms a running maximum.
        fall = np.arange(1, stop - start + 1) / release
        with np.errstate(divide="ignore"):
            running = np.maximum.accumulate(np.log(ahead_of) + fall)
            running = np.maximum(running, np.log(held))
        released = np.exp(running - fall)
        released[released < _FORGOTTEN_DB] = 0.0
        taken = np.maximum(released, ahead_of)
        held = float(taken[-1])
        both = np.concatenate([tail, taken])
        tail = both[len(both) - ahead :]
        if stop > 0:
            smooth = np.convolve(both, window, "valid")[max(0, -start) :]
            gains[max(start, 0) : stop] = 10.0 ** (-smooth / 20.0)
    return gains


def _peak(samples: Tensor) -> float:
    return float(torch.linalg.vector_norm(samples, math.inf)) if samples.numel() else 0.0


def _ratio(wanted: float, found: float) -> float:
    """Return a gain; 1 where there is nothing to change."""
    return wanted / found if found > 0 else 1.0


def _db(gain: float) -> float:
    return 20.0 * math.log10(gain) if gain > 0 else -math.inf
