"""Films as they are read: their pictures one by one, and their packets; through PyAV (the extra ``film``)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specstyle.errors import FileError, counted
from specstyle.media.filmsounds import opened
from specstyle.media.sniffing import film_format, foreign_kind, reason_of, sound_format, what_it_is

_READ = ("mov", "matroska", "avi", "asf", "flv")
_MATRICES = (1, 4, 5, 6, 7, 9)
"""From colors to what is encoded, as H.273 numbers them, that FFmpeg converts to."""

_SLACK_S = 0.2
"""Films round their duration."""


class Still(NamedTuple):
    """One picture of a film: ``[H, W, 3]``, uint8, with its time and duration in units of ``time_base``."""

    pixels: NDArray[np.uint8]
    pts: int
    duration: int


class Film:
    """A film file, opened anew for each pass over it.

    Attributes:
        has: Which of ``video`` and ``audio`` there is.
        size: Height and width of the pictures in pixels, upright.
        time_base: Seconds of a unit of time.
        frames: How many pictures it promises.
        duration_s: What it promises.
        dropped: What the result does not have, in words.
        notes: What a user should know of what was read so far.

    Raises:
        FileError: If it is no film, damaged, or PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._format = _format_of(path)
        self.notes: list[str] = []
        self._av, container = opened(path, *self._format, "a film")
        with container:
            found = {kind: self.stream(container, kind) for kind in ("video", "audio")}
            self.has = tuple(kind for kind, stream in found.items() if stream is not None)
            if not self.has:
                raise FileError(f"{path} has neither pictures nor sound that can be read; get the whole film")
            self.duration_s = (container.duration or 0) / 1e6
            self.dropped = self._extras(container, found)
            if found["video"] is not None:
                self._look(found["video"])

    def open(self) -> Any:
        """Return a container of PyAV's."""
        return opened(self.path, *self._format, "a film")[1]

    def stream(self, container: Any, kind: str) -> Any:
        """Return the first stream of a kind that is no cover, or ``None``."""
        cover = self._av.stream.Disposition.attached_pic
        streams = [s for s in container.streams if s.type == kind and not s.disposition & cover]
        return streams[0] if streams and streams[0].codec_context is not None else None

    def _extras(self, container: Any, found: dict[str, Any]) -> list[str]:
        """Name what is not taken over."""
        used = [stream.index for stream in found.values() if stream is not None]
        rest = [stream.type for stream in container.streams if stream.index not in used]
        words = {
            "video": "further picture track",
            "audio": "further sound track",
            "subtitle": "subtitle track",
        }
        names = [words.get(kind, "track of other data") for kind in rest]
        names += ["chapter" for _ in container.chapters()]
        return [counted(names.count(name), name) for name in dict.fromkeys(names)]

    def _look(self, stream: Any) -> None:
        """Look at the first picture."""
        self.time_base, self.rate = stream.time_base, stream.average_rate or Fraction(25)
        self.frames = stream.frames or round(self.duration_s * self.rate)
        self.aspect = stream.sample_aspect_ratio or Fraction(1)
        try:
            frame = next(stream.container.decode(stream))
        except (self._av.FFmpegError, StopIteration):
            raise FileError(f"{self.path} has no picture that can be decoded; get the whole film") from None
        self._coded = frame.width, frame.height
        self.turns = round(frame.rotation / 90) % 4
        self.size = (frame.width, frame.height) if self.turns % 2 else (frame.height, frame.width)
        self.aspect = 1 / self.aspect if self.turns % 2 else self.aspect
        self.colors = {n: int(getattr(frame, n)) for n in ("color_range", "color_primaries", "color_trc")}
        self.matrix = int(frame.colorspace) if int(frame.colorspace) in _MATRICES else None
        parts = frame.format.components
        if max(part.bits for part in parts) > 8:
            self.notes.append(f"{self.path.name} has {parts[0].bits} bits per color, and the result has 8")
        if any(part.is_alpha for part in parts):
            self.notes.append(f"{self.path.name} is transparent in parts, and the result is not")

    def packets(self, kind: str) -> Iterator[Any]:
        """Yield the packets of the ``video`` or the ``audio``, an empty one last; take note of a cut."""
        end, said = 0.0, ""
        av, container = self._av, self.open()
        with container:
            streams = {k: self.stream(container, k) for k in self.has}
            try:
                for packet in container.demux(list(streams.values())):
                    if packet.pts is not None:
                        end = max(end, float((packet.pts + packet.duration) * packet.time_base))
                    if packet.stream.index == streams[kind].index:
                        yield packet
            except av.FFmpegError as error:
                said = f" ({reason_of(error)})"
        if said or end < self.duration_s - _SLACK_S:
            self._note(
                f"is cut off or damaged{said}: it promises {self.duration_s:.2f} s, and the {end:.2f} s that "
                "are there were read"
            )

    def pictures(self) -> Iterator[Still]:
        """Decode the pictures, upright.

        Those that cannot be decoded are left out, and the others keep their times.
        """
        last, lost = None, 0
        for packet in self.packets("video"):
            try:
                frames = packet.decode()
            except self._av.FFmpegError:
                lost += 1
                continue
            for frame in frames:
                step = int(frame.duration or max(round(1 / (self.rate * self.time_base)), 1))
                pts = frame.pts if frame.pts is not None else (last or 0) + step
                last = pts if last is None else max(pts, last + 1)
                width, height = self._coded
                pixels = frame.reformat(width, height, "rgb24").to_ndarray()
                yield Still(np.ascontiguousarray(np.rot90(pixels, self.turns)), last, step)
        if lost:
            self._note(f"has {counted(lost, 'picture')} that cannot be decoded, and were left out")

    def _note(self, text: str) -> None:
        note = f"{self.path.name} {text}"
        if note not in self.notes:
            self.notes.append(note)

    def sound_start_s(self) -> float:
        """Return when the sound begins."""
        for packet in self.packets("audio"):
            for frame in packet.decode():
                return float((frame.pts or 0) * frame.time_base)
        return 0.0


def _format_of(path: Path) -> tuple[str, str]:
    """Return FFmpeg's name of a film's format, and one for a user."""
    if not path.is_file():
        raise FileError(f"{path}: no such file; give a film")
    with path.open("rb") as file:
        head = file.read(256)
    found = film_format(head)
    if found is None or found[0] not in _READ:
        kind, sound = found[1] if found else foreign_kind(head), sound_format(head)
        kind = f"a sound ({sound})" if sound else kind
        said = f"is {kind}" if kind else what_it_is(head).replace("picture in a", "film in a")
        raise FileError(f"{path} {said}; give a film: MP4, MOV, WebM, Matroska, AVI, WMV or Flash")
    return found
