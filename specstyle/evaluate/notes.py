"""How many of the content's notes a transcriber finds again. Needs Basic Pitch, which is not always there."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from specstyle.evaluate.texture import Array

Note = tuple[float, float, int]
"""Onset and end in seconds, and the pitch as a MIDI number."""

LEAST_NOTES = 5
"""Of fewer notes in the content nothing is said: one more or less would be a fifth of the figure."""

INSTALL = ("pip install 'specstyle[judge]'", "pip install --no-deps basic-pitch")
"""What makes the figure possible. Without ``--no-deps`` Basic Pitch would bring a TensorFlow, or TensorFlow
Lite, that is there for some versions of Python only and needs an old NumPy; neither is used."""

_MODULES = ("basic_pitch", "onnxruntime", "mir_eval", "pretty_midi", "resampy")
_PEAK = 0.7
_SHORTEST_S = 0.01


def transcriber_installed() -> bool:
    """Return whether Basic Pitch and what it needs are installed; none of them is imported."""
    return all(find_spec(name) is not None for name in _MODULES)


def transcribe(x: Array, sample_rate: int) -> list[Note] | None:
    """Return the notes that Basic Pitch hears in a sound, whatever its level.

    Args:
        x: One channel, shape ``[length]``; silence has no notes.
        sample_rate: In Hz.

    Returns:
        Notes in order of their onsets; ``None`` where Basic Pitch is not installed.

    Reference:
        Bittner et al. 2022, "A lightweight instrument-agnostic model for polyphonic note transcription and
        multipitch estimation", ICASSP: the model and the settings that the package ``basic-pitch`` has.
    """
    if not transcriber_installed():
        return None
    peak = float(np.abs(x).max(initial=0.0))
    if peak == 0.0:
        return []
    import soundfile

    with _quiet(), tempfile.TemporaryDirectory() as folder:
        from basic_pitch.inference import predict

        path = Path(folder) / "heard.wav"
        soundfile.write(path, x * (_PEAK / peak), sample_rate, subtype="FLOAT")
        events = predict(path, _model())[2]
    return sorted((float(start), float(end), int(pitch)) for start, end, pitch, *_ in events)


def notes_kept(notes: Sequence[Note], of: Sequence[Note], duration_s: float) -> float | None:
    """Return the F1 measure of notes that are found again: onset within 50 ms, pitch within 50 cents.

    F1 = 2 P R / (P + R), with P the share of ``notes`` that have a partner among those of the content, and R
    the share of the content's that have one among ``notes``; no note has two partners (mir_eval's largest
    matching). Where notes end does not count.

    Args:
        notes: Of the sound that is judged.
        of: Of the content.
        duration_s: Only notes that begin before this count: the common duration of both sounds.

    Returns:
        From 0 to 1; ``None`` if the content has fewer than 5 notes.

    Reference:
        Raffel et al. 2014, "mir_eval: a transparent implementation of common MIR metrics", ISMIR:
        ``transcription.precision_recall_f1_overlap`` without offsets.
    """
    found, wanted = ([note for note in given if note[0] < duration_s] for given in (notes, of))
    if len(wanted) < LEAST_NOTES:
        return None
    if not found:
        return 0.0
    from mir_eval.transcription import precision_recall_f1_overlap

    return float(precision_recall_f1_overlap(*_arrays(wanted), *_arrays(found), offset_ratio=None)[2])


def _arrays(notes: Sequence[Note]) -> tuple[Array, Array]:
    """Return the intervals in seconds ``[notes, 2]`` and the pitches in Hz ``[notes]``."""
    times = np.array([(start, max(end, start + _SHORTEST_S)) for start, end, _ in notes])
    return times, np.array([440.0 * 2.0 ** ((pitch - 69) / 12.0) for *_, pitch in notes])


@functools.cache
def _model() -> Any:
    """Return the network, as an ONNX file in the package."""
    import basic_pitch
    from basic_pitch.inference import Model

    return Model(Path(basic_pitch.__file__).parent / "saved_models" / "icassp_2022" / "nmp.onnx")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a library prints, warns and logs from the user, and leave the root logger as it was.

    Basic Pitch logs at import which of four runtimes are missing, and prints the path that it transcribes.
    """
    root, nobody = logging.getLogger(), logging.NullHandler()
    disabled = logging.root.manager.disable
    root.addHandler(nobody)  # without any handler, the first warning would install one for good
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.removeHandler(nobody)
