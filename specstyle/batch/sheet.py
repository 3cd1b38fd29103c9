"""What comes of a sweep: a table, a picture of all results, and a page with players."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch

from specstyle import figures
from specstyle.batch.results import Outcome
from specstyle.batch.sweep import Sweep
from specstyle.errors import FileError
from specstyle.evaluate import score_folder, write_csv
from specstyle.files import atomic
from specstyle.pages import render
from specstyle.run.outputs import panel_titles, thumbnail

THUMBNAIL = 320
"""Longest side of a picture's thumbnail and width of a spectrogram's, in pixels."""


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
    """Write ``sheet.png`` and ``sheet.html`` with a panel for the inputs and for each result.

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
        shown = [(title.replace(", ", "\n"), panels[path]) for title, path in [*first, *there]]
        with atomic(written[0]) as temporary:
            figures.contact_sheet(shown, temporary, columns=sweep.columns)
    images = _write_thumbnails(folder / "thumbnails", panels, len(inputs))
    page = render(
        Path(__file__).parent / "pages" / "sheet.html",
        sweep=sweep,
        medium={"audio": "sound", "image": "picture"}[sweep.medium],
        groups={
            "Inputs": [_shown(folder, title, path, images[path]) for title, path in inputs],
            "Results": [
                _shown(folder, title, path, images[path], scores.get(path.name))
                if (title, path) in there
                else {"title": title, "image": None, "error": error or "not made yet"}
                for title, path, error in results
            ],
        },
    )
    with atomic(written[-1]) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return written


def _write_thumbnails(folder: Path, panels: dict[Path, Any], inputs: int) -> dict[Path, Path]:
    """Write each panel as a small picture, those of the inputs by number; return where they are."""
    folder.mkdir(exist_ok=True)
    images = {}
    for number, (path, panel) in enumerate(panels.items()):
        images[path] = folder / (f"input-{number}.png" if number < inputs else f"{path.name}.png")
        with atomic(images[path]) as temporary:
            if panel.ndim == 3:
                pixels = torch.from_numpy(panel).movedim(2, 0)
                temporary.write_bytes(figures.picture_png(pixels, longest=THUMBNAIL))
            else:
                temporary.write_bytes(figures.levels_png(panel, size=(THUMBNAIL, 3 * THUMBNAIL // 4)))
    return images


SHOWN = {"snr_mean": "mean", "snr_var": "variance", "snr_mod": "modulation", "onset": "onset", "copy": "copy"}
"""Scores that a panel shows, with what it calls them."""


def _shown(
    folder: Path, title: str, path: Path, image: Path, scores: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a panel as the page in a folder has it."""
    record = path.with_name(path.name + ".json")
    return {
        "title": title,
        "link": _link(path, folder),
        "image": _link(image, folder),
        "scores": [(word, f"{scores[name]:.2f}") for name, word in SHOWN.items()] if scores else [],
        "record": _link(record, folder) if record.exists() else None,
    }


def _link(path: Path, folder: Path) -> str:
    """Return a file as a page in the folder names it."""
    try:
        return quote(str(path.resolve().relative_to(folder.resolve())))
    except ValueError:
        return path.resolve().as_uri()
