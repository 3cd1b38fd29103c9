"""VGG19: images to named feature maps, cut off after the deepest layer in use."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.features.weights import LAYERS, Weights

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)

_LAYER = re.compile(r"(?:relu|conv)(\d)_(\d)|block(\d)_conv(\d)")


def canonical_layer(name: str) -> str:
    """Return a layer's name as ``relu<block>_<number>``.

    The papers' ``conv4_2`` and Keras' ``block4_conv2`` mean the same layer after its ReLU.

    Raises:
        ValueError: If VGG19 has no such layer; the message lists the layers.

    >>> canonical_layer("conv4_2"), canonical_layer("block5_conv2")
    ('relu4_2', 'relu5_2')
    """
    match = _LAYER.fullmatch(name)
    found = "relu{}_{}".format(*(g for g in match.groups() if g)) if match else ""
    if found not in LAYERS:
        raise ValueError(f"VGG19 has no layer {name!r}; its layers are {', '.join(LAYERS)}")
    return found


def prepare(image: Tensor, preprocessing: str) -> Tensor:
    """Bring an image to the network's input.

    Args:
        image: ``[B, C, H, W]`` in 0..1, gray (C = 1) or RGB (C = 3).
        preprocessing: ``caffe`` (BGR, 0..255, minus the mean color) or ``torchvision`` (RGB, minus the mean,
            by the standard deviation).

    Raises:
        ValueError: If C is neither 1 nor 3, or ``preprocessing`` is unknown.
    """
    if image.shape[1] not in (1, 3):
        raise ValueError(f"VGG19 needs an image of 1 or 3 channels, got {image.shape[1]}")
    rgb = image.expand(-1, 3, -1, -1)
    if preprocessing == "caffe":
        mean = image.new_tensor(CAFFE_MEAN_BGR)[:, None, None]
        return rgb.flip(1) * 255.0 - mean
    if preprocessing == "torchvision":
        mean = image.new_tensor(IMAGENET_MEAN_RGB)[:, None, None]
        return (rgb - mean) / image.new_tensor(IMAGENET_STD_RGB)[:, None, None]
    raise ValueError(f"preprocessing must be torchvision or caffe, got {preprocessing!r}")


class VGG19:
    """Feature maps of VGG19 after the ReLUs, frozen, for the layers asked for and no deeper.

    Args:
        weights: Convolutions; those after the deepest layer are not kept.
        layers: Layer names (``relu4_1``, ``conv4_1`` or ``block4_conv1``).
        pooling: ``max`` or ``average`` (Gatys et al. 2016 prefer average), 2x2.
        pooling_gain: Factor on each pooling's output (with average, Crowson 2021 takes 2).
        padding: ``zeros``, ``replicate``, or ``replicate_first`` (the first convolution's only).
        gains: Layer name to a factor per channel ``[C]`` on its maps (``normalizing_gains``).
        device: Where to run.
        dtype: Of weights and maps.

    Raises:
        ValueError: If a layer is unknown or not covered by the weights, or an option is unknown.

    Reference:
        Simonyan & Zisserman 2015, configuration E.
    """

    def __init__(
        self,
        weights: Weights,
        layers: Iterable[str],
        *,
        pooling: str = "max",
        pooling_gain: float = 1.0,
        padding: str = "zeros",
        gains: dict[str, Tensor] | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if pooling not in ("max", "average"):
            raise ValueError(f"pooling must be max or average, got {pooling!r}")
        if padding not in ("zeros", "replicate", "replicate_first"):
            raise ValueError(f"padding must be zeros, replicate or replicate_first, got {padding!r}")
        self.layers = tuple(dict.fromkeys(canonical_layer(name) for name in layers))
        missing = [name for name in self.layers if name not in weights.tensors]
        if missing:
            raise ValueError(
                f"the weights of {weights.origin} do not reach {', '.join(missing)}; they cover "
                f"{', '.join(weights.layers)}: choose among these with --content-layers and --style-layers"
            )
        deepest = max((LAYERS.index(name) for name in self.layers), default=-1)
        self._convolutions: list[tuple[str, Tensor, Tensor]] = []
        for name in LAYERS[: deepest + 1]:
            weight, bias = (t.to(device=device, dtype=dtype) for t in weights.tensors[name])
            self._convolutions.append((name, weight, bias))
        self._gains = {name: g.to(device=device, dtype=dtype) for name, g in (gains or {}).items()}
        self._pooling, self._pooling_gain, self._padding = pooling, pooling_gain, padding
        self._preprocessing = weights.preprocessing
        # Faster by a third on CPUs, where convolutions of doubles know no such layout; slower on MPS.
        self._channels_last = dtype != torch.float64 and torch.device(device).type != "mps"
        self.stride, self.halo = _stride_and_halo(deepest)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Turn ``[B, 1 or 3, H, W]`` in 0..1 into ``{"relu1_1": [B, 64, H, W], ...}``."""
        x = prepare(image, self._preprocessing)
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        maps: dict[str, Tensor] = {}
        for number, (name, weight, bias) in enumerate(self._convolutions):
            if name.endswith("_1") and number:
                x = self._pool(x)
            x = F.relu_(self._convolve(x, weight, bias, first=number == 0))
            if name in self.layers:
                gain = self._gains.get(name)
                maps[name] = x if gain is None else x * gain[:, None, None]
        return maps

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor, *, first: bool) -> Tensor:
        if self._padding == "zeros" or (self._padding == "replicate_first" and not first):
            return F.conv2d(x, weight, bias, padding=1)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias)

    def _pool(self, x: Tensor) -> Tensor:
        # A side of one pixel stays one pixel: the shortest sounds have few frames.
        window = [min(2, side) for side in x.shape[2:]]
        pool = F.max_pool2d if self._pooling == "max" else F.avg_pool2d
        pooled: Tensor = pool(x, window)
        return pooled if self._pooling_gain == 1.0 else pooled * self._pooling_gain


def _stride_and_halo(deepest: int) -> tuple[int, int]:
    """Return pixels per position of the deepest layer, and how far around it reaches."""
    stride, halo = 1, 0
    for number, name in enumerate(LAYERS[: deepest + 1]):
        if name.endswith("_1") and number:
            halo += stride
            stride *= 2
        halo += stride
    return stride, halo


@torch.no_grad()
def normalizing_gains(network: VGG19, images: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return the factors that bring each filter to a mean activation of 1 over images and positions.

    ReLU and pooling commute with positive factors, so scaling a layer's maps is the same as rescaling the
    weights before and after it. A filter that never fires keeps the factor 1.

    Args:
        network: The network without gains.
        images: ``[B, C, H, W]`` each.

    Returns:
        Layer name to ``[C]``.

    Reference:
        Gatys, Ecker & Bethge 2016, section 2 (they average over the ImageNet validation set).
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for image in images:
        for name, maps in network(image).items():
            total = maps.sum((0, 2, 3))
            sums[name] = sums[name] + total if name in sums else total
            counts[name] = counts.get(name, 0) + maps.shape[0] * maps.shape[2] * maps.shape[3]
    gains = {}
    for name, total in sums.items():
        mean = total / counts[name]
        gains[name] = torch.where(mean > 0, 1.0 / mean.clamp_min(torch.finfo(mean.dtype).tiny), 1.0)
    return gains
