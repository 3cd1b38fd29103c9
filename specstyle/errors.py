"""Errors that a user can act on: one line each, with what was wrong, what was expected, what to do."""

from __future__ import annotations


class SpecstyleError(Exception):
    """A file, a set of weights or a run that specstyle cannot work with.

    Wrong arguments raise ``ValueError`` instead. The command line prints either as one line.
    """


class FileError(SpecstyleError):
    """A sound or picture that cannot be read, written or used."""


class WeightsError(SpecstyleError):
    """Network weights that are missing, damaged or of the wrong shape."""


class RecipeError(SpecstyleError, ValueError):
    """A recipe or a combination of options that makes no sense."""
