"""The order of channels: as WAV has it inside the program, as Vorbis has it in Ogg files.

Reference:
    Xiph.Org, "Vorbis I specification", section 4.3.9; RFC 7845, section 5.1.1.2 (the same for Opus);
    Microsoft, "WAVEFORMATEXTENSIBLE", for the masks.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

_WAV_FROM_VORBIS = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""For each channel in WAV's order, its place in Vorbis's."""

XIPH_MASKS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
"""WAV's mask of the loudspeakers that so many channels of a FLAC, Vorbis or Opus file stand for."""

_LOUDSPEAKERS = ["FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"]
"""FFmpeg's names of WAV's loudspeakers, from the mask's lowest bit on."""

PLAIN_MASKS = {1: 0x4, 2: 0x3}
"""What a WAV without a mask means."""


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
