"""The pairs of recordings that quality is measured on: which, and which three seconds of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound, resample

DATA = Path(__file__).parents[2] / "shared" / "data" / "esc10"
RATE = 22050
DURATION_S = 3.0
HOP_S = 0.05
SILENCE_DB = 60.0

DEVELOPMENT = (
    ("rooster-1-27724-A", "rain-1-29561-A"),
    ("rooster-1-27724-A", "sea_waves-2-132157-A"),
    ("rooster-2-95258-A", "clock_tick-1-48413-A"),
    ("dog_bark-1-32318-A", "fire_crackling-1-17565-A"),
    ("dog_bark-2-122104-B", "helicopter-1-172649-A"),
    ("dog_bark-2-122104-B", "rain-2-82367-A"),
    ("baby_cry-1-60997-A", "sea_waves-1-91359-A"),
    ("baby_cry-1-60997-A", "clock_tick-2-88724-A"),
    ("baby_cry-2-66637-A", "fire_crackling-2-30322-B"),
    ("chainsaw-1-19898-B", "rain-1-29561-A"),
    ("chainsaw-2-68391-A", "helicopter-2-188822-A"),
    ("chainsaw-2-68391-A", "fire_crackling-1-17565-A"),
)
"""Content and style; of each the three seconds with the least silence."""

SPARSE = (
    ("dog_bark-1-32318-A", "rain-1-29561-A"),
    ("dog_bark-1-32318-A", "sea_waves-1-91359-A"),
    ("dog_bark-2-122104-B", "fire_crackling-1-17565-A"),
    ("person_sneeze-1-81883-A", "rain-2-82367-A"),
    ("person_sneeze-2-119102-A", "helicopter-1-172649-A"),
    ("person_sneeze-2-119102-A", "fire_crackling-2-30322-B"),
)
"""Content with silence between its events; of it the first three seconds from just before an event."""

SETS = {"development": DEVELOPMENT, "sparse": SPARSE}


@dataclass(frozen=True)
class Pair:
    """A content and a style, ready to be transferred.

    Attributes:
        name: ``content + style``, shortened.
        content: At most three seconds at 22.05 kHz.
        style: The same.
    """

    name: str
    content: Sound
    style: Sound


def load_pair(content: str, style: str, *, sparse: bool) -> Pair:
    """Read a pair and cut out the measured seconds.

    Args:
        content: A recording of ``shared/data/esc10`` without suffix, or the path of a sound.
        style: The same.
        sparse: Whether the content keeps its silences.
    """
    return Pair(
        f"{_short(content)} + {_short(style)}",
        from_first_event(read(content)) if sparse else densest(read(content)),
        densest(read(style)),
    )


def densest(sound: Sound) -> Sound:
    """Return the three seconds with the highest median level, without silence at their ends."""
    levels = _levels(sound)
    loud = np.flatnonzero(levels > levels.max() - SILENCE_DB)
    hop = round(HOP_S * sound.sample_rate)
    first, last = int(loud[0]) * hop, (int(loud[-1]) + 1) * hop
    sound = dataclasses.replace(sound, samples=sound.samples[:, first:last])
    levels = _levels(sound)
    width = round(DURATION_S / HOP_S)
    if len(levels) <= width:
        return sound
    windows = np.lib.stride_tricks.sliding_window_view(levels, width)
    return _cut(sound, int(np.median(windows, axis=1).argmax()))


def from_first_event(sound: Sound) -> Sound:
    """Return three seconds from 0.2 s before the first moment within 20 dB of the loudest."""
    levels = _levels(sound)
    first = int(np.argmax(levels > levels.max() - 20.0))
    last = max(len(levels) - round(DURATION_S / HOP_S), 0)
    return _cut(sound, min(max(first - round(0.2 / HOP_S), 0), last))


def read(name: str) -> Sound:
    """Read a recording of shared/data/esc10, or any sound, as one channel at 22.05 kHz."""
    path = Path(name)
    sound = read_sound(path if path.exists() else DATA / f"{name}.ogg")
    mono = dataclasses.replace(sound, samples=sound.samples.mean(0, keepdim=True))
    return resample(mono, RATE)


def _levels(sound: Sound) -> np.ndarray:
    hop = round(HOP_S * sound.sample_rate)
    samples = sound.samples[0].numpy()
    frames = samples[: samples.size // hop * hop].reshape(-1, hop)
    return 10.0 * np.log10(np.mean(frames**2, axis=1) + 1e-12)


def _cut(sound: Sound, first: int) -> Sound:
    start = first * round(HOP_S * sound.sample_rate)
    return dataclasses.replace(
        sound, samples=sound.samples[:, start : start + round(DURATION_S * sound.sample_rate)]
    )


def _short(name: str) -> str:
    kind, _, rest = Path(name).stem.partition("-")
    return f"{kind}-{rest[0]}" if rest else kind
