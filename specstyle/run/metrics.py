"""The losses of a run, step by step, in a file of one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TextIO

from specstyle.errors import FileError
from specstyle.run.output import atomic
from specstyle.run.request import Progress, Result


class Metrics:
    """Keeps what each reported step told: ``step``, ``scale`` and the weighted losses by name.

    Times are left out, so that a run that was interrupted leaves the same file as one that was not.

    Args:
        path: The file; ``None``: memory alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._file: TextIO | None = None
        self.rows: list[dict[str, Any]] = []

    def go_back(self, step: int) -> None:
        """Forget what was told after a step, and what a kill left half written.

        Raises:
            FileError: If the file cannot be read or written.
        """
        self.rows = []
        if self._path is None:
            return
        try:
            lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
            for line in lines:
                row = _row(line)
                if row is None or row["step"] > step:
                    break
                self.rows.append(row)
            # A kill in between must leave the old lines or the new ones.
            with atomic(self._path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise FileError(f"{self._path}: cannot be written: {error.strerror}") from error

    def __call__(self, progress: Progress) -> None:
        """Take in a step."""
        row = {"step": progress.step, "scale": progress.scale, **progress.losses}
        self.rows.append(row)
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")

    def finish(self, result: Result) -> list[Path]:
        """Return the file, if there is one."""
        self.sync()
        return [] if self._path is None else [self._path]

    def sync(self) -> None:
        """Bring all of it to the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the rest, and end."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


def _row(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, ``None`` if it is empty or was cut."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
