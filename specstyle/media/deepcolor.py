"""Colors of 16 bits per channel, which Pillow neither reads nor writes: PNG and TIFF."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from specstyle.media.exif import UNKNOWN, Origin
from specstyle.media.imagesettings import KEYWORD

Levels = NDArray[np.uint16]

_OTHER_BYTE = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": "RGB;16B",
               "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B", "RGBA;16N": "RGBA;16B"}  # fmt: skip
"""What makes Pillow read the low bytes: the other order of bytes. N is the machine's, the lower one first."""


# -- reading -------------------------------------------------------------------------------------------------


def read_low_bytes(image: Image.Image) -> bool:
    """Make an opened image decode to the low bytes of its 16-bit colors instead of the high ones.

    Args:
        image: Opened and not decoded.

    Returns:
        Whether that is possible; if not, the image is unchanged.
    """
    tiles = [(tile, _rawmode(tile)) for tile in getattr(image, "tile", ())]
    if not tiles or any(mode not in _OTHER_BYTE for _, mode in tiles):
        return False
    other = [tile._replace(args=_with_rawmode(tile.args, _OTHER_BYTE[mode])) for tile, mode in tiles]
    image.tile = other  # type: ignore[attr-defined]
    return True


def _rawmode(tile: Any) -> str:
    args = tile.args
    return str(args if isinstance(args, str) or not args else args[0])


def _with_rawmode(args: Any, mode: str) -> Any:
    return mode if isinstance(args, str) else (mode, *args[1:])


def joined(high: Image.Image, low: Image.Image) -> NDArray[np.float32]:
    """Return values from 0 to 1, ``[H, W, C]``, of decoded images of the high and of the low bytes."""
    levels = np.asarray(high).astype(np.float64) * 256 + np.asarray(low)
    values: NDArray[np.float32] = (levels / 65535).astype(np.float32)
    return values


# -- writing -------------------------------------------------------------------------------------------------


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
    kept = b"" if text is None else _chunk(b"iTXt", KEYWORD.encode() + bytes(5) + text.encode("ascii"))
    if origin.tags:
        kept += _chunk(b"eXIf", origin.exif("PNG").tobytes().removeprefix(b"Exif\0\0"))
    if origin.dpi is not None:
        per_meter = (round(dots / 0.0254) for dots in origin.dpi)
        kept += _chunk(b"pHYs", struct.pack(">IIB", *per_meter, 1))
    data = _chunk(b"IDAT", zlib.compress(rows.tobytes()))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + kept + data + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


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
    short, long = ("<H", 3), ("<I", 4)
    fields: list[tuple[int, tuple[str, int], tuple[int, ...]]] = [
        (256, long, (width,)), (257, long, (height,)), (258, short, (16,) * channels), (259, short, (8,)),
        (262, short, (2,)), (273, long, (8,)), (277, short, (channels,)), (278, long, (height,)),
        (279, long, (len(strip),)), (284, short, (1,)), (317, short, (2,)),
    ]  # fmt: skip
    if channels == 4:
        fields.append((338, short, (2,)))
    packed = [
        (tag, kind, b"".join(struct.pack(form, v) for v in values)) for tag, (form, kind), values in fields
    ]
    if text is not None:
        packed.append((270, 2, text.encode("ascii") + b"\0"))
    for tag, value in origin.exif("TIFF").items():
        packed.append((tag, 2, value.encode() + b"\0"))
    if origin.dpi is not None:
        across, down = (struct.pack("<II", round(dots * 1000), 1000) for dots in origin.dpi)
        packed += [(282, 5, across), (283, 5, down), (296, 3, struct.pack("<H", 2))]
    return _tiff(strip, sorted(packed))


def _tiff(strip: bytes, fields: list[tuple[int, int, bytes]]) -> bytes:
    """Put the strip behind the header, then the directory, then the values that do not fit into it."""
    body = strip + b"\0" * (len(strip) % 2)
    start = 8 + len(body)
    place = start + 2 + 12 * len(fields) + 4
    directory, more = struct.pack("<H", len(fields)), b""
    for tag, kind, data in fields:
        count = len(data) // {2: 1, 3: 2, 4: 4, 5: 8}[kind]
        value = data.ljust(4, b"\0")
        if len(data) > 4:
            value = struct.pack("<I", place + len(more))
            more += data + b"\0" * (len(data) % 2)
        directory += struct.pack("<HHI", tag, kind, count) + value
    return struct.pack("<2sHI", b"II", 42, start) + body + directory + bytes(4) + more
