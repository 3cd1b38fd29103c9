"""Loss and gradient of each published system, written from the table of figures, by hand.

Every figure is typed in here again. ``x`` is the image, ``c`` the content, ``s`` the style, all
``[B, C, H, W]`` in 0..1; entry b of the style belongs to entry b of the image. The result is, by group,
the loss summed over the batch and its gradient with respect to ``x``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy.linalg import inv, sqrtm

from oracles.network import Array

S5 = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")

Groups = dict[str, tuple[float, Array]]
LayerLoss = Callable[[Array, Array], tuple[float, Array]]
"""Maps ``[C, h, w]`` of image and target to a loss and its gradient with respect to the first."""


class Network(Protocol):
    def forward(self, image: Array) -> dict[str, Array]: ...
    def backward(self, image: Array, gradients: dict[str, Array]) -> Array: ...


# Content


def content_mean(F: Array, P: Array) -> tuple[float, Array]:
    return float(np.mean((F - P) ** 2)), 2.0 * (F - P) / F.size


def content_sum(F: Array, P: Array) -> tuple[float, Array]:
    return float(np.sum((F - P) ** 2)), 2.0 * (F - P)


def content_half_sum(F: Array, P: Array) -> tuple[float, Array]:
    return 0.5 * float(np.sum((F - P) ** 2)), F - P


# Style


def _flat(maps: Array) -> Array:
    return maps.reshape(maps.shape[0], -1)


def style_tensorflow(F: Array, S: Array) -> tuple[float, Array]:
    """G = F F^T / M; the mean over C^2 of (G - A)^2."""
    f, s = _flat(F), _flat(S)
    C, M = f.shape
    D = f @ f.T / M - s @ s.T / s.shape[1]
    return float(np.mean(D**2)), (4.0 / (C**2 * M) * D @ f).reshape(F.shape)


def style_gatys(F: Array, S: Array) -> tuple[float, Array]:
    """G = F F^T; 1/(4 C^2 M^2) sum (G - A)^2."""
    f, s = _flat(F), _flat(S)
    assert f.shape == s.shape, "the style has the content's size"
    C, M = f.shape
    D = f @ f.T - s @ s.T
    return float(np.sum(D**2)) / (4.0 * C**2 * M**2), (D @ f / (C**2 * M**2)).reshape(F.shape)


def style_keras(height: int, width: int) -> LayerLoss:
    """G = F F^T; sum (G - A)^2 / (4 * 3^2 * (H W)^2), H W of the image."""

    def loss(F: Array, S: Array) -> tuple[float, Array]:
        f, s = _flat(F), _flat(S)
        assert f.shape == s.shape, "the style has the content's size"
        D = f @ f.T - s @ s.T
        scale = 1.0 / (4.0 * 3.0**2 * (height * width) ** 2)
        return scale * float(np.sum(D**2)), (scale * 4.0 * D @ f).reshape(F.shape)

    return loss


def style_johnson(F: Array, S: Array) -> tuple[float, Array]:
    """G = F F^T / (C H W); the mean over C^2 of (G - A)^2."""
    f, s = _flat(F), _flat(S)
    C, M = f.shape
    D = f @ f.T / (C * M) - s @ s.T / s.size
    return float(np.mean(D**2)), (4.0 / (C**2 * C * M) * D @ f).reshape(F.shape)


def style_ulyanov(F: Array, S: Array) -> tuple[float, Array]:
    """G = F F^T / T; the sum of (G - A)^2."""
    f, s = _flat(F), _flat(S)
    T = f.shape[1]
    D = f @ f.T / T - s @ s.T / s.shape[1]
    return float(np.sum(D**2)), (4.0 / T * D @ f).reshape(F.shape)


def style_wasserstein(F: Array, S: Array) -> tuple[float, Array]:
    """Wasserstein-2 between Gaussians: mean (mu - mu_t)^2 + tr(Sigma + Sigma_t - 2 (...)^1/2) / C.

    Both covariances have 1e-4 added to their diagonals.
    """
    f, s = _flat(F), _flat(S)
    C, M = f.shape
    mu, mu_t = f.mean(axis=1), s.mean(axis=1)
    sigma = f @ f.T / M - np.outer(mu, mu) + 1e-4 * np.eye(C)
    sigma_t = s @ s.T / s.shape[1] - np.outer(mu_t, mu_t) + 1e-4 * np.eye(C)
    root_t = np.real(sqrtm(sigma_t))
    middle = np.real(sqrtm(root_t @ sigma @ root_t))
    loss = np.mean((mu - mu_t) ** 2) + np.trace(sigma + sigma_t - 2.0 * middle) / C
    by_sigma = (np.eye(C) - root_t @ inv(middle) @ root_t) / C
    by_sigma = 0.5 * (by_sigma + by_sigma.T)
    by_mu = 2.0 * (mu - mu_t) / C
    gradient = 2.0 / M * by_sigma @ (f - mu[:, None]) + by_mu[:, None] / M
    return float(loss), gradient.reshape(F.shape)


# Total variation, of one image [C, H, W] in the range that the system optimizes


def tv_tensorflow(x: Array) -> tuple[float, Array]:
    """Sum |dx| + sum |dy|, as tf.image.total_variation."""
    dx, dy = x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1]
    gradient = np.zeros_like(x)
    gradient[:, :, 1:] += np.sign(dx)
    gradient[:, :, :-1] -= np.sign(dx)
    gradient[:, 1:] += np.sign(dy)
    gradient[:, :-1] -= np.sign(dy)
    return float(np.abs(dx).sum() + np.abs(dy).sum()), gradient


def _inner_differences(x: Array) -> tuple[Array, Array]:
    """Both differences on the (H-1) x (W-1) grid."""
    return x[:, :-1, :-1] - x[:, :-1, 1:], x[:, :-1, :-1] - x[:, 1:, :-1]


def _inner_backward(shape: tuple[int, ...], dx: Array, dy: Array) -> Array:
    gradient = np.zeros(shape)
    gradient[:, :-1, :-1] += dx + dy
    gradient[:, :-1, 1:] -= dx
    gradient[:, 1:, :-1] -= dy
    return gradient


def tv_keras(x: Array) -> tuple[float, Array]:
    """Sum (dx^2 + dy^2)^1.25."""
    dx, dy = _inner_differences(x)
    squares = dx**2 + dy**2
    slope = 1.25 * squares**0.25
    return float(np.sum(squares**1.25)), _inner_backward(x.shape, 2.0 * slope * dx, 2.0 * slope * dy)


def tv_johnson(x: Array) -> tuple[float, Array]:
    """The gradient is dx + dy at a pixel, -dx and -dy at its neighbors: that of half the squares."""
    dx, dy = _inner_differences(x)
    return 0.5 * float(np.sum(dx**2) + np.sum(dy**2)), _inner_backward(x.shape, dx, dy)


def tv_crowson(x: Array) -> tuple[float, Array]:
    """Nine points: 2 (mean dx^2 / 3 + mean dy^2 / 3 + mean d45^2 / 12 + mean d135^2 / 12)."""
    C, H, W = x.shape
    p = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
    here, after, all_but_last, all_but_first = slice(1, -1), slice(2, None), slice(None, -1), slice(1, None)
    pairs = (
        (here, after, here, here, 1.0 / 3.0, C * H * W),
        (after, here, here, here, 1.0 / 3.0, C * H * W),
        (all_but_first, all_but_first, all_but_last, all_but_last, 1.0 / 12.0, C * (H + 1) * (W + 1)),
        (all_but_first, all_but_last, all_but_last, all_but_first, 1.0 / 12.0, C * (H + 1) * (W + 1)),
    )
    loss, gradient = 0.0, np.zeros_like(p)
    for rows_a, columns_a, rows_b, columns_b, weight, count in pairs:
        d = p[:, rows_a, columns_a] - p[:, rows_b, columns_b]
        assert d.size == count
        loss += 2.0 * weight * float(np.sum(d**2)) / count
        gradient[:, rows_a, columns_a] += 4.0 * weight * d / count
        gradient[:, rows_b, columns_b] -= 4.0 * weight * d / count
    gradient[:, 1] += gradient[:, 0]
    gradient[:, -2] += gradient[:, -1]
    gradient[:, :, 1] += gradient[:, :, 0]
    gradient[:, :, -2] += gradient[:, :, -1]
    return loss, gradient[:, 1:-1, 1:-1]


# Sums over layers and entries


def _features_group(
    network: Network, x: Array, target: Array, layers: dict[str, float], loss: LayerLoss
) -> tuple[float, Array]:
    maps, wanted = network.forward(x), network.forward(target)
    total, gradients = 0.0, {}
    for layer, weight in layers.items():
        gradients[layer] = np.zeros_like(maps[layer])
        for entry in range(x.shape[0]):
            value, gradient = loss(maps[layer][entry], wanted[layer][entry])
            total += weight * value
            gradients[layer][entry] = weight * gradient
    return total, network.backward(x, gradients)


def _image_group(
    x: Array, weight: float, upper: float, loss: Callable[[Array], tuple[float, Array]]
) -> tuple[float, Array]:
    parts = [loss(upper * entry) for entry in x]
    return weight * sum(value for value, _ in parts), np.stack([weight * upper * g for _, g in parts])


# The systems


def tf_eager(network: Network, x: Array, c: Array, s: Array) -> Groups:
    return {
        "content": _features_group(network, x, c, {"conv5_2": 1e3}, content_mean),
        "style": _features_group(network, x, s, dict.fromkeys(S5, 1e-2 / 5), style_tensorflow),
    }


def gatys2016(network: Network, x: Array, c: Array, s: Array) -> Groups:
    return {
        "content": _features_group(network, x, c, {"conv4_2": 1.0}, content_half_sum),
        "style": _features_group(network, x, s, dict.fromkeys(S5, 1e3 / 5), style_gatys),
    }


def tf2(network: Network, x: Array, c: Array, s: Array) -> Groups:
    return {
        "content": _features_group(network, x, c, {"conv5_2": 1e4}, content_mean),
        "style": _features_group(network, x, s, dict.fromkeys(S5, 1e-2 / 5), style_tensorflow),
        "tv": _image_group(x, 30.0, 1.0, tv_tensorflow),
    }


def keras_lbfgs(network: Network, x: Array, c: Array, s: Array) -> Groups:
    style = style_keras(*c.shape[2:])
    return {
        "content": _features_group(network, x, c, {"conv5_2": 0.025}, content_sum),
        "style": _features_group(network, x, s, dict.fromkeys(S5, 1.0 / 5), style),
        "tv": _image_group(x, 1e-4, 255.0, tv_keras),
    }


def keras_sgd(network: Network, x: Array, c: Array, s: Array) -> Groups:
    style = style_keras(*c.shape[2:])
    return {
        "content": _features_group(network, x, c, {"conv5_2": 2.5e-8}, content_sum),
        "style": _features_group(network, x, s, dict.fromkeys(S5, 1e-6 / 5), style),
        "tv": _image_group(x, 1e-6, 255.0, tv_keras),
    }


def johnson2015(network: Network, x: Array, c: Array, s: Array) -> Groups:
    return {
        "content": _features_group(network, x, c, {"conv4_2": 5.0}, content_mean),
        "style": _features_group(network, x, s, dict.fromkeys(S5, 100.0), style_johnson),
        "tv": _image_group(x, 1e-3, 255.0, tv_johnson),
    }


def crowson2021(network: Network, x: Array, c: Array, s: Array) -> Groups:
    shares = {"conv1_1": 256, "conv2_1": 64, "conv3_1": 16, "conv4_1": 4, "conv5_1": 1}
    layers = {layer: share / 341 for layer, share in shares.items()}
    return {
        "content": _features_group(network, x, c, {"conv4_2": 0.015}, content_mean),
        "style": _features_group(network, x, s, layers, style_wasserstein),
        "tv": _image_group(x, 2.0, 1.0, tv_crowson),
    }


def ulyanov2016(network: Network, x: Array, c: Array, s: Array) -> Groups:
    return {
        "content": _features_group(network, x, c, {"conv1": 1e-2}, content_sum),
        "style": _features_group(network, x, s, {"conv1": 1.0}, style_ulyanov),
    }


SYSTEMS: dict[str, Callable[[Network, Array, Array, Array], Groups]] = {
    "tf-eager": tf_eager,
    "gatys2016": gatys2016,
    "tf2": tf2,
    "keras-lbfgs": keras_lbfgs,
    "keras-sgd": keras_sgd,
    "johnson2015": johnson2015,
    "crowson2021": crowson2021,
    "ulyanov2016": ulyanov2016,
}

NETWORKS = {
    "tf-eager": {"preprocessing": "caffe", "pooling": "max"},
    "gatys2016": {"preprocessing": "caffe", "pooling": "average"},
    "tf2": {"preprocessing": "caffe", "pooling": "max"},
    "keras-lbfgs": {"preprocessing": "caffe", "pooling": "max"},
    "keras-sgd": {"preprocessing": "caffe", "pooling": "max"},
    "johnson2015": {"preprocessing": "caffe", "pooling": "max"},
    "crowson2021": {
        "preprocessing": "torchvision",
        "pooling": "max",
        "padding": "replicate_first",
    },
}
"""Options of ``oracles.network.VGG`` for each system; ``gatys2016`` is ``normalized`` besides."""

SAME_SIZE = ("gatys2016", "keras-lbfgs", "keras-sgd")
"""Systems that bring the style to the content's size."""
