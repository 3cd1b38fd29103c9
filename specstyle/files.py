"""Files that appear whole or not at all, their hashes, and the state of a run in one of them."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import stat
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specstyle.errors import CheckpointError, FileError, OutputExistsError

if TYPE_CHECKING:
    import torch

STATE_FORMAT = 2
"""Of the file of a state. One that changes what it means gets the next number."""

SAMPLES = Path(__file__).parent / "samples"
"""Two recordings, a photograph and a painting to try; see NOTICE."""

SOUNDS = (
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".oga", ".mp2", ".m4a", ".m4b", ".aac", ".wma",
    ".mka", ".wv", ".ape",
)  # fmt: skip
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic")
"""Suffixes of inputs, to tell a medium from a name."""

_STALE_S = 10.0
"""A file is written at once: what has not grown for so long is not being written."""


def medium_of(path: Path) -> str | None:
    """Return the medium that a name's suffix stands for, if it does."""
    suffix = path.suffix.lower()
    return "audio" if suffix in SOUNDS else "image" if suffix in PICTURES else None


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
    _sweep(path)
    try:
        make_folder(path.parent)
        with atomic(path) as temporary:
            temporary.touch()
            temporary.unlink()
    finally:  # a run that fails before it writes leaves no folder
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


def url_of(path: Path) -> str | None:
    """Return the URL that a path is meant to be (of whose slashes ``Path`` keeps one), if it is."""
    if not re.match("(https?|ftps?|file|s3|data):", str(path)) or path.exists():
        return None
    return str(path).replace(":/", "://", 1)


def read_bytes(path: Path, *, most: int = 2**26) -> bytes:
    """Read a small file whole: a recipe, a list, a table.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        OSError: If it is none, or too large, or no ordinary file: a pipe or a device could block for ever.
    """
    if url_of(path):
        raise OSError(errno.EINVAL, "it is an URL; download it, and give the file")
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        what = (
            "a directory"
            if stat.S_ISDIR(state.st_mode)
            else "no ordinary file but a pipe, a device or the like"
        )
        raise OSError(errno.EINVAL, f"it is {what}")
    if state.st_size > most:
        raise OSError(errno.EFBIG, f"it has {state.st_size:,} bytes, and at most {most:,} are read")
    return path.read_bytes()


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


def _sweep(path: Path) -> None:
    """Remove what killed runs left half written of a file."""
    pattern = re.compile(re.escape(temporary_name(path, 0).name).replace(r"\.0\.", r"\.(\d+)\."))
    with contextlib.suppress(OSError):
        for part in path.parent.iterdir():
            found = pattern.fullmatch(part.name)
            # The process may be another machine's, which then writes at this moment.
            if found and time.time() - part.stat().st_mtime > _STALE_S and not _is_alive(int(found[1])):
                part.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


@contextlib.contextmanager
def atomic(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Give a temporary name beside ``path``, with its suffix; rename it at the end, or remove it on an error.

    Args:
        path: The file.
        new: Replace nothing, not even what another process wrote meanwhile.

    Raises:
        OutputExistsError: If the file shall be new, and is there.
        FileError: If the file cannot be written or renamed.
    """
    temporary = temporary_name(path, os.getpid())
    path = _target(path)
    try:
        yield temporary
        if temporary.exists():
            (_rename_to_new if new else Path.replace)(temporary, path)
    except FileError as error:
        said = str(error).replace(str(temporary), str(path)).replace(temporary.name, path.name)
        raise type(error)(said) from error
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _rename_to_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # fails where something is, unlike a rename
    except FileExistsError as error:
        raise OutputExistsError(f"{path}: exists by now; choose another name") from error
    except OSError as error:  # a file system without links
        if path.exists():
            raise OutputExistsError(f"{path}: exists by now; choose another name") from error
        temporary.replace(path)


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
    """Return a file's SHA-256 as hexadecimal digits; a file that many jobs read is hashed once."""
    state = path.stat()
    # A copy may keep the time of what it replaces; the time of its change (ctime) no tool sets.
    return _hash(path.absolute(), (state.st_ino, state.st_ctime_ns, state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=4096)
def _hash(path: Path, state: tuple[int, ...]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_state(path: Path, values: dict[str, Any]) -> None:
    """Write a state beside its file and put it in the file's place, so that a kill leaves the old or the new.

    It holds nothing that could run.

    Args:
        path: The file.
        values: Tensors and plain values, in dicts and lists.

    Raises:
        CheckpointError: If it cannot be written; an older file is left as it was.
    """
    import torch

    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": STATE_FORMAT, "values": values, "checksums": _checksums(values)}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        said = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path}: the checkpoint cannot be written ({said}); free some space, or choose another --run-dir"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a state; only tensors and plain values are accepted.

    Args:
        path: What ``save_state`` wrote.
        device: Where its tensors go.

    Raises:
        CheckpointError: If the file is missing, damaged, of another format, or holds anything else.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, where it is damaged
            read = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # what a damaged pickle raises is not of one kind
        raise CheckpointError(
            f"{path}: is no checkpoint that can be read; delete it, and --resume starts the run anew"
        ) from error
    if not isinstance(read, dict) or read.get("format") != STATE_FORMAT:
        found = read.get("format") if isinstance(read, dict) else None
        raise CheckpointError(
            f"{path}: has checkpoint format {found}, and this version of specstyle reads {STATE_FORMAT}; "
            "resume it with the version that wrote it, or delete it to start the run anew"
        )
    values = read.get("values")
    if not isinstance(values, dict) or read.get("checksums") != _checksums(values):
        raise CheckpointError(f"{path}: is damaged; delete it, and --resume starts the run anew")
    return values


def _checksums(value: Any) -> list[int]:
    """Return the CRC-32 of each tensor and plain value in order: torch does not look at a file's own."""
    import torch

    if isinstance(value, torch.Tensor):
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return [zlib.crc32(raw.numpy().tobytes(), value.ndim)]
    if isinstance(value, dict):
        return [number for item in value.items() for number in _checksums(item)]
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _checksums(item)]
    return [zlib.crc32(repr(value).encode())]
