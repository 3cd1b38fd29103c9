"""What a picture says of itself that its stylization keeps: who took it, when, how many dots per inch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_KEPT = {271: "Make", 272: "Model", 306: "DateTime", 315: "Artist", 33432: "Copyright"}
_KEPT_INSIDE = {0x9003: "DateTimeOriginal", 0x9004: "DateTimeDigitized", 0x9011: "OffsetTimeOriginal"}
_LONGEST = 1000


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
    """Read what is kept; neither the thumbnail nor the orientation, which is applied, nor the place.

    Args:
        image: Opened.
        notes: Gets a line if the picture says where it was taken.
    """
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
