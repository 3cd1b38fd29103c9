"""The networks by name, and how each is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specstyle.features import kernel, lite, vgg, weights, wide
from specstyle.features.random import random_weights
from specstyle.features.references import reference_images
from specstyle.features.vgg import VGG19, canonical_layer, convolution, normalizing_gains
from specstyle.features.wide import WideRandom


@dataclass(frozen=True)
class NetworkInfo:
    """What a user should know of a network before choosing it."""

    name: str
    media: tuple[str, ...]
    download: bool
    text: str


NETWORKS = {
    info.name: info
    for info in (
        NetworkInfo(
            "vgg19",
            ("audio", "image"),
            True,
            "pretrained VGG19 (Simonyan & Zisserman 2015, torchvision's weights): brush strokes, the best "
            "pictures; a 548 MB download, once, or --weights FILE",
        ),
        NetworkInfo(
            "vgg19-lite",
            ("audio", "image"),
            False,
            "a small network in the package that answers like VGG19's first three blocks, up to relu3_3: "
            "brush strokes without a download",
        ),
        NetworkInfo(
            "vgg19-random",
            ("audio", "image"),
            False,
            "VGG19 with calibrated random weights: palette and grain of a picture, not its brush strokes",
        ),
        NetworkInfo(
            "wide-random",
            ("audio", "image"),
            False,
            "for sound: 4096 random filters over time, with frequencies as input channels (Ulyanov & "
            "Lebedev 2016)",
        ),
        NetworkInfo(
            "kernel",
            ("audio",),
            False,
            "for sound: wide-random with infinitely many filters, in closed form: no filters, no seed",
        ),
    )
}
"""Every network by its name. ``auto`` is a choice among them, not one of them."""

WITH_WEIGHTS = ("vgg19", "vgg19-lite")
"""Networks that can take their weights from a file that the user names."""


@dataclass(frozen=True)
class Network:
    """A network ready to run.

    Attributes:
        name: One of ``NETWORKS``.
        features: Image to feature maps.
        origin: Where its weights come from.
        sha256: Hash of its weights.
        preprocessing: ``torchvision``, ``caffe`` or ``none``.
        fixed_height: Whether images of another height do not fit.
        notes: What a user should be told.
    """

    name: str
    features: Any
    origin: str
    sha256: Callable[[], str]
    preprocessing: str
    fixed_height: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkOptions:
    """Options of ``build_network``; the names are those of ``Recipe``."""

    pooling: str = "max"
    pooling_gain: float = 1.0
    padding: str = "zeros"
    normalize_activations: bool = False
    n_filters: int = 4096
    filter_width: int = 11
    filter_scaling: str = "fan_in"
    preprocessing: str | None = None


def layers_of(network: str) -> tuple[str, ...]:
    """Return the names of a network's layers.

    Raises:
        ValueError: If there is no such network.
    """
    if network not in NETWORKS:
        raise ValueError(f"there is no network {network!r}; there are {', '.join(NETWORKS)}")
    own = {"wide-random": (wide.LAYER,), "kernel": (kernel.LAYER,), "vgg19-lite": lite.REACH}
    return own.get(network, weights.LAYERS)


def canonical_layers(network: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return layer names in a network's own spelling.

    Raises:
        ValueError: If the network has no such layer; the message lists its layers.
    """
    known = layers_of(network)
    if network.startswith("vgg19"):  # how deep its weights reach is said when they are there
        return tuple(canonical_layer(name) for name in names)
    for name in names:
        if name not in known:
            raise ValueError(f"{network} has no layer {name!r}; its only layer is {known[0]}")
    return names


def build_network(
    name: str,
    layers: tuple[str, ...],
    *,
    rows: int,
    seed: int = 0,
    weights_file: Path | None = None,
    options: NetworkOptions | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Network:
    """Make a network for the layers asked for.

    Args:
        name: One of ``NETWORKS``.
        layers: Layers in use, in the network's own spelling.
        rows: C * H of the images (``wide-random`` takes rows as input channels).
        seed: Of random weights.
        weights_file: For ``vgg19``: this file instead of the pretrained download; for ``vgg19-lite``: another
            network made by `training/`.
        options: Pooling and so on.
        device: Where to run.
        dtype: Of the weights and of what is computed.

    Raises:
        ValueError: If the network or a layer does not exist, or ``weights_file`` does not belong here.
        WeightsError: If weights cannot be had.
    """
    layers_of(name)
    options = options or NetworkOptions()
    if weights_file is not None and name not in WITH_WEIGHTS:
        raise ValueError(
            f"weights are for the networks {' and '.join(WITH_WEIGHTS)}, not for {name}; drop --weights or "
            "--network"
        )
    if name == "wide-random":
        features = WideRandom(
            rows,
            seed=seed,
            n_filters=options.n_filters,
            width=options.filter_width,
            scaling=options.filter_scaling,
            device=device,
            dtype=dtype,
        )
        return Network(
            name, features, f"wide-random (seed {seed})", features.sha256, "none", fixed_height=True
        )
    if name == "kernel":
        # Its terms read the image itself; there is no feature map, and nothing random.
        return Network(name, _no_maps, "closed form", lambda: "", "none", fixed_height=True)
    deepest = max(map(convolution, layers), key=weights.LAYERS.index, default=weights.LAYERS[0])
    if name == "vgg19-random":
        loaded = random_weights(seed, up_to=deepest)
    elif name == "vgg19-lite":
        loaded = lite.load(weights_file)
    elif weights_file is not None:
        loaded = weights.load(weights_file, preprocessing=options.preprocessing)
    else:
        loaded = weights.pretrained(deepest)
    return _vgg19(name, loaded, layers, options=options, device=device, dtype=dtype)


def _no_maps(image: torch.Tensor) -> dict[str, torch.Tensor]:
    return {}


def _vgg19(
    name: str,
    loaded: weights.Weights,
    layers: tuple[str, ...],
    *,
    options: NetworkOptions,
    device: torch.device | str,
    dtype: torch.dtype,
) -> Network:
    def make(gains: dict[str, torch.Tensor] | None) -> vgg.VGG19:
        return VGG19(
            loaded,
            layers,
            pooling=options.pooling,
            pooling_gain=options.pooling_gain,
            padding=options.padding,
            gains=gains,
            device=device,
            dtype=dtype,
        )

    features = make(None)
    if options.normalize_activations:
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        images = [image.to(device=device, dtype=exact) for image in reference_images(0)]
        features = make(normalizing_gains(features, images))
    return Network(
        name, features, loaded.origin, lambda: loaded.sha256, loaded.preprocessing, notes=loaded.notes
    )
