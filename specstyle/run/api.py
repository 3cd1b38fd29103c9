"""The library's front door: stylize paths or arrays, get sounds or pictures back; one run in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from specstyle.engine.device import choose_device, convolutions_in
from specstyle.engine.optimize import NonFiniteLossError
from specstyle.recipes import TEXTURE
from specstyle.run.checkpoint import Checkpoints
from specstyle.run.inputs import Session
from specstyle.run.loop import ScaleLoop
from specstyle.run.memory import Estimate, explained
from specstyle.run.objective import Cache
from specstyle.run.request import Progress, Request, Result, Stage, TransferError
from specstyle.run.settle import check_request, settle_request


def ignore(_: Any) -> None:
    """Do nothing."""


def transfer(
    request: Request,
    *,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    on_stage: Callable[[Stage], None] = ignore,
    cache: Cache | None = None,
    keeper: Checkpoints | None = None,
) -> Result:
    """Stylize a content by styles, without touching the disk but to read.

    Args:
        request: What to do.
        on_step: Called after each step; may raise ``StopRun`` to end with the best result so far.
        on_note: Called with each line that a user should know, as soon as it is known.
        on_stage: Called as each stage begins: ``optimize`` after the inputs and the network were read, then
            ``finish``, the way from the image back to a sound or picture.
        cache: Networks of earlier runs.
        keeper: Keeps the run as it goes, and has where to go on from.

    Raises:
        RecipeError: If options do not fit together.
        FileError: If an input cannot be used.
        WeightsError: If the network's weights cannot be had.
        TransferError: If a loss became NaN or infinite; it carries the last good result.
        ShortageError: If memory does not suffice, in tiles either.
    """
    started = time.monotonic()
    check_request(request)
    recipe, notes = settle_request(request)
    device = choose_device(request.device)
    run = Session(request, recipe, device, on_step, on_note=on_note, cache=cache, keeper=keeper)
    estimate = Estimate(run)
    run.tell(*notes, *run.network.notes, *run.notes, *estimate.notes())
    failure: NonFiniteLossError | None = None
    on_stage("optimize")
    try:
        with explained(recipe, request.medium, kept=keeper is not None), convolutions_in(run.precision):
            state = ScaleLoop(run, estimate).optimize()
    except NonFiniteLossError as error:
        if error.state is None:
            raise TransferError(str(error), None) from error
        state, failure = error.state, error
    on_stage("finish")
    with explained(recipe, request.medium, kept=keeper is not None):
        result = run.result(state, started, None if failure is None else str(failure))
    if failure is not None:
        raise TransferError(str(failure), result) from failure
    return result


def transfer_audio(
    content: Any,
    style: Any,
    *,
    sample_rate: int | None = None,
    working_rate: int | None = None,
    invert: Callable[[Tensor, Any, int], Any] | None = None,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    **options: Any,
) -> Result:
    """Play one sound by another.

    Args:
        content: A path, samples ``[length]`` or ``[channels, length]`` (NumPy or torch, floats in -1..1), or
            a ``Sound``.
        style: The same, or a list of them.
        sample_rate: Of samples given as arrays, in Hz.
        working_rate: The recipe's ``sample_rate``, for the spectrograms.
        invert: In the place of the phase reconstruction: magnitudes ``[channels, n_bins, frames]``,
            ``StftSettings`` and a length to samples ``[channels, length]`` (NumPy or torch).
        on_step: Called with each ``Progress``; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        **options: ``recipe``, ``network``, ``weights``, ``preprocessing``, ``device``, ``seed``, ``tile``,
            ``precision``, ``memory_limit``, ``report_every`` and ``terms`` as ``Request`` has them; a network
            may be a name, too. All others are fields of ``Recipe`` to change (``steps=100``,
            ``strength=0.7``).

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
    asked, overrides = _parted(options)
    if working_rate is not None:
        overrides["sample_rate"] = working_rate
    request = Request(
        "audio", content, _listed(style), overrides=overrides, sample_rate=sample_rate, invert=invert, **asked
    )
    return transfer(request, on_step=on_step, on_note=on_note)


def transfer_image(
    content: Any,
    style: Any,
    *,
    content_mask: Any = None,
    style_mask: Any = None,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    **options: Any,
) -> Result:
    """Paint one picture in the style of another.

    Args:
        content: A path, a NumPy array ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` (uint8, uint16 or floats in
            0..1), a tensor ``[C, H, W]`` in 0..1, or a ``Picture``.
        style: The same, or a list of them.
        content_mask: Where in the content the style applies: a path, an array or a tensor as above, white for
            all and black for not at all. With several styles a list, with ``None`` for no mask.
        style_mask: Which part of the style counts, likewise.
        on_step: Called with each ``Progress``; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        **options: As for ``transfer_audio``: of the run (``device="cuda"``, ``tile=256``) and of the recipe
            (``size=256``, ``strength=0.7``).

    Returns:
        The result: ``result.output`` is a ``Picture`` with pixels ``[3, H, W]`` in 0..1.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If an input or the weights cannot be used, or the loss is no longer finite.
    """
    asked, overrides = _parted(options)
    content_masks, style_masks = (
        () if mask is None else tuple(mask) if isinstance(mask, (list, tuple)) else (mask,)
        for mask in (content_mask, style_mask)
    )
    request = Request(
        "image",
        content,
        _listed(style),
        overrides=overrides,
        content_masks=content_masks,
        style_masks=style_masks,
        **asked,
    )
    return transfer(request, on_step=on_step, on_note=on_note)


def texture_audio(
    style: Any,
    duration_s: float | None = None,
    *,
    loop: bool = False,
    sample_rate: int | None = None,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    **options: Any,
) -> Result:
    """Make a new sound with the texture of one or more others, from noise.

    Args:
        style: A path, samples ``[length]`` or ``[channels, length]``, a ``Sound``, or a list of them.
        duration_s: Seconds of the result; ``None``: ``specstyle.recipes.TEXTURE``'s.
        loop: Let the end flow into the beginning.
        sample_rate: Of samples given as arrays, in Hz.
        on_step: Called with each ``Progress``; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        **options: As for ``transfer_audio``.

    Returns:
        The result: ``result.output`` has the rate, channels and loudness of the first style.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If an input or the weights cannot be used, or the loss is no longer finite.
    """
    length = {} if duration_s is None else {"duration_s": duration_s}
    asked, overrides = _parted({**options, **length, "loop": loop})
    request = replace(texture_request(_listed(style), overrides), sample_rate=sample_rate, **asked)
    return transfer(request, on_step=on_step, on_note=on_note)


def texture_image(
    style: Any,
    size: int | None = None,
    *,
    loop: bool = False,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    **options: Any,
) -> Result:
    """Make new canvas with the texture of one or more pictures, from noise.

    Args:
        style: A path, an array or a ``Picture`` as for ``transfer_image``, or a list of them.
        size: Longest side of the result in pixels; ``None``: the recipe's. It has the aspect of the first
            style, unless ``height`` and ``width`` say otherwise; no style is enlarged.
        loop: Let each border flow into the opposite one, so that copies can be laid side by side; sides are
            then multiples of 16.
        on_step: Called with each ``Progress``; may raise ``StopRun``.
        on_note: Called with each line that a user should know.
        **options: As for ``transfer_image``.

    Returns:
        The result: ``result.output`` is a ``Picture``.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If an input or the weights cannot be used, or the loss is no longer finite.
    """
    given = {} if size is None else {"size": size}
    asked, overrides = _parted({**options, **given, "loop": loop})
    request = replace(texture_request(_listed(style), overrides, medium="image"), **asked)
    return transfer(request, on_step=on_step, on_note=on_note)


def texture_request(styles: Sequence[Any], overrides: dict[str, Any], *, medium: str = "audio") -> Request:
    """Return the request for a texture: the first style, in its range, stands in for the content.

    Args:
        styles: One or more sounds, or pictures.
        overrides: Recipe fields to change; they come before those that make a texture.
        medium: ``audio`` or ``image``.
    """
    settled = {**TEXTURE[medium], **overrides}
    for name in ("start_s", "duration_s"):
        if settled.get(f"style_{name}"):
            settled.setdefault(f"content_{name}", settled[f"style_{name}"][0])
    return Request(medium, styles[0], styles, overrides=settled)


_OF_REQUEST = ("recipe", "weights", "preprocessing", "device", "seed", "tile", "precision", "memory_limit",
               "report_every", "network", "terms")  # fmt: skip
"""Options that are fields of ``Request``; the others are the recipe's."""


def _parted(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return options that are fields of ``Request``, and those of the recipe as recipes hold them."""
    asked = {name: options[name] for name in _OF_REQUEST if name in options}
    overrides = {name: _plain(value) for name, value in options.items() if name not in asked}
    if isinstance(asked.get("network"), str):  # a name is the recipe's
        overrides["network"] = asked.pop("network")
    if asked.get("weights") is not None:
        asked["weights"] = Path(asked["weights"])
    return asked, overrides


def _plain(value: Any) -> Any:
    """Return what a recipe holds: paths as text, numbers of NumPy as numbers."""
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, Path):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value


def _listed(style: Any) -> tuple[Any, ...]:
    """Return one style or several, of which there has to be one."""
    styles = tuple(style) if isinstance(style, (list, tuple)) else (style,)
    if not styles:
        raise ValueError("style is an empty list; give at least one style")
    return styles


__all__ = [
    "Progress",
    "Request",
    "Result",
    "Stage",
    "TransferError",
    "texture_audio",
    "texture_image",
    "texture_request",
    "transfer",
    "transfer_audio",
    "transfer_image",
]
