"""The list of jobs, and the one worker that runs them in turn."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
from pathlib import Path
from typing import Any

from specstyle.errors import CheckpointError, SpecstyleError
from specstyle.run.cache import Cache
from specstyle.run.checkpoint import RunFolder
from specstyle.run.job import run_job
from specstyle.run.request import Result, TransferError
from specstyle.run.settle import settle_request
from specstyle.ui.job import Entry, State, load
from specstyle.ui.uploads import Upload, give, write_listenable
from specstyle.ui.watching import LeaveRun, Watch
from specstyle.ui.words import Limits, Refusal, said_of

END_S = 30.0
"""Seconds that the end of the server waits for the current step."""


class Jobs:
    """Runs jobs one after another, each in a folder of its own; what an earlier server left is listed again.

    Args:
        folder: Of the server; no other server may work there.
        limits: What is accepted.

    Raises:
        SpecstyleError: If the folder cannot be used.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder / "jobs", limits
        self._lock = _locked(folder)
        self._folder.mkdir(exist_ok=True)
        found = (load(path) for path in self._folder.iterdir())
        self._jobs = {entry.id: entry for entry in found if entry is not None}
        self._changed = threading.Condition()
        self._ends = False
        self._cache = Cache()
        self._worker = threading.Thread(target=self._work, name="specstyle-worker", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._worker.start()

    def close(self) -> None:
        """End: the job that runs is kept, and can be gone on with."""
        with self._changed:
            self._ends = True
            for entry in self._jobs.values():
                if entry.watch is not None and entry.state == "running":
                    entry.watch.ask_to_stop(leave=True)
            self._changed.notify_all()
        if self._worker.is_alive():
            self._worker.join(END_S)
        self._lock.close()

    # -- what the page asks for ------------------------------------------------------------------------------

    def add(self, content: Upload, styles: list[Upload], settings: dict[str, Any]) -> Entry:
        """Put a new job at the end of the queue.

        Raises:
            Refusal: If its parts do not fit together, or too many wait.
        """
        sources = (content, *styles)
        if len({upload.medium for upload in sources}) > 1:
            raise Refusal("a sound and a picture cannot be mixed; choose two sounds or two pictures")
        if not 1 <= len(styles) <= self._limits.styles:
            raise Refusal(f"choose 1 to {self._limits.styles} styles, got {len(styles)}")
        with self._changed:
            self._check_room()
            folder = self._folder / secrets.token_hex(8)
            folder.mkdir()
            stems = ["content", *(f"style-{i}" for i in range(1, len(sources)))]
            files = [
                {**upload.described(), "file": give(upload, folder, stem).name, "stem": stem}
                for upload, stem in zip(sources, stems, strict=True)
            ]
            entry = Entry(folder, self._next_number(), content.medium, files, settings)
            try:
                settle_request(entry.request())
            except (SpecstyleError, ValueError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise Refusal(said_of(error)) from error
            self._enqueue(entry)
        return entry

    def get(self, identity: str) -> Entry:
        """Return a job.

        Raises:
            Refusal: If there is none.
        """
        try:
            return self._jobs[identity]
        except KeyError:
            raise Refusal("there is no such job; it may have been removed", 404) from None

    def listed(self) -> list[dict[str, Any]]:
        """Return all jobs for the list, the newest first; those that wait with their place in the queue."""
        with self._changed:
            waiting = [entry.id for entry in self._waiting()]
            entries = sorted(self._jobs.values(), key=lambda entry: -entry.number)
            briefs = [entry.brief() for entry in entries]
        for brief in briefs:
            if brief["state"] == "waiting":
                brief["position"] = waiting.index(brief["id"]) + 1
        return briefs

    def stop(self, identity: str) -> None:
        """End a job with the best result so far, or take it out of the queue.

        Raises:
            Refusal: If it neither waits nor runs.
        """
        with self._changed:
            entry = self.get(identity)
            if entry.state == "waiting":
                entry.state, entry.said = "stopped", "Taken out of the queue."
                entry.save()
            elif entry.state == "running" and entry.watch is not None:
                entry.watch.ask_to_stop()
            else:
                raise Refusal(f"this job is {entry.state}; there is nothing to stop", 409)

    def go_on(self, identity: str) -> None:
        """Put a stopped job into the queue again.

        Raises:
            Refusal: If it was not stopped, or too many wait.
        """
        with self._changed:
            entry = self.get(identity)
            if entry.state != "stopped":
                raise Refusal(f"this job is {entry.state}; only a stopped one can be gone on with", 409)
            self._check_room()
            entry.number = self._next_number()
            self._enqueue(entry)

    def remove(self, identity: str) -> None:
        """Delete a job and its files.

        Raises:
            Refusal: If it runs.
        """
        with self._changed:
            entry = self.get(identity)
            if entry.state in ("running", "finishing"):
                raise Refusal("this job is running; stop it first", 409)
            del self._jobs[identity]
        shutil.rmtree(entry.folder, ignore_errors=True)

    # -- the queue -------------------------------------------------------------------------------------------

    def _waiting(self) -> list[Entry]:
        waiting = [entry for entry in self._jobs.values() if entry.state == "waiting"]
        return sorted(waiting, key=lambda entry: entry.number)

    def _next_number(self) -> int:
        return max((entry.number for entry in self._jobs.values()), default=0) + 1

    def _check_room(self) -> None:
        if len(self._waiting()) >= self._limits.waiting:
            raise Refusal(f"{self._limits.waiting} jobs wait already; try again when one is done", 429)

    def _enqueue(self, entry: Entry) -> None:
        entry.state, entry.said, entry.watch = "waiting", "", None
        entry.save()
        self._jobs[entry.id] = entry
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._ends and not self._waiting():
                    self._changed.wait()
                if self._ends:
                    return
                entry = self._waiting()[0]
                try:
                    recipe, _ = settle_request(entry.request())
                except Exception as error:  # of another version, say: the worker goes on with the next
                    entry.state, entry.said = "failed", entry.plain(said_of(error))
                    continue
                entry.state = "running"
                entry.watch = Watch(entry.medium, recipe, self._limits.minutes * 60)
            self._run(entry, entry.watch)

    def _run(self, entry: Entry, watch: Watch) -> None:
        """Run a job to its end, whatever that is."""
        try:
            entry.save()
            result, _ = run_job(
                entry.job(),
                on_step=watch,
                on_note=entry.note,
                on_stage=lambda stage: self._enter(entry, stage),
                cache=self._cache,
                keep_now=watch.keep_now,
            )
            _write_copy(entry, result)
            end = self._end_of(result, watch)
            if end[0] == "finished":  # it may be large, and nothing goes on from it
                (entry.folder / "run" / "checkpoint.pt").unlink(missing_ok=True)
        except LeaveRun:
            return  # as it is kept: the next server finds it
        except Exception as error:  # a job that fails must not end the worker
            if isinstance(error, TransferError) and error.result is not None:
                _write_copy(entry, error.result)
            end = ("failed", entry.plain(said_of(error)))
        with self._changed:
            entry.state, entry.said = end
            entry.watch = None
            with contextlib.suppress(SpecstyleError):  # the disk is full: the list still tells
                entry.save()

    def _enter(self, entry: Entry, stage: str) -> None:
        with self._changed:
            entry.state = "finishing" if stage == "finish" else "running"

    def _end_of(self, result: Result, watch: Watch) -> tuple[State, str]:
        if not result.record["stopped"]:
            return "finished", ""
        step = result.record["steps"]
        if watch.out_of_time:
            minutes = f"{self._limits.minutes:g} minute{'' if self._limits.minutes == 1 else 's'}"
            return "stopped", (
                f"Stopped at step {step} after {minutes}, the most that this server gives one job. "
                "This is the best result so far; Go on gives it as long again."
            )
        return "stopped", f"Stopped at step {step}. This is the best result so far."


def _write_copy(entry: Entry, result: Result) -> None:
    if entry.medium == "audio":
        write_listenable(result.output, entry.folder / "result.listen.wav")


def _locked(folder: Path) -> RunFolder:
    """Make a folder that is this server's alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = RunFolder(folder)
        lock.lock()
    except CheckpointError as error:
        raise SpecstyleError(
            f"{folder}: another specstyle ui works there; use its page, or name another --folder"
        ) from error
    except OSError as error:
        raise SpecstyleError(f"{folder}: cannot be used: {error.strerror}; name another --folder") from error
    return lock
