"""What a file seems to be, by its first bytes, and how reading it fails."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

SNIFFED_BYTES = 4096
"""How many of them are looked at."""

_LOCK = threading.Lock()

_PICTURES = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"8BPS": "Photoshop",
}


def sound_format(head: bytes) -> str | None:
    """Name the sound format that a file's first bytes announce, or None."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "WAV"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    tagged = head[:3] == b"ID3" and b"fLaC" in head  # a tag in front of FLAC, which libsndfile passes over
    for magic, kind in (
        (b"fLaC", "FLAC"),
        (b"OggS", "Ogg"),
        (b"ID3", "FLAC" if tagged else "MP3"),
        (b".snd", "AU"),
    ):
        if head.startswith(magic):
            return kind
    # An MPEG frame of layer II or III (ISO 11172-3, 2.4.2.3), with no reserved value in its header.
    # Layer I is left out: it would take a UTF-16 text for a sound.
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        version, layer = (head[1] >> 3) & 3, (head[1] >> 1) & 3
        if version != 1 and layer in (1, 2) and head[2] >> 4 != 15 and (head[2] >> 2) & 3 != 3:
            return "MP3"
    return None


def what_it_is(head: bytes) -> str:
    """Say in a few words what a file that is none of the accepted formats seems to be."""
    known = {
        b"%PDF": "is a PDF",
        b"8BPS": "is a Photoshop file",
        b"%!PS": "is a PostScript file",
        b"\x76\x2f\x31\x01": "is an OpenEXR picture",
        b"\x00\x00\x00\x0cjP": "is a JPEG 2000 picture",
        b"\xff\x0a": "is a JPEG XL picture",
        b"\x00\x00\x00\x0cJXL": "is a JPEG XL picture",
        b"\x89PNG": "is a damaged PNG",
        b"\xff\xd8": "is a damaged JPEG",
        b"GIF8": "is a damaged GIF",
    }
    for magic, kind in known.items():
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        is_avif, is_heif = head[8:11] == b"avi", head[8:12] in (b"heic", b"heix", b"mif1", b"msf1")
        return (
            "is an AVIF picture"
            if is_avif
            else "is a HEIC picture, which needs the extra `heic` (pip install 'specstyle[heic]')"
            if is_heif
            else "is a video"
        )
    if b"<svg" in head.lower():
        return "is an SVG drawing"
    return "is a text file, whatever its name says" if is_text(head) else "is not a picture in a known format"


def reason_of(error: BaseException) -> str:
    """Return what an error says, in one line."""
    text = str(getattr(error, "strerror", None) or error) or repr(error)
    return " ".join(text.split())


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Keep from the terminal what libmpg123 and libtiff write there of a damaged file.

    What other threads write meanwhile is lost, so this is for moments.
    """
    try:
        kept = os.dup(2)
    except OSError:  # there is no terminal to keep anything from
        yield
        return
    with _LOCK:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def foreign_kind(head: bytes) -> str | None:
    """Name what a file is by its first bytes (64 or more), if it is certainly no sound file.

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

    Returns:
        FFmpeg's name of it, and one for a user; ``None`` if it is no such file.
    """
    if head[4:8] == b"ftyp":
        return None if foreign_kind(head) else ("mov", "an MP4 or M4A file")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi", "an AVI film"
    return next((named for magic, named in _FILMS.items() if head.startswith(magic)), None)


def is_text(head: bytes) -> bool:
    """Tell whether bytes are readable UTF-8 (cut anywhere) without control characters."""
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return bool(text) and all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)
    return False
