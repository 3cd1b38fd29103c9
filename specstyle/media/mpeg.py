"""MPEG audio (layers II and III): the frames of a file, as streams that a decoder reads to their end.

libsndfile guesses the length of a stream without a Xing header from the file's size, which tags, junk and
variable bit rates make wrong, and reads no further. Here the frames are counted, and the decoder gets them
alone, behind a header that says how many they are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

_BIT_RATES = {  # of MPEG-1's layers, then of MPEG-2 and 2.5, in kbit/s (ISO 11172-3 and 13818-3, 2.4.2.3)
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    0: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_IN_A_ROW = 3
"""Frames that must follow each other before bytes count as frames and not as chance."""

_TAGS = (b"TAG", b"APE", b"LYR", b"ID3")
"""What tags behind the frames begin with."""


@dataclass
class Stream:
    """Frames of one kind that follow each other.

    Attributes:
        kind: Version, layer, sample rate and channels, in that order.
        data: The frames, behind a Xing header that says how many they are, if the stream has one.
        n_frames: How many.
        promised: How many the stream's own header said, if it has one.
        largest: Bytes of the largest frame.
        skipped: Bytes behind or between its frames that are neither frames nor the beginning of a tag.
        cut: Whether a frame follows that has no end.
    """

    kind: tuple[int, int, int, int]
    data: bytearray
    n_frames: int = 0
    promised: int | None = None
    largest: int = 0
    skipped: int = 0
    cut: bool = False

    @property
    def n_samples(self) -> int | None:
        """How many samples are in the frames, where no header tells a decoder of them."""
        version, layer = self.kind[:2]
        size = 576 if layer == 3 and version != 3 else 1152
        return size * self.n_frames if self.promised is None else None


class _Frame(NamedTuple):
    kind: tuple[int, int, int, int]
    length: int


def _frame_at(data: bytes, position: int) -> _Frame | None:
    """Return the frame whose header lies at a position, if it can be one."""
    if position + 4 > len(data) or data[position] != 0xFF or data[position + 1] < 0xE0:
        return None
    second, third, fourth = data[position + 1 : position + 4]
    version, layer, index, rate = second >> 3 & 3, 4 - (second >> 1 & 3), third >> 4, third >> 2 & 3
    if version == 1 or layer not in (2, 3) or index in (0, 15) or rate == 3:
        return None
    sample_rate, padding = _RATES[version][rate], third >> 1 & 1
    bits = 1000 * _BIT_RATES[layer if version == 3 else 0][index - 1]
    length = (72 if layer == 3 and version != 3 else 144) * bits // sample_rate + padding
    return _Frame((version, layer, sample_rate, 1 if fourth >> 6 == 3 else 2), length)


def _next_start(data: bytes, position: int) -> int:
    """Return where the next frames begin that follow each other, or the end; pass over tags and junk."""
    while (position := data.find(b"\xff", position)) >= 0:
        place, first = position, _frame_at(data, position)
        for _ in range(_IN_A_ROW):
            frame = _frame_at(data, place)
            ends = place >= len(data) or data[place : place + 3] in _TAGS
            if first is None or (not ends and (frame is None or frame.kind != first.kind)):
                break
            place += frame.length if frame else 0
        else:
            return position
        position += 1
    return len(data)


def _after_tag(data: bytes, position: int) -> int:
    """Return the end of an ID3v2 tag that begins at a position, which may hold what looks like frames."""
    head = data[position : position + 10]
    if head[:3] != b"ID3" or len(head) < 10 or max(head[6:]) > 127:
        return position
    return position + 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])


def streams(data: bytes) -> list[Stream]:
    """Find the streams of a file: one, or several in files that were joined.

    Args:
        data: The whole file. Junk and an incomplete frame at the end are left out; ID3 tags stay.

    Returns:
        The streams, none of them empty. A stream in the "free format", whose frames do not say their
        length, is not found.
    """
    found: list[Stream] = []
    tagged = _after_tag(data, 0)
    position, end = _next_start(data, tagged), -1
    while position < len(data):
        frame = _frame_at(data, position)
        if frame is None or (found and frame.kind != found[-1].kind):
            start = _next_start(data, _after_tag(data, position))
            if start > position or frame is None:
                if found and start < len(data) and data[position : position + 3] not in _TAGS:
                    found[-1].skipped += start - position
                position = start
                continue
        if position + frame.length > len(data):
            if position == end:
                found[-1].cut = frame.kind == found[-1].kind
            break
        whole = data[position : position + frame.length]
        promised = _promised(whole, frame.kind)
        if not found or promised is not None or frame.kind != found[-1].kind:
            found.append(Stream(frame.kind, bytearray(whole if promised else b""), promised=promised or None))
        if promised is None:
            found[-1].data += whole
            found[-1].n_frames += 1
            found[-1].largest = max(found[-1].largest, frame.length)
        position = end = position + frame.length
    found = [stream for stream in found if stream.n_frames]
    for stream in found:
        _count(stream)
    if found:
        found[0].data[:0] = data[:tagged]
        found[0].data += data[-128:] if data[-128:-125] == b"TAG" else b""
    return found


def _xing(kind: tuple[int, int, int, int]) -> int:
    """Return where a Xing header lies in a frame: behind the side information."""
    version, _, _, channels = kind
    return 4 + ((32 if channels == 2 else 17) if version == 3 else (17 if channels == 2 else 9))


def _promised(whole: bytes, kind: tuple[int, int, int, int]) -> int | None:
    """Return how many frames a frame announces that holds a header instead of sound (0: nothing usable)."""
    place = _xing(kind)
    if kind[1] == 3 and whole[place : place + 4] in (b"Xing", b"Info"):
        return int.from_bytes(whole[place + 8 : place + 12], "big") if whole[place + 7] & 1 else 0
    return 0 if kind[1] == 3 and whole[36:40] == b"VBRI" else None  # Fraunhofer's


def _count(stream: Stream) -> None:
    """Let a stream's header say how many frames it has, or fill up a stream without one.

    A header that is right already stays as it is. Where frames are missing at the end, the encoder's padding
    is not there to be cut off. Without a header a decoder divides the stream's size by that of the first
    frames, so the stream gets as large as if all frames were the largest; what is filled in is never read.
    """
    n, data = stream.n_frames, stream.data
    if stream.promised is None:
        data += bytes(max((n + 2) * stream.largest - len(data), 0))
    elif stream.promised != n:
        place = _xing(stream.kind)
        flags = data[place + 7]
        data[place + 8 : place + 12] = struct.pack(">I", n)
        if flags & 2:
            data[place + 12 : place + 16] = struct.pack(">I", len(data))
        lame = place + 12 + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
        if bytes(data[lame : lame + 4]) in (b"LAME", b"Lavf", b"Lavc"):
            data[lame + 22] &= 0xF0
            data[lame + 23] = 0
