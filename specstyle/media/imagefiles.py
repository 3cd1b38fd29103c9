"""Picture file <-> Picture: formats, EXIF orientation, alpha, and what can be wrong with a file."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from specstyle.errors import FileError
from specstyle.media.imagecolor import has_deep_color, to_srgb

MAX_PIXELS = 178_956_970
"""Largest picture that is decoded: the size at which Pillow itself refuses one."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_ACCEPTED = "JPEG, PNG, WebP, TIFF, BMP or GIF"
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
_SNIFFED_BYTES = 4096


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in sRGB.

    Attributes:
        pixels: Colors from 0 to 1, float32 or float64, shape ``[3, H, W]``, not premultiplied by alpha.
        alpha: Opacity from 0 to 1, shape ``[1, H, W]``, or None for an opaque picture.
        name: What to call it in messages and figures.
        notes: What happened on reading that a user may want to know, one sentence each.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    name: str = "picture"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"pixels: expected float32 or float64, got {self.pixels.dtype}")
        if self.pixels.ndim != 3 or self.pixels.shape[0] != 3 or 0 in self.pixels.shape:
            raise ValueError(f"pixels: expected shape [3, H, W], got {list(self.pixels.shape)}")
        if self.alpha is not None and self.alpha.shape != (1, *self.pixels.shape[1:]):
            raise ValueError(
                f"alpha: expected shape {[1, *self.pixels.shape[1:]]}, got {list(self.alpha.shape)}"
            )

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[2]


# -- reading -------------------------------------------------------------------------------------------------


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
        raise FileError(f"{path}: cannot be read ({_reason(error)}); expected a readable picture") from error
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
        raise FileError(f"{path}: cannot be read ({_reason(error)}); check the path") from error


def _opened(file: Any, path: Path) -> Image.Image:
    """Read a file's header and refuse what is no picture or too large, before anything is decoded."""
    head = file.read(_SNIFFED_BYTES)
    sound = _sound_format(head)
    if sound:
        raise FileError(f"{path}: is a sound ({sound}), not a picture; use `specstyle audio` for sounds")
    file.seek(0)
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise FileError(
            f"{path}: {_what_it_is(head)}; expected {_ACCEPTED}; convert it or give another file"
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
        f"{path}: is damaged or cut short ({_reason(error)}); expected a complete {kind}; "
        "export or download it again"
    )


def _reason(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or repr(error)
    return " ".join(text.split())


def _sound_format(head: bytes) -> str | None:
    """Name the sound format that a file's first bytes announce, or None."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "WAV"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    for magic, kind in ((b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"ID3", "MP3"), (b".snd", "AU")):
        if head.startswith(magic):
            return kind
    # An MPEG frame of layer II or III (ISO 11172-3, 2.4.2.3), with no reserved value in its header.
    # Layer I is left out: it would take a UTF-16 text for a sound.
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        version, layer = (head[1] >> 3) & 3, (head[1] >> 1) & 3
        if version != 1 and layer in (1, 2) and head[2] >> 4 != 15 and (head[2] >> 2) & 3 != 3:
            return "MP3"
    return None


def _what_it_is(head: bytes) -> str:
    """Say in a few words what a file that is none of the accepted formats seems to be."""
    known = {
        b"%PDF": "is a PDF",
        b"8BPS": "is a Photoshop file",
        b"%!PS": "is a PostScript file",
        b"\x76\x2f\x31\x01": "is an OpenEXR picture",
        b"\x00\x00\x00\x0cjP": "is a JPEG 2000 picture",
        b"\xff\x0a": "is a JPEG XL picture",
        b"\x00\x00\x00\x0cJXL": "is a JPEG XL picture",
        b"\x89PNG": "is a damaged PNG",
        b"\xff\xd8": "is a damaged JPEG",
        b"GIF8": "is a damaged GIF",
    }
    for magic, kind in known.items():
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        is_avif, is_heif = head[8:11] == b"avi", head[8:12] in (b"heic", b"heix", b"mif1", b"msf1")
        return "is an AVIF picture" if is_avif else "is a HEIC picture" if is_heif else "is a video"
    if b"<svg" in head.lower():
        return "is an SVG drawing"
    try:
        # The last character may be cut in half by the end of the sniffed bytes.
        text = head.decode("utf-8", errors="strict" if len(head) < _SNIFFED_BYTES else "ignore")
    except UnicodeDecodeError:
        return "is not a picture in a known format"
    is_text = all(character.isprintable() or character.isspace() for character in text)
    return "is a text file, whatever its name says" if is_text else "is not a picture in a known format"


# -- writing -------------------------------------------------------------------------------------------------


def check_output_suffix(path: str | Path) -> str:
    """Find the format in which a picture would be written.

    Args:
        path: The file to write; its suffix decides, in upper or lower case.

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


def check_output_fits(height: int, width: int, path: str | Path) -> None:
    """Refuse a size that the format cannot hold.

    Args:
        height: In pixels.
        width: In pixels.
        path: Where the picture shall be written.

    Raises:
        FileError: An unknown suffix, or a picture too large for the format.
    """
    kind = check_output_suffix(path)
    limit = _LARGEST_SIDE.get(kind, 2**31 - 1)
    if max(height, width) > limit:
        raise FileError(
            f"{path}: {kind} holds at most {limit} pixels a side, this picture is {width} x {height}; "
            "write a .png or make it smaller"
        )


def write_picture(picture: Picture, path: str | Path) -> tuple[str, ...]:
    """Write a picture with 8 bits per channel, in the format that the suffix names.

    JPEG keeps full color resolution (4:4:4). Nothing but ``path`` is written, and not atomically.

    Args:
        picture: The picture; values outside 0 to 1 are clipped, the rest rounded to the nearest step.
        path: The file to write.

    Returns:
        Notes: one sentence for each thing that the format could not keep.

    Raises:
        FileError: An unknown suffix, a picture too large for the format, NaN, or a file that cannot be
            written, with the system's reason.
    """
    path = Path(path)
    kind = check_output_suffix(path)
    check_output_fits(picture.height, picture.width, path)
    notes = []
    layers = picture.pixels
    if picture.alpha is not None and kind == "JPEG":
        notes.append("JPEG has no transparency: alpha was dropped; write .png, .webp or .tif to keep it")
    elif picture.alpha is not None:
        layers = torch.cat([layers, picture.alpha.to(layers)])
    try:
        path.write_bytes(_compressed(_bytes(layers, path), kind))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path}: cannot be written ({_reason(error)}); "
            "check that its folder exists, may be written to and has space left"
        ) from error
    return tuple(notes)


def _bytes(layers: Tensor, path: Path) -> NDArray[np.uint8]:
    values = layers.detach().cpu().numpy()
    if not np.isfinite(values).all():
        raise FileError(f"{path}: not written, the picture has NaN or infinite values")
    steps = np.floor(np.clip(values, 0, 1) * 255 + 0.5)
    return np.ascontiguousarray(steps.astype(np.uint8).transpose(1, 2, 0))


def _compressed(pixels: NDArray[np.uint8], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **_SAVE_OPTIONS[kind])
    return buffer.getvalue()
