"""The list of jobs, and the two workers that run them: one what takes a second, one what is optimized."""

from __future__ import annotations

import contextlib
import multiprocessing
import secrets
import shutil
import threading
import time
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from specstyle.errors import CheckpointError, SpecstyleError
from specstyle.onepass.apply import settled
from specstyle.run.checkpoint import RunFolder
from specstyle.run.memory import foreseen_s
from specstyle.run.settle import settle_request
from specstyle.ui.job import Entry, Live, State, load
from specstyle.ui.settings import KINDS, check_settings, field_named, shipped_styles
from specstyle.ui.uploads import Uploads, give
from specstyle.ui.watching import work
from specstyle.ui.words import Limits, Refusal

END_S = 30.0  # seconds that the end of the server, or of a job that shall stop, waits for the current step
FINISH_S = 300.0  # seconds that the end of a job waits for its result to be made


class Jobs:
    """Runs jobs one after another, each in a folder of its own; what an earlier server left is listed again.

    Args:
        folder: Of the server.
        limits: What is accepted.
        uploads: What jobs are made of.
    """

    def __init__(self, folder: Path, limits: Limits, uploads: Uploads) -> None:
        self._folder, self._limits, self._uploads = folder / "jobs", limits, uploads
        self._folder.mkdir(exist_ok=True)
        found = (load(path) for path in self._folder.iterdir())
        self._jobs = {entry.id: entry for entry in found if entry is not None}
        self._changed, self._measuring = threading.Condition(), threading.Lock()
        self._ends = False
        self._workers = [threading.Thread(target=self._work, args=(lane,), daemon=True) for lane in (0, 1)]

    def start(self) -> None:
        """Begin to work."""
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        """End: the job that runs is kept, and can be gone on with."""
        with self._changed:
            self._ends = True
            for entry in self._jobs.values():
                if entry.live is not None:
                    entry.live.asked, entry.live.leave = time.monotonic(), True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join(END_S + 5.0)

    # -- what the page asks for ------------------------------------------------------------------------------

    def _entry(self, asked: dict[str, Any], folder: Path) -> Entry:
        """Return a job whose files are still where they were sent to; ``Refusal`` if they do not fit."""
        kind, styles = str(asked.get("kind", "style")), asked.get("styles", [])
        if kind not in KINDS or not isinstance(styles, list):
            raise Refusal(f"kind: expected one of {', '.join(KINDS)}; styles: a list of chosen files")
        if (asked.get("content") is None) != (kind == "texture"):
            raise Refusal("choose a content for all but a texture", field="content")
        least, most = {"once": (0, 1), "film": (0, 0)}.get(kind, (1, self._limits.styles))
        if not least <= len(styles) <= most:
            raise Refusal(f"choose {least} to {most} styles, got {len(styles)}", field="style")
        given = {f"style-{i}": self._uploads.get(one) for i, one in enumerate(styles, 1)}
        one = {
            stem: self._uploads.get(asked[stem])
            for stem in ("content", "mask")
            if asked.get(stem) is not None
        }
        media = [upload.medium for stem, upload in {**one, **given}.items() if stem != "mask"]
        if (kind == "film") != ("film" in media):
            raise Refusal("a film is stylized in its own tab, and nothing else is", field="content")
        if len({*media}) > 1 or ("mask" in one and one["mask"].medium != "image"):
            said = "a sound and a picture cannot be mixed; choose two sounds or two pictures"
            raise Refusal(said, field="style")
        files = [
            {**upload.described(), "stem": stem, "file": f"{upload.id}/{upload.path.name}"}
            for stem, upload in sorted({**one, **given}.items(), key=lambda item: item[0] == "mask")
        ]
        settings = check_settings(asked.get("settings", {}), kind, media[0], own=bool(styles))
        entry = Entry(folder, 0, kind, media[0], files, settings)
        try:
            for place in range(len(entry.points)):
                if kind == "once":
                    settled(shipped_styles(media[0])[0], entry.request().overrides)
                elif kind != "film":
                    settle_request(entry.request(place))
        except (SpecstyleError, ValueError) as error:
            raise Refusal(entry.plain(error), field=field_named(str(error))) from error
        return entry

    def add(self, asked: dict[str, Any]) -> Entry:
        """Put a new job at the end of the queue; ``Refusal`` if it cannot be run, or too many wait."""
        entry = self._entry(asked, folder := self._folder / secrets.token_hex(8))
        folder.mkdir()
        try:
            for file in entry.files:
                file["file"] = give(self._uploads.get(file["id"]), folder, file["stem"]).name
            entry.began = datetime.now().astimezone().isoformat(timespec="seconds")
            self._enqueue(entry)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise Refusal(f"the job cannot be kept: {error.strerror}; make room", 507) from error
            raise
        return entry

    def foreseen_s(self, asked: dict[str, Any]) -> float | None:
        """Return how long a job will take, ``None`` for what takes no time; ``Refusal`` if it would fail."""
        entry = self._entry(asked, self._uploads.folder)
        if entry.kind in ("once", "film"):
            return None
        with self._measuring:
            try:
                return sum(foreseen_s(entry.request(place)) for place in range(len(entry.points)))
            except (SpecstyleError, ValueError, OSError) as error:
                raise Refusal(entry.plain(error), field=field_named(str(error))) from error

    def get(self, identity: str) -> Entry:
        """Return a job, ``Refusal`` if there is none."""
        entry = self._jobs.get(identity)
        if entry is None:
            raise Refusal("there is no such job; it may have been removed", 404)
        return entry

    def listed(self) -> list[dict[str, Any]]:
        """Return all jobs for the list, the newest first; those that wait with their place in the queue."""
        with self._changed:
            places = {entry.id: i for lane in (0, 1) for i, entry in enumerate(self._waiting(lane), 1)}
            entries = sorted(self._jobs.values(), key=lambda entry: -entry.number)
            return [{**entry.brief(), "position": places.get(entry.id)} for entry in entries]

    def stop(self, identity: str) -> None:
        """End a job with the best result so far, or take it out of the queue; a second time, at once."""
        with self._changed:
            entry = self.get(identity)
            if entry.state == "waiting":
                entry.state, entry.said = "stopped", "Taken out of the queue."
                entry.save()
            elif (live := entry.live) is not None:
                live.at_once = live.asked is not None
                live.asked = live.asked or time.monotonic()
            else:
                raise Refusal(f"this job is {entry.state}; there is nothing to stop", 409)

    def go_on(self, identity: str) -> None:
        """Put a stopped job into the queue again."""
        with self._changed:
            entry = self.get(identity)
            if entry.state != "stopped":
                raise Refusal(f"this job is {entry.state}; only a stopped one can be gone on with", 409)
            self._enqueue(entry)

    def remove(self, identity: str) -> None:
        """Delete a job and its files, unless it runs."""
        with self._changed:
            entry = self.get(identity)
            if entry.live is not None:
                raise Refusal("this job is running; stop it first", 409)
            del self._jobs[identity]
        shutil.rmtree(entry.folder, ignore_errors=True)

    # -- the queue -------------------------------------------------------------------------------------------

    def _waiting(self, *lanes: int) -> list[Entry]:
        waiting = (one for one in self._jobs.values() if one.state == "waiting")
        return sorted((one for one in waiting if (one.kind == "once") in lanes), key=lambda one: one.number)

    def _enqueue(self, entry: Entry) -> None:
        with self._changed:
            if len(self._waiting(0, 1)) >= self._limits.waiting:
                raise Refusal(f"{self._limits.waiting} jobs wait already; try again when one is done", 429)
            entry.number = max((one.number for one in self._jobs.values()), default=0) + 1
            entry.state, entry.said = "waiting", ""
            entry.save()
            self._jobs[entry.id] = entry
            self._changed.notify_all()

    def _work(self, lane: int) -> None:
        process = Process()
        with contextlib.suppress(OSError):  # the first job tries again, and tells
            process.line()  # so that it need not wait for libraries
        while (entry := self._next(lane)) is not None:
            began, live = time.monotonic(), entry.live or Live()
            try:
                entry.save()
                state, said = self._run(entry, live, process)
            except Exception as error:  # the worker goes on with the next
                process.end()
                state, said = "failed", entry.plain(error)
            with self._changed, contextlib.suppress(SpecstyleError):  # the disk is full: the list still tells
                entry.live, entry.state, entry.said = None, state, said
                entry.seconds = round(entry.seconds + time.monotonic() - began, 1)
                entry.save()
        process.end()

    def _next(self, lane: int) -> Entry | None:
        """Wait for a job, and return it as one that runs; ``None`` at the end of the server."""
        with self._changed:
            while not self._ends and not self._waiting(lane):
                self._changed.wait()
            if self._ends:
                return None
            entry = self._waiting(lane)[0]
            entry.state, entry.live = "running", Live()
            return entry

    def _run(self, entry: Entry, live: Live, process: Process) -> tuple[State, str]:
        """Have a job run to its end, whatever that is; return its state, and why."""
        line, told, most = process.line(), False, self._limits.job_minutes
        last = time.monotonic() + 60 * most
        line.send(entry.folder)
        while True:
            now = time.monotonic()
            if now > last and live.asked is None:
                live.asked = now
                text = f"stopped after {most:g} minutes, all that a job has here (--max-minutes)"
                with self._changed:
                    entry.hear(live, "note", text)
            if live.asked is not None and not told:
                line.send("leave" if live.leave else "stop")
                told = True
            patience = FINISH_S if entry.state == "finishing" and not live.leave else END_S
            if live.at_once or (live.asked is not None and now - live.asked > patience):
                process.end()
                return "stopped", "Ended within a step. Go on takes up what was kept last."
            if not line.poll(0.1):
                continue
            try:
                kind, *said = line.recv()
            except EOFError:
                process.end()
                return "failed", "its process was ended from outside, perhaps for want of memory; take less"
            if kind == "end":
                return said[0], said[1]
            with self._changed:
                entry.hear(live, kind, *said)


class Process:
    """A process that works on jobs, started when it is needed."""

    def __init__(self) -> None:
        self._line: Connection | None = None
        self._process: Any = None

    def line(self) -> Connection:
        """Return the line to it."""
        if self._line is None or not self._process.is_alive():
            self.end()
            forks = "forkserver" in multiprocessing.get_all_start_methods()
            context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
            if forks:  # libraries are read once
                context.set_forkserver_preload(["specstyle.ui.watching"])
            self._line, theirs = context.Pipe()
            self._process = context.Process(target=work, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        return self._line

    def end(self) -> None:
        """Hang up; what does not end then is ended."""
        if self._line is not None:
            self._line.close()
            self._line = None
            self._process.join(0.2)
            self._process.kill()
            self._process.join()
            self._process.close()


def locked(folder: Path) -> RunFolder:
    """Make a folder that is this server's alone; ``SpecstyleError`` if that cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = RunFolder(folder)
        lock.lock()
    except CheckpointError as error:
        raise SpecstyleError(
            f"{folder}: another specstyle ui works there; use its page, or name another --folder"
        ) from error
    except OSError as error:
        raise SpecstyleError(f"{folder}: cannot be used: {error.strerror}; name another --folder") from error
    return lock
