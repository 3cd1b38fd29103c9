"""One self-contained HTML page on a run: to listen, to look, and to know how it was made."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from specstyle.errors import SpecstyleError, counted
from specstyle.evaluate import Scores, evaluate
from specstyle.files import atomic
from specstyle.pages import panels_of, render
from specstyle.recipes import Recipe, from_dict, get_recipe
from specstyle.run.request import Result


def write_report(medium: str, result: Result, losses: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a report as HTML that needs no other file and no network.

    Args:
        medium: ``audio`` or ``image``.
        result: What a run gave.
        losses: What each reported step told: ``step``, ``scale`` and losses by name.
        path: Where to.

    Raises:
        FileError: If it cannot be written.
    """
    record, recipe = result.record, result.record["recipe"]
    told = (record["content"], *record["styles"])
    sources = (result.content, *result.styles)
    content, *styles = (_name(said, source) for said, source in zip(told, sources, strict=True))
    texture = medium == "audio" and "duration_s" in recipe
    changed, unchanged = _fields(recipe)
    steps = f"{counted(record['steps'], 'step')} in {record['seconds']:.0f} s"
    page = render(
        Path(__file__).parent / "pages" / "report.html",
        title=f"{'A texture of' if texture else content + ' in the style of'} {', '.join(styles)}",
        subtitle=f"{recipe['name']} on {record['network']['name']}, {steps} on {record['device']}",
        record=record,
        record_json=json.dumps(record, indent=2),
        losses=_losses(record["losses"]),
        metrics=_metrics(result) if medium == "audio" and not texture else None,
        changed=changed,
        unchanged=unchanged,
        environment=_environment(record),
        data={
            "medium": medium,
            "panels": panels_of(medium, result, texture=texture),
            "losses": [_shown(row) for row in losses],
        },
    )
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _name(said: dict[str, Any], source: Any) -> str:
    return Path(str(said.get("path") or getattr(source, "name", "") or "array")).name


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with as many digits as a page can show."""
    return {name: float(f"{v:.5g}") if isinstance(v, float) else v for name, v in row.items()}


def _losses(losses: dict[str, dict[str, float]]) -> list[tuple[str, ...]]:
    return [
        (name, f"{losses['start'][name]:.4g}", f"{value:.4g}", f"{value / losses['start'][name]:.3g}")
        for name, value in losses["end"].items()
        if losses["start"].get(name)
    ]


def _metrics(result: Result) -> dict[str, Any]:
    """Return a table of scores, the result's own first, or the error that says why there is none."""
    try:
        report = evaluate(result.output, result.content, result.styles[0])
    except SpecstyleError as error:
        return {"error": str(error)}
    names = [f.name for f in dataclasses.fields(Scores)]
    judged = {
        "result": report.output,
        "content": report.content,
        "content, equalized": report.equalized,
        "style": report.style,
        "style's halves": report.style_halves,
    }
    rows = [
        (title, *("-" if (v := getattr(scores, name)) is None else f"{v:.2f}" for name in names))
        for title, scores in judged.items()
    ]
    return {"error": None, "head": ["", *(name.replace("_", " ") for name in names)], "rows": rows}


def _fields(recipe: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return a recipe's fields that differ from the recipe of its name, and the others."""
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
    return changed, rest


def _environment(record: dict[str, Any]) -> list[tuple[str, str]]:
    inputs = [("content", record["content"]), *(("style", style) for style in record["styles"])]
    rows = [
        (role, ", ".join(f"{name} {value}" for name, value in said.items() if value is not None))
        for role, said in inputs
    ]
    return [
        *rows,
        ("specstyle", record["specstyle"]),
        ("torch, NumPy, Python", f"{record['torch']}, {np.__version__}, {platform.python_version()}"),
        ("system", platform.platform()),
        ("device, precision", f"{record['device']}, {record['precision']}"),
        ("network", f"{record['network']['name']} ({record['network']['origin']})"),
        ("seed", str(record["seed"])),
    ]
