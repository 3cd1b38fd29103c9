"""VGG19: images to named feature maps, cut off after the deepest layer in use."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.features import winograd
from specstyle.features.weights import LAYERS, Weights

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)

_BINOMIAL = (0.125, 0.375, 0.375, 0.125)

_LAYER = re.compile(r"(?:(?:relu|conv)(\d)_(\d)|block(\d)_conv(\d))(?:@([248]))?")


def canonical_layer(name: str) -> str:
    """Return a layer's name as ``relu<block>_<number>``.

    The papers' ``conv4_2`` and Keras' ``block4_conv2`` mean the same layer after its ReLU. A name may end in
    ``@2``, ``@4`` or ``@8``: the layer on the image reduced so many times, whose positions reach that much
    further.

    Raises:
        ValueError: If VGG19 has no such layer; the message lists the layers.

    >>> canonical_layer("conv4_2"), canonical_layer("block5_conv2"), canonical_layer("conv3_1@2")
    ('relu4_2', 'relu5_2', 'relu3_1@2')
    """
    match = _LAYER.fullmatch(name)
    found = "relu{}_{}".format(*(g for g in match.groups()[:4] if g)) if match else ""
    if match is None or found not in LAYERS:
        raise ValueError(
            f"VGG19 has no layer {name!r}; its layers are {', '.join(LAYERS)}, each with @2, @4 or @8 for "
            "the image reduced so many times"
        )
    return f"{found}@{match[5]}" if match[5] else found


def convolution(layer: str) -> str:
    """Return a canonical layer's name without the reduction of the image.

    >>> convolution("relu3_1@2")
    'relu3_1'
    """
    return layer.partition("@")[0]


def reduction(layer: str) -> int:
    """Return how many times the image is reduced for a canonical layer.

    >>> reduction("relu3_1@2"), reduction("relu3_1")
    (2, 1)
    """
    return int(layer.partition("@")[2] or 1)


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


def reduced(image: Tensor, factor: int) -> Tensor:
    """Return an image at 1/2, 1/4 or 1/8 of its size, smoothed before each halving.

    Block means would do for the value, but their gradient is as blocky as they are.

    Args:
        image: ``[B, C, H, W]``. A side of one pixel stays one pixel.
        factor: 1, 2, 4 or 8.

    Returns:
        ``[B, C, H // factor, W // factor]``, at least one pixel a side.

    Reference:
        Burt & Adelson 1983, with the binomial filter of four taps.
    """
    channels = image.shape[1]
    taps = _constant(_BINOMIAL, image.dtype, image.device)
    while factor > 1:
        factor //= 2
        if image.shape[2] > 1:
            columns = taps[:, None].expand(channels, 1, 4, 1)
            padded = F.pad(image, (0, 0, 1, 1), mode="replicate")
            image = F.conv2d(padded, columns, stride=(2, 1), groups=channels)
        if image.shape[3] > 1:
            rows = taps.expand(channels, 1, 1, 4)
            padded = F.pad(image, (1, 1, 0, 0), mode="replicate")
            image = F.conv2d(padded, rows, stride=(1, 2), groups=channels)
    return image


class VGG19:
    """Feature maps of VGG19 after the ReLUs, frozen, for the layers asked for and no deeper.

    Args:
        weights: Convolutions; those after the deepest layer are not kept.
        layers: Layer names (``relu4_1``, ``conv4_1`` or ``block4_conv1``; ``relu3_1@2`` on the image at half
            its size).
        pooling: ``max`` or ``average`` (Gatys et al. 2016 prefer average), 2x2.
        pooling_gain: Factor on each pooling's output (with average, Crowson 2021 takes 2).
        padding: ``zeros``, ``replicate``, or ``replicate_first`` (the first convolution's only).
        gains: Layer name to a factor per channel ``[C]`` on its maps (``normalizing_gains``).
        device: Where to run.
        dtype: Of the weights and of all that is computed. Maps are float32 where that is less precise.

    Raises:
        ValueError: If a layer is unknown or not covered by the weights, or an option is unknown.

    Reference:
        Simonyan & Zisserman 2015, configuration E. The same layers on a pyramid of the image in the place of
        deeper ones: Snelgrove 2017, for textures.
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
        missing = [name for name in self.layers if convolution(name) not in weights.tensors]
        if missing:
            raise ValueError(
                f"{weights.origin} does not reach {', '.join(missing)}; it covers "
                f"{', '.join(weights.layers)}: choose among these with --content-layers and "
                "--style-layers, or pretrained VGG19"
            )
        self._levels = {
            factor: [name for name in self.layers if reduction(name) == factor]
            for factor in sorted({reduction(name) for name in self.layers})
        }
        deepest = max((_depth(name) for name in self.layers), default=-1)
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
        self._pooling, self._pooling_gain, self._padding = pooling, pooling_gain, padding
        self._preprocessing, self._dtype = weights.preprocessing, dtype
        self.strides = {n: _stride_and_halo(_depth(n), reduction(n))[0] for n in self.layers}
        reaches = [_stride_and_halo(_depth(n), reduction(n)) for n in self.layers] or [(1, 0)]
        self.stride, self.halo = (max(part) for part in zip(*reaches, strict=True))

    def map_size(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        """Return channels, height and width of a layer's maps of an image of ``height`` x ``width``."""
        channels = self._convolutions[_depth(layer)][1].shape[0]
        # Reduction and pooling halve and round down, and leave a side of one pixel alone.
        rows, columns = (max(side // self.strides[layer], 1) for side in (height, width))
        return channels, rows, columns

    def activations(self, height: int, width: int) -> int:
        """Return how many values forward and back hold at once for one image, from what was measured."""
        held, largest = 0.0, 0
        filters: dict[int, int] = {}
        for factor, layers in self._levels.items():
            stride = factor
            for number, (name, weight, _) in enumerate(self._convolutions[: max(map(_depth, layers)) + 1]):
                channels = weight.shape[0]
                if name.endswith("_1") and number:
                    stride *= 2
                    held += weight.shape[1] / stride**2
                held += channels / stride**2
                largest = max(largest, channels) if stride == 1 else largest
                if winograd.worthwhile(weight, height * width // stride**2):
                    filters[number] = 4 * weight.numel()
        return round((3 + held + 4 * largest) * height * width) + sum(filters.values())

    def largest_map(self, height: int, width: int) -> int:
        """Return how many values the largest map of one image has, wanted or on the way.

        That is one of the first block's: channels double where positions become a fourth.
        """
        factor = min(self._levels, default=1)
        return int(self._convolutions[0][1].shape[0]) * height * width // factor**2

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Turn ``[B, 1 or 3, H, W]`` in 0..1 into ``{"relu1_1": [B, 64, H, W], ...}``."""
        x = prepare(image, self._preprocessing)
        maps: dict[str, Tensor] = {}
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        for factor, layers in self._levels.items():
            self._run(reduced(x, factor).to(self._dtype), {convolution(name): name for name in layers}, maps)
        return maps

    def _run(self, x: Tensor, wanted: dict[str, str], maps: dict[str, Tensor]) -> None:
        """Add the maps of some layers, by convolution the names under which they are wanted."""
        deepest = max(map(LAYERS.index, wanted))
        for number, (name, _, _) in enumerate(self._convolutions[: deepest + 1]):
            if name.endswith("_1") and number:
                x = self._pool(x)
            x = F.relu_(self._convolve(x, number))
            if name in wanted:
                gain = self._gains.get(wanted[name])
                found = x if gain is None else x * gain[:, None, None]
                maps[wanted[name]] = found.float() if found.dtype.itemsize < 4 else found

    def _convolve(self, x: Tensor, number: int) -> Tensor:
        _, weight, bias = self._convolutions[number]
        padding = int(self._padding == "zeros" or (self._padding == "replicate_first" and number > 0))
        if not padding:
            x = with_edges(x)
        if not winograd.worthwhile(weight, x.shape[0] * x.shape[2] * x.shape[3]):
            return F.conv2d(x, weight, bias, padding=padding)
        if number not in self._filters:
            # Kept, so fit for gradients even if the first to ask wants none.
            with torch.inference_mode(False), torch.no_grad():
                self._filters[number] = winograd.transformed(weight)
        return winograd.convolve(x, self._filters[number], bias, padding=padding)

    def _pool(self, x: Tensor) -> Tensor:
        # A side of one pixel stays one pixel: the shortest sounds have few frames.
        window = [min(2, side) for side in x.shape[2:]]
        pool = F.max_pool2d if self._pooling == "max" else F.avg_pool2d
        pooled: Tensor = pool(x, window)
        return pooled if self._pooling_gain == 1.0 else pooled * self._pooling_gain


def with_edges(x: Tensor) -> Tensor:
    """Return maps ``[B, C, H, W]`` with their borders once more around them, ``[B, C, H + 2, W + 2]``."""
    return _edges_joined(x) if x.device.type == "cuda" else F.pad(x, (1, 1, 1, 1), mode="replicate")


def _edges_joined(x: Tensor) -> Tensor:
    """Return ``with_edges`` in the layout of the maps, which torch's own padding leaves on CUDA.

    Its gradient comes in one order of sums; there, torch's comes in any.
    """
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
    return torch.cat([x[..., :1], x, x[..., -1:]], 3)


def _depth(layer: str) -> int:
    return LAYERS.index(convolution(layer))


def _stride_and_halo(deepest: int, factor: int) -> tuple[int, int]:
    """Return pixels per position of a layer on the reduced image, and how far around it reaches."""
    stride, halo = 1, 0
    for number, name in enumerate(LAYERS[: deepest + 1]):
        if name.endswith("_1") and number:
            halo += stride
            stride *= 2
        halo += stride
    return stride * factor, halo * factor + 2 * (factor - 1)


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
