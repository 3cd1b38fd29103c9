"""Films out: new pictures, a new sound or both, and the rest as it was; through PyAV (the extra ``film``)."""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn import functional as F

from specstyle.errors import FileError
from specstyle.films.file import Film, Still
from specstyle.media.sniffing import reason_of
from specstyle.media.sounds import Sound, resample
from specstyle.media.soundwriting import TAGS

FORMATS = {
    ".mp4": ("mp4", "libx264", "aac"),
    ".m4v": ("mp4", "libx264", "aac"),
    ".mov": ("mov", "libx264", "aac"),
    ".mkv": ("matroska", "libx264", "flac"),
    ".webm": ("webm", "libvpx-vp9", "libopus"),
}
"""By suffix: FFmpeg's names of the container, and of what encodes pictures and sounds in it."""

_OPTIONS = {
    # The pictures have times of their own all the same, and in the stream stands how many a second there are.
    "libx264": {"crf": "18", "x264-params": "force-cfr=1"},
    "libvpx-vp9": {"crf": "24", "deadline": "good", "cpu-used": "4", "lag-in-frames": "0"},
}
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_OPUS_RATE = 48000

_BLOCK = 2**16


def check_film_output(path: Path, film: Film, made: Sequence[str]) -> None:
    """Refuse an output that cannot hold what it gets: ``video`` and ``audio`` made anew, or copied.

    Raises:
        FileError: If its suffix is unknown, or its format does not take the film's picture or sound.
    """
    import av

    if path.suffix.lower() not in FORMATS:
        raise FileError(f"{path}: films are written as {', '.join(FORMATS)}; name the output so")
    name, _, encoder = FORMATS[path.suffix.lower()]
    with av.open(os.devnull, "w", format=name) as out:
        known = out.supported_codecs
    with film.open() as container:
        for kind in film.has:
            stream = film.stream(container, kind)
            codec = stream.codec_context.codec.canonical_name
            if kind not in made and codec not in known:
                raise FileError(
                    f"{path}: its format takes no {codec}, which the {kind} of {film.path.name} is and "
                    "would stay; name an .mkv"
                )
            if kind == "audio" in made and encoder == "aac" and stream.rate not in _AAC_RATES:
                raise FileError(f"{path}: its format takes no sound of {stream.rate} Hz; name an .mkv")


def write_pictures(path: Path, film: Film, suffix: str, stills: Iterable[Still]) -> None:
    """Encode pictures as an MP4, for ``write_film``: with their distances in time from the first.

    Raises:
        FileError: If it cannot be written.
    """
    import av

    encoder = FORMATS[suffix.lower()][1]
    durations: dict[int, int] = {}
    start: int | None = None
    with _writing(path, "mp4") as out:
        stream = _picture_stream(out, film, encoder)
        for still in stills:
            start = still.pts if start is None else start
            frame = av.VideoFrame.from_ndarray(still.pixels, "rgb24")
            colors = {"dst_colorspace": film.matrix, "dst_color_range": film.colors["color_range"] or None}
            frame = frame.reformat(format=stream.pix_fmt, **colors)
            frame.pts, frame.time_base = still.pts - start, film.time_base
            durations[frame.pts] = still.duration
            _mux(out, stream.encode(frame), durations)
        _mux(out, stream.encode(None), durations)


def _picture_stream(out: Any, film: Film, encoder: str) -> Any:
    stream = out.add_stream(encoder, rate=film.rate, options=_OPTIONS[encoder])
    context = stream.codec_context
    stream.height, stream.width = film.size
    # With sides that are odd, colors cannot have half the size.
    stream.pix_fmt = "yuv444p" if film.size[0] % 2 or film.size[1] % 2 else "yuv420p"
    stream.time_base = context.time_base = film.time_base
    context.sample_aspect_ratio = film.aspect
    context.bit_rate = 0
    context.colorspace = 2 if film.matrix is None else film.matrix
    for name, value in film.colors.items():
        setattr(context, name, value)
    # Pictures are encoded in parts: none may be decoded before one of the part before. And one thread makes
    # the same bytes on any machine.
    context.max_b_frames, context.thread_count = 0, 1
    return stream


def _mux(out: Any, packets: Iterable[Any], durations: dict[int, int]) -> None:
    """Write encoded pictures with their own durations: the last one's decides how long a film is."""
    for packet in packets:
        packet.duration = durations.pop(packet.pts)
        out.mux(packet)


def write_film(
    path: Path, film: Film, *, pictures: Sequence[tuple[Path, int]] = (), sound: Sound | None = None
) -> None:
    """Write a film of new pictures, a new sound or both; the rest is copied as it is.

    Args:
        path: The file.
        film: The film that they belong to.
        pictures: Files of ``write_pictures``, and the time of the first picture of each.
        sound: Begins where the film's does.

    Raises:
        FileError: If it cannot be written.
    """
    import av

    name, _, encoder = FORMATS[path.suffix.lower()]
    with film.open() as container, _writing(path, name) as out:
        out.metadata.update({k: v for k, v in container.metadata.items() if k.lower() in TAGS})
        tracks: list[Iterator[Any]] = []
        for kind in film.has:
            original = film.stream(container, kind)
            if kind == "video" and pictures:
                with av.open(os.fspath(pictures[0][0])) as first:
                    stream = out.add_stream_from_template(first.streams.video[0])
                tracks.append(_joined(pictures, stream, film.time_base))
            elif kind == "audio" and sound is not None:
                tracks.append(_encoded(sound, out, encoder, original.layout.name, film.sound_start_s()))
            else:
                tracks.append(_timed(film.packets(kind), out.add_stream_from_template(original)))
        for packet in heapq.merge(*tracks, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)


def _joined(parts: Sequence[tuple[Path, int]], stream: Any, time_base: Fraction) -> Iterator[Any]:
    """Yield the packets of files of ``write_pictures``, one after the other."""
    import av

    for path, start in parts:
        with av.open(os.fspath(path)) as part:
            for packet in part.demux(video=0):
                if packet.size:
                    unit = packet.time_base / time_base
                    pts, length = (round(value * unit) for value in (packet.pts, packet.duration))
                    packet.pts, packet.dts, packet.duration = start + pts, start + pts, length
                    packet.time_base, packet.stream = time_base, stream
                    yield packet


def _encoded(sound: Sound, out: Any, encoder: str, layout: str, start_s: float) -> Iterator[Any]:
    """Yield the packets of a sound."""
    sound = resample(sound, _OPUS_RATE) if encoder == "libopus" else sound
    stream = out.add_stream(encoder, rate=sound.sample_rate, layout=layout)
    if encoder == "flac":
        stream.codec_context.format = "s32"
    else:
        stream.codec_context.bit_rate = 96_000 * len(sound.samples)
    # A late sound begins with silence: of when a track begins, MP4 knows milliseconds alone.
    start = round(start_s * sound.sample_rate)
    sound = replace(sound, samples=F.pad(sound.samples, (max(start, 0), 0)))
    return _sound_packets(sound, stream, layout, min(start, 0))


def _sound_packets(sound: Sound, stream: Any, layout: str, start: int) -> Iterator[Any]:
    import av

    for at in range(0, sound.samples.shape[1], _BLOCK):
        block = np.ascontiguousarray(sound.samples[:, at : at + _BLOCK].numpy().T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, "dbl", layout)
        frame.sample_rate, frame.pts = sound.sample_rate, start + at
        frame.time_base = Fraction(1, sound.sample_rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


@contextlib.contextmanager
def _writing(path: Path, name: str) -> Iterator[Any]:
    import av

    try:
        with av.open(os.fspath(path), "w", format=name) as out:
            yield out
    except av.FFmpegError as error:
        raise FileError(f"{path}: cannot be written: {reason_of(error)}") from error


def _timed(packets: Iterator[Any], stream: Any) -> Iterator[Any]:
    """Yield packets for another file, with the order in which they are decoded where theirs does not say."""
    held: list[Any] = []
    last: int | None = None
    for packet in packets:
        if not packet.size:
            continue
        held.append(packet)
        if packet.dts is None and last is None:
            continue
        for number, one in enumerate(held):
            step = (len(held) - 1 - number) * max(packet.duration or 1, 1)
            dts = one.dts if one.dts is not None else (packet.dts or 0) - step
            last = dts if last is None else max(dts, last + 1)
            one.dts, one.stream = last, stream
            one.pts = max(last if one.pts is None else one.pts, last)
            yield one
        held = []
    for one in held:  # none says
        one.dts, one.stream = one.pts, stream
        yield one
