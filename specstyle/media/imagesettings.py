"""A text kept inside a picture file: the settings that it was made with."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from specstyle.errors import FileError
from specstyle.media.exif import EXIF_IFD, Origin
from specstyle.media.sniffing import reason_of

KEYWORD = "specstyle"
"""Of the iTXt chunk of a PNG."""

_USER_COMMENT, _IMAGE_DESCRIPTION = 0x9286, 270
_ASCII = b"ASCII\0\0\0"
_LARGEST_EXIF = 63_000
"""Bytes: a JPEG holds all EXIF data in one segment."""


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
