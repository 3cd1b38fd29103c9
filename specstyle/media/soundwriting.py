"""Sound files out, through libsndfile; what a format cannot hold is told before anything is written."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from specstyle.errors import FileError
from specstyle.media.containers import set_serial
from specstyle.media.sounds import PLAIN_MASKS, Sound, resample, to_vorbis

SUFFIXES = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
    ".aiff": "AIFF",
    ".aif": "AIFF",
}
"""Accepted suffixes of output files, and libsndfile's name of their format."""

_WRITTEN = ".wav, .flac, .ogg, .opus, .mp3 or .aiff"

TAGS = ("title", "artist", "album", "date", "tracknumber", "genre", "comment", "copyright", "license")
"""What is kept of a file's tags."""

_LOST_TAGS = {
    "WAV": {"license"},
    "MP3": {"license", "copyright"},
    "AIFF": {"license", "album", "date", "tracknumber", "genre"},
}
"""What libsndfile cannot write into a format."""

_LONGEST_TAG = {"WAV": 2000, "AIFF": 8000, "OGG": 6000}
"""Bytes of a tag. libsndfile 1.2.2 leaves out longer ones in a WAV, and what it makes of AIFF with nine of
16 kB, or of Opus with nine of 8 kB, cannot be read."""

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "ULAW": 16, "ALAW": 16}
"""Whole-number subtypes and the bits of the numbers that they are made of."""

_DEEP = {**dict.fromkeys(("ALAC_20", "ALAC_24", "DWVW_24"), 24),
         **dict.fromkeys(("ALAC_32", "PCM_32", "FLOAT", "DOUBLE"), 32)}  # fmt: skip
"""Bits of the whole numbers that take the place of a subtype that a format does not have; of others, 16."""

_KEPT = {*_BITS, "FLOAT", "DOUBLE", "VORBIS", "OPUS"}
"""Subtypes worth keeping (ADPCM and GSM in WAV would change the number of samples)."""

_BLOCK = 2**16
_MAX_CHANNELS = {"WAV": 1024, "FLAC": 8, "OGG": 255, "MP3": 2, "AIFF": 1024}
"""libsndfile 1.2.2 crashes where libvorbis refuses: above 255 channels and above 200 kHz."""

_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_MAX_VORBIS_RATE = 192_000
_MAX_FLAC_RATE = 655_350
_MAX_ODD_FLAC_RATE = 65_535
"""In Hz; a FLAC header has 16 bits for a rate in Hz or in tens of Hz (RFC 9639, section 9.1.2)."""


def check_output_suffix(path: Path | str) -> str:
    """Return libsndfile's name of the format that an output path's suffix stands for.

    Returns:
        ``"WAV"``, ``"FLAC"``, ``"OGG"``, ``"MP3"`` or ``"AIFF"``.

    Raises:
        FileError: If the suffix stands for none of these.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(
            f"{path} ends in {suffix!r}, which sounds cannot be written as; end it in {_WRITTEN}"
            if suffix
            else f"{path} has no suffix that names a sound format; end it in {_WRITTEN}"
        )
    return SUFFIXES[suffix]


def output_subtype(sound: Sound, suffix: str) -> str:
    """Return the subtype that a sound gets by a suffix: its own where the format has it, else a neighbor."""
    import soundfile

    own, kind = sound.subtype or "PCM_16", SUFFIXES[suffix]
    if kind == "MP3":
        return "MPEG_LAYER_III"
    if kind == "OGG":
        is_opus = own == "OPUS" and sound.sample_rate in _OPUS_RATES
        return "OPUS" if suffix == ".opus" or is_opus else "VORBIS"
    if own in _KEPT and soundfile.check_format(kind, own):
        return own
    if own in ("PCM_S8", "PCM_U8"):
        return "PCM_U8" if kind == "WAV" else "PCM_S8"
    return f"PCM_{min(_DEEP.get(own, 16), 24 if kind == 'FLAC' else 32)}"


def write_sound(sound: Sound, path: Path | str) -> tuple[str, ...]:
    """Write a sound in the format that the suffix names, exactly at ``path``.

    Whole-number formats get the nearest number, and nothing is clipped or wrapped around: a sound beyond
    full scale is refused. After a failure an incomplete file may be left for the caller to remove.

    Args:
        sound: Finite samples, from -1 to 1 for the whole-number formats.
        path: Where to; see ``SUFFIXES``. Opus has few sample rates: in ``.opus``, others become the next one.

    Returns:
        Notes: one sentence for each thing that the format could not keep.

    Raises:
        FileError: If the suffix, the rate or the number of channels is not possible, samples are NaN or
            beyond full scale, or the file cannot be written (no right to, disk full).
    """
    kind, subtype = check_output_fits(sound, path)
    if not bool(torch.isfinite(sound.samples).all()):
        raise FileError(f"{path} is not written: the sound has samples that are NaN or infinite")
    peak = float(sound.samples.abs().max()) if sound.samples.numel() else 0.0
    if subtype in _BITS and peak > 1.0:
        raise FileError(
            f"{path} is not written: the peak is {peak:.4g} and {kind} {subtype} ends at 1; scale the sound "
            "down first, or write 32-bit float WAV"
        )
    notes = []
    if subtype == "OPUS" and sound.sample_rate not in _OPUS_RATES:
        rate = next((r for r in _OPUS_RATES if r > sound.sample_rate), 48000)
        notes.append(f"Opus has no sample rate of {sound.sample_rate} Hz: the file has {rate} Hz")
        sound = resample(sound, rate)
    kept = _kept_tags(sound, kind)
    lost = sorted(name for name, value in sound.tags if value and name in TAGS and name not in kept)
    if lost:
        notes.append(f"{kind} does not keep these tags: {', '.join(lost)}")
    written = _encoded(sound, kind, subtype, path)
    try:
        Path(path).write_bytes(written.getvalue())  # no view: an error would hold on to it
    except OSError as error:
        raise FileError(f"{path} cannot be written: {reason(error)}") from None
    return tuple(notes)


def _kept_tags(sound: Sound, kind: str) -> dict[str, str]:
    """Return the tags that a format can hold; LAME takes the letters of an MP3's for Latin-1."""
    can, longest = set(TAGS) - _LOST_TAGS.get(kind, set()), _LONGEST_TAG.get(kind, 2**24)
    return {
        name: value
        for name, value in sound.tags
        if name in can and 0 < len(value.encode()) <= longest and (kind != "MP3" or value.isascii())
    }


def _encoded(sound: Sound, kind: str, subtype: str, path: Path | str) -> io.BytesIO:
    """Return a whole file, free of time and chance: equal sounds give equal files."""
    import soundfile

    channels = sound.samples.shape[0]
    samples = (to_vorbis(sound.samples) if kind == "OGG" else sound.samples).numpy().T
    masked = kind == "WAV" and sound.channel_mask not in (None, PLAIN_MASKS.get(channels))
    written = io.BytesIO()
    try:
        with soundfile.SoundFile(
            written, "w", sound.sample_rate, channels, subtype, format="WAVEX" if masked else kind
        ) as file:
            for name, value in _kept_tags(sound, kind).items():
                setattr(file, name, value)
            # In blocks: libsndfile 1.2.2 overflows the stack on a long Vorbis file written at once.
            for start in range(0, samples.shape[0], _BLOCK):
                file.write(_as_written(samples[start : start + _BLOCK], subtype))
    except (soundfile.SoundFileError, AssertionError, ValueError) as error:
        raise FileError(
            f"{path} cannot be written as {kind} {subtype} ({sound.sample_rate} Hz, {channels} "
            f"channels): {reason(error)}"
        ) from None
    if masked:  # in the format chunk, which comes first
        written.seek(40)
        written.write(struct.pack("<I", sound.channel_mask))
    if kind == "OGG":
        set_serial(written)
    # Floats in a WAV have this chunk: id, size, version, seconds since 1970.
    written.seek(0)
    peak = written.read(256).find(b"PEAK") if kind == "WAV" else -1
    if peak >= 0:
        written.seek(peak + 12)
        written.write(bytes(4))
    return written


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


def check_output_fits(sound: Sound, path: Path | str) -> tuple[str, str]:
    """Refuse a sound of a rate, a number of channels or a length that the format cannot hold.

    A run asks this of its content before it starts, since its output has the same.

    Returns:
        libsndfile's names of the format and of the subtype.

    Raises:
        FileError: If the suffix is not possible, or the format cannot hold such a sound.
    """
    kind = check_output_suffix(path)
    subtype = output_subtype(sound, Path(path).suffix.lower())
    (channels, length), rate = sound.samples.shape, sound.sample_rate
    if channels > _MAX_CHANNELS[kind]:
        more = " or ".join(s for s in (".wav", ".flac", ".ogg") if _MAX_CHANNELS[SUFFIXES[s]] >= channels)
        raise FileError(
            f"{path} is not written: {kind} holds at most {_MAX_CHANNELS[kind]} channels, and the sound has "
            f"{channels}; " + (f"write {more}" if more else "split it")
        )
    if subtype == "VORBIS" and rate > _MAX_VORBIS_RATE:
        raise FileError(
            f"{path} is not written: OGG Vorbis holds at most {_MAX_VORBIS_RATE} Hz, and the sound has "
            f"{rate}; write .wav or .flac"
        )
    if kind == "MP3" and rate not in _MP3_RATES:
        raise FileError(
            f"{path} is not written: MP3 has no sample rate of {rate} Hz, only "
            f"{', '.join(map(str, _MP3_RATES))}; write .wav or .flac"
        )
    if kind == "FLAC" and (rate > _MAX_FLAC_RATE or (rate > _MAX_ODD_FLAC_RATE and rate % 10)):
        raise FileError(
            f"{path} is not written: FLAC holds at most {_MAX_FLAC_RATE} Hz, and above {_MAX_ODD_FLAC_RATE} "
            f"only whole tens; the sound has {rate}; write .wav"
        )
    n_bytes = channels * length * {"DOUBLE": 8, "FLOAT": 4}.get(subtype, _BITS.get(subtype, 0) // 8)
    if kind in ("WAV", "AIFF") and n_bytes > 2**32 - 2**12:
        raise FileError(f"{path} is not written: {n_bytes} bytes are more than {kind} holds; write .flac")
    return kind, subtype


def reason(error: Exception) -> str:
    """Say in a few words why the system or libsndfile refused."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(getattr(error, "error_string", "") or error) or "not everything could be written"
    if "SF_INFO" in text:
        return "its header holds impossible values, such as a sample rate of 0 Hz"
    if "not a regular file" in text:  # libsndfile's words for a tag with nothing behind it
        return "there is no sound in it"
    return " ".join(text.replace("Error : ", "").split()).rstrip(".")
