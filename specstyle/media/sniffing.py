"""What a file seems to be, by its first bytes."""

from __future__ import annotations

from specstyle.media.containers import is_text

SNIFFED_BYTES = 4096
"""How many of them are looked at."""


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
