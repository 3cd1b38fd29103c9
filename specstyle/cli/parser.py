"""A parser that refuses in one line, suggests what was meant, and shows at first what most people use."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from specstyle.cli.progress import USAGE, printable
from specstyle.files import medium_of

SIMILAR = 0.8
"""How like a word must be to what is suggested for it (difflib's ratio): --win-length is no --hop-length."""


class Parser(argparse.ArgumentParser):
    """The parser of the program, and of each command.

    Args:
        shown: What ``--help`` shows: names of arguments by their title. Nothing: all, as ``--help-all`` does.
        kept: What ``argparse.ArgumentParser`` takes.
    """

    def __init__(self, *, shown: Mapping[str, str] | None = None, **kept: Any) -> None:
        super().__init__(**kept)
        self.shown = shown
        self.commands: Mapping[str, Parser] = {}
        if shown:
            self.add_argument("--help-all", action=_HelpAll, nargs=0, help="show all options and exit")

    def format_help(self) -> str:
        """Return the help."""
        if not self.shown:
            return super().format_help()
        formatter, actions = self._get_formatter(), {action.dest: action for action in self._actions}
        formatter.add_usage(self.usage, self._actions, [])
        formatter.add_text(self.description)
        for title, names in self.shown.items():
            formatter.start_section(title)
            formatter.add_arguments([actions[name] for name in names.split()])
            formatter.end_section()
        return formatter.format_help()

    def error(self, message: str) -> NoReturn:
        """Print one line and exit."""
        self.exit(USAGE, f"{self.prog}: {printable(' '.join(message.split()))}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read arguments; before argparse misses others for it, refuse what is no option and no command."""
        for place, word in enumerate(args or ()):
            if word == "--":
                break
            if self.commands and not word.startswith("-"):
                if word not in self.commands:
                    self.error(f"{word} is no command; {self._meant(args[place:])}")
                break
            flag, flags = word.partition("=")[0], self._option_string_actions
            if flag.startswith("--") and not any(known.startswith(flag) for known in flags):
                self.error(f"unknown option {flag}; {self._like(flag, flags)}")
        return super().parse_known_args(args, namespace)

    def _meant(self, words: Sequence[str]) -> str:
        """Return what to do about a first word that is no command."""
        medium = medium_of(Path(words[0]))
        if medium is None:
            return self._like(words[0], self.commands)
        end = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
        files = [*words[:end], *["STYLE"][: 2 - end]]
        output = {"audio": "out.wav", "image": "out.png"}[medium]
        return f"did you mean {self.prog} {medium} {shlex.join(files)} -o {output}?"

    def _like(self, word: str, known: Mapping[str, Any]) -> str:
        """Return what is most like a word, or how to see what there is."""
        found = get_close_matches(word, known, n=1, cutoff=SIMILAR)
        all_ = "--help-all" if self.shown else "--help"
        return f"did you mean {found[0]}?" if found else f"{self.prog} {all_} shows what there is"


class _HelpAll(argparse.Action):
    """Shows all."""

    def __init__(self, **kept: Any) -> None:
        super().__init__(default=argparse.SUPPRESS, **kept)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(argparse.ArgumentParser.format_help(parser), end="")
        parser.exit()
