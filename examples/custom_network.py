"""Use a network of your own: anything that turns an image into named feature maps.

Usage: python examples/custom_network.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine import Pixels, optimize
from specstyle.media.image import ImageSettings, PictureMedium
from specstyle.media.imagefiles import Picture, write_picture
from specstyle.recipes import Recipe
from specstyle.run.build import optimizer_settings
from specstyle.run.objectives import build_objective
from specstyle.synthesis.pictures import brush_texture, drawn_scene

SIZE = 128


class GaborBank:
    """Rectified Gabor filters at several orientations and two sizes, on each color."""

    stride = 1
    halo = 7

    def __init__(self, orientations: int = 8) -> None:
        y, x = torch.meshgrid(torch.arange(-7.0, 8.0), torch.arange(-7.0, 8.0), indexing="ij")
        filters = []
        for wavelength in (4.0, 8.0):
            for angle in torch.arange(orientations) * torch.pi / orientations:
                along = x * torch.cos(angle) + y * torch.sin(angle)
                window = torch.exp(-(x**2 + y**2) / (2 * (wavelength / 2) ** 2))
                for phase in (0.0, torch.pi / 2):
                    gabor = window * torch.cos(2 * torch.pi * along / wavelength + phase)
                    filters.append((gabor - gabor.mean()) / gabor.norm())
        self.filters = torch.stack(filters)[:, None]

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Return one layer, ``gabor``: ``[B, 3 * filters + 3, H, W]``, the colors themselves included."""
        planes = image.flatten(0, 1)[:, None]
        maps = F.relu(F.conv2d(F.pad(planes, (7, 7, 7, 7), mode="reflect"), self.filters))
        return {"gabor": torch.cat([maps.reshape(image.shape[0], -1, *image.shape[2:]), image], dim=1)}


def main(folder: Path) -> None:
    """Paint a scene with the brush's orientations and colors."""
    folder.mkdir(parents=True, exist_ok=True)
    medium = PictureMedium(ImageSettings(size=SIZE))
    content, style = (
        medium.encode(Picture(torch.from_numpy(make(SIZE, SIZE, seed=4)).movedim(2, 0).float()))
        for make in (drawn_scene, brush_texture)
    )
    recipe = Recipe(content_layers=("gabor",), style_layers=("gabor",), content_weight=0.1)
    objective = build_objective(recipe, GaborBank(), content.image, [style.image])
    state = optimize(Pixels(content.image, upper=1.0), objective, optimizer_settings(recipe), steps=30)
    print(f"style loss: {state.losses_start['style']:.4f} -> {state.losses_end['style']:.4f}")
    write_picture(medium.decode(state.image, content), folder / "scene-by-gabor.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-output"))
