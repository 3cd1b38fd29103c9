"""What a picture file keeps beside its pixels: who took it, when, dots per inch; how it was made."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from specstyle.errors import FileError
from specstyle.media.sniffing import reason_of

EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_KEPT = {271: "Make", 272: "Model", 306: "DateTime", 315: "Artist", 33432: "Copyright"}
_KEPT_INSIDE = {0x9003: "DateTimeOriginal", 0x9004: "DateTimeDigitized", 0x9011: "OffsetTimeOriginal"}
_LONGEST = 1000

KEYWORD = "specstyle"
"""Of the iTXt chunk of a PNG."""

_USER_COMMENT, _IMAGE_DESCRIPTION = 0x9286, 270
_ASCII = b"ASCII\0\0\0"
_LARGEST_EXIF = 63_000
"""Bytes: a JPEG holds all EXIF data in one segment."""


@dataclass(frozen=True)
class Origin:
    """Where a picture comes from.

    Attributes:
        tags: EXIF's texts by number: of the first directory, and of EXIF's own.
        dpi: Dots per inch, across and down.
    """

    tags: tuple[tuple[int, str], ...] = ()
    dpi: tuple[float, float] | None = None

    def exif(self, kind: str) -> Image.Exif:
        """Return the tags as EXIF data, for a format that Pillow writes."""
        exif = Image.Exif()
        for tag, value in self.tags:
            if tag in _KEPT:
                exif[tag] = value
            elif kind != "TIFF":
                exif.get_ifd(EXIF_IFD)[tag] = value
        return exif


UNKNOWN = Origin()
"""Of a picture that does not say."""


def origin_of(image: Image.Image, notes: list[str]) -> Origin:
    """Read what is kept; neither the thumbnail nor the orientation, which is applied, nor the place."""
    try:
        exif = image.getexif()
        inside = exif.get_ifd(EXIF_IFD)
        tags = [(t, exif[t]) for t in _KEPT if t in exif] + [
            (t, inside[t]) for t in _KEPT_INSIDE if t in inside
        ]
        if exif.get_ifd(_GPS_IFD):
            notes.append("the place where the picture was taken (GPS) is not kept")
        dpi = image.info.get("dpi")
        across, down = (float(dots) for dots in dpi) if dpi is not None else (0.0, 0.0)
    except Exception:  # what damaged EXIF data raise is not of one kind, and none of it is worth a picture
        return UNKNOWN
    kept = tuple((tag, text) for tag, value in tags if (text := _text(value)))
    # Of a TIFF that does not say, Pillow says 1.
    return Origin(kept, (across, down) if 1 < min(across, down) <= max(across, down) <= 1e5 else None)


def _text(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return "".join(letter for letter in text.strip("\0 ") if letter.isprintable())[:_LONGEST]


def fits(text: str, kind: str) -> bool:
    """Return whether a format can hold a text."""
    return kind != "JPEG" or len(text) <= _LARGEST_EXIF


def save_options(text: str | None, kind: str, origin: Origin) -> dict[str, Any]:
    """Return what Pillow's ``save`` needs to keep a text, and where a picture comes from.

    Args:
        text: ASCII; ``None``: none is kept.
        kind: ``PNG`` (an iTXt chunk), ``JPEG`` or ``WEBP`` (EXIF's UserComment), ``TIFF`` (ImageDescription).
        origin: Of the picture.
    """
    exif = origin.exif(kind)
    options: dict[str, Any] = {}
    if text is not None and fits(text, kind):
        if kind == "PNG":
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt(KEYWORD, text)
        elif kind == "TIFF":
            exif[_IMAGE_DESCRIPTION] = text
        else:
            exif.get_ifd(EXIF_IFD)[_USER_COMMENT] = _ASCII + text.encode("ascii")
    return {**options, "exif": exif} if len(exif) or exif.get_ifd(EXIF_IFD) else options


def kept_text(path: Path) -> str | None:
    """Return the text that a picture file keeps, or ``None``.

    Raises:
        FileError: If the file cannot be read as a picture.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(file.read()), formats=("PNG", "JPEG", "WEBP", "TIFF"))
            if image.format == "PNG":
                image.load()  # the chunk may stand behind the pixels, as other programs write it
                text = image.info.get(KEYWORD)
            elif image.format == "TIFF":
                text = getattr(image, "tag_v2", {}).get(_IMAGE_DESCRIPTION)
            else:
                raw = image.getexif().get_ifd(EXIF_IFD).get(_USER_COMMENT, b"")
                text = raw[len(_ASCII) :].decode("ascii") if isinstance(raw, bytes) else raw
    except Exception as error:  # what a decoder raises on damaged data is not of one kind
        raise FileError(
            f"{path}: cannot be read for its settings ({reason_of(error)}); expected a picture that "
            "specstyle wrote"
        ) from error
    return str(text) if text else None
