"""VGG19: images to named feature maps, cut off after the deepest layer in use."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine.views import IMAGE
from specstyle.features import winograd
from specstyle.features.weights import LAYERS, Weights

LARGEST_GAIN = 100.0
"""Of a channel whose mean activation is brought to 1, in medians of its layer's. Of pretrained VGG19 on
photographs one channel of relu4_1 has 65, and no other more than 16."""

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)

_LAYER = re.compile(r"(?:(?:relu|conv)(\d)_(\d)|block(\d)_conv(\d))")


def canonical_layer(name: str) -> str:
    """Return a layer's name as ``relu<block>_<number>``.

    The papers' ``conv4_2`` and Keras' ``block4_conv2`` mean the same layer after its ReLU. Views that follow
    an ``@`` (``engine.views``) stay as they are.

    Raises:
        ValueError: If VGG19 has no such layer; the message lists the layers.

    >>> canonical_layer("conv4_2"), canonical_layer("block5_conv2"), canonical_layer("conv3_1@2")
    ('relu4_2', 'relu5_2', 'relu3_1@2')
    """
    layer, at, views = name.partition("@")
    if layer == IMAGE:
        return name
    match = _LAYER.fullmatch(layer)
    found = "relu{}_{}".format(*(g for g in match.groups() if g)) if match else ""
    if found not in LAYERS:
        raise ValueError(f"VGG19 has no layer {layer!r}; its layers are {', '.join(LAYERS)}")
    return found + at + views


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
        return rgb.flip(1) * 255.0 - _constant(CAFFE_MEAN_BGR, image.dtype, image.device)[:, None, None]
    if preprocessing == "torchvision":
        mean, deviation = (
            _constant(values, image.dtype, image.device)[:, None, None]
            for values in (IMAGENET_MEAN_RGB, IMAGENET_STD_RGB)
        )
        return (rgb - mean) / deviation
    raise ValueError(f"preprocessing must be torchvision or caffe, got {preprocessing!r}")


@functools.cache
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers on a device, brought there once: a CUDA graph cannot record a copy from the host.

    A graph reads them where they are, so they are never given up.
    """
    with torch.inference_mode(False):  # a gradient needs them, whoever asked for them first
        return torch.tensor(values, dtype=dtype, device=device)


class VGG19:
    """Feature maps of VGG19 after the ReLUs, frozen, for the layers asked for and no deeper.

    Args:
        weights: Convolutions; those after the deepest layer are not kept.
        layers: Layer names (``relu4_1``, ``conv4_1`` or ``block4_conv1``).
        pooling: ``max`` or ``average`` (Gatys et al. 2016 prefer average), 2x2.
        padding: ``zeros``, ``replicate``, or ``replicate_first`` (the first convolution's only).
        gains: Layer name to a factor per channel ``[C]`` on its maps (``normalizing_gains``).
        device: Where to run.
        dtype: Of the weights and of all that is computed. Maps are float32 where that is less precise.

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
                f"{weights.origin} does not reach {', '.join(missing)}; it covers "
                f"{', '.join(weights.layers)}: choose among these with --content-layers and "
                "--style-layers, or pretrained VGG19"
            )
        deepest = max((LAYERS.index(name) for name in self.layers), default=-1)
        # Faster by a third on CPUs, where convolutions of doubles know no such layout; slower on MPS.
        self._channels_last = dtype != torch.float64 and torch.device(device).type != "mps"
        layout = torch.channels_last if self._channels_last else torch.contiguous_format
        self._convolutions: list[tuple[str, Tensor, Tensor]] = []
        for name in LAYERS[: deepest + 1]:
            weight, bias = (t.to(device=device, dtype=dtype) for t in weights.tensors[name])
            # In the maps' layout, or each step would bring them into it.
            self._convolutions.append((name, weight.contiguous(memory_format=layout), bias))
        self._filters: dict[int, Tensor] = {}
        self._gains = {name: g.to(device=device, dtype=dtype) for name, g in (gains or {}).items()}
        self._pooling, self._padding = pooling, padding
        self._preprocessing, self._dtype = weights.preprocessing, dtype
        self._measure()

    def _measure(self) -> None:
        """Find out how far the layers wanted reach."""
        self.strides: dict[str, int] = {}
        self.stride, self.halo = stride, halo = 1, 0
        for number, name in enumerate(LAYERS):
            if name.endswith("_1") and number:
                halo += stride
                stride *= 2
            halo += stride
            if name in self.layers:
                self.strides[name] = stride
                self.stride, self.halo = stride, halo

    def only(self, layers: Iterable[str]) -> VGG19:
        """Return the same network for some of its layers: it shares all weights, and computes no further."""
        other = copy.copy(self)
        other.layers = tuple(layer for layer in self.layers if layer in set(layers))
        other._measure()
        return other

    def looped(self) -> VGG19:
        """Return the same network for images that go on at one border where they end at the opposite one.

        Exactly so if their sides are multiples of ``stride``.
        """
        other = copy.copy(self)
        other._padding = "circular"
        return other

    def map_size(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        """Return channels, height and width of a layer's maps of an image of ``height`` x ``width``."""
        channels = self._convolutions[LAYERS.index(layer)][1].shape[0]
        # Pooling halves and rounds down, and leaves a side of one pixel alone.
        rows, columns = (max(side // self.strides[layer], 1) for side in (height, width))
        return channels, rows, columns

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Turn ``[B, 1 or 3, H, W]`` in 0..1 into ``{"relu1_1": [B, 64, H, W], ...}``."""
        x = prepare(image, self._preprocessing).to(self._dtype)
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        maps: dict[str, Tensor] = {}
        pool = F.max_pool2d if self._pooling == "max" else F.avg_pool2d
        deepest = max(map(LAYERS.index, self.layers), default=-1)
        for number, (name, _, _) in enumerate(self._convolutions[: deepest + 1]):
            if name.endswith("_1") and number:
                # A side of one pixel stays one pixel: the shortest sounds have few frames.
                x = pool(x, [min(2, side) for side in x.shape[2:]])
            x = F.relu_(self._convolve(x, number))
            if name in self.layers:
                gain = self._gains.get(name)
                found = x if gain is None else x * gain[:, None, None]
                maps[name] = found.float() if found.dtype.itemsize < 4 else found
        return maps

    def _convolve(self, x: Tensor, number: int) -> Tensor:
        _, weight, bias = self._convolutions[number]
        padding = int(self._padding == "zeros" or (self._padding == "replicate_first" and number > 0))
        if not padding:
            x = F.pad(x, (1, 1, 1, 1), mode="circular") if self._padding == "circular" else with_edges(x)
        if not winograd.worthwhile(weight, x.shape[0] * x.shape[2] * x.shape[3]):
            return F.conv2d(x, weight, bias, padding=padding)
        if number not in self._filters:
            # Kept, so fit for gradients even if the first to ask wants none.
            with torch.inference_mode(False), torch.no_grad():
                self._filters[number] = winograd.transformed(weight)
        return winograd.convolve(x, self._filters[number], bias, padding=padding)


def with_edges(x: Tensor) -> Tensor:
    """Return maps ``[B, C, H, W]`` with their borders once more around them, ``[B, C, H + 2, W + 2]``."""
    return _edges_joined(x) if x.device.type == "cuda" else F.pad(x, (1, 1, 1, 1), mode="replicate")


def _edges_joined(x: Tensor) -> Tensor:
    """Return ``with_edges`` in the layout of the maps, which torch's own padding leaves on CUDA.

    Its gradient comes in one order of sums; there, torch's comes in any.
    """
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
    return torch.cat([x[..., :1], x, x[..., -1:]], 3)


@torch.no_grad()
def mean_activations(network: VGG19, images: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return each channel's mean over images ``[B, C, H, W]`` and positions: layer name to ``[C]``."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for image in images:
        for name, maps in network(image).items():
            total = maps.sum((0, 2, 3))
            sums[name] = sums[name] + total if name in sums else total
            counts[name] = counts.get(name, 0) + maps.shape[0] * maps.shape[2] * maps.shape[3]
    return {name: total / counts[name] for name, total in sums.items()}


def photographic_means() -> dict[str, Tensor]:
    """Return the ``mean_activations`` of pretrained VGG19 (Caffe's scale, average pooling) over photographs.

    Made by `training/means.py`, which lists the photographs.
    """
    from safetensors.torch import load_file

    return load_file(Path(__file__).with_name("vgg19-means.safetensors"))


def normalizing_gains(means: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the factors that bring each channel to a mean activation of 1.

    ReLU and pooling commute with positive factors, so scaling a layer's maps is the same as rescaling the
    weights before and after it. What a channel does that hardly fires on a few images is not known from
    them: its factor is at most ``LARGEST_GAIN`` medians of the layer's, one that never fires gets the median,
    and a layer that never fires keeps factors of 1.

    Args:
        means: Of each channel, ``[C]`` by layer.

    Returns:
        Layer name to ``[C]``.

    Reference:
        Gatys, Ecker & Bethge 2016, section 2.
    """
    gains = {}
    for name, mean in means.items():
        alive = mean[mean > 0]
        usual = alive.median() if len(alive) else mean.new_ones(())
        gains[name] = torch.where(mean > 0, mean.clamp_min(usual / LARGEST_GAIN), usual).reciprocal()
    return gains
