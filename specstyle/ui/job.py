"""One job of the page: what was asked for, where it is, and its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from specstyle.files import atomic, write_json
from specstyle.films.film import film
from specstyle.onepass.apply import any_style, apply_request
from specstyle.onepass.stylefile import load_style
from specstyle.run.api import texture_request
from specstyle.run.checkpoint import FINISHED, RunFolder, resumed_job
from specstyle.run.request import Job, Request, Result
from specstyle.ui.settings import chosen, film_styles, points_of
from specstyle.ui.words import Refusal, plain

FORMAT = 2  # of ``job.json``
CURVE_POINTS = 300  # of a curve that is sent to a page

State = Literal["waiting", "running", "finishing", "stopped", "finished", "failed"]

SUFFIXES = {"audio": ".wav", "image": ".png", "film": ".mp4"}
_KEPT = (
    "number", "kind", "medium", "files", "settings", "state", "said", "notes", "results", "view", "began",
    "seconds",
)  # fmt: skip


@dataclass
class Live:
    """What is known of a job that runs, and what is wished of it."""

    state: dict[str, Any] = field(default_factory=dict)  # where it is
    picture: tuple[int, bytes] | None = None  # its step, and a PNG
    part: int = 0  # which of its runs is on
    asked: float | None = None  # when its end was asked for
    leave: bool = False  # whether the next server may go on with it
    at_once: bool = False  # whether to wait no more


@dataclass
class Entry:
    """A job in the list."""

    folder: Path  # its own; its name is the job's id
    number: int  # its place in the queue
    kind: str  # one of settings.KINDS
    medium: str  # audio or image
    files: list[dict[str, Any]]  # of content, styles, mask: stem, the user's name, the file, what it is
    settings: dict[str, Any]  # as settings.check_settings has them
    state: State = "waiting"
    said: str = ""  # why it was stopped or failed
    notes: list[str] = field(default_factory=list)  # what a user should know
    results: dict[str, dict[str, Any]] = field(default_factory=dict)  # what each is, as far as it is there
    view: dict[str, Any] = field(default_factory=dict)  # what of the content was heard
    began: str = ""  # when it was asked for, in ISO 8601
    seconds: float = 0.0  # that it has worked
    live: Live | None = None  # while it runs

    @property
    def id(self) -> str:
        """What the page calls it."""
        return self.folder.name

    @property
    def points(self) -> list[tuple[str, dict[str, Any]]]:
        """Title and own settings of each of its runs."""
        return points_of(self.settings, self.kind)

    def run_dir(self, place: int) -> Path:
        """Return the folder of a run."""
        return self.folder / f"run-{place}"

    def result(self, place: int) -> Path:
        """Return where the result of a run goes."""
        return self.run_dir(place) / f"result{SUFFIXES[self.medium]}"

    def _paths(self, stem: str) -> tuple[Path, ...]:
        return tuple(self.folder / f["file"] for f in self.files if f["stem"].startswith(stem))

    def request(self, place: int = 0) -> Request:
        """Return what a new run is asked for."""
        overrides = {**chosen(self.settings), **self.points[place][1]}
        seed, recipe = overrides.pop("seed", 0), self.settings.get("recipe", "default")
        styles, mask = self._paths("style"), self._paths("mask")
        if self.kind == "texture":
            request = texture_request(styles, overrides, medium=self.medium)
            return dataclasses.replace(request, recipe=recipe, seed=seed)
        masks: tuple[Path, ...] = ()
        if mask and self.medium == "audio":
            overrides["mask"] = str(mask[0])
        elif mask:
            masks = mask * max(len(styles), 1)
        (content,) = self._paths("content")
        asked = {"overrides": overrides, "seed": seed, "content_masks": masks, "recipe": recipe}
        return Request(self.medium, content, styles, **asked)

    def job(self, place: int) -> tuple[Job, Callable[..., Result] | None]:
        """Return a run, new or as its folder keeps it, and what makes it if that is a trained network."""
        run_dir = self.run_dir(place)
        if (run_dir / "run.json").exists():
            return resumed_job(run_dir)[0], None
        request, output = self.request(place), self.result(place)
        shown = {str((self.folder / file["file"]).absolute()): file["name"] for file in self.files}
        if self.kind != "once":
            return Job(request, output, force=True, report=True, run_dir=run_dir, shown=shown), None
        blend = {name: float(weight) for name, weight in self.settings.get("once", {}).items()}
        style = load_style(next(iter(blend))) if blend else any_style(*self._paths("style"))
        run = partial(apply_request, style=style, blend=blend)
        return Job(request, output, force=True, shown=shown), run

    def film(self, **rest: Any) -> None:
        """Make a film, or what is left of it."""
        (content,), run_dir = self._paths("content"), self.run_dir(0)
        styles: dict[str, Any] = {
            what: names[0] for what, names in film_styles(self.settings["once"]).items() if names
        }
        film(content, self.result(0), run_dir=run_dir, force=True, **styles, **rest)

    def plain(self, said: str | Exception) -> str:
        """Return a message with the user's names of the files."""
        names = {self.folder / file["file"]: file["name"] for file in self.files}
        return re.sub(re.escape(f"{self.folder}/run-") + r"\d+/", "", plain(said, names))

    def hear(self, live: Live, kind: str, *said: Any) -> None:
        """Take in what its worker tells."""
        if kind == "state":
            live.state = said[0]
        elif kind == "picture":
            live.picture = (said[0], said[1])
        elif kind == "part":
            live.part = said[0]
        elif kind == "note" and said[0] not in self.notes:  # the second part of a run says much again
            self.notes.append(said[0])
        elif kind == "stage":
            self.state = "finishing" if said[0] == "finish" else "running"
        elif kind == "shown":
            self.results[str(said[0])], self.view = said[1:]

    def save(self) -> None:
        """Write the job down."""
        values = {name: getattr(self, name) for name in _KEPT}
        with atomic(self.folder / "job.json") as temporary:
            write_json(temporary, {"format": FORMAT, **values})

    def brief(self) -> dict[str, Any]:
        """Return what the list shows."""
        live, kept = self.live, ("id", "number", "kind", "medium", "state", "began", "seconds", "settings")
        shown = f"result-{max(self.results)}" if self.results else self.files[0]["stem"]
        return {
            **{name: getattr(self, name) for name in kept},
            "content": "".join(self._names("content")) or "a texture",
            "styles": [*self._names("style"), *self.settings.get("once", ())],
            "parts": [title for title, _ in self.points],
            "thumbnail": f"{shown}.preview.png",
            **({} if live is None else {**live.state, "part": live.part, "stopping": live.asked is not None}),
        }

    def _names(self, stem: str) -> list[str]:
        return [file["name"] for file in self.files if file["stem"].startswith(stem)]

    def described(self) -> dict[str, Any]:
        """Return all that the page shows."""
        live = self.live  # the worker may take it away meanwhile
        picture = None if live is None or live.picture is None else live.picture[0]
        rows = self._rows(int(max(self.results, default="0")) if live is None else live.part)
        kept = {name: getattr(self, name) for name in ("files", "said", "notes", "results", "view")}
        return {**self.brief(), **kept, "picture": picture, "losses": curves(rows)}

    def _rows(self, place: int) -> list[dict[str, float]]:
        path = self.run_dir(place) / "metrics.jsonl"
        with contextlib.suppress(OSError, ValueError):
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return []

    def shown_file(self, name: str) -> tuple[Path, str | None]:
        """Return a file by what the page calls it, and the name to save it under; ``Refusal`` if none."""
        suffix, brief = SUFFIXES[self.medium], self.brief()
        content, *styles = (Path(name).stem for name in (brief["content"], *brief["styles"]))
        stem = f"{content} in the style of {' and '.join(styles)}"[:100]
        known: dict[str, tuple[Path, str | None]] = {"view.png": (self.folder / "view.png", None)}
        for place, (title, _) in enumerate(self.points):
            run, saved = self.run_dir(place), stem if len(self.points) == 1 else f"{stem} ({title})"
            known |= {
                f"result-{place}{suffix}": (self.result(place), f"{saved}{suffix}"),
                f"shown-{place}{suffix}": (self.result(place), None),
                f"record-{place}.json": (run / f"result{suffix}.json", f"{saved}.json"),
                f"recipe-{place}.toml": (run / "recipe.toml", f"{saved}.toml"),
                f"report-{place}.html": (run / "result.report.html", f"{saved}.html"),
            }
        known |= {file["stem"]: (self.folder / file["file"], file["name"]) for file in self.files}
        for stem in (*(file["stem"] for file in self.files), *(f"result-{i}" for i in self.results), "view"):
            for shown in ("preview.png", "listen.wav"):
                known[f"{stem}.{shown}"] = (self.folder / f"{stem}.{shown}", None)
        path, save_as = known.get(name, (None, None))
        if path is None or not path.is_file():
            raise Refusal("there is no such file", 404)
        return path, save_as


def curves(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the losses at some hundred steps at most, the last one among them."""
    rows = [row for i, row in enumerate(rows) if i == 0 or row["step"] > rows[i - 1]["step"]]
    stride = max(-(-len(rows) // CURVE_POINTS), 1)
    return rows[::-1][::stride][::-1]


def read(folder: Path) -> Entry:
    """Return the job that a folder keeps; whatever reading raises, or ``ValueError``, if there is none."""
    values = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    if values.get("format") != FORMAT:
        raise ValueError("of another version")
    return Entry(folder, **{name: values[name] for name in _KEPT})


def load(folder: Path) -> Entry | None:
    """Return the job that a folder keeps, stopped if it ran when the server ended; ``None`` if unreadable."""
    try:
        entry = read(folder)
        if entry.state in ("running", "finishing"):
            finished = len(entry.results) == len(entry.points) and (
                RunFolder(entry.run_dir(len(entry.points) - 1)).status == FINISHED
            )
            entry.state = "finished" if finished else "stopped"
            entry.said = "" if finished else "The server was ended while this ran."
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return entry
