"""One self-contained HTML page on a run: to listen, to look, and to know how it was made."""

from __future__ import annotations

import dataclasses
import html
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from specstyle.embedded import panels_of
from specstyle.errors import SpecstyleError, counted
from specstyle.evaluate import Scores, evaluate
from specstyle.files import atomic
from specstyle.recipes import Recipe, from_dict, get_recipe
from specstyle.run.outputs import Metrics
from specstyle.run.request import Progress, Result


class ReportWriter:
    """Watches a run, and writes its report at the end.

    Args:
        medium: ``audio`` or ``image``.
        path: The HTML file.
        metrics: The losses, if something keeps them already.
    """

    def __init__(self, medium: str, path: Path, metrics: Metrics | None = None) -> None:
        self._medium, self._path = medium, path
        self._metrics, self._own = metrics or Metrics(), metrics is None

    def go_back(self, step: int) -> None:
        """Take up losses up to a step: whoever keeps them does."""

    def __call__(self, progress: Progress) -> None:
        """Take in a step."""
        if self._own:
            self._metrics(progress)

    def finish(self, result: Result) -> list[Path]:
        """Write the page.

        Raises:
            FileError: If it cannot be written.
        """
        page = report_page(self._medium, result, self._metrics.rows)
        with atomic(self._path) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return [self._path]


def report_page(medium: str, result: Result, losses: Sequence[dict[str, Any]]) -> str:
    """Return a report as HTML that needs no other file and no network.

    Args:
        medium: ``audio`` or ``image``.
        result: What a run gave.
        losses: What each reported step told: ``step``, ``scale`` and losses by name.
    """
    record = result.record
    recipe, network = record["recipe"]["name"], record["network"]["name"]
    told = (record["content"], *record["styles"])
    sources = (result.content, *result.styles)
    names = [_name(said, source) for said, source in zip(told, sources, strict=True)]
    steps = counted(record["steps"], "step")
    texture = medium == "audio" and "duration_s" in record["recipe"]
    title = f"{names[0]} in the style of {', '.join(names[1:])}"
    values = {
        "title": f"A texture of {', '.join(names[1:])}" if texture else title,
        "subtitle": f"{recipe} on {network}, {steps} in {record['seconds']:.0f} s on {record['device']}",
        "record": json.dumps(record, indent=2),
    }
    blocks = {
        "notes": _notes(record["notes"]),
        "losses": _loss_table(record["losses"]),
        "metrics": _metrics(result) if medium == "audio" and not texture else "",
        "recipe": _recipe_table(record["recipe"]),
        "environment": _environment(record),
        "css": _part("report.css"),
        "js": _part("report.js"),
        # In a script element nothing but its end has a meaning.
        "data": json.dumps(
            {
                "medium": medium,
                "panels": panels_of(medium, result, texture=texture),
                "losses": [_shown(row) for row in losses],
            }
        ).replace("</", "<\\/"),
    }
    page = _part("report.html")
    for name, value in values.items():
        page = page.replace("{{" + name + "}}", html.escape(value))
    for name, value in blocks.items():
        page = page.replace("{{" + name + "}}", value)
    return page


def _part(name: str) -> str:
    return (Path(__file__).parent / "pages" / name).read_text(encoding="utf-8")


def _name(said: dict[str, Any], source: Any) -> str:
    return Path(str(said.get("path") or getattr(source, "name", "") or "array")).name


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with as many digits as a page can show."""
    return {name: float(f"{v:.5g}") if isinstance(v, float) else v for name, v in row.items()}


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _loss_table(losses: dict[str, dict[str, float]]) -> str:
    rows = [
        (name, f"{losses['start'][name]:.4g}", f"{value:.4g}", f"{value / losses['start'][name]:.3g}")
        for name, value in losses["end"].items()
        if losses["start"].get(name)
    ]
    return _table(("weighted loss", "start", "result", "ratio"), rows)


def _metrics(result: Result) -> str:
    try:
        report = evaluate(result.output, result.content, result.styles[0])
    except SpecstyleError as error:
        return f"<section><h2>Metrics</h2><p>Not measured: {html.escape(str(error))}</p></section>"
    names = [f.name for f in dataclasses.fields(Scores)]
    judged = {
        "result": report.output,
        "content": report.content,
        "content, equalized": report.equalized,
        "style": report.style,
        "style's halves": report.style_halves,
    }
    rows = [(title, *(_number(getattr(scores, name)) for name in names)) for title, scores in judged.items()]
    table = _table(("", *(name.replace("_", " ") for name in names)), rows, own=0)
    told = (
        "Texture statistics (SNR in dB, higher is nearer to the style), spectrum and copy against the style, "
        "onset and chroma against the content. A result should beat the equalized content, and stay below "
        "the style's halves in copy. A proxy for ears, not a replacement."
    )
    if len(result.styles) > 1:
        told += " Of the styles, the first is measured."
    return f'<section><h2>Metrics</h2>{table}<p class="lead">{told}</p></section>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _recipe_table(recipe: dict[str, Any]) -> str:
    """Return a recipe's fields, those first that differ from the recipe of its name."""
    try:
        usual: Recipe | None = get_recipe(recipe["name"])
        now = from_dict(recipe)
    except ValueError:
        usual = now = None
    changed: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    for name, value in recipe.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        differs = usual is not None and name != "network" and getattr(now, name) != getattr(usual, name)
        (changed if differs else rest).append((name, text))
    first = _pairs(changed, kind="changed") if changed else "<p>As its name says, nothing changed.</p>"
    more = f"<details><summary>All other fields</summary>{_pairs(rest)}</details>"
    return first + more


def _environment(record: dict[str, Any]) -> str:
    inputs = [("content", record["content"]), *(("style", style) for style in record["styles"])]
    rows = [
        (role, ", ".join(f"{name} {value}" for name, value in said.items() if value is not None))
        for role, said in inputs
    ]
    rows += [
        ("specstyle", record["specstyle"]),
        ("torch, NumPy, Python", f"{record['torch']}, {np.__version__}, {platform.python_version()}"),
        ("system", platform.platform()),
        ("device, precision", f"{record['device']}, {record['precision']}"),
        ("network", f"{record['network']['name']} ({record['network']['origin']})"),
        ("seed", str(record["seed"])),
    ]
    return _pairs(rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], own: int | None = None) -> str:
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(
        f"<tr{' class=own' if i == own else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for i, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _pairs(rows: Sequence[tuple[str, str]], kind: str = "") -> str:
    body = "".join(
        f'<tr class="{kind}"><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<div class="scroll"><table class="pairs"><tbody>{body}</tbody></table></div>'
