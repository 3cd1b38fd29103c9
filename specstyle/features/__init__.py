"""Networks that turn an image into named feature maps."""

from specstyle.features.networks import NETWORKS, Network, NetworkOptions, layers_of, load_network
from specstyle.features.random import WideRandom, random_weights
from specstyle.features.vgg import VGG19, canonical_layer
from specstyle.features.weights import Weights, load

__all__ = [
    "NETWORKS",
    "VGG19",
    "Network",
    "NetworkOptions",
    "Weights",
    "WideRandom",
    "canonical_layer",
    "layers_of",
    "load",
    "load_network",
    "random_weights",
]
