"""Libraries that write to the terminal past Python."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_LOCK = threading.Lock()


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Keep from the terminal what libmpg123 and libtiff write there of a damaged file.

    What other threads write meanwhile is lost, so this is for moments.
    """
    try:
        kept = os.dup(2)
    except OSError:  # there is no terminal to keep anything from
        yield
        return
    with _LOCK:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
