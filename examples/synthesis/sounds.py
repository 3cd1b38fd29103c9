"""Four sounds made from nothing: a plucked melody, a voice, rain and a fire.

Each function gives the same samples for the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Samples = NDArray[np.float64]

PEAK = 0.8
_HIGHPASS_HZ = 30.0


def _check(duration_s: float, sample_rate: int) -> int:
    """Validate the arguments of every sound; return the length in samples."""
    if not 0.05 <= duration_s <= 600:
        raise ValueError(f"duration_s: expected 0.05 to 600 seconds, got {duration_s}")
    if not 4000 <= sample_rate <= 384_000:
        raise ValueError(f"sample_rate: expected 4000 to 384000 Hz, got {sample_rate}")
    return round(duration_s * sample_rate)


def _finished(samples: Samples, sample_rate: int) -> Samples:
    """Remove DC, soften both ends by 5 ms and bring the peak to ``PEAK``."""
    high = signal.butter(2, _HIGHPASS_HZ, "highpass", fs=sample_rate, output="sos")
    samples = signal.sosfilt(high, samples)
    fade = min(len(samples) // 4, round(0.005 * sample_rate))
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(fade) / fade)
    samples[:fade] *= ramp
    samples[len(samples) - fade :] *= ramp[::-1]
    samples -= samples.mean()
    return np.asarray(PEAK * samples / np.abs(samples).max())


def _bandpass(noise: Samples, low_hz: float, high_hz: float, sample_rate: int, order: int = 2) -> Samples:
    """Filter to a band, whose upper edge is held below the Nyquist frequency."""
    high_hz = min(high_hz, 0.45 * sample_rate)
    low_hz = min(low_hz, 0.7 * high_hz)
    band = signal.butter(order, (low_hz, high_hz), "bandpass", fs=sample_rate, output="sos")
    filtered: Samples = signal.sosfilt(band, noise)
    return filtered


def _drift(length: int, sample_rate: int, rate_hz: float, rng: np.random.Generator) -> Samples:
    """Draw a smooth random curve of about ``rate_hz`` changes a second, mean 0, deviation 1."""
    points = max(4, round(length / sample_rate * rate_hz) + 4)
    times = np.linspace(0, points - 1, length)
    values = rng.standard_normal(points)
    lower = np.minimum(times.astype(int), points - 2)
    blend = 0.5 - 0.5 * np.cos(np.pi * (times - lower))
    curve: Samples = values[lower] * (1 - blend) + values[lower + 1] * blend
    return curve


# -- a plucked melody ----------------------------------------------------------------------------------------

# (semitones above A3, start and length in beats): a rise, a leap to the octave, and a walk home; 8 notes.
_TUNE = (
    (0, 0.0, 1.0),
    (3, 1.0, 0.5),
    (5, 1.5, 0.5),
    (7, 2.0, 1.5),
    (12, 3.5, 1.0),
    (10, 4.5, 0.5),
    (7, 5.0, 1.0),
    (5, 6.0, 2.0),
)
_BASS = ((-12, 0.0, 4.0), (-7, 4.0, 2.0), (-14, 6.0, 2.0))
_TUNE_BEATS = 8.0
_TUNE_S = 4.0
_A3_HZ = 220.0


def plucked_melody(duration_s: float = 6.0, sample_rate: int = 22050, seed: int = 0) -> Samples:
    """Play a tune of eight notes, with a bass, on plucked strings.

    The tune is played a whole number of times, at about four seconds each.

    Args:
        duration_s: Length in seconds.
        sample_rate: In Hz.
        seed: Seed of the plucks' noise, their strength and their timing.

    Returns:
        Samples in [-1, 1], shape ``[length]``.

    Reference:
        Karplus & Strong 1983, "Digital synthesis of plucked-string and drum timbres"; fractional tuning by an
        allpass as in Jaffe & Smith 1983.
    """
    length = _check(duration_s, sample_rate)
    rng = np.random.default_rng(seed)
    repeats = max(1, round(duration_s / _TUNE_S))
    beat_s = duration_s / (repeats * _TUNE_BEATS)
    mix = np.zeros(length)
    for repeat in range(repeats):
        for notes, level in ((_TUNE, 1.0), (_BASS, 0.7)):
            for semitones, start, beats in notes:
                onset_s = (repeat * _TUNE_BEATS + start) * beat_s + 0.004 * rng.random()
                first = round(onset_s * sample_rate)
                held = min(length - first, round((beats + 0.15) * beat_s * sample_rate))
                pitch_hz = _A3_HZ * 2 ** (semitones / 12)
                loudness = level * rng.uniform(0.8, 1.0)
                if held > 8:
                    mix[first : first + held] += loudness * _pluck(pitch_hz, held, sample_rate, rng)
    body = sum(_bandpass(mix, 0.9 * f, 1.1 * f, sample_rate, 1) for f in (105.0, 205.0, 410.0))
    return _finished(mix + 0.5 * body, sample_rate)


def _pluck(pitch_hz: float, length: int, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Let one string ring: noise in a loop of delay, two-point average and tuning allpass."""
    damping, average_delay = 0.9965 ** (220 / pitch_hz), 0.35
    period = sample_rate / pitch_hz
    delay = int(period - average_delay - 0.1)
    fraction = period - average_delay - delay
    allpass = (1 - fraction) / (1 + fraction)
    loop = damping * np.convolve([1 - average_delay, average_delay], [allpass, 1.0])
    denominator = np.zeros(delay + 3)
    denominator[:2] = 1.0, allpass
    denominator[delay : delay + 3] -= loop
    burst = np.zeros(length)
    count = min(delay, length)
    burst[:count] = rng.uniform(-1, 1, count)
    burst = signal.lfilter([0.55], [1, -0.45], burst)  # a fingertip is softer than noise
    position = max(1, round(0.2 * delay))  # plucked at a fifth of the string: every fifth harmonic is missing
    burst[position:] -= 0.9 * burst[:-position].copy()
    note: Samples = signal.lfilter([1.0, allpass], denominator, burst)
    release = min(length, round(0.08 * sample_rate))
    note[length - release :] *= np.linspace(1, 0, release) ** 2
    return note


# -- a voice -------------------------------------------------------------------------------------------------

_FORMANTS_HZ = {
    "a": (800, 1200, 2800, 3600, 4950),
    "e": (450, 1900, 2700, 3400, 4950),
    "i": (310, 2300, 3000, 3700, 4950),
    "o": (480, 850, 2700, 3500, 4950),
    "u": (340, 700, 2500, 3400, 4950),
    "m": (270, 1000, 2100, 3300, 4950),
}
_BANDWIDTHS_HZ = (70, 90, 130, 180, 220)
_FORMANT_GAINS = (1.0, 0.6, 0.35, 0.22, 0.1)


@dataclass(frozen=True)
class _Sound:
    """One speech sound: formants it moves to, length in units, pitch it glides to, and three levels."""

    vowel: str
    units: float
    semitones: float = 0.0
    voice: float = 0.0
    breath: float = 0.0
    hiss: float = 0.0


# "ha-mo-shi a-e-u / so-ma-i": breath, hum, hiss and rests between gliding vowels.
_PHRASE = (
    _Sound("a", 0.5, 0, breath=1.0),
    _Sound("a", 1.6, 3, voice=1.0, breath=0.05),
    _Sound("m", 0.6, 3, voice=0.35),
    _Sound("o", 1.7, 5, voice=1.0, breath=0.05),
    _Sound("i", 0.8, 5, hiss=0.8),
    _Sound("i", 1.8, 7, voice=0.9, breath=0.05),
    _Sound("a", 0.5, 4),
    _Sound("a", 1.2, 5, voice=1.0, breath=0.05),
    _Sound("e", 1.1, 3, voice=0.95, breath=0.05),
    _Sound("u", 1.3, 0, voice=0.9, breath=0.08),
    _Sound("o", 0.7, 2, hiss=1.0),
    _Sound("o", 1.4, 2, voice=1.0, breath=0.05),
    _Sound("m", 0.6, 0, voice=0.35),
    _Sound("a", 1.3, -1, voice=1.0, breath=0.05),
    _Sound("i", 2.2, -4, voice=0.8, breath=0.12),
    _Sound("i", 0.5, -4, breath=0.5),
    _Sound("a", 0.5),
)
_PHRASE_S = 4.0
_BASE_PITCH_HZ = 155.0


def voice_phrase(duration_s: float = 6.0, sample_rate: int = 22050, seed: int = 0) -> Samples:
    """Say a phrase without words: pulses of a glottis, and breath, through the formants of moving vowels.

    Args:
        duration_s: Length in seconds.
        sample_rate: In Hz.
        seed: Seed of breath, vibrato and the unevenness of the pitch.

    Returns:
        Samples in [-1, 1], shape ``[length]``.

    Reference:
        Rosenberg 1971, "Effect of glottal pulse shape on the quality of natural vowels"; parallel formant
        synthesis as in Klatt 1980.
    """
    length = _check(duration_s, sample_rate)
    rng = np.random.default_rng(seed)
    phrase = _PHRASE * max(1, round(duration_s / _PHRASE_S))
    ends = np.cumsum([sound.units for sound in phrase]) / sum(sound.units for sound in phrase)
    which = np.minimum(np.searchsorted(ends, (np.arange(length) + 0.5) / length), len(phrase) - 1)

    def track(values: list[float], smooth_s: float) -> Samples:
        """Follow one value per speech sound, gliding over ``smooth_s`` seconds."""
        window = signal.windows.hann(max(3, round(2 * smooth_s * sample_rate)))
        steps = np.asarray(values, dtype=float)[which]
        padded = np.pad(steps, len(window), mode="edge")
        glided = signal.fftconvolve(padded, window / window.sum(), mode="same")
        return np.asarray(glided[len(window) : -len(window)])

    semitones = track([sound.semitones for sound in phrase], 0.09)
    time_s = np.arange(length) / sample_rate
    vibrato = 0.35 * np.sin(2 * np.pi * 5.3 * time_s + rng.uniform(0, 2 * np.pi))
    uneven = 0.12 * _drift(length, sample_rate, 12, rng)
    pitch_hz = _BASE_PITCH_HZ * 2 ** ((semitones + vibrato + uneven) / 12)
    voiced = _glottis(pitch_hz, sample_rate) * track([sound.voice for sound in phrase], 0.025)
    noise = rng.standard_normal(length)
    breath = 0.05 * noise * track([sound.breath for sound in phrase], 0.03)
    formants = [
        track([_FORMANTS_HZ[sound.vowel][k] for sound in phrase], 0.05) for k in range(len(_BANDWIDTHS_HZ))
    ]
    throat = _formant_bank(voiced + breath, formants, sample_rate)
    hiss = _bandpass(noise, 3200, 7500, sample_rate) * track([sound.hiss for sound in phrase], 0.02)
    throat /= np.abs(throat).max()
    return _finished(throat + 0.45 * hiss / np.abs(hiss).max(), sample_rate)


def _glottis(pitch_hz: Samples, sample_rate: int) -> Samples:
    """Differentiate a train of Rosenberg pulses, open for 60 % of each period."""
    phase = np.cumsum(pitch_hz / sample_rate) % 1.0
    opening = phase / 0.4
    closing = (phase - 0.4) / 0.2
    flow = np.where(opening < 1, 0.5 - 0.5 * np.cos(np.pi * opening), np.cos(0.5 * np.pi * closing))
    flow[phase >= 0.6] = 0.0
    return np.diff(flow, prepend=0.0) * sample_rate / pitch_hz / 8


def _formant_bank(source: Samples, formants_hz: list[Samples], sample_rate: int) -> Samples:
    """Send a source through resonators whose frequencies change every 4 ms."""
    block = max(1, round(0.004 * sample_rate))
    mix = np.zeros(len(source))
    for k, center_hz in enumerate(formants_hz):
        if center_hz.max() > 0.45 * sample_rate:
            continue
        radius = np.exp(-np.pi * _BANDWIDTHS_HZ[k] / sample_rate)
        sign = -1.0 if k % 2 else 1.0  # neighbours alternate, so that no zero lies between them
        state = np.zeros(2)
        for start in range(0, len(source), block):
            angle = 2 * np.pi * center_hz[start] / sample_rate
            feedback = [1.0, -2 * radius * np.cos(angle), radius**2]
            gain = (
                sign
                * _FORMANT_GAINS[k]
                * (1 - radius)
                * np.sqrt(1 - 2 * radius * np.cos(2 * angle) + radius**2)
            )
            piece, state = signal.lfilter([gain], feedback, source[start : start + block], zi=state)
            mix[start : start + block] += piece
    return mix


# -- rain ----------------------------------------------------------------------------------------------------


def rain(duration_s: float = 6.0, sample_rate: int = 22050, seed: int = 0) -> Samples:
    """Let rain fall on leaves and puddles: a hiss in gusts, and very many drops of all sizes.

    Args:
        duration_s: Length in seconds.
        sample_rate: In Hz.
        seed: Seed of everything.

    Returns:
        Samples in [-1, 1], shape ``[length]``.
    """
    length = _check(duration_s, sample_rate)
    rng = np.random.default_rng(seed)
    gust = np.exp(0.25 * _drift(length, sample_rate, 0.8, rng))
    white = rng.standard_normal(length)
    bed = _bandpass(white, 900, 9000, sample_rate, 1) + 0.5 * _bandpass(white, 200, 900, sample_rate, 1)
    bed *= gust / bed.std()
    drops = np.zeros(length)
    time_s = np.arange(round(0.03 * sample_rate)) / sample_rate
    for _ in range(90):  # so many kinds of drops, each a short ring of its own pitch and decay
        pitch_hz = min(np.exp(rng.uniform(np.log(700), np.log(9000))), 0.4 * sample_rate)
        decay_s = rng.uniform(0.0005, 0.0018) * (2500 / pitch_hz) ** 0.5
        ring = np.exp(-time_s / decay_s) * np.sin(2 * np.pi * pitch_hz * time_s * (1 + 4 * time_s))
        count = rng.poisson(6 * duration_s)
        sizes = np.minimum((1 - rng.random(count)) ** -0.55, 14.0) * rng.choice((-1.0, 1.0), count)
        hits = np.zeros(length)
        np.add.at(hits, rng.integers(0, length, count), sizes)
        drops += signal.fftconvolve(hits, ring)[:length]
    return _finished(0.30 * bed + drops / drops.std() * 0.55, sample_rate)


# -- fire ----------------------------------------------------------------------------------------------------


def fire_crackle(duration_s: float = 6.0, sample_rate: int = 22050, seed: int = 0) -> Samples:
    """Burn a log: a low rumble, a faint hiss, and crackles in clusters, few of them loud.

    Args:
        duration_s: Length in seconds.
        sample_rate: In Hz.
        seed: Seed of everything.

    Returns:
        Samples in [-1, 1], shape ``[length]``.
    """
    length = _check(duration_s, sample_rate)
    rng = np.random.default_rng(seed)
    flicker = np.exp(0.5 * _drift(length, sample_rate, 4, rng))
    rumble = _bandpass(rng.standard_normal(length), 35, 160, sample_rate, 1) * flicker
    hiss = _bandpass(rng.standard_normal(length), 500, 5000, sample_rate, 1)
    mix = 0.07 * rumble / rumble.std() + 0.006 * hiss / hiss.std() * np.sqrt(flicker)
    for cluster_s in rng.uniform(0, duration_s, max(2, rng.poisson(4 * duration_s))):
        snaps = 1 + rng.geometric(0.22)
        spread_s = rng.uniform(0.02, 0.25)
        for onset_s in cluster_s + spread_s * rng.random(snaps):
            loudness = min(0.1 * (1 - rng.random()) ** -0.8, 0.7)
            crackle = loudness * _crackle(sample_rate, loudness, rng)
            first = int(onset_s * sample_rate)
            held = max(0, min(len(crackle), length - first))
            mix[first : first + held] += crackle[:held]
    return _finished(mix, sample_rate)


def _crackle(sample_rate: int, loudness: float, rng: np.random.Generator) -> Samples:
    """Snap once: a burst of noise of 1 to 8 ms, lower and longer the louder it is."""
    decay_s = rng.uniform(0.0008, 0.0025) * (1 + 4 * loudness)
    time_s = np.arange(max(8, round(8 * decay_s * sample_rate))) / sample_rate
    low_hz = rng.uniform(700, 2500) / (1 + loudness)
    burst = _bandpass(rng.standard_normal(len(time_s)), low_hz, low_hz * rng.uniform(3, 7), sample_rate, 1)
    burst *= np.exp(-time_s / decay_s)
    return np.asarray(burst / np.abs(burst).max())


SOUNDS: dict[str, Callable[..., Samples]] = {
    "plucked_melody": plucked_melody,
    "voice_phrase": voice_phrase,
    "rain": rain,
    "fire_crackle": fire_crackle,
}
"""Sounds by name; each takes ``duration_s``, ``sample_rate`` and ``seed``."""
