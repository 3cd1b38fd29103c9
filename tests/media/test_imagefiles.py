"""Picture files in and out, held against Pillow's own writers, hand-made files and written-out formulas."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, JpegImagePlugin

from specstyle.errors import FileError
from specstyle.media.imagefiles import MAX_PIXELS, check_output_suffix, read_picture, write_picture
from specstyle.media.pictures import Picture, check_picture

HEIGHT, WIDTH = 20, 28
STEP = 1 / 255


def smooth_rgb() -> np.ndarray:
    """A picture that no flip or turn leaves unchanged, smooth enough for lossy formats."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [40 + 6 * x + y, 20 + 9 * y, 230 - 4 * x - 4 * y]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def values(picture: Picture) -> np.ndarray:
    return picture.pixels.numpy().transpose(1, 2, 0)


def as_picture(array: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    pixels = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).float()
    return Picture(pixels, None if alpha is None else torch.from_numpy(alpha[None]).float())


def png(width: int, height: int, depth: int, color: int, raw: bytes, *, extra: bytes = b"") -> bytes:
    """A PNG from the specification, for what Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + body


def png16(array: np.ndarray, color: int) -> bytes:
    rows = array.reshape(array.shape[0], -1).astype(">u2")
    return png(array.shape[1], array.shape[0], 16, color, b"".join(b"\0" + row.tobytes() for row in rows))


# -- modes and formats ---------------------------------------------------------------------------------------

LOSSLESS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("1", "L", "P"),
}
LOSSY = {"JPEG": ("L", "RGB", "CMYK"), "WEBP": ("L", "RGB", "RGBA")}


def in_mode(mode: str) -> Image.Image:
    image = Image.fromarray(smooth_rgb())
    if mode in ("LA", "RGBA", "PA"):
        image.putalpha(
            Image.fromarray(np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8))
        )
    if mode == "PA":
        image = image.convert("RGB").quantize(16).convert("PA")
    return image.quantize(16) if mode == "P" else image.convert(mode)


@pytest.mark.parametrize(("kind", "mode"), [(k, m) for k, modes in LOSSLESS.items() for m in modes])
def test_every_lossless_mode_is_read_exactly(tmp_path: Path, kind: str, mode: str) -> None:
    image = in_mode(mode)
    image.save(tmp_path / "p", format=kind)
    picture = read_picture(tmp_path / "p")
    expected = np.asarray(image.convert("RGBA"))
    np.testing.assert_allclose(values(picture), expected[..., :3] / 255, atol=1e-6)
    if mode in ("LA", "RGBA"):
        np.testing.assert_allclose(picture.alpha[0].numpy(), expected[..., 3] / 255, atol=1e-6)
    elif mode != "PA":
        assert picture.alpha is None
    assert picture.pixels.dtype == torch.float32
    assert (picture.name, picture.notes) == ("p", ())


@pytest.mark.parametrize(("kind", "mode"), [(k, m) for k, modes in LOSSY.items() for m in modes])
def test_lossy_formats_are_read_closely(tmp_path: Path, kind: str, mode: str) -> None:
    image = in_mode(mode)
    image.save(tmp_path / "p", format=kind, quality=95)
    picture = read_picture(tmp_path / "p")
    expected = np.asarray(image.convert("RGB")) / 255
    visible = np.ones((HEIGHT, WIDTH)) if picture.alpha is None else picture.alpha[0].numpy()
    assert np.abs((values(picture) - expected) * visible[..., None]).mean() < 3 * STEP
    assert (picture.alpha is not None) == (mode == "RGBA")
    assert (picture.notes != ()) == (mode == "CMYK")


def test_ycbcr_and_lab_tiffs_become_srgb(tmp_path: Path) -> None:
    rgb = smooth_rgb()
    Image.fromarray(rgb).convert("YCbCr").save(tmp_path / "y.tif")
    # Blue takes 1.8 times the rounding of Cb, once on the way there and once more on the way back.
    assert np.abs(values(read_picture(tmp_path / "y.tif")) - rgb / 255).max() <= 3.1 * STEP
    # Colors well inside sRGB's gamut, and Lab from its definition (CIE 1976, D50) rather than from Pillow.
    lab = np.array([[[50.0, 20.0, -30.0], [70.0, -25.0, 35.0]]]).repeat(8, 0).repeat(4, 1)
    # TIFF 6.0, section 23: L scaled to 255, a and b as signed bytes.
    coded = (lab * [2.55, 1, 1]).round().astype(np.int16).astype(np.uint8)
    Image.frombytes("LAB", (8, 8), coded.tobytes()).save(tmp_path / "lab.tif")
    assert np.abs(values(read_picture(tmp_path / "lab.tif")) - lab_to_srgb(lab)).max() < 3 * STEP


def test_palette_transparency_is_kept(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.paste(1, (4, 0, 8, 8))
    image.save(tmp_path / "table.png", transparency=bytes([64, 255, 0]))
    image.save(tmp_path / "one.gif", transparency=1)
    table, one = read_picture(tmp_path / "table.png"), read_picture(tmp_path / "one.gif")
    np.testing.assert_allclose(table.alpha[0, 0].numpy(), [64 / 255] * 4 + [1.0] * 4, atol=1e-6)
    np.testing.assert_allclose(one.alpha[0, 0].numpy(), [1.0] * 4 + [0.0] * 4)
    np.testing.assert_allclose(values(table)[0, ::7], [[1, 0, 0], [0, 1, 0]])


def test_color_keys_become_alpha(tmp_path: Path) -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[:4] = 10, 20, 30
    Image.fromarray(rgb).save(tmp_path / "rgb.png", transparency=(10, 20, 30))
    Image.fromarray(rgb[..., 0]).save(tmp_path / "gray.png", transparency=10)
    deep = np.zeros((8, 8), np.uint16)
    deep[:4] = 1000
    deep[4:] = 1001
    key = struct.pack(">H", 1000)
    extra = struct.pack(">I", 2) + b"tRNS" + key + struct.pack(">I", zlib.crc32(b"tRNS" + key))
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    (tmp_path / "deep.png").write_bytes(png(8, 8, 16, 0, raw, extra=extra))
    for name in ("rgb.png", "gray.png", "deep.png"):
        alpha = read_picture(tmp_path / name).alpha
        assert (alpha[0, :4] == 0).all(), name
        assert (alpha[0, 4:] == 1).all(), name


# -- bit depth -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deep.png", "little.tif", "big.tif"])
def test_16_bit_gray_keeps_every_step(tmp_path: Path, name: str) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    if name == "big.tif":
        Image.frombytes("I;16B", (256, 256), levels.astype(">u2").tobytes()).save(tmp_path / name)
    else:
        Image.fromarray(levels).save(tmp_path / name)
    pixels = read_picture(tmp_path / name).pixels
    assert torch.equal(pixels[0], torch.from_numpy(levels.astype(np.float64) / 65535).float())
    assert torch.equal(pixels[1], pixels[0])
    assert len(pixels.unique()) == 65536


def test_16_bit_tiff_in_which_white_is_zero(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "p.tif", tiffinfo={262: 0})
    # Photometric interpretation 0; Pillow writes the tag as asked, and the samples as they are.
    with Image.open(tmp_path / "p.tif") as image:
        assert image.tag_v2[262] == 0
    np.testing.assert_allclose(
        values(read_picture(tmp_path / "p.tif"))[..., 0], 1 - levels / 65535, atol=1e-6
    )


@pytest.mark.parametrize(("color", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_color_that_is_read_to_8_bits_says_so(tmp_path: Path, color: int, channels: int) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (16, 16, channels)).astype(np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = b"p\0\0" + zlib.compress(profile)
    extra = struct.pack(">I", len(data)) + b"iCCP" + data + struct.pack(">I", zlib.crc32(b"iCCP" + data))
    raw = b"".join(b"\0" + row.tobytes() for row in levels.reshape(16, -1).astype(">u2"))
    # Gray with alpha, and colors with a profile, which Pillow applies to 8 bits.
    (tmp_path / "p.png").write_bytes(png(16, 16, 16, color, raw, extra=b"" if color == 4 else extra))
    picture = read_picture(tmp_path / "p.png")
    assert picture.notes[0] == "16 bits per channel were read as 8"
    colors = levels[..., :1] if channels == 2 else levels[..., :3]
    assert np.abs(values(picture) - colors / 65535).max() <= STEP  # Pillow drops the low byte
    if channels != 3:
        assert np.abs(picture.alpha[0].numpy() - levels[..., -1] / 65535).max() <= STEP


def test_open_ended_gray_is_scaled(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 64).reshape(8, 8).astype(np.float32)
    cases = {
        "unit": (ramp, ramp, False),
        "byte": (ramp * 200 + 20, ramp, True),
        "signed": (ramp * 2 - 1, ramp, True),
        "short": ((ramp * 65535).round().astype(np.int32), (ramp * 65535).round() / 65535, True),
        "long": ((ramp * 1e9).astype(np.int32), ramp, True),
    }
    for name, (stored, expected, noted) in cases.items():
        Image.fromarray(stored).save(tmp_path / f"{name}.tif")
        picture = read_picture(tmp_path / f"{name}.tif")
        np.testing.assert_allclose(values(picture)[..., 1], expected, atol=2e-7, err_msg=name)
        assert bool(picture.notes) == noted, name


def test_a_float_picture_with_nan_is_read_and_refused_by_the_check(tmp_path: Path) -> None:
    broken = np.full((16, 16), 0.5, np.float32)
    broken[3, 3] = np.nan
    Image.fromarray(broken).save(tmp_path / "p.tif")
    with pytest.raises(FileError, match="NaN"):
        check_picture(read_picture(tmp_path / "p.tif"), role="content")


# -- EXIF orientation ----------------------------------------------------------------------------------------

# How an upright picture lies in the file, by EXIF 2.3's table of what row 0 and column 0 show.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: np.rot90,  # row 0 is the right side, column 0 the top
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),  # row 0 is the left side, column 0 the bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_turns_the_picture_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = smooth_rgb()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    image.save(tmp_path / f"p{suffix}", exif=exif, **options)
    picture = read_picture(tmp_path / f"p{suffix}")
    assert picture.pixels.shape == (3, HEIGHT, WIDTH)
    # JPEG at quality 100 rounds in YCbCr; the other three keep the pixels.
    assert np.abs(values(picture) - upright / 255).max() <= (4 * STEP if suffix == ".jpg" else 1e-6)


def test_orientation_turns_16_bit_gray_and_alpha_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    levels = np.arange(0, 96 * 600, 600, dtype=np.uint16).reshape(8, 12)
    Image.fromarray(np.ascontiguousarray(np.rot90(levels))).save(tmp_path / "deep.png", exif=exif)
    np.testing.assert_allclose(values(read_picture(tmp_path / "deep.png"))[..., 0], levels / 65535, atol=1e-7)
    rgba = np.dstack([smooth_rgb(), smooth_rgb()[..., 0]])
    Image.fromarray(np.ascontiguousarray(np.rot90(rgba))).save(tmp_path / "rgba.png", exif=exif)
    alpha = read_picture(tmp_path / "rgba.png").alpha
    np.testing.assert_allclose(alpha[0].numpy(), rgba[..., 3] / 255, atol=1e-6)


def test_damaged_exif_is_no_reason_to_refuse(tmp_path: Path) -> None:
    Image.fromarray(smooth_rgb()).save(tmp_path / "p.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xff junk")
    assert read_picture(tmp_path / "p.jpg").pixels.shape == (3, HEIGHT, WIDTH)


# -- ICC profiles --------------------------------------------------------------------------------------------

SRGB_D50 = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
D50 = np.array([0.9642, 1.0, 0.8249])


def encoded_srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, clipped to the gamut."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = D50 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return encoded_srgb(xyz @ np.linalg.inv(SRGB_D50).T)


def fixed(numbers: np.ndarray) -> bytes:
    return b"".join(struct.pack(">i", round(float(v) * 65536)) for v in np.ravel(numbers))


def icc(space: bytes, tags: dict[bytes, bytes], *, kind: bytes = b"mntr", pcs: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2.1 with these tags."""
    name = b"A test profile\0"
    text = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
    tags = {
        b"desc": text,
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(D50),
        **tags,
    }
    table, data, offset = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for key, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += key + struct.pack(">II", offset + len(data), len(value))
        data += padded
    head = struct.pack(">I", offset + len(data)) + bytes(4) + b"\x02\x10\0\0" + kind + space + pcs
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(D50)
    return head.ljust(128, b"\0") + table + data


def gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


def rgb_profile(matrix: np.ndarray, exponent: float) -> bytes:
    tags = {
        key: b"XYZ " + bytes(4) + fixed(matrix[:, c]) for c, key in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
    }
    return icc(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(exponent)))


INK_LAB = {"paper": (100, 0, 0), "cyan": (60, -25, -30), "magenta": (52, 45, 0), "yellow": (85, -3, 50)}


def cmyk_profile() -> bytes:
    """A printer whose pure inks look as INK_LAB says, on white paper; mixtures of them are black."""
    corners = np.zeros((2, 2, 2, 2, 3))
    corners[0, 0, 0, 0] = INK_LAB["paper"]
    corners[1, 0, 0, 0], corners[0, 1, 0, 0] = INK_LAB["cyan"], INK_LAB["magenta"]
    corners[0, 0, 1, 0] = INK_LAB["yellow"]
    lab8 = np.stack([corners[..., 0] * 2.55, corners[..., 1] + 128, corners[..., 2] + 128], axis=-1)
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(np.eye(3)) + ramp * 4
    lut += lab8.round().astype(np.uint8).tobytes() + ramp * 3
    return icc(b"CMYK", {b"A2B0": lut}, kind=b"prtr", pcs=b"Lab ")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_a_linear_profile_with_swapped_primaries_is_converted(tmp_path: Path, suffix: str) -> None:
    profile = rgb_profile(SRGB_D50[:, ::-1], 1.0)  # the first channel is blue light, the last red
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    Image.fromarray(smooth_rgb()).save(tmp_path / f"p{suffix}", icc_profile=profile, **options)
    picture = read_picture(tmp_path / f"p{suffix}")
    expected = encoded_srgb(smooth_rgb()[..., ::-1] / 255)
    # 8-bit steps of dark linear light are far apart in sRGB, so JPEG's own error is magnified there.
    assert np.abs(values(picture) - expected).max() <= (14 if suffix == ".jpg" else 1.6) * STEP
    assert picture.notes == ("colors converted to sRGB from the embedded ICC profile (A test profile)",)


def test_a_wide_gamut_profile_is_converted_and_alpha_kept(tmp_path: Path) -> None:
    wide = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
    rgba = np.dstack([np.clip(smooth_rgb(), 90, 160), smooth_rgb()[..., 0]])  # inside sRGB's gamut
    Image.fromarray(rgba).save(tmp_path / "p.png", icc_profile=rgb_profile(wide, 2.2))
    picture = read_picture(tmp_path / "p.png")
    linear = (rgba[..., :3] / 255) ** (round(2.2 * 256) / 256) @ wide.T @ np.linalg.inv(SRGB_D50).T
    assert np.abs(values(picture) - encoded_srgb(linear)).max() <= 1.6 * STEP
    assert np.abs(values(picture) - rgba[..., :3] / 255).max() > 8 * STEP  # the conversion matters
    np.testing.assert_allclose(picture.alpha[0].numpy(), rgba[..., 3] / 255, atol=1e-6)


def test_cmyk_goes_through_its_profile(tmp_path: Path) -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[0:4, :, 0], inks[4:8, :, 1], inks[8:12, :, 2] = 255, 255, 255
    Image.frombytes("CMYK", (16, 16), inks.tobytes()).save(tmp_path / "p.tif", icc_profile=cmyk_profile())
    picture = read_picture(tmp_path / "p.tif")
    looks = [INK_LAB[name] for name in ("cyan", "magenta", "yellow", "paper")]
    expected = lab_to_srgb(np.array(looks, dtype=float))
    assert np.abs(values(picture)[2::4, 0] - expected).max() < 3 * STEP  # Lab itself is in 8 bits here
    assert "A test profile" in picture.notes[0]


def test_gray_goes_through_its_profile_in_8_and_16_bits(tmp_path: Path) -> None:
    profile = icc(b"GRAY", {b"kTRC": gamma(1.0)})
    levels = np.linspace(0, 65535, 1024).astype(np.uint16).reshape(32, 32)
    Image.fromarray((levels >> 8).astype(np.uint8)).save(tmp_path / "byte.png", icc_profile=profile)
    Image.fromarray(levels).save(tmp_path / "deep.png", icc_profile=profile)
    byte, deep = values(read_picture(tmp_path / "byte.png")), values(read_picture(tmp_path / "deep.png"))
    assert np.abs(byte[..., 1] - encoded_srgb((levels >> 8) / 255)).max() <= 1.1 * STEP
    # Straight lines between 256 points miss sRGB's curve by a few steps near black, where it is steepest.
    bright = levels > 2000
    assert np.abs(deep[..., 1] - encoded_srgb(levels / 65535))[bright].max() <= 1.5 * STEP
    assert len(np.unique(deep)) > 2 * 256


def test_a_color_profile_on_a_gray_picture_counts(tmp_path: Path) -> None:
    Image.fromarray(smooth_rgb()[..., 0]).save(tmp_path / "p.png", icc_profile=rgb_profile(SRGB_D50, 1.0))
    expected = encoded_srgb(smooth_rgb()[..., :1] / 255)
    assert np.abs(values(read_picture(tmp_path / "p.png")) - expected).max() <= 1.6 * STEP


@pytest.mark.parametrize(
    ("profile", "says"),
    [(b"junk" * 100, "damaged"), (rgb_profile(SRGB_D50, 1.0)[:260], ""), (cmyk_profile(), "for CMYK")],
)
def test_a_profile_that_is_of_no_use_is_ignored_and_noted(tmp_path: Path, profile: bytes, says: str) -> None:
    Image.fromarray(smooth_rgb()).save(tmp_path / "p.png", icc_profile=profile)
    picture = read_picture(tmp_path / "p.png")
    np.testing.assert_allclose(values(picture), smooth_rgb() / 255, atol=1e-6)
    assert len(picture.notes) == 1
    assert "ignored" in picture.notes[0]
    assert says in picture.notes[0]


# -- what is no picture --------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(FileError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_an_mp3_frame_is_known_and_utf16_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfb\x90\x64" + bytes(400))
    (tmp_path / "b").write_bytes("hello, this is text".encode("utf-16"))
    assert "specstyle audio" in refusal(tmp_path / "a")
    assert "sound" not in refusal(tmp_path / "b")


OTHERS = {
    "wav": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(200), "(WAV), not a picture; use `specstyle audio`"),
    "flac": (b"fLaC\0\0\0\x22" + bytes(200), "(FLAC)"),
    "ogg": (b"OggS\0\x02" + bytes(200), "(Ogg)"),
    "mp3": (b"ID3\x04\0" + bytes(200), "(MP3)"),
    "aiff": (b"FORM\0\0\0\x20AIFF" + bytes(200), "(AIFF)"),
    "svg": (b'<?xml version="1.0"?><svg width="9"></svg>', "SVG"),
    "pdf": (b"%PDF-1.7\n" + bytes(50), "PDF"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
    "avif": (b"\0\0\0\x18ftypavif" + bytes(50), "AVIF"),
    "noise": (bytes(range(128, 256)) * 4, "not a picture"),
    "header": (b"\x89PNG\r\n\x1a\n", "PNG"),
    "ppm": (b"P6 2 2 255 " + bytes(12), "not a picture"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, name: str) -> None:
    content, says = OTHERS[name]
    (tmp_path / f"{name}.png").write_bytes(content)
    assert says in refusal(tmp_path / f"{name}.png")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "p.png")

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)  # chmod stops nobody who is root
    assert "Permission denied" in refusal(tmp_path / "p.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_damaged_files_are_read_or_refused_in_one_line(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)).save(buffer, format=kind)
    whole, path = buffer.getvalue(), tmp_path / "p"
    refused = 0
    for cut in np.linspace(1, len(whole) - 1, 30).astype(int):
        path.write_bytes(whole[:cut])
        refused += not readable(path)
    assert refused >= 20  # a cut in the last few bytes may harm no pixel
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 400), 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        readable(path)
    assert capfd.readouterr().err == ""


def readable(path: Path) -> bool:
    try:
        picture = read_picture(path)
    except FileError as error:
        lines = str(error).splitlines()
    else:
        assert torch.isfinite(picture.pixels).all()
        return True
    assert len(lines) == 1
    return False


def test_decompression_bombs_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = {"twice": (30000, 30000), "between": (13378, 13378), "line": (MAX_PIXELS + 1, 1)}
    for name, (width, height) in sides.items():
        (tmp_path / name).write_bytes(png(width, height, 8, 2, b""))
        assert "178,956,970" in refusal(tmp_path / name)
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x08\x01\0\0;"
    (tmp_path / "gif").write_bytes(gif)
    assert "178,956,970" in refusal(tmp_path / "gif")
    # Below the limit but above the size at which Pillow warns: only the missing pixels are wrong.
    (tmp_path / "large").write_bytes(png(9500, 9500, 1, 0, b""))
    assert "cut short" in refusal(tmp_path / "large")
    # The limit is ours, whatever a program has told Pillow.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert "178,956,970" in refusal(tmp_path / "twice")


# -- checks --------------------------------------------------------------------------------------------------


def test_check_picture_refuses_what_holds_nothing() -> None:
    good = np.random.default_rng(0).random((8, 8, 3))
    check_picture(as_picture(good), role="style")
    check_picture(as_picture(good, np.full((8, 8), 0.01)), role="style")
    broken = good.copy()
    broken[0, 0, 0] = np.inf
    cases = {
        "at least 8": as_picture(good[:1, :1]),
        "7 x 8 pixels": as_picture(good[:, :7]),
        "infinite": as_picture(broken),
        "single color": as_picture(np.full((9, 9, 3), (0.2, 0.4, 0.6))),
        "another color": as_picture(np.zeros((9, 9, 3)), np.eye(9)),
        "transparent": as_picture(good, np.zeros((8, 8))),
    }
    for says, picture in cases.items():
        with pytest.raises(FileError, match=says) as caught:
            check_picture(picture, role="style")
        assert "(style)" in str(caught.value)


def test_picture_validates_its_shapes() -> None:
    for pixels, alpha in (
        (torch.zeros(1, 3, 8, 8), None),
        (torch.zeros(4, 8, 8), None),
        (torch.zeros(3, 8, 8, dtype=torch.float16), None),
        (torch.zeros(3, 0, 8), None),
        (torch.zeros(3, 8, 8), torch.zeros(8, 8)),
    ):
        with pytest.raises(ValueError, match=r"pixels|alpha"):
            Picture(pixels, alpha)


# -- writing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_lossless_round_trip_with_alpha(tmp_path: Path, suffix: str) -> None:
    rgba = np.random.default_rng(1).integers(0, 256, (17, 13, 4)) / 255
    for picture in (as_picture(rgba[..., :3]), as_picture(rgba[..., :3], rgba[..., 3])):
        assert write_picture(picture, tmp_path / f"p{suffix}") == ()
        back = read_picture(tmp_path / f"p{suffix}")
        np.testing.assert_allclose(values(back), rgba[..., :3], atol=1e-6)
        assert (back.alpha is None) == (picture.alpha is None)
        if back.alpha is not None:
            np.testing.assert_allclose(back.alpha[0].numpy(), rgba[..., 3], atol=1e-6)


def test_webp_keeps_alpha_exactly_and_colors_closely(tmp_path: Path) -> None:
    alpha = np.full((HEIGHT, WIDTH), 0.2)
    alpha[:, 9:] = 1
    assert write_picture(as_picture(smooth_rgb() / 255, alpha), tmp_path / "p.webp") == ()
    assert b"VP8 " in (tmp_path / "p.webp").read_bytes()  # the lossy codec
    back = read_picture(tmp_path / "p.webp")
    np.testing.assert_allclose(back.alpha[0].numpy(), alpha, atol=1e-6)
    assert np.abs(values(back) - smooth_rgb() / 255).mean() < 3 * STEP


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_jpeg_keeps_full_color_resolution_and_drops_alpha(tmp_path: Path, suffix: str) -> None:
    stripes = np.zeros((32, 32, 3))
    stripes[:, ::2] = 1, 0, 0
    stripes[:, 1::2] = 0, 0, 1
    notes = write_picture(as_picture(stripes, np.ones((32, 32))), tmp_path / f"p{suffix}")
    assert len(notes) == 1
    assert "alpha was dropped" in notes[0]
    with Image.open(tmp_path / f"p{suffix}") as image:
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4
    back = read_picture(tmp_path / f"p{suffix}")
    assert back.alpha is None
    assert np.abs(values(back) - stripes).mean() < 0.05  # with 4:2:0 all would be one purple


def test_values_are_rounded_to_the_nearest_step_and_clipped(tmp_path: Path) -> None:
    given = np.array([-3.0, 0.0, 0.49 / 255, 0.51 / 255, 127.4 / 255, 127.6 / 255, 0.9999, 7.0])
    write_picture(as_picture(given.reshape(2, 4, 1).repeat(3, 2)), tmp_path / "p.png")
    stored = np.asarray(Image.open(tmp_path / "p.png"))
    np.testing.assert_array_equal(stored[..., 0].ravel(), [0, 0, 0, 1, 127, 128, 255, 255])


def test_suffixes(tmp_path: Path) -> None:
    names = {"a.png": "PNG", "a.JPG": "JPEG", "a.jpeg": "JPEG", "a.WebP": "WEBP", "a.b.tif": "TIFF"}
    for name, kind in names.items():
        assert check_output_suffix(name) == kind
    for name in ("a.gif", "a", "a.wav", "png"):
        with pytest.raises(FileError, match=r"\.png, \.jpg, \.jpeg, \.webp, \.tif, \.tiff"):
            check_output_suffix(Path(name))
        with pytest.raises(FileError):
            write_picture(as_picture(smooth_rgb() / 255), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_writing_says_why_it_cannot(tmp_path: Path) -> None:
    picture = as_picture(smooth_rgb() / 255)
    with pytest.raises(FileError, match="No such file"):
        write_picture(picture, tmp_path / "none" / "p.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(FileError, match="directory"):
        write_picture(picture, tmp_path / "folder.png")
    with pytest.raises(FileError, match="16383"):
        write_picture(Picture(torch.rand(3, 1, 16384)), tmp_path / "p.webp")
    with pytest.raises(FileError, match="NaN"):
        write_picture(Picture(torch.full((3, 8, 8), torch.nan)), tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()
