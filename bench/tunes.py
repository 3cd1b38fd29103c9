"""The pairs that tell whether a tune stays: music, speech, calls, instruments by textures, beats and a chord.

Recordings are those of ``shared/data/music`` and ``shared/data/esc10``; a scale, a chorale, a voice, a drum
loop and a string chord are made here, the same every time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pairs import DATA, RATE, Pair, read
from scipy.signal import lfilter

from specstyle.media.sounds import Sound

MUSIC = DATA.parent / "music"
DURATION_S = 5.0
PEAK = 0.3

PAIRS = (
    ("trumpet", "rain-1-29561-A"),
    ("trumpet", "fire_crackling-1-17565-A"),
    ("trumpet", "chord"),
    ("vibe_ace", "rain-2-82367-A"),
    ("vibe_ace", "clock_tick-1-48413-A"),
    ("vibe_ace", "fire_crackling-2-30322-B"),
    ("speech", "rain-1-29561-A"),
    ("speech", "sea_waves-1-91359-A"),
    ("robin", "fire_crackling-2-30322-B"),
    ("rooster-1-27724-A", "sea_waves-2-132157-A"),
    ("chorale", "rain-1-29561-A"),
    ("chorale", "drums"),
    ("scale", "fire_crackling-1-17565-A"),
    ("voice", "sea_waves-1-91359-A"),
    ("voice", "clock_tick-2-88724-A"),
)
"""Content and style: names of recordings, or of what is made."""

STARTS_S = {"trumpet": 0.0, "vibe_ace": 5.0, "speech": 1.0, "robin": 0.0}
"""Where the five seconds of the recordings of ``shared/data/music`` begin; the robin has only 2.7."""

_Samples = np.ndarray


def load_pairs() -> tuple[list[Pair], list[str]]:
    """Return the pairs whose recordings are there, five seconds of each at 22.05 kHz, and what is absent."""
    sounds: dict[str, Sound | None] = {}
    for name in dict.fromkeys(name for pair in PAIRS for name in pair):
        sounds[name] = load(name)
    pairs = []
    for content, style in PAIRS:
        ours, theirs = sounds[content], sounds[style]
        if ours is not None and theirs is not None:
            pairs.append(Pair(f"{_short(content)} + {_short(style)}", ours, theirs))
    return pairs, [name for name, sound in sounds.items() if sound is None]


def load(name: str) -> Sound | None:
    """Return five seconds of a recording or of what is made, with a peak of 0.3; ``None``: it is absent."""
    if name in MADE:
        samples = MADE[name]()
    else:
        path = (MUSIC if name in STARTS_S else DATA) / f"{name}.ogg"
        if not path.is_file():
            return None
        samples = read(str(path)).samples[0].numpy()
    first = round(STARTS_S.get(name, 0.0) * RATE)
    samples = samples[first : first + round(DURATION_S * RATE)]
    return Sound(torch.from_numpy(PEAK / np.abs(samples).max() * samples)[None], RATE, name=name)


def _short(name: str) -> str:
    kind, _, rest = name.partition("-")
    return f"{kind}-{rest[0]}" if rest else kind


# -- what is made --------------------------------------------------------------------------------------------


def scale() -> _Samples:
    """An octave up and down, plucked, three notes a second."""
    steps = (0, 2, 4, 5, 7, 9, 11, 12, 11, 9, 7, 5, 4, 2, 0)
    notes = [(0.33 * i, _plucked(60 + step, 0.32)) for i, step in enumerate(steps)]
    return _placed(notes)


def chorale() -> _Samples:
    """Five chords of four sung parts, one a second."""
    chords = ((48, 55, 64, 72), (53, 57, 65, 69), (55, 59, 62, 71), (48, 55, 64, 72), (45, 57, 60, 64))
    return _placed([(float(i), _sung(pitch, 0.95)) for i, chord in enumerate(chords) for pitch in chord])


def drums() -> _Samples:
    """A bar of a bass drum, a snare drum and a hi-hat at 120 beats a minute, over and over."""
    rng = np.random.default_rng(0)
    t = _time(0.3)
    kick = np.sin(2 * np.pi * (50 * t + (1 - np.exp(-30 * t)))) * np.exp(-t / 0.09)  # falls from 80 to 50 Hz
    snare = rng.standard_normal(t.size) * np.exp(-t / 0.06) + 0.5 * np.sin(2 * np.pi * 190 * t) * np.exp(
        -t / 0.05
    )
    hat = np.diff(rng.standard_normal(_time(0.08).size + 1)) * np.exp(-_time(0.08) / 0.02)
    hits = []
    for eighth in range(round(8 * DURATION_S)):
        hits.append((eighth / 8, 0.25 * hat))
        if eighth % 8 in (0, 3, 6):
            hits.append((eighth / 8, kick))
        if eighth % 8 == 4:
            hits.append((eighth / 8, 0.6 * snare))
    return _placed(hits)


def voice() -> _Samples:
    """A voice that says a vowel every half second while its pitch wanders: pulses through three formants."""
    t = _time(DURATION_S)
    semitones = np.interp(t, np.arange(0, 5.5, 0.5), (0, 3, 5, 3, 2, 0, -2, 0, 4, 5, 0))
    pitch = 180 * 2 ** (semitones / 12) * (1 + 0.01 * np.sin(2 * np.pi * 5 * t))
    pulses = np.diff(np.cumsum(pitch) / RATE % 1, prepend=0.0)
    source = lfilter([1.0], [1.0, -0.95], pulses - pulses.mean())
    vowels = ((700, 1200, 2600), (300, 2200, 2900), (450, 800, 2600), (550, 1700, 2500))
    spoken = []
    for i in range(round(DURATION_S / 0.5)):
        part = source[round(0.5 * i * RATE) : round(0.5 * (i + 1) * RATE)]
        for formant in vowels[i % len(vowels)]:
            radius = np.exp(-np.pi * 90 / RATE)  # 90 Hz wide
            poles = [1.0, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2]
            part = part + 24.0 * (1 - radius) * lfilter([1.0], poles, part)
        spoken.append((0.5 * i, part * _faded(part.size, 0.03, 0.06)))
    return _placed(spoken)


def chord() -> _Samples:
    """Strings hold a chord: three players to each of five notes, each a little out of tune, with vibrato."""
    rng = np.random.default_rng(2)
    t = _time(DURATION_S)
    held = np.zeros(t.size)
    for pitch in np.repeat((50, 57, 62, 65, 69), 3):
        hz = _hz(pitch) * (1 + 0.003 * rng.standard_normal())
        vibrato = 0.2 * np.sin(2 * np.pi * (5 + rng.uniform()) * t)
        for k in range(14):
            held += 0.75**k * np.sin(2 * np.pi * (k + 1) * hz * t + 6 * rng.uniform() + vibrato)
    return held


MADE: dict[str, Callable[[], _Samples]] = {
    "scale": scale,
    "chorale": chorale,
    "drums": drums,
    "voice": voice,
    "chord": chord,
}


def _time(seconds: float) -> _Samples:
    return np.arange(round(seconds * RATE)) / RATE


def _hz(pitch: float) -> float:
    return float(440 * 2 ** ((pitch - 69) / 12))


def _tone(pitch: float, seconds: float, vibrato: float = 0.0) -> _Samples:
    """Eight partials, each 0.6 of the one before."""
    t = _time(seconds)
    phase = 2 * np.pi * _hz(pitch) * t + vibrato * np.sin(2 * np.pi * 5.5 * t)
    return np.sum([0.6**k * np.sin((k + 1) * phase) for k in range(8)], axis=0)


def _plucked(pitch: float, seconds: float) -> _Samples:
    t = _time(seconds)
    return _tone(pitch, seconds) * np.minimum(t / 0.01, 1) * np.exp(-t / 0.3)


def _sung(pitch: float, seconds: float) -> _Samples:
    tone = _tone(pitch, seconds, vibrato=0.15)
    return tone * _faded(tone.size, 0.04, 0.08)


def _faded(size: int, in_s: float, out_s: float) -> _Samples:
    n = np.arange(size)
    return np.minimum(n / (in_s * RATE), 1) * np.minimum((size - n) / (out_s * RATE), 1)


def _placed(parts: list[tuple[float, _Samples]]) -> _Samples:
    """Add up sounds that begin at some seconds; what goes beyond the end is cut off."""
    total = np.zeros(round(DURATION_S * RATE))
    for start_s, part in parts:
        first = round(start_s * RATE)
        stop = min(first + part.size, total.size)
        total[first:stop] += part[: max(stop - first, 0)]
    return total
