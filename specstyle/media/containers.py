"""What sounds lie in, before and beyond what libsndfile looks at: chunks of WAV and AIFF, pages of Ogg.

libsndfile reads a WAV that was cut off as a shorter sound, without a word. Here the sizes that a file's
header promises are held against the file.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

_MAX_CHUNKS = 1000

SERIAL = 0x53504543
"""The serial number that every Ogg stream gets ("SPEC"); with one stream in a file any number will do."""

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Chunk(NamedTuple):
    """A named part of a WAV or AIFF file.

    Attributes:
        name: Four bytes.
        body: Position of the first byte after the size.
        size: What the header says, in bytes (from ``ds64`` for the samples of an RF64 file).
        is_unfinished: The header says 0 bytes of samples, but sound follows: its writer never came back to
            say how much.
        is_followed: Nothing, or more named chunks, lie behind it.
        is_file: It is a whole file that was joined to the one before.
    """

    name: bytes
    body: int
    size: int
    is_unfinished: bool = False
    is_followed: bool = True
    is_file: bool = False


def chunks(content: Any, start: int = 0) -> Iterator[Chunk]:
    """Find the chunks of a WAV (RIFF, RIFX, RF64, BW64) or AIFF file.

    Yields:
        The chunks in their order, up to the first one that is a file of its own.
    """
    order = _byte_order(content[start : start + 12])
    position, size_64, end = start + 12, None, len(content)
    for _ in range(_MAX_CHUNKS if order else 0):
        if position + 8 > end:
            return
        name, body = content[position : position + 4], position + 8
        size = struct.unpack(f"{order}I", content[position + 4 : body])[0]
        if name == b"ds64" and body + 16 <= end:
            size_64 = struct.unpack("<QQ", content[body : body + 16])[1]
        if _byte_order(content[position : position + 12]):
            yield Chunk(name, body, size, is_file=True)
            return
        if name in (b"data", b"SSND"):
            if size_64 is not None and size == 0xFFFFFFFF:
                size = size_64 if size_64 < 1 << 62 else 0
            unfinished = size == 0 and end > body and not _is_chunk_list(content, body, order)
            followed = is_placeholder(size) or _is_chunk_list(content, body + size + size % 2, order)
            yield Chunk(name, body, size, unfinished, followed or body + size >= end)
            if unfinished or not followed:
                return
        else:
            yield Chunk(name, body, size)
        position = body + size + size % 2


def missing_bytes(content: Any, found: list[Chunk], start: int = 0) -> int:
    """Return how many bytes the header promises beyond the file's end (0: none, or it does not say).

    The placeholders that programs write when they stream into a pipe (0, 0xFFFFFFFF, about 0x7FFFFFFF)
    promise nothing.
    """
    order, size = _byte_order(content[start : start + 12]), len(content) - start
    whole = struct.unpack(f"{order}I", content[start + 4 : start + 8])[0]
    promised = [c.body + c.size for c in found if c.name in (b"data", b"SSND") and not is_placeholder(c.size)]
    missing = max([end - len(content) for end in promised], default=0)
    # 8: some programs count the first eight bytes too.
    if not is_placeholder(whole) and whole - size > max(missing, 0):
        missing = whole + 8 - size
    return max(missing, 0)


def _byte_order(head: bytes) -> str | None:
    """Return the struct code of a chunked file's numbers, or ``None`` if it is no such file."""
    kind, form = head[:4], head[8:12]
    if kind in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
        return "<"
    if kind == b"RIFX" and form == b"WAVE":
        return ">"
    return ">" if kind == b"FORM" and form in (b"AIFF", b"AIFC") else None


def is_placeholder(size: int) -> bool:
    """Tell whether a size is what a program writes that does not know it yet."""
    return size == 0 or 0x7FFF0000 <= size <= 0x80001000 or 0xFFFF0000 <= size <= 0xFFFFFFFF


def _is_chunk_list(content: Any, position: int, order: str | None) -> bool:
    """Tell whether named chunks, or another file, fill the rest of the file."""
    for _ in range(_MAX_CHUNKS):
        header = content[position : position + 8]
        if _byte_order(content[position : position + 12]) or header[:3] in (b"TAG", b"ID3", b"APE"):
            return True
        if len(header) < 8 or not all(32 <= byte < 127 for byte in header[:4]):
            return False
        length = struct.unpack(f"{order}I", header[4:])[0]
        position += 8 + length + length % 2
        if position >= len(content):
            return position - len(content) <= 1
    return False


class Page(NamedTuple):
    """Where a page lies, and what its header says: 2 in ``flags`` begins a stream, 4 ends it."""

    start: int
    flags: int
    serial: bytes
    body: int
    end: int


def pages(content: Any) -> Iterator[Page]:
    """Find the whole pages of an Ogg file (RFC 3533, section 6)."""
    position = content.find(b"OggS")
    while position >= 0 and position + 27 <= len(content):
        segments = content[position + 26]
        body = position + 27 + segments
        end = body + sum(content[position + 27 : body])
        if end > len(content):
            return
        yield Page(position, content[position + 5], content[position + 14 : position + 18], body, end)
        position = content.find(b"OggS", end)


def set_serial(file: io.BytesIO, serial: int = SERIAL) -> None:
    """Give the one stream of a whole Ogg file another serial number, in place.

    libsndfile draws one, so that the same sound written twice gives two different files. The checksum of each
    page goes with it.
    """
    with file.getbuffer() as content:
        for page in pages(bytes(content)):
            content[page.start + 14 : page.start + 18] = struct.pack("<I", serial)
            content[page.start + 22 : page.start + 26] = bytes(4)
            checksum = page_checksum(bytes(content[page.start : page.end]))
            content[page.start + 22 : page.start + 26] = struct.pack("<I", checksum)


def page_checksum(page: bytes) -> int:
    """Return the checksum of an Ogg page whose checksum field holds zeros.

    It is the CRC-32 with generator 0x04c11db7 and neither preset nor final inversion, highest bit first
    (RFC 3533, section 6): zlib's CRC over mirrored bytes, mirrored, once its two inversions are undone.
    """
    crc = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
