"""The pages of Ogg files (RFC 3533)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from specstyle.errors import FileError

SERIAL = 0x53504543
"""The serial number that every Ogg stream gets ("SPEC"); with one stream in a file any number will do."""

_OGG_HEADER_BYTES = 27
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


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


def set_serial(file: BinaryIO, serial: int = SERIAL) -> None:
    """Give the one stream of an Ogg file another serial number, in place.

    libsndfile draws one, so that the same sound written twice gives two different files. The checksum of each
    page goes with it.

    Args:
        file: Open for reading and writing.
        serial: From 0 to 2^32 - 1.

    Raises:
        FileError: If the file is no unbroken chain of Ogg pages.
    """
    position = 0
    while True:
        file.seek(position)
        header = file.read(_OGG_HEADER_BYTES)
        if not header:
            return
        if len(header) < _OGG_HEADER_BYTES or header[:4] != b"OggS":
            raise FileError(f"byte {position} of the Ogg file begins no page; write .wav or .flac instead")
        segments = file.read(header[26])
        page = bytearray(header + segments + file.read(sum(segments)))
        page[14:18] = struct.pack("<I", serial)
        page[22:26] = bytes(4)
        page[22:26] = struct.pack("<I", page_checksum(bytes(page)))
        file.seek(position)
        file.write(page[:_OGG_HEADER_BYTES])
        position += len(page)


def page_checksum(page: bytes) -> int:
    """Return the checksum of an Ogg page whose checksum field holds zeros.

    It is the CRC-32 with generator 0x04c11db7 and neither preset nor final inversion, highest bit first
    (RFC 3533, section 6): zlib's CRC over mirrored bytes, mirrored, once its two inversions are undone.

    Args:
        page: The whole page, header included.
    """
    crc = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
