"""The command ``batch`` as a process, and the processes that it starts."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from commands import environment


class Batch:
    """A running ``specstyle batch``, whose lines on stderr can be waited for."""

    def __init__(self, *argv: str | Path, folder: Path, **more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "specstyle", "batch", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment(folder, **more),
        )
        self.err: list[str] = []

    def wait_for(self, words: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.err.append(line)
            if words in line:
                return
        raise AssertionError(f"ended without {words!r}: {''.join(self.err)}")

    def end(self, timeout_s: float = 90.0) -> tuple[int, str, str]:
        """Wait for its end; return exit code, stdout and stderr."""
        out, rest = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out, "".join(self.err) + rest


@contextlib.contextmanager
def batch(*argv: str | Path, folder: Path, **more: str) -> Iterator[Batch]:
    """Start a batch; kill it at the end if it still runs."""
    running = Batch(*argv, folder=folder, **more)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.end()


def until(found: Callable[[], list[int]], timeout_s: float = 30.0) -> list[int]:
    """Return what a search finds, as soon as it finds something."""
    end = time.monotonic() + timeout_s
    while not (seen := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return seen


def with_marker(marker: str, words: str) -> list[int]:
    """Return the processes that have a text in their environment and one in their command line."""
    seen = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if words.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" ") and (
                marker.encode() in (entry / "environ").read_bytes()
            ):
                seen.append(int(entry.name))
    return seen
