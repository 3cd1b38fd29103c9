"""Memory that is fetched once and used again."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensor, in the whole process.

    By default each large tensor is a mapping of its own that the system clears page by page: half of the time
    of a network as small as these. On other systems nothing happens.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            library = ctypes.CDLL(None)
            library.mallopt(_MMAP_THRESHOLD, _NEVER)
            library.mallopt(_TRIM_THRESHOLD, _NEVER)
