"""16 bits per channel: written, read back by Pillow's decoders, and from files of every kind."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from media.test_imagefiles import png, png16
from PIL import Image

from specstyle.errors import FileError
from specstyle.media.imagefiles import read_picture, write_picture
from specstyle.media.imagetags import kept_text
from specstyle.media.imagewriting import png_bytes, tiff_bytes
from specstyle.media.pictures import Picture

BOTH = pytest.mark.parametrize("suffix", [".png", ".tif"])


def random_levels(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (height, width, channels)).astype(np.uint16)


def picture_of(levels: np.ndarray) -> Picture:
    planes = torch.from_numpy(levels.astype(np.float64) / 65535).movedim(2, 0)
    return Picture(planes[:3], planes[3:] if levels.shape[2] == 4 else None)


def levels_of(picture: Picture) -> np.ndarray:
    layers = picture.pixels if picture.alpha is None else torch.cat([picture.pixels, picture.alpha])
    return np.rint(layers.movedim(0, 2).double().numpy() * 65535).astype(np.uint16)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([3, 4]), st.integers(0, 10**6))
def test_files_are_what_pillow_decodes(height: int, width: int, channels: int, seed: int) -> None:
    """Pillow checks sums and undoes filters, predictors and compression; it keeps the high bytes."""
    levels = random_levels(height, width, channels, seed)
    levels[height // 2 :] = levels[0]  # something to predict
    for data in (png_bytes(levels, "text"), tiff_bytes(levels, "some longer text"), tiff_bytes(levels)):
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == ("RGB" if channels == 3 else "RGBA")
            np.testing.assert_array_equal(np.asarray(image), levels >> 8)


@BOTH
@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_written_is_read_to_the_last_bit(tmp_path: Path, suffix: str, channels: int) -> None:
    levels = random_levels(33, 17, channels)
    path = tmp_path / f"p{suffix}"
    assert write_picture(picture_of(levels), path, bits=16, text="kept") == ()
    picture = read_picture(path)
    np.testing.assert_array_equal(levels_of(picture), levels)
    assert picture.notes == ()
    assert kept_text(path) == "kept"


def test_a_transparent_color_and_the_orientation_are_kept(tmp_path: Path) -> None:
    levels = random_levels(4, 4, 3)
    data = struct.pack(">3H", *levels[1, 2])
    extra = struct.pack(">I", 6) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))
    raw = b"".join(b"\0" + row.tobytes() for row in levels.reshape(4, -1).astype(">u2"))
    (tmp_path / "p.png").write_bytes(png(4, 4, 16, 2, raw, extra=extra))
    alpha = read_picture(tmp_path / "p.png").alpha
    assert alpha is not None
    assert np.argwhere(alpha[0].numpy() == 0).tolist() == [[1, 2]]
    exif = Image.Exif()
    exif[274] = 6
    data = exif.tobytes()[6:]
    extra = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    (tmp_path / "q.png").write_bytes(png(4, 4, 16, 2, raw, extra=extra))
    np.testing.assert_array_equal(levels_of(read_picture(tmp_path / "q.png")), np.rot90(levels, -1))


def test_what_is_cut_short_or_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png16(random_levels(40, 40, 3), 2)[:3000])
    with pytest.raises(FileError, match="damaged or cut short"):
        read_picture(tmp_path / "p.png")
    for name, bits in (("p.jpg", 16), ("p.webp", 16), ("q.png", 12)):
        with pytest.raises(FileError, match=f"cannot hold {bits} bits"):
            write_picture(picture_of(random_levels(8, 8, 3)), tmp_path / name, bits=bits)
