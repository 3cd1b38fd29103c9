"""Odd pictures, made by code, with what must come of each."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 24, 40


@dataclass(frozen=True)
class Case:
    """A file and its outcome.

    Attributes:
        name: Of the file.
        content: Its bytes.
        pixels: What must be read, from 0 to 1, ``[H, W, 3]``; None: see ``error``.
        note: What its notes must say (a regular expression; "": there are none).
        error: What the one line must say that refuses it.
        tolerance: Largest deviation of a value.
    """

    name: str
    content: bytes
    pixels: Array | None = None
    note: str = ""
    error: str = ""
    tolerance: float = 1e-6


def colors(bits: int = 8, channels: int = 3) -> Array:
    """Smooth enough for a JPEG, and every channel another."""
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    planes = np.stack([x, y, (x + y) / 2, 1 - x / 2], 2)[..., :channels]
    return np.rint(planes * (2**bits - 1)).astype(np.uint64)


def saved(values: Array, kind: str, mode: str | None = None, **how: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(values.astype(np.uint8))
    (image.convert(mode) if mode else image).save(file, kind, **how)
    return file.getvalue()


# -- TIFF ----------------------------------------------------------------------------------------------------


def tiff(
    tags: dict[int, tuple[str, Sequence[int]]],
    strips: Sequence[bytes],
    *,
    order: str = "<",
    big: bool = False,
) -> bytes:
    """A TIFF or BigTIFF of these strips."""
    word, entry = ("Q", "HHQ") if big else ("I", "HHI")
    inline, start = struct.calcsize(f"{order}{word}"), 16 if big else 8
    data, offsets = b"", []
    for strip in strips:
        offsets.append(start + len(data))
        data += strip + b"\0" * (len(strip) % 2)
    tags = {**tags, 273: ("I", offsets), 279: ("I", [len(strip) for strip in strips])}
    directory = start + len(data)
    place = directory + (8 if big else 2) + (20 if big else 12) * len(tags) + inline
    entries, more = b"", b""
    for tag, (form, values) in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(values)}{form}", *values)
        kind = {"B": 1, "H": 3, "I": 4}[form]
        entries += struct.pack(f"{order}{entry}", tag, kind, len(values))
        entries += (
            raw.ljust(inline, b"\0")
            if len(raw) <= inline
            else struct.pack(f"{order}{word}", place + len(more))
        )
        more += raw if len(raw) > inline else b""
    head = {"<": b"II", ">": b"MM"}[order]
    head += (
        struct.pack(f"{order}HHHQ", 43, 8, 0, directory) if big else struct.pack(f"{order}HI", 42, directory)
    )
    return (
        head + data + struct.pack(f"{order}{'Q' if big else 'H'}", len(tags)) + entries + bytes(inline) + more
    )


def packed_bits(values: Array, bits: int) -> bytes:
    """Numbers without gaps, but at the end of each row."""
    rows = values.reshape(len(values), -1)
    single = (rows[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint64)) & np.uint64(1)
    return np.packbits(single.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def tags_of(
    values: Array, bits: int, photometric: int = 2, planar: int = 1, **more: Any
) -> dict[int, tuple[str, Sequence[int]]]:
    n = values.shape[2]
    found = {256: ("I", [WIDTH]), 257: ("I", [HEIGHT]), 258: ("H", [bits] * n), 259: ("H", [1]),
             262: ("H", [photometric]), 277: ("H", [n]),
             278: ("I", [HEIGHT]), 284: ("H", [planar])}  # fmt: skip
    return {**found, **{int(tag[1:]): value for tag, value in more.items()}}


def tiff_cases() -> Iterator[Case]:
    for order, big in (("<", False), (">", False), ("<", True), (">", True)):
        of = f"{'big-' * big}{'little' if order == '<' else 'large'}"
        for bits in (8, 10, 12, 14, 16, 32):
            values = colors(bits)
            exact = values / (2**bits - 1)
            code = f"{order}u{bits // 8}"
            whole = values.astype(code).tobytes() if bits in (8, 16, 32) else packed_bits(values, bits)
            planes = [
                values[..., c].astype(code).tobytes()
                if bits in (8, 16, 32)
                else packed_bits(values[..., c], bits)
                for c in range(3)
            ]
            yield Case(f"{of}-{bits}.tif", tiff(tags_of(values, bits), [whole], order=order, big=big), exact)
            planar = tags_of(values, bits, planar=2)
            yield Case(f"{of}-{bits}-planar.tif", tiff(planar, planes, order=order, big=big), exact)
            zipped = {**planar, 259: ("H", [8])}
            yield Case(
                f"{of}-{bits}-planar-deflate.tif",
                tiff(zipped, [zlib.compress(p) for p in planes], order=order, big=big),
                exact,
            )
        for bits in (16, 32, 64):
            values = (colors(8) / 255).astype(f"{order}f{bits // 8}")
            floats = tags_of(values, bits, t339=("H", [3] * 3))
            yield Case(
                f"{of}-float{bits}.tif",
                tiff(floats, [values.tobytes()], order=order, big=big),
                values.astype(float),
            )
        values = (colors(8) / 255).astype(f"{order}f4")
        tags = tags_of(values, 32, t339=("B", [3] * 3)) | {258: ("B", [32] * 3), 259: ("B", [1])}
        content = tiff(tags, [values.tobytes()], order=order, big=big)
        yield Case(f"{of}-float-tags-of-bytes.tif", content, values.astype(float))
        values = (colors(8) / 51).astype(f"{order}f4")
        floats = tags_of(values, 32, t339=("H", [3] * 3))
        content = tiff(floats, [values.tobytes()], order=order, big=big)
        yield Case(f"{of}-float-to-5.tif", content, values / 5.0, note="from 0 to 5 stretched")
    gray, bits = colors(14, 1), 14
    exact = np.repeat(gray / (2**bits - 1), 3, 2)
    yield Case("gray14.tif", tiff(tags_of(gray, bits, 1), [packed_bits(gray, bits)]), exact)
    yield Case("gray14-inverted.tif", tiff(tags_of(gray, bits, 0), [packed_bits(gray, bits)]), 1 - exact)
    deep = colors(16)
    strips = [deep[i : i + 5].astype("<u2").tobytes() for i in range(0, HEIGHT, 5)]
    rows = {**tags_of(deep, 16), 278: ("I", [5])}
    yield Case("strips.tif", tiff(rows, strips), deep / 65535)
    by_plane = [deep[i : i + 5, :, c].astype("<u2").tobytes() for c in range(3) for i in range(0, HEIGHT, 5)]
    yield Case(
        "strips-planar.tif", tiff({**tags_of(deep, 16, planar=2), 278: ("I", [5])}, by_plane), deep / 65535
    )
    yield Case(
        "strips-lost.tif",
        tiff({**tags_of(deep, 16, planar=2), 278: ("I", [5])}, by_plane[:7]),
        error="strips are missing",
    )
    yield Case(
        "planar-cut.tif",
        tiff(tags_of(deep, 16, planar=2), [s[:100] for s in strips[:3]]),
        error="has 100 bytes",
    )
    lzw = {**tags_of(deep, 16, planar=2), 259: ("H", [5])}
    yield Case(
        "planar-lzw.tif",
        tiff(lzw, strips[:3]),
        error="3 times 16 bits in planes, compression 5, which is not read",
    )
    step = np.diff(deep.astype("<u2"), axis=1, prepend=np.zeros((HEIGHT, 1, 3), "<u2"))
    predicted = {**tags_of(deep, 16, planar=2), 259: ("H", [8]), 317: ("H", [2])}
    yield Case(
        "planar-predicted.tif",
        tiff(predicted, [zlib.compress(step[..., c].tobytes()) for c in range(3)]),
        deep / 65535,
    )
    steps = colors(8, 1)
    for name, top in (("8", 1), ("16", 257)):
        palette = [*(np.arange(256) * top), *(np.arange(255, -1, -1) * top), *(np.arange(256) // 2 * top)]
        tags = tags_of(steps, 8, 3, t320=("H", palette))
        expected = np.concatenate([steps, 255 - steps, steps // 2], 2) / 255
        yield Case(f"palette{name}.tif", tiff(tags, [steps.astype("u1").tobytes()]), expected)


# -- PNG, JPEG and the others --------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def to_srgb(light: Array) -> Array:
    """IEC 61966-2-1."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def png_cases() -> Iterator[Case]:
    values = colors()
    plain, exact = saved(values, "PNG"), values / 255
    for gamma, note in ((1.0, "gamma of 1"), (0.55, "gamma of 0.55"), (0.45455, "")):
        tagged = plain[:33] + chunk(b"gAMA", struct.pack(">I", round(gamma * 1e5))) + plain[33:]
        expected = to_srgb(exact ** (1 / gamma)) if note else exact
        yield Case(f"gamma-{gamma}.png", tagged, expected, note=note)
        both = tagged[:33] + chunk(b"sRGB", b"\0") + tagged[33:]
        yield Case(f"gamma-{gamma}-srgb.png", both, exact)
    yield Case("no-end.png", plain[:-12], exact)
    yield Case("cut.png", plain[: len(plain) // 2], error="cut short")
    second = Image.fromarray(255 - values.astype(np.uint8))
    for kind, note in (("GIF", "frames"), ("WEBP", "frames"), ("PNG", "frames"), ("TIFF", "pages")):
        how = {"lossless": True} if kind == "WEBP" else {}
        several = saved(values, kind, save_all=True, append_images=[second], **how)
        expected = np.asarray(Image.open(io.BytesIO(saved(values, kind, **how))).convert("RGB")) / 255
        yield Case(f"two.{kind.lower()}", several, expected, note=f"only the first of several {note}")
    several = saved(values, "GIF", save_all=True, append_images=[second])
    expected = np.asarray(Image.open(io.BytesIO(saved(values, "GIF"))).convert("RGB")) / 255
    at = several.rfind(b"\x2c")
    yield Case("second-frame-cut.gif", several[: at + 9], expected, note="only the first|^$")
    gps = Image.Exif()
    gps[0x8825] = {1: "N"}
    yield Case("gps.png", saved(values, "PNG", exif=gps), exact, note="GPS")


def jpeg_cases() -> Iterator[Case]:
    for name, how in (("", {}), ("progressive", {"progressive": True}), ("gray", {"mode": "L"}),
                      ("cmyk", {"mode": "CMYK"}), ("restarts", {"restart_marker_rows": 1})):  # fmt: skip
        content = saved(colors(), "JPEG", quality=95, **how)
        exact = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) / 255
        said = "CMYK" if name == "cmyk" else ""
        yield Case(f"{name}.jpg", content, exact, note=said)
        yield Case(f"{name}-no-end.jpg", content[:-2], exact, note="no end mark|^$")
        yield Case(f"{name}-half-an-end.jpg", content[:-1], exact, note="no end mark|^$")
        yield Case(f"{name}-more-behind.jpg", content + b"more" * 99, exact, note=said)
        yield Case(f"{name}-cut.jpg", content[: len(content) * 3 // 4], error="cut short")
        yield Case(f"{name}-head.jpg", content[:200], error="damaged or cut short|cannot")


def foreign_cases() -> Iterator[Case]:
    for name, content, error in (
        ("sound.png", b"RIFF\x00\x01\x00\x00WAVEfmt " + bytes(99), "is a sound.*specstyle audio"),
        ("film.png", b"\x00\x00\x00\x18ftypisom" + bytes(200), "is a video"),
        ("photoshop.png", b"8BPS" + bytes(200), "Photoshop"),
        ("text.jpg", b"no picture\n" * 9, "text"),
        ("zeros.jpg", bytes(500), "not a picture in a known format"),
        ("jxl.jpg", b"\xff\x0a" + bytes(99), "JPEG XL"),
        ("empty.png", b"", "is empty"),
    ):
        yield Case(name, content, error=error)
    for mode in ("1", "L"):
        file = io.BytesIO()
        Image.new(mode, (13000, 13000)).save(file, "PNG", compress_level=1)
        yield Case(f"bomb-{mode}.png", file.getvalue(), error="grows to 1934 MiB")


@functools.cache
def picture_cases() -> list[Case]:
    return [*tiff_cases(), *png_cases(), *jpeg_cases(), *foreign_cases()]
