"""Sounds played by a style as they come in: WAV or raw samples from one stream to another."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from specstyle.errors import FileError
from specstyle.onepass.playing import HOP, LATENCY, Player
from specstyle.onepass.soundnetwork import SAMPLE_RATE
from specstyle.onepass.stylefile import Style

CHUNK = 8 * HOP
"""Samples that are waited for: fewer would play more often what came before them."""

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
        FileError: If the stream is no WAV of 16 bits, or of another rate than the styles work at.
    """
    rate, channels = _wav_header(source) if pcm is None else pcm
    if rate != SAMPLE_RATE:
        raise FileError(
            f"standard input: has {rate} Hz, and styles work at {SAMPLE_RATE} Hz; convert it on its way"
        )
    if pcm is None:
        sink.write(_header(rate, channels))
    player = Player(style.network, style.blend(blend), strength, channels=channels, seed=seed)
    rest, size = b"", 2 * channels
    while data := source.read(CHUNK * size):
        data = rest + data
        whole = len(data) - len(data) % size
        rest = data[whole:]
        numbers = np.frombuffer(data[:whole], "<i2").reshape(-1, channels).T
        _write(sink, player.push(torch.from_numpy(numbers.astype(np.float32) / 32768.0)))
    _write(sink, player.finish())
    return (LATENCY + CHUNK) / SAMPLE_RATE


def _write(sink: BinaryIO, samples: Tensor) -> None:
    if samples.shape[1]:
        values = (samples * 32768.0).round().clamp(-32768, 32767).to(torch.int16)
        sink.write(values.T.contiguous().numpy().astype("<i2").tobytes())
        sink.flush()


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
