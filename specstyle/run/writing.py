"""A run's results as files: sound or picture, and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from specstyle import figures
from specstyle.media import imagefiles, soundfiles
from specstyle.run.output import atomic
from specstyle.run.request import Result


def write_source(medium: str, source: Any, path: Path) -> None:
    """Write a sound or picture, whole or not at all.

    Raises:
        FileError: If it cannot be written.
    """
    with atomic(path) as temporary:
        write_to(medium, source, temporary)


def write_to(medium: str, source: Any, path: Path, **keep: Any) -> tuple[str, ...]:
    """Write a sound or picture to a file that ``atomic`` names; return what a user should know of it.

    Args:
        medium: ``audio`` or ``image``.
        source: The sound or picture.
        path: Where to.
        keep: For a picture, see ``write_picture``.
    """
    if medium == "audio":
        soundfiles.write_sound(source, path)
        return ()
    return imagefiles.write_picture(source, path, **keep)


def draw_figure(medium: str, result: Result, path: Path) -> None:
    """Write content, styles and result side by side as a PNG.

    Raises:
        FileError: If it cannot be written.
    """
    sources = [result.content, *result.styles, result.output]
    titles = panel_titles(len(result.styles))
    if "duration_s" in result.record["recipe"]:  # a texture has nothing of a content
        titles, sources = titles[1:], sources[1:]
    with atomic(path) as temporary:
        if medium == "audio":
            panels = [(t, s.samples.numpy(), s.sample_rate) for t, s in zip(titles, sources, strict=True)]
            figures.sound_figure(panels, temporary)
        else:
            pictures = [(t, _pixels(s)) for t, s in zip(titles, sources, strict=True)]
            figures.picture_figure(pictures, temporary)


def panel_titles(styles: int) -> list[str]:
    """Return the titles of content, styles and result side by side."""
    numbered = ["style"] if styles == 1 else [f"style {i}" for i in range(1, styles + 1)]
    return ["content", *numbered, "result"]


def _pixels(picture: Any) -> np.ndarray:
    pixels: np.ndarray = picture.pixels.movedim(0, 2).numpy()
    return pixels
