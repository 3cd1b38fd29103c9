"""Files that a page sends: taken in under names of our own, looked at, and kept while a page has them."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specstyle.errors import FileError, SpecstyleError
from specstyle.media.containers import foreign_kind
from specstyle.media.imagefiles import Picture, read_picture
from specstyle.media.pictures import check_picture
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound, check_sound
from specstyle.run.outputs import write_source
from specstyle.ui.job import SUFFIXES
from specstyle.ui.watching import show
from specstyle.ui.words import Limits, Refusal, said_of

EXAMPLES = {
    "audio": {"once": ("plucked_melody", "fire"), "style": ("plucked_melody", "rain")},
    "image": {"once": ("drawn_scene", "starry-night"), "style": ("drawn_scene", "brush_texture")},
}
"""By medium: content and style to try, at once and optimized; all but trained styles are synthesized."""

EXAMPLE_S, EXAMPLE_SIZE = 3.0, 384
"""Seconds of a sound, and pixels of a picture."""

_EXAMPLE_NAMES = {name for one in EXAMPLES.values() for name in (*one["style"], one["once"][0])}
_LONGEST_NAME = 120
_NO_LONGER = "a chosen file is no longer here; choose it again"


@dataclass(frozen=True)
class Upload:
    """A file that was taken in: its name here and the user's, ``audio`` or ``image``, and what it is."""

    id: str
    name: str
    medium: str
    path: Path
    about: dict[str, Any]

    def described(self) -> dict[str, Any]:
        """Return what a page may know."""
        return {"id": self.id, "name": self.name, "medium": self.medium, **self.about}


class Uploads:
    """Keeps the files that were sent, as long as a page has them chosen, or there is room.

    Args:
        folder: Where to; what an earlier server left there is removed.
        limits: What is accepted.
        clock: Of seconds.
    """

    def __init__(self, folder: Path, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self._limits, self._clock = folder, limits, clock
        self._kept: dict[str, Upload] = {}
        self._chosen_at: dict[str, float] = {}
        self._making = threading.Lock()
        self.clear()
        folder.mkdir(parents=True)

    def clear(self) -> None:
        """Remove all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, identity: Any) -> Upload:
        """Return a file by its id, an example's if it names one; ``Refusal`` if there is none."""
        identity = str(identity)
        if (name := identity.removeprefix("example.")) != identity:
            with self._making:  # once
                if identity not in self._kept and name in _EXAMPLE_NAMES:
                    self._kept[identity] = self._example(name)
        if identity not in self._kept:
            raise Refusal(_NO_LONGER, 404)
        return self._kept[identity]

    def keep(self, identities: Iterable[str]) -> None:
        """Take note that a page has files chosen."""
        self._chosen_at.update((one, self._clock()) for one in identities if one in self._kept)

    def drop(self, identity: str) -> None:
        """Remove a file that nobody has chosen any more."""
        if not identity.startswith("example.") and self._kept.pop(identity, None) is not None:
            self._chosen_at.pop(identity, None)
            shutil.rmtree(self.folder / identity, ignore_errors=True)

    async def receive(self, name: str, promised: int | None, body: AsyncIterator[bytes]) -> Path:
        """Write a file as it comes in, of a promised size; ``Refusal`` as soon as it is too large."""
        too_large = Refusal(
            f"{shown(name)} is larger than {self._limits.upload_mb:g} MB, the most that this server takes; "
            "give a smaller file, or start it with a larger --max-upload-mb",
            413,
        )
        if promised is not None and promised > self._limits.upload_bytes:
            raise too_large
        path, size = self._new(), 0
        try:
            with path.open("wb") as file:
                async for piece in body:
                    size += len(piece)
                    if size > self._limits.upload_bytes:
                        raise too_large
                    file.write(piece)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return path

    def _new(self) -> Path:
        """Return where a file can be; what no page has chosen makes room for it where all is too much."""
        since = self._clock() - self._limits.unused_s
        old = (one for one in list(self._kept) if self._chosen_at.get(one, since) < since)
        while sum(path.stat().st_size for path in self.folder.glob("*/*")) > self._limits.kept_bytes:
            if (oldest := next(old, None)) is None:
                said = "too many files are chosen on this server; start a job, or take some out"
                raise Refusal(said, 507)
            self.drop(oldest)
        identity = secrets.token_hex(8)
        (self.folder / identity).mkdir()
        return self.folder / identity / identity  # what it holds says what it is

    def copy(self, path: Path, name: str) -> Upload:
        """Take in a file of a job; ``Refusal`` if there is no room."""
        target = self._new()
        shutil.copyfile(path, target)
        return self.take_in(target, name)

    def take_in(self, path: Path, name: str) -> Upload:
        """Look at a file that came in, and make what the page shows of it; ``Refusal`` if it is no use."""
        name = shown(name)
        try:
            medium, source = _read(path, self._limits.sound_minutes)
            about = show(source, path.parent)
        except (SpecstyleError, ValueError, MemoryError, OSError) as error:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise Refusal(said_of(error, {path: name}), 422) from error
        self._kept[path.parent.name] = upload = Upload(path.parent.name, name, medium, path, about)
        self.keep([upload.id])
        return upload

    def _example(self, name: str) -> Upload:
        from specstyle.synthesis.pictures import PICTURES
        from specstyle.synthesis.sounds import SOUNDS

        medium = "audio" if name in SOUNDS else "image"
        if medium == "audio":
            samples = torch.from_numpy(SOUNDS[name](EXAMPLE_S, 22050, seed=0))[None]
            source: Any = Sound(samples, 22050, "PCM_16", name)
        else:
            pixels = torch.from_numpy(PICTURES[name](EXAMPLE_SIZE, EXAMPLE_SIZE, seed=0))
            source = Picture(pixels.movedim(2, 0).float(), None, name)
        folder = self.folder / f"example.{name}"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}{SUFFIXES[medium]}"
        write_source(medium, source, path)
        return Upload(folder.name, name.replace("_", " "), medium, path, show(source, folder))

    def shown_file(self, identity: str, name: str) -> Path:
        """Return what the page shows of a file by its name; ``Refusal`` if there is none."""
        path = self.get(identity).path.parent / name
        if name not in ("preview.png", "listen.wav") or not path.is_file():
            raise Refusal("there is no such file", 404)
        return path


def give(upload: Upload, folder: Path, stem: str) -> Path:
    """Put a file and what the page shows of it into a job's folder; ``Refusal`` if it is gone meanwhile."""
    target = folder / f"{stem}.file"
    try:
        for path in {upload.path, *upload.path.parent.glob("*.*")}:
            to = target if path == upload.path else folder / f"{stem}.{path.name}"
            try:
                os.link(path, to)
            except OSError:  # a file system without links
                shutil.copyfile(path, to)
    except FileNotFoundError as error:
        raise Refusal(_NO_LONGER, 404) from error
    return target


def shown(name: str) -> str:
    """Return a user's name for a file as messages have it: without folders, on one line, not endless."""
    base = re.split(r"[/\\]", name)[-1]
    clean = "".join(letter for letter in base if letter.isprintable()).strip()
    return clean[-_LONGEST_NAME:] or "file"


def _read(path: Path, longest_minutes: float) -> tuple[str, Any]:
    """Return a file's medium and source, by what it holds rather than by its name."""
    with path.open("rb") as file:
        kind = foreign_kind(file.read(256))
    if kind is not None and kind.endswith("picture"):
        picture = read_picture(path)
        check_picture(picture, role="picture")
        return "image", picture
    if kind is not None or path.stat().st_size == 0:
        what = kind or "empty"
        raise FileError(
            f"{path} is {what}; give a sound (WAV, FLAC, OGG, MP3, AIFF) or a picture (JPEG, PNG, WebP, "
            "TIFF, BMP, GIF)"
        )
    sound = read_sound(path)
    minutes = sound.samples.shape[1] / sound.sample_rate / 60
    if minutes > longest_minutes:
        raise FileError(
            f"{path} lasts {minutes:.0f} minutes, and at most {longest_minutes:g} are taken here; "
            "cut it, or use `specstyle audio` in a terminal"
        )
    check_sound(sound, role="sound", min_samples=1)
    return "audio", sound
