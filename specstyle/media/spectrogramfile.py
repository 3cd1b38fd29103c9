"""Magnitude spectrograms in .npz files, so that inversion can be used on its own."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specstyle.errors import FileError
from specstyle.files import atomic, check_output, make_folder
from specstyle.media.inversion import InversionResult, Method, Start, invert
from specstyle.media.phase import check_magnitude
from specstyle.media.soundfiles import MAX_BYTES, MAX_GROWTH, check_output_suffix, read_sound, write_sound
from specstyle.media.sounds import Sound
from specstyle.media.stft import StftSettings, auto_stft, check_shape, stft

_NEEDED = ("magnitude", "sample_rate", "n_fft", "hop_length", "length")
_HINT = "make such a file with 'specstyle spectrogram', or see its documentation"


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """A magnitude spectrogram with what its inverse needs.

    Attributes:
        magnitude: float32 on the CPU, ``[channels, n_bins, frames]``.
        sample_rate: In Hz.
        settings: The transform.
        length: Number of samples of the sound.
        name: What messages call it.
    """

    magnitude: Tensor
    sample_rate: int
    settings: StftSettings
    length: int
    name: str = "spectrogram"


def spectrogram_of(sound: Sound, settings: StftSettings) -> Spectrogram:
    """Return a sound's magnitudes.

    Args:
        sound: Finite samples, at least one.
        settings: The transform.

    Raises:
        FileError: If the sound is empty or not finite, or too loud for float32.
    """
    if sound.samples.shape[1] < 1:
        raise FileError(f"{sound.name} has no samples; at least one is needed")
    if not bool(torch.isfinite(sound.samples).all()):
        raise FileError(f"{sound.name} has samples that are NaN or infinite; none may be")
    magnitude = stft(sound.samples, settings).abs().to(torch.float32)
    if not bool(torch.isfinite(magnitude).all()):
        raise FileError(f"{sound.name} is too loud for magnitudes of 32 bits; scale it to full scale 1")
    return Spectrogram(magnitude, sound.sample_rate, settings, sound.samples.shape[1], sound.name)


def save_spectrogram(path: Path | str, spectrogram: Spectrogram) -> None:
    """Write a spectrogram as .npz: arrays that NumPy reads without any further library.

    The arrays are ``magnitude`` (float32, ``[channels, n_bins, frames]``) and, each a single value,
    ``sample_rate`` (Hz), ``n_fft``, ``hop_length``, ``win_length``, ``length`` (samples) and ``window``.

    Args:
        path: Where to; it must end in .npz.
        spectrogram: What to write.

    Raises:
        FileError: If the suffix is another, or the file cannot be written.
        ValueError: If magnitudes are negative, NaN or infinite, or their shape does not fit the rest.
    """
    path = Path(path)
    check_spectrogram_suffix(path)
    settings, magnitude = spectrogram.settings, spectrogram.magnitude
    check_shape(magnitude, settings, spectrogram.length, name="magnitude")
    check_magnitude(magnitude)
    try:
        with path.open("wb") as file:  # by name, NumPy would append a second suffix to .NPZ
            np.savez(
                file,
                magnitude=magnitude.detach().cpu().numpy().astype(np.float32),
                sample_rate=np.int64(spectrogram.sample_rate),
                n_fft=np.int64(settings.n_fft),
                hop_length=np.int64(settings.hop_length),
                win_length=np.int64(settings.win_length),
                window=np.str_(settings.window),
                length=np.int64(spectrogram.length),
            )
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from None


def check_spectrogram_suffix(path: Path) -> None:
    """Refuse a path to write to that does not end in .npz.

    Raises:
        FileError: Naming it.
    """
    if path.suffix.lower() != ".npz":
        raise FileError(f"{path} does not end in .npz, which is what spectrograms are written as")


def load_spectrogram(path: Path | str) -> Spectrogram:
    """Read what ``save_spectrogram`` wrote, or what another program wrote under the same names.

    ``win_length`` (default ``n_fft``) and ``window`` (default hann) may be missing, and a single channel may
    come as ``[n_bins, frames]``. Frames stand around multiples of the hop, with zeros around the sound.

    Args:
        path: The file.

    Returns:
        The spectrogram, checked.

    Raises:
        FileError: If it is missing, no such file, or its values do not fit together.
    """
    path = Path(path)
    arrays = _read(path)
    missing = [key for key in _NEEDED if key not in arrays]
    if missing:
        raise FileError(f"{path} has no array {missing[0]!r}; {_HINT}")
    numbers = {key: _whole(arrays[key], key, path) for key in _NEEDED[1:]}
    win_length = _whole(arrays["win_length"], "win_length", path) if "win_length" in arrays else None
    window = arrays.get("window", np.str_("hann"))
    if window.shape or window.dtype.kind != "U":
        raise FileError(f"{path} has a window that is no word; it must be one such as 'hann'")
    magnitude = _magnitude(arrays["magnitude"], path)
    n_fft, n_bins = numbers["n_fft"], magnitude.shape[1]
    if n_bins != n_fft // 2 + 1:  # before a window of n_fft samples, which could be any number, is made
        raise FileError(f"{path} has {n_bins} bins; n_fft {n_fft} makes n_fft / 2 + 1 = {n_fft // 2 + 1}")
    try:
        settings = StftSettings(n_fft, numbers["hop_length"], win_length or n_fft, str(window))
        check_shape(magnitude, settings, numbers["length"], name="its magnitude")
    except ValueError as error:
        raise FileError(f"{path} cannot be used: {error}") from None
    return Spectrogram(magnitude, numbers["sample_rate"], settings, numbers["length"], path.name)


def invert_spectrogram(
    loaded: Spectrogram,
    *,
    method: Method = "pghi-raar",
    iterations: int = 64,
    start: Start = "auto",
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[Sound, InversionResult]:
    """Find a sound with (nearly) a spectrogram's magnitudes.

    Args:
        loaded: The spectrogram.
        method: As for ``invert``.
        iterations: Pairs of one transform and one inverse.
        start: ``"auto"`` (PGHI, as there is no content), ``"pghi"``, ``"random"`` or ``"zero"``.
        seed: Of the random phase.
        device: Where to compute.

    Returns:
        The sound (its subtype is FLOAT, since its peak may be above full scale), and the inversion: method,
        start and spectral convergence.

    Raises:
        ValueError: If an argument is out of range.
    """
    result = invert(
        loaded.magnitude.to(device),
        loaded.settings,
        loaded.length,
        method=method,
        iterations=iterations,
        start=start,
        generator=torch.Generator().manual_seed(seed),
    )
    samples = result.waveform.double().cpu()
    return Sound(samples, loaded.sample_rate, "FLOAT", Path(loaded.name).stem), result


def _read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a .npz file; nothing in it is run."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise FileError(f"{path} cannot be read: it is no plain file; {_HINT}")
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise FileError(f"{path} holds a single array; {_HINT}")
            most = max(MAX_BYTES, MAX_GROWTH * path.stat().st_size)
            size = sum(entry.file_size for entry in zipfile.ZipFile(file).infolist())
            if size > most:
                raise FileError(f"{path} grows to {size >> 20} MiB as it is read; give a part of it")
            return {key: loaded[key] for key in loaded.files if key in (*_NEEDED, "win_length", "window")}
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    except FileError:
        raise
    except Exception:  # zipfile, zlib, lzma and NumPy have some ten ways to say it
        raise FileError(f"{path} is no .npz file of plain arrays, or it is damaged; {_HINT}") from None


def _whole(array: np.ndarray[Any, Any], key: str, path: Path) -> int:
    """Return a single whole number above 0."""
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise FileError(f"{path} has a {key} that is no number; it must be a whole number above 0")
    value = array.item()
    if not value >= 1 or value != value // 1 or value > 2**48:
        raise FileError(f"{path} has the {key} {value}; it must be a whole number above 0")
    return int(value)


def _magnitude(array: np.ndarray[Any, Any], path: Path) -> Tensor:
    """Return magnitudes as float32 ``[channels, n_bins, frames]``."""
    if array.dtype.kind not in "iuf" or array.ndim not in (2, 3) or not array.size:
        raise FileError(
            f"{path} has a magnitude of type {array.dtype} and shape {list(array.shape)}; it must be real "
            "numbers of shape [channels, bins, frames]"
        )
    with np.errstate(over="ignore"):
        magnitude = torch.from_numpy(np.array(array, dtype=np.float32, ndmin=3))
    bad = int((~((magnitude >= 0) & torch.isfinite(magnitude))).sum())
    if bad:
        raise FileError(f"{path} has {bad} magnitudes that are negative, NaN or infinite; none may be")
    return magnitude


def write_spectrogram(source: Path, output: Path, *, force: bool = False, **options: Any) -> Spectrogram:
    """Read a sound file and write its magnitudes, whole or not at all; options as for ``auto_stft``.

    Returns:
        What was written.

    Raises:
        FileError: If the sound cannot be used or the output cannot be written.
        ValueError: If the transform is not possible.
    """
    check_spectrogram_suffix(output)
    check_output(output, force=force)
    sound = read_sound(source)
    spectrogram = spectrogram_of(sound, auto_stft(sound.sample_rate, **options))
    make_folder(output.parent)
    with atomic(output) as temporary:
        save_spectrogram(temporary, spectrogram)
    return spectrogram


def write_inversion(source: Path, output: Path, *, force: bool = False, **options: Any) -> InversionResult:
    """Read magnitudes from a .npz file and write a sound that has (nearly) these, whole or not at all.

    Options as for ``invert_spectrogram``. WAV gets 32-bit floats, which hold any level; the others need a
    peak below 1.

    Returns:
        The waveform, method, start and spectral convergence.

    Raises:
        FileError: If the spectrogram cannot be used or the output cannot be written.
        ValueError: If an option is out of range.
    """
    check_output_suffix(output)
    check_output(output, force=force)
    sound, result = invert_spectrogram(load_spectrogram(source), **options)
    make_folder(output.parent)
    with atomic(output) as temporary:
        write_sound(sound, temporary)
    return result
