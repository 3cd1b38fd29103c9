"""The networks by name, and how each is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.views import IMAGE
from specstyle.features import landmarks, lite, weights
from specstyle.features.landmarks import LandmarkKernel
from specstyle.features.random import WIDE_LAYER, WideRandom, random_weights, reference_images
from specstyle.features.vgg import (
    VGG19,
    canonical_layer,
    mean_activations,
    normalizing_gains,
    photographic_means,
)


@dataclass(frozen=True)
class NetworkInfo:
    """What a user should know of a network before choosing it."""

    name: str
    media: tuple[str, ...]
    text: str


NETWORKS = {
    info.name: info
    for info in (
        NetworkInfo(
            "vgg19",
            ("audio", "image"),
            "pretrained VGG19 (Simonyan & Zisserman 2015), all sixteen layers: brush strokes, the best "
            "pictures; in 8 bits, or torchvision's after `networks fetch vgg19` (548 MB), or --weights FILE",
        ),
        NetworkInfo(
            "vgg19-lite",
            ("audio", "image"),
            "a small network that answers like VGG19, several times faster: brush strokes on a CPU",
        ),
        NetworkInfo(
            "vgg19-random",
            ("audio", "image"),
            "VGG19 with calibrated random weights: palette and grain of a picture, not its brush strokes",
        ),
        NetworkInfo(
            "wide-random",
            ("audio", "image"),
            "for sound: 4096 random filters over time, with frequencies as input channels (Ulyanov & "
            "Lebedev 2016)",
        ),
        NetworkInfo(
            "kernel",
            ("audio",),
            "for sound: wide-random with infinitely many filters, seen from patches of content and style: no "
            "filters, no seed",
        ),
    )
}
"""Every network by its name. ``auto`` is a choice among them, not one of them."""

WITH_WEIGHTS = ("vgg19", "vgg19-lite")
"""Networks that can take their weights from a file that the user names."""


PROBE = 64
"""Columns of an image that suffice to see how many rows there are."""

See = Callable[[Tensor], Tensor]
"""What a network looks at of a canvas ``[B, C, H, W]``."""


@dataclass(frozen=True)
class Network:
    """A network, to be fitted to what it will look at.

    Attributes:
        name: One of ``NETWORKS``, or ``custom``.
        fitted: From how it will see the canvas, the layers wanted, the content and the styles (``[B, C, H,
            W]``) to what turns images into maps.
        origin: Where its weights come from.
        sha256: Hash of its weights; ``None``: what is fitted has one of its own.
        preprocessing: ``torchvision``, ``caffe`` or ``none``.
        fixed_height: Whether images of another height do not fit.
        notes: What a user should be told.
    """

    name: str
    fitted: Callable[[See, Sequence[str], Tensor, Sequence[Tensor]], Any]
    origin: str
    sha256: str | None
    preprocessing: str
    fixed_height: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkOptions:
    """Options of ``build_network``; the names are those of ``Recipe``."""

    pooling: str = "max"
    padding: str = "zeros"
    normalize_activations: bool = False
    n_filters: int = 4096
    filter_scaling: str = "fan_in"
    preprocessing: str | None = None


def layers_of(network: str) -> tuple[str, ...]:
    """Return the names of a network's layers.

    Raises:
        ValueError: If there is no such network.
    """
    if network not in NETWORKS:
        raise ValueError(f"there is no network {network!r}; there are {', '.join(NETWORKS)}")
    own = {"wide-random": (WIDE_LAYER,), "kernel": landmarks.LAYERS, "vgg19-lite": lite.REACH}
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
        layer = name.partition("@")[0]
        of_kernel = network == "kernel" and landmarks.width_of(layer)
        if layer not in known and not of_kernel and layer != IMAGE:
            raise ValueError(f"{network} has no layer {layer!r}; it has {', '.join(known)}")
    return names


def load_network(
    name: str,
    layers: tuple[str, ...],
    *,
    seed: int = 0,
    weights_file: Path | None = None,
    options: NetworkOptions | None = None,
    blend: Sequence[float] = (),
    loop: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Network:
    """Make a network for the layers asked for.

    Args:
        name: One of ``NETWORKS``.
        layers: Layers in use, in the network's own spelling, without views.
        seed: Of random weights.
        weights_file: For ``vgg19``: this file instead of the pretrained network; for ``vgg19-lite``: another
            network made by `training/`.
        options: Pooling and so on.
        blend: Weight of each style, for the ``kernel``.
        loop: Whether the ``kernel`` sees circles in time.
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

        def wide_random(see: See, _: Sequence[str], content: Tensor, styles: Sequence[Tensor]) -> WideRandom:
            rows = see(content[:1, :, :, :PROBE]).shape[1:3].numel()
            return _wide(
                rows,
                seed=seed,
                n_filters=options.n_filters,
                scaling=options.filter_scaling,
                device=str(device),
                dtype=dtype,
            )

        return Network(name, wide_random, f"wide-random (seed {seed})", None, "none", fixed_height=True)
    if name == "kernel":

        def kernel(
            see: See, names: Sequence[str], content: Tensor, styles: Sequence[Tensor]
        ) -> LandmarkKernel:
            seen = [see(style) for style in styles]
            return LandmarkKernel(see(content), seen, blend=blend, layers=names, loop=loop, dtype=dtype)

        return Network(name, kernel, "closed form", None, "none", fixed_height=True)
    loaded = load_weights(
        name, layers, seed=seed, weights_file=weights_file, preprocessing=options.preprocessing
    )
    features = _vgg19(loaded, layers, options=options, device=device, dtype=dtype)
    return Network(
        name,
        lambda see, names, content, styles: features.only(names),
        loaded.origin,
        loaded.sha256,
        loaded.preprocessing,
        notes=loaded.notes,
    )


def custom_network(function: Callable[[Tensor], dict[str, Tensor]]) -> Network:
    """Return a network of a user's own: anything that turns ``[B, C, H, W]`` into maps by name."""
    origin = getattr(function, "__name__", type(function).__name__)
    return Network("custom", lambda see, names, content, styles: function, origin, "", "none")


@lru_cache(maxsize=2)
def _wide(rows: int, **options: Any) -> WideRandom:
    return WideRandom(rows, **options)


def load_weights(
    name: str,
    layers: Sequence[str],
    *,
    seed: int = 0,
    weights_file: Path | None = None,
    preprocessing: str | None = None,
) -> weights.Weights:
    """Return the weights of one of the VGG19 networks, deep enough for some layers; see ``load_network``."""
    deepest = max(layers, key=weights.LAYERS.index, default=weights.LAYERS[0])
    if name == "vgg19-random":
        return random_weights(seed, up_to=deepest)
    if name == "vgg19-lite":
        return lite.load(weights_file)
    if weights_file is not None:
        return weights.load(weights_file, preprocessing=preprocessing)
    return weights.pretrained(deepest)


def _vgg19(
    loaded: weights.Weights,
    layers: tuple[str, ...],
    *,
    options: NetworkOptions,
    device: torch.device | str,
    dtype: torch.dtype,
) -> VGG19:
    make = partial(
        VGG19,
        loaded,
        layers,
        pooling=options.pooling,
        padding=options.padding,
        device=device,
        dtype=dtype,
    )
    features = make()
    if not options.normalize_activations:
        return features
    if loaded.sha256 == weights.QUANTIZED_SHA256:
        means = photographic_means()
    else:
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        images = [image.to(device=device, dtype=exact) for image in reference_images(0)]
        means = mean_activations(features, images)
    return make(gains=normalizing_gains(means))
