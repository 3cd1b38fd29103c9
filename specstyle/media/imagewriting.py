"""Picture -> picture file, in the format that its name's suffix says, in 8 or in 16 bits per channel."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import putchunk
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from torch import Tensor

from specstyle.errors import FileError
from specstyle.media.imagetags import KEYWORD, UNKNOWN, Origin, fits, save_options
from specstyle.media.pictures import Picture
from specstyle.media.sniffing import reason_of

_SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"quality": 95, "method": 4, "lossless": False},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}

Levels = NDArray[np.uint16]


def check_output_suffix(path: str | Path) -> str:
    """Find the format in which a picture would be written: by the name's suffix, in upper or lower case.

    Returns:
        ``"PNG"``, ``"JPEG"``, ``"WEBP"`` or ``"TIFF"``.

    Raises:
        FileError: Any other suffix.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in _SUFFIXES:
        raise FileError(
            f"{path}: cannot write a picture as {suffix or 'a file without suffix'}; "
            f"expected a name that ends in {', '.join(_SUFFIXES)}"
        )
    return _SUFFIXES[suffix.lower()]


def check_output_fits(height: int, width: int, path: str | Path, *, bits: int = 8) -> None:
    """Refuse a size in pixels, or bits per channel, that the format cannot hold.

    Raises:
        FileError: An unknown suffix, or a picture too large or too deep for the format.
    """
    kind = check_output_suffix(path)
    if bits != 8 and (bits != 16 or kind not in ("PNG", "TIFF")):
        raise FileError(f"{path}: {kind} cannot hold {bits} bits per channel; write .png or .tif, or 8 bits")
    limit = _LARGEST_SIDE.get(kind, 2**31 - 1)
    if max(height, width) > limit:
        raise FileError(
            f"{path}: {kind} holds at most {limit} pixels a side, this picture is {width} x {height}; "
            "write a .png or make it smaller"
        )


def write_picture(
    picture: Picture, path: str | Path, *, text: str | None = None, bits: int = 8
) -> tuple[str, ...]:
    """Write a picture in the format that the suffix names.

    JPEG keeps full color resolution (4:4:4). Nothing but ``path`` is written, and not atomically.

    Args:
        picture: The picture; values outside 0 to 1 are clipped, the rest rounded to the nearest step.
        path: The file to write.
        text: ASCII, to be kept inside the file (see ``imagetags``).
        bits: Per channel; 16 for PNG and TIFF only.

    Returns:
        Notes: one sentence for each thing that the format could not keep.

    Raises:
        FileError: An unknown suffix, a picture too large for the format, NaN, or a file that cannot be
            written, with the system's reason.
    """
    path = Path(path)
    kind = check_output_suffix(path)
    check_output_fits(picture.height, picture.width, path, bits=bits)
    notes = []
    layers = picture.pixels
    if picture.alpha is not None and kind == "JPEG":
        notes.append("JPEG has no transparency: alpha was dropped; write .png, .webp or .tif to keep it")
    elif picture.alpha is not None:
        layers = torch.cat([layers, picture.alpha.to(layers)])
    if text is not None and not fits(text, kind):
        notes.append(f"the settings are too long for a {kind} and are not in it")
    try:
        if bits == 16:
            levels = _levels(layers, path, bits).astype(np.uint16)
            path.write_bytes((png_bytes if kind == "PNG" else tiff_bytes)(levels, text, picture.origin))
        else:
            steps = _levels(layers, path, bits).astype(np.uint8)
            path.write_bytes(_compressed(steps, kind, text, picture.origin))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path}: cannot be written ({reason_of(error)}); "
            "check that its folder exists, may be written to and has space left"
        ) from error
    return tuple(notes)


def _levels(layers: Tensor, path: Path, bits: int) -> NDArray[np.float64]:
    """Return whole steps from 0, ``[H, W, C]``."""
    values = layers.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        raise FileError(f"{path}: not written, the picture has NaN or infinite values")
    steps = np.floor(np.clip(values, 0, 1) * (2**bits - 1) + 0.5)
    return np.ascontiguousarray(steps.transpose(1, 2, 0))


def _compressed(pixels: NDArray[np.uint8], kind: str, text: str | None, origin: Origin) -> bytes:
    buffer, options = io.BytesIO(), dict(_SAVE_OPTIONS[kind])
    if origin.dpi is not None and kind != "WEBP":
        options["dpi"] = origin.dpi
    Image.fromarray(pixels).save(buffer, format=kind, **options, **save_options(text, kind, origin))
    return buffer.getvalue()


def png_bytes(levels: Levels, text: str | None = None, origin: Origin = UNKNOWN) -> bytes:
    """Return a PNG file of 16 bits per channel.

    Args:
        levels: ``[H, W, 3]``, or ``[H, W, 4]`` with alpha.
        text: ASCII to keep in an iTXt chunk.
        origin: Goes into eXIf and pHYs.

    Reference:
        W3C, "Portable Network Graphics (PNG) Specification (Third Edition)"; all rows have the filter Paeth.
    """
    height, width, channels = levels.shape
    pixels = np.ascontiguousarray(levels.astype(">u2")).view(np.uint8).reshape(height, -1)
    step = 2 * channels
    padded = np.zeros((height + 1, pixels.shape[1] + step), np.int16)
    padded[1:, step:] = pixels
    left, up, corner = padded[1:, :-step], padded[:-1, step:], padded[:-1, :-step]
    a, b, c = (np.abs(left + up - corner - near) for near in (left, up, corner))
    guess = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
    rows = np.full((height, pixels.shape[1] + 1), 4, np.uint8)
    rows[:, 1:] = pixels - guess.astype(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if text is not None:
        chunks.append((b"iTXt", KEYWORD.encode() + bytes(5) + text.encode("ascii")))
    if origin.tags:
        chunks.append((b"eXIf", origin.exif("PNG").tobytes().removeprefix(b"Exif\0\0")))
    if origin.dpi is not None:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(dots / 0.0254) for dots in origin.dpi), 1)))
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    for name, data in (*chunks, (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")):
        putchunk(file, name, data)
    return file.getvalue()


def tiff_bytes(levels: Levels, text: str | None = None, origin: Origin = UNKNOWN) -> bytes:
    """Return a TIFF file of 16 bits per channel, deflated after horizontal differencing.

    Args:
        levels: ``[H, W, 3]``, or ``[H, W, 4]`` with alpha (not premultiplied).
        text: ASCII to keep as the ImageDescription.
        origin: Its tags in the first directory are kept, and the resolution.

    Reference:
        Adobe 1992, "TIFF Revision 6.0", with compression 8 of its Photoshop notes of 2002.
    """
    height, width, channels = levels.shape
    changes = levels.copy()
    changes[:, 1:] -= levels[:, :-1]  # modulo 65536
    strip = zlib.compress(changes.astype("<u2").tobytes())
    directory = ImageFileDirectory_v2()
    directory.update({256: width, 257: height, 258: (16,) * channels, 259: 8, 262: 2, 277: channels})
    directory.update({273: 0, 278: height, 279: len(strip), 284: 1, 317: 2})  # 0: right behind the directory
    directory.update({338: 2} if channels == 4 else {})
    directory.update({} if text is None else {270: text})
    directory.update(origin.exif("TIFF"))
    if origin.dpi is not None:
        directory.update({282: origin.dpi[0], 283: origin.dpi[1], 296: 2})
    file = io.BytesIO()
    directory.save(file)
    file.write(strip)
    return file.getvalue()
