"""Sound files out, through libsndfile; what a format cannot hold is told before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from specstyle.errors import FileError
from specstyle.media import ogg
from specstyle.media.sounds import Sound

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
_MAX_CHANNELS = {"WAV": 1024, "FLAC": 8, "OGG": 255}
"""libsndfile 1.2.2 crashes where libvorbis refuses: above 255 channels and above 200 kHz."""

_MAX_VORBIS_RATE = 192_000
_MAX_FLAC_RATE = 655_350
_MAX_ODD_FLAC_RATE = 65_535
"""In Hz; a FLAC header has 16 bits for a rate in Hz or in tens of Hz (RFC 9639, section 9.1.2)."""


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
    check_output_fits(sound, path)
    _check_values(sound, Path(path), kind, subtype)
    import soundfile

    try:
        sink = _Sink(Path(path))
    except OSError as error:
        raise FileError(f"{path} cannot be written: {reason(error)}") from None
    samples = sound.samples.numpy().T
    failure: Exception | None = None
    whole = False
    try:
        with soundfile.SoundFile(
            sink, "w", sound.sample_rate, samples.shape[1], subtype, format=kind
        ) as file:
            # In blocks: libsndfile 1.2.2 overflows the stack on a long Vorbis file written at once.
            for start in range(0, samples.shape[0], _BLOCK):
                file.write(_as_written(samples[start : start + _BLOCK], subtype))
        whole = True
    except (soundfile.SoundFileError, OSError, AssertionError, ValueError) as error:
        failure = error  # an AssertionError is soundfile's word for "not everything was written"
    finally:
        sink.close(kind, whole=whole)
    failure = sink.error or failure
    if failure is not None:
        raise FileError(
            f"{path} cannot be written as {kind} {subtype} ({sound.sample_rate} Hz, {samples.shape[1]} "
            f"channels): {reason(failure)}"
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

    def close(self, kind: str, *, whole: bool) -> None:
        """Close the file; if it is whole, free it of time and chance: equal sounds give equal files."""
        try:
            if whole and self.error is None:
                self._remove_chance(kind)
        except OSError as error:
            self.error = error
        finally:
            try:
                self._file.close()
            except OSError as error:
                self.error = self.error or error

    def _remove_chance(self, kind: str) -> None:
        if kind == "OGG":
            ogg.set_serial(self._file)
        elif kind == "WAV":
            self._file.seek(0)
            # Float files have this chunk: id, size, version, seconds since 1970.
            peak = self._file.read(256).find(b"PEAK")
            if peak >= 0:
                self._file.seek(peak + 12)
                self._file.write(bytes(4))


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


def check_output_fits(sound: Sound, path: Path | str) -> None:
    """Refuse a sound of a rate, a number of channels or a length that the format cannot hold.

    A run asks this of its content before it starts, since its output has the same.

    Args:
        sound: The sound; its values do not matter.
        path: Where it shall be written.

    Raises:
        FileError: If the suffix is not possible, or the format cannot hold such a sound.
    """
    kind = check_output_suffix(path)
    subtype = output_subtype(sound, kind)
    (channels, length), rate = sound.samples.shape, sound.sample_rate
    if channels > _MAX_CHANNELS[kind]:
        more = " or ".join(s for s, k in SUFFIXES.items() if _MAX_CHANNELS[k] >= channels)
        raise FileError(
            f"{path} is not written: {kind} holds at most {_MAX_CHANNELS[kind]} channels, and the sound has "
            f"{channels}; " + (f"write {more}" if more else "split it")
        )
    if subtype == "VORBIS" and rate > _MAX_VORBIS_RATE:
        raise FileError(
            f"{path} is not written: OGG Vorbis holds at most {_MAX_VORBIS_RATE} Hz, and the sound has "
            f"{rate}; write .wav or .flac"
        )
    if kind == "FLAC" and (rate > _MAX_FLAC_RATE or (rate > _MAX_ODD_FLAC_RATE and rate % 10)):
        raise FileError(
            f"{path} is not written: FLAC holds at most {_MAX_FLAC_RATE} Hz, and above {_MAX_ODD_FLAC_RATE} "
            f"only whole tens; the sound has {rate}; write .wav"
        )
    n_bytes = channels * length * {"DOUBLE": 8, "FLOAT": 4}.get(subtype, _BITS.get(subtype, 0) // 8)
    if kind == "WAV" and n_bytes > 2**32 - 2**12:
        raise FileError(f"{path} is not written: {n_bytes} bytes are more than a WAV file holds; write .flac")


def _check_values(sound: Sound, path: Path, kind: str, subtype: str) -> None:
    """Refuse samples that the format cannot hold."""
    if not bool(torch.isfinite(sound.samples).all()):
        raise FileError(f"{path} is not written: the sound has samples that are NaN or infinite")
    peak = float(sound.samples.abs().max()) if sound.samples.numel() else 0.0
    if subtype in _BITS and peak > 1.0:
        raise FileError(
            f"{path} is not written: the peak is {peak:.4g} and {kind} {subtype} ends at 1; scale the sound "
            "down first, or write 32-bit float WAV"
        )


def reason(error: Exception) -> str:
    """Say in a few words why the system or libsndfile refused."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(getattr(error, "error_string", "") or error) or "not everything could be written"
    if "SF_INFO" in text:
        return "its header holds impossible values, such as a sample rate of 0 Hz"
    return " ".join(text.replace("Error : ", "").split()).rstrip(".")
