"""One job of the page: what was asked for, where it is, and its folder."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from specstyle.files import atomic, write_json
from specstyle.run.checkpoint import FINISHED, RunFolder, resumed_job
from specstyle.run.request import Job, Request
from specstyle.ui.settings import request_fields
from specstyle.ui.uploads import SHOWN
from specstyle.ui.watching import Watch, curves, main_losses
from specstyle.ui.words import Refusal, plain

FORMAT = 1
"""Of ``job.json``."""

State = Literal["waiting", "running", "finishing", "stopped", "finished", "failed"]

_SUFFIX = {"audio": ".wav", "image": ".png"}
_KEPT = ("number", "medium", "files", "settings", "state", "said", "notes")


@dataclass
class Entry:
    """A job in the list.

    Attributes:
        folder: Its own; its name is the job's id.
        number: Its place in the queue.
        medium: ``audio`` or ``image``.
        files: Of the content and then each style: the user's ``name``, the ``file`` here, and what it is.
        settings: What was chosen, see ``settings.CHOICES``.
        state: What it does.
        said: Why it was stopped or failed.
        notes: What a user should know.
        watch: Looks on while it runs.
    """

    folder: Path
    number: int
    medium: str
    files: list[dict[str, Any]]
    settings: dict[str, Any]
    state: State = "waiting"
    said: str = ""
    notes: list[str] = field(default_factory=list)
    watch: Watch | None = None

    @property
    def id(self) -> str:
        """What the page calls it."""
        return self.folder.name

    @property
    def result(self) -> Path:
        """Where the result goes."""
        return self.folder / "run" / f"result{_SUFFIX[self.medium]}"

    def request(self) -> Request:
        """Return what a new run is asked for."""
        content, *styles = (self.folder / file["file"] for file in self.files)
        return Request(self.medium, content, tuple(styles), **request_fields(self.settings))

    def job(self) -> Job:
        """Return the run: a new one, or the one that the folder keeps."""
        run_dir = self.folder / "run"
        if (run_dir / "run.json").exists():
            return resumed_job(run_dir)[0]
        shown = {str((self.folder / file["file"]).absolute()): file["name"] for file in self.files}
        return Job(
            self.request(), self.result, force=True, plot=True, report=True, run_dir=run_dir, shown=shown
        )

    def plain(self, text: str) -> str:
        """Return a message with the user's names of the files."""
        names = {self.folder / file["file"]: file["name"] for file in self.files}
        return plain(text.replace(f"{self.folder}/run/", ""), names)

    def note(self, text: str) -> None:
        """Take in what a user should know; the second part of a run says much of it again."""
        said = self.plain(text)
        if said not in self.notes:
            self.notes.append(said)

    def save(self) -> None:
        """Write the job down."""
        values = {name: getattr(self, name) for name in _KEPT}
        with atomic(self.folder / "job.json") as temporary:
            write_json(temporary, {"format": FORMAT, **values})

    def brief(self) -> dict[str, Any]:
        """Return what the list shows."""
        content, *styles = (file["name"] for file in self.files)
        watch = self.watch  # the worker may take it away meanwhile
        run = {} if watch is None else watch.state()
        return {
            "id": self.id,
            "number": self.number,
            "medium": self.medium,
            "content": content,
            "styles": styles,
            "state": self.state,
            **{name: run[name] for name in ("step", "steps") if name in run},
        }

    def described(self) -> dict[str, Any]:
        """Return all that the page shows; whoever asks is looking."""
        watch = self.watch
        if watch is not None:
            watch.look()
        run = {} if watch is None else watch.state()
        rows = self._rows_on_disk() if watch is None else watch.rows()
        return {
            **self.brief(),
            **run,
            "files": self.files,
            "settings": self.settings,
            "said": self.said,
            "notes": self.notes,
            "losses": curves(rows),
            "has_result": self.result.exists(),
            "has_figure": (self.folder / "run" / "result.figure.png").exists(),
        }

    def _rows_on_disk(self) -> list[dict[str, float]]:
        rows = []
        with contextlib.suppress(OSError, ValueError):
            for line in (self.folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                rows.append({"step": row.pop("step"), **main_losses(row)})
        return rows

    def shown_file(self, name: str) -> tuple[Path, str | None]:
        """Return a file of the job by what the page calls it, and the name to save it under, if any.

        Raises:
            Refusal: If there is none.
        """
        run, suffix = self.folder / "run", _SUFFIX[self.medium]
        stems = [Path(file["name"]).stem for file in self.files]
        saved = f"{stems[0]} in the style of {' and '.join(stems[1:])}"[:100]
        known: dict[str, tuple[Path, str | None]] = {
            "figure.png": (run / "result.figure.png", None),
            "preview.png": (self.result, None),
            "listen.wav": (self.folder / "result.listen.wav", None),
            f"result{suffix}": (self.result, f"{saved}{suffix}"),
            "record.json": (run / f"result{suffix}.json", f"{saved}.json"),
            "recipe.toml": (run / "recipe.toml", f"{saved}.toml"),
            "report.html": (run / "result.report.html", f"{saved}.html"),
        }
        for file in self.files:
            stem = Path(file["file"]).stem
            known |= {f"{stem}.{shown}": (self.folder / f"{stem}.{shown}", None) for shown in SHOWN}
        path, save_as = known.get(name, (None, None))
        if path is None or not path.is_file():
            raise Refusal("there is no such file", 404)
        return path, save_as


def load(folder: Path) -> Entry | None:
    """Return the job that a folder keeps, ``None`` if there is none that can be read.

    One that ran when the server ended is stopped now.
    """
    try:
        values = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        if values.get("format") != FORMAT:
            return None
        entry = Entry(folder, **{name: values[name] for name in _KEPT})
        if entry.state in ("running", "finishing"):
            finished = RunFolder(folder / "run").status == FINISHED
            entry.state = "finished" if finished else "stopped"
            entry.said = "" if finished else "The server was ended while this ran."
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return entry
