"""Values of a recipe's fields from text, as a command line or a table has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Reader = Callable[[str], Any]

_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


def field_reader(annotation: str) -> tuple[Reader, str]:
    """Return how to read a field's value, and what to call it in a help text.

    The reader raises ``ValueError`` with what was expected and what came.

    Args:
        annotation: The field's type as it is written in ``Recipe``.

    >>> field_reader("tuple[int, ...]")[0]("2, 8")
    (2, 8)
    """
    if annotation.startswith("tuple"):
        kind, what, metavar = _LISTS[annotation[len("tuple[")]]
        return _listed(kind, what), metavar
    if annotation == "bool":
        return _yes_or_no, "true|false"
    base, _, none = annotation.partition(" | ")
    if base == "str":
        return str, "WORD"
    return _number(int if base == "int" else float, or_none=bool(none)), _METAVARS[annotation]


_LISTS: dict[str, tuple[type, str, str]] = {
    "s": (str, "names", "A,B,..."),
    "i": (int, "whole numbers", "M,N,..."),
    "f": (float, "numbers", "X,Y,..."),
}
_METAVARS = {"int": "N", "float": "X", "int | None": "N|none", "float | None": "X|none"}


def _listed(kind: type, what: str) -> Reader:
    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
        except ValueError:
            raise ValueError(f"expected {what} separated by commas, got {text!r}") from None

    return read


def _number(kind: type[int] | type[float], *, or_none: bool) -> Reader:
    def read(text: str) -> float | None:
        try:
            return None if or_none and text.lower() == "none" else kind(text)
        except ValueError:
            what = ("whole number" if kind is int else "number") + (" or none" if or_none else "")
            raise ValueError(f"expected a {what}, got {text!r}") from None

    return read


def _yes_or_no(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError(f"expected true or false, got {text!r}")
    return text.lower() in _YES
