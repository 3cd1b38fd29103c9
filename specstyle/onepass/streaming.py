"""Sounds played by a style as they come in: WAV or raw samples from one stream to another."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from specstyle.errors import FileError
from specstyle.onepass.playing import HOP, LATENCY, Player
from specstyle.onepass.soundnetwork import SAMPLE_RATE
from specstyle.onepass.stylefile import Style

CHUNK_S = 8 * HOP / SAMPLE_RATE
"""What is waited for: less would play more often what came before it."""

RESAMPLING_S = 0.01
"""What a resampler may keep back, there and back again (seen: 3 ms)."""

Array = NDArray[np.float32]

UNKNOWN = 0xFFFFFFFF
"""Length of a WAV whose end is not known yet."""


def stream(
    source: BinaryIO,
    sink: BinaryIO,
    style: Style,
    blend: dict[str, float],
    strength: float,
    *,
    pcm: tuple[int, int] | None = None,
    seed: int = 0,
) -> float:
    """Play what comes in; return how far behind it what goes out is, in seconds.

    Samples of 16 bits come in and go out, as many as there are; one that is cut in two at the end is dropped.

    Args:
        source: A WAV of 16 bits, or raw samples.
        sink: Gets the same.
        style: For sounds.
        blend: Weight of each style by its name; none: the one that is named.
        strength: From 0 to 1.
        pcm: Rate in Hz and channels of raw samples; ``None``: the stream is a WAV.
        seed: Of the noise.

    Raises:
        FileError: If the stream is no WAV of 16 bits.
    """
    rate, channels = _wav_header(source) if pcm is None else pcm
    if pcm is None:
        sink.write(_header(rate, channels))
    player = Player(style.network, style.blend(blend), strength, channels=channels, seed=seed)
    there, back = (_Resampler(*rates, channels) for rates in ((rate, SAMPLE_RATE), (SAMPLE_RATE, rate)))
    size, left = 2 * channels, 0
    while data := source.read(round(CHUNK_S * rate) * size):
        numbers = np.frombuffer(data[: len(data) - len(data) % size], "<i2").reshape(-1, channels)
        left += len(numbers)
        played = player.push(there(numbers.astype(np.float32) / 32768.0))
        left -= _write(sink, back(played.T.numpy()), left)
    rest = torch.cat([player.push(there.finish()), player.finish()], 1).T.numpy()
    ending = torch.cat([back(rest), back.finish()], 1)
    _write(sink, torch.nn.functional.pad(ending, (0, max(left - ending.shape[1], 0))), left)
    return LATENCY / SAMPLE_RATE + CHUNK_S + (RESAMPLING_S if rate != SAMPLE_RATE else 0.0)


class _Resampler:
    """Samples ``[n, channels]`` of one rate to ``[channels, m]`` of another, piece by piece."""

    def __init__(self, rate: int, other: int, channels: int) -> None:
        self._stream = soxr.ResampleStream(rate, other, channels, "float32") if rate != other else None
        self._channels = channels

    def __call__(self, samples: Array, *, last: bool = False) -> Tensor:
        samples = np.ascontiguousarray(samples, np.float32)
        found = samples if self._stream is None else self._stream.resample_chunk(samples, last=last)
        return torch.from_numpy(np.ascontiguousarray(found.reshape(-1, self._channels).T))

    def finish(self) -> Tensor:
        return self(np.zeros((0, self._channels), np.float32), last=True)


def _write(sink: BinaryIO, samples: Tensor, most: int) -> int:
    """Write samples, but no more than that; return how many."""
    samples = samples[:, :most]
    if samples.shape[1]:
        values = (samples * 32768.0).round().clamp(-32768, 32767).to(torch.int16)
        sink.write(values.T.contiguous().numpy().astype("<i2").tobytes())
        sink.flush()
    return samples.shape[1]


def _wav_header(source: BinaryIO) -> tuple[int, int]:
    """Read a WAV up to its samples; return its rate and channels."""
    start = source.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise FileError("standard input: is no WAV; give one, or say what raw samples are: --pcm 44100:2")
    found = None
    while len(head := source.read(8)) == 8:
        name, length = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data" and found is not None:
            return found
        if name == b"data":
            break
        body = source.read(min(length + length % 2, 1 << 20))
        if name == b"fmt " and len(body) >= 16:
            kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
            if kind not in (1, 0xFFFE) or bits != 16 or not 1 <= channels <= 64:
                raise FileError(f"standard input: a WAV of {bits} bits; a stream must be of 16 bits")
            found = rate, channels
    raise FileError("standard input: the WAV ends before its samples; give a whole one")


def _header(rate: int, channels: int) -> bytes:
    """Return what comes before the samples of a WAV of unknown length."""
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    sizes = struct.pack("<I", UNKNOWN)
    return b"RIFF" + sizes + b"WAVEfmt " + form + b"data" + sizes
