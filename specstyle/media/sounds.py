"""A sound in memory: what it is, the order of its channels, whether it can be used, another sample rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specstyle.errors import FileError

_WAV_FROM_VORBIS = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""For each channel in WAV's order, its place in Vorbis's (Vorbis I, 4.3.9; RFC 7845, 5.1.1.2: as in Opus)."""

XIPH_MASKS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
"""WAV's mask of the loudspeakers that so many channels of a FLAC, Vorbis or Opus file stand for."""

_LOUDSPEAKERS = ["FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"]
"""FFmpeg's names of WAV's loudspeakers, from the mask's lowest bit on."""

PLAIN_MASKS = {1: 0x4, 2: 0x3}
"""What a WAV without a mask means."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound in memory.

    Attributes:
        samples: float64 on the CPU, shape ``[channels, length]``; full scale is 1.
        sample_rate: In Hz.
        subtype: How a file held the samples, in libsndfile's words (``"PCM_16"``, ``"FLOAT"`` ...).
        name: What messages call it.
        notes: What a user should know of it.
        channel_mask: WAV's, of the loudspeakers that its channels are for; ``None``: not known.
        tags: Title, artist and so on, as pairs of a name (libsndfile's) and a value.

    Raises:
        ValueError: If the samples have another shape or type, or the rate is not a positive whole number.
    """

    samples: Tensor
    sample_rate: int
    subtype: str | None = None
    name: str = "sound"
    notes: tuple[str, ...] = ()
    channel_mask: int | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        samples = self.samples
        is_cpu_double = samples.dtype == torch.float64 and samples.device.type == "cpu"
        if samples.ndim != 2 or samples.shape[0] < 1 or not is_cpu_double:
            raise ValueError(
                f"samples are {samples.dtype} of shape {list(samples.shape)} on {samples.device}; "
                "they must be float64 of shape [channels, length] on the CPU"
            )
        if (
            isinstance(self.sample_rate, bool)
            or not isinstance(self.sample_rate, int)
            or self.sample_rate < 1
        ):
            raise ValueError(f"sample_rate is {self.sample_rate!r}; it must be a whole number of Hz above 0")

    def save(self, path: str | Path) -> None:
        """Write a sound file in the format that its suffix names.

        Raises:
            FileError: If it cannot be written.
        """
        from specstyle.media.soundfiles import write_sound

        write_sound(self, Path(path))


@dataclass(frozen=True)
class Part:
    """A range of a sound.

    Attributes:
        start_s: Where it begins, in seconds.
        duration_s: How long it is, in seconds; ``None``: to the end.
    """

    start_s: float = 0.0
    duration_s: float | None = None

    def samples(self, sample_rate: int) -> tuple[int, int | None]:
        """Return the first sample, and the one after the last (``None``: there is no last)."""
        first = round(self.start_s * sample_rate)
        return first, None if self.duration_s is None else first + round(self.duration_s * sample_rate)

    def check(self, name: object, length: int, sample_rate: int) -> None:
        """Refuse a range that a sound of some length does not have.

        Raises:
            FileError: Saying how long the sound is.
        """
        first, stop = self.samples(sample_rate)
        if first >= length or (stop is not None and stop > length):
            wanted = f"to {self.start_s + self.duration_s:g} s" if self.duration_s is not None else "on"
            raise FileError(
                f"{name} is {length / sample_rate:.6g} s long and has no range from {self.start_s:g} s "
                f"{wanted}; choose a start and a duration that end within it"
            )

    def of(self, sound: Sound) -> Sound:
        """Return this range of a sound.

        Raises:
            FileError: If the sound ends before.
        """
        self.check(sound.name, sound.samples.shape[1], sound.sample_rate)
        first, stop = self.samples(sound.sample_rate)
        return replace(sound, samples=sound.samples[:, first:stop].contiguous())


WHOLE = Part()
"""All of a sound."""


def loudest(sound: Sound, duration_s: float) -> Sound:
    """Return the loudest range of a sound, to a hundredth of a second, with a note on where it lies.

    Args:
        sound: All of it, if it is no longer than the range.
        duration_s: Of the range, in seconds.
    """
    hop, length = max(round(0.01 * sound.sample_rate), 1), sound.samples.shape[1]
    count = round(duration_s * sound.sample_rate) // hop
    if not 0 < count * hop < length:
        return sound
    centered = sound.samples - sound.samples.mean(1, keepdim=True)
    energies = centered[:, : length // hop * hop].reshape(len(centered), -1, hop).square().sum((0, 2))
    first = int(energies.unfold(0, count, 1).sum(1).argmax()) * hop
    start_s, stop_s = first / sound.sample_rate, (first + count * hop) / sound.sample_rate
    note = f"preview: {start_s:.2f} to {stop_s:.2f} s of {sound.name}"
    return replace(
        sound,
        samples=sound.samples[:, first : first + count * hop].contiguous(),
        notes=(*sound.notes, note),
    )


def sound_of_array(given: Any, sample_rate: int | None, role: str) -> Sound:
    """Return an array or tensor ``[(channels,) length]`` of floats as a sound."""
    if sample_rate is None:
        raise ValueError(f"the {role} is an array of samples: say its sample_rate in Hz")
    samples = torch.as_tensor(given)
    if samples.ndim == 1:
        samples = samples[None]
    if samples.ndim != 2 or not samples.is_floating_point():
        raise ValueError(
            f"the {role} must be floating-point samples of shape [length] or [channels, length], got "
            f"{samples.dtype} of shape {list(samples.shape)}"
        )
    return Sound(samples.detach().cpu().to(torch.float64), sample_rate, name=role)


def check_sound(sound: Sound, *, role: str, min_samples: int) -> None:
    """Refuse a sound that cannot serve as its role (content or style), or has not one ``n_fft`` of samples.

    Raises:
        FileError: If it has no samples, fewer than one window, NaN or infinite ones, or only one value.
    """
    who, samples = f"{sound.name} ({role})", sound.samples
    length = samples.shape[1]
    if length == 0:
        raise FileError(f"{who} has no samples; give a sound with at least {min_samples} of them")
    if length < min_samples:
        raise FileError(
            f"{who} has {length} samples ({length / sound.sample_rate:.3g} s), but one analysis window needs "
            f"{min_samples}; give a longer sound or a smaller n_fft"
        )
    bad = ~torch.isfinite(samples)
    if bool(bad.any()):
        first = int(bad.any(dim=0).nonzero()[0, 0])
        raise FileError(
            f"{who} has {int(bad.sum())} samples that are NaN or infinite, the first at sample {first} "
            f"({first / sound.sample_rate:.3f} s); repair or cut the file"
        )
    if not bool(samples.any()):
        raise FileError(f"{who} is digital silence: all {length} samples are 0; give a file with sound in it")
    if bool((samples == samples[:, :1]).all()):
        raise FileError(
            f"{who} has the same value at all {length} samples, so there is nothing to hear; "
            "give a file with sound in it"
        )


def resample(sound: Sound, sample_rate: int) -> Sound:
    """Change the sample rate (soxr, quality VHQ); the same sound if it has that rate already.

    Args:
        sound: The sound.
        sample_rate: The new rate in Hz.

    Returns:
        A sound of the same duration, up to one sample.

    Raises:
        ValueError: If the rate is not a positive whole number.
    """
    if sample_rate == sound.sample_rate:
        return sound
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int) or sample_rate < 1:
        raise ValueError(f"sample_rate is {sample_rate!r}; it must be a whole number of Hz above 0")
    import soxr

    interleaved = np.ascontiguousarray(sound.samples.numpy().T)
    changed = soxr.resample(interleaved, sound.sample_rate, sample_rate, quality="VHQ")
    samples = torch.from_numpy(np.ascontiguousarray(changed.T))
    return replace(sound, samples=samples, sample_rate=sample_rate)


def channel_mixing(samples: Tensor) -> Tensor:
    """Return what mixes independent noises so that they correlate as a sound's channels, ``[C, C]``.

    Args:
        samples: ``[C, length]``.
    """
    norms = samples.norm(dim=1, keepdim=True)
    unit = torch.where(norms > 0, samples / norms, 0.0)
    strengths, axes = torch.linalg.eigh(unit @ unit.T)
    mixing: Tensor = axes * strengths.clamp_min(0.0).sqrt() @ axes.T
    return mixing


def mask_of(names: Iterable[str]) -> int | None:
    """Return WAV's mask of loudspeakers that FFmpeg names, in that order; ``None``: there is none."""
    bits = [_LOUDSPEAKERS.index(name) if name in _LOUDSPEAKERS else -1 for name in names]
    rising = all(one < other for one, other in zip([-1, *bits], bits, strict=False))
    return sum(1 << bit for bit in bits) if bits and rising else None


def from_vorbis(samples: Tensor) -> Tensor:
    """Bring ``[channels, length]`` from Vorbis's order into WAV's."""
    order = _WAV_FROM_VORBIS.get(len(samples))
    return samples if order is None else samples[list(order)]


def to_vorbis(samples: Tensor) -> Tensor:
    """Bring ``[channels, length]`` from WAV's order into Vorbis's."""
    order = _WAV_FROM_VORBIS.get(len(samples))
    return samples if order is None else samples[[order.index(i) for i in range(len(order))]]


def grains_of(
    sources: Sequence[Tensor],
    blend: Sequence[float],
    shape: Sequence[int],
    *,
    size: int,
    generator: torch.Generator,
) -> Tensor:
    """Return pieces of sounds from random places, faded into each other.

    Args:
        sources: Samples ``[channels, length]`` of each.
        blend: How much of each; none: as much of all.
        shape: Of the result, ``(channels, length)``.
        size: Of a grain in samples, or as long as the shortest source.
        generator: Source of randomness.

    Reference:
        Roads 1988, "Introduction to granular synthesis".
    """
    channels, length = shape
    shares = torch.tensor(blend or (1.0,) * len(sources))
    size = min(size, *(s.shape[1] for s in sources)) // 2 * 2
    fade = torch.hann_window(size, dtype=torch.float64).sqrt()
    found = torch.zeros(channels, length + 2 * size, dtype=torch.float64)
    starts = range(0, length + size, size // 2)
    picks = torch.multinomial(shares, channels * len(starts), replacement=True, generator=generator)
    places = torch.rand(channels, len(starts), 2, generator=generator, dtype=torch.float64)
    for channel in range(channels):
        for number, start in enumerate(starts):
            source = sources[int(picks[channel * len(starts) + number])]
            row, place = places[channel, number].tolist()
            first = int(place * (source.shape[1] - size + 1))
            piece = source[int(row * len(source)), first : first + size]
            found[channel, start : start + size] += fade * piece
    return found[:, size // 2 : size // 2 + length]
