"""What the page says when something is wrong: plain words, without paths of this machine or flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from specstyle.errors import explain


class Refusal(Exception):  # noqa: N818 (it is an answer, not a fault)
    """A request that is not served, and why.

    Attributes:
        status: Of HTTP.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def plain(text: str, names: Mapping[Path, str] | None = None) -> str:
    """Return a message of specstyle as it reads on a page.

    Args:
        text: The message.
        names: What the user calls each file.
    """
    for path, name in (names or {}).items():
        text = text.replace(str(path), name).replace(path.name, name)
    text = re.sub(r"; use `specstyle \w+` for \w+", "", text).replace("Ctrl-C keeps", "Stop keeps")
    text = text.replace(" (--debug shows where)", "")
    return re.sub(r"(?<!\S)--([a-z][a-z-]*)", lambda found: found[1].replace("-", " "), text)


def said_of(error: Exception, names: Mapping[Path, str] | None = None) -> str:
    """Return what to tell a page's user of an error."""
    return str(error) if isinstance(error, Refusal) else plain(explain(error), names)
