"""Networks that turn an image into named feature maps."""

from specstyle.features.networks import NETWORKS, Network, NetworkOptions, build_network, layers_of
from specstyle.features.random import random_weights
from specstyle.features.vgg import VGG19, canonical_layer
from specstyle.features.weights import Weights, load
from specstyle.features.wide import WideRandom

__all__ = [
    "NETWORKS",
    "VGG19",
    "Network",
    "NetworkOptions",
    "Weights",
    "WideRandom",
    "build_network",
    "canonical_layer",
    "layers_of",
    "load",
    "random_weights",
]
