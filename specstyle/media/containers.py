"""What the first and last bytes of a sound file say, before and beyond what libsndfile looks at.

libsndfile reads a WAV that was cut off as a shorter sound, without a word. Here the sizes that a file's
header promises are held against the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

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
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"heic", b"heix", b"mif1"):
        return "an AVIF or HEIC picture"
    return "text" if is_text(head) else None


_FILMS = {
    b"\x1a\x45\xdf\xa3": ("matroska", "a Matroska or WebM file"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": ("asf", "a Windows Media file"),
    b"FLV\x01": ("flv", "a Flash video"),
    b"wvpk": ("wv", "a WavPack file"),
    b"MAC ": ("ape", "a Monkey's Audio file"),
    b"TTA1": ("tta", "a True Audio file"),
    b"#!AMR": ("amr", "an AMR file"),
    b"\x0b\x77": ("ac3", "an AC-3 file"),
    b"\xff\xf1": ("aac", "an AAC file"),
    b"\xff\xf9": ("aac", "an AAC file"),
}


def film_format(head: bytes) -> tuple[str, str] | None:
    """Name the format of a sound or film that libsndfile cannot read and FFmpeg can.

    Args:
        head: The file's first bytes.

    Returns:
        FFmpeg's name of it, and one for a user; ``None`` if it is no such file.
    """
    if head[4:8] == b"ftyp":
        return None if foreign_kind(head) else ("mov", "an MP4 or M4A file")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi", "an AVI film"
    return next((named for magic, named in _FILMS.items() if head.startswith(magic)), None)


def chunks(content: Any, start: int = 0) -> Iterator[Chunk]:
    """Find the chunks of a WAV (RIFF, RIFX, RF64, BW64) or AIFF file.

    Args:
        content: The bytes of the file, or a map of them.
        start: Where it begins in them.

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

    Args:
        content: As for ``chunks``.
        found: What that found.
        start: Where the file begins in it.
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


def is_text(head: bytes) -> bool:
    """Tell whether bytes are readable UTF-8 (cut anywhere) without control characters."""
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return bool(text) and all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)
    return False
