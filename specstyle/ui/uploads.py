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
from specstyle.ui.watching import show
from specstyle.ui.words import MEGABYTE, Limits, Refusal, said_of

EXAMPLES: dict[str, dict[str, Any]] = {
    "audio": {"style": ("plucked_melody", "rain"), "once": ("plucked_melody", "fire"), "seconds": 3.0},
    "image": {
        "style": ("drawn_scene", "brush_texture"),
        "once": ("drawn_scene", "starry-night"),
        "size": 384,
    },
}
"""By medium: content and style to try, optimized and at once, synthesized; and how large."""

_LONGEST_NAME = 120
_NO_LONGER = "a chosen file is no longer here; choose it again"


@dataclass(frozen=True)
class Upload:
    """A file that was taken in.

    Attributes:
        id: Its name here, which says nothing of the user's.
        name: What the user calls it.
        medium: ``audio`` or ``image``.
        path: Where it is.
        about: What it is, as ``show`` tells it.
    """

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
        self._folder, self._limits, self._clock = folder, limits, clock
        self._kept: dict[str, Upload] = {}
        self._chosen_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self.clear()
        folder.mkdir(parents=True)

    def clear(self) -> None:
        """Remove all."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def get(self, identity: Any) -> Upload:
        """Return a file by its id, an example's if it names one.

        Raises:
            Refusal: If there is none.
        """
        if isinstance(identity, str) and identity.startswith("example."):
            with self._lock:  # made once
                if identity not in self._kept and identity[8:] in _example_names():
                    self._kept[identity] = self._example(identity)
        if not isinstance(identity, str) or identity not in self._kept:
            raise Refusal(_NO_LONGER, 404)
        return self._kept[identity]

    def keep(self, identities: Iterable[str]) -> None:
        """Take note that a page has files chosen."""
        self._chosen_at.update((one, self._clock()) for one in identities if one in self._kept)

    def drop(self, identity: str) -> None:
        """Remove a file that nobody has chosen any more."""
        if not identity.startswith("example.") and self._kept.pop(identity, None) is not None:
            self._chosen_at.pop(identity, None)
            shutil.rmtree(self._folder / identity, ignore_errors=True)

    async def receive(self, name: str, promised: int | None, body: AsyncIterator[bytes]) -> Path:
        """Write a file as it comes in.

        Args:
            name: What the user calls it.
            promised: Its size in bytes, if that is known.
            body: Its bytes.

        Raises:
            Refusal: As soon as it is too large.
        """
        if promised is not None and promised > self._limits.upload_bytes:
            raise self._too_large(name)
        self._make_room()
        path = self._new()
        try:
            size = 0
            with path.open("wb") as file:
                async for piece in body:
                    size += len(piece)
                    if size > self._limits.upload_bytes:
                        raise self._too_large(name)
                    file.write(piece)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return path

    def _new(self) -> Path:
        identity = secrets.token_hex(8)
        (self._folder / identity).mkdir()
        return self._folder / identity / identity  # what it holds says what it is

    def _make_room(self) -> None:
        """Remove what no page has chosen, where all of it is too much.

        Raises:
            Refusal: If that does not suffice.
        """
        with self._lock:
            since = self._clock() - self._limits.unused_s
            old = (one for one in list(self._kept) if self._chosen_at.get(one, since) < since)
            while (
                sum(path.stat().st_size for path in self._folder.glob("*/*"))
                > self._limits.kept_mb * MEGABYTE
            ):
                oldest = next(old, None)
                if oldest is None:
                    raise Refusal(
                        "too many files are chosen on this server; start a job, or take some out", 507
                    )
                self.drop(oldest)

    def _too_large(self, name: str) -> Refusal:
        return Refusal(
            f"{shown(name)} is larger than {self._limits.upload_mb:g} MB, the most that this server takes; "
            "give a smaller file, or start it with a larger --max-upload-mb",
            413,
        )

    def copy(self, path: Path, name: str) -> Upload:
        """Take in a file of a job.

        Raises:
            Refusal: If there is no room.
        """
        self._make_room()
        target = self._new()
        shutil.copyfile(path, target)
        return self.take_in(target, name)

    def take_in(self, path: Path, name: str) -> Upload:
        """Look at a file that came in, and make what the page shows of it.

        Raises:
            Refusal: If it is no sound or picture that can be used.
        """
        name = shown(name)
        try:
            medium, source = _read(path, self._limits.sound_minutes)
            about = show(source, path.parent)
        except (SpecstyleError, ValueError, MemoryError, OSError) as error:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise Refusal(said_of(error, {path: name}), 422) from error
        upload = Upload(path.parent.name, name, medium, path, about)
        self._kept[upload.id] = upload
        self.keep([upload.id])
        return upload

    def _example(self, identity: str) -> Upload:
        from specstyle.synthesis.pictures import PICTURES
        from specstyle.synthesis.sounds import SOUNDS

        name, folder = identity[8:], self._folder / identity
        source: Any
        folder.mkdir(exist_ok=True)
        if name in SOUNDS:
            samples = torch.from_numpy(SOUNDS[name](EXAMPLES["audio"]["seconds"], 22050, seed=0))[None]
            medium, source = "audio", Sound(samples, 22050, "PCM_16", name)
        else:
            size = EXAMPLES["image"]["size"]
            pixels = torch.from_numpy(PICTURES[name](size, size, seed=0)).movedim(2, 0).float()
            medium, source = "image", Picture(pixels, None, name)
        path = folder / f"{name}.{'wav' if medium == 'audio' else 'png'}"
        write_source(medium, source, path)
        return Upload(identity, name.replace("_", " "), medium, path, show(source, folder))

    def shown_file(self, identity: str, name: str) -> Path:
        """Return ``preview.png`` or ``listen.wav`` of a file.

        Raises:
            Refusal: If there is none.
        """
        path = self.get(identity).path.parent / name
        if name not in SHOWN or not path.is_file():
            raise Refusal("there is no such file", 404)
        return path


SHOWN = ("preview.png", "listen.wav")
"""What the page shows of a file, beside it."""


def _example_names() -> set[str]:
    return {name for one in EXAMPLES.values() for name in (*one["style"], one["once"][0])}


def give(upload: Upload, folder: Path, stem: str) -> Path:
    """Put a file and what the page shows of it into a job's folder; return where the file is.

    Raises:
        Refusal: If it was removed meanwhile.
        OSError: If there is no room.
    """
    target = folder / f"{stem}.file"
    try:
        for path in {upload.path, *upload.path.parent.glob("*.*")}:
            to = target if path == upload.path else folder / f"{stem}.{path.name}"
            try:
                os.link(path, to)
            except FileNotFoundError:
                raise
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
