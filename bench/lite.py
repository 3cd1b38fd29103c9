"""vgg19-lite against VGG19, random weights and a color transfer on pictures: style error and speed.

    python bench/lite.py --weights VGG19.safetensors                    the table and the speeds
    python bench/lite.py --weights VGG19.safetensors --sheet sheet.jpg  a contact sheet of all results as well
    python bench/lite.py --weights VGG19.safetensors --student b.safetensors     another network beside it

The style error of a picture is the relative squared error of the real network's Gram matrices against the
style's, averaged over relu1_1, relu2_1 and relu3_1 with average pooling: 0 is the style. Pictures start as
the content and are optimized for the style alone. None of the pictures was used to train vgg19-lite.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from bench.colors import color_transfer
from specstyle.engine.canvas import Pixels
from specstyle.engine.grams import gram
from specstyle.engine.losses import relative_distance
from specstyle.engine.objective import Objective, mean_statistic
from specstyle.engine.optimize import OptimizerSettings, optimize
from specstyle.features import VGG19, lite, random_weights, weights
from specstyle.features.weights import CHANNELS, LAYERS, Weights
from specstyle.media.image import PictureCodec
from specstyle.media.imagefiles import read_picture
from specstyle.media.pictures import ImageSettings
from specstyle.recipes import Recipe
from specstyle.run.objective import build_objective

PICTURES = Path(__file__).parents[2] / "shared" / "data" / "images"
PAIRS = (
    ("tubingen", "starry_night"),
    ("tubingen", "the_scream"),
    ("tubingen", "shipwreck"),
    ("shipwreck", "starry_night"),
    ("shipwreck", "the_scream"),
    ("the_scream", "starry_night"),
    ("the_scream", "tubingen"),
    ("starry_night", "tubingen"),
)
"""Content and style."""

JUDGED = ("relu1_1", "relu2_1", "relu3_1")
DEEP = (*JUDGED, "relu4_1", "relu5_1")


def network(loaded: Weights, layers: tuple[str, ...] = JUDGED) -> VGG19:
    """Return a network as the default recipes run it."""
    return VGG19(loaded, layers, pooling="average", padding="replicate")


def read(folder: Path, name: str, size: int) -> Tensor:
    """Return a picture as an image ``[1, 3, H, W]`` of a longest side."""
    (path,) = folder.glob(f"{name}.*")
    return PictureCodec(ImageSettings(size=size)).encode(read_picture(path)).image


@torch.no_grad()
def style_error(judge: VGG19, image: Tensor, style: Tensor) -> float:
    """Return the judge's mean relative Gram error; 0: the style."""
    ours, theirs = judge(image), judge(style)
    errors = [
        relative_distance(mean_statistic(gram, ours[name]), mean_statistic(gram, theirs[name]))
        for name in JUDGED
    ]
    return float(torch.stack(errors).mean())


def style_only(features: VGG19, content: Tensor, style: Tensor, evaluations: int) -> Tensor:
    """Return the content optimized for the style alone."""
    recipe = Recipe(content_layers=(), style_layers=features.layers, content_weight=0.0)
    objective = build_objective(recipe, features, content, [style])
    return optimize(Pixels(content, upper=1.0), objective, OptimizerSettings(), evaluations).image


def measure_pairs(
    networks: dict[str, VGG19], judge: VGG19, folder: Path, *, size: int, evaluations: int
) -> tuple[dict[str, list[float]], list[list[Tensor]]]:
    """Return each column's style errors, pair by pair, and the pictures of each pair."""
    errors: dict[str, list[float]] = {}
    rows = []
    for content_name, style_name in PAIRS:
        content, style = read(folder, content_name, size), read(folder, style_name, size)
        made = {"color transfer": color_transfer(content[0], style[0])[None]}
        for name, features in networks.items():
            made[name] = style_only(features, content, style, evaluations)
        for name, image in made.items():
            errors.setdefault(name, []).append(style_error(judge, image, style))
        rows.append([content, style, *made.values()])
        shown = ", ".join(f"{name} {found[-1]:.4f}" for name, found in errors.items())
        print(f"{content_name} + {style_name}: {shown}", flush=True)
    return errors, rows


def error_table(errors: dict[str, list[float]]) -> str:
    """Return the errors as Markdown, with medians and the worst."""
    lines = ["| content + style | " + " | ".join(errors) + " |", "|---" * (len(errors) + 1) + "|"]
    for number, pair in enumerate(PAIRS):
        lines.append(
            f"| {' + '.join(pair)} | " + " | ".join(f"{e[number]:.4f}" for e in errors.values()) + " |"
        )
    for title, summary in (("median", np.median), ("worst", np.max)):
        lines.append(f"| {title} | " + " | ".join(f"{summary(e):.4f}" for e in errors.values()) + " |")
    return "\n".join(lines)


def _untrained(layers: tuple[str, ...]) -> VGG19:
    """Return VGG19 in full width: its speed does not depend on its weights."""
    generator = torch.Generator().manual_seed(0)
    tensors, channels_in = {}, 3
    for name in LAYERS[: LAYERS.index(layers[-1]) + 1]:
        weight = torch.randn(CHANNELS[name], channels_in, 3, 3, generator=generator)
        tensors[name] = (weight * (2.0 / (9 * channels_in)) ** 0.5, torch.zeros(CHANNELS[name]))
        channels_in = CHANNELS[name]
    return network(Weights(tensors, "torchvision", "untrained", ""), layers)


def measure_speed(candidates: dict[str, Callable[[], Any]], *, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each candidate, taken in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for function in candidates.values():
        function()
    for _ in range(repeats):
        for name, function in candidates.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def stepping(features: VGG19, size: int, steps: int) -> Callable[[], Any]:
    """Return a run of some steps of the default optimizer with content and style losses."""
    generator = torch.Generator().manual_seed(0)
    content, style = (torch.rand(1, 3, size, size, generator=generator) for _ in range(2))
    recipe = Recipe(content_layers=("relu3_1",), style_layers=features.layers, content_weight=0.02)
    objective: Objective = build_objective(recipe, features, content, [style])
    return lambda: optimize(Pixels(content.clone(), upper=1.0), objective, OptimizerSettings(), steps)


def speed_table(student: dict[str, Weights], *, size: int, repeats: int, steps: int = 4) -> str:
    """Return how many times the steps per second of VGG19 a student makes, as Markdown."""
    full = {"VGG19 to relu3_1": _untrained(JUDGED), "VGG19 to relu5_1": _untrained(DEEP)}
    students = {name: network(loaded) for name, loaded in student.items()}
    seconds = measure_speed(
        {name: stepping(net, size, steps) for name, net in {**full, **students}.items()}, repeats=repeats
    )
    lines = [f"| at {size} x {size}, steps per second against | " + " | ".join(full) + " |", "|---|---|---|"]
    for name in students:
        cells = []
        for reference in full:
            ratios = np.array(seconds[reference]) / np.array(seconds[name])
            low, high = np.quantile(ratios, [0.25, 0.75])
            cells.append(f"{np.median(ratios):.2f} ({low:.2f}..{high:.2f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def contact_sheet(rows: list[list[Tensor]], titles: list[str], path: Path, *, side: int = 160) -> None:
    """Draw one row of pictures per pair."""
    margin = 14
    sheet = Image.new("RGB", (len(titles) * (side + 4), len(rows) * (side + 4) + margin), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((column * (side + 4) + 4, 1), title, fill="black")
    for number, row in enumerate(rows):
        for column, image in enumerate(row):
            pixels = (image[0].movedim(0, 2).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
            panel = Image.fromarray(pixels)
            panel.thumbnail((side, side), Image.Resampling.LANCZOS)
            sheet.paste(panel, (column * (side + 4) + 2, margin + number * (side + 4)))
    sheet.save(path, quality=88)


def main() -> None:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="the real VGG19's: the judge")
    parser.add_argument("--student", type=Path, action="append", default=[], help="other small networks")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="folder of the pairs' pictures")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--evaluations", type=int, default=70)
    parser.add_argument("--speed-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw contents, styles and results")
    arguments = parser.parse_args()
    real = weights.load(arguments.weights, up_to="relu3_1")
    students = {"vgg19-lite": lite.load()} | {path.stem: lite.load(path) for path in arguments.student}
    networks = {"vgg19-random": network(random_weights(0, up_to="relu3_1"))}
    networks |= {name: network(loaded) for name, loaded in students.items()} | {"VGG19": network(real)}
    speed = speed_table(students, size=arguments.speed_size, repeats=arguments.repeats)
    print(speed + "\n", flush=True)
    errors, rows = measure_pairs(
        networks, network(real), arguments.pictures, size=arguments.size, evaluations=arguments.evaluations
    )
    table = error_table(errors)
    print("\n" + table)
    if arguments.sheet is not None:
        contact_sheet(rows, ["content", "style", *errors], arguments.sheet)


if __name__ == "__main__":
    main()
