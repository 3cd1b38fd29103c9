"""Sound files in and out, through libsndfile; every failure is one clear line."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import torch

from specstyle.errors import FileError
from specstyle.media import containers
from specstyle.media.sounds import Sound, check_sound, resample

__all__ = [
    "SUFFIXES",
    "Sound",
    "check_output_suffix",
    "check_sound",
    "output_subtype",
    "read_sound",
    "resample",
    "write_sound",
]

SUFFIXES = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}
"""Accepted suffixes of output files, and libsndfile's name of their format."""

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "ULAW": 16, "ALAW": 16}
"""Whole-number subtypes and the bits of the numbers that they are made of."""

_NEIGHBORS = {
    "WAV": {
        "PCM_S8": "PCM_U8",
        "ALAC_24": "PCM_24",
        "DWVW_24": "PCM_24",
        "ALAC_20": "PCM_24",
        "ALAC_32": "PCM_32",
    },
    "FLAC": {
        **dict.fromkeys(("PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32", "DWVW_24"), "PCM_24"),
        "PCM_U8": "PCM_S8",
    },
    "OGG": {},
}
_KEPT = {*_BITS, "FLOAT", "DOUBLE", "VORBIS", "OPUS"}
"""Subtypes worth keeping (ADPCM and GSM in WAV would change the number of samples)."""

_BLOCK = 2**16
_MAX_RATE = 10_000_000
_MAX_VORBIS_RATE = 192_000
"""In Hz; libsndfile 1.2.2 crashes where libvorbis refuses: above 200 kHz and above 255 channels."""

_MAX_OGG_CHANNELS = 255

_ACCEPTED = "WAV, FLAC, OGG, MP3 or AIFF"


def read_sound(path: Path | str) -> Sound:
    """Read a WAV, FLAC, OGG (Vorbis, Opus), MP3 or AIFF file of any rate and number of channels.

    Args:
        path: The file.

    Returns:
        Its samples as float64, with rate, subtype and the file's name.

    Raises:
        FileError: If it is missing, unreadable, empty, cut off, or not such a sound.
    """
    path = Path(path)
    unfinished = _inspect(path)
    source: Any = (
        unfinished if unfinished is not None else os.fsencode(path) if os.name == "posix" else str(path)
    )
    import soundfile

    class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
        """Read from front to back only: seeking fails in a FLAC stream that does not say its length."""

        def seekable(self) -> bool:
            return False

    try:
        with _Sequential(source) as file:
            rate, promised = file.samplerate, file.frames
            if not 1 <= rate <= _MAX_RATE:
                raise FileError(f"{path} says its sample rate is {rate} Hz; at most {_MAX_RATE} is possible")
            samples = _read_blocks(file)
            subtype, kind = str(file.subtype), str(file.format)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise FileError(
            f"{path} cannot be read as a sound: {_reason(error)}; give a {_ACCEPTED} file that is whole"
        ) from None
    # Some MP3 headers count the encoder's delay too, which is not delivered.
    slack = 2304 if kind == "MP3" else 0
    if samples.shape[1] + slack < promised < 1 << 62:
        raise FileError(
            f"{path} is cut off: its header promises {promised} samples, but only {samples.shape[1]} are "
            "there; get the whole file"
        )
    return Sound(torch.from_numpy(samples), int(rate), subtype, path.name)


def check_output_suffix(path: Path | str) -> str:
    """Return libsndfile's name of the format that an output path's suffix stands for.

    Args:
        path: Where a sound shall be written.

    Returns:
        ``"WAV"``, ``"FLAC"`` or ``"OGG"``.

    Raises:
        FileError: If the suffix is none of these.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(
            f"{path} ends in {suffix!r}, which sounds cannot be written as; end it in .wav, .flac or .ogg"
            if suffix
            else f"{path} has no suffix that names a sound format; end it in .wav, .flac or .ogg"
        )
    return SUFFIXES[suffix]


def output_subtype(sound: Sound, kind: str) -> str:
    """Return the subtype that a sound is written with: its own where the format has it, else a neighbor.

    Args:
        sound: The sound.
        kind: ``"WAV"``, ``"FLAC"`` or ``"OGG"``.
    """
    import soundfile

    own = sound.subtype or "PCM_16"
    if kind == "OGG":
        return (
            "OPUS" if own == "OPUS" and sound.sample_rate in (8000, 12000, 16000, 24000, 48000) else "VORBIS"
        )
    if own in _KEPT and soundfile.check_format(kind, own):
        return own
    return _NEIGHBORS[kind].get(own, "PCM_16")


def write_sound(sound: Sound, path: Path | str) -> None:
    """Write a sound in the format that the suffix names (.wav, .flac, .ogg), exactly at ``path``.

    Whole-number formats get the nearest number, and nothing is clipped or wrapped around: a sound beyond
    full scale is refused. After a failure an incomplete file may be left for the caller to remove.

    Args:
        sound: Finite samples, from -1 to 1 for the whole-number formats.
        path: Where to.

    Raises:
        FileError: If the suffix, the rate or the number of channels is not possible, samples are NaN or
            beyond full scale, or the file cannot be written (no right to, disk full).
    """
    kind = check_output_suffix(path)
    subtype = output_subtype(sound, kind)
    _check_writable(sound, Path(path), kind, subtype)
    import soundfile

    try:
        sink = _Sink(Path(path))
    except OSError as error:
        raise FileError(f"{path} cannot be written: {_reason(error)}") from None
    samples = sound.samples.numpy().T
    failure: Exception | None = None
    try:
        with soundfile.SoundFile(
            sink, "w", sound.sample_rate, samples.shape[1], subtype, format=kind
        ) as file:
            # In blocks: libsndfile 1.2.2 overflows the stack on a long Vorbis file written at once.
            for start in range(0, samples.shape[0], _BLOCK):
                file.write(_as_written(samples[start : start + _BLOCK], subtype))
    except (soundfile.SoundFileError, OSError, AssertionError, ValueError) as error:
        failure = error  # an AssertionError is soundfile's word for "not everything was written"
    finally:
        sink.close(undated=subtype in ("FLOAT", "DOUBLE"))
    failure = sink.error or failure
    if failure is not None:
        raise FileError(
            f"{path} cannot be written as {kind} {subtype} ({sound.sample_rate} Hz, {samples.shape[1]} "
            f"channels): {_reason(failure)}"
        )


class _Sink:
    """A file for libsndfile to write to that remembers why writing failed, which libsndfile does not."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._file = path.open("w+b")

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            self.error = self.error or error
            return 0

    def tell(self) -> int:
        return self.seek(0, 1)

    def close(self, *, undated: bool) -> None:
        """Close the file; ``undated``: without the time of day, so that equal runs give equal files."""
        try:
            if undated and self.error is None:
                self._file.seek(0)
                peak = self._file.read(256).find(b"PEAK")  # id, size, version, seconds since 1970
                if peak >= 0:
                    self._file.seek(peak + 12)
                    self._file.write(bytes(4))
            self._file.close()
        except OSError as error:
            self.error = self.error or error


def _inspect(path: Path) -> io.BytesIO | None:
    """Refuse what is certainly no whole sound file.

    Returns:
        The file with its header completed, if that does not say how long the sound is; else ``None``.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"{path} is a directory; give a sound file ({_ACCEPTED})")
        if not stat.S_ISREG(mode):
            raise FileError(f"{path} is not a regular file; save the sound to a file first")
        with path.open("rb") as file:
            head = file.read(256)
            size = file.seek(0, io.SEEK_END)
            kind = containers.foreign_kind(head)
            missing = containers.missing_bytes(file, size)
            data = containers.data_chunk(file, size)
            file.seek(0)
            content = bytearray(file.read()) if data is not None and data.unfinished else None
    except FileNotFoundError:
        raise FileError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {_reason(error)}") from None
    if size == 0:
        raise FileError(f"{path} is empty (0 bytes); give a sound file ({_ACCEPTED})")
    if kind is not None:
        advice = (
            "use `specstyle image` for pictures" if kind.endswith("picture") else f"give a {_ACCEPTED} file"
        )
        raise FileError(f"{path} is {kind}, not a sound; {advice}")
    if path.suffix.lower() == ".raw":
        raise FileError(f"{path} is taken for samples without a header; give a {_ACCEPTED} file")
    if missing:
        raise FileError(f"{path} is cut off: {missing} of its bytes are missing; get the whole file")
    if content is None or data is None:
        return None
    content[data.size_offset : data.size_offset + 4] = b"\xff\xff\xff\xff"
    return io.BytesIO(bytes(content))


def _read_blocks(file: Any) -> np.ndarray[Any, Any]:
    """Read what there is, however much the header promises, as float64 ``[channels, length]``."""
    blocks = []
    while True:
        block = file.read(_BLOCK, dtype="float64", always_2d=True)
        if len(block):
            blocks.append(block)
        if len(block) < _BLOCK:
            break
    samples = np.empty((file.channels, sum(map(len, blocks))))
    position = 0
    for block in blocks:
        samples[:, position : position + len(block)] = block.T
        position += len(block)
    return samples


def _as_written(block: np.ndarray[Any, Any], subtype: str) -> np.ndarray[Any, Any]:
    """Round to the numbers that the file will hold.

    libsndfile, given floats, cuts the digits off (half a step down on average). Given 32-bit numbers whose
    upper bits are the rounded sample, it keeps them. Full scale 1.0 becomes the largest number.
    """
    if subtype not in _BITS:
        return np.ascontiguousarray(block)
    bits = _BITS[subtype]
    top = 2 ** (bits - 1)
    numbers = np.rint(block * top).clip(-top, top - 1).astype(np.int64)
    return np.ascontiguousarray((numbers << (32 - bits)).astype(np.int32))


def _check_writable(sound: Sound, path: Path, kind: str, subtype: str) -> None:
    """Refuse what the format cannot hold, before a file is made."""
    if not bool(torch.isfinite(sound.samples).all()):
        raise FileError(f"{path} is not written: the sound has samples that are NaN or infinite")
    peak = float(sound.samples.abs().max()) if sound.samples.numel() else 0.0
    if subtype in _BITS and peak > 1.0:
        raise FileError(
            f"{path} is not written: the peak is {peak:.4g} and {kind} {subtype} ends at 1; scale the sound "
            "down first, or write 32-bit float WAV"
        )
    if subtype == "VORBIS" and sound.sample_rate > _MAX_VORBIS_RATE:
        raise FileError(
            f"{path} is not written: OGG Vorbis holds at most {_MAX_VORBIS_RATE} Hz, and the sound has "
            f"{sound.sample_rate}; write .wav or .flac"
        )
    if kind == "OGG" and sound.samples.shape[0] > _MAX_OGG_CHANNELS:
        raise FileError(
            f"{path} is not written: OGG holds at most {_MAX_OGG_CHANNELS} channels, and the sound has "
            f"{sound.samples.shape[0]}; write .wav"
        )
    n_bytes = sound.samples.numel() * {"DOUBLE": 8, "FLOAT": 4}.get(subtype, _BITS.get(subtype, 0) // 8)
    if kind == "WAV" and n_bytes > 2**32 - 2**12:
        raise FileError(f"{path} is not written: {n_bytes} bytes are more than a WAV file holds; write .flac")


def _reason(error: Exception) -> str:
    """Say in a few words why the system or libsndfile refused."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(getattr(error, "error_string", "") or error) or "not everything could be written"
    if "SF_INFO" in text:
        return "its header holds impossible values, such as a sample rate of 0 Hz"
    return " ".join(text.replace("Error : ", "").split()).rstrip(".")
