"""Progress on a terminal as a bar, elsewhere as plain lines, and Ctrl-C as a wish to stop."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any

FAILURE, USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes: an input or the run failed, wrong usage, stopped by Ctrl-C."""

LINES_PER_RUN = 10


class ProgressLine:
    """Shows the steps of a run on stderr. Use it as a context manager and call it with each ``Progress``.

    Before the first step, Ctrl-C ends the program at once, since there is nothing to keep. From then on the
    first Ctrl-C ends the run after the current step, the second one at once; while the result is being
    finished, the first only says so.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._bar: Any = None
        self._first: tuple[int, float] = (0, 0.0)
        self._stop = False
        self._stage = "read"
        self._before: Any = None

    def __enter__(self) -> ProgressLine:
        self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        signal.signal(signal.SIGINT, self._before)

    def close(self) -> None:
        """End the bar; the next run, if there is one, begins with its reading."""
        self._stage = "read"
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._stop or self._stage == "read":
            raise KeyboardInterrupt
        self._stop = True
        doing = "stopping after this step" if self._stage == "optimize" else "the result is nearly finished"
        self.note(f"{doing} (Ctrl-C again: at once, without a result)")

    def enter_stage(self, stage: str) -> None:
        """Take note of how far the run has got: ``optimize``, ``finish``, or ``read`` for the next one."""
        self._stage = stage

    def note(self, text: str) -> None:
        """Show a line for the user."""
        if self._quiet:
            return
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
        scale = f", scale {progress.scale}/{progress.scales}" if progress.scales > 1 else ""
        print(
            f"step {progress.step}/{progress.steps}{scale}: {_losses(progress.losses)}{left}",
            file=sys.stderr,
            flush=True,
        )


def _losses(losses: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in losses.items() if ":" not in name)


def complain(message: str, code: int) -> int:
    """Print one line on stderr; return the exit code."""
    print(f"specstyle: {' '.join(message.split())}", file=sys.stderr)
    return code
