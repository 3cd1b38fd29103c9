"""What the first and last bytes of a sound file say, before and beyond what libsndfile looks at.

libsndfile reads a WAV that was cut off as a shorter sound, without a word. Here the sizes that a file's
header promises are held against the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_PICTURES = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"8BPS": "Photoshop",
}
_MAX_CHUNKS = 1000
_OGG_PAGE = 65_307
"""Largest Ogg page in bytes (RFC 3533)."""


@dataclass(frozen=True)
class DataChunk:
    """Where a WAV or AIFF file says that its samples are.

    Attributes:
        size_offset: Position of the chunk's 32-bit size in the file.
        body: Position of the first byte after the size.
        size: What the header says, in bytes (from ``ds64`` for an RF64 file).
        unfinished: The header says 0 bytes, but sound follows: its writer never came back to say how much.
    """

    size_offset: int
    body: int
    size: int
    unfinished: bool


def foreign_kind(head: bytes) -> str | None:
    """Name what a file is, if it is certainly no sound file.

    Args:
        head: The file's first bytes (64 or more are enough).

    Returns:
        ``"a PNG picture"``, ``"text"`` ..., or ``None``.
    """
    for magic, name in _PICTURES.items():
        if head.startswith(magic):
            return f"a {name} picture"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    if head[4:8] == b"ftyp":
        is_picture = head[8:12] in (b"avif", b"heic", b"heix", b"mif1")
        return "an AVIF or HEIC picture" if is_picture else "an MP4 or M4A file"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "a Matroska or WebM file"
    return "text" if is_text(head) else None


def missing_bytes(file: BinaryIO, size: int) -> int:
    """Return how many bytes the header promises beyond the file's end (0: none, or it does not say).

    The placeholders that programs write when they stream into a pipe (0, 0xFFFFFFFF, about 0x7FFFFFFF)
    promise nothing.

    Args:
        file: Open for reading in binary mode.
        size: Of the whole file, in bytes.
    """
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"OggS":
        return _missing_of_ogg(file, size)
    order = _byte_order(head)
    if order is None:
        return 0
    whole = struct.unpack(f"{order}I", head[4:8])[0]
    data = data_chunk(file, size)
    missing = 0
    if data is not None and not _is_placeholder(data.size):
        missing = data.body + data.size - size
    # 8: some programs count the first eight bytes too.
    if not _is_placeholder(whole) and whole - size > max(missing, 0):
        missing = whole + 8 - size
    return max(missing, 0)


def data_chunk(file: BinaryIO, size: int) -> DataChunk | None:
    """Find the chunk with the samples of a WAV (RIFF, RIFX, RF64) or AIFF file.

    Args:
        file: Open for reading in binary mode.
        size: Of the whole file, in bytes.

    Returns:
        The chunk, or ``None`` if the file is of another kind or has none.
    """
    file.seek(0)
    head = file.read(12)
    order = _byte_order(head)
    if order is None:
        return None
    wanted = b"SSND" if head[:4] == b"FORM" else b"data"
    position, size_64 = 12, None
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return None
        name, length = header[:4], struct.unpack(f"{order}I", header[4:])[0]
        body = position + 8
        if name == b"ds64" and head[:4] == b"RF64":
            fields = file.read(16)
            size_64 = struct.unpack("<QQ", fields)[1] if len(fields) == 16 else None
        if name == wanted:
            if size_64 is not None and length == 0xFFFFFFFF:
                length = size_64 if size_64 < 1 << 62 else 0
            unfinished = length == 0 and size > body and not _is_chunk_list(file, body, size, order)
            return DataChunk(position + 4, body, length, unfinished)
        position = body + length + length % 2
    return None


def _byte_order(head: bytes) -> str | None:
    """Return the struct code of a chunked file's numbers, or ``None`` if it is no such file."""
    kind, form = head[:4], head[8:12]
    if kind in (b"RIFF", b"RF64") and form == b"WAVE":
        return "<"
    if kind == b"RIFX" and form == b"WAVE":
        return ">"
    return ">" if kind == b"FORM" and form in (b"AIFF", b"AIFC") else None


def _is_placeholder(size: int) -> bool:
    """Tell whether a size is what a program writes that does not know it yet."""
    return size == 0 or 0x7FFF0000 <= size <= 0x80001000 or 0xFFFF0000 <= size <= 0xFFFFFFFF


def _is_chunk_list(file: BinaryIO, position: int, size: int, order: str) -> bool:
    """Tell whether named chunks fill the rest of the file: then the empty data chunk is really empty."""
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        header = file.read(8)
        if len(header) < 8 or not all(32 <= byte < 127 for byte in header[:4]):
            return False
        length = struct.unpack(f"{order}I", header[4:])[0]
        position += 8 + length + length % 2
        if position >= size:
            return position - size <= 1
    return False


def _missing_of_ogg(file: BinaryIO, size: int) -> int:
    """Return how many bytes the last page of an Ogg file lacks."""
    start = max(0, size - _OGG_PAGE)
    file.seek(start)
    tail = file.read(_OGG_PAGE)
    page = tail.rfind(b"OggS")
    if page < 0:
        return 0
    if len(tail) < page + 27:
        return page + 27 - len(tail)
    n_segments = tail[page + 26]
    lengths = tail[page + 27 : page + 27 + n_segments]
    return max(0, page + 27 + n_segments + sum(lengths) - len(tail))


def is_text(head: bytes) -> bool:
    """Tell whether bytes are readable UTF-8 (cut anywhere) without control characters."""
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return bool(text) and all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)
    return False
