"""Picture file <-> Picture: formats, EXIF orientation, alpha, and what can be wrong with a file."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile

from specstyle.errors import FileError
from specstyle.files import url_of
from specstyle.media import tiff
from specstyle.media.imagecolor import FloatArray, has_deep_color, in_floats, open_ended, read_low_bytes
from specstyle.media.imagetags import UNKNOWN, Origin, origin_of
from specstyle.media.imagewriting import check_output_fits, check_output_suffix, write_picture
from specstyle.media.pictures import Picture
from specstyle.media.sniffing import SNIFFED_BYTES, reason_of, silent_stderr, sound_format, what_it_is

__all__ = ["Picture", "check_output_fits", "check_output_suffix", "read_picture", "write_picture"]

MAX_PIXELS = 178_956_970
"""Most pixels that are decoded: the number at which Pillow itself refuses a picture."""

MAX_BYTES, MAX_GROWTH = 2**30, 100
"""A picture whose colors take more than so many bytes as floats, and that has more than so many pixels for
each byte of its file, is made to fill the memory."""

LARGE = 16_000_000
"""Pixels from which on a picture is reduced as it is read, where a small one is asked for."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
_ACCEPTED = "JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF"
_ANIMATED = {"TIFF": "pages", "PNG": "frames", "WEBP": "frames", "GIF": "frames", "AVIF": "frames"}


def read_picture(path: str | Path, longest: int | None = None) -> Picture:
    """Read a picture file: upright, in sRGB, with its alpha.

    Of an animation or a file of several pages the first is read. 16 bits per channel keep their 65,536 steps,
    but for CMYK, gray with alpha in a PNG, and colors with an ICC profile, which are read to 8 bits.

    Args:
        path: A JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF file, or HEIC with the extra ``heic``; its content
            decides, not its suffix.
        longest: Longest side, in pixels, that will be needed: a large picture is then reduced, by a whole
            number and to twice that at least. ``None``: all of it.

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
            odd = tiff.odd_tags(file)
            if odd is not None:
                colors, alpha, origin = _odd(file, odd, path, notes), None, UNKNOWN
            else:
                colors, alpha, origin = _read(file, path, longest, notes)
    except OSError as error:
        raise FileError(
            f"{path}: cannot be read ({reason_of(error)}); expected a readable picture"
        ) from error
    except MemoryError as error:
        raise FileError(f"{path}: does not fit in memory; make the picture smaller first") from error
    return Picture(
        torch.from_numpy(colors),
        None if alpha is None else torch.from_numpy(alpha),
        path.name,
        tuple(dict.fromkeys(notes)),
        origin,
    )


def _read(
    file: Any, path: Path, longest: int | None, notes: list[str]
) -> tuple[FloatArray, FloatArray | None, Origin]:
    """Return colors ``[3, H, W]``, alpha ``[1, H, W]`` and origin of what Pillow reads."""
    image = _opened(file, path)
    pixels, step = image.width * image.height, 1
    if longest is not None and pixels > LARGE:
        step = max(max(image.size) // (2 * longest), 1)
        image.draft(None, (image.width // step, image.height // step))  # a JPEG by up to 8, as it is decoded
    if image.width * image.height > MAX_PIXELS:
        raise FileError(
            f"{path}: has {image.width} x {image.height} = {image.width * image.height:,} pixels; "
            f"at most {MAX_PIXELS:,} are accepted; make it smaller first"
            + ("" if image.format != "JPEG" else ", or ask for a small --size")
        )
    if has_deep_color(image):  # two images of four bytes a pixel, its high and its low bytes
        _check_growth(path, pixels, 8 * image.width * image.height)
    low = _low_bytes(image, path)
    image = _decode(image, path, notes, deep=low is None and has_deep_color(image))
    origin = origin_of(image, notes)
    if longest is not None and pixels > LARGE:
        step = max(max(image.size) // (2 * longest), 1)
    size = [-(-side // step) for side in image.size]
    if size[0] * size[1] < pixels:
        notes.append(f"read at {size[0]} x {size[1]} pixels: all that a small result needs of {pixels:,}")
    floats = 12 * size[0] * size[1]
    if image.mode in ("I", "F"):  # all of it at once, in float64
        floats = 36 * image.width * image.height
    _check_growth(path, pixels, floats, "make it smaller first, or ask for a small --size")
    return (*in_floats([image] if low is None else [image, low], step, notes), origin)


def _check_growth(path: Path, pixels: int, n_bytes: int, remedy: str = "make it smaller first") -> None:
    """Refuse a picture that is made to fill the memory: so many pixels take so many bytes."""
    size = path.stat().st_size
    if n_bytes > MAX_BYTES and pixels > MAX_GROWTH * size:
        raise FileError(
            f"{path}: grows to {n_bytes >> 20} MiB as it is decoded, from {size:,} bytes; {remedy}"
        )


def _odd(file: Any, tags: tiff.Tags, path: Path, notes: list[str]) -> FloatArray:
    """Return the colors, ``[3, H, W]``, of a TIFF that Pillow does not read."""
    width, height = tags[256][0], tags[257][0]
    n_bytes = height * width * tags.get(277, (1,))[0] * tags.get(258, (1,))[0] // 8
    if n_bytes > tiff.MAX_BYTES:
        raise FileError(f"{path}: grows to {n_bytes >> 20} MiB as it is decoded; make it smaller first")
    try:
        values = tiff.decoded(file, tags)
    except ValueError as error:
        raise _damaged(path, "TIFF", error) from error
    if values is None:
        raise FileError(
            f"{path}: is {tiff.described(tags)}, which is not read; save it as 16 bits, or as PNG"
        )
    if values.shape[2] == 4:
        notes.append("the fourth channel was left out")
    colors = open_ended(values[..., :3], notes)
    return np.ascontiguousarray(np.broadcast_to(colors.transpose(2, 0, 1), (3, height, width)))


def _require_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise FileError(f"{path}: is a folder; expected a picture file; name a file inside it")
        if url := url_of(path):
            raise FileError(f"{url}: is an URL; download it, and give the file")
        if not path.exists():
            raise FileError(f"{path}: no such file; expected a picture ({_ACCEPTED}); check the path")
        if not path.is_file():  # a pipe or a device, which could block for ever
            raise FileError(f"{path}: is not an ordinary file; save the picture to a file first")
        if path.stat().st_size == 0:
            raise FileError(f"{path}: is empty; expected a picture; export or download it again")
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: cannot be read ({reason_of(error)}); check the path") from error


def _opened(file: Any, path: Path) -> Image.Image:
    """Read a file's header and refuse what is no picture, before anything is decoded."""
    file.seek(0)
    head = file.read(SNIFFED_BYTES)
    sound = sound_format(head)
    if sound:
        raise FileError(f"{path}: is a sound ({sound}), not a picture; use `specstyle audio` for sounds")
    file.seek(0)
    formats = [name for name in _FORMATS if _can_read(name, head)]
    try:
        if (
            head[:3] == b"\xff\xd8\xff"
        ):  # not by `open`, which refuses phones' largest before they are reduced
            return JpegImageFile(file)
        with silent_stderr():
            return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise FileError(
            f"{path}: {what_it_is(head)}; expected {_ACCEPTED}; convert it or give another file"
        ) from error
    except Image.DecompressionBombError as error:
        raise FileError(
            f"{path}: is too large; at most {MAX_PIXELS:,} pixels are accepted; make it smaller first"
        ) from error
    except Exception as error:  # a damaged header makes Pillow raise nearly anything
        raise _damaged(path, "picture", error) from error


def _can_read(name: str, head: bytes) -> bool:
    """Tell whether Pillow has a format, here and now; HEIC comes with the extra ``heic``."""
    if name != "HEIF":
        return name != "AVIF" or bool(features.check("avif"))
    if head[4:8] != b"ftyp" or head[8:11] == b"avi":
        return False
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _low_bytes(image: Image.Image, path: Path) -> Image.Image | None:
    """Return the low bytes of 16-bit colors, decoded and upright, where they can be had."""
    # Profiles are applied to 8 bits.
    if not has_deep_color(image) or image.info.get("icc_profile"):
        return None
    low = _opened(io.BytesIO(path.read_bytes()), path)
    if not read_low_bytes(low):
        return None
    return _decode(low, path, [])


def _decode(image: Image.Image, path: Path, notes: list[str], *, deep: bool = False) -> Image.Image:
    """Decode the first frame and turn it upright."""
    if deep:
        notes.append("16 bits per channel were read as 8")
    plain = image.format == "TIFF" and _mend_ycbcr(image)
    try:
        with silent_stderr():
            image.load()
    except MemoryError:
        raise
    except Exception as error:  # what a decoder raises on damaged data is not of one kind
        ended = _ended(image, path) if image.format == "JPEG" else None
        if ended is None:
            raise _damaged(path, image.format or "picture", error) from error
        image = ended
        notes.append("the file has no end mark; nothing of the picture is missing")
    with contextlib.suppress(Exception), silent_stderr():  # what follows may be damaged in as many ways
        if image.format in _ANIMATED and getattr(image, "is_animated", False):
            notes.append(f"only the first of several {_ANIMATED[image.format]} is read")
    if plain:
        image.paste(Image.frombytes("YCbCr", image.size, image.tobytes()).convert("RGB"))
    if image.format == "TIFF" and image.mode == "P":
        _mend_palette(image)
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # likewise for damaged EXIF data, which is no reason to refuse the pixels
        notes.append("the EXIF data are damaged; the picture may lie on its side")
    return image


def _ended(image: Image.Image, path: Path) -> Image.Image | None:
    """Decode a JPEG without an end mark, if that alone is missing: then it does not matter what follows."""
    found = []
    for padding in (b"", b"\x55\xaa\x33" * 64):
        with contextlib.suppress(Exception):  # as above
            content = path.read_bytes().rstrip(b"\xff") + padding + b"\xff\xd9"
            again = JpegImageFile(io.BytesIO(content))
            again.draft(None, image.size)
            again.load()
            found.append(again)
    return found[0] if len(found) == 2 and found[0].tobytes() == found[1].tobytes() else None


def _mend_ycbcr(image: Any) -> bool:
    """Let three numbers a pixel be decoded, and tell that they are YCbCr, where Pillow takes them for four.

    So it does before 13 with TIFFs that are not packed.
    """
    kinds = {(tile.codec_name, tile.args[:1]) for tile in image.tile}
    wrong: bool = image.tag_v2.get(262) == 6 and kinds == {("raw", ("RGBX",))}
    if wrong:
        image.tile = [tile._replace(args=("RGB", *tile.args[1:])) for tile in image.tile]
    return wrong


def _mend_palette(image: Image.Image) -> None:
    """Take a palette of 8-bit values for what it is; TIFF asks for 16, and Pillow takes their high bytes."""
    values = image.tag_v2.get(320, ())  # type: ignore[attr-defined]
    if values and max(values) < 256:
        n = len(values) // 3
        image.putpalette([values[c * n + i] for i in range(n) for c in range(3)])


def _damaged(path: Path, kind: str, error: Exception) -> FileError:
    return FileError(
        f"{path}: is damaged or cut short ({reason_of(error)}); expected a complete {kind}; "
        "export or download it again"
    )
