"""What a picture keeps beside its pixels, pictures that are reduced as they are read, and newer formats."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from specstyle.errors import FileError
from specstyle.media import imagefiles
from specstyle.media.imagefiles import read_picture, write_picture
from specstyle.media.imagetags import kept_text

TEXTS = {271: "Maker", 272: "Model", 306: "2020:01:02 03:04:05", 315: "Ann Author", 33432: "(c) Ann"}
INSIDE = {0x9003: "2020:01:02 03:04:05", 0x9011: "+01:00"}


def photograph(path: Path, size: tuple[int, int] = (48, 32), **how: object) -> None:
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    exif = Image.Exif()
    for tag, text in TEXTS.items():
        exif[tag] = text
    exif[274] = 6  # on its side
    exif[0x8769] = {**INSIDE, 0x927C: b"the maker's own"}
    pixels = np.stack([x, y, 255 - x], 2).round().astype(np.uint8)
    Image.fromarray(pixels).save(path, exif=exif, dpi=(300, 300), **how)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_author_date_and_resolution_go_along(suffix: str, bits: int, tmp_path: Path) -> None:
    if bits == 16 and suffix in (".jpg", ".webp"):
        pytest.skip("has 8 bits")
    photograph(tmp_path / "a.jpg")
    picture = read_picture(tmp_path / "a.jpg")
    assert (picture.height, picture.width) == (48, 32)
    for text in (None, "settings"):
        path = tmp_path / f"b{suffix}"
        write_picture(picture, path, text=text, bits=bits)
        assert kept_text(path) == text
        with Image.open(path) as image:
            exif = image.getexif()
            assert {tag: exif.get(tag) for tag in TEXTS} == TEXTS
            assert 274 not in exif or exif[274] == 1
            if suffix != ".tif":
                inside = exif.get_ifd(0x8769)
                assert {tag: inside.get(tag) for tag in INSIDE} == INSIDE
                assert 0x927C not in inside
            if suffix != ".webp":
                assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        again = read_picture(path)
        assert (again.height, again.width) == (48, 32)


def test_a_tiff_without_a_resolution_has_none(tmp_path: Path) -> None:
    """Pillow says one dot per inch of it."""
    Image.new("RGB", (4, 4)).save(tmp_path / "a.tif")
    assert read_picture(tmp_path / "a.tif").origin.dpi is None


def test_a_large_jpeg_is_reduced_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagefiles, "LARGE", 10_000)
    for suffix, shape in ((".jpg", (100, 200)), (".png", (80, 160))):  # width and height lie on their side
        photograph(tmp_path / f"a{suffix}", (800, 400))
        picture = read_picture(tmp_path / f"a{suffix}", 80)
        assert (picture.width, picture.height) == shape
        assert picture.notes == (
            f"read at {shape[0]} x {shape[1]} pixels: all that a small result needs of 320,000",
        )
        whole = read_picture(tmp_path / f"a{suffix}").pixels
        step = 800 // shape[1]
        means = whole.reshape(3, shape[1], step, shape[0], step).mean((2, 4))
        # A JPEG's reduction is a cosine transform's, not quite a mean.
        torch.testing.assert_close(picture.pixels, means, rtol=0, atol=1e-6 if suffix == ".png" else 0.02)


def test_no_row_or_column_is_lost_where_a_picture_is_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagefiles, "LARGE", 1)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 101, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png", 10).pixels.numpy()
    assert found.shape == (3, 10, 21)
    blocks = [
        [pixels[y : y + 5, x : x + 5].mean((0, 1)) / 255 for x in range(0, 101, 5)] for y in range(0, 50, 5)
    ]
    np.testing.assert_allclose(found.transpose(1, 2, 0), blocks, rtol=0, atol=1e-6)


def test_a_transparent_pixel_does_not_count_where_a_picture_is_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagefiles, "LARGE", 1)
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, ::2] = (255, 0, 0, 255)
    pixels[:, 1::2] = (0, 255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", 16)
    assert picture.pixels.shape == (3, 32, 32)
    torch.testing.assert_close(picture.pixels[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]), rtol=0, atol=1e-5)
    assert picture.alpha is not None
    assert float(picture.alpha.max()) == pytest.approx(0.5)


def test_a_phones_largest_picture_is_read_where_a_small_one_is_asked_for(tmp_path: Path) -> None:
    width, height = 16384, 12288  # 201 megapixels
    Image.effect_mandelbrot((512, 384), (-2, -1, 1, 1), 50).resize((width, height), 0).save(
        tmp_path / "a.jpg"
    )
    with pytest.raises(FileError, match=r"201,326,592 pixels.*small --size"):
        read_picture(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg", 512).pixels.shape == (3, 768, 1024)


def test_avif(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    photograph(tmp_path / "a.avif", quality=95)
    photograph(tmp_path / "a.png")
    torch.testing.assert_close(
        read_picture(tmp_path / "a.avif").pixels, read_picture(tmp_path / "a.png").pixels, rtol=0, atol=0.05
    )


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif (the extra `heic`)")
    x, y = np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 48))
    pixels = np.stack([x, y, 255 - x], 2).round().astype(np.uint8)
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(pixels)).save(file, quality=95)
    (tmp_path / "a.heic").write_bytes(file.getvalue())
    found = read_picture(tmp_path / "a.heic").pixels.numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(found, pixels / 255, rtol=0, atol=0.05)


def test_heic_without_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(200))
    with pytest.raises(FileError, match=r"is a HEIC picture, which needs .*pip install 'specstyle\[heic\]'"):
        read_picture(tmp_path / "a.heic")
