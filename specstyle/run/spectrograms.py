"""Spectrogram inversion from files to files."""

from __future__ import annotations

from pathlib import Path

import torch

from specstyle.media.inversion import InversionResult, Method, Start
from specstyle.media.soundfiles import check_output_suffix, read_sound, write_sound
from specstyle.media.spectrogramfile import (
    Spectrogram,
    check_spectrogram_suffix,
    invert_spectrogram,
    load_spectrogram,
    save_spectrogram,
    spectrogram_of,
)
from specstyle.media.stft import auto_stft
from specstyle.run.build import choose_device
from specstyle.run.output import atomic, check_output


def write_spectrogram(
    source: Path,
    output: Path,
    *,
    n_fft: int | None = None,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: str = "hann",
    force: bool = False,
) -> Spectrogram:
    """Read a sound file and write its magnitudes, whole or not at all.

    Args:
        source: A sound file.
        output: Where to; it must end in .npz (see ``save_spectrogram``).
        n_fft: In samples; ``None``: see ``auto_stft``. So for ``hop_length`` and ``win_length``.
        hop_length: Samples from frame to frame.
        win_length: Window length in samples.
        window: Name of a SciPy window.
        force: Replace an existing output.

    Returns:
        What was written.

    Raises:
        FileError: If the sound cannot be used or the output cannot be written.
        ValueError: If the transform is not possible.
    """
    check_spectrogram_suffix(output)
    check_output(output, force=force)
    sound = read_sound(source)
    settings = auto_stft(
        sound.sample_rate, n_fft=n_fft, hop_length=hop_length, win_length=win_length, window=window
    )
    spectrogram = spectrogram_of(sound, settings)
    with atomic(output) as temporary:
        save_spectrogram(temporary, spectrogram)
    return spectrogram


def write_inversion(
    source: Path,
    output: Path,
    *,
    method: Method = "pghi-raar",
    iterations: int = 64,
    start: Start = "auto",
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
) -> InversionResult:
    """Read magnitudes from a .npz file and write a sound that has (nearly) these, whole or not at all.

    Args:
        source: What ``write_spectrogram`` wrote, or the like (see ``load_spectrogram``).
        output: A sound file. WAV gets 32-bit floats, which hold any level; the others need a peak below 1.
        method: See ``invert``, and so for ``iterations`` and ``start``.
        iterations: Pairs of one transform and one inverse.
        start: ``"auto"``, ``"pghi"``, ``"random"`` or ``"zero"``.
        seed: Of the random phase.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps`` (which has no complex numbers; the CPU does its work).
        force: Replace an existing output.

    Returns:
        The waveform, method, start and spectral convergence.

    Raises:
        FileError: If the spectrogram cannot be used or the output cannot be written.
        ValueError: If an option is out of range.
    """
    check_output_suffix(output)
    check_output(output, force=force)
    chosen = choose_device(device)
    sound, result = invert_spectrogram(
        load_spectrogram(source),
        method=method,
        iterations=iterations,
        start=start,
        seed=seed,
        device=torch.device("cpu") if chosen.type == "mps" else chosen,
    )
    with atomic(output) as temporary:
        write_sound(sound, temporary)
    return result
