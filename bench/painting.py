"""What pictures come out by default: nearness to the style, what is left of the content, palette, time.

    python bench/painting.py [--set strength=0.3] [--save FOLDER] [--pairs N]

Eight pairs at 384 pixels, on one thread. Contents come from wheels (scikit-learn's china.jpg, matplotlib's
grace_hopper.jpg, scikit-image's chelsea.png, which is left out where it is not installed) and, like the
paintings, from ``../shared/data/images``. None of them had a part in the training of vgg19-lite.

- gram: relative squared error of VGG19's Gram matrices against the style's, mean over relu1_1 ... relu5_1
  (max pooling); 0 is the style.
- left: ``media.structure.edge_correlation`` with the content; 1 is the content.
- clipped: pixels with a channel at 0 or 255, in percent.
- chroma: spread of the color differences after a blur of 2 pixels is taken off, beside the painting's.
- seconds: processor time.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from specstyle import transfer_image
from specstyle.engine.grams import gram
from specstyle.engine.objective import mean_statistic
from specstyle.features import weights
from specstyle.features.vgg import VGG19
from specstyle.media.color import luma
from specstyle.media.imagefiles import read_picture
from specstyle.media.pictures import ImageSettings, resize_picture, target_shape
from specstyle.media.structure import edge_correlation
from specstyle.recipes.recipe import S5

SHARED = Path(__file__).parents[2] / "shared" / "data" / "images"
WHEELS = {
    "china": ("sklearn", "datasets/images/china.jpg"),
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "chelsea": ("skimage", "data/chelsea.png"),
}
PAIRS = (
    ("tubingen", "starry_night"),
    ("tubingen", "the_scream"),
    ("china", "the_scream"),
    ("china", "shipwreck"),
    ("chelsea", "starry_night"),
    ("chelsea", "shipwreck"),
    ("grace_hopper", "starry_night"),
    ("grace_hopper", "the_scream"),
)
SIZE = 384


def find(name: str) -> Path | None:
    """Return a picture's file, ``None`` where it is not on this machine."""
    path = SHARED / f"{name}.jpg"
    if name in WHEELS:
        package, inside = WHEELS[name]
        found = importlib.util.find_spec(package)
        path = Path(found.origin).parent / inside if found is not None and found.origin else path
    return path if path.is_file() else None


def image_of(path: Path) -> Tensor:
    """Return a picture as the runs see it, ``[1, 3, H, W]``."""
    picture = read_picture(path)
    shape = target_shape(picture.height, picture.width, ImageSettings(size=SIZE))
    return resize_picture(picture, *shape).pixels[None].float()


@torch.no_grad()
def gram_error(judge: VGG19, image: Tensor, style: Tensor) -> float:
    """Return the mean relative error of the Gram matrices over the judge's layers."""
    ours, theirs = (
        {name: mean_statistic(gram, maps) for name, maps in judge(x).items()} for x in (image, style)
    )
    errors = [(ours[n] - theirs[n]).square().sum() / theirs[n].square().sum() for n in judge.layers]
    return float(torch.stack(errors).mean())


def fine_chroma(image: Tensor) -> float:
    """Return the spread of what a blur takes from the color differences."""
    colors = image[:, ::2] - luma(image)
    return float((colors - gaussian_blur(colors, [13, 13], [2.0, 2.0])).std())


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=NUMBER", help="of the recipe")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--save", type=Path, help="folder for the pictures")
    parser.add_argument("--pairs", type=int, default=len(PAIRS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    changes = {name: float(value) for name, _, value in (entry.partition("=") for entry in given.set)}
    judge = VGG19(weights.pretrained(S5[-1]), S5)
    rows = []
    print("content + style | gram | left | clipped % | chroma | seconds")
    for names in PAIRS[: given.pairs]:
        paths = [find(name) for name in names]
        if paths[0] is None or paths[1] is None:
            print(f"{' + '.join(names)} left out: not on this machine")
            continue
        content, style = map(image_of, (paths[0], paths[1]))
        started = time.process_time()
        result = transfer_image(paths[0], paths[1], recipe=given.recipe, size=SIZE, **changes)
        spent = time.process_time() - started
        image = result.output.pixels[None].float()
        levels = (255.0 * image).round()
        row = (
            gram_error(judge, image, style),
            edge_correlation(image, content),
            100.0 * float(((levels <= 0) | (levels >= 255)).any(1).float().mean()),
            fine_chroma(image) / fine_chroma(style),
            spent,
        )
        rows.append(row)
        print(f"{' + '.join(names)} | {' | '.join(f'{value:.3f}' for value in row)}", flush=True)
        if given.save:
            given.save.mkdir(parents=True, exist_ok=True)
            pixels = levels[0].permute(1, 2, 0).numpy().astype(np.uint8)
            Image.fromarray(pixels).save(given.save / f"{'-'.join(names)}.png")
    print(f"median | {' | '.join(f'{value:.3f}' for value in np.median(rows, axis=0))}")


if __name__ == "__main__":
    main()
