"""Tiny films, made and looked at with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av: Any = pytest.importorskip("av", reason="films need PyAV (the extra `film`)")
pytest.importorskip("cv2", reason="films need OpenCV (the extra `film`)")

RATE, FPS = 22050, 25
FLASH = 13
"""The picture that is another, and at whose beginning the sound clicks."""


def scene(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Return pictures of a texture that moves a pixel each time, one of which is a negative."""
    y, x = np.mgrid[:height, : width + count].astype(float)
    wave = 90 + 40 * np.sin(x / 5) * np.cos(y / 4) + 30 * np.sin((x + 2 * y) / 9)
    wide = np.stack([wave, 0.8 * wave + x / 3, 160 - 0.6 * wave], 2)
    stills = [wide[:, k : k + width] for k in range(count)]
    return [(255 - s if k == FLASH else s).clip(0, 255).astype(np.uint8) for k, s in enumerate(stills)]


def click(seconds: float, at_s: float = FLASH / FPS, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """Return a quiet tone with a click, ``[length, channels]``."""
    t = np.arange(round(seconds * rate)) / rate
    sound = np.repeat(0.02 * np.sin(2 * np.pi * 300 * t)[:, None], channels, 1)
    start = round(at_s * rate)
    sound[start : start + 12] += 0.8
    return sound


def write(
    path: Path,
    stills: Sequence[np.ndarray] = (),
    sound: np.ndarray | None = None,
    *,
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, FPS),
    codecs: tuple[str, str] = ("libx264", "aac"),
    rate: int = RATE,
    tracks: int = 1,
    turn: int = 0,
    late: int = 0,
    **of_context: Any,
) -> Path:
    """Write a film; ``times`` are in units of ``time_base``, ``late`` is in samples."""
    with av.open(str(path), "w") as out:
        video: Any = None
        if len(stills):
            video = out.add_stream(codecs[0], rate=round(1 / time_base) if times is None else FPS)
            video.height, video.width = stills[0].shape[:2]
            video.pix_fmt = "yuv444p" if video.height % 2 else "yuv420p"
            video.codec_context.time_base = video.time_base = time_base
            if codecs[0] == "libx264":
                video.options = {"crf": "8"}
            if turn:
                if not hasattr(video, "set_display_rotation"):
                    pytest.skip("this PyAV (below 18) cannot write a film that is turned")
                video.set_display_rotation(turn)
            for name, value in of_context.items():
                setattr(video.codec_context, name, value)
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[1 if sound is None else sound.shape[1]]
        count = 0 if sound is None else tracks
        audio = [out.add_stream(codecs[1], rate=rate, layout=layout) for _ in range(count)]
        for number, still in enumerate(stills):
            frame = av.VideoFrame.from_ndarray(still, "rgb24").reformat(
                format=video.pix_fmt, dst_colorspace=of_context.get("colorspace")
            )
            frame.pts, frame.time_base = number if times is None else times[number], time_base
            out.mux(video.encode(frame))
        out.mux([] if video is None else video.encode(None))
        for stream in audio:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound).reshape(1, -1), "dbl", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, late, Fraction(1, rate)
            out.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def read(path: Path) -> tuple[list[np.ndarray], list[float], dict[str, Any]]:
    """Return pictures as decoded, their times in seconds, and what else is known of them."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        frames = list(film.decode(stream))
        end = frames[-1].time + float(frames[-1].duration * stream.time_base)
        known = {
            "end": end,
            "turn": frames[0].rotation,
            "rate": stream.average_rate,
            "aspect": stream.sample_aspect_ratio,
            "matrix": int(frames[0].colorspace),
        }
        return [f.to_ndarray(format="rgb24") for f in frames], [f.time for f in frames], known


def packets(path: Path, kind: str) -> list[bytes]:
    """Return the encoded bytes of a track."""
    with av.open(str(path)) as film:
        stream = getattr(film.streams, kind)[0]
        return [bytes(packet) for packet in film.demux(stream) if packet.size]
