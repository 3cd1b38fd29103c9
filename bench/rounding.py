"""How far VGG19 in 8 bits is from the exact weights: maps, style losses and their gradients, pictures.

    python bench/rounding.py VGG19.safetensors PICTURE STYLE [--size 256]

The file holds exact weights of VGG19's original (Caffe's preprocessing), or of its first blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from specstyle import transfer_image
from specstyle.engine.grams import gram
from specstyle.engine.objective import mean_statistic
from specstyle.features import weights
from specstyle.features.vgg import VGG19
from specstyle.media.imagefiles import read_picture
from specstyle.media.pictures import ImageSettings, resize_picture, target_shape

LAYERS = ("relu1_1", "relu2_1", "relu3_1")


def _image(path: Path, size: int) -> Tensor:
    picture = read_picture(path)
    shape = target_shape(picture.height, picture.width, ImageSettings(size=size))
    return resize_picture(picture, *shape).pixels[None]


def _losses(network: VGG19, image: Tensor, style: Tensor) -> tuple[dict[str, float], Tensor]:
    image = image.clone().requires_grad_(True)
    targets = {name: mean_statistic(gram, maps) for name, maps in network(style).items()}
    errors = {
        name: (mean_statistic(gram, maps) - targets[name]).square().sum() / targets[name].square().sum()
        for name, maps in network(image).items()
    }
    (gradient,) = torch.autograd.grad(torch.stack(list(errors.values())).sum(), image)
    return {name: float(error.detach()) for name, error in errors.items()}, gradient


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exact", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    exact, rounded = (VGG19(w, LAYERS) for w in (weights.load(given.exact), weights.pretrained(LAYERS[-1])))
    image, style = (_image(path, given.size) for path in (given.picture, given.style))
    with torch.no_grad():
        for name, maps in exact(image).items():
            print(f"{name}: maps off by {float((rounded(image)[name] - maps).norm() / maps.norm()):.4f}")
    (losses, gradient), (other, other_gradient) = (_losses(n, image, style) for n in (exact, rounded))
    for name, loss in losses.items():
        print(f"{name}: style loss {loss:.5f}, rounded {other[name]:.5f} ({other[name] / loss - 1:+.3%})")
    cosine = torch.nn.functional.cosine_similarity(gradient.flatten(), other_gradient.flatten(), 0)
    off = float((other_gradient - gradient).norm() / gradient.norm())
    print(f"gradient: off by {off:.4f}, cosine {float(cosine):.6f}")
    settings = {
        "recipe": "default-image-vgg19", "style_layers": LAYERS, "content_layers": ("relu3_1",),
        "size": given.size, "steps": 30,
    }  # fmt: skip
    results = [
        transfer_image(given.picture, given.style, weights=file, **settings).output.pixels
        for file in (given.exact, None)
    ]
    for label, result in zip(("exact", "rounded"), results, strict=True):
        found, _ = _losses(exact, result[None], style)
        print(
            f"30 steps on the {label} weights: style losses {', '.join(f'{v:.6f}' for v in found.values())}"
        )
    apart = 255.0 * (results[0] - results[1]).square().mean().sqrt()
    print(f"the two results differ by {float(apart):.2f} of 255 (rms)")


if __name__ == "__main__":
    main()
