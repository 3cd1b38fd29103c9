"""The library's front door: stylize paths or arrays, get sounds or pictures back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from specstyle.recipes import Recipe
from specstyle.run.transfer import Progress, Request, Result, transfer


def ignore(_: Any) -> None:
    """Do nothing."""


def transfer_audio(
    content: Any,
    style: Any,
    *,
    sample_rate: int | None = None,
    working_rate: int | None = None,
    recipe: str | Path | Recipe = "default",
    weights: str | Path | None = None,
    preprocessing: str | None = None,
    device: str = "auto",
    seed: int = 0,
    tile: str | int = "auto",
    precision: str = "auto",
    memory_limit: float | None = None,
    report_every: int = 1,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    **overrides: Any,
) -> Result:
    """Play one sound by another.

    Args:
        content: A path, samples ``[length]`` or ``[channels, length]`` (NumPy or torch, floats in -1..1), or
            a ``Sound``.
        style: The same, or a list of them.
        sample_rate: Of samples given as arrays, in Hz.
        working_rate: The recipe's ``sample_rate``, for the spectrograms.
        recipe: ``default``, a recipe's name, a TOML file, or a ``Recipe``.
        weights: Weights file for VGG19 instead of torchvision's.
        preprocessing: ``torchvision`` or ``caffe``, if the weights file does not say.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        seed: Of random weights, noise and phase.
        tile: ``auto`` (tiles where memory is short), ``off``, or a tile's size in pixels.
        precision: ``auto`` (bf16 on GPUs that have it, else fp32), ``fp32``, ``tf32`` or ``bf16``.
        memory_limit: The most memory that the process may hold on its device, in GiB: tiles are chosen for
            it. ``None``: what is free.
        report_every: On a GPU, call ``on_step`` only at the first and the last step of a scale and at every
            so many: the GPU need not wait for the host in between. On a CPU each step is reported.
        on_step: Called with each ``Progress``; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        **overrides: Fields of ``Recipe`` to change (``steps=100``, ``strength=0.7``, ``network="vgg19"``).

    Returns:
        The result: ``result.output`` is a ``Sound`` with the content's rate, channels and length.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If an input or the weights cannot be used, or the loss is no longer finite.

    Example:
        >>> import numpy as np, specstyle
        >>> melody, rain = np.random.default_rng(0).uniform(-1, 1, (2, 8000))
        >>> result = specstyle.transfer_audio(melody, rain, sample_rate=8000, steps=2, n_filters=64)
        >>> list(result.output.samples.shape)
        [1, 8000]
    """
    styles = style if isinstance(style, (list, tuple)) else [style]
    if working_rate is not None:
        overrides["sample_rate"] = working_rate
    request = Request(
        "audio",
        content,
        checked(styles),
        recipe=recipe,
        overrides=plain(overrides),
        weights=Path(weights) if weights is not None else None,
        preprocessing=preprocessing,
        device=device,
        seed=seed,
        tile=tile,
        precision=precision,
        memory_limit=memory_limit,
        report_every=report_every,
        sample_rate=sample_rate,
    )
    return transfer(request, on_step=on_step, on_note=on_note)


def transfer_image(
    content: Any,
    style: Any,
    *,
    recipe: str | Path | Recipe = "default",
    weights: str | Path | None = None,
    preprocessing: str | None = None,
    device: str = "auto",
    seed: int = 0,
    tile: str | int = "auto",
    precision: str = "auto",
    memory_limit: float | None = None,
    report_every: int = 1,
    content_mask: Any = None,
    style_mask: Any = None,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    **overrides: Any,
) -> Result:
    """Paint one picture in the style of another.

    Args:
        content: A path, a NumPy array ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` (uint8, uint16 or floats in
            0..1), a tensor ``[C, H, W]`` in 0..1, or a ``Picture``.
        style: The same, or a list of them.
        recipe: ``default``, a recipe's name, a TOML file, or a ``Recipe``.
        weights: Weights file for VGG19 instead of torchvision's.
        preprocessing: ``torchvision`` or ``caffe``, if the weights file does not say.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        seed: Of random weights and noise.
        tile: ``auto`` (tiles where memory is short), ``off``, or a tile's size in pixels.
        precision: ``auto`` (bf16 on GPUs that have it, else fp32), ``fp32``, ``tf32`` or ``bf16``.
        memory_limit: The most memory that the process may hold on its device, in GiB: tiles are chosen for
            it. ``None``: what is free.
        report_every: On a GPU, call ``on_step`` only at the first and the last step of a scale and at every
            so many: the GPU need not wait for the host in between. On a CPU each step is reported.
        content_mask: Where in the content the style applies: a path, an array or a tensor as above, white for
            all and black for not at all. With several styles a list, with ``None`` for no mask.
        style_mask: Which part of the style counts, likewise.
        on_step: Called with each ``Progress``; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        **overrides: Fields of ``Recipe`` to change (``size=256``, ``strength=0.7``, ``network="vgg19"``).

    Returns:
        The result: ``result.output`` is a ``Picture`` with pixels ``[3, H, W]`` in 0..1.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If an input or the weights cannot be used, or the loss is no longer finite.
    """
    styles = style if isinstance(style, (list, tuple)) else [style]
    request = Request(
        "image",
        content,
        checked(styles),
        recipe=recipe,
        overrides=plain(overrides),
        weights=Path(weights) if weights is not None else None,
        preprocessing=preprocessing,
        device=device,
        seed=seed,
        tile=tile,
        precision=precision,
        memory_limit=memory_limit,
        report_every=report_every,
        content_masks=_masks(content_mask),
        style_masks=_masks(style_mask),
    )
    return transfer(request, on_step=on_step, on_note=on_note)


def checked(styles: Sequence[Any]) -> tuple[Any, ...]:
    """Return styles, of which there has to be one."""
    if not styles:
        raise ValueError("style is an empty list; give at least one style")
    return tuple(styles)


def _masks(given: Any) -> tuple[Any, ...]:
    if isinstance(given, (list, tuple)):
        return tuple(given)
    return () if given is None else (given,)


def plain(overrides: dict[str, Any]) -> dict[str, Any]:
    """Turn a path to start from into the text that recipes hold."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
