"""What comes of a sweep: a table, a picture of all results, and a page with players."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from specstyle import figures
from specstyle.batch.jobs import Task
from specstyle.batch.results import Outcome, write_csv
from specstyle.batch.sweep import Sweep
from specstyle.errors import SpecstyleError
from specstyle.evaluate import Judge, Scores
from specstyle.files import atomic, sha256_of, write_json
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Part
from specstyle.recipes import Recipe
from specstyle.rendering import render
from specstyle.run.outputs import thumbnail

THUMBNAIL = 320
"""Longest side of a picture's thumbnail in pixels, and the most columns of a spectrogram's."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One panel of a sheet.

    Attributes:
        title: Over it.
        path: Of the sound or picture.
        scores: What was measured on it, by name.
        error: Why there is no result.
    """

    title: str
    path: Path
    scores: dict[str, float | None] = dataclasses.field(default_factory=dict)
    error: str = ""


def measure(sweep: Sweep, tasks: Sequence[Task], folder: Path) -> dict[str, dict[str, float | None]]:
    """Return the scores of a sweep's sounds against content and first style, by the name of the result.

    They are kept in the folder, so that a second call measures only what is new.

    Args:
        sweep: Of sounds; for pictures there are none.
        tasks: Its jobs.
        folder: Of its results.
    """
    if sweep.medium != "audio":
        return {}
    kept_in = folder / "scores.json"
    try:
        kept: dict[str, Any] = json.loads(kept_in.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    judges: dict[tuple[Part, Part], Judge] = {}
    inputs = [sha256_of(path) for path in (sweep.content, sweep.styles[0])]
    found: dict[str, Any] = {}
    for task in tasks:
        path, heard = task.job.output, _heard(task)
        if not path.exists():
            continue
        known, of = kept.get(task.name, {}), [sha256_of(path), *inputs, repr(heard)]
        if known.get("of") != of:
            try:
                if heard not in judges:
                    judges[heard] = Judge(*map(read_sound, (sweep.content, sweep.styles[0]), heard))
                scores: dict[str, Any] = dataclasses.asdict(judges[heard].score(read_sound(path)))
            except SpecstyleError as error:
                scores = {"error": str(error)}
            known = {"of": of, **scores}
        found[task.name] = known
    with atomic(kept_in) as temporary:
        write_json(temporary, _finite(found))
    names = [f.name for f in dataclasses.fields(Scores)]
    return {name: {n: _finite(k.get(n)) for n in names} for name, k in found.items() if "error" not in k}


def _heard(task: Task) -> tuple[Part, Part]:
    """Return the ranges of the content and of the first style that a job takes."""
    recipe = task.recipe or Recipe()
    starts, durations = recipe.style_start_s, recipe.style_duration_s
    style = Part(starts[0] if starts else 0.0, durations[0] if durations else None)
    return Part(recipe.content_start_s, recipe.content_duration_s), style


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_table(
    path: Path,
    sweep: Sweep,
    outcomes: Sequence[Outcome],
    scores: dict[str, dict[str, float | None]],
) -> None:
    """Write a row for each point: its values, what became of it, and what was measured.

    Raises:
        FileError: If it cannot be written.
    """
    axes = list(dict.fromkeys(name for point in sweep.points for name, _ in point))
    told = [f.name for f in dataclasses.fields(Outcome) if f.name != "job"]
    measured = list(next(iter(scores.values()), {}))
    rows = []
    for point, outcome in zip(sweep.points, outcomes, strict=True):
        values, row = dict(point), scores.get(outcome.output, {})
        cells = [getattr(outcome, name) for name in told] + [row.get(name) for name in measured]
        rows.append([values.get(axis, "") for axis in axes] + cells)
    write_csv(path, [*axes, *told, *measured], rows)


def write_sheet(
    folder: Path,
    sweep: Sweep,
    outcomes: Sequence[Outcome],
    scores: dict[str, dict[str, float | None]],
) -> list[Path]:
    """Write ``sheet.png`` and ``sheet.html`` with a panel for the inputs and for each result.

    Returns:
        The files written.

    Raises:
        FileError: If one cannot be written, or an input cannot be read.
    """
    inputs = [Cell("content", sweep.content)]
    inputs += [
        Cell("style" if len(sweep.styles) == 1 else f"style {i}", path)
        for i, path in enumerate(sweep.styles, 1)
    ]
    results = [
        Cell(title, folder / outcome.output, scores.get(outcome.output, {}), outcome.error)
        for title, outcome in zip(sweep.titles, outcomes, strict=True)
    ]
    there = [cell for cell in results if cell.path.exists() and not cell.error]
    first = inputs[:1] if sweep.with_content else []
    panels = {cell.path: thumbnail(sweep.medium, cell.path) for cell in [*inputs, *there]}
    written = [folder / "sheet.html"]
    if there:
        written.insert(0, folder / "sheet.png")
        shown = [(cell.title.replace(", ", "\n"), panels[cell.path]) for cell in [*first, *there]]
        with atomic(written[0]) as temporary:
            figures.contact_sheet(shown, temporary, columns=sweep.columns)
    thumbnails = folder / "thumbnails"
    thumbnails.mkdir(exist_ok=True)
    shown_by = {}
    for number, (path, panel) in enumerate(panels.items()):
        shown_by[path] = thumbnails / (f"input-{number}.png" if number < len(inputs) else f"{path.name}.png")
        with atomic(shown_by[path]) as temporary:
            figures.bare_image(panel, temporary, longest=THUMBNAIL)
    page = render(
        Path(__file__).parent / "pages" / "sheet.html",
        sweep=sweep,
        medium={"audio": "sound", "image": "picture"}[sweep.medium],
        groups=[
            (heading, [_shown(cell, folder, shown_by.get(cell.path)) for cell in cells])
            for heading, cells in (("Inputs", inputs), ("Results", results))
        ],
    )
    with atomic(written[-1]) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return written


SHOWN = {"snr_mean": "mean", "snr_var": "variance", "snr_mod": "modulation", "onset": "onset", "copy": "copy"}
"""Scores that a panel shows, with what it calls them."""


def _shown(cell: Cell, folder: Path, thumbnail_path: Path | None) -> dict[str, Any]:
    """Return a panel as the page has it."""
    if thumbnail_path is None:
        return {"title": cell.title, "image": None, "error": cell.error or "not made yet"}
    scores = [(name, cell.scores.get(field)) for field, name in SHOWN.items()]
    record = cell.path.with_name(cell.path.name + ".json")
    return {
        "title": cell.title,
        "link": _link(cell.path, folder),
        "image": _link(thumbnail_path, folder),
        "scores": [(name, f"{score:.2f}") for name, score in scores if score is not None],
        "record": _link(record, folder) if record.exists() else None,
    }


def _link(path: Path, folder: Path) -> str:
    """Return a file as a page in the folder names it."""
    try:
        return quote(str(path.resolve().relative_to(folder.resolve())))
    except ValueError:
        return path.resolve().as_uri()
