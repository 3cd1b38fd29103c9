"""Score a folder of results into a table."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from specstyle.errors import FileError, SpecstyleError
from specstyle.evaluate.report import Judge
from specstyle.files import atomic, recorded_file
from specstyle.media.soundfiles import SUFFIXES, read_sound
from specstyle.media.sounds import Part, Sound

_Source = tuple[Path, Part]


def score_folder(
    folder: Path | str,
    *,
    content: Sound | Path | str | None = None,
    style: Sound | Path | str | None = None,
    on_skip: Callable[[str], None] = warnings.warn,
) -> list[dict[str, Any]]:
    """Score the sounds of a folder, those below it left out.

    Args:
        folder: With results. What they were made of is read from the record beside each (``out.wav.json``),
            with the ranges that were heard and the first of several styles, as far as it is not given here.
        content: What the structure of all of them came from; a file of the folder is not scored itself.
        style: What their texture came from, likewise.
        on_skip: Called with a line for each sound that cannot be scored; by default a warning.

    Returns:
        A row for each sound, by name: ``file``, and the fields of ``report.Scores``.

    Raises:
        FileError: If there is no such folder, nothing in it can be scored, or ``content`` or ``style``
            cannot be read.
    """
    asked = {"content": content, "style": style}
    given: dict[str, Any] = {
        role: value if isinstance(value, Sound) else read_sound(value)
        for role, value in asked.items()
        if value is not None
    }
    inputs = {Path(value).resolve() for value in asked.values() if isinstance(value, (str, Path))}
    missing = [role for role in asked if role not in given]
    judges: dict[Any, Judge] = {}
    rows = []
    for path in _sounds_of(Path(folder)):
        if path.resolve() in inputs:
            continue
        try:
            sources = {**given, **(_recorded(path, missing) if missing else {})}
            pair = sources["content"], sources["style"]
            if pair not in judges:
                judges[pair] = Judge(*(s if isinstance(s, Sound) else read_sound(*s) for s in pair))
            rows.append({"file": path.name, **asdict(judges[pair].score(read_sound(path)))})
        except (SpecstyleError, ValueError) as error:
            on_skip(f"{path.name} is not scored: {error}")
    if not rows:
        raise FileError(f"{folder}: holds no sound that can be scored; name a folder of results")
    return rows


def write_csv(rows: Sequence[dict[str, Any]], path: Path | str) -> None:
    """Write rows as a table with a head, whole or not at all; an existing file is replaced.

    Args:
        rows: All with the keys of the first. ``None`` becomes an empty cell.
        path: The file.

    Raises:
        FileError: If it cannot be written.
        ValueError: If there are no rows, or a row has other keys.
    """
    if not rows:
        raise ValueError("there are no rows to write; score_folder makes some")
    how: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    with atomic(Path(path)) as temporary, temporary.open("w", **how) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    """Return a cell that a spreadsheet takes for text, not for a formula: names of files are anyone's."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _sounds_of(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise FileError(f"{folder}: cannot be read as a folder: {error.strerror or error}") from error
    return [p for p in found if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")]


def _recorded(output: Path, roles: Sequence[str]) -> dict[str, _Source]:
    """Return the files and the ranges that the record beside a result names, by role."""
    record, instead = output.with_name(output.name + ".json"), f"give --{' and --'.join(roles)}"
    if not record.is_file():
        raise FileError(f"there is no {record.name} beside it; {instead}")
    try:
        said = json.loads(record.read_text(encoding="utf-8"))
        recipe, files = said["recipe"], {"content": said["content"], "style": said["styles"][0]}
        found = {}
        for role in roles:
            heard = (recipe.get(f"{role}_{n}_s") for n in ("start", "duration"))
            # Styles have a range each.
            start, duration = ((v or [None])[0] if isinstance(v, list) else v for v in heard)
            found[role] = recorded_file(files[role], record, role), Part(start or 0.0, duration)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise FileError(f"{record.name} is no record of a run on files; {instead}") from error
    return found
