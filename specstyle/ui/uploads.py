"""Files that a page sends: taken in under names of our own, looked at, and kept while a page has them."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specstyle.errors import FileError, SpecstyleError
from specstyle.files import SAMPLES
from specstyle.films.file import Film
from specstyle.media.imagefiles import read_picture
from specstyle.media.pictures import check_picture
from specstyle.media.sniffing import film_format, foreign_kind
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import check_sound
from specstyle.ui.settings import FILMS
from specstyle.ui.watching import show
from specstyle.ui.words import Limits, Refusal, plain

_EXAMPLES = {path.stem: path for path in SAMPLES.iterdir()}
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
    """Keeps the files that were sent, the oldest ones as long as there is room.

    Args:
        folder: Where to; what an earlier server left there is removed.
        limits: What is accepted.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self._limits = folder, limits
        self._kept: dict[str, Upload] = {}
        self._making = threading.Lock()
        self.clear()
        folder.mkdir(parents=True)

    def clear(self) -> None:
        """Remove all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, identity: Any) -> Upload:
        """Return a file by its id, an example by its name; ``Refusal`` if there is none."""
        identity = str(identity)
        with self._making:  # once
            if identity in _EXAMPLES and identity not in self._kept:
                (self.folder / identity).mkdir(exist_ok=True)
                given = shutil.copyfile(_EXAMPLES[identity], self.folder / identity / "example")
                self.take_in(given, _EXAMPLES[identity].name)
        if identity not in self._kept:
            raise Refusal(_NO_LONGER, 404)
        return self._kept[identity]

    def drop(self, identity: str) -> None:
        """Remove a file that nobody has chosen any more."""
        if self._kept.pop(identity, None) is not None:
            shutil.rmtree(self.folder / identity, ignore_errors=True)

    async def receive(self, body: AsyncIterator[bytes]) -> Path:
        """Write a file as it comes in."""
        path = self._new()
        try:
            with path.open("wb") as file:
                async for piece in body:
                    file.write(piece)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return path

    def _new(self) -> Path:
        """Return where a file can be; the oldest ones make room for it where all are too much."""
        while sum(path.stat().st_size for path in self.folder.glob("*/*")) > self._limits.kept_mb * 1e6:
            if not self._kept:
                raise Refusal("too many files are being sent; try again when they are there", 507)
            self.drop(next(iter(self._kept)))
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
            raise Refusal(plain(error, {path: name}), 422) from error
        self._kept[path.parent.name] = upload = Upload(path.parent.name, name, medium, path, about)
        return upload

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
        head = file.read(256)
    kind = foreign_kind(head)
    if FILMS and film_format(head) is not None:
        film = None
        with contextlib.suppress(FileError):  # a sound
            film = Film(path)
        if film is not None and "video" in film.has:
            _check_length(path, film.duration_s, longest_minutes)
            return "film", film
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
    _check_length(path, sound.samples.shape[1] / sound.sample_rate, longest_minutes)
    check_sound(sound, role="sound", min_samples=1)
    return "audio", sound


def _check_length(path: Path, seconds: float, longest_minutes: float) -> None:
    if seconds > 60 * longest_minutes:
        raise FileError(
            f"{path} lasts {seconds / 60:.0f} minutes, and at most {longest_minutes:g} are taken here; "
            "cut it, or use a terminal"
        )
