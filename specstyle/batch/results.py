"""What became of each job: told in a table from the first to the last, and found again by a second call.

What comes of a sweep besides: its own table, a picture of all results, and a page with players.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from specstyle.batch.jobs import Task
from specstyle.batch.sweep import Sweep
from specstyle.errors import FileError
from specstyle.evaluate import score_folder, write_csv
from specstyle.figures import contact_sheet
from specstyle.files import atomic, sha256_of
from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound
from specstyle.pages import panel_of, render
from specstyle.recipes import files_of, to_dict
from specstyle.recipes.files import up_to_date
from specstyle.run.api import ignore
from specstyle.run.outputs import panel_titles, thumbnail
from specstyle.run.record import files_recorded

SHOWN = {"snr_mean": "mean", "snr_var": "variance", "snr_mod": "modulation", "onset": "onset", "copy": "copy"}
"""Scores that the page of a sweep shows, with what it calls them."""

_READ: dict[str, Callable[[Path], Any]] = {"audio": read_sound, "image": read_picture}

Status = Literal["waiting", "done", "skipped", "differs", "failed", "died"]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The task's number: its count in the list, from 1.
        output: Its output, as the list has it.
        status: ``waiting``: not run yet; ``skipped``: was finished before; ``differs``: another job's result
            is there; ``failed``: see ``error``; ``died``: its worker ended, or a fresh one may do better.
        seconds: Of the run.
        steps: Evaluations made.
        total_loss_start: Weighted loss at the start.
        total_loss_end: At the end.
        style_loss_end: The style's part of it.
        error: What went wrong, in one line.
    """

    job: int
    output: str
    status: Status
    seconds: float | None = None
    steps: int | None = None
    total_loss_start: float | None = None
    total_loss_end: float | None = None
    style_loss_end: float | None = None
    error: str = ""


def outcome_of(task: Task, status: Status, record: dict[str, Any] | None = None, error: str = "") -> Outcome:
    """Return a task's outcome, with the figures of its record if there is one."""
    record = record or {}
    losses = record.get("losses", {})
    start, end = losses.get("start", {}), losses.get("end", {})
    return Outcome(
        task.number,
        task.name,
        status,
        record.get("seconds"),
        record.get("steps"),
        start.get("total"),
        end.get("total"),
        end.get("style"),
        error,
    )


class Table:
    """The outcomes of all jobs, written as CSV whenever one changes.

    Args:
        path: The file.
        tasks: The jobs.
    """

    def __init__(self, path: Path, tasks: Sequence[Task]) -> None:
        self.path = path
        self._outcomes = {task.number: outcome_of(task, "waiting") for task in tasks}

    def set(self, *outcomes: Outcome) -> None:
        """Take note of outcomes, and write the file whole or not at all.

        Raises:
            FileError: If it cannot be written.
        """
        self._outcomes.update((outcome.job, outcome) for outcome in outcomes)
        write_csv([asdict(outcome) for outcome in self.outcomes()], self.path)

    def outcomes(self) -> list[Outcome]:
        """Return them in the order of the tasks."""
        return list(self._outcomes.values())

    def count(self) -> Counter[str]:
        """Return how many jobs there are of each status."""
        return Counter(outcome.status for outcome in self._outcomes.values())

    def told(self) -> str:
        """Return how many jobs there are of each status, in words."""
        return ", ".join(f"{number} {status}" for status, number in sorted(self.count().items()))

    def finished(self) -> bool:
        """Return whether all jobs are done."""
        return set(self.count()) <= {"done", "skipped"}

    def format(self) -> str:
        """Return the table for a reader's eyes."""
        head = ("job", "output", "status", "seconds", "steps", "total loss", "style loss", "")
        rows = [head, *(_row(outcome) for outcome in self._outcomes.values())]
        signs = "><<>><<<"
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map("{:{}{}}".format, row, signs, widths)).rstrip() for row in rows)


def _row(outcome: Outcome) -> tuple[str, ...]:
    start, end = outcome.total_loss_start, outcome.total_loss_end
    return (
        str(outcome.job),
        outcome.output,
        outcome.status,
        "" if outcome.seconds is None else f"{outcome.seconds:.1f}",
        "" if outcome.steps is None else str(outcome.steps),
        "" if start is None or end is None else f"{start:.4g} -> {end:.4g}",
        "" if outcome.style_loss_end is None else f"{outcome.style_loss_end:.4g}",
        outcome.error,
    )


def state_of(task: Task) -> Outcome:
    """Return whether a checked task has to be run.

    Its output counts as finished if the record beside it tells of the same job: the same bytes of content,
    styles, weights and start, the same recipe in full, the same seed.

    Returns:
        ``waiting``, ``skipped`` or ``differs``.
    """
    if not task.job.output.exists():
        return outcome_of(task, "waiting")
    try:
        record = json.loads(task.job.record_path.read_text(encoding="utf-8"))
        different = [name for name, (asked, found) in _both(task, record).items() if asked != found]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = f"exists without a record of how it was made ({task.job.record_path.name})"
        return outcome_of(task, "differs", error=f"{said}; --force replaces it")
    if different:
        said = f"exists, made by another job: not the same {', '.join(different)}; --force replaces it"
        return outcome_of(task, "differs", error=said)
    if record.get("failed"):
        return outcome_of(task, "waiting")
    if record.get("stopped"):
        said = f"exists, stopped at step {record['steps']}; --force makes it anew"
        return outcome_of(task, "differs", error=said)
    return outcome_of(task, "skipped", record)


def _both(task: Task, record: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what was asked for and what the record says, by what it is."""
    request, recipe = task.job.request, task.recipe
    assert recipe is not None  # of a checked task
    files = files_of(recipe)
    # Where a file is does not matter, only what is in it.
    asked, found = json.loads(json.dumps(to_dict(recipe))), up_to_date(record["recipe"], ignore)
    found.update({name: asked[name] for name in files if name in record})
    compared = {"medium": (request.medium, record["medium"]), "seed": (request.seed, record["seed"])}
    inputs = files_recorded(task.job)
    for name in ("content", "styles", "content_masks", "style_masks", "weights"):
        said = "weights" if name == "weights" else name.removesuffix("s").replace("_", " ")
        compared[said] = _hashes(inputs.get(name)), _hashes(record.get(name))
    for name, what in (("init", "start"), ("mask", "mask")):
        compared[what] = name in files and sha256_of(files[name]), record.get(name, {}).get("sha256", False)
    names = sorted({*asked, *found} - {"name", "source"} - {*compared})
    return compared | {name: (asked.get(name), found.get(name)) for name in names}


def _hashes(files: Any) -> Any:
    """Return the hash of a file in a record, or of each in a list of them."""
    return [_hashes(file) for file in files] if isinstance(files, list) else files and files.get("sha256")


def measure(sweep: Sweep, folder: Path, on_skip: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Return the scores of a sweep's sounds against content and first style, by the name of the result.

    For pictures there are none; ``on_skip`` is told of each sound that cannot be scored.
    """
    if sweep.medium != "audio":
        return {}
    with contextlib.suppress(FileError):  # there is none
        return {row.pop("file"): row for row in score_folder(folder, on_skip=on_skip)}
    return {}


def write_table(
    path: Path, sweep: Sweep, outcomes: Sequence[Outcome], scores: dict[str, dict[str, Any]]
) -> None:
    """Write a row for each point: its values, what became of it, and what was measured.

    Raises:
        FileError: If it cannot be written.
    """
    axes = dict.fromkeys((name for point in sweep.points for name, _ in point), "")
    measured = dict.fromkeys(next(iter(scores.values()), {}))
    rows = []
    for point, outcome in zip(sweep.points, outcomes, strict=True):
        told = asdict(outcome)
        del told["job"]
        rows.append(axes | dict(point) | told | measured | scores.get(outcome.output, {}))
    write_csv(rows, path)


def write_sheet(
    folder: Path, sweep: Sweep, outcomes: Sequence[Outcome], scores: dict[str, dict[str, Any]]
) -> list[Path]:
    """Write ``sheet.png`` and, one file that needs no other, ``sheet.html`` with the inputs and each result.

    Returns:
        The files written.

    Raises:
        FileError: If one cannot be written, or an input cannot be read.
    """
    inputs = list(zip(panel_titles(len(sweep.styles)), (sweep.content, *sweep.styles), strict=False))
    results = [(title, folder / o.output, o.error) for title, o in zip(sweep.titles, outcomes, strict=True)]
    there = [(title, path) for title, path, error in results if path.exists() and not error]
    panels = {path: thumbnail(sweep.medium, path) for _, path in [*inputs, *there]}
    written = [folder / "sheet.html"]
    if there:
        written.insert(0, folder / "sheet.png")
        first = inputs[:1] if sweep.with_content else []
        cells = [(title.replace(", ", "\n"), panels[path]) for title, path in [*first, *there]]
        with atomic(written[0]) as temporary:
            contact_sheet(cells, temporary, columns=sweep.columns)
    shown = [*inputs, *there]
    embedded = [panel_of(sweep.medium, title, _READ[sweep.medium](path), small=True) for title, path in shown]
    embedded[min(len(inputs), len(shown) - 1)]["first"] = True
    page = render(
        Path(__file__).parent / "pages" / "sheet.html",
        sweep=sweep,
        medium={"audio": "sound", "image": "picture"}[sweep.medium],
        head=["result", *(SHOWN.values() if scores else ())],
        rows=[_page_row(folder, title, path, error, scores) for title, path, error in results],
        data={"medium": sweep.medium, "panels": embedded},
    )
    with atomic(written[-1]) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return written


def _page_row(
    folder: Path, title: str, path: Path, error: str, scores: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return a result as a row of the page's table."""
    own, record = scores.get(path.name), path.with_name(path.name + ".json")
    there = path.exists() and not error
    return {
        "title": title,
        "scores": [f"{own[name]:.2f}" if own else "" for name in SHOWN] if scores else [],
        "error": "" if there else error or "not made yet",
        "links": {p.name: quote(str(p.relative_to(folder))) for p in (path, record) if there and p.exists()},
    }
