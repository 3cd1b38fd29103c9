"""The library's front door: stylize paths or arrays, get sounds or pictures back; one run in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from specstyle.engine.optimize import NonFiniteLossError
from specstyle.recipes import TEXTURE, Recipe
from specstyle.run.cache import COLD, Cache
from specstyle.run.checkpoint import Checkpoints
from specstyle.run.inputs import Session
from specstyle.run.loop import ScaleLoop
from specstyle.run.memory import Estimate, explained
from specstyle.run.request import MakeTerms, Progress, Request, Result, Stage, TransferError
from specstyle.run.settle import check_request, choose_device, convolutions_in, settle_request


def ignore(_: Any) -> None:
    """Do nothing."""


def transfer(
    request: Request,
    *,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
    on_stage: Callable[[Stage], None] = ignore,
    cache: Cache = COLD,
    keeper: Checkpoints | None = None,
) -> Result:
    """Stylize a content by styles, without touching the disk but to read.

    Args:
        request: What to do.
        on_step: Called after each step; may raise ``StopRun`` to end with the best result so far.
        on_note: Called with each line that a user should know, as soon as it is known.
        on_stage: Called as each stage begins: ``optimize`` after the inputs and the network were read, then
            ``finish``, the way from the image back to a sound or picture.
        cache: Networks and styles of earlier runs; by default nothing is kept.
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
    notes += run.network.notes + run.notes + estimate.notes()
    for note in notes:
        on_note(note)
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
    notes += tuple(run.told)
    with explained(recipe, request.medium, kept=keeper is not None):
        result = run.result(state, notes, started, None if failure is None else str(failure))
    for note in result.notes[len(notes) :]:
        on_note(note)
    if failure is not None:
        raise TransferError(str(failure), result) from failure
    return result


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
    network: str | Callable[[Tensor], dict[str, Tensor]] | None = None,
    terms: MakeTerms | None = None,
    invert: Callable[[Tensor, Any, int], Any] | None = None,
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
        precision: ``auto`` (tf32 on GPUs that have it, else fp32), ``fp32``, ``tf32`` or ``bf16``.
        memory_limit: The most memory that the process may hold on its device, in GiB: tiles are chosen for
            it. ``None``: what is free.
        report_every: On a GPU, call ``on_step`` only at the first and the last step of a scale and at every
            so many: the GPU need not wait for the host in between. On a CPU each step is reported.
        network: A network's name, or one of your own: anything that turns an image ``[B, C, H, W]`` into a
            dict of maps ``[B, C_l, h_l, w_l]`` by name. Content and style layers are then its names (by
            default the last one for content, all for style).
        terms: Makes losses of your own beside the recipe's: called with the network, the content's and the
            styles' images, returns a list of ``Loss``. ``content_weight=0`` or ``style_weight=0`` leaves the
            recipe's own out.
        invert: In the place of the phase reconstruction: magnitudes ``[channels, n_bins, frames]``,
            ``StftSettings`` and a length to samples ``[channels, length]`` (NumPy or torch).
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
        overrides=plain(overrides, network),
        weights=Path(weights) if weights is not None else None,
        preprocessing=preprocessing,
        device=device,
        seed=seed,
        tile=tile,
        precision=precision,
        memory_limit=memory_limit,
        network=own_network(network),
        terms=terms,
        invert=invert,
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
    network: str | Callable[[Tensor], dict[str, Tensor]] | None = None,
    terms: MakeTerms | None = None,
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
        precision: ``auto`` (tf32 on GPUs that have it, else fp32), ``fp32``, ``tf32`` or ``bf16``.
        memory_limit: The most memory that the process may hold on its device, in GiB: tiles are chosen for
            it. ``None``: what is free.
        report_every: On a GPU, call ``on_step`` only at the first and the last step of a scale and at every
            so many: the GPU need not wait for the host in between. On a CPU each step is reported.
        content_mask: Where in the content the style applies: a path, an array or a tensor as above, white for
            all and black for not at all. With several styles a list, with ``None`` for no mask.
        style_mask: Which part of the style counts, likewise.
        network: A network's name, or one of your own: anything that turns an image ``[B, C, H, W]`` into a
            dict of maps ``[B, C_l, h_l, w_l]`` by name. Content and style layers are then its names (by
            default the last one for content, all for style).
        terms: Makes losses of your own beside the recipe's: called with the network, the content's and the
            styles' images, returns a list of ``Loss``. ``content_weight=0`` or ``style_weight=0`` leaves the
            recipe's own out.
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
        overrides=plain(overrides, network),
        weights=Path(weights) if weights is not None else None,
        preprocessing=preprocessing,
        device=device,
        seed=seed,
        tile=tile,
        precision=precision,
        memory_limit=memory_limit,
        network=own_network(network),
        terms=terms,
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


def plain(overrides: dict[str, Any], network: Any = None) -> dict[str, Any]:
    """Return what recipes hold: paths as text, numbers of NumPy as numbers, a network by its name."""
    named = {**overrides, "network": network} if isinstance(network, str) else overrides
    return {name: _plain_value(value) for name, value in named.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_plain_value(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def own_network(network: Any) -> Callable[[Tensor], dict[str, Tensor]] | None:
    """Return a network that is no name."""
    return None if network is None or isinstance(network, str) else network


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


__all__ = [
    "Progress",
    "Request",
    "Result",
    "Stage",
    "TransferError",
    "texture_audio",
    "texture_request",
    "transfer",
    "transfer_audio",
    "transfer_image",
]
