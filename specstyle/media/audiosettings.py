"""How a sound becomes an image: the choices, and the compression of magnitudes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from specstyle.media.inversion import METHODS, STARTS, Method, Start
from specstyle.media.stft import StftSettings, auto_stft

_DB_FLOOR = 1e-5
_DB_OFFSET = 100.0
_DB_RANGE = 140.0
_LOG1P_TOP = 100.0
"""Magnitude, as a multiple of the channel's RMS, that the image value 1 stands for (log1p)."""


@dataclass(frozen=True)
class AudioSettings:
    """How a sound becomes an image, and how an image becomes a sound.

    Attributes:
        n_fft: FFT size in samples; ``None``: see ``auto_stft``. So for ``hop_length`` and ``win_length``.
        hop_length: Samples from frame to frame.
        win_length: Window length in samples.
        window: Name of a SciPy window.
        compression: ``"log1p"`` or ``"db"``.
        log_gain: k in log1p(k |S| / level).
        normalize_level: Divide each channel's magnitudes by their RMS, so that loudness does not count.
        unit_scale: Divide the compressed magnitudes so that they lie at about 0..1. ``False``: plain
            log1p(k |S| / level), or decibels above -100 dB.
        sample_rate: Working rate in Hz; ``None``: the sound's own.
        phase: Where the phase reconstruction starts, see ``invert``: ``"auto"``, ``"content"``, ``"pghi"``,
            ``"random"`` or ``"zero"``.
        phase_method: ``"pghi-raar"``, ``"fast-griffin-lim"`` or ``"griffin-lim"``.
        phase_iterations: Pairs of one transform and one inverse; 0: the start phase as it is.
        phase_momentum: Of fast Griffin-Lim.

    Raises:
        ValueError: If a value is out of range; the message names it.
    """

    n_fft: int | None = None
    hop_length: int | None = None
    win_length: int | None = None
    window: str = "hann"
    compression: Literal["log1p", "db"] = "log1p"
    log_gain: float = 1.0
    normalize_level: bool = True
    unit_scale: bool = True
    sample_rate: int | None = None
    phase: Start = "auto"
    phase_method: Method = "pghi-raar"
    phase_iterations: int = 64
    phase_momentum: float = 0.99

    def __post_init__(self) -> None:
        if self.compression not in ("log1p", "db"):
            raise ValueError(f"compression is {self.compression!r}; it must be 'log1p' or 'db'")
        for name, known in (("phase", STARTS), ("phase_method", METHODS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")
        if not 0.0 < self.log_gain < math.inf:
            raise ValueError(f"log_gain is {self.log_gain}; it must be a number above 0")
        if self.phase_iterations < 0:
            raise ValueError(f"phase_iterations is {self.phase_iterations}; it must be at least 0")
        if not 0.0 <= self.phase_momentum <= 1.0:
            raise ValueError(f"phase_momentum is {self.phase_momentum}; it must be from 0 to 1")
        if self.sample_rate is not None and self.sample_rate < 1:
            raise ValueError(f"sample_rate is {self.sample_rate}; it must be at least 1 Hz, or None")
        if self.n_fft is not None or (self.hop_length is None and self.win_length is None):
            self.stft_at(44100)  # the rate may decide the rest, but not whether these fit together

    def stft_at(self, sample_rate: int) -> StftSettings:
        """Return the transform for a sound of ``sample_rate`` Hz (the working rate, if one is set)."""
        return auto_stft(
            self.sample_rate or sample_rate,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.win_length,
            window=self.window,
        )


def compress(ratio: Tensor, settings: AudioSettings) -> Tensor:
    """Turn magnitudes (as multiples of the level) into image values."""
    if settings.compression == "log1p":
        return torch.log1p(settings.log_gain * ratio) / _scale(settings)
    return (20.0 * torch.log10(ratio + _DB_FLOOR) + _DB_OFFSET) / _scale(settings)


def expand(image: Tensor, settings: AudioSettings) -> Tensor:
    """Turn image values into magnitudes (as multiples of the level): the inverse of ``compress``."""
    values = image * _scale(settings)
    if settings.compression == "log1p":
        ratio = torch.expm1(values) / settings.log_gain
    else:
        ratio = torch.pow(10.0, (values - _DB_OFFSET) / 20.0) - _DB_FLOOR
    return ratio.clamp(min=0.0)


def _scale(settings: AudioSettings) -> float:
    """Return what compressed magnitudes are divided by."""
    if not settings.unit_scale:
        return 1.0
    return math.log1p(settings.log_gain * _LOG1P_TOP) if settings.compression == "log1p" else _DB_RANGE
