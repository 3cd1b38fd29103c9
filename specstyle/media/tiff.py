"""TIFFs that Pillow reads wrong or not at all: planes of 16 bits, floats in color, odd numbers of bits."""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

Tags = dict[Any, tuple[Any, ...]]

MAX_BYTES = 2**29
"""Most bytes of one picture."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _CHANNELS, _ROWS, _SIZES = (
    256, 257, 258, 259, 262, 273, 277, 278, 279)  # fmt: skip
_PLANAR, _PREDICTOR, _EXTRA, _FORMAT = 284, 317, 338, 339
_LOOKED_AT = (_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _CHANNELS, _ROWS, _SIZES,
              _PLANAR, _PREDICTOR, _EXTRA, _FORMAT)  # fmt: skip
_UNSIGNED, _FLOAT = 1, 3
_ORDERS = {b"II": "<", b"MM": ">"}


def odd_tags(file: Any) -> Tags | None:
    """Return the tags of a TIFF's first picture, if Pillow cannot be trusted with it."""
    tags = _tags(file)
    if not tags or _WIDTH not in tags or _HEIGHT not in tags:
        return None
    bits, channels = tags.get(_BITS, (1,))[0], tags.get(_CHANNELS, (1,))[0]
    in_color = channels > 1
    odd = (
        bits not in (1, 2, 4, 8, 12, 16, 32, 64)
        or (bits == 12 and in_color)
        or (bits == 16 and tags.get(_FORMAT, (1,))[0] == _FLOAT)
    )
    planes = in_color and bits > 8 and tags.get(_PLANAR, (1,))[0] == 2
    large = tags["big"][0] and tags["order"][0] == ">"  # a BigTIFF that Pillow does not know
    return tags if odd or planes or large or bits == 64 or (in_color and bits > 16) else None


def described(tags: Tags) -> str:
    """Name the layout of a picture in a few words."""
    kind = {_UNSIGNED: "", _FLOAT: "floating-point "}.get(tags.get(_FORMAT, (1,))[0], "signed ")
    planes = " in planes" if tags.get(_PLANAR, (1,))[0] == 2 else ""
    packing = tags.get(_COMPRESSION, (1,))[0]
    return (
        f"a TIFF of {tags.get(_CHANNELS, (1,))[0]} times {tags.get(_BITS, (1,))[0]} {kind}bits{planes}, "
        f"compression {packing}"
    )


def decoded(file: Any, tags: Tags) -> NDArray[np.float32] | None:
    """Return the values of a picture, ``[H, W, C]``: unsigned ones scaled to 0 to 1, floats as they are.

    Returns:
        ``None`` for a layout that is not known here: tiles, other compressions than deflate, signed numbers,
        colors that are neither gray nor RGB.

    Raises:
        ValueError: If the data are cut short or damaged.

    Reference:
        Adobe 1992, "TIFF Revision 6.0"; Adobe 2005, "TIFF Technical Note 3" (floats).
    """
    height, width = tags[_HEIGHT][0], tags[_WIDTH][0]
    channels, bits = tags.get(_CHANNELS, (1,))[0], tags.get(_BITS, (1,))[0]
    kind, photometric = tags.get(_FORMAT, (1,))[0], tags.get(_PHOTOMETRIC, (1,))[0]
    packing, predictor = tags.get(_COMPRESSION, (1,))[0], tags.get(_PREDICTOR, (1,))[0]
    fits = kind in (_UNSIGNED, _FLOAT) and photometric in (0, 1, 2) and packing in (1, 8, 32946)
    if not fits or _STRIPS not in tags or _SIZES not in tags or predictor not in (1, 2):
        return None
    sizes = (16, 32, 64) if kind == _FLOAT else range(1, 65)
    if len(set(tags.get(_BITS, (1,)))) > 1 or bits not in sizes or channels not in (1, 3, 4):
        return None
    planes = channels if tags.get(_PLANAR, (1,))[0] == 2 else 1
    inner, rows = channels // planes, max(min(tags.get(_ROWS, (height,))[0], height), 1)
    per_plane = -(-height // rows)
    strips = []
    for number in range(per_plane * planes):
        shape = (min(rows, height - number % per_plane * rows), width, inner)
        n_bytes = shape[0] * -(-width * inner * bits // 8)
        found = _numbers(_strip(file, tags, number, n_bytes), shape, bits, tags["order"][0] + "uf"[kind // 3])
        found = np.cumsum(found, 1, dtype=found.dtype) if predictor == 2 else found
        strips.append((found / (2.0**bits - 1) if kind == _UNSIGNED else found).astype(np.float32))
    of_planes = [np.concatenate(strips[i * per_plane : (i + 1) * per_plane]) for i in range(planes)]
    values: NDArray[np.float32] = np.concatenate(of_planes, 2)
    return 1 - values if photometric == 0 else values


def _strip(file: Any, tags: Tags, number: int, n_bytes: int) -> bytes:
    """Return the bytes of a strip, no longer packed."""
    if number >= min(len(tags[_STRIPS]), len(tags[_SIZES])):
        raise ValueError("strips are missing")
    file.seek(tags[_STRIPS][number])
    data: bytes = file.read(min(tags[_SIZES][number], MAX_BYTES))
    if tags.get(_COMPRESSION, (1,))[0] != 1:
        try:
            data = zlib.decompressobj().decompress(data, n_bytes)
        except zlib.error as error:
            raise ValueError(str(error)) from error
    if len(data) < n_bytes:
        raise ValueError(f"a strip has {len(data)} bytes and not {n_bytes}")
    return data[:n_bytes]


def _numbers(data: bytes, shape: tuple[int, int, int], bits: int, code: str) -> NDArray[Any]:
    """Return the numbers of a strip, ``[rows, W, C]``; code: order of bytes and kind, as NumPy has them."""
    raw, rows, per_row = np.frombuffer(data, np.uint8), shape[0], shape[1] * shape[2]
    if bits in (8, 16, 32, 64):
        return raw.view(f"{code}{bits // 8}").reshape(shape)
    # Packed without gaps but at the end of a row, highest bit first.
    single = np.unpackbits(raw.reshape(rows, -1), axis=1)[:, : per_row * bits].reshape(-1, bits)
    return (single @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))).reshape(shape)


def _tags(file: Any) -> Tags:
    """Return the first directory's tags that are whole numbers, and how they are stored; of a TIFF only."""
    file.seek(0)
    head = file.read(16)
    # Pillow looks for a BigTIFF's mark where "II" has it, and "MM" has not.
    kind = {b"*": b"II*\0", b"+": b"II+\0"}.get(head[2:4].strip(b"\0"))
    if head[:2] not in _ORDERS or kind is None or len(head) < 16:
        return {}
    big = kind[2:3] == b"+"
    found: Tags = {"order": (_ORDERS[head[:2]],), "big": (big,)}
    try:
        directory = ImageFileDirectory_v2(kind + head[4 : 16 if big else 8], prefix=head[:2])
        file.seek(directory.next)
        directory.load(file)
    except Exception:  # damaged data make Pillow raise nearly anything
        return {}
    for tag in _LOOKED_AT:
        with contextlib.suppress(Exception):  # likewise, or it is not there
            value = directory[tag]
            numbers = tuple(value) if isinstance(value, (tuple, bytes)) else (value,)
            if numbers and all(isinstance(n, int) and n >= 0 for n in numbers):
                found[tag] = numbers
    return found
