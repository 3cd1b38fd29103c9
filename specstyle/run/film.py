"""Films stylized: their pictures one after the other, each beside the one before, and their sound."""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from specstyle import __version__
from specstyle.engine.checkpoint import load_state, save_state
from specstyle.errors import CheckpointError, FileError, OutputExistsError
from specstyle.files import atomic, check_output, make_folder, sha256_of, write_json
from specstyle.media.film import Film, Still
from specstyle.media.filmwriting import check_film_output, write_film, write_pictures
from specstyle.media.flow import Movement
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound
from specstyle.onepass.stylefile import Style, load_style
from specstyle.onepass.tiling import stylize
from specstyle.recipes import to_dict
from specstyle.run.api import ignore
from specstyle.run.onepass import apply_request, settled
from specstyle.run.request import Progress, Request
from specstyle.run.settle import choose_device

PART = 25
"""Pictures from one checkpoint to the next."""

KEPT = 0.9
"""Of a network's statistics, the share of those of the picture before."""

CUT = 0.1
"""Where less than this share of a picture was in the one before, another scene begins."""

BYTES_PER_PIXEL = 0.25
"""Of an encoded picture; see ``bench/film.py``."""

CHECKPOINT, SOUND = "film.pt", "sound.wav"
"""In the folder that keeps a run."""

Pixels = NDArray[np.uint8]


def film(
    content: str | Path,
    output: str | Path,
    *,
    picture: str | Path | Style | None = None,
    sound: str | Path | Style | None = None,
    strength: float | None = None,
    run_dir: str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
    force: bool = False,
    on_step: Callable[[Progress], None] = ignore,
    on_note: Callable[[str], None] = ignore,
) -> dict[str, Any]:
    """Stylize a film's pictures, its sound or both in one pass; what is not named is copied as it is.

    Pictures come out upright, with their times and their size, the sound with its rate and its length.

    Args:
        content: The film.
        output: The film to write (``media.filmwriting.FORMATS``); its record goes beside it.
        picture: A style for its pictures, as ``apply`` takes it.
        sound: A style for its sound.
        strength: From 0 to 1; ``None``: as the styles were trained for.
        run_dir: A folder that keeps the run: the same call goes on with it.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        seed: Of a sound's noise.
        force: Replace an existing output.
        on_step: Called after each picture.
        on_note: Called with each line that a user should know.

    Returns:
        The record, with ``flicker`` of the film and of its input: the root mean square of the difference, in
        0..1, between each picture and the one before, moved as the input moves.

    Raises:
        ValueError: If options do not fit together.
        SpecstyleError: If a file cannot be used.
    """
    started = time.monotonic()
    source, path = Path(content), Path(output)
    styles = {"video": _style(picture, "image"), "audio": _style(sound, "audio")}
    made = [kind for kind, style in styles.items() if style is not None]
    if not made:
        raise ValueError(
            "say what is stylized: a style for the pictures (--picture), the sound (--sound) or both"
        )
    original = Film(source)
    _check(original, path, made, styles, force=force)
    overrides = {} if strength is None else {"strength": strength}
    recipes = {kind: settled(style, overrides) for kind, style in styles.items() if style is not None}
    chosen = {
        kind: {
            "styles": list(style.names) if style.chosen is None else [style.chosen],
            "sha256": style.sha256,
            "recipe": to_dict(recipes[kind]),
        }
        for kind, style in styles.items()
        if style is not None
    }
    digest = sha256_of(source)
    plan = {"content": digest, "styles": chosen, "seed": seed, "suffix": path.suffix.lower()}
    with _folder(run_dir, path) as folder:
        kept = _taken_up(folder, plan)
        _check_room(original, folder, path, kept, pictures="video" in made)
        new_sound = None
        if styles["audio"] is not None:
            request = Request("audio", source, (), overrides=overrides, device=device, seed=seed)
            new_sound = _sound(request, styles["audio"], folder, kept, on_note)
        if styles["video"] is not None:
            look = _AtOnce(styles["video"], recipes["video"].strength, choose_device(device))
            _pictures(original, look, folder, kept, on_step)
        for dropped in original.dropped:
            original.notes.append(f"{source.name} has {dropped}, which the result has not")
        path = _written(original, path, folder, kept, new_sound, force=force)
    for note in original.notes:
        on_note(note)
    record = {
        "specstyle": __version__,
        "medium": "film",
        "content": {"path": str(source), "sha256": digest},
        "output": str(path),
        "styles": chosen,
        **_figures(kept, original),
        **({} if new_sound is None else {"sound": kept["sound"]}),
        "seed": seed,
        "torch": torch.__version__,
        "notes": original.notes,
        "seconds": round(time.monotonic() - started, 3),
    }
    with atomic(path.with_name(path.name + ".json")) as temporary:
        write_json(temporary, record)
    return record


def _style(given: str | Path | Style | None, medium: str) -> Style | None:
    """Load a style, which must be one of its medium."""
    if given is None:
        return None
    style = given if isinstance(given, Style) else load_style(given)
    if style.medium != medium:
        what = {"image": "pictures", "audio": "sounds"}
        raise ValueError(f"{given} is a style for {what[style.medium]}, not for {what[medium]}")
    style.blend({})
    return style


def _check(original: Film, path: Path, made: list[str], styles: dict[str, Any], *, force: bool) -> None:
    """Refuse what cannot be done, before the run rather than after it."""
    for kind, word in (("video", "picture"), ("audio", "sound")):
        if kind in made and kind not in original.has:
            raise FileError(f"{original.path} has no {word}; leave --{word} out, or give a film that has one")
    read = [original.path, *(s.path for s in styles.values() if s is not None and s.path is not None)]
    record = path.with_name(path.name + ".json")
    for one in read:
        if any(out.exists() and out.samefile(one) for out in (path, record)):
            raise FileError(f"{path}: would replace {one}, an input of the run; name another output")
    check_film_output(path, original, made)
    check_output(path, force=force)
    check_output(record, force=force)


@contextlib.contextmanager
def _folder(run_dir: str | Path | None, path: Path) -> Iterator[Path]:
    """Give the folder that keeps a run, or one for as long as it takes, beside the output."""
    make_folder(path.parent)
    if run_dir is not None:
        make_folder(Path(run_dir))
        yield Path(run_dir)
        return
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
        yield Path(folder)


def _taken_up(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Return what a folder keeps of a run, or the beginning of one."""
    if not (folder / CHECKPOINT).exists():
        return {"plan": plan, "frames": 0, "parts": [], "before": None, "moments": None, "errors": [0.0] * 3}
    kept = load_state(folder / CHECKPOINT)
    if kept.get("plan") != plan:
        raise CheckpointError(
            f"{folder}: keeps another film's run (another film, style or strength); name another --run-dir"
        )
    return kept


def _check_room(original: Film, folder: Path, path: Path, kept: dict[str, Any], *, pictures: bool) -> None:
    """Refuse a film that the disk has no room for, by estimate: its parts, and the whole."""
    whole = original.path.stat().st_size
    parts = 0.0
    if pictures:
        each = BYTES_PER_PIXEL * math.prod(original.size)
        whole += round(each * original.frames)
        parts = each * (original.frames - kept["frames"])
    same = folder.stat().st_dev == path.parent.stat().st_dev
    for place, needed in ((path.parent, whole + parts * same), (folder, parts)):
        free = shutil.disk_usage(place).free
        if free < needed:
            raise FileError(
                f"{place}: the film needs about {needed / 1e9:.1f} GB there, and {free / 1e9:.1f} GB are free; make "
                "room, or name another place"
            )


def _sound(
    request: Request, style: Style, folder: Path, kept: dict[str, Any], on_note: Callable[[str], None]
) -> Sound:
    """Return the stylized sound, made now or before."""
    if "sound" not in kept:
        result = apply_request(request, style=style, blend={}, on_note=on_note)
        with atomic(folder / SOUND) as temporary:
            replace(result.output, subtype="FLOAT", tags=()).save(temporary)
        kept["sound"] = result.record
        save_state(folder / CHECKPOINT, kept)
    return read_sound(folder / SOUND)


class _AtOnce:
    """A picture in a style, in one pass."""

    def __init__(self, style: Style, strength: float, device: torch.device) -> None:
        self._network, self._blend = style.network.to(device), style.blend({})
        self._strength, self._device = strength, device

    def __call__(self, still: Pixels, movement: Movement | None, kept: dict[str, Any]) -> Pixels:
        """Return a picture, beside the one before if there is a movement from there."""
        moments = None
        if movement is not None:
            moments = [
                (mean.to(self._device), variance.to(self._device)) for mean, variance in kept["moments"]
            ]
        kept["moments"] = []
        image = torch.from_numpy(still).to(self._device).movedim(2, 0)[None] / 255.0
        made = stylize(
            self._network,
            image,
            self._blend,
            self._strength,
            moments=moments,
            kept=KEPT,
            found=kept["moments"],
        )
        pixels = made[0].movedim(0, 2).contiguous().cpu().numpy()
        if movement is not None:
            pixels = movement.carried(_unit(kept["before"].numpy()), pixels)
        return np.rint(255.0 * pixels).astype(np.uint8)


def _pictures(
    original: Film, look: _AtOnce, folder: Path, kept: dict[str, Any], on_step: Callable[[Progress], None]
) -> None:
    """Make the pictures that are not there yet, part by part."""
    stills = _stylized(original, look, kept, on_step)
    for first in stills:
        name = f"part-{len(kept['parts']):05}.mp4"
        with atomic(folder / name) as temporary:
            some = itertools.chain([first], itertools.islice(stills, PART - 1))
            write_pictures(temporary, original, kept["plan"]["suffix"], some)
        kept["parts"].append([name, first.pts])
        save_state(folder / CHECKPOINT, kept)


def _stylized(
    original: Film, look: _AtOnce, kept: dict[str, Any], on_step: Callable[[Progress], None]
) -> Iterator[Still]:
    """Yield the pictures that are not there yet, and take note of what the next one needs."""
    stills, before = original.pictures(), None
    for still in itertools.islice(stills, kept["frames"]):
        before = still.pixels
    for still in stills:
        movement = None if before is None else Movement(before, still.pixels)
        if movement is not None and movement.seen.mean() < CUT:
            movement = None
        pixels = look(still.pixels, movement, kept)
        if movement is not None and before is not None:
            pairs = ((kept["before"].numpy(), pixels), (before, still.pixels))
            for number, (one, other) in enumerate(pairs):
                kept["errors"][number] += movement.error(_unit(one), _unit(other))
            kept["errors"][2] += 3.0 * float(movement.seen.sum())
        kept["before"], before = torch.from_numpy(pixels), still.pixels
        kept["frames"] += 1
        steps = max(original.frames, kept["frames"])
        losses = {f"flicker of {k}": v for k, v in _flicker(kept).items()}
        on_step(Progress(kept["frames"], steps, 1, 1, losses, _no_image, _no_image))
        yield Still(pixels, still.pts, still.duration)


def _unit(pixels: Pixels) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255.0)


def _no_image() -> Any:
    raise ValueError("a film's pictures are in its parts")


def _flicker(kept: dict[str, Any]) -> dict[str, float]:
    """Return the root mean square of what changed, beside what moved, in the result and in the content."""
    *errors, weight = kept["errors"]
    if not weight:
        return {}
    return {name: math.sqrt(e / weight) for name, e in zip(("output", "content"), errors, strict=True)}


def _figures(kept: dict[str, Any], original: Film) -> dict[str, Any]:
    if not kept["frames"]:
        return {}
    return {"frames": kept["frames"], "size": list(original.size), "flicker": _flicker(kept)}


def _written(
    original: Film, path: Path, folder: Path, kept: dict[str, Any], sound: Sound | None, *, force: bool
) -> Path:
    """Write the film; return where: what another run wrote to the same place meanwhile stays."""
    parts = [(folder / name, start) for name, start in kept["parts"]]
    others = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    for place in itertools.chain([path], others):
        with contextlib.suppress(OutputExistsError), atomic(place, new=not force) as temporary:
            write_film(temporary, original, pictures=parts, sound=sound)
        if place.exists():
            return place
    raise AssertionError
