"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specstyle.errors import FileError


def check_output(path: Path, *, force: bool) -> None:
    """Refuse an output that cannot be written, before the run rather than after it.

    Args:
        path: The output.
        force: Whether an existing file may be replaced.

    Raises:
        FileError: If the folder cannot be made or written into, or the file exists and may not be replaced.
    """
    if path.is_dir():
        raise FileError(f"{path}: is a directory; give the name of a file to write")
    if path.exists() and not force:
        raise FileError(f"{path}: exists already; choose another name, or --force to replace it")
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        make_folder(path.parent)
        with atomic(path) as temporary:
            temporary.touch()
            temporary.unlink()
    finally:  # a run that fails before it writes leaves no folder
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


def make_folder(path: Path) -> bool:
    """Make a folder and those above it, as far as they are missing; return whether it was.

    Raises:
        FileError: If it cannot be made.
    """
    try:
        missing = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = error.strerror or error
        raise FileError(f"{path}: cannot be made a folder: {said}; name another") from error
    return missing


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``, with its suffix; rename it at the end, or remove it on an error.

    Raises:
        FileError: If the file cannot be written or renamed.
    """
    temporary = temporary_name(path, os.getpid())
    path = _target(path)
    try:
        yield temporary
        if temporary.exists():
            temporary.replace(path)
    except FileError as error:
        said = str(error).replace(str(temporary), str(path)).replace(temporary.name, path.name)
        raise FileError(said) from error
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_name(path: Path, pid: int) -> Path:
    """Return the name under which a process writes a file before it is whole."""
    path = _target(path)
    return path.with_name(f".{path.stem}.{pid}.part{path.suffix}")


def _target(path: Path) -> Path:
    """Follow a link: what it points to is written, and the link stays."""
    return path.resolve() if path.is_symlink() else path


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as JSON."""
    path.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def recorded_file(file: dict[str, str], beside: Path, role: str) -> Path:
    """Return where a file lies that was recorded: seen from its record, from here, or beside it.

    Args:
        file: Its ``path`` and ``sha256``, as the record has them.
        beside: The record.
        role: What it was, as in ``style_mask``.

    Raises:
        FileError: If no file with these bytes is there.
    """
    path = Path(file["path"])
    there = [p for p in (beside.parent / path, path, beside.parent / path.name) if p.is_file()]
    for place in there:
        if sha256_of(place) == file["sha256"]:
            return place
    what = "has changed since" if there else "is not here any more, nor beside it"
    raise FileError(
        f"{beside.name} was made with {there[0] if there else path} ({role}), which {what}; give the "
        f"{role.replace('_', ' ')} yourself"
    )


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
