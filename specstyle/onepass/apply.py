"""Networks that stylize in one pass, applied: from a request to a result, as ``transfer`` gives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle import __version__
from specstyle.engine.device import choose_device
from specstyle.errors import RecipeError
from specstyle.files import medium_of, sha256_of
from specstyle.media import Encoded
from specstyle.media.color import gray_of, match_colors, match_gray
from specstyle.media.picturemedium import PictureMedium
from specstyle.media.soundfiles import check_output_fits
from specstyle.media.soundmedium import SoundMedium
from specstyle.media.sounds import Sound, resample
from specstyle.onepass.anypicture import STYLE_SIZE, AnyPictureNetwork, StepNetwork
from specstyle.onepass.anysound import AnySoundNetwork
from specstyle.onepass.playing import play
from specstyle.onepass.soundnetwork import SAMPLE_RATE, SoundStyleNetwork
from specstyle.onepass.stylefile import ANY, Style, filled, load_style, read_file
from specstyle.onepass.tiling import stylize
from specstyle.recipes import Recipe, from_dict, to_dict
from specstyle.recipes.recipe import AT_ONCE
from specstyle.run.api import ignore
from specstyle.run.request import Request, Result


def apply(
    style: str | Path | Style,
    content: Any,
    *,
    blend: Mapping[str, float] | None = None,
    content_mask: Any = None,
    device: str = "auto",
    sample_rate: int | None = None,
    seed: int = 0,
    on_note: Callable[[str], None] = ignore,
    **overrides: Any,
) -> Result:
    """Stylize a picture or a sound in one pass.

    Args:
        style: A file of ``train``, the name of a style that comes along, or what ``load_style`` gives.
        content: A path, an array, a ``Picture`` or a ``Sound``, as ``transfer_image`` and ``transfer_audio``
            take it.
        blend: Weight of each style by its name; ``None``: the one that is named, or the only one.
        content_mask: Where the style applies, as for ``transfer_image``; with a blend also a list, a mask
            for each of its styles.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        sample_rate: Of samples given as an array, in Hz.
        seed: Of the noise that sounds are made of.
        on_note: Called with each line that a user should know.
        **overrides: ``strength`` from 0 (the content) to 1, ``size`` (the picture's own by default) and what
            else of a recipe says how pictures are read, colored and written, or sounds cut, mixed and
            leveled.

    Returns:
        The result: ``result.output`` is a ``Picture`` or a ``Sound``. A sound's has no image: none was
        optimized.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If the style or the content cannot be used.
    """
    masks = content_mask if isinstance(content_mask, (list, tuple)) else (content_mask,)
    loaded = style if isinstance(style, Style) else load_style(style)
    request = Request(
        loaded.medium, content, (), overrides=overrides, device=device, sample_rate=sample_rate, seed=seed
    )
    request = replace(request, content_masks=() if content_mask is None else tuple(masks))
    return apply_request(request, style=loaded, blend=dict(blend or {}), on_note=on_note)


def any_style(style: Any, *, medium: str | None = None, sample_rate: int | None = None) -> Style:
    """Take any picture or sound as a style, without a training.

    Args:
        style: A path, an array, a ``Picture`` or a ``Sound``, or a list of them, which can be blended.
        medium: ``image`` or ``audio``; ``None``: as the first one's name says; arrays are sounds if
            they have a sample rate.
        sample_rate: Of samples given as an array, in Hz.

    Returns:
        The style, as ``apply`` takes it. It is called as its file is.

    Raises:
        ValueError: If two styles have one name.
        SpecstyleError: If a picture or a sound cannot be used.
    """
    given = style if isinstance(style, (list, tuple)) else [style]
    medium = medium or _medium_of(given[0], sample_rate)
    if medium not in ANY:
        raise ValueError(f"medium must be image or audio, got {medium!r}")
    network, names = any_picture(given) if medium == "image" else any_sound(given, sample_rate)
    if len(set(names)) < len(names):
        raise ValueError(f"styles need different names to be blended by, got {', '.join(names)}")
    path, described = ANY[medium], tuple({"name": name} for name in names)
    recipe, chosen = read_file(path)[1]["recipe"], names[0] if len(names) == 1 else None
    return Style(network, medium, recipe, described, chosen, path, sha256_of(path))


def _medium_of(style: Any, sample_rate: int | None) -> str:
    if isinstance(style, (str, Path)):
        return medium_of(Path(style)) or "audio"
    return "audio" if isinstance(style, Sound) or sample_rate is not None else "image"


def any_picture(given: Sequence[Any]) -> tuple[AnyPictureNetwork, list[str]]:
    """Return a network of pictures as styles, and their names; see ``any_style``."""
    medium = PictureMedium(Recipe(size=STYLE_SIZE), device=torch.device("cpu"))
    sources = [medium.source(one, "style") for one in given]
    pictures = [medium.encode_style(one, medium.encode_content(one)).image[0] for one in sources]
    steps = filled(StepNetwork(), read_file(ANY["image"])[0])
    return AnyPictureNetwork(steps, pictures), [Path(source.name).stem for source in sources]


def any_sound(given: Sequence[Any], sample_rate: int | None = None) -> tuple[SoundStyleNetwork, list[str]]:
    """Return a network of sounds as styles, and their names; see ``any_style``."""
    tensors, said = read_file(ANY["audio"])
    recipe, cpu = from_dict(said["recipe"]), torch.device("cpu")
    medium = SoundMedium(recipe, seed=0, device=cpu, sample_rate=sample_rate)
    sources = [medium.source(one, "style") for one in given]
    mono = [resample(source, SAMPLE_RATE).samples.mean(0).float() for source in sources]
    network = filled(AnySoundNetwork(), tensors).network(mono)
    return network, [Path(source.name).stem for source in sources]


def apply_request(
    request: Request,
    *,
    style: Style,
    blend: dict[str, float],
    on_note: Callable[[str], None],
    **_: Any,
) -> Result:
    """Do what a request asks, whose recipe and styles are a trained network's; see ``apply``."""
    started = time.monotonic()
    recipe = settled(style, request.overrides)
    weights, device = style.blend(blend), choose_device(request.device)
    made = (_picture if style.medium == "image" else _sound)(request, style, recipe, blend, device)
    for note in made.notes:
        on_note(note)
    record = {
        "specstyle": __version__,
        "medium": style.medium,
        "onepass": {
            "styles": list(style.styles),
            "blend": dict(zip(style.names, (weights / weights.sum()).tolist(), strict=True)),
        },
        "recipe": to_dict(recipe),
        "styles": [dict(said) for said in style.styles[: len(request.styles)]],  # those shown to `any`
        "network": {"name": "onepass", "origin": str(style.path or "memory"), "sha256": style.sha256},
        "device": device.type,
        "torch": torch.__version__,
        "stopped": False,
        **made.record,
        "notes": list(made.notes),
        "seconds": round(time.monotonic() - started, 3),
    }
    return replace(made, record=record)


def _picture(
    request: Request, style: Style, recipe: Recipe, blend: dict[str, float], device: torch.device
) -> Result:
    """Return a picture, with what the record says of it."""
    names = tuple(blend) or (style.chosen,)
    if len(request.content_masks) not in (0, 1, len(names)):
        raise RecipeError(
            f"there are {len(request.content_masks)} masks for {len(names)} styles; give one for each of "
            "--blend, in its order, or one for all"
        )
    medium = PictureMedium(recipe, device=device)
    source = medium.source(request.content, "content")
    content = medium.encode_content(source)
    if request.output is not None:
        medium.check_output(request.output, source, content)
    masks = [
        medium.mask(given, source, content, f"content mask {number}")
        for number, given in enumerate(request.content_masks, 1)
    ]
    network = style.network.to(device)
    image = content.image.expand(-1, network.channels, -1, -1)
    if len(masks) < 2:
        output = stylize(network, image, style.blend(blend), recipe.strength)
        output = output if not masks or masks[0] is None else torch.lerp(image, output, masks[0])
    else:
        output = _side_by_side(style, image, {n: float(w) for n, w in blend.items()}, masks, recipe.strength)
    picture, figures = medium.finish(_colored(output, content, recipe), content, source)
    shape = {"content": medium.describe(source), "image_shape": list(content.image.shape)}
    return Result(picture, source, (), {**shape, **figures}, source.notes, output)


def _sound(
    request: Request, style: Style, recipe: Recipe, blend: dict[str, float], device: torch.device
) -> Result:
    """Return a sound, with what the record says of it."""
    if request.content_masks:
        raise RecipeError("--content-mask is for pictures; drop it, or see --mask for sounds")
    medium = SoundMedium(recipe, seed=request.seed, device=device, sample_rate=request.sample_rate)
    source = medium.source(request.content, "content")
    if request.output is not None:
        check_output_fits(source, request.output)
    made = play(style.network, source, style.blend(blend), recipe.strength, seed=request.seed)
    sound, figures = medium.mixed_and_leveled(made, source, request.output)
    record = {"content": medium.describe(source), **figures, "seed": request.seed}
    return Result(sound, source, (), record, source.notes, None)


def settled(style: Style, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a style was trained by, with what may still be changed.

    Raises:
        ValueError: If a field cannot be changed any more.
    """
    free = AT_ONCE[style.medium]
    fixed = [name for name in overrides if name not in free]
    if fixed:
        raise ValueError(f"{fixed[0]} cannot be changed after the training; what can: {', '.join(free)}")
    return from_dict({**style.recipe, "size": 0}).replace(**overrides)


def _side_by_side(
    style: Style, image: Tensor, blend: dict[str, float], masks: Sequence[Tensor | None], strength: float
) -> Tensor:
    """Return each style where its mask says, and the content elsewhere."""
    full = image.new_ones((1, 1, *image.shape[2:]))
    shares = [weight * (full if m is None else m) for weight, m in zip(blend.values(), masks, strict=True)]
    total = torch.stack(shares).sum(0)
    covered = torch.stack([full if m is None else m for m in masks]).amax(0)
    output = (1.0 - covered) * image
    for name, share in zip(blend, shares, strict=True):
        if share.any():
            alone = stylize(style.network, image, style.blend({name: 1.0}), strength)
            output = output + covered * share / total.clamp_min(1e-6) * alone
    return output


def _colored(output: Tensor, content: Encoded, recipe: Recipe) -> Tensor:
    """Bring colors, or grays, to the content's where the recipe says so."""
    if content.image.shape[1] == 1:
        return match_gray(gray_of(output, content.context.space), content.image)
    if recipe.color_match == "none" or recipe.strength == 0:
        return output
    return match_colors(output, content.image, recipe.color_match)
