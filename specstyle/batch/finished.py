"""Which jobs of a list are finished already."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from specstyle.batch.jobs import Task
from specstyle.batch.table import Outcome, outcome_of
from specstyle.files import sha256_of
from specstyle.recipes import files_of, to_dict


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
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
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
    if recipe is None:
        raise ValueError("check the task first")
    files = files_of(recipe)
    # Where a file is does not matter, only what is in it.
    asked, found = json.loads(json.dumps(to_dict(recipe))), dict(record["recipe"])
    found.update({name: asked[name] for name in files if name in record})
    compared = {
        "medium": (request.medium, record["medium"]),
        "content": (_sha256(request.content), record["content"].get("sha256")),
        "style": ([_sha256(s) for s in request.styles], [s.get("sha256") for s in record["styles"]]),
        "seed": (request.seed, record["seed"]),
        "start": _hashes("init", files, record),
        "mask": _hashes("mask", files, record),
    }
    for kind, masks in (("content", request.content_masks), ("style", request.style_masks)):
        told = [mask and mask.get("sha256") for mask in record.get(f"{kind}_masks", ())]
        compared[f"{kind} mask"] = ([None if m == "all" else _sha256(m) for m in masks], told)
    if request.weights is not None:
        compared["weights"] = (_sha256(request.weights), record["network"]["sha256"])
    names = sorted({*asked, *found} - {"name", "source"} - {*compared})
    return compared | {name: (asked.get(name), found.get(name)) for name in names}


def _hashes(name: str, files: dict[str, Path], record: dict[str, Any]) -> tuple[Any, Any]:
    """Return the hash of a file that a recipe names, as it is and as the record has it."""
    return name in files and _sha256(files[name]), record.get(name, {}).get("sha256", False)


@lru_cache(maxsize=4096)
def _hash(path: Path, modified_ns: int, size: int) -> str:
    return sha256_of(path)


def _sha256(path: Path) -> str:
    """Hash a file once for all jobs that have it."""
    stat = path.stat()
    return _hash(path, stat.st_mtime_ns, stat.st_size)
