"""What of a canvas a network looks at: the image itself, a smaller one, its luminance, bands of it.

A layer is named with the views that it looks through, from the canvas on: ``relu3_1`` sees the image itself,
``relu3_1@2`` the image at half its size, ``relu3_1@mel64@2`` half of 64 mel bands. The layer ``image`` is
what is seen, as it is, whatever the network.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

IMAGE = "image"
"""The layer that every network has: what it looks at, as it is."""

_BINOMIAL = (0.125, 0.375, 0.375, 0.125)


def luma(image: Tensor) -> Tensor:
    """Return the luma (Rec. 601, the Y of YIQ and of YCbCr) of ``[..., 3, H, W]`` as ``[..., 1, H, W]``."""
    return (image * image.new_tensor((0.299, 0.587, 0.114))[:, None, None]).sum(-3, keepdim=True)


class View(Protocol):
    """A differentiable map from an image to the image that a network sees.

    Attributes:
        stride: Pixels of the image per pixel of the view (columns only, if ``whole_rows``).
        halo: Pixels of the image around a pixel of the view that can influence it.
        whole_rows: Whether each pixel of the view may depend on all rows of its column.
    """

    stride: int
    halo: int
    whole_rows: bool

    def __call__(self, image: Tensor) -> Tensor:
        """Turn ``[B, C, H, W]`` into what is seen of it, ``[B, C', H', W']``."""
        ...

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the view of an image."""
        ...


class Reduced:
    """The image at 1/2, 1/4 or 1/8 of its size, smoothed before each halving.

    Block means would do for the value, but their gradient is as blocky as they are. A side of one pixel stays
    one pixel.

    Args:
        factor: 2, 4 or 8.

    Reference:
        Burt & Adelson 1983, with the binomial filter of four taps; a network's layers on a pyramid in the
        place of deeper ones: Snelgrove 2017, for textures.
    """

    whole_rows = False

    def __init__(self, factor: int, *, loop: bool = False) -> None:
        if factor not in (2, 4, 8):
            raise ValueError(f"an image can be reduced 2, 4 or 8 times, got {factor}")
        self.stride, self.halo, self._mode = factor, 2 * (factor - 1), "circular" if loop else "replicate"

    def looped(self) -> Reduced:
        """Return the same view of images that go on at one border where they end at the opposite one."""
        return Reduced(self.stride, loop=True)

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``[B, C, H // factor, W // factor]``, at least one pixel a side."""
        channels, factor = image.shape[1], self.stride
        taps = image.new_tensor(_BINOMIAL)
        while factor > 1:
            factor //= 2
            if image.shape[2] > 1:
                columns = taps[:, None].expand(channels, 1, 4, 1)
                padded = F.pad(image, (0, 0, 1, 1), mode=self._mode)
                image = F.conv2d(padded, columns, stride=(2, 1), groups=channels)
            if image.shape[3] > 1:
                rows = taps.expand(channels, 1, 1, 4)
                padded = F.pad(image, (1, 1, 0, 0), mode=self._mode)
                image = F.conv2d(padded, rows, stride=(1, 2), groups=channels)
        return image

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the view of an image."""
        return max(height // self.stride, 1), max(width // self.stride, 1)


class SameSize:
    """What views have in common that show a pixel for each pixel of the image."""

    stride, halo, whole_rows = 1, 0, False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the view of an image."""
        return height, width


class Luminance(SameSize):
    """The luma of a picture: nothing that is seen depends on its hues.

    Reference:
        ITU-R BT.601; Gatys et al. 2016, "Preserving color in neural artistic style transfer".
    """

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``[B, 1, H, W]``; a gray image as it is."""
        if image.shape[1] == 1:
            return image
        return luma(image)


class LocalContrast(Luminance):
    """The luma, less its mean and divided by its deviation around each place.

    Where a picture is soft, as in a face, it counts as much as where it is sharp. What is fainter than
    ``FAINT`` is not raised.

    Args:
        radius: Pixels on either side of a place that are around it.

    Reference:
        Divisive normalization: Jarrett, Kavukcuoglu, Ranzato & LeCun 2009.
    """

    FAINT, SPREAD = 0.05, 0.2

    def __init__(self, radius: int = 8, *, loop: bool = False) -> None:
        self.halo, self._mode = radius, "circular" if loop else "replicate"

    def looped(self) -> LocalContrast:
        """Return the same view of images that go on at one border where they end at the opposite one."""
        return LocalContrast(self.halo, loop=True)

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``[B, 1, H, W]``, around 0.5."""
        gray = super().__call__(image)
        mean = self._around(gray)
        variance = (self._around(gray.square()) - mean.square()).clamp_min(0.0)
        return 0.5 + self.SPREAD * (gray - mean) * (variance + self.FAINT**2).rsqrt()

    def _around(self, image: Tensor) -> Tensor:
        """Return the mean around each place."""
        tall, wide = (min(self.halo, side) for side in image.shape[2:])
        image = F.pad(image, (wide, wide, tall, tall), mode=self._mode)
        rows = F.avg_pool2d(image, (2 * tall + 1, 1), 1)
        return F.avg_pool2d(rows, (1, 2 * wide + 1), 1)


def plain_view(name: str) -> View:
    """Return a view of any image by its name: ``2``, ``4``, ``8``, ``luminance`` or ``local``.

    Raises:
        ValueError: If there is no such view.
    """
    if name in ("2", "4", "8"):
        return Reduced(int(name))
    if name == "luminance":
        return Luminance()
    if name == "local":
        return LocalContrast()
    raise ValueError(
        f"there is no view {name!r}; there are 2, 4, 8 (the image reduced so many times), luminance, local "
        "(its contrast, the same everywhere)"
    )


def bare(layer: str) -> str:
    """Return the name of a layer without its views.

    >>> bare("relu3_1@mel64@2")
    'relu3_1'
    """
    return layer.partition("@")[0]


def through(layer: str, view: str) -> str:
    """Return the name of a layer seen through a view before its own.

    >>> through("relu3_1@2", "mel64"), through("relu3_1", "")
    ('relu3_1@mel64@2', 'relu3_1')
    """
    name, at, own = layer.partition("@")
    return name + (f"@{view}" if view else "") + at + own


class Seen:
    """A network that looks at an image through views: the maps of all layers by their whole names.

    It satisfies ``objective.Features`` and, if what it is made of does, ``tiles.TileableFeatures``.

    Args:
        fitted: From how it will see the image and the layers wanted of it, to a network: what turns that into
            maps by layer. Called once for each way of looking.
        layers: The layers wanted, with their views.
        view: Makes a view by its name.
        channels: Of the image.

    Attributes:
        parts: For each way of looking: path of views, views, network, its layers with their whole names.
    """

    def __init__(
        self,
        fitted: Callable[[Callable[[Tensor], Tensor], Sequence[str]], Any],
        layers: Iterable[str],
        view: Callable[[str], View] = plain_view,
        *,
        channels: int = 3,
    ) -> None:
        self._channels = channels
        self.layers = tuple(dict.fromkeys(layers))
        groups: dict[str, dict[str, str]] = {}
        for layer in self.layers:
            groups.setdefault(layer.partition("@")[2], {})[bare(layer)] = layer
        made = functools.cache(view)
        self.parts: list[tuple[str, tuple[View, ...], Any, dict[str, str]]] = []
        for path, names in groups.items():
            views = tuple(made(name) for name in path.split("@") if name)
            own = [name for name in names if name != IMAGE]
            network = fitted(functools.partial(_through, views), own) if own else _NoNetwork()
            self.parts.append((path, views, network, names))
        if all(hasattr(network, "strides") for _, _, network, _ in self.parts):
            self._measure()

    def _measure(self) -> None:
        """Find out how far the layers reach on the canvas, for tiles."""
        self.strides: dict[str, int] = {}
        self.stride, self.halo, self.whole_rows = 1, 0, False
        for _, views, network, names in self.parts:
            stride, halo = 1, 0
            for view in views:
                halo += stride * view.halo
                stride *= view.stride
                self.whole_rows |= view.whole_rows
            self.whole_rows |= getattr(network, "whole_rows", False)
            self.halo = max(self.halo, halo + stride * network.halo)
            strides = {IMAGE: 1, **network.strides}
            self.strides |= {layer: stride * strides[name] for name, layer in names.items()}
        self.stride = max(self.strides.values(), default=1)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Turn ``[B, C, H, W]`` into the maps of the layers wanted, by their whole names."""
        maps: dict[str, Tensor] = {}
        seen: dict[tuple[View, ...], Tensor] = {(): image}
        for _, views, network, names in self.parts:
            for count in range(1, len(views) + 1):
                if views[:count] not in seen:
                    seen[views[:count]] = views[count - 1](seen[views[: count - 1]])
            found = {**network(seen[views]), IMAGE: seen[views]}
            for name, layer in names.items():
                if name not in found:
                    raise ValueError(f"the network has no layer {name!r}; it gave {', '.join(found)}")
                maps[layer] = found[name]
        return maps

    def only(self, layers: Container[str]) -> Seen:
        """Return the same network, which leaves out views that none of some layers looks through."""
        other = copy.copy(self)
        some = [(p, v, n, {k: w for k, w in names.items() if w in layers}) for p, v, n, names in self.parts]
        other.parts = [part for part in some if part[3]]
        return other

    def looped(self) -> Seen:
        """Return the same for images that go on at one border where they end at the opposite one.

        Raises:
            ValueError: If the network has borders, and no way to see images without.
        """
        other = copy.copy(self)
        other.parts = []
        for path, views, network, names in self.parts:
            if not hasattr(network, "looped"):
                raise ValueError("this network sees borders, and loop needs one that can do without")
            around = tuple(view.looped() if hasattr(view, "looped") else view for view in views)
            other.parts.append((path, around, network.looped(), names))
        return other

    def map_size(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        """Return channels, height and width of a layer's maps of an image of ``height`` x ``width``."""
        path = layer.partition("@")[2]
        views, network = next((v, n) for p, v, n, _ in self.parts if p == path)
        for view in views:
            height, width = view.size(height, width)
        if bare(layer) == IMAGE:
            gray = any(isinstance(view, Luminance) for view in views)
            return 1 if gray else self._channels, height, width
        found: tuple[int, int, int] = network.map_size(bare(layer), height, width)
        return found


class _NoNetwork:
    """Stands where nothing but the image itself is looked at."""

    def __init__(self) -> None:
        self.strides: dict[str, int] = {}
        self.halo = 0

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        return {}

    def looped(self) -> _NoNetwork:
        return self


def _through(views: Sequence[View], image: Tensor) -> Tensor:
    for view in views:
        image = view(image)
    return image


def layers_of_callable(network: Callable[[Tensor], dict[str, Tensor]], image: Tensor) -> tuple[str, ...]:
    """Return the layers that a callable gives maps of, in its order.

    Args:
        network: From an image ``[B, C, H, W]`` to maps ``[B, C_l, h_l, w_l]`` by name.
        image: One that it can take.

    Raises:
        ValueError: If it gives anything else.
    """
    with torch.no_grad():
        maps = network(image)
    good = isinstance(maps, dict) and all(isinstance(m, Tensor) and m.ndim == 4 for m in maps.values())
    if not good or not maps:
        name = getattr(network, "__name__", type(network).__name__)
        raise ValueError(
            f"network {name} must turn an image [B, C, H, W] into a dict of maps [B, C, h, w] by name, and "
            f"gave {type(maps).__name__}"
        )
    return tuple(maps)
