"""The report: sections that a partial run replaces one by one."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEAD = """# Results

Made by `make bench` (`python -m bench`), section by section: each has the date and the hardware of its own
run, and a run replaces only the sections that it measured. Figures are paired: candidate and reference took
turns in one process, or in processes of their own, and what is told is their ratio, the median with its
quartiles in brackets where a section says nothing else. Times on a CPU are processor time, and only ratios of
them are told. [What each section measures](README.md), [what limits it](NOTES.md), raw figures in
[results/](results).
"""
_SECTION = "<!-- section {name} -->\n{body}\n<!-- end {name} -->\n"
_FOUND = re.compile(r"<!-- section (?P<name>[^>]+?) -->\n(?P<body>.*?)\n<!-- end (?P=name) -->\n", re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        name: Unique, with the device: ``speed (cpu)``.
        title: Its heading.
        text: Markdown.
        raw: What is kept as JSON.
        commands: How to make it again.
    """

    name: str
    title: str
    text: str
    raw: dict[str, Any] = field(default_factory=dict)
    commands: str = ""


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * (lines[0].count("|") - 1), *lines[1:]])


def verdict(met: bool | None) -> str:
    """Return how a target stands."""
    return {True: "met", False: "missed", None: "not measured"}[met]


def replace_section(text: str, name: str, body: str) -> str:
    """Return a report with one section replaced, or added in the order of the names.

    Args:
        text: The report so far; an empty one gets its head.
        name: Of the section.
        body: Its new text.

    >>> once = replace_section("", "a", "one")
    >>> replace_section(once, "a", "two") == replace_section("", "a", "two")
    True
    """
    sections = {match["name"]: match["body"] for match in _FOUND.finditer(text)}
    sections[name] = body.strip("\n")
    parts = [_SECTION.format(name=key, body=sections[key]) for key in sorted(sections)]
    return "\n".join([HEAD, *parts])


def write_section(folder: Path, section: Section, hardware: str) -> None:
    """Put a section into ``RESULTS.md`` and its figures into ``results/``.

    Args:
        folder: Of the benchmarks.
        section: What was measured.
        hardware: One line.
    """
    date = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    made = f"{date}; {hardware}" + (f"; `{section.commands}`" if section.commands else "")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "RESULTS.md"
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    body = f"## {section.title}\n\n{made}\n\n{section.text}"
    path.write_text(replace_section(before, section.name, body), encoding="utf-8")
    raw = folder / "results" / (re.sub(r"\W+", "-", section.name).strip("-") + ".json")
    raw.parent.mkdir(exist_ok=True)
    known = {"date": date, "hardware": hardware, **section.raw}
    raw.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
