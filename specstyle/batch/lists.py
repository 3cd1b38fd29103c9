"""Lists of jobs: a CSV file, or a folder of contents and styles."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specstyle.batch.jobs import (
    FIELDS,
    Task,
    belongs_to,
    check_tasks,
    make_task,
    named_from,
    read_value,
    refuse,
)
from specstyle.errors import ListError
from specstyle.files import medium_of, read_bytes

REQUIRED = ("content", "style", "output")
AS_THEY_ARE = ("recipe", "weights", "preprocessing", "device")
MASKS = ("content_mask", "style_mask")
OTHERS = ("medium", "seed", *AS_THEY_ARE, *MASKS)
"""Columns that a table must have, and those it may have beside the fields of a recipe."""

_NEEDED = ", ".join(REQUIRED)


def read_csv(path: Path, common: dict[str, Any]) -> list[Task]:
    """Read a table of jobs, and check all of it.

    Args:
        path: UTF-8, separated by commas, semicolons or tabs; its relative paths start from its own folder.
        common: Fields of ``Request`` for every job whose row does not say otherwise.

    Raises:
        ListError: If any row cannot be run; the message names file and line.
    """
    tasks, problems = [], []
    for number, (place, row) in enumerate(list(_rows(path)), 1):
        try:
            tasks.append(_task(number, place, row, path.parent, common))
        except ValueError as error:  # noqa: PERF203
            problems.append(f"{place}: {error}")
    refuse(problems)
    if not tasks:
        raise ListError(f"{path}: has no jobs; give one row for each, below the names of the columns")
    return check_tasks(tasks)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each row that is not blank, with its place: its cells that are not empty, by column."""
    try:
        text = read_bytes(path).decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8; save it as CSV UTF-8"
        raise ListError(f"{path}: cannot read the list of jobs: {reason}") from error
    if "\0" in text:
        raise ListError(f"{path}: cannot read the list of jobs: it holds zero bytes; save it as CSV UTF-8")
    # Which it is, the first line that is not blank says: the names of the columns.
    first = next((line for line in text.split("\n") if line.strip(" ,;\t")), "")
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    columns: list[str] = []
    try:
        for cells in map(_stripped, reader):
            if not any(cells):
                continue
            place = f"{path}, line {reader.line_num}"
            if not columns:
                columns = _columns(place, cells)
                continue
            if len(cells) > len(columns):
                raise ListError(
                    f"{place}: has {len(cells)} cells for {len(columns)} columns; put what holds a separator "
                    "in quotes"
                )
            yield place, {c: cell for c, cell in zip(columns, cells, strict=False) if cell}
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
        raise ListError(f"{place}: column {' and '.join(missing)} is missing; every job needs {_NEEDED}")
    return columns


def _task(number: int, place: str, row: dict[str, str], folder: Path, common: dict[str, Any]) -> Task:
    styles = [folder / name.strip() for name in row.get("style", "").split(";") if name.strip()]
    for name in REQUIRED:
        if name not in row or (name == "style" and not styles):
            raise ListError(f"{name} is empty; every job needs {_NEEDED}")
    content = folder / row["content"]
    medium = _medium(row.get("medium", ""), content)
    overrides = {name: read_value(name, row[name]) for name in FIELDS if name in row}
    for name in overrides:
        if not belongs_to(name, medium):
            fit, own_kind = ("pictures", "sound") if medium == "audio" else ("sounds", "picture")
            raise ListError(f"{name} is for {fit}, and this job is a {own_kind}; leave the cell empty")
    if row.get("preprocessing") not in (None, "torchvision", "caffe"):
        raise ListError(f"preprocessing must be torchvision or caffe, got {row['preprocessing']!r}")
    own: dict[str, Any] = {name: row[name] for name in AS_THEY_ARE if name in row}
    own |= {"seed": overrides.pop("seed")} if "seed" in overrides else {}
    for name in set(MASKS) & set(row):
        own[name + "s"] = [mask.strip() for mask in row[name].split(";")]
    own = named_from(folder, {**own, "overrides": overrides})
    paths = (content, styles, folder / row["output"])
    return make_task(number, row["output"], medium, paths, common, place=place, own=own)


def _medium(named: str, content: Path) -> str:
    medium = {"sound": "audio", "picture": "image"}.get(named, named) or medium_of(content)
    if medium is None:
        raise ListError(f"{content.name} does not say whether it is a sound or a picture; fill in medium")
    if medium not in ("audio", "image"):
        raise ListError(f"medium must be audio or image, got {named!r}")
    return medium


def read_folder(folder: Path, output: Path, common: dict[str, Any]) -> tuple[list[Task], list[str]]:
    """Return a job for every content with every style of the same medium, and what was left out.

    Args:
        folder: Has the folders ``contents`` and ``styles``.
        output: Where ``<content>__<style>.<suffix>`` go.
        common: Fields of ``Request`` for every job.

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
        place = f"{folder}, {content.name} with {style.name}"
        paths = (content, [style], output / name)
        tasks.append(make_task(number, name, medium, paths, common, place=place))
    return check_tasks(tasks), ignored


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
        return suffix if suffix in (".wav", ".flac", ".ogg") else ".wav"
    return suffix if suffix in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff") else ".png"
