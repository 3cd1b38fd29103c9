"""What stands in the Markdown of docs/: fenced blocks, and how each is marked.

A comment right above a fence marks it: ``<!-- run -->`` a Python block that is run, ``<!-- not run: why -->``
a command that is parsed only, ``<!-- not parsed: why -->`` one that is not even that.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the comment above it, and what is in it."""

    page: Path
    language: str
    mark: str
    body: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.body.strip().splitlines()[0]}"


def blocks(page: Path, language: str) -> list[Block]:
    """Return the blocks of a language on a page, in their order."""
    return [
        Block(page, language, found["mark"] or "", found["body"])
        for found in _FENCE.finditer(page.read_text(encoding="utf-8"))
        if found["language"] == language
    ]


def commands(block: Block) -> list[list[str]]:
    """Return the words of each ``specstyle`` command in a block, redirections and comments left out."""
    joined = block.body.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if line.startswith("specstyle ")]
    return [line[1 : line.index(">")] if ">" in line else line[1:] for line in words]
