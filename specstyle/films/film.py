"""Films stylized: their pictures one after the other, each beside the one before, and their sound."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from specstyle import __version__
from specstyle.errors import CheckpointError, FileError, OutputExistsError
from specstyle.files import atomic, check_output, load_state, make_folder, save_state, sha256_of, write_json
from specstyle.films.file import Film
from specstyle.films.pictures import SMALLEST, AtOnce, Look, Optimized, flicker, opencv, stylized_stills
from specstyle.films.writing import check_film_output, write_film, write_pictures
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound
from specstyle.onepass.apply import apply_request, settled
from specstyle.onepass.stylefile import Style, load_style
from specstyle.run.api import ignore, transfer
from specstyle.run.request import Progress, Request

PART, SLOW_PART = 25, 5
"""Pictures from one checkpoint to the next, at once and by the optimizer: its pictures take many seconds."""

BYTES_PER_PIXEL = 0.25
"""Of an encoded picture; see ``bench/film.py``."""

CHECKPOINT, SOUND = "film.pt", "sound.wav"
"""In the folder that keeps a run."""


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
    """Stylize a film's pictures, its sound or both; what is not named is copied as it is.

    Pictures come out upright, with their times and their size, the sound with its rate and its length.

    Args:
        content: The film.
        output: The film to write (``films.writing.FORMATS``); its record goes beside it.
        picture: A style for its pictures: as ``apply`` takes it, or the path of a picture, for the optimizer.
        sound: A style for its sound: the same, or the path of a sound.
        strength: From 0 to 1; ``None``: as the styles' recipes say.
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
    given = {"video": _style(picture, "image"), "audio": _style(sound, "audio")}
    styles = {kind: style for kind, style in given.items() if style is not None}
    if not styles:
        raise ValueError("give a style for the pictures (--picture), for the sound (--sound), or both")
    original = Film(source)
    _check(original, path, styles, force=force)
    overrides = {} if strength is None else {"strength": strength}
    chosen = {kind: _described(style, overrides) for kind, style in styles.items()}
    plan = {"content": sha256_of(source), "styles": chosen, "seed": seed, "suffix": path.suffix.lower()}
    with _folder(run_dir, path) as folder:
        kept = _taken_up(folder, plan)
        _check_room(original, folder, path, kept, pictures="video" in styles)
        common: dict[str, Any] = {"overrides": overrides, "device": device, "seed": seed}
        new_sound = None
        if "audio" in styles:
            new_sound = _sound(Request("audio", source, (), **common), styles["audio"], folder, kept, on_note)
        if "video" in styles:
            style, request = styles["video"], Request("image", None, (), **common)
            look = AtOnce(style, request) if isinstance(style, Style) else Optimized(style, request)
            _pictures(original, look, folder, kept, on_step)
        path = _written(original, path, folder, kept, new_sound, force=force)
    record = {
        "specstyle": __version__,
        "medium": "film",
        "content": {"path": str(source), "sha256": plan["content"]},
        "output": str(path),
        **_described_run(original, kept, styles),
        "seed": seed,
        "torch": torch.__version__,
        "seconds": round(time.monotonic() - started, 3),
    }
    for note in record["notes"]:
        on_note(note)
    with atomic(_record_path(path)) as temporary:
        write_json(temporary, record)
    return record


def _described_run(original: Film, kept: dict[str, Any], styles: Collection[str]) -> dict[str, Any]:
    """Return what the record says of the styles and of what they made."""
    name, dropped = original.path.name, original.dropped
    said: dict[str, Any] = {"styles": kept["plan"]["styles"]}
    if "video" in styles:
        said |= {"frames": kept["frames"], "size": list(original.size), "flicker": flicker(kept)}
    if "audio" in styles:
        said["sound"] = kept["sound"]
    said["notes"] = [*original.notes, *(f"{name} has {more}; the result has not" for more in dropped)]
    return said


def _style(given: str | Path | Style | None, medium: str) -> Style | Path | None:
    """Load a style, which must be one of its medium; a picture or a sound is for the optimizer."""
    if given is None or isinstance(given, Style):
        style = given
    elif Path(given).suffix in ("", ".safetensors"):
        style = load_style(given)
    elif Path(given).is_file():
        return Path(given)
    else:
        raise FileError(f"{given}: no such file; give a trained style, or a picture or a sound")
    if style is not None and style.medium != medium:
        what = {"image": "pictures", "audio": "sounds"}
        raise ValueError(f"{given} is a style for {what[style.medium]}, not for {what[medium]}")
    if style is not None and style.chosen is None:
        held = ", ".join(style.names)
        raise ValueError(f"{given} holds {held}, and a film takes one style; give a file with one")
    return style


def _described(style: Style | Path, overrides: dict[str, Any]) -> dict[str, Any]:
    """Return what the record says of a style."""
    if isinstance(style, Path):
        return {"path": str(style), "sha256": sha256_of(style), **overrides}
    strength = settled(style, overrides).strength
    return {"name": style.chosen, "sha256": style.sha256, "strength": strength}


def _check(original: Film, path: Path, styles: dict[str, Style | Path], *, force: bool) -> None:
    """Refuse what cannot be done, before the run rather than after it."""
    for kind, word in (("video", "picture"), ("audio", "sound")):
        if kind in styles and kind not in original.has:
            raise FileError(f"{original.path} has no {word}; leave --{word} out, or give a film that has one")
    if "video" in styles:
        opencv()
        if min(original.size) < SMALLEST:
            raise FileError(
                f"{original.path} has pictures of less than {SMALLEST} pixels a side; give larger ones"
            )
    read = [original.path, *(s if isinstance(s, Path) else s.path for s in styles.values())]
    for one in read:
        outputs = (path, _record_path(path))
        if one is not None and any(out.exists() and out.samefile(one) for out in outputs):
            raise FileError(f"{path}: would replace {one}, an input of the run; name another output")
    check_film_output(path, original, list(styles))
    check_output(path, force=force)
    check_output(_record_path(path), force=force)


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


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
                f"{place}: the film needs about {needed / 1e9:.1f} GB there, and {free / 1e9:.1f} are free; "
                "make room, or name another place"
            )


def _sound(
    request: Request, style: Style | Path, folder: Path, kept: dict[str, Any], on_note: Callable[[str], None]
) -> Sound:
    """Return the stylized sound, made now or before."""
    if "sound" not in kept:
        if isinstance(style, Path):
            result = transfer(replace(request, styles=(style,)), on_note=on_note)
        else:
            result = apply_request(request, style=style, blend={}, on_note=on_note)
        with atomic(folder / SOUND) as temporary:
            replace(result.output, subtype="FLOAT", tags=()).save(temporary)
        kept["sound"] = json.loads(json.dumps(result.record))
        save_state(folder / CHECKPOINT, kept)
    return read_sound(folder / SOUND)


def _pictures(
    original: Film,
    look: Look,
    folder: Path,
    kept: dict[str, Any],
    on_step: Callable[[Progress], None],
) -> None:
    """Make the pictures that are not there yet, part by part."""
    stills = stylized_stills(original, look, kept, on_step)
    part = PART if isinstance(look, AtOnce) else SLOW_PART
    for first in stills:
        name = f"part-{len(kept['parts']):05}.mp4"
        with atomic(folder / name) as temporary:
            some = itertools.chain([first], itertools.islice(stills, part - 1))
            write_pictures(temporary, original, kept["plan"]["suffix"], some)
        kept["parts"].append([name, first.pts])
        save_state(folder / CHECKPOINT, kept)


def _written(
    original: Film, path: Path, folder: Path, kept: dict[str, Any], sound: Sound | None, *, force: bool
) -> Path:
    """Write the film; return where: what another run wrote to the same place meanwhile stays."""
    parts = [(folder / name, start) for name, start in kept["parts"]]
    others = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    for place in itertools.chain([path], others):
        with contextlib.suppress(OutputExistsError):
            with atomic(place, new=not force) as temporary:
                write_film(temporary, original, pictures=parts, sound=sound)
            return place
    raise AssertionError
