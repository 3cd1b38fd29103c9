"""Pages that are made from the program itself: the command line, the recipes, and files of the repository.

MkDocs calls ``on_files`` as it builds (see mkdocs.yml). What is told here cannot differ from what the program
does, because it is read from the parsers and from the recipes.
"""

from __future__ import annotations

import argparse
import dataclasses
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from specstyle.cli.main import build_parser
from specstyle.cli.options import flag_of
from specstyle.recipes import RECIPES, Recipe

ROOT = Path(__file__).parents[1]

COPIES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "bench/results/quality.md": "measurements/quality.md",
    "bench/results/tune.md": "measurements/tune.md",
    "bench/results/strength.md": "measurements/strength.md",
    "bench/results/onepass.md": "measurements/onepass.md",
    "bench/results/lite.md": "measurements/lite.md",
    "bench/results/inversion.md": "measurements/inversion.md",
    "bench/NOTES.md": "measurements/speed.md",
}
"""Pages of the site that are files elsewhere in the repository."""

PICTURES = ("bench/results/lite-widths.png", "bench/results/frontier.png", "bench/results/quality/*.jpg")
"""What those pages show; below measurements/, as it is below bench/results/."""

_TITLES = {
    "network": "Network",
    "loss": "Losses",
    "optimizer": "Optimization",
    "image": "Pictures",
    "audio": "Sounds: ranges, spectrogram and phase",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page for each command into the navigation."""
    [reference] = [part["Reference"] for part in config.nav or [] if "Reference" in part]
    [entry] = [part for part in reference if isinstance(part, dict) and "Command line" in part]
    entry["Command line"] = list(command_pages())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages to those of docs/."""
    pages = {**command_pages(), "reference/recipes.md": recipes_page(), **copied_pages()}
    pages["reference/recipe-values.md"] = values_page()
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    for pattern in PICTURES:
        for path in sorted(ROOT.glob(pattern)):
            uri = f"measurements/{path.relative_to(ROOT / 'bench' / 'results').as_posix()}"
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


# -- the command line ----------------------------------------------------------------------------------------


def command_pages() -> dict[str, str]:
    """Return a page per command, and one on all of them."""
    parser = build_parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
    rows = [f"| [`specstyle {name}`]({name}.md) | {_text(helps[name])} |" for name in action.choices]
    lines = [
        "# The command line",
        "",
        "These pages are made from the program's own parsers as the site is built; in a terminal, "
        "`specstyle COMMAND --help` says the same (of `audio`, `image` and `texture`: `--help-all`).",
        "",
        "| command | what it does |",
        "|---|---|",
        *rows,
        "",
        "Exit codes: 0 done, 1 an input or the run failed, 2 wrong usage, 130 stopped by Ctrl-C. An error is "
        "one line: what was wrong, what was expected, what to do. `--debug` shows the traceback as well.",
        "",
    ]
    pages = {"reference/cli/index.md": "\n".join(lines)}
    for name, command in action.choices.items():
        pages[f"reference/cli/{name}.md"] = command_page(name, command)
    return pages


def command_page(name: str, command: argparse.ArgumentParser) -> str:
    """Return the page of one command: usage, description and all arguments."""
    usage = re.sub(r"\x1b\[[0-9;]*m", "", command.format_usage()).removeprefix("usage: ").rstrip()
    usage = "\n".join(line.removeprefix("       ") for line in usage.splitlines())
    lines = [f"# specstyle {name}", ""]
    if command.description:
        body = command.description % {"prog": command.prog}
        summary, _, rest = body.partition("\n\n")
        lines += [_text(summary), ""]
    else:
        rest = ""
    lines += ["```text", usage, "```", ""]
    if rest:
        lines += ["```text", rest.rstrip(), "```", ""]
    for group in command._action_groups:
        actions = [a for a in group._group_actions if a.help is not argparse.SUPPRESS]
        if not actions:
            continue
        title = (group.title or "options").capitalize()
        lines += [f"## {title}", "", "| argument | meaning |", "|---|---|"]
        lines += [f"| {_signature(a)} | {_meaning(a)} |" for a in actions]
        lines.append("")
    return "\n".join(lines)


def _signature(action: argparse.Action) -> str:
    """Return an argument as it is typed."""
    shown = action.metavar if isinstance(action.metavar, str) else None
    if shown is None and action.choices:
        shown = "{" + ",".join(map(str, action.choices)) + "}"
    shown = shown or (action.dest.upper() if action.option_strings else action.dest)
    if not action.option_strings:
        return f"`{shown}`"
    value = "" if action.nargs == 0 else f" {shown}"
    return "<br>".join(f"`{option}{value}`" for option in action.option_strings)


def _meaning(action: argparse.Action) -> str:
    """Return an argument's help; what argparse itself says of ``--help`` included."""
    values = {**vars(action), "prog": "specstyle"}
    text = (action.help or "") % values
    if action.default not in (None, argparse.SUPPRESS, False, [], 0, "") and "default" not in text:
        text += f" (default: {action.default})"
    return _text(text)


# -- recipes -------------------------------------------------------------------------------------------------


def recipes_page() -> str:
    """Return the page on all fields."""
    lines = [
        "# Recipes and their fields",
        "",
        "A recipe is every choice of a run under one name. Each field is a key of a recipe's TOML file, a "
        "column of a batch list, a keyword of the library's functions, and, where a flag is named, a flag of "
        "`specstyle audio`, `image`, `texture`, `sweep` and `batch`. This page is made from the program as "
        "the site is built; `specstyle recipes NAME` prints one recipe. "
        "[Where they come from](../explanation/recipes.md), [their values](recipe-values.md).",
        "",
        "## The recipes",
        "",
        "| name | source |",
        "|---|---|",
        *(f"| `{name}` | {_text(recipe.source)} |" for name, recipe in RECIPES.items()),
        "",
        "## Fields",
        "",
        "Defaults are those of a recipe file that leaves a field out. `none` means: settled when the run "
        "begins, and told in its record.",
        "",
    ]
    for group, fields in _groups().items():
        lines += [f"### {_TITLES[group]}", "", "| field | flag | default | meaning |", "|---|---|---|---|"]
        for field in fields:
            text = str(field.metadata["help"])
            if field.metadata["choices"]:
                text += f" ({', '.join(field.metadata['choices'])})"
            default = _value(field.default)
            flag = f"`{flag_of(field.name)}`" if field.metadata["flag"] else ""
            lines.append(f"| `{field.name}` | {flag} | {default} | {_text(text)} |")
        lines.append("")
    return "\n".join(lines)


def values_page() -> str:
    """Return the page on what each recipe has that is no default."""
    lines = ["# Values by recipe", "", "Only what differs from the default of its [field](recipes.md).", ""]
    for name, recipe in RECIPES.items():
        lines += [f"## {name}", "", _text(recipe.source) + ".", "", "| field | value |", "|---|---|"]
        lines += [f"| `{field}` | {_value(value)} |" for field, value in _changes(recipe)]
        lines.append("")
    return "\n".join(lines)


def _groups() -> dict[str, list[dataclasses.Field[Any]]]:
    """Return the fields of ``Recipe`` by their group."""
    groups: dict[str, list[dataclasses.Field[Any]]] = {}
    for field in dataclasses.fields(Recipe):
        if "group" in field.metadata:
            groups.setdefault(field.metadata["group"], []).append(field)
    return groups


def _changes(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Yield the fields in which a recipe differs from the defaults, in their order."""
    for field in dataclasses.fields(Recipe):
        value = getattr(recipe, field.name)
        if "group" in field.metadata and value != field.default:
            yield field.name, value


def _value(value: Any) -> str:
    """Return a field's value as the command line takes it."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`" if value else "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


# -- files of the repository ---------------------------------------------------------------------------------


def copied_pages() -> dict[str, str]:
    """Return files of the repository as pages; links to what is not on the site become plain text.

    Measurements have wide tables, which get the room of the table of contents.
    """
    return {
        uri: "---\nhide: [toc]\n---\n" * uri.startswith("measurements/")
        + _with_links_of_the_site((ROOT / source).read_text(encoding="utf-8"), source, uri)
        for source, uri in COPIES.items()
    }


def _with_links_of_the_site(text: str, source: str, uri: str) -> str:
    """Return a page whose links lead to pages of the site, or nowhere."""

    def mended(match: re.Match[str]) -> str:
        bang, label, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match.group()
        path, hash_, anchor = target.partition("#")
        found = ((ROOT / source).parent / path).resolve()
        try:
            name = found.relative_to(ROOT).as_posix()
        except ValueError:
            return label
        if bang:
            return match.group()  # a picture: see PICTURES
        if name in COPIES:
            up = "../" * uri.count("/")
            return f"[{label}]({up}{COPIES[name]}{hash_}{anchor})"
        return label if label.startswith("`") or path in label else f"{label} (`{name}`)"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", mended, text)


def _text(text: str) -> str:
    """Return plain text for Markdown: nothing in it is markup, and it stays in its cell of a table."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", html.escape(text, quote=False))
