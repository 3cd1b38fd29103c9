"""Sound files in, through libsndfile; every failure is one clear line."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import torch

from specstyle.errors import FileError
from specstyle.media import containers
from specstyle.media.sounds import WHOLE, Part, Sound, check_sound, resample
from specstyle.media.soundwriting import (
    SUFFIXES,
    check_output_fits,
    check_output_suffix,
    output_subtype,
    reason,
    write_sound,
)

__all__ = [
    "SUFFIXES",
    "Sound",
    "check_output_fits",
    "check_output_suffix",
    "check_sound",
    "output_subtype",
    "read_sound",
    "resample",
    "write_sound",
]

_BLOCK = 2**16
_MAX_RATE = 10_000_000
_ACCEPTED = "WAV, FLAC, OGG, MP3 or AIFF"


def read_sound(path: Path | str, part: Part = WHOLE) -> Sound:
    """Read a WAV, FLAC, OGG (Vorbis, Opus), MP3 or AIFF file of any rate and number of channels.

    Args:
        path: The file.
        part: The range to read: what lies before it is decoded and dropped, block by block, and what lies
            behind it is not read.

    Returns:
        Its samples as float64, with rate, subtype and the file's name.

    Raises:
        FileError: If it is missing, unreadable, empty, cut off, not such a sound, or ends before the range.
    """
    path = Path(path)
    unfinished = _inspect(path)
    source: Any = (
        unfinished if unfinished is not None else os.fsencode(path) if os.name == "posix" else str(path)
    )
    import soundfile

    class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
        """Read from front to back only: seeking fails in a FLAC stream that does not say its length."""

        def seekable(self) -> bool:
            return False

    try:
        with _Sequential(source) as file:
            rate, promised = file.samplerate, file.frames
            if not 1 <= rate <= _MAX_RATE:
                raise FileError(f"{path} says its sample rate is {rate} Hz; at most {_MAX_RATE} is possible")
            samples, seen = _read_blocks(file, *part.samples(rate))
            subtype, kind = str(file.subtype), str(file.format)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise FileError(
            f"{path} cannot be read as a sound: {reason(error)}; give a {_ACCEPTED} file that is whole"
        ) from None
    # Some MP3 headers count the encoder's delay too, which is not delivered.
    slack = 2304 if kind == "MP3" else 0
    wanted = min(promised, part.samples(rate)[1] or promised)
    if seen + slack < wanted and promised < 1 << 62:
        raise FileError(
            f"{path} is cut off: its header promises {promised} samples, but only {seen} are "
            "there; get the whole file"
        )
    if part != WHOLE:
        part.check(path, seen, rate)
    return Sound(torch.from_numpy(samples), int(rate), subtype, path.name)


def _inspect(path: Path) -> io.BytesIO | None:
    """Refuse what is certainly no whole sound file.

    Returns:
        The file with its header completed, if that does not say how long the sound is; else ``None``.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"{path} is a directory; give a sound file ({_ACCEPTED})")
        if not stat.S_ISREG(mode):
            raise FileError(f"{path} is not a regular file; save the sound to a file first")
        with path.open("rb") as file:
            head = file.read(256)
            size = file.seek(0, io.SEEK_END)
            kind = containers.foreign_kind(head)
            missing = containers.missing_bytes(file, size)
            data = containers.data_chunk(file, size)
            file.seek(0)
            content = bytearray(file.read()) if data is not None and data.unfinished else None
    except FileNotFoundError:
        raise FileError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {reason(error)}") from None
    if size == 0:
        raise FileError(f"{path} is empty (0 bytes); give a sound file ({_ACCEPTED})")
    if kind is not None:
        advice = (
            "use `specstyle image` for pictures" if kind.endswith("picture") else f"give a {_ACCEPTED} file"
        )
        raise FileError(f"{path} is {kind}, not a sound; {advice}")
    if path.suffix.lower() == ".raw":
        raise FileError(f"{path} is taken for samples without a header; give a {_ACCEPTED} file")
    if missing:
        raise FileError(f"{path} is cut off: {missing} of its bytes are missing; get the whole file")
    if content is None or data is None:
        return None
    content[data.size_offset : data.size_offset + 4] = b"\xff\xff\xff\xff"
    return io.BytesIO(bytes(content))


def _read_blocks(file: Any, first: int, stop: int | None) -> tuple[np.ndarray[Any, Any], int]:
    """Read what there is, however much the header promises, up to a sample.

    Args:
        file: An open file.
        first: Sample to begin with; those before it are dropped.
        stop: Sample to end before; ``None``: read to the end.

    Returns:
        float64 ``[channels, length]``, and how many samples were seen.
    """
    blocks, seen = [], 0
    while stop is None or seen < stop:
        wanted = _BLOCK if stop is None else min(_BLOCK, stop - seen)
        block = file.read(wanted, dtype="float64", always_2d=True)
        if seen + len(block) > first:
            blocks.append(block[max(first - seen, 0) :])
        seen += len(block)
        if len(block) < wanted:
            break
    samples = np.empty((file.channels, sum(map(len, blocks))))
    position = 0
    for block in blocks:
        samples[:, position : position + len(block)] = block.T
        position += len(block)
    return samples, seen
