"""What comes of a sweep: a table, a picture of all results, and a page with players."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from specstyle import figures
from specstyle.batch.results import Outcome
from specstyle.batch.sweep import Sweep
from specstyle.errors import FileError
from specstyle.evaluate import score_folder, write_csv
from specstyle.files import atomic
from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound
from specstyle.pages import panel_of, render
from specstyle.run.outputs import panel_titles, thumbnail


def measure(sweep: Sweep, folder: Path, on_skip: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Return the scores of a sweep's sounds against content and first style, by the name of the result.

    Args:
        sweep: Of sounds; for pictures there are none.
        folder: Of its results.
        on_skip: Called with a line for each that cannot be scored.
    """
    if sweep.medium != "audio":
        return {}
    with contextlib.suppress(FileError):  # there is none
        return {row.pop("file"): row for row in score_folder(folder, on_skip=on_skip)}
    return {}


def write_table(
    path: Path, sweep: Sweep, outcomes: Sequence[Outcome], scores: dict[str, dict[str, Any]]
) -> None:
    """Write a row for each point: its values, what became of it, and what was measured.

    Raises:
        FileError: If it cannot be written.
    """
    axes = dict.fromkeys((name for point in sweep.points for name, _ in point), "")
    measured = dict.fromkeys(next(iter(scores.values()), {}))
    rows = []
    for point, outcome in zip(sweep.points, outcomes, strict=True):
        told = dataclasses.asdict(outcome)
        del told["job"]
        rows.append(axes | dict(point) | told | measured | scores.get(outcome.output, {}))
    write_csv(rows, path)


def write_sheet(
    folder: Path, sweep: Sweep, outcomes: Sequence[Outcome], scores: dict[str, dict[str, Any]]
) -> list[Path]:
    """Write ``sheet.png`` and, one file that needs no other, ``sheet.html`` with the inputs and each result.

    Returns:
        The files written.

    Raises:
        FileError: If one cannot be written, or an input cannot be read.
    """
    inputs = list(zip(panel_titles(len(sweep.styles)), (sweep.content, *sweep.styles), strict=False))
    results = [(title, folder / o.output, o.error) for title, o in zip(sweep.titles, outcomes, strict=True)]
    there = [(title, path) for title, path, error in results if path.exists() and not error]
    panels = {path: thumbnail(sweep.medium, path) for _, path in [*inputs, *there]}
    written = [folder / "sheet.html"]
    if there:
        written.insert(0, folder / "sheet.png")
        first = inputs[:1] if sweep.with_content else []
        cells = [(title.replace(", ", "\n"), panels[path]) for title, path in [*first, *there]]
        with atomic(written[0]) as temporary:
            figures.contact_sheet(cells, temporary, columns=sweep.columns)
    shown = [*inputs, *there]
    embedded = [panel_of(sweep.medium, title, _READ[sweep.medium](path), small=True) for title, path in shown]
    embedded[min(len(inputs), len(shown) - 1)]["first"] = True
    page = render(
        Path(__file__).parent / "pages" / "sheet.html",
        sweep=sweep,
        medium={"audio": "sound", "image": "picture"}[sweep.medium],
        head=["result", *(SHOWN.values() if scores else ())],
        rows=[_row(folder, title, path, error, scores) for title, path, error in results],
        data={"medium": sweep.medium, "panels": embedded},
    )
    with atomic(written[-1]) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return written


SHOWN = {"snr_mean": "mean", "snr_var": "variance", "snr_mod": "modulation", "onset": "onset", "copy": "copy"}
"""Scores that the page shows, with what it calls them."""

_READ: dict[str, Callable[[Path], Any]] = {"audio": read_sound, "image": read_picture}


def _row(
    folder: Path, title: str, path: Path, error: str, scores: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return a result as a row of the page's table."""
    own, record = scores.get(path.name), path.with_name(path.name + ".json")
    there = path.exists() and not error
    return {
        "title": title,
        "scores": [f"{own[name]:.2f}" if own else "" for name in SHOWN] if scores else [],
        "error": "" if there else error or "not made yet",
        "links": {p.name: quote(str(p.relative_to(folder))) for p in (path, record) if there and p.exists()},
    }
