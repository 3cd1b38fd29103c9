"""The points of a sweep: every combination of some values, or some of them at random."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from specstyle.batch.jobs import belongs_to
from specstyle.errors import ListError
from specstyle.recipes import Recipe
from specstyle.recipes.text import field_reader

FIELDS = {f.name: str(f.type) for f in dataclasses.fields(Recipe) if f.name not in ("name", "source")}

_SINGULAR = {"content_layer": "content_layers", "style_layer": "style_layers"}
"""Names for an axis that has one layer in each value."""

_RANGE = re.compile(r"(log|lin):([^:]+)\.\.([^:]+?)(?::(\d+))?$")


@dataclass(frozen=True)
class Axis:
    """One thing that a sweep varies.

    Attributes:
        name: A field of a recipe, or ``seed``.
        values: What it takes in turn, as text; none for a range without a count.
        low: Of a range.
        high: Of a range.
        log: Whether the range is even in the logarithm.
    """

    name: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def draw(self, generator: random.Random) -> str:
        """Return one value at random: of a range any number in it, else one of the values."""
        if not self.high > self.low:
            return generator.choice(self.values)
        share = generator.random()
        if self.log:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        else:
            value = self.low + share * (self.high - self.low)
        return str(round(value)) if FIELDS.get(self.name, "int").startswith("int") else f"{value:.4g}"


Point = tuple[tuple[str, str], ...]
"""The names of the axes with one value of each, as text."""


def read_axis(text: str, medium: str) -> Axis:
    """Read an axis from the command line.

    Args:
        text: ``FIELD=A,B,C``, with the entries of one list joined by ``+`` (``relu1_1+relu2_1``);
            ``FIELD=log:A..B:N`` or ``FIELD=lin:A..B:N`` for N numbers from A to B; for random points N may be
            left out. ``seed`` is a field, too.
        medium: Whose fields are accepted.

    Raises:
        ListError: If the text is no axis.

    >>> read_axis("content_layer=conv2_2,conv4_2", "image").values
    ('conv2_2', 'conv4_2')
    >>> read_axis("style_weight=log:0.1..10:3", "audio").values
    ('0.1', '1', '10')
    """
    name, equals, rest = (part.strip() for part in text.partition("="))
    name = name.lstrip("-").replace("-", "_")
    name = _SINGULAR.get(name, name)
    if not equals or not rest:
        raise ListError(
            f"--grid needs FIELD=VALUE,VALUE,... or FIELD=log:A..B:N, got {text!r}; "
            "for example --grid strength=0.3,0.5,0.7"
        )
    if name != "seed" and (name not in FIELDS or not belongs_to(name, medium)):
        raise ListError(
            f"--grid {name}: there is no such field for {medium}; `specstyle recipes default` shows them, "
            "and seed is one"
        )
    found = _RANGE.match(rest)
    if found and FIELDS.get(name, "int").split(" ")[0] in ("int", "float"):
        return _range(name, *found.groups())
    if found:
        raise ListError(f"--grid {name}: has no numbers to range over; list its values with commas between")
    values = tuple(value.strip() for value in rest.split(",") if value.strip())
    for value in values:
        _value(name, value)
    if len(set(values)) < len(values):
        raise ListError(f"--grid {name}: a value is there twice; remove one")
    return Axis(name, values)


def _range(name: str, kind: str, low_text: str, high_text: str, count: str | None) -> Axis:
    try:
        low, high = float(low_text), float(high_text)
    except ValueError as error:
        raise ListError(f"--grid {name}: {low_text}..{high_text} is no range of numbers") from error
    log = kind == "log"
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (log and low <= 0):
        above = " above 0" if log else ""
        raise ListError(
            f"--grid {name}: a range goes from a number{above} up to a larger one, got {low:g}..{high:g}"
        )
    if count is not None and int(count) < 2:
        raise ListError(f"--grid {name}: a range has at least 2 values, got {count}")
    whole = FIELDS.get(name, "int").startswith("int")
    values = []
    for i in range(int(count or 0)):
        share = i / (int(count or 0) - 1)
        value = low * (high / low) ** share if log else low + share * (high - low)
        values.append(str(round(value)) if whole else f"{value:.4g}")
    for value in values or (f"{low:g}",):
        _value(name, str(round(float(value))) if whole else value)
    return Axis(name, tuple(dict.fromkeys(values)), low, high, log)


def _value(name: str, text: str) -> Any:
    """Return a field's value from the text of a point."""
    annotation = "int" if name == "seed" else FIELDS[name]
    listed = annotation.startswith("tuple")
    try:
        return field_reader(annotation)[0](text.replace("+", ",") if listed else text)
    except ValueError as error:
        raise ListError(f"--grid {name}: {error}") from error


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Return every combination, the last axis varying fastest.

    Raises:
        ListError: If an axis is a range without a count, or given twice.
    """
    _check_names(axes)
    for axis in axes:
        if not axis.values:
            raise ListError(
                f"--grid {axis.name}: say how many numbers, as in log:{axis.low:g}..{axis.high:g}:5, or add "
                "--random N"
            )
    named = [[(axis.name, value) for value in axis.values] for axis in axes]
    return [tuple(point) for point in itertools.product(*named)]


def draw(axes: Sequence[Axis], count: int, seed: int) -> list[Point]:
    """Return different points at random; the first of them do not depend on how many there are.

    Raises:
        ListError: If an axis is given twice, or there are not so many points.
    """
    _check_names(axes)
    if count < 1:
        raise ListError(f"--random must be at least 1, got {count}")
    generator = random.Random(seed)
    points: dict[Point, None] = {}
    for _ in range(100 * count):
        points[tuple((axis.name, axis.draw(generator)) for axis in axes)] = None
        if len(points) == count:
            return list(points)
    raise ListError(
        f"--random {count}: the axes have no more than {len(points)} different points; ask for fewer"
    )


def _check_names(axes: Sequence[Axis]) -> None:
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise ListError(f"--grid {name}: is given twice; put all its values into one")


def overrides_of(point: Point) -> tuple[dict[str, Any], int | None]:
    """Return a point's recipe fields, and its seed if it has one."""
    values = {name: _value(name, text) for name, text in point}
    seed = values.pop("seed", None)
    return values, seed


def file_stem(point: Point, longest: int = 120) -> str:
    """Return a name for a point's result: the same for the same values, whatever else is in the sweep.

    >>> file_stem((("strength", "0.5"), ("style_layers", "relu1_1+relu2_1")))
    'strength=0.5,style_layers=relu1_1+relu2_1'
    """
    stem = ",".join(f"{name}={_safe(value)}" for name, value in point)
    if len(stem) <= longest:
        return stem
    import hashlib

    return f"{stem[: longest - 9]}-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"


def _safe(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+@_-]", "-", value)
