"""Sound files in, through libsndfile; every failure is one clear line."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from specstyle.errors import FileError
from specstyle.files import url_of
from specstyle.media.filmsounds import FilmSound
from specstyle.media.sniffing import film_format, foreign_kind, silent_stderr
from specstyle.media.sounds import WHOLE, XIPH_MASKS, Part, Sound, from_vorbis
from specstyle.media.soundstreams import streams_of
from specstyle.media.soundwriting import SUFFIXES, check_output_fits, check_output_suffix, reason, write_sound

__all__ = ["SUFFIXES", "check_output_fits", "check_output_suffix", "read_sound", "write_sound"]

_BLOCK = 2**16
_MAX_RATE = 10_000_000
_ACCEPTED = "WAV, FLAC, OGG, MP3 or AIFF"

MAX_BYTES = 2**29
"""Decoded bytes that any file may grow to."""

MAX_GROWTH = 200
"""Beyond those, so many times a file's own size: speech at 16 kbit/s grows 190 times."""


def read_sound(path: Path | str, part: Part = WHOLE) -> Sound:
    """Read a WAV, FLAC, OGG (Vorbis, Opus, FLAC), MP3 or AIFF file of any rate and number of channels.

    Files that were joined are read as one. Of a file that is cut off, what is there is read. Either is told
    in a note. M4A, WebM, films and their kin are read where PyAV is installed (the extra ``film``).

    Args:
        path: The file.
        part: The range to read: what lies before it is decoded and dropped, block by block, and what lies
            behind it is not read.

    Returns:
        Its samples as float64, in WAV's order of channels, with rate, subtype, tags and the file's name.

    Raises:
        FileError: If it is missing, unreadable, empty, not such a sound, grows beyond all measure as it is
            decoded, or ends before the range.
    """
    path = Path(path)
    film = _inspect(path)
    import soundfile

    try:
        source = _Pieces(path) if film is None else FilmSound(path, *film)
        samples, seen = _collected(source, part, path)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise FileError(
            f"{path} cannot be read as a sound: {reason(error)}; give a {_ACCEPTED} file that is whole"
        ) from None
    if not seen and source.notes:
        raise FileError(f"{path} {source.notes[0]}, and that is nothing; get the whole file")
    if part != WHOLE:
        part.check(path, seen, source.sample_rate)
    found = torch.from_numpy(samples)
    mask = source.channel_mask
    if film is None and source.subtype in ("VORBIS", "OPUS"):  # FFmpeg has WAV's order already
        found, mask = from_vorbis(found), XIPH_MASKS.get(len(found))
    notes = tuple(f"{path.name} {note}" for note in source.notes)
    return Sound(found, source.sample_rate, source.subtype, path.name, notes, mask, source.tags)


def _inspect(path: Path) -> tuple[str, str] | None:
    """Refuse what is certainly no sound file; name the format of one that libsndfile does not know."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"{path} is a directory; give a sound file ({_ACCEPTED})")
        if not stat.S_ISREG(mode):
            raise FileError(f"{path} is not a regular file; save the sound to a file first")
        with path.open("rb") as file:
            head = file.read(256)
    except FileNotFoundError:
        if url := url_of(path):
            raise FileError(f"{url} is an URL; download it, and give the file") from None
        raise FileError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {reason(error)}") from None
    if not head:
        raise FileError(f"{path} is empty (0 bytes); give a sound file ({_ACCEPTED})")
    kind = foreign_kind(head)
    if kind is not None:
        advice = (
            "use `specstyle image` for pictures" if kind.endswith("picture") else f"give a {_ACCEPTED} file"
        )
        raise FileError(f"{path} is {kind}, not a sound; {advice}")
    if path.suffix.lower() == ".raw":
        raise FileError(f"{path} is taken for samples without a header; give a {_ACCEPTED} file")
    return film_format(head)


class _Pieces:
    """What libsndfile reads of a file, stream after stream."""

    def __init__(self, path: Path) -> None:
        streams = streams_of(path)
        self._path, self._pieces = path, streams.pieces
        self.notes, self.channel_mask = streams.notes, streams.channel_mask
        with self._opened(0) as file:
            self.sample_rate, self.subtype, self.channels = file.samplerate, str(file.subtype), file.channels
            self.tags = tuple(file.copy_metadata().items())
            if not 1 <= self.sample_rate <= _MAX_RATE:
                raise FileError(
                    f"{path} says its sample rate is {self.sample_rate} Hz; at most {_MAX_RATE} is possible"
                )
            if file.format == "FLAC" and self.channel_mask is None:
                self.channel_mask = XIPH_MASKS.get(file.channels)

    @contextlib.contextmanager
    def _opened(self, number: int) -> Iterator[Any]:
        import soundfile

        class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
            """Read from front to back only: seeking fails in a FLAC stream that does not say its length."""

            def seekable(self) -> bool:
                return False

        source: Any = self._pieces[number][0]
        if source is None:
            source = os.fsencode(self._path) if os.name == "posix" else str(self._path)
        else:
            source.seek(0)
        with silent_stderr():
            file = _Sequential(source)
        with file:
            yield file

    def blocks(self) -> Iterator[np.ndarray[Any, Any]]:
        """Yield what there is, float64 ``[length, channels]``."""
        read = 0
        for number in range(len(self._pieces)):
            with self._opened(number) as file:
                if (file.samplerate, file.channels) == (self.sample_rate, self.channels):
                    yield from self._blocks_of(file, self._pieces[number][1])
                    read += 1
        if len(self._pieces) > 1:
            left = len(self._pieces) - read
            what = (
                f"{left} of another sample rate or number of channels were left out"
                if left
                else "all were read"
            )
            self.notes.append(f"holds {read + left} recordings, one behind the other; {what}")

    def _blocks_of(self, file: Any, wanted: int | None) -> Iterator[np.ndarray[Any, Any]]:
        """Read what there is, however much a header promises; ``wanted`` is not a promise but counted."""
        import soundfile

        seen, ends = 0, False
        while not ends and (wanted is None or seen < wanted):
            size = _BLOCK if wanted is None else min(_BLOCK, wanted - seen)
            try:
                with silent_stderr():
                    block = file.read(size, dtype="float64", always_2d=True)
            except soundfile.SoundFileError:
                if not seen:
                    raise
                break
            seen += len(block)
            yield block
            ends = len(block) < size
        promised = wanted or (0 if file.format == "MP3" or file.frames >= 1 << 62 else file.frames)
        if seen < promised and not self.notes:
            self.notes.append(
                f"is cut off or damaged: it promises {promised} samples; the {seen} that are there were read"
            )


def _collected(source: Any, part: Part, path: Path) -> tuple[np.ndarray[Any, Any], int]:
    """Return a range of a source, float64 ``[channels, length]``, and how many samples were seen."""
    first, stop = part.samples(source.sample_rate)
    most = max(MAX_BYTES, MAX_GROWTH * path.stat().st_size)
    blocks: list[np.ndarray[Any, Any]] = []
    seen = size = 0
    for block in source.blocks():
        taken = block[max(first - seen, 0) : None if stop is None else max(stop - seen, 0)]
        seen += len(block)
        size += taken.nbytes
        if size > most:
            raise FileError(
                f"{path} grows to more than {most >> 20} MiB as it is decoded; cut it, or take a part of it "
                "(--content-start and --content-duration, --style-start and --style-duration)"
            )
        if len(taken):
            blocks.append(taken)
        if stop is not None and seen >= stop:
            break
    samples = np.empty((source.channels, sum(map(len, blocks))))
    position = 0
    for i, taken in enumerate(blocks):
        samples[:, position : position + len(taken)] = taken.T
        position += len(taken)
        blocks[i] = taken[:0]
    return samples, seen
