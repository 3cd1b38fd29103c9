"""Spectrograms that the training makes itself: of synthesized sounds, as specstyle makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal

from specstyle.media.audio import AudioSettings, SoundCodec
from specstyle.media.sounds import Sound
from specstyle.synthesis.sounds import SOUNDS

Array = NDArray[Any]
Rng = np.random.Generator

SAMPLE_RATE = 22050
DURATION_S = 3.0


def tones(length: int, rng: Rng) -> Array:
    """Return gliding harmonic tones that come and go."""
    time = np.arange(length) / SAMPLE_RATE
    total = np.zeros(length)
    for _ in range(int(rng.integers(1, 8))):
        pitch = np.exp(rng.uniform(np.log(80), np.log(1800)))
        glide = pitch * 2.0 ** (
            rng.uniform(0, 0.6) * np.sin(2 * np.pi * rng.uniform(0.1, 6) * time + rng.uniform(0, 6))
        )
        phase = 2 * np.pi * np.cumsum(glide) / SAMPLE_RATE
        tilt = rng.uniform(0.6, 2.0)
        partials = range(1, min(int(10000 / pitch), 24) + 1)
        voice = sum(k**-tilt * np.sin(k * phase + rng.uniform(0, 6)) for k in partials)
        total += envelope(length, rng) * voice
    return total


def bursts(length: int, rng: Rng) -> Array:
    """Return clicks and short decaying noises."""
    total = np.zeros(length)
    decay = np.exp(
        -np.arange(int(0.3 * SAMPLE_RATE)) / (SAMPLE_RATE * np.exp(rng.uniform(np.log(2e-3), np.log(0.1))))
    )
    for start in rng.integers(0, length, int(np.exp(rng.uniform(np.log(3), np.log(300))))):
        event = rng.lognormal(0, 1) * rng.normal(size=decay.size) * decay
        total[start : start + event.size] += event[: length - start]
    return filtered(total, rng)


def noises(length: int, rng: Rng) -> Array:
    """Return filtered noise whose level drifts."""
    return envelope(length, rng) * filtered(rng.normal(size=length), rng)


def filtered(samples: Array, rng: Rng) -> Array:
    """Pass a sound through a random band."""
    low, high = np.sort(np.exp(rng.uniform(np.log(40), np.log(10500), 2)))
    band = signal.butter(1, [low, max(high, 1.3 * low)], "band", fs=2.2 * 11025 + high, output="sos")
    return np.asarray(samples * rng.uniform(0, 0.3) + signal.sosfilt(band, samples))


def envelope(length: int, rng: Rng) -> Array:
    """Return a random level over time: steady, swelling, or a few events between silences."""
    knots = rng.uniform(0, 1, int(rng.integers(2, 24)))
    level = np.interp(np.linspace(0, 1, length), np.linspace(0, 1, knots.size), knots)
    return np.asarray(level ** rng.uniform(0.0, 6.0))


def draw_sound(rng: Rng) -> Array:
    """Return a random sound of ``DURATION_S``: one of the example sounds, or a mixture of the kinds above."""
    length = round(DURATION_S * SAMPLE_RATE)
    if rng.random() < 0.35:
        make = list(SOUNDS.values())[rng.integers(len(SOUNDS))]
        return np.asarray(make(DURATION_S, SAMPLE_RATE, seed=int(rng.integers(1, 1 << 30))))
    kinds = [tones, bursts, noises]
    chosen = rng.choice(len(kinds), int(rng.integers(1, 3)), replace=False)
    total = sum(rng.uniform(0.1, 1.0) * _unit(kinds[k](length, rng)) for k in chosen)
    return np.asarray(total) + 10 ** rng.uniform(-5, -2) * rng.normal(size=length)


def _unit(samples: Array) -> Array:
    return np.asarray(samples / (np.sqrt(np.mean(samples**2)) + 1e-12))


def draw_spectrogram(rng: Rng, samples: Array | None = None, sample_rate: int = SAMPLE_RATE) -> Array:
    """Return the image of a sound, float32 ``[3, bins, frames]``: gray, mostly in 0..1.

    Args:
        rng: Of the sound and of how it becomes an image.
        samples: ``[length]`` of a given sound; ``None``: ``draw_sound``.
        sample_rate: Of ``samples``, in Hz.
    """
    samples = draw_sound(rng) if samples is None else samples
    settings = AudioSettings(
        n_fft=int(rng.choice([512, 1024, 2048])), log_gain=float(np.exp(rng.uniform(0.0, np.log(60.0))))
    )
    sound = Sound(torch.from_numpy(_unit(samples))[None], sample_rate, "FLOAT", "synthesized")
    gray: torch.Tensor = SoundCodec(settings).encode(sound).image[0]
    image: Array = gray.clamp(0.0, 1.0).expand(3, -1, -1).numpy()
    return image
