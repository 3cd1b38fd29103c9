"""Mean activation of each channel of VGG19 over photographs, for recipes that normalize it.

    python -m training.means PHOTO [PHOTO ...] -o specstyle/features/vgg19-means.safetensors

Those in the package are of thirteen photographs that wheels bring, at 512 pixels: scikit-image 0.26's
``skimage/data`` (astronaut.png, brick.png, camera.png, coffee.png, coins.png, grass.png, gravel.png,
motorcycle_left.png, rocket.jpg, chelsea.png), scikit-learn's china.jpg and flower.jpg, and matplotlib's
grace_hopper.jpg.

Reference:
    Gatys, Ecker & Bethge 2016, section 2 (they average over images of ImageNet's validation set).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from specstyle.features.vgg import VGG19, mean_activations
from specstyle.features.weights import LAYERS, pretrained
from specstyle.files import atomic
from specstyle.media.imagefiles import read_picture
from specstyle.media.pictures import ImageSettings, resize_picture, target_shape


def _photograph(path: Path) -> torch.Tensor:
    picture = read_picture(path)
    height, width = target_shape(picture.height, picture.width, ImageSettings())
    return resize_picture(picture, height, width).pixels[None]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m training.means", description=__doc__)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    network = VGG19(pretrained(LAYERS[-1]), LAYERS, pooling="average")
    means = mean_activations(network, map(_photograph, given.photographs))
    for name, mean in means.items():
        print(
            f"{name}: median {float(mean.median()):.3g}, least {float(mean.min()):.3g} "
            f"(a gain of {float(mean.median() / mean.min()):.3g} medians)"
        )
    with atomic(given.output) as temporary:
        save_file({name: mean.contiguous() for name, mean in means.items()}, temporary)


if __name__ == "__main__":
    main()
