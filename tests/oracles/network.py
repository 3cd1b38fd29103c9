"""VGG-shaped networks in NumPy, forward and backward by hand; no torch, no automatic differentiation.

Layers carry the papers' names (``conv4_2``) and are taken after their ReLU.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CAFFE_MEANS_BGR = (103.939, 116.779, 123.68)
TORCHVISION_MEANS_RGB = (0.485, 0.456, 0.406)
TORCHVISION_DEVIATIONS_RGB = (0.229, 0.224, 0.225)

LAYERS = tuple(
    f"conv{block}_{i}" for block, n in ((1, 2), (2, 2), (3, 4), (4, 4), (5, 4)) for i in range(1, n + 1)
)


def prepare(image: Array, preprocessing: str) -> Array:
    """``[B, 1 or 3, H, W]`` in 0..1 to the network's input."""
    rgb = np.broadcast_to(image, (image.shape[0], 3, *image.shape[2:]))
    if preprocessing == "caffe":
        return np.stack([255.0 * rgb[:, 2 - k] - CAFFE_MEANS_BGR[k] for k in range(3)], axis=1)
    moved = [(rgb[:, k] - TORCHVISION_MEANS_RGB[k]) / TORCHVISION_DEVIATIONS_RGB[k] for k in range(3)]
    return np.stack(moved, axis=1)


def prepare_backward(gradient: Array, preprocessing: str, channels: int) -> Array:
    if preprocessing == "caffe":
        rgb = np.stack([255.0 * gradient[:, 2 - k] for k in range(3)], axis=1)
    else:
        rgb = np.stack([gradient[:, k] / TORCHVISION_DEVIATIONS_RGB[k] for k in range(3)], axis=1)
    return rgb if channels == 3 else rgb.sum(axis=1, keepdims=True)


def pad(x: Array, *, replicate: bool) -> Array:
    """One pixel around."""
    return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge" if replicate else "constant")


def pad_backward(gradient: Array, *, replicate: bool) -> Array:
    inner = gradient.copy()
    if replicate:  # what was copied out gives its gradient back to where it came from
        inner[:, :, 1] += inner[:, :, 0]
        inner[:, :, -2] += inner[:, :, -1]
        inner[:, :, :, 1] += inner[:, :, :, 0]
        inner[:, :, :, -2] += inner[:, :, :, -1]
    return inner[:, :, 1:-1, 1:-1]


def convolve(padded: Array, weight: Array, bias: Array) -> Array:
    """3x3 cross-correlation, tap by tap."""
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    out = np.zeros((padded.shape[0], weight.shape[0], height, width)) + bias[:, None, None]
    for i in range(3):
        for j in range(3):
            out += np.einsum("oc,bchw->bohw", weight[:, :, i, j], padded[:, :, i : i + height, j : j + width])
    return out


def convolve_backward(gradient: Array, weight: Array) -> Array:
    batch, _, height, width = gradient.shape
    out = np.zeros((batch, weight.shape[1], height + 2, width + 2))
    for i in range(3):
        for j in range(3):
            tap = np.einsum("oc,bohw->bchw", weight[:, :, i, j], gradient)
            out[:, :, i : i + height, j : j + width] += tap
    return out


def windows(x: Array) -> Array:
    """``[B, C, h, w, 4]``: the 2x2 windows; an odd last row or column is left out."""
    h, w = x.shape[2] // 2, x.shape[3] // 2
    parts = [x[:, :, i : 2 * h : 2, j : 2 * w : 2] for i in range(2) for j in range(2)]
    return np.stack(parts, axis=-1)


def windows_backward(gradient: Array, shape: tuple[int, ...]) -> Array:
    out = np.zeros(shape)
    h, w = shape[2] // 2, shape[3] // 2
    for k, (i, j) in enumerate((i, j) for i in range(2) for j in range(2)):
        out[:, :, i : 2 * h : 2, j : 2 * w : 2] += gradient[..., k]
    return out


def pool(x: Array, kind: str) -> Array:
    return windows(x).max(axis=-1) if kind == "max" else windows(x).mean(axis=-1)


def pool_backward(gradient: Array, x: Array, kind: str) -> Array:
    if kind == "max":
        winner = np.eye(4)[windows(x).argmax(axis=-1)]
        return windows_backward(gradient[..., None] * winner, x.shape)
    return windows_backward(np.repeat(gradient[..., None] / 4.0, 4, axis=-1), x.shape)


@dataclass(frozen=True)
class VGG:
    """Convolutions by name, in order, each ``(weight [out, in, 3, 3], bias [out])``."""

    convolutions: dict[str, tuple[Array, Array]]
    preprocessing: str = "caffe"
    pooling: str = "max"
    padding: str = "zeros"
    gains: dict[str, Array] = field(default_factory=dict)

    def forward(self, image: Array) -> dict[str, Array]:
        """Every layer's maps, ``[B, C, h, w]``."""
        return self._forward(image)[0]

    def backward(self, image: Array, gradients: dict[str, Array]) -> Array:
        """Gradient with respect to the image, of a loss with these gradients at some layers' maps."""
        _, tape = self._forward(image)
        flow = None
        for name, entered, response in reversed(tape):
            here = gradients.get(name)
            if here is not None:
                here = here * self.gains[name][:, None, None] if name in self.gains else here
                flow = here if flow is None else flow + here
            if flow is None:
                continue
            flow = flow * (response > 0)
            flow = convolve_backward(flow, self.convolutions[name][0])
            flow = pad_backward(flow, replicate=self._replicate(name))
            if entered is not None:
                flow = pool_backward(flow, entered, self.pooling)
        assert flow is not None
        return prepare_backward(flow, self.preprocessing, image.shape[1])

    def normalized(self, images: list[Array]) -> VGG:
        """The network with weights rescaled so that each filter's mean activation is 1 (Gatys et al.).

        Literally by rescaling weights, layer by layer: filter and bias are divided by the filter's mean
        activation, and the next layer takes the factor back from its input channels.
        """
        maps = [self.forward(image) for image in images]
        scaled, before = {}, np.ones(3)
        for name, (weight, bias) in self.convolutions.items():
            positions = sum(m[name].shape[0] * m[name].shape[2] * m[name].shape[3] for m in maps)
            mean = sum(m[name].sum(axis=(0, 2, 3)) for m in maps) / positions
            scaled[name] = weight * before[None, :, None, None] / mean[:, None, None, None], bias / mean
            before = mean
        return replace(self, convolutions=scaled)

    def _replicate(self, name: str) -> bool:
        return self.padding == "replicate" or (self.padding == "replicate_first" and name == "conv1_1")

    def _forward(self, image: Array) -> tuple[dict[str, Array], list[tuple[str, Array | None, Array]]]:
        x = prepare(image, self.preprocessing)
        maps, tape = {}, []
        for name, (weight, bias) in self.convolutions.items():
            entered = None
            if name.endswith("_1") and name != "conv1_1":
                entered = x
                x = pool(x, self.pooling)
            response = convolve(pad(x, replicate=self._replicate(name)), weight, bias)
            x = np.maximum(response, 0.0)
            maps[name] = x * self.gains[name][:, None, None] if name in self.gains else x
            tape.append((name, entered, response))
        return maps, tape


@dataclass(frozen=True)
class OverTime:
    """One convolution over columns, rows (of all colors) as channels, no padding, no bias; ReLU."""

    filters: Array  # [out, rows, width]

    def forward(self, image: Array) -> dict[str, Array]:
        return {"conv1": np.maximum(self._response(image), 0.0)[:, :, None, :]}

    def backward(self, image: Array, gradients: dict[str, Array]) -> Array:
        flow = gradients["conv1"][:, :, 0, :] * (self._response(image) > 0)
        rows = np.zeros((image.shape[0], image.shape[1] * image.shape[2], image.shape[3]))
        for k in range(self.filters.shape[2]):
            rows[:, :, k : k + flow.shape[2]] += np.einsum("or,bot->brt", self.filters[:, :, k], flow)
        return rows.reshape(image.shape)

    def _response(self, image: Array) -> Array:
        rows = image.reshape(image.shape[0], -1, image.shape[3])
        times = image.shape[3] - self.filters.shape[2] + 1
        out = np.zeros((image.shape[0], self.filters.shape[0], times))
        for k in range(self.filters.shape[2]):
            out += np.einsum("or,brt->bot", self.filters[:, :, k], rows[:, :, k : k + times])
        return out
