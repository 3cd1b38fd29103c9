"""A sweep: one content and its styles, stylized at every point of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from specstyle.batch.grid import Axis, Point, draw, file_stem, grid, overrides_of
from specstyle.batch.jobs import Common, Task, check_tasks, make_task
from specstyle.errors import ListError
from specstyle.features import lite
from specstyle.features.networks import layers_of
from specstyle.recipes import Recipe
from specstyle.run.settle import settle_recipe

SUFFIXES = {"audio": ".wav", "image": ".png"}

FIGURES = ("tradeoff", "layers", "init")
"""Of Gatys, Ecker & Bethge 2016: figures 4, 5 and 6."""


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
    with_content: bool = True


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
    # In rows of one axis' values, the content would only shift them: the page has it above.
    return Sweep(medium, content, tuple(styles), tuple(points), titles, min(columns, 8), with_content=False)


def figure_sweep(figure: str, medium: str, content: Path, styles: Sequence[Path], common: Common) -> Sweep:
    """Return the sweep of a figure of Gatys et al. 2016.

    ``tradeoff`` (figure 4) varies the ratio of the weights in four decades; for their recipe these are the
    paper's, 1e-4 to 1e-1. ``layers`` (figure 5) matches the content in a shallow and in a deep layer: conv2_2
    and conv4_2 where the network has them. ``init`` (figure 6) starts from the content, from the style and
    from four draws of noise.

    Raises:
        RecipeError: If the recipe has no content to trade or no other layers.
    """
    recipe, _ = settle_recipe(medium, common.recipe, weights=common.weights, overrides=common.overrides)
    points: list[Point]
    if figure == "tradeoff":
        points, titles = _tradeoff(recipe)
        columns, with_content = 2, False
    elif figure == "layers":
        points, titles = _layers(recipe)
        columns, with_content = 3, True
    else:
        points = [(("init", "content"),), (("init", "style"),)]
        points += [(("init", "noise"), ("seed", str(common.seed + i))) for i in range(4)]
        titles = ["A: from the content", "B: from the style"]
        titles += [f"C{i + 1}: from noise, seed {common.seed + i}" for i in range(4)]
        columns, with_content = 2, False
    return Sweep(
        medium, content, tuple(styles), tuple(points), tuple(titles), columns, with_content=with_content
    )


def _tradeoff(recipe: Recipe) -> tuple[list[Point], list[str]]:
    content, style = recipe.effective_weights()
    if content <= 0 or style <= 0:
        raise ListError(
            "the figure tradeoff needs both weights above 0; choose another --recipe or --strength"
        )
    points: list[Point] = []
    titles = []
    for factor in (0.1, 1.0, 10.0, 100.0):
        points.append((("content_weight", f"{recipe.content_weight * factor:.6g}"),))
        titles.append(f"content : style = {content * factor / style:.3g}")
    return points, titles


def _layers(recipe: Recipe) -> tuple[list[Point], list[str]]:
    network = recipe.network
    if network in ("kernel", "wide-random"):
        raise ListError(
            f"the figure layers compares layers, and {network} has one ({', '.join(layers_of(network))}); "
            "take --network vgg19, vgg19-lite or vgg19-random"
        )
    deep = "conv4_2"
    if network == "vgg19-lite" and "relu4_2" not in lite.REACH:
        deep = "relu3_1@4"  # as much of the picture in one position as conv4_2 has
    layers = ("conv2_2" if deep == "conv4_2" else "relu2_2", deep)
    points: list[Point] = [(("content_layers", layer),) for layer in layers]
    return points, [f"content in {layer}" for layer in layers]


def sweep_tasks(sweep: Sweep, folder: Path, common: Common) -> list[Task]:
    """Return a sweep's jobs, checked; each has its own recipe and its result in the folder.

    Raises:
        ListError: If one of them cannot run.
    """
    tasks = []
    for number, point in enumerate(sweep.points, 1):
        own, seed = overrides_of(point)
        name = file_stem(point) + SUFFIXES[sweep.medium]
        changes = {} if seed is None else {"seed": seed}
        paths = (sweep.content, sweep.styles, folder / name)
        tasks.append(make_task(number, name, sweep.medium, paths, common, own=own, **changes))
    return check_tasks(tasks, lambda task: task.name)
