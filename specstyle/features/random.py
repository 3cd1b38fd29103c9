"""VGG19 with seeded random weights, set layer by layer so that Gram matrices of its maps carry style."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.features.references import reference_images
from specstyle.features.vgg import prepare
from specstyle.features.weights import CHANNELS, LAYERS, Weights


@torch.no_grad()
def random_weights(seed: int, *, up_to: str = LAYERS[-1]) -> Weights:
    """Make random weights for VGG19.

    Layer by layer, on a few synthetic reference images: filters with orthonormal rows (from the QR
    factorization of seeded Gaussians), a bias that centers each channel's response, then a scale that makes
    each channel's root-mean-square activation 1. Zero biases make every channel see mostly the mean color,
    and Gram matrices of such maps do no better than a color transfer; with centering they carry palette and
    grain, though not brush strokes.

    Args:
        seed: Of filters and reference images.
        up_to: The deepest layer to make.

    Reference:
        Saxe, McClelland & Ganguli 2014 for orthogonal initialization; the calibration is specstyle's own,
        akin to layer-sequential unit variance (Mishkin & Matas 2016).
    """
    generator = torch.Generator().manual_seed(seed)
    maps = torch.cat([prepare(image, "torchvision") for image in reference_images(seed)])
    tensors: dict[str, tuple[Tensor, Tensor]] = {}
    for name in LAYERS[: LAYERS.index(up_to) + 1]:
        if name.endswith("_1") and tensors:
            maps = F.avg_pool2d(maps, 2)
        weight = torch.empty(CHANNELS[name], maps.shape[1], 3, 3)
        torch.nn.init.orthogonal_(weight, generator=generator)
        maps = F.pad(maps, (1, 1, 1, 1), mode="replicate")
        response = F.conv2d(maps, weight)
        bias = -response.mean((0, 2, 3))
        active = F.relu(response + bias[:, None, None])
        scale = active.square().mean((0, 2, 3)).sqrt().reciprocal()
        tensors[name] = (weight * scale[:, None, None, None], bias * scale)
        maps = active * scale[:, None, None]
    digest = hashlib.sha256()
    for weight, bias in tensors.values():
        digest.update(weight.numpy().tobytes() + bias.numpy().tobytes())
    return Weights(tensors, "torchvision", f"vgg19-random (seed {seed})", digest.hexdigest())
