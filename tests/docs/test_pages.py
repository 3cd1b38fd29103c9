"""What the pages of docs/ say: commands are the program's, Python blocks run, files and anchors are there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from pages import DOCS, PAGES, ROOT, Block, blocks, commands

from specstyle.cli.main import build_parser
from specstyle.files import SAMPLES
from specstyle.recipes import read_recipe

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="not a checkout")

README = ROOT / "README.md"
COMMANDS = [
    (block, words)
    for page in (*PAGES, README)
    for block in blocks(page, "sh")
    if not block.mark.startswith("not parsed")
    for words in commands(block)
]
RUN = {page: [b for b in blocks(page, "python") if b.mark == "run"] for page in PAGES}


def test_the_tutorials_are_there() -> None:
    names = {page.stem for page in (DOCS / "tutorials").glob("*.md")}
    assert names == {"musician", "artist", "researcher"}
    assert len(COMMANDS) > 50
    assert sum(map(len, RUN.values())) >= 8


@pytest.mark.parametrize(
    ("block", "words"), COMMANDS, ids=lambda value: " ".join(value)[:80] if isinstance(value, list) else ""
)
def test_a_command_is_the_programs(
    block: Block, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The real parser takes it; whether its files are there is not asked."""
    optional = any(word in ("--like", "--resume") for word in words)
    parser = build_parser(inputs_optional=optional)
    try:
        parser.parse_args(words)
    except SystemExit:
        pytest.fail(f"{block.name}: specstyle {' '.join(words)}: {capsys.readouterr().err}")


def test_marks_are_of_three_kinds() -> None:
    """A mark with a spelling of its own would quietly do nothing."""
    for page in PAGES:
        for language in ("sh", "python", "csv", "toml", "text"):
            for block in blocks(page, language):
                assert re.fullmatch(r"|run|not run: .+|not parsed: .+|/?\w+", block.mark), block.name


@pytest.mark.parametrize("page", [page for page, found in RUN.items() if found], ids=lambda p: p.stem)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are marked, in their order, in one namespace per page, beside the demo's samples."""
    for sample in SAMPLES.iterdir():
        shutil.copyfile(sample, tmp_path / sample.name)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    names: dict[str, object] = {}
    try:
        for block in RUN[page]:
            exec(compile(block.body, block.name, "exec"), names)
    finally:
        torch.set_num_threads(threads)


def test_recipes_shown_are_recipes(tmp_path: Path) -> None:
    shown = [block for page in PAGES for block in blocks(page, "toml")]
    assert shown
    for block in shown:
        path = tmp_path / "shown.toml"
        path.write_text(block.body, encoding="utf-8")
        assert read_recipe(path).name != "custom"


def test_batch_lists_and_masks_shown_are_read(tmp_path: Path) -> None:
    from specstyle.batch.lists import read_csv
    from specstyle.media.masks import read_mask

    shown = [block for page in PAGES for block in blocks(page, "csv")]
    assert len(shown) >= 4
    for block in shown:
        path = tmp_path / "shown.csv"
        path.write_text(block.body, encoding="utf-8")
        if block.body.startswith("start_s"):
            read_mask(path)
            continue
        for name in set(re.findall(r"[\w.-]+\.(?:wav|ogg|png|jpg)", block.body)):
            (tmp_path / name).touch()
        assert len(read_csv(path, {})) == len(block.body.splitlines()) - 1


def test_every_picture_and_sound_is_used_and_small() -> None:
    """What docs/figures.py makes, and nothing else, below 300 kB each and 7 MB in all."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    made = [p for kind in ("figures", "sounds") for p in (DOCS / kind).rglob("*") if p.is_file()]
    assert all(path.name in text for path in made), [path.name for path in made if path.name not in text]
    sizes = [path.stat().st_size for path in made]
    assert max(sizes) < 300 * 2**10
    assert sum(sizes) < 7 * 2**20
    script = (DOCS / "figures.py").read_text(encoding="utf-8")
    assert all(f'"{path.stem}"' in script for path in made if path.parent.name != "pairs")


def test_links_of_the_readme_lead_to_files() -> None:
    text = README.read_text(encoding="utf-8")
    targets = [t.partition("#") for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t]
    missing = [path for path, _, _ in targets if path and not (ROOT / path).exists()]
    assert not missing
    assert sum(path.startswith("docs/") for path, _, _ in targets) > 10
    for path, _, anchor in targets:
        assert not anchor or anchor in slugs(ROOT / path if path else README), f"{path}#{anchor}"


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs and hosts of repositories make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_no_block_is_lost() -> None:
    """The pattern for fences finds every one: their number is half of the lines of backticks."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        languages = set(re.findall(r"^```(\w+)$", text, re.MULTILINE))
        found = sum(len(blocks(page, language)) for language in languages)
        assert 2 * found == len(re.findall(r"^```", text, re.MULTILINE)), page
