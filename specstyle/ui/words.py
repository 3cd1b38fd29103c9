"""What the page's server accepts, and what it says when something is wrong, in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException

from specstyle.errors import explain


@dataclass(frozen=True)
class Limits:
    """Bounds, so that a slip does not fill the disk or the day; a megabyte has 10^6 bytes."""

    upload_mb: float = 200.0  # of one file
    waiting: int = 20  # jobs in the queue
    styles: int = 8  # of one job
    sound_minutes: float = 30.0  # of one sound
    kept_mb: float = 4000.0  # of all files that may still become part of a job
    job_minutes: float = float("inf")  # that a job may run before it is stopped
    idle_s: float = 30.0  # that a connection may stay silent while something is awaited from it

    def __post_init__(self) -> None:
        if not 0 < self.upload_mb < float("inf"):
            raise ValueError(f"--max-upload-mb must be above 0, got {self.upload_mb:g}")
        if not self.job_minutes > 0:
            raise ValueError(f"--max-minutes must be above 0, got {self.job_minutes:g}")


class Refusal(HTTPException):
    """A request that is not served: why, its status of HTTP, and what of the form it is about, if known."""

    def __init__(self, message: str, status: int = 400, *, field: str = "") -> None:
        super().__init__(status, message)
        self.field = field


def plain(text: str | Exception, names: Mapping[Path, str] | None = None) -> str:
    """Return a message of specstyle as it reads on a page; ``names`` has what the user calls each file."""
    text = explain(text) if isinstance(text, Exception) else text
    said = {said: name for path, name in (names or {}).items() for said in (str(path), path.name)}
    if said:  # in one pass: a user's name for one file may be what another is called here
        known = "|".join(re.escape(one) for one in sorted(said, key=len, reverse=True))
        text = re.sub(known, lambda found: said[found[0]], text)
    text = re.sub(r"; use `specstyle \w+` for \w+", "", text).replace("Ctrl-C keeps", "Stop keeps")
    text = text.replace(" (--debug shows where)", "")
    return re.sub(r"(?<!\S)--([a-z][a-z-]*)", lambda found: found[1].replace("-", " "), text)
