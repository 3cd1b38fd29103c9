"""Networks that stylize in one pass, trained: from pictures or sounds of styles to a file."""

from __future__ import annotations

import hashlib
import operator
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle import figures
from specstyle.engine.device import choose_device
from specstyle.engine.losses import content_distance
from specstyle.engine.objective import Term
from specstyle.engine.views import Seen
from specstyle.errors import CheckpointError, FileError, ListError
from specstyle.evaluate import write_csv
from specstyle.files import atomic, check_output, load_state, make_folder, save_state, sha256_of
from specstyle.media.audio import AudioSettings, compress
from specstyle.media.pictures import Picture
from specstyle.media.sounds import Sound
from specstyle.media.structure import edge_correlations
from specstyle.onepass.apply import any_sound
from specstyle.onepass.contents import PictureContents, SoundContents
from specstyle.onepass.playing import take_in
from specstyle.onepass.soundnetwork import SAMPLE_RATE, STFT, practice
from specstyle.onepass.stylefile import NETWORKS, SHIPPED, Style, load_style, mixed, save_style
from specstyle.onepass.trainer import Lesson, Report, Trainer, style_loss
from specstyle.recipes import Recipe, to_dict
from specstyle.run.api import ignore, transfer
from specstyle.run.balance import loss_power
from specstyle.run.checkpoint import EVERY_S
from specstyle.run.inputs import Session
from specstyle.run.objective import build_objective
from specstyle.run.request import Request
from specstyle.run.settle import check_request, seen_layers, settle_request

CROP = 256
"""Side in pixels of the contents that a network learns from."""

EDGES = 30.0
"""What an edge that is missing weighs beside the content loss: it holds a picture without its details."""

MILD = 0.15
"""The strength of a trained picture style by default: a pass keeps fewer details than the optimizer does."""

OPTIMIZER_STEPS = 100
"""Of the optimizer that a network is held against."""

REPORT_S = 60.0
"""Seconds from one report to the next."""

STRETCH = 216 * STFT.hop_length
"""Samples of the sounds that a network learns from: two and a half seconds."""

TILTS_OF_SOUNDS = (-4.0, 2.5)
"""See ``Lesson``: with more weight at low strengths no strength learns its style."""

CHECKPOINT, SAMPLES, CURVE = "training.pt", "samples.png", "losses.csv"
"""In the folder that keeps a training."""


@dataclass(frozen=True)
class Named:
    """A style to be learned.

    Attributes:
        source: A path, a ``Picture`` or a ``Sound``.
        described: Its ``name``, ``sha256``, and ``source`` and ``license`` as far as they are known.
    """

    source: Any
    described: dict[str, str]


def train(
    styles: Any,
    output: str | Path | None = None,
    *,
    medium: str = "image",
    data: str | Path | None = None,
    minutes: float = 30.0,
    steps: int | None = None,
    run_dir: str | Path | None = None,
    start: str | Path | None = None,
    seed: int = 0,
    recipe: Any = "default",
    device: str = "auto",
    force: bool = False,
    on_report: Callable[[Report, Sequence[float]], None] = lambda report, optimizer: None,
    on_note: Callable[[str], None] = ignore,
    **overrides: Any,
) -> Style:
    """Train a small network that stylizes in one pass, by the objective of a recipe.

    Args:
        styles: The path of a picture or a sound, a list (``.toml``) of several, or a list of these.
        output: The ``.safetensors`` file to write; ``None``: none.
        medium: ``image`` or ``audio``.
        data: A folder of photographs or sounds to learn from, beside what is drawn or synthesized.
        minutes: How long, in all.
        steps: How many steps, whatever time they take; ``None``: as ``minutes`` says.
        run_dir: A folder that keeps the training, every half minute: the same call goes on with it. Style
            losses on contents held out are in its ``losses.csv``, the optimizer's first.
        start: A file of styles whose network to begin with, and those of its styles that have the name of
            one to train; ``None``: of pictures the one of those that come along, of sounds what
            ``any_style`` makes of them; ``scratch``: none.
        seed: Of the network, the contents, the styles and the strengths.
        recipe: As for ``transfer_image``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        force: Replace an existing output.
        on_report: Called about once a minute with a ``Report`` and each style's loss by the optimizer.
        on_note: Called with each line that a user should know.
        **overrides: Fields of the recipe to change.

    Returns:
        The styles, as ``apply`` takes them.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If a file cannot be used.
    """
    if medium not in NETWORKS:
        raise ValueError(f"medium must be image or audio, got {medium!r}")
    if not (minutes > 0 if steps is None else steps > 0):
        raise ValueError(f"minutes and steps must be above 0, got {minutes} and {steps}")
    named = named_styles(styles, medium)
    path = None if output is None else Path(output)
    if path is not None:
        if path.suffix != ".safetensors":
            raise FileError(f"{path}: a trained style is a .safetensors file; name it so")
        check_output(path, force=force)
    given = [style.source for style in named]
    request = Request(medium, None, given, recipe=recipe, overrides=overrides, seed=seed, device=device)
    lesson_of = {"image": picture_lesson, "audio": sound_lesson}[medium]
    lesson, session, learned = lesson_of(request, None if data is None else Path(data))
    for note in session.network.notes:
        on_note(note)
    network = _begun(start, medium, named, seed).to(session.device)
    trainer = Trainer(network, lesson, seed=seed, minutes=minutes, steps=steps)
    settled = to_dict(learned)
    if medium == "audio":
        take_in(network, session.style_sources)
    described = [style.described for style in named]
    plan = {"styles": described, "recipe": settled, "seed": seed}
    plan |= {name: None if of is None else str(of) for name, of in (("data", data), ("start", start))}
    folder = None if run_dir is None else Path(run_dir)
    kept = _taken_up(folder, plan, trainer)
    if not kept:
        most = min(steps or OPTIMIZER_STEPS, OPTIMIZER_STEPS)
        kept = {"plan": plan, "optimizer": _optimized(request, lesson, session, most), "curve": []}
    _advance(trainer, folder, kept, on_report)
    style = Style(network.cpu().eval().requires_grad_(False), medium, settled, tuple(described), None, path)
    if len(named) == 1:
        style = replace(style, chosen=style.names[0])
    if path is not None:
        make_folder(path.parent)
        save_style(style, path)
        style = replace(style, sha256=sha256_of(path))
    return style


def named_styles(given: Any, medium: str = "image") -> list[Named]:
    """Return styles to be learned, with what is known of them; a ``.toml`` file lists some.

    Raises:
        ValueError: If there is none, or two have one name.
        FileError: If a file is missing.
        ListError: If a list cannot be read.
    """
    found: list[Named] = []
    for item in given if isinstance(given, (list, tuple)) else [given]:
        path = Path(item)
        if not path.is_file():
            raise FileError(f"{path}: no such file; expected one of the style, or a list of them (.toml)")
        found += _listed(path, medium) if path.suffix.lower() == ".toml" else [_of_file(path, {})]
    names = [style.described["name"] for style in found]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"give one or more styles of different names, got {', '.join(names) or 'none'}")
    return found


def _of_file(path: Path, said: dict[str, str]) -> Named:
    name = path.stem.lower().replace("_", "-").replace(" ", "-").replace("=", "-").replace(",", "-")
    if not path.is_file():
        raise FileError(f"{path}: no such file; expected one of the style {said.get('name', name)}")
    return Named(path, {"name": name, "sha256": sha256_of(path), **said})


def _listed(path: Path, medium: str) -> list[Named]:
    """Return the styles of a medium in a list: files beside it, or what the package draws or synthesizes."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    from specstyle.synthesis.patterns import PATTERNS
    from specstyle.synthesis.sounds import SOUNDS

    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["style"]
        entries = [entry for entry in entries if entry.get("medium", "image") == medium]
        found = []
        for entry in entries:
            said = {key: str(entry[key]) for key in ("name", "source", "license") if key in entry}
            if "drawn" in entry:
                pixels = torch.from_numpy(PATTERNS[entry["drawn"]](512, 640, seed=1)).movedim(2, 0).float()
                digest = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
                drawn = Picture(pixels, None, said["name"])
                found.append(Named(drawn, {"sha256": digest, **said}))
            elif "synthesized" in entry:
                samples = torch.from_numpy(SOUNDS[entry["synthesized"]](6.0, SAMPLE_RATE, seed=3))[None]
                digest = hashlib.sha256(samples.numpy().tobytes()).hexdigest()
                found.append(Named(Sound(samples, SAMPLE_RATE), {"sha256": digest, **said}))
            else:
                found.append(_of_file(path.parent / entry["file"], said))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ListError(
            f"{path}: is no list of styles ({error}); expected tables [[style]] with name, medium, file "
            "(or drawn, or synthesized), source and license"
        ) from error
    return found


def _begun(start: str | Path | None, medium: str, named: Sequence[Named], seed: int) -> Any:
    """Return a network to train: a new one, one that takes any sound, or that of other styles.

    A style that is among the others begins as it is there, a new one as the mean of them.
    """
    if start == "scratch":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return NETWORKS[medium](len(named))
    if start is None and medium == "audio":
        return any_sound([style.source for style in named])[0].requires_grad_(True)
    found = load_style(SHIPPED[medium] if start is None else start)
    if found.medium != medium:
        raise ValueError(
            f"start must be of the medium of the styles, {medium}, and {start} is {found.medium}"
        )
    known = dict.fromkeys(found.names, 1.0)
    names = [style.described["name"] for style in named]
    rows = [found.blend({name: 1.0} if name in known else known) for name in names]
    return mixed(found.network, medium, torch.stack([row / row.sum() for row in rows]))


def picture_lesson(request: Request, data: Path | None) -> tuple[Lesson, Session, Recipe]:
    """Return what a network learns of pictures: the objective of a recipe for each style, and contents.

    Where the recipe ends on another network, the training does.

    Returns:
        The lesson, the session that it was made by, and the recipe, for whole pictures.
    """
    check_request(request)
    recipe = settle_request(request)[0].replace(strength=0.5, style_scale=())
    size, crop = recipe.size or 512, min(CROP, recipe.size or 512)
    seen = recipe.replace(finish_network="", size=crop, style_scale=(size / crop,))
    contents = PictureContents(data, crop, size)
    content = Picture(contents.held_out[0].clamp(0.0, 1.0), None, "content")

    def session_on(network: str) -> Session:
        given = replace(request, content=content)
        return Session(given, seen.replace(network=network), choose_device(request.device), ignore)

    session = session_on(recipe.network)
    features, terms = _objectives(session)
    held_out, left = contents.held_out.to(session.device), partial(edge_correlations, longest=size)
    lesson = Lesson(features, terms, contents, held_out, left, lambda strength: 1.0 - strength**2, EDGES)
    if recipe.finish_network:
        features, terms = _objectives(session_on(recipe.finish_network))
        lesson = replace(lesson, finish=replace(lesson, features=features, terms=terms))
    return lesson, session, recipe.replace(strength=MILD)


def sound_lesson(request: Request, data: Path | None) -> tuple[Lesson, Session, Recipe]:
    """Return the same for sounds."""
    check_request(request)
    recipe = settle_request(request)[0].replace(strength=0.5, section_s=None, sample_rate=SAMPLE_RATE)
    contents = SoundContents(data, STRETCH)
    content = Sound(contents.held_out[:1].double(), SAMPLE_RATE, name="content")
    session = Session(replace(request, content=content), recipe, choose_device(request.device), ignore)
    features, terms = _objectives(session)
    layers, seen = recipe.content_layers, tuple(seen_layers(recipe, "content"))
    looks = features.only(seen)
    settings = AudioSettings(**{n: getattr(recipe, n) for n in AudioSettings.__dataclass_fields__})

    def image(spectra: Tensor) -> Tensor:
        level = spectra.abs().square().mean((1, 2), keepdim=True).sqrt()
        return compress(spectra.abs() / level.clamp_min(1e-9), settings)[:, None]

    def made(*given: Any) -> tuple[Tensor, Tensor]:
        output, equalized = practice(*given)
        return image(output), image(equalized)

    @torch.no_grad()
    def left(outputs: Tensor, contents: Tensor) -> Tensor:
        ours, theirs = looks(outputs), looks(contents)
        gone = [
            content_distance("relative", ours[name], theirs[name]) ** (1.0 / loss_power(layer))
            for layer, name in zip(layers, seen, strict=True)
        ]
        return 1.0 - torch.stack(gone).mean(0)

    held_out = contents.held_out.to(session.device)
    aim = partial(operator.sub, 1.0)
    lesson = Lesson(features, terms, contents, held_out, left, aim, 0.0, made, TILTS_OF_SOUNDS)
    return lesson, session, recipe


def _objectives(session: Session) -> tuple[Seen, list[Sequence[Term]]]:
    """Return the network of a session's last stage, and the terms of the objective of each style."""
    features, image = session.stages[-1].features, session.content.image
    return features, [build_objective(session.recipe, features, image, [s]).terms for s in session.styles]


def _optimized(request: Request, lesson: Lesson, session: Session, steps: int) -> list[float]:
    """Return the style loss that the optimizer reaches on the first held-out content, for each style."""
    losses, content = [], session.content_source
    scales = len({stage.shape for stage in session.stages})
    recipe = session.recipe.replace(steps=max(steps // scales, 1))
    for number, style in enumerate(request.styles):
        result = transfer(replace(request, content=content, styles=[style], recipe=recipe, overrides={}))
        losses.append(float(style_loss(lesson, number, torch.as_tensor(result.image).to(session.device))))
    return losses


def _taken_up(folder: Path | None, plan: dict[str, Any], trainer: Trainer) -> dict[str, Any]:
    """Go on with what a folder keeps; return what it keeps beside the trainer's state, if anything."""
    if folder is None:
        return {}
    make_folder(folder)
    if not (folder / CHECKPOINT).exists():
        return {}
    kept = load_state(folder / CHECKPOINT)
    if kept.get("plan") != plan:
        raise CheckpointError(
            f"{folder}: keeps another training (of other styles, settings or data, or by another version); "
            "name another --run-dir"
        )
    trainer.restore(kept["trainer"])
    return {"curve": [], **kept}


def _advance(
    trainer: Trainer,
    folder: Path | None,
    kept: dict[str, Any],
    on_report: Callable[[Report, Sequence[float]], None],
) -> None:
    """Train to the end; report, and keep it between two steps, from time to time."""
    names = [style["name"] for style in kept["plan"]["styles"]]
    reported = saved = time.monotonic()
    while trainer.share < 1.0:
        trainer.advance()
        now, ends = time.monotonic(), trainer.share >= 1.0
        if ends or now - reported >= REPORT_S:
            reported, report = now, trainer.report()
            if folder is not None:
                with atomic(folder / SAMPLES) as temporary:
                    _draw(report, names, temporary)
                kept["curve"].append([report.step, *report.style_loss, report.left])
                rows = [["optimizer", *kept["optimizer"], report.aim], *kept["curve"]]
                write_csv(
                    [dict(zip(("step", *names, "left"), row, strict=True)) for row in rows], folder / CURVE
                )
            on_report(report, kept["optimizer"])
        if folder is not None and (ends or now - saved >= EVERY_S):
            saved = now
            save_state(folder / CHECKPOINT, {**kept, "trainer": trainer.state()})


def _draw(report: Report, names: Sequence[str], path: Path) -> None:
    """Write a sheet of held-out contents in each style, at a strength of 0.5."""
    panels = [
        (
            name,
            (picture if len(picture) == 3 else picture.flip(1).expand(3, -1, -1)).movedim(0, 2).cpu().numpy(),
        )
        for name, pictures in zip(names, report.samples, strict=True)
        for picture in pictures
    ]
    figures.contact_sheet(panels, path, columns=len(report.samples[0]))
