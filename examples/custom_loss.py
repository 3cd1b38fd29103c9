"""A loss of your own: match means and deviations of feature maps, as AdaIN does (Huang & Belongie 2017)."""

import sys
from pathlib import Path

import torch

import specstyle
from specstyle.synthesis.pictures import brush_texture, drawn_scene


# --8<-- [start:loss]
def adain(network, content, styles):
    """Return a loss for each layer."""

    def statistics(maps):
        return torch.stack([maps.mean((2, 3)), maps.std((2, 3))])

    def loss(name, target):
        return specstyle.Loss(
            f"adain:{name}", 1.0, lambda _, maps: (statistics(maps[name]) - target).square().mean((0, 2))
        )

    return [loss(name, statistics(maps)) for name, maps in network(styles[0]).items()]


# --8<-- [end:loss]


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "example-output")
folder.mkdir(parents=True, exist_ok=True)
pictures = drawn_scene(96, 96, seed=4), brush_texture(96, 96, seed=4)
result = specstyle.transfer_image(*pictures, terms=adain, style_weight=0, network="vgg19-lite", steps=20)
result.output.save(folder / "scene-by-adain.png")
