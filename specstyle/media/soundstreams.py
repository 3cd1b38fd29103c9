"""Sound files as streams that libsndfile reads to their end: what it would drop or refuse is mended here."""

from __future__ import annotations

import io
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specstyle.errors import counted
from specstyle.media import mpeg
from specstyle.media.containers import Chunk, Page, chunks, missing_bytes, pages
from specstyle.media.sniffing import sound_format

_MPEG_IN_WAV = (0x50, 0x55)
_PLAIN = (1, 3, 6, 7, 0xFFFE)
"""Formats of WAV whose samples all take the same number of bytes: what lies behind can be more of them."""

_SOUNDS_IN_OGG = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")


@dataclass
class Streams:
    """What there is to decode of a file.

    Attributes:
        pieces: A source for libsndfile each (``None``: the file as it is), with the number of samples to
            read where it cannot know (``None``: to the end).
        notes: What a user should know, one clause each, to be put behind the file's name.
        channel_mask: A WAV's.
    """

    pieces: list[tuple[io.BytesIO | None, int | None]]
    notes: list[str] = field(default_factory=list)
    channel_mask: int | None = None


def streams_of(path: Path) -> Streams:
    """Return what there is to decode of a file that is not empty."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as content:
        head = content[:4096]
        kind = sound_format(head)
        if kind in ("WAV", "AIFF"):
            return _of_chunks(content, 0)
        if kind == "Ogg":
            return _of_ogg(content)
        if kind == "FLAC":
            return _of_flac(content)
        if kind == "MP3" or (kind is None and path.suffix.lower() in (".mp3", ".mp2", ".mpga")):
            return _of_mpeg(bytes(content))
        return Streams([(None, None)])


# -- WAV and AIFF --------------------------------------------------------------------------------------------


def _of_chunks(content: Any, start: int) -> Streams:
    """Mend the header of a WAV or AIFF file that begins at a byte, and of those that are joined to it."""
    found = list(chunks(content, start))
    by_name = {chunk.name: chunk for chunk in reversed(found)}
    streams = Streams([])
    is_wav = content[start + 8 : start + 12] == b"WAVE"
    data, form = by_name.get(b"data" if is_wav else b"SSND"), by_name.get(b"fmt ")
    code = 0
    if form is not None and is_wav and content[start : start + 4] != b"RIFX":
        code = int.from_bytes(content[form.body : form.body + 2], "little")
        if code == 0xFFFE and form.size >= 40:
            mask = int.from_bytes(content[form.body + 20 : form.body + 24], "little")
            streams.channel_mask = mask or None
    missing = missing_bytes(content, found, start)
    if missing:
        streams.notes.append(f"is cut off: {missing} of its bytes are missing; what is there was read")
    if b"bext" in by_name:
        streams.notes.append("has broadcast metadata (bext), which a result does not keep")
    if data is not None and code in _MPEG_IN_WAV:
        inner = _of_mpeg(content[data.body : min(data.body + data.size, len(content))])
        return Streams(inner.pieces, streams.notes + inner.notes)
    following = next((chunk for chunk in found if chunk.is_file), None)
    end = len(content) if following is None else following.body - 8
    changed = _mended(content, (start, end), data, code, streams.notes)
    source = io.BytesIO(content[start:end]) if changed or start or following is not None else None
    streams.pieces.append((source, None))
    if following is not None:
        streams.pieces += _of_chunks(content, end).pieces
    return streams


def _mended(content: Any, bounds: tuple[int, int], data: Chunk | None, code: int, notes: list[str]) -> bool:
    """Let a header say how much sound there is, in place; return whether it was changed."""
    (start, end), changed = bounds, False
    if content[start : start + 4] == b"BW64":  # the same under another name (ITU-R BS.2088)
        content[start : start + 4] = b"RF64"
        changed = True
    if data is None:
        return changed
    behind = content[data.body + data.size : end]
    if data.is_unfinished:
        size = b"\xff\xff\xff\xff"
    elif code in _PLAIN and not data.is_followed and len(behind) > 64 and any(behind):
        size = struct.pack("<I", end - data.body)
        notes.append(f"says that it holds {data.size} bytes of sound; all {end - data.body} there were read")
    else:
        return changed
    content[data.body - 4 : data.body] = size
    return True


# -- Ogg -----------------------------------------------------------------------------------------------------


def _of_ogg(content: Any) -> Streams:
    """Take the sound out of each of the chains that were joined."""
    chains: list[list[Page]] = []
    end = 0
    for page in pages(content):
        begins = bool(page.flags & 2)
        if begins and not (chains and chains[-1][-1].flags & 2):
            chains.append([])
        if chains:
            chains[-1].append(page)
        end = page.end
    streams = Streams([])
    for chain in chains:
        firsts = [page for page in chain if content[page.body : page.end].startswith(_SOUNDS_IN_OGG)]
        own = [page for page in chain if not firsts or page.serial == firsts[0].serial]
        if firsts and content[firsts[0].body] == 0x7F:  # FLAC in Ogg: the same bytes without the pages
            joined = b"".join(content[page.body : page.end] for page in own)[9:]
            streams.pieces.append((io.BytesIO(joined), None))
        else:
            whole = len(chains) == 1 and len(own) == len(chain)
            joined = b"" if whole else b"".join(content[page.start : page.end] for page in own)
            streams.pieces.append((None if whole else io.BytesIO(joined), None))
    if chains and content.find(b"OggS", end) >= 0:
        streams.notes.append("is cut off in a page; what is there was read")
    elif chains and not any(page.flags & 4 for page in chains[-1]):
        streams.notes.append("has no end mark and may be cut off; what is there was read")
    return streams if chains else Streams([(None, None)])


# -- FLAC and MPEG -------------------------------------------------------------------------------------------


def _of_flac(content: Any) -> Streams:
    """Part files that were joined where the header of a next one begins (its first block has 34 bytes)."""
    starts = [content.find(b"fLaC")]
    position = starts[0]
    while (position := content.find(b"fLaC\0\0\0\x22", position + 8)) >= 0:
        starts.append(position)
    if starts == [0]:
        return Streams([(None, None)])
    bounds = zip(starts, [*starts[1:], len(content)], strict=True)
    return Streams([(io.BytesIO(content[start:end]), None) for start, end in bounds])


def _of_mpeg(data: bytes) -> Streams:
    """Take the frames out of what surrounds them."""
    found = mpeg.streams(data)
    streams = Streams([(io.BytesIO(bytes(stream.data)), stream.n_samples) for stream in found])
    lost = sum(max((stream.promised or 0) - stream.n_frames, 0) for stream in found)
    if lost:
        streams.notes.append(f"is cut off: {counted(lost, 'frame')} missing; what is there was read")
    elif any(stream.cut for stream in found):
        streams.notes.append("is cut off in its last frame; what is there was read")
    if any(stream.skipped for stream in found):
        skipped = sum(stream.skipped for stream in found)
        streams.notes.append(
            f"has {skipped} bytes between its frames that are no sound; they were passed over"
        )
    return streams if found else Streams([(None, None)])
