"""Picture file <-> Picture: formats, EXIF orientation, alpha, and what can be wrong with a file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from specstyle.errors import FileError
from specstyle.media.imagecolor import has_deep_color, to_srgb
from specstyle.media.imagewriting import check_output_fits, check_output_suffix, write_picture
from specstyle.media.pictures import Picture
from specstyle.media.sniffing import SNIFFED_BYTES, reason_of, sound_format, what_it_is

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "check_output_fits",
    "check_output_suffix",
    "read_picture",
    "write_picture",
]

MAX_PIXELS = 178_956_970
"""Largest picture that is decoded: the size at which Pillow itself refuses one."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_ACCEPTED = "JPEG, PNG, WebP, TIFF, BMP or GIF"


def read_picture(path: str | Path) -> Picture:
    """Read a picture file: upright, in sRGB, with its alpha.

    Of an animation or a file of several pages the first is read. 16-bit gray keeps its 65,536 steps;
    16-bit color is read to 8 bits, since Pillow decodes no more.

    Args:
        path: A JPEG, PNG, WebP, TIFF, BMP or GIF file; its content decides, not its suffix.

    Returns:
        The picture in float32.

    Raises:
        FileError: The file is missing, unreadable, damaged, too large or not a picture.
    """
    path = Path(path)
    _require_file(path)
    notes: list[str] = []
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures, odd EXIF, cut-off TIFF tags
            image = _opened(file, path)
            _decode(image, path, notes)
            colors, alpha = to_srgb(image, notes)
    except OSError as error:
        raise FileError(
            f"{path}: cannot be read ({reason_of(error)}); expected a readable picture"
        ) from error
    except MemoryError as error:
        raise FileError(f"{path}: does not fit in memory; make the picture smaller first") from error
    return Picture(
        torch.from_numpy(np.ascontiguousarray(colors.transpose(2, 0, 1))),
        None if alpha is None else torch.from_numpy(np.ascontiguousarray(alpha[None])),
        path.name,
        tuple(notes),
    )


def _require_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise FileError(f"{path}: is a folder; expected a picture file; name a file inside it")
        if not path.exists():
            raise FileError(f"{path}: no such file; expected a picture ({_ACCEPTED}); check the path")
        if not path.is_file():  # a pipe or a device, which could block for ever
            raise FileError(f"{path}: is not an ordinary file; save the picture to a file first")
        if path.stat().st_size == 0:
            raise FileError(f"{path}: is empty; expected a picture; export or download it again")
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: cannot be read ({reason_of(error)}); check the path") from error


def _opened(file: Any, path: Path) -> Image.Image:
    """Read a file's header and refuse what is no picture or too large, before anything is decoded."""
    head = file.read(SNIFFED_BYTES)
    sound = sound_format(head)
    if sound:
        raise FileError(f"{path}: is a sound ({sound}), not a picture; use `specstyle audio` for sounds")
    file.seek(0)
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise FileError(
            f"{path}: {what_it_is(head)}; expected {_ACCEPTED}; convert it or give another file"
        ) from error
    except Image.DecompressionBombError as error:
        raise FileError(
            f"{path}: is too large; at most {MAX_PIXELS:,} pixels are accepted; make it smaller first"
        ) from error
    except Exception as error:  # a damaged header makes Pillow raise nearly anything
        raise _damaged(path, head, error) from error
    if image.width * image.height > MAX_PIXELS:
        raise FileError(
            f"{path}: has {image.width} x {image.height} = {image.width * image.height:,} pixels; "
            f"at most {MAX_PIXELS:,} are accepted; make it smaller first"
        )
    return image


def _decode(image: Image.Image, path: Path, notes: list[str]) -> None:
    """Decode the first frame and turn it upright."""
    if has_deep_color(image):
        notes.append("16 bits per channel were read as 8")
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # what a decoder raises on damaged data is not of one kind
        raise _damaged(path, image.format or "picture", error) from error
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # likewise for damaged EXIF data, which is no reason to refuse the pixels
        notes.append("the EXIF data are damaged; the picture may lie on its side")


def _damaged(path: Path, kind: str | bytes, error: Exception) -> FileError:
    kind = kind if isinstance(kind, str) else "picture"
    return FileError(
        f"{path}: is damaged or cut short ({reason_of(error)}); expected a complete {kind}; "
        "export or download it again"
    )
