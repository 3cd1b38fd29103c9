"""A sweep: one content and its styles, stylized at every point of a grid, or at some drawn at random."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specstyle.batch.jobs import FIELDS, Task, belongs_to, check_tasks, make_task, read_value
from specstyle.errors import ListError
from specstyle.features.networks import layers_of
from specstyle.run.request import Request
from specstyle.run.settle import settle_request

SUFFIXES = {"audio": ".wav", "image": ".png"}

_SINGULAR = {"content_layer": "content_layers", "style_layer": "style_layers"}
"""Names for an axis that has one layer in each value."""

_RANGE = re.compile(r"(log|lin):([^:]+)\.\.([^:]+?)(?::(\d+))?$")

Point = tuple[tuple[str, str], ...]
"""The names of the axes with one value of each, as text."""


@dataclass(frozen=True)
class Axis:
    """One thing that a sweep varies.

    Attributes:
        name: A field of a recipe, or ``seed``.
        values: What it takes in turn, as text; none for a range without a count.
        at: Of a range: gives the number that has a share of the range below it, as text.
    """

    name: str
    values: tuple[str, ...] = ()
    at: Callable[[float], str] | None = None

    def draw(self, generator: random.Random) -> str:
        """Return one value at random: of a range any number in it, else one of the values."""
        return generator.choice(self.values) if self.at is None else self.at(generator.random())


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
    name, _, rest = (part.strip() for part in text.partition("="))
    name = name.lstrip("-").replace("-", "_")
    name = _SINGULAR.get(name, name)
    if not rest:
        raise ListError(
            f"--grid needs FIELD=VALUE,VALUE,... or FIELD=log:A..B:N, got {text!r}; "
            "for example --grid strength=0.3,0.5,0.7"
        )
    if name not in FIELDS or not belongs_to(name, medium):
        raise ListError(
            f"--grid {name}: there is no such field for {medium}; `specstyle recipes default` shows them, "
            "and seed is one"
        )
    if found := _RANGE.match(rest):
        return _range(name, *found.groups())
    values = tuple(value.strip() for value in rest.split(",") if value.strip())
    for value in values:
        _value(name, value)
    if len(set(values)) < len(values):
        raise ListError(f"--grid {name}: a value is there twice; remove one")
    return Axis(name, values)


def _range(name: str, kind: str, low_text: str, high_text: str, count: str | None) -> Axis:
    if FIELDS[name].split(" ")[0] not in ("int", "float"):
        raise ListError(f"--grid {name}: has no numbers to range over; list its values with commas between")
    try:
        low, high, log = float(low_text), float(high_text), kind == "log"
    except ValueError as error:
        raise ListError(f"--grid {name}: {low_text}..{high_text} is no range of numbers") from error
    if not -math.inf < low < high < math.inf or (log and low <= 0):
        raise ListError(
            f"--grid {name}: a range goes from a number{' above 0' if log else ''} up to a larger one, "
            f"got {low:g}..{high:g}"
        )
    if count is not None and int(count) < 2:
        raise ListError(f"--grid {name}: a range has at least 2 values, got {count}")

    def at(share: float) -> str:
        value = low * (high / low) ** share if log else low + share * (high - low)
        return str(round(value)) if FIELDS[name].startswith("int") else f"{value:.4g}"

    values = [at(i / (int(count) - 1)) for i in range(int(count))] if count else []
    for value in values or [at(0.0)]:
        _value(name, value)
    return Axis(name, tuple(dict.fromkeys(values)), at)


def _value(name: str, text: str) -> Any:
    """Return a field's value from the text of a point."""
    try:
        return read_value(name, text.replace("+", ",") if FIELDS[name].startswith("tuple") else text)
    except ListError as error:
        raise ListError(f"--grid {error}") from error


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Return every combination, the last axis varying fastest.

    Raises:
        ListError: If an axis is a range without a count, or given twice.
    """
    _check_names(axes)
    for axis in axes:
        if not axis.values:
            raise ListError(f"--grid {axis.name}: say how many numbers (A..B:5), or add --random N")
    return list(itertools.product(*([(axis.name, value) for value in axis.values] for axis in axes)))


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


def fields_of(point: Point) -> dict[str, Any]:
    """Return a point as fields of ``Request``: recipe fields to change, and its seed if it has one."""
    values = {name: _value(name, text) for name, text in point}
    seed = {"seed": values.pop("seed")} if "seed" in values else {}
    return {"overrides": values, **seed}


def file_stem(point: Point, longest: int = 120) -> str:
    """Return a name for a point's result: the same for the same values, whatever else is in the sweep.

    >>> file_stem((("strength", "0.5"), ("style_layers", "relu1_1+relu2_1")))
    'strength=0.5,style_layers=relu1_1+relu2_1'
    """
    stem = ",".join(f"{name}={re.sub(r'[^A-Za-z0-9.+@_-]', '-', value)}" for name, value in point)
    if len(stem) <= longest:
        return stem
    return f"{stem[: longest - 9]}-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Sweep:
    """What is varied on what.

    Attributes:
        medium: ``audio`` or ``image``.
        content: The content.
        styles: Its styles.
        points: Values for each result.
        titles: What to write over each.
        columns: Of its sheet.
        with_content: Whether the sheet begins with the content.
    """

    medium: str
    content: Path
    styles: tuple[Path, ...]
    points: tuple[Point, ...]
    titles: tuple[str, ...]
    columns: int
    with_content: bool = False


def plain_sweep(
    medium: str,
    content: Path,
    styles: Sequence[Path],
    axes: Sequence[Axis],
    *,
    random: int | None = None,
    seed: int = 0,
) -> Sweep:
    """Return a sweep over axes: all combinations, or some at random.

    The sheet has one row for each combination of all axes but the last, and a column for each of its values.

    Raises:
        ListError: If the axes make no points.
    """
    points = grid(axes) if random is None else draw(axes, random, seed)
    columns = len(axes[-1].values) if random is None else min(4, len(points))
    titles = tuple(", ".join(f"{name} {value}" for name, value in point) for point in points)
    return Sweep(medium, content, tuple(styles), tuple(points), titles, min(columns, 8))


def figure_sweep(
    figure: str, medium: str, content: Path, styles: Sequence[Path], common: dict[str, Any]
) -> Sweep:
    """Return the sweep of a figure of Gatys, Ecker & Bethge 2016.

    ``tradeoff`` (figure 4) varies the ratio of the weights in four decades; for their recipe these are the
    paper's, 1e-4 to 1e-1. ``layers`` (figure 5) matches the content in a shallow and in a deep layer: conv2_2
    and conv4_2 where the network has them. ``init`` (figure 6) starts from the content, from the style and
    from four draws of noise.

    Raises:
        ListError: If the recipe has no content to trade or no other layers.
    """
    recipe, _ = settle_request(Request(medium, content, styles, **common))
    if figure == "tradeoff":
        titled = _tradeoff(recipe.content_weight, *recipe.effective_weights())
    elif figure == "layers":
        titled = _layers(recipe.network)
    else:
        titled = {"A: from the content": (("init", "content"),), "B: from the style": (("init", "style"),)}
        first = common.get("seed", 0)
        for i, seed in enumerate(range(first, first + 4), 1):
            titled[f"C{i}: from noise, seed {seed}"] = (("init", "noise"), ("seed", str(seed)))
    columns, layers = 3 if figure == "layers" else 2, figure == "layers"
    return Sweep(medium, content, tuple(styles), tuple(titled.values()), tuple(titled), columns, layers)


def _tradeoff(weight: float, content: float, style: float) -> dict[str, Point]:
    if content <= 0 or style <= 0:
        raise ListError(
            "the figure tradeoff needs both weights above 0; choose another --recipe or --strength"
        )
    return {
        f"content : style = {content * factor / style:.3g}": (("content_weight", f"{weight * factor:.6g}"),)
        for factor in (0.1, 1.0, 10.0, 100.0)
    }


def _layers(network: str) -> dict[str, Point]:
    if network in ("kernel", "wide-random"):
        raise ListError(
            f"the figure layers compares layers, and {network} has one ({', '.join(layers_of(network))}); "
            "take --network vgg19, vgg19-lite or vgg19-random"
        )
    return {f"content in {layer}": (("content_layers", layer),) for layer in ("conv2_2", "conv4_2")}


def sweep_tasks(sweep: Sweep, folder: Path, common: dict[str, Any]) -> list[Task]:
    """Return a sweep's jobs, checked; each has its own recipe and its result in the folder.

    Raises:
        ListError: If one of them cannot run.
    """
    tasks = []
    for number, point in enumerate(sweep.points, 1):
        name = file_stem(point) + SUFFIXES[sweep.medium]
        paths = (sweep.content, sweep.styles, folder / name)
        own = fields_of(point)
        tasks.append(make_task(number, name, sweep.medium, paths, common, place=name, own=own))
    return check_tasks(tasks)
