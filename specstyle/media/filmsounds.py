"""The sound of M4A, WebM, films and their kin, through PyAV (the extra ``film``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from specstyle.errors import FileError
from specstyle.media.sniffing import reason_of
from specstyle.media.sounds import mask_of
from specstyle.media.soundwriting import TAGS

_SLACK_S = 0.2
"""Films round their duration, or take it from the pictures."""


class FilmSound:
    """The first sound track of a file, while it is decoded.

    Args:
        path: The file.
        kind: FFmpeg's name of its format; no other is tried, so that a playlist in disguise leads nowhere.
        described: What to call the format.

    Raises:
        FileError: If PyAV is not installed, or there is no sound in the file.
    """

    def __init__(self, path: Path, kind: str, described: str) -> None:
        self._av, self._container = opened(path, kind, described, "a sound")
        self._path = path
        if not self._container.streams.audio or not self._container.streams.audio[0].rate:
            raise FileError(f"{path} has no sound; give a file with a sound track")
        self._stream = self._container.streams.audio[0]
        self.sample_rate = int(self._stream.rate)
        self.channels = int(self._stream.channels)
        self.subtype = str(self._stream.codec_context.name).upper()
        self.channel_mask = mask_of(channel.name for channel in self._stream.layout.channels)
        known = {
            key.lower(): value.encode(errors="surrogateescape").decode(errors="replace")
            for key, value in self._container.metadata.items()
        }
        self.tags = tuple((name, known[name]) for name in TAGS if known.get(name))
        self.notes: list[str] = []
        # Of other formats FFmpeg estimates it.
        says_length = kind in ("mov", "matroska", "asf") and self._container.duration
        self._promised_s = self._container.duration / 1e6 if says_length else 0.0
        # What an MP4 holds beyond its track's duration fills up the encoder's last frame.
        exact = kind == "mov" and self._stream.duration
        self._length = (
            round(self._stream.duration * self._stream.time_base * self.sample_rate) if exact else None
        )

    def blocks(self) -> Iterator[np.ndarray[Any, Any]]:
        """Yield what there is, float64 ``[length, channels]``.

        Raises:
            FileError: If nothing can be decoded.
        """
        # Not planar: PyAV 18 crashes on eight planes and more.
        to_float64 = self._av.AudioResampler(format="dbl", rate=self.sample_rate)
        seen = 0
        try:
            for frame in self._container.decode(self._stream):
                for part in to_float64.resample(frame):
                    block = part.to_ndarray().reshape(-1, self.channels)
                    block = block if self._length is None else block[: max(self._length - seen, 0)]
                    seen += len(block)
                    yield block
        except (self._av.FFmpegError, ValueError) as error:
            if not seen:
                raise _damaged(self._path, "a sound", error) from None
            self.notes.append(f"is damaged or cut off ({reason_of(error)}); what is there was read")
        if not self.notes and seen / self.sample_rate < self._promised_s - _SLACK_S:
            self.notes.append(
                f"is cut off: it promises {self._promised_s:.2f} s; the {seen / self.sample_rate:.2f} s "
                "that are there were read"
            )
        if not seen:
            raise FileError(f"{self._path} has no sound that can be decoded; get the whole file")


def opened(path: Path, kind: str, described: str, what: str) -> tuple[Any, Any]:
    """Open a file of a format by FFmpeg's name, described for a user, for ``a sound`` or ``a film`` in it.

    Returns:
        PyAV, and its container.

    Raises:
        FileError: If PyAV is not installed, or the file is damaged.
    """
    try:
        import av
    except ImportError:
        hint = ", or convert it to WAV" if what == "a sound" else ""
        raise FileError(
            f"{path} is {described}, which needs the extra `film`: pip install 'specstyle[film]'{hint}"
        ) from None
    av.logging.set_level(None)
    # PyAV 19 has no choice: it takes what is no UTF-8 for surrogates.
    tags = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
    try:
        return av, av.open(os.fspath(path), format=kind, **tags)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _damaged(path, what, error) from None


def _damaged(path: Path, what: str, error: Exception) -> FileError:
    return FileError(f"{path} cannot be read as {what}: {reason_of(error)}; get the whole file")
