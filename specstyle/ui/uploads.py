"""Files that a page sends: taken in under names of our own, looked at, and kept for a while."""

from __future__ import annotations

import dataclasses
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specstyle import figures
from specstyle.errors import FileError, SpecstyleError
from specstyle.media.containers import foreign_kind
from specstyle.media.imagefiles import read_picture
from specstyle.media.pictures import check_picture
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound, check_sound
from specstyle.run.outputs import write_source
from specstyle.ui.watching import LARGEST_SIDE, SPECTROGRAM
from specstyle.ui.words import Limits, Refusal, said_of

SHOWN = ("preview.png", "listen.wav")
"""What the page shows of a file, beside it."""

_LONGEST_NAME = 120


@dataclass(frozen=True)
class Upload:
    """A file that was taken in.

    Attributes:
        id: Its name here, which says nothing of the user's.
        name: What the user calls it.
        medium: ``audio`` or ``image``.
        path: Where it is.
        about: What it is: ``seconds``, ``sample_rate`` and ``channels``, or ``width`` and ``height``.
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
    """Keeps the last files that were sent.

    Args:
        folder: Where to; what an earlier server left there is removed.
        limits: What is accepted.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._kept: dict[str, Upload] = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def get(self, identity: Any) -> Upload:
        """Return a file by its id.

        Raises:
            Refusal: If there is none.
        """
        if not isinstance(identity, str) or identity not in self._kept:
            raise Refusal("a chosen file is no longer here; choose it again", 404)
        return self._kept[identity]

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
        identity = secrets.token_hex(8)
        home = self._folder / identity
        home.mkdir()
        path = home / identity  # what it holds says what it is
        try:
            size = 0
            with path.open("wb") as file:
                async for piece in body:
                    size += len(piece)
                    if size > self._limits.upload_bytes:
                        raise self._too_large(name)
                    file.write(piece)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        return path

    def _too_large(self, name: str) -> Refusal:
        return Refusal(
            f"{shown(name)} is larger than {self._limits.upload_mb:g} MB, the most that this server takes; "
            "give a smaller file, or start it with a larger --max-upload-mb",
            413,
        )

    def take_in(self, path: Path, name: str) -> Upload:
        """Look at a file that came in, and make what the page shows of it.

        Raises:
            Refusal: If it is no sound or picture that can be used.
        """
        name = shown(name)
        try:
            medium, source = _read(path, self._limits.sound_minutes)
            (path.parent / "preview.png").write_bytes(_preview(source))
            if medium == "audio":
                write_listenable(source, path.parent / "listen.wav")
        except (SpecstyleError, ValueError, MemoryError) as error:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise Refusal(said_of(error, {path: name}), 422) from error
        upload = Upload(path.parent.name, name, medium, path, _about(source))
        self._kept[upload.id] = upload
        while len(self._kept) > self._limits.kept_uploads:
            oldest = self._kept.pop(next(iter(self._kept)))
            shutil.rmtree(oldest.path.parent, ignore_errors=True)
        return upload

    def shown_file(self, identity: str, name: str) -> Path:
        """Return ``preview.png`` or ``listen.wav`` of a file.

        Raises:
            Refusal: If there is none.
        """
        path = self.get(identity).path.parent / name
        if name not in SHOWN or not path.is_file():
            raise Refusal("there is no such file", 404)
        return path


def give(upload: Upload, folder: Path, stem: str) -> Path:
    """Put a file and what the page shows of it into a job's folder; return where the file is."""
    target = folder / f"{stem}.file"
    shutil.copyfile(upload.path, target)
    for beside in (upload.path.parent / name for name in SHOWN):
        if beside.exists():
            shutil.copyfile(beside, folder / f"{stem}.{beside.name}")
    return target


def write_listenable(sound: Sound, path: Path) -> None:
    """Write what every browser can play, whatever the sound's own sample format is."""
    write_source("audio", dataclasses.replace(sound, subtype="PCM_16"), path)


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


def _preview(source: Any) -> bytes:
    """Return a ``Sound``'s spectrogram or a small copy of a ``Picture`` as a PNG."""
    if isinstance(source, Sound):
        levels_db, _ = figures.spectrogram_db(source.samples.numpy(), source.sample_rate)
        return figures.levels_png(levels_db, size=SPECTROGRAM)
    pixels = source.pixels.float()
    if source.alpha is not None:  # what is transparent is shown on mid-gray
        alpha = source.alpha.float()
        pixels = pixels * alpha + 0.5 * (1.0 - alpha)
    return figures.picture_png(pixels, longest=LARGEST_SIDE)


def _about(source: Any) -> dict[str, Any]:
    if not isinstance(source, Sound):
        return {"width": source.width, "height": source.height}
    channels, length = source.samples.shape
    rate = source.sample_rate
    return {"seconds": round(length / rate, 3), "sample_rate": rate, "channels": channels}
