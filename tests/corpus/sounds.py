"""Odd sound files, made by code, with what must come of each."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

RATE = 44100
LAME_DELAY = 1105
"""Samples in front of what LAME encodes: 576 of its own and 529 of every decoder's."""


@dataclass(frozen=True)
class Case:
    """A file and its outcome.

    Attributes:
        name: Of the file.
        content: Its bytes.
        samples: What must be read, ``[length, channels]``; None: see ``error``.
        note: What its notes must say (a regular expression; "": there are none).
        error: What the one line must say that refuses it.
        tolerance: Largest deviation of a sample. 0 for what is stored as numbers.
        delay: Samples in front that are not compared.
        more: Whether more may follow than is compared.
    """

    name: str
    content: bytes
    samples: np.ndarray[Any, Any] | None = None
    note: str = ""
    error: str = ""
    tolerance: float = 0.0
    delay: int = 0
    more: bool = False


def noise(length: int, channels: int = 1, seed: int = 0) -> np.ndarray[Any, Any]:
    """Quiet first and loud then: a variable bit rate has something to vary with."""
    envelope = np.where(np.arange(length) < length // 2, 0.003, 0.3)[:, None]
    return envelope * np.random.default_rng(seed).uniform(-1, 1, (length, channels))


def encoded(
    x: np.ndarray[Any, Any], kind: str, subtype: str | None = None, rate: int = RATE, **how: Any
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, x, rate, subtype, format=kind, **how)
    return file.getvalue()


def decoded(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(soundfile.read(io.BytesIO(content), always_2d=True)[0])


def packed(content: bytes, offset: int, form: str, *values: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(form, changed, offset, *values)
    return bytes(changed)


# -- MPEG ----------------------------------------------------------------------------------------------------


def id3v2(size: int, fill: bytes = b"x") -> bytes:
    n = size - 10
    return (
        b"ID3\3\0\0"
        + bytes([0, 0, n >> 7, n & 127])
        + b"PRIV"
        + struct.pack(">IH", n - 10, 0)
        + fill * (n - 10)
    )


def apev2(size: int) -> bytes:
    body = np.random.default_rng(1).bytes(size)
    return body + struct.pack("<8sIIII8s", b"APETAGEX", 2000, size + 32, 1, 0, b"")


LYRICS = b"LYRICSBEGININD0000210LYR02000" + b"x" * 2000 + b"002034LYRICS200"
ID3V1 = b"TAG" + b"\0" * 125


def headless(content: bytes) -> bytes:
    """An MP3 of libsndfile's without its first frame, which holds the Xing header and no sound."""
    found = max(content.find(b"Xing"), content.find(b"Info"))
    start = content.rfind(b"\xff", 0, found)
    return content[content.find(content[start : start + 2], found) :]


def mpeg_cases() -> Iterator[Case]:
    for mode, rate, channels in (("VARIABLE", RATE, 1), ("VARIABLE", 24000, 2), ("CONSTANT", RATE, 2),
                                 ("CONSTANT", 8000, 1)):  # fmt: skip
        x = noise(2 * rate, channels)
        whole = encoded(x, "MP3", rate=rate, bitrate_mode=mode, compression_level=0.3)
        bare, heard, of = headless(whole), decoded(whole), f"{mode[:3].lower()}-{rate}-{channels}"
        both = np.concatenate([heard, heard])
        lossy = {"tolerance": 1e-6}  # float32
        yield Case(f"{of}.mp3", whole, heard, **lossy)
        yield Case(f"{of}-id3-xing.mp3", id3v2(3000) + whole, heard, **lossy)
        yield Case(f"{of}-ape-xing.mp3", whole + apev2(100_000), heard, **lossy)
        yield Case(
            f"{of}-joined-xing.mp3", whole + whole, both, note="holds 2 recordings.*all were read", **lossy
        )
        yield Case(f"{of}-joined-tags.mp3", id3v2(500) + whole + ID3V1 + id3v2(500) + whole + ID3V1, both,
                   note="holds 2 recordings", **lossy)  # fmt: skip
        for name, content in {
            "": bare,
            "-id3": id3v2(3000) + bare,
            "-id3-of-frames": id3v2(3000, fill=bare[:4][:1]) + bare,
            "-ape": bare + apev2(100_000),
            "-lyrics": bare + LYRICS + ID3V1,
            "-id3v1": bare + ID3V1,
            "-junk": bytes(3000) + bare,
        }.items():
            yield Case(f"{of}-noxing{name}.mp3", content, heard, delay=LAME_DELAY, more=True, **lossy)
        cut = whole[: int(len(whole) * 0.6)]
        yield Case(
            f"{of}-cut.mp3", cut, heard[: rate // 2], note="cut off: .* frames missing", more=True, **lossy
        )
        yield Case(f"{of}-noxing-cut.mp3", bare[:-20], heard[: rate // 2],
                   note="cut off in its last frame", delay=LAME_DELAY, more=True, **lossy)  # fmt: skip
        hurt = bare[: len(bare) // 2] + b"\0" * 5000 + bare[len(bare) // 2 :]
        yield Case(
            f"{of}-hole.mp3",
            hurt,
            heard[: rate // 2],
            note="[0-9]+ bytes between",
            delay=LAME_DELAY,
            more=True,
            **lossy,
        )
        data = struct.pack("<HHIIHHHHIHHH", 0x55, channels, rate, 16000, 1, 0, 12, 1, 2, 417, 1, 1393)
        riff = b"fmt " + struct.pack("<I", len(data)) + data + b"data" + struct.pack("<I", len(bare)) + bare
        wav = b"RIFF" + struct.pack("<I", len(riff) + 4) + b"WAVE" + riff
        yield Case(f"{of}-in.wav", wav, heard, delay=LAME_DELAY, more=True, **lossy)
    other = encoded(noise(22050), "MP3", rate=22050)
    yield Case("two-rates.mp3", whole + other, heard, note="1 of another sample rate", tolerance=1e-6)
    yield Case("tag-only.mp3", id3v2(1034, fill=b"\0"), error="no sound in it")


# -- WAV and AIFF --------------------------------------------------------------------------------------------

PLACEHOLDERS = ((0, 0), (36, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0), (0x7FFFFFFF, 0x7FFFFFFF - 36),
                (0x7FFFF024, 0x7FFFF000), (0x80000024, 0x80000000))  # fmt: skip


def chunk_cases() -> Iterator[Case]:
    x = noise(3000, 2)
    plain_kinds = [("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")]
    others = [("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT")]
    for kind, subtype in plain_kinds + others:
        content = encoded(x, kind, subtype)
        heard, of = decoded(content), f"{kind}-{subtype}".lower()
        ending = ".aiff" if kind == "AIFF" else ".wav"
        size = len(content[content.find(b"SSND" if kind == "AIFF" else b"data") :]) // len(x)
        yield Case(of + ending, content, heard)
        for missing in (1, 2, 4, 7, len(content) // 2):
            left = len(x) - -(-missing // size)
            yield Case(f"{of}-less-{missing}{ending}", content[:-missing], heard[:left],
                       note=f"cut off: {missing} of its bytes are missing")  # fmt: skip
        yield Case(
            f"{of}-joined{ending}",
            content + content,
            np.concatenate([heard, heard]),
            note="holds 2 recordings",
        )
        yield Case(
            f"{of}-header-only{ending}",
            content[: len(content) - size * len(x)],
            error="cannot be read|that is nothing",
        )
    plain = encoded(x, "WAV", "PCM_16")
    heard, at = decoded(plain), plain.find(b"data") + 4
    for riff, data in PLACEHOLDERS:
        yield Case(
            f"streamed-{riff:x}-{data:x}.wav", packed(packed(plain, 4, "<I", riff), at, "<I", data), heard
        )
    for bits, subtype in ((8, "PCM_U8"), (16, "PCM_16"), (24, "PCM_24"), (32, "FLOAT")):
        content = encoded(x, "WAV", subtype)
        place = content.find(b"data") + 4
        half = packed(content, place, "<I", len(x) * bits // 8)
        yield Case(
            f"half-promised-{bits}.wav", half, decoded(content), note="says that it holds .* all .* were read"
        )
    yield Case("pad-byte.wav", plain + b"\0", heard)
    yield Case("id3-behind.wav", plain + id3v2(500), heard)
    yield Case("zeros-behind.wav", plain + bytes(999), heard)
    yield Case("riff-counts-itself.wav", packed(plain, 4, "<I", len(plain)), heard)
    notes = b"LIST" + struct.pack("<I", 4) + b"INFO"
    yield Case("notes-behind.wav", plain + notes, heard)
    empty = packed(packed(plain[: at + 4], 4, "<I", at + 4), at, "<I", 0) + notes
    yield Case("empty.wav", empty, np.zeros((0, 2)))
    bext = b"bext" + struct.pack("<I", 602) + bytes(602)
    yield Case("bext.wav", plain[:12] + bext + plain[12:], heard, note="broadcast metadata")
    pcm = plain[at + 4 :]
    head = (
        b"BW64"
        + struct.pack("<I", 0xFFFFFFFF)
        + b"WAVEds64"
        + struct.pack("<IQQQI", 28, len(pcm) + 72, len(pcm), 3000, 0)
    )
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 2, RATE, 4 * RATE, 4, 16)
    bw64 = head + form + b"data" + struct.pack("<I", 0xFFFFFFFF) + pcm
    yield Case("bw64.wav", bw64, heard)
    yield Case("bw64-cut.wav", bw64[:-400], heard[:-100], note="400 of its bytes are missing")
    streamed = encoded(x, "AIFF", "PCM_16")
    for size in (0, 0xFFFFFFFF, 0x7FFFFFFF):
        changed = packed(packed(streamed, 4, ">I", size), streamed.find(b"SSND") + 4, ">I", size)
        yield Case(f"streamed-{size:x}.aiff", changed, decoded(streamed))
    for offset, form_, value in ((24, "<I", 0), (24, "<I", 0xFFFFFFFF), (22, "<H", 0), (22, "<H", 65535),
                                 (34, "<H", 0), (34, "<H", 63)):  # fmt: skip
        yield Case(f"absurd-{offset}-{value}.wav", packed(plain, offset, form_, value), error="absurd")


# -- Ogg and FLAC --------------------------------------------------------------------------------------------


def in_ogg(native: bytes) -> bytes:
    """FLAC in Ogg pages (https://xiph.org/flac/ogg_mapping.html)."""
    blocks, position, last = [], 4, False
    while not last:
        size = int.from_bytes(native[position + 1 : position + 4], "big")
        last = bool(native[position] & 128)
        blocks.append(native[position : position + 4 + size])
        position += 4 + size
    packets = [b"\x7fFLAC\1\0" + struct.pack(">H", len(blocks) - 1) + b"fLaC" + blocks[0], *blocks[1:]]
    frames = native[position:]
    packets += [frames[i : i + 20_000] for i in range(0, len(frames), 20_000)]
    pages = b""
    for i, packet in enumerate(packets):
        lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        flags = 2 * (i == 0) | 4 * (i == len(packets) - 1)
        pages += b"OggS\0" + struct.pack("<BqIII", flags, 0, 7, i, 0) + bytes([len(lacing)]) + lacing + packet
    return pages


def ogg_cases() -> Iterator[Case]:
    for subtype, rate in (("VORBIS", RATE), ("OPUS", 48000)):
        content = encoded(noise(3 * rate, 2), "OGG", subtype, rate)
        heard = decoded(content)
        of = f"ogg-{subtype.lower()}"
        yield Case(f"{of}.ogg", content, heard)
        yield Case(
            f"{of}-joined.ogg", content + content, np.concatenate([heard, heard]), note="holds 2 recordings"
        )
        yield Case(f"{of}-three.ogg", content * 3, np.concatenate([heard] * 3), note="holds 3 recordings")
        yield Case(f"{of}-cut.ogg", content[: len(content) * 2 // 3], heard[:rate], note="cut off", more=True)
        yield Case(
            f"{of}-page-less.ogg",
            content[: content.rfind(b"OggS")],
            heard[:rate],
            note="no end mark",
            more=True,
        )
        yield Case(f"{of}-junk.ogg", content + b"junk" * 99, heard)
    other = encoded(noise(9000), "OGG", "VORBIS", 22050)
    vorbis = encoded(noise(9000), "OGG", "VORBIS")
    yield Case("two-kinds.ogg", vorbis + other, decoded(vorbis), note="1 of another sample rate")
    for subtype in ("PCM_16", "PCM_24"):
        x = noise(100_000, 2)
        native = encoded(x, "FLAC", subtype)
        heard, of = decoded(native), f"flac-{subtype[4:]}"
        field = int.from_bytes(native[18:26], "big") >> 36 << 36
        yield Case(f"{of}.flac", native, heard)
        yield Case(f"{of}-streamed.flac", native[:18] + field.to_bytes(8, "big") + native[26:], heard)
        yield Case(
            f"{of}-joined.flac", native + native, np.concatenate([heard, heard]), note="holds 2 recordings"
        )
        yield Case(f"{of}-id3.flac", id3v2(500) + native, heard)
        yield Case(
            f"{of}-cut.flac",
            native[: len(native) * 2 // 3],
            heard[:9000],
            note="cut off or damaged",
            more=True,
        )
        yield Case(f"{of}-head.flac", native[:900], error="cut off|cannot be read")
        yield Case(f"{of}.oga", in_ogg(native), heard)
        yield Case(f"{of}-cut.oga", in_ogg(native)[:-5000], heard[:9000], note="cut off", more=True)


# -- channels ------------------------------------------------------------------------------------------------

WAV_ORDER = ["FL", "FR", "FC", "LFE", "BL", "BR", "BC", "SL", "SR"]
VORBIS = {  # Vorbis I specification, section 4.3.9
    3: "FL FC FR", 4: "FL FR BL BR", 5: "FL FC FR BL BR", 6: "FL FC FR BL BR LFE",
    7: "FL FC FR SL SR BC LFE", 8: "FL FC FR SL SR BL BR LFE",
}  # fmt: skip


def in_vorbis_order(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Channels from WAV's order, which goes by name, into Vorbis's."""
    names = VORBIS.get(x.shape[1], "").split()
    by_name = sorted(names, key=WAV_ORDER.index)
    return x[:, [by_name.index(name) for name in names]] if names else x


def channel_cases() -> Iterator[Case]:
    for channels in (1, 2, *VORBIS):
        x = noise(24000, channels) * 0.1 * (1 + np.arange(channels))
        for subtype in ("VORBIS", "OPUS"):
            stored = encoded(in_vorbis_order(x), "OGG", subtype, 48000)
            heard = decoded(stored)
            names = VORBIS.get(channels, "").split()
            places = [names.index(name) for name in sorted(names, key=WAV_ORDER.index)]
            expected = heard[:, places] if names else heard
            yield Case(f"{channels}-channels-{subtype.lower()}.ogg", stored, expected)
        native = encoded(x, "FLAC", rate=48000)
        yield Case(f"{channels}-channels.flac", native, decoded(native))
        yield Case(f"{channels}-channels.oga", in_ogg(native), decoded(native))


# -- what is no sound ----------------------------------------------------------------------------------------


def foreign_cases() -> Iterator[Case]:
    for name, content, error in (
        ("text", "hällo, this is text\n".encode() * 50, "is text"),
        ("png", b"\x89PNG\r\n\x1a\n" + bytes(200), "PNG picture.*specstyle image"),
        ("jpeg", b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200), "JPEG picture.*specstyle image"),
        ("gif", b"GIF89a" + bytes(200), "GIF picture"),
        ("webp", b"RIFF\x00\x01\x00\x00WEBPVP8 " + bytes(300), "WebP picture"),
        ("avif", b"\x00\x00\x00\x18ftypavif" + bytes(200), "AVIF"),
        ("heic", b"\x00\x00\x00\x18ftypheic" + bytes(200), "HEIC"),
        ("bytes", bytes(range(256)) * 4, "cannot be read as a sound"),
        ("zeros", bytes(4000), "cannot be read as a sound"),
        ("riff", b"RIFF", "text|cannot be read"),
        ("riff-wave", b"RIFF\xff\xff\xff\xffWAVE", "cannot be read"),
        ("flac", b"fLaC" + bytes(100), "cannot be read"),
        ("ogg", b"OggS" + bytes(100), "cannot be read"),
        ("empty", b"", "0 bytes"),
    ):
        for suffix in (".wav", ".raw", ".mp3"):
            yield Case(f"{name}{suffix}", content, error=error if suffix == ".wav" else f"{name}{suffix}")
    for name, magic in (("m4a", b"\x00\x00\x00\x18ftypM4A "), ("webm", b"\x1a\x45\xdf\xa3"), ("wv", b"wvpk"),
                        ("ape", b"MAC "), ("tta", b"TTA1"), ("aac", b"\xff\xf1\x50\x80"),
                        ("avi", b"RIFF\x00\x01\x00\x00AVI LIST"), ("flv", b"FLV\x01\x05"),
                        ("wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
                        ("ac3", b"\x0b\x77\x3d\xb1")):  # fmt: skip
        yield Case(f"broken.{name}", magic + bytes(200), error="specstyle.film|cannot be read|no sound")


@functools.cache
def sound_cases() -> list[Case]:
    return [*mpeg_cases(), *chunk_cases(), *ogg_cases(), *channel_cases(), *foreign_cases()]
