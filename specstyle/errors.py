"""Errors that a user can act on: one line each, with what was wrong, what was expected, what to do."""

from __future__ import annotations

import re


class SpecstyleError(Exception):
    """A file, a set of weights or a run that specstyle cannot work with.

    Wrong arguments raise ``ValueError`` instead. The command line prints either as one line.
    """


class FileError(SpecstyleError):
    """A sound or picture that cannot be read, written or used."""


class OutputExistsError(FileError):
    """An output that was not there when a run began, and is there now."""


class WeightsError(SpecstyleError):
    """Network weights that are missing, damaged or of the wrong shape."""


class CheckpointError(SpecstyleError):
    """A kept run that cannot be gone on with."""


class RunFinishedError(CheckpointError):
    """A kept run that has nothing left to do."""


class RecipeError(SpecstyleError, ValueError):
    """A recipe or a combination of options that makes no sense."""


class ListError(SpecstyleError, ValueError):
    """A list of jobs that cannot be run as it is; nothing was run."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory did not suffice, on the host or on a device."""
    text = str(error)
    return isinstance(error, MemoryError) or bool(
        re.search("out of memory|allocate memory|ALLOC_FAILED", text, re.IGNORECASE)
    )


def counted(number: int, noun: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "step"), counted(3, "step")
    ('1 step', '3 steps')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def explain(error: Exception) -> str:
    """Return what to tell a user of an error, in one line."""
    if isinstance(error, (SpecstyleError, ValueError)):
        return " ".join(str(error).split())
    if is_out_of_memory(error):
        remedy = "use a smaller --size, a lower --sample-rate or a shorter sound"
        return f"not enough memory for this run; {remedy}"
    if isinstance(error, OSError) and error.strerror:
        name = "" if error.filename is None else f"{str(error.filename)[:200]}: "
        return f"{name}{error.strerror}"
    first = (str(error).strip().splitlines() or ["without a word"])[0]
    return f"unexpected {type(error).__name__}: {first} (--debug shows where)"
