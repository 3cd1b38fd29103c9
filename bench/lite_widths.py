"""Which widths for vgg19-lite: speed against style error, of students fitted in closed form.

    python bench/lite_widths.py --weights VGG19.safetensors --plot bench/results/lite-widths.png

The closed form takes seconds, so many widths can be compared; only those of the network in the package were
also tuned ("vgg19-lite"). Widths are those of relu1_1, relu1_2, relu2_1, relu2_2 and relu3_1; "VGG19's own"
is the network itself.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from lite import JUDGED, PAIRS, PICTURES, measure_speed, network, read, stepping, style_error, style_only

from specstyle.features import lite, random_weights, weights
from specstyle.features.weights import LAYERS, Weights

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.closed_form import fit, make_lesson
from training.plan import make_plan
from training.pool import cut
from training.tiles import Sources, make_tiles

mpl.use("Agg")

WIDTHS = (
    (32, 16, 64, 32, 128),
    (16, 16, 32, 32, 64),
    (24, 16, 48, 48, 128),
    (24, 16, 48, 64, 96),
    (24, 16, 48, 64, 128),
    (32, 16, 64, 64, 128),
    (32, 32, 64, 64, 128),
    (32, 32, 64, 128, 128),
    (48, 32, 96, 96, 192),
)
"""The first is that of the study which the project began with."""


def fitted(teacher: Weights, widths: tuple[int, ...], pictures: torch.Tensor) -> Weights:
    """Return a student in closed form."""
    channels = {name: len(bias) for name, (_, bias) in teacher.tensors.items()}
    plan = make_plan(channels, kept=JUDGED, widths=dict(zip(LAYERS, widths, strict=False)))
    lesson = make_lesson(teacher, plan, pictures)
    return Weights(fit(lesson, plan, pictures, say=lambda _: None), "torchvision", str(widths), "")


def draw(points: dict[str, tuple[float, float]], path: Path) -> None:
    """Plot error against speed."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5), dpi=110)
    colors = plt.get_cmap("tab20")
    for number, (name, (speed, error)) in enumerate(sorted(points.items(), key=lambda item: item[1])):
        marker = "o" if name[0].isdigit() else "s"  # round: fitted in closed form only
        axes.plot(speed, error, marker, color=colors(number), markersize=8, label=name)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="steps per second (VGG19 to relu3_1 = 1)",
        ylabel="median style error",
    )
    axes.grid(which="both", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Measure, print, and keep what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, default=PICTURES)
    parser.add_argument("--pairs", type=int, default=6, help="of those of lite.py")
    parser.add_argument("--tiles", type=int, default=100)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw speed against error")
    arguments = parser.parse_args()
    teacher = weights.load(arguments.weights, up_to="relu3_1")
    tiles = make_tiles(arguments.tiles, Sources(), seed=0, say=lambda _: None)
    pictures = cut(tiles, 0).float() / 255.0
    students = {
        "VGG19's own": teacher,
        "vgg19-random": random_weights(0, up_to="relu3_1"),
        "vgg19-lite": lite.load(),
    }
    students |= {"-".join(map(str, widths)): fitted(teacher, widths, pictures) for widths in WIDTHS}
    networks = {name: network(loaded) for name, loaded in students.items()}
    seconds = measure_speed({name: stepping(net, 256, 4) for name, net in networks.items()}, repeats=7)
    speeds = {n: float(np.median(np.array(seconds["VGG19's own"]) / np.array(s))) for n, s in seconds.items()}
    judge = network(teacher)
    errors: dict[str, list[float]] = {name: [] for name in networks}
    for content_name, style_name in PAIRS[: arguments.pairs]:
        content, style = (read(arguments.pictures, name, 192) for name in (content_name, style_name))
        for name, features in networks.items():
            errors[name].append(style_error(judge, style_only(features, content, style, 70), style))
        print(f"{content_name} + {style_name} done", flush=True)
    points = {name: (speeds[name], float(np.median(errors[name]))) for name in networks}
    lines = ["| widths | speed | median style error |", "|---|---|---|"]
    lines += [f"| {name} | {speed:.2f} | {error:.4f} |" for name, (speed, error) in points.items()]
    print("\n".join(lines))
    if arguments.plot is not None:
        draw(points, arguments.plot)


if __name__ == "__main__":
    main()
