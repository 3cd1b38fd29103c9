"""The site as `make docs` builds it: no warnings, no dead links, nothing from elsewhere, nothing left out."""

from __future__ import annotations

import dataclasses
import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import specstyle
from specstyle.cli.main import build_parser
from specstyle.cli.options import flag_of
from specstyle.recipes import RECIPES, Recipe

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """What a page leads to, what it fetches, and what may be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(given["href"])
        elif "src" in given:
            self.fetched.append(given["src"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site once for all tests of this file."""
    for name in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(name, reason="the site needs pip install .[docs]")
    if not (ROOT / "mkdocs.yml").exists():
        pytest.skip("not a checkout")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def text_of(path: Path) -> str:
    """Return a page's words without its markup."""
    return html.unescape(re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8")))


def test_no_link_is_dead(pages: dict[Path, Page]) -> None:
    """Files of the site, and the places in them; what is elsewhere is not looked up."""
    dead = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in (*page.links, *page.fetched):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("data:"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            ):
                dead.append(f"{path.name}: {link}")
    assert not dead


def test_nothing_is_fetched_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    assert len(pages) > 30
    assert not [f for page in pages.values() for f in page.fetched if urlsplit(f).netloc]
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    parser = build_parser()
    [commands] = [a.choices for a in parser._actions if isinstance(a.choices, dict)]
    overview = text_of(site / "reference" / "cli" / "index.html")
    for name, command in commands.items():
        assert f"specstyle {name}" in overview
        page = text_of(site / "reference" / "cli" / f"{name}.html")
        for action in command._actions:
            named = action.metavar or "".join(action.choices or ())
            assert all(said in page for said in action.option_strings or (str(named),)), f"{name}: {action}"


def test_every_field_of_a_recipe_is_in_the_reference(site: Path) -> None:
    page = text_of(site / "reference" / "recipes.html")
    for field in dataclasses.fields(Recipe):
        if "group" in field.metadata:
            assert re.search(rf"\b{field.name}\b", page)
            assert not field.metadata["flag"] or flag_of(field.name) in page
    assert all(name in page for name in RECIPES)


def test_every_public_name_is_in_the_reference(pages: dict[Path, Page], site: Path) -> None:
    parts = (site / "reference").glob("api-*.html")
    anchors = {anchor for part in parts for anchor in pages[part].anchors}
    told = {"__version__", "RECIPES"}
    assert {f"specstyle.{name}" for name in specstyle.__all__ if name not in told} <= anchors


def test_no_path_of_a_machine_is_told(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path.name
