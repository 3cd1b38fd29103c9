"""What a result must beat: the content, an equalizer, the style, and how much the style is like itself."""

from __future__ import annotations

from dataclasses import replace

from specstyle.media.equalize import equalize
from specstyle.media.sounds import Sound


def halves(sound: Sound) -> tuple[Sound, Sound]:
    """Return the first and the second half of a sound (which has the sample in the middle)."""
    middle = sound.samples.shape[1] // 2
    return (
        replace(sound, samples=sound.samples[:, :middle]),
        replace(sound, samples=sound.samples[:, middle:]),
    )


__all__ = ["equalize", "halves"]
