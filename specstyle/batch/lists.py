"""Lists of jobs: a CSV file, or a folder of contents and styles."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from specstyle.batch.jobs import (
    Common,
    Task,
    belongs_to,
    check_tasks,
    make_task,
    medium_of,
    refuse,
)
from specstyle.errors import ListError
from specstyle.media.soundfiles import SUFFIXES
from specstyle.recipes import Recipe
from specstyle.recipes.text import field_reader

REQUIRED = ("content", "style", "output")
MASKS = ("content_mask", "style_mask")
OTHERS = ("medium", "recipe", "seed", "weights", "preprocessing", "device", *MASKS)
FIELDS = {f.name: str(f.type) for f in dataclasses.fields(Recipe) if f.name not in ("name", "source")}
"""Columns that a table must have, may have, and may have to change a recipe."""


def read_csv(path: Path, common: Common) -> list[Task]:
    """Read a table of jobs, and check all of it.

    Args:
        path: UTF-8, separated by commas, semicolons or tabs; its relative paths start from its own folder.
        common: What holds for every job unless its row says otherwise.

    Raises:
        ListError: If any row cannot be run; the message names file and line.
    """
    lines, rows = [], []
    for line, row in _rows(path):
        lines.append(line)
        rows.append(row)
    tasks, problems = [], []
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), 1):
        try:
            tasks.append(_task(number, row, path.parent, common))
        except ValueError as error:  # noqa: PERF203
            problems.append(f"{path}, line {line}: {error}")
    refuse(problems)
    if not tasks:
        raise ListError(f"{path}: has no jobs; give one row for each, below the names of the columns")
    return check_tasks(tasks, lambda task: f"{path}, line {lines[task.number - 1]}")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each row that is not blank, with its line: its cells that are not empty, by column."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8; save it as CSV UTF-8"
        raise ListError(f"{path}: cannot read the list of jobs: {reason}") from error
    # Which it is, the first line that is not blank says: the names of the columns.
    first = next((line for line in text.split("\n") if line.strip(" ,;\t")), "")
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    columns: list[str] = []
    try:
        for cells in map(_stripped, reader):
            if not any(cells):
                continue
            if not columns:
                columns = _columns(f"{path}, line {reader.line_num}", cells)
                continue
            if len(cells) > len(columns):
                raise ListError(
                    f"{path}, line {reader.line_num}: has {len(cells)} cells for {len(columns)} columns; "
                    "put what holds a separator in quotes"
                )
            yield reader.line_num, {c: cell for c, cell in zip(columns, cells, strict=False) if cell}
    except csv.Error as error:
        raise ListError(f"{path}, line {reader.line_num}: is not CSV: {error}; check its quotes") from error


def _stripped(cells: list[str]) -> list[str]:
    cells = [cell.strip() for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _columns(place: str, cells: list[str]) -> list[str]:
    columns = [cell.replace("-", "_").lower() for cell in cells]
    known = (*REQUIRED, *OTHERS, *FIELDS)
    for name in columns:
        if name not in known:
            shown = f"column {name!r}" if name else "a column without a name"
            raise ListError(
                f"{place}: {shown} is unknown; there are {', '.join(REQUIRED + OTHERS)}, and the "
                "fields of a recipe (`specstyle recipes default`)"
            )
        if columns.count(name) > 1:
            raise ListError(f"{place}: column {name} is there twice; remove one")
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ListError(
            f"{place}: column {' and '.join(missing)} is missing; every job needs {', '.join(REQUIRED)}"
        )
    return columns


def _task(number: int, row: dict[str, str], folder: Path, common: Common) -> Task:
    for name in REQUIRED:
        if name not in row:
            raise ListError(f"{name} is empty; every job needs {', '.join(REQUIRED)}")
    content = folder / row["content"]
    medium = _medium(row, content)
    styles = [folder / name.strip() for name in row["style"].split(";") if name.strip()]
    if not styles:
        raise ListError("style is empty; give one, or several separated by ;")
    own = {name: _value(name, row[name]) for name in FIELDS if name in row}
    for name in own:
        if not belongs_to(name, medium):
            what = {
                "audio": "pictures, and this job is a sound",
                "image": "sounds, and this job is a picture",
            }
            raise ListError(f"{name} is for {what[medium]}; leave the cell empty")
    if own.get("init", "content") not in ("content", "style", "noise"):
        own["init"] = str((folder / own["init"]).absolute())
    if own.get("mask"):
        own["mask"] = str((folder / own["mask"]).absolute())
    changes: dict[str, Any] = {name: row[name] for name in ("device", "preprocessing") if name in row}
    if changes.get("preprocessing") not in (None, "torchvision", "caffe"):
        raise ListError(f"preprocessing must be torchvision or caffe, got {row['preprocessing']!r}")
    if "recipe" in row:
        is_file = row["recipe"].lower().endswith(".toml")
        changes["recipe"] = str((folder / row["recipe"]).absolute()) if is_file else row["recipe"]
    if "weights" in row:
        changes["weights"] = (folder / row["weights"]).absolute()
    changes |= {name + "s": _masks(row[name], folder) for name in MASKS if name in row}
    if "seed" in row:
        changes["seed"] = _read("seed", field_reader("int")[0], row["seed"])
    paths = (content, styles, folder / row["output"])
    return make_task(number, row["output"], medium, paths, common, own=own, **changes)


def _masks(text: str, folder: Path) -> tuple[str | Path, ...]:
    given = (part.strip() for part in text.split(";"))
    return tuple(mask if mask == "all" else (folder / mask).absolute() for mask in given)


def _medium(row: dict[str, str], content: Path) -> str:
    named = {"sound": "audio", "picture": "image"}.get(row.get("medium", ""), row.get("medium"))
    medium = named or medium_of(content)
    if medium not in ("audio", "image"):
        if named:
            raise ListError(f"medium must be audio or image, got {named!r}")
        raise ListError(f"{content.name} does not say whether it is a sound or a picture; fill in medium")
    return medium


def _value(name: str, text: str) -> Any:
    return _read(name, field_reader(FIELDS[name])[0], text)


def _read(name: str, reader: Callable[[str], Any], text: str) -> Any:
    try:
        return reader(text)
    except ValueError as error:
        raise ListError(f"{name}: {error}") from None


def read_folder(folder: Path, output: Path, common: Common) -> tuple[list[Task], list[str]]:
    """Return a job for every content with every style of the same medium, and what was left out.

    Args:
        folder: Has the folders ``contents`` and ``styles``.
        output: Where ``<content>__<style>.<suffix>`` go.
        common: What holds for every job.

    Raises:
        ListError: If a folder is missing or there is no job.
    """
    ignored: list[str] = []
    contents, styles = (_inputs(folder / name, ignored) for name in ("contents", "styles"))
    pairs = [
        (content, style)
        for content, style in itertools.product(contents, styles)
        if medium_of(content) == medium_of(style)
    ]
    if not pairs:
        raise ListError(f"{folder}: no file in contents has a style of its kind in styles; add one")
    tasks = []
    for number, (content, style) in enumerate(pairs, 1):
        medium = medium_of(content) or ""
        name = f"{content.stem}__{style.stem}{_written_suffix(content, medium)}"
        tasks.append(make_task(number, name, medium, (content, [style], output / name), common))
    place = {t.number: f"{folder}, {c.name} with {s.name}" for t, (c, s) in zip(tasks, pairs, strict=True)}
    return check_tasks(tasks, lambda task: place[task.number]), ignored


def _inputs(folder: Path, ignored: list[str]) -> list[Path]:
    try:
        files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise ListError(
            f"{folder}: cannot be listed: {error.strerror}; give a CSV file, or a folder with the folders "
            "contents and styles"
        ) from error
    ignored += [
        f"ignored: {p} (neither a sound nor a picture by its name)" for p in files if not medium_of(p)
    ]
    return [p for p in files if medium_of(p)]


def _written_suffix(content: Path, medium: str) -> str:
    suffix = content.suffix.lower()
    if medium == "audio":
        return suffix if suffix in SUFFIXES else ".wav"
    return ".png" if suffix in (".bmp", ".gif") else suffix
