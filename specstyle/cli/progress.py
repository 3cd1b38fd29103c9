"""Progress on a terminal as a bar, elsewhere as plain lines, and Ctrl-C as a wish to stop."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, ClassVar, TextIO

FAILURE, USAGE = 1, 2
"""Exit codes: an input or the run failed, wrong usage. Stopped by a signal: 128 and its number."""

_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

LINES_PER_RUN = 10


class Stopped(KeyboardInterrupt):
    """The program is asked to end at once.

    Attributes:
        number: Of the signal.
        asked: Of the last one that was raised at all, or 0: libraries swallow some as they are imported, and
            fail over what that left.
    """

    asked: ClassVar[int] = 0

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = Stopped.asked = number


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """Take a signal for a wish to end at once.

    Raises:
        Stopped: Always.
    """
    raise Stopped(number)


@contextlib.contextmanager
def stopped_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handle Ctrl-C, and the signals by which a shell or a scheduler ends a program; not under ``nohup``."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [number for number in _STOPPING if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def name_of_signal(number: int) -> str:
    """Return what to call a signal: ``Ctrl-C``, ``SIGTERM``."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


class ProgressLine:
    """Shows the steps of a run on stderr. Use it as a context manager and call it with each ``Progress``.

    Before the first step, Ctrl-C ends the program at once, since there is nothing to keep. From then on the
    first Ctrl-C ends the run after the current step, the second one at once; while the result is being
    finished, the first only says so. SIGTERM and SIGHUP count as Ctrl-C.

    Args:
        quiet: Show nothing.

    Attributes:
        signal: The number of the first of them, or of Ctrl-C.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._bar: Any = None
        self._first: tuple[int, float] = (0, 0.0)
        self._stop = False
        self._stage = "read"
        self._handling = stopped_by(self._interrupted)
        self.signal = int(signal.SIGINT)

    def __enter__(self) -> ProgressLine:
        self._handling.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._handling.__exit__(None, None, None)

    def close(self) -> None:
        """End the bar; the next run, if there is one, begins with its reading."""
        self._stage = "read"
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._stop or self._stage == "read":
            raise Stopped(number)
        self._stop, self.signal = True, number
        doing = "stopping after this step" if self._stage == "optimize" else "the result is nearly finished"
        self.note(f"{doing} (Ctrl-C again: at once, without a result)")

    def enter_stage(self, stage: str) -> None:
        """Take note of how far the run has got: ``optimize``, ``finish``, or ``read`` for the next one."""
        self._stage = stage

    def note(self, text: str) -> None:
        """Show a line for the user."""
        if self._quiet:
            return
        text = printable(text)
        with contextlib.suppress(OSError):  # the terminal may be gone, and the run goes on without it
            if self._bar is not None:
                self._bar.write(text, file=sys.stderr)
            else:
                print(text, file=sys.stderr, flush=True)

    def __call__(self, progress: Any) -> None:
        """Show a step; end the run if Ctrl-C was pressed.

        Raises:
            StopRun: If the user wants to stop.
        """
        if not self._quiet:
            with contextlib.suppress(OSError):
                (self._draw if self._terminal else self._print)(progress)
        if self._stop:
            from specstyle.engine.optimize import StopRun

            raise StopRun

    def _draw(self, progress: Any) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=progress.steps, unit="step", file=sys.stderr, dynamic_ncols=True)
        self._bar.set_postfix_str(_losses(progress.losses), refresh=False)
        self._bar.update(progress.step - self._bar.n)

    def _print(self, progress: Any) -> None:
        if progress.step <= self._first[0] or not self._first[0]:
            self._first = (progress.step, time.monotonic())
        every = max(progress.steps // LINES_PER_RUN, 1)
        if progress.step != 1 and progress.step % every and progress.step != progress.steps:
            return
        made, spent = progress.step - self._first[0], time.monotonic() - self._first[1]
        left = f", {spent / made * (progress.steps - progress.step):.0f} s left" if made else ""
        scale = f", {progress.part} {progress.scale}/{progress.scales}" if progress.scales > 1 else ""
        print(
            f"step {progress.step}/{progress.steps}{scale}: {_losses(progress.losses)}{left}",
            file=sys.stderr,
            flush=True,
        )


class Logged:
    """A stream whose lines go into a file, too, each with its time; of a bar that is drawn anew, the last.

    Args:
        stream: Where all goes; what is asked of this object, it answers.
        file: Where the lines go.
    """

    def __init__(self, stream: TextIO, file: TextIO) -> None:
        self._stream, self._file, self._line = stream, file, ""

    def write(self, text: str) -> int:
        """Write a text; that the file cannot be written to is no reason to fail."""
        *lines, last = (self._line + text).split("\n")
        self._line = last.rpartition("\r")[2] or last
        with contextlib.suppress(OSError):
            for line in lines:
                seen = line.rstrip().rpartition("\r")[2]
                self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {seen}\n" if seen else "")
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _losses(losses: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in losses.items() if ":" not in name)


def printable(text: str) -> str:
    """Return a text with what would move a terminal's cursor, or is no letter at all, as escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def say(line: str, *, file: TextIO | None = None) -> None:
    """Print a line, in which names of files may stand."""
    print(printable(line).replace("\n", "\\n"), file=file, flush=True)


def begin(text: str, *, quiet: bool) -> None:
    """Say on a terminal what begins, before the libraries are there, which can take a while."""
    if not quiet and sys.stderr.isatty():
        say(f"{text} …", file=sys.stderr)


def complain(message: str, code: int) -> int:
    """Print one line on stderr; return the exit code."""
    with contextlib.suppress(OSError):
        print(f"specstyle: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
