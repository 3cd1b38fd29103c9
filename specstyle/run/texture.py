"""Textures: new sounds with the statistics of others, and nothing of a content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from specstyle.recipes import TEXTURE, Recipe
from specstyle.run.api import checked, ignore, plain
from specstyle.run.request import Progress, Request, Result
from specstyle.run.transfer import transfer


def texture_request(styles: Sequence[Any], overrides: dict[str, Any]) -> Request:
    """Return the request for a texture: the first style, in its range, stands in for the content.

    Args:
        styles: One or more sounds.
        overrides: Recipe fields to change; they come before those that make a texture.
    """
    settled = {**TEXTURE, **overrides}
    for name in ("start_s", "duration_s"):
        if settled.get(f"style_{name}"):
            settled.setdefault(f"content_{name}", settled[f"style_{name}"][0])
    return Request("audio", styles[0], styles, overrides=settled)


def texture_audio(
    style: Any,
    duration_s: float | None = None,
    *,
    loop: bool = False,
    sample_rate: int | None = None,
    recipe: str | Path | Recipe = "default",
    device: str = "auto",
    seed: int = 0,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    **overrides: Any,
) -> Result:
    """Make a new sound with the texture of one or more others, from noise.

    Args:
        style: A path, samples ``[length]`` or ``[channels, length]``, a ``Sound``, or a list of them.
        duration_s: Seconds of the result; ``None``: ``specstyle.recipes.TEXTURE``'s.
        loop: Let the end flow into the beginning.
        sample_rate: Of samples given as arrays, in Hz.
        recipe: ``default``, a recipe's name, a TOML file, or a ``Recipe``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        seed: Of the noise, and of random weights and phase.
        on_step: Called with each ``Progress``; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        **overrides: Fields of ``Recipe`` to change.

    Returns:
        The result: ``result.output`` has the rate, channels and loudness of the first style.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If an input or the weights cannot be used, or the loss is no longer finite.
    """
    styles = checked(style if isinstance(style, (list, tuple)) else [style])
    asked = {} if duration_s is None else {"duration_s": duration_s}
    given = texture_request(styles, plain({**overrides, **asked, "loop": loop}))
    request = Request(
        given.medium,
        given.content,
        given.styles,
        recipe=recipe,
        overrides=given.overrides,
        device=device,
        seed=seed,
        sample_rate=sample_rate,
    )
    return transfer(request, on_step=on_step, on_note=on_note)
