"""The recipes that specstyle tunes itself: one for each medium and kind of network.

``default`` on the command line means the one of these that suits the network which runs.
"""

from __future__ import annotations

from typing import Any

from specstyle.errors import RecipeError
from specstyle.recipes.recipe import S5, Recipe

_OWN = "specstyle; after Gatys, Ecker & Bethge 2016"
KERNEL = ("kernel2", "kernel8", "kernel32")
BLOCKS_1_TO_3 = ("relu1_1", "relu2_1", "relu3_1")

AUDIO_WIDE = Recipe(
    name="default-audio-wide",
    source="specstyle; after Ulyanov & Lebedev 2016",
    network="wide-random",
    content_layers=("relu1",),
    style_layers=("relu1",),
    content_weight=0.03,
    equalize=True,
    init_noise_db=-20.0,
    steps=40,
)

AUDIO_KERNEL = Recipe(
    name="kernel",
    source="specstyle; the infinite-width limit of Ulyanov & Lebedev 2016 (Cho & Saul 2009)",
    network="kernel",
    content_layers=tuple(f"{layer}+rest" for layer in KERNEL),
    style_layers=KERNEL,
    balance="gradient",
    content_weight=0.25,
    style_weight=0.75,
    canvas="waveform",
    equalize=True,
    init_noise_db=-20.0,
    unit_scale=False,
    steps=50,
    clip=False,
)

AUDIO_VGG19 = Recipe(
    name="default-audio-vgg19",
    source=_OWN,
    network="vgg19",
    pooling="average",
    padding="replicate",
    content_layers=("image@fine", "image@mel48@flux", "image@fine@flux"),
    content_layer_weights=(0.5, 0.15, 0.1),
    style_layers=(*BLOCKS_1_TO_3, "relu3_1@2"),
    style_view="mel48",
    style_bands=8,
    balance="share",
    equalize=True,
    init_noise_db=0.0,
    steps=45,
    phase_iterations=32,
    history=4,
    section_s=15.0,
    log_gain=10.0,
)
"""The style as ears group it, in mel bands; the content's partials and attacks at full resolution: no style
loss then forbids a partial, and no content loss the noise between them. L-BFGS remembers few steps: a canvas
is large, and on seven pairs the scores were those of ten. A song goes section by section: its memory is a
section's, and no network runs twice, as it does for exact sums over tiles."""

IMAGE_RANDOM = Recipe(
    name="default-image-vgg19-random",
    source=_OWN,
    network="vgg19-random",
    pooling="average",
    padding="replicate",
    content_layers=("relu3_1",),
    style_layers=BLOCKS_1_TO_3,
    content_weight=0.02,
    steps=60,
    smallest_scale=128,
    scale_factor=2.0,
    carry="change",
)

IMAGE_VGG19 = IMAGE_RANDOM.replace(
    name="default-image-vgg19",
    network="vgg19",
    content_layers=("relu3_1", "relu3_1@2@local"),
    style_layers=S5,
    content_weight=0.005,
    balance="share",
    equalize=True,
    tv_loss="chroma",
    tv_weight=0.04,
    steps=60,
    smallest_scale=64,
    style_range=True,
)
"""The content as local contrast: a face is worth as much as a collar. Strength in closed loop, speckle held
down: chosen by eye and by ``bench/painting.py``."""

IMAGE_LITE = IMAGE_VGG19.replace(
    name="default-image", network="vgg19-lite", finish_network="vgg19", steps=39, finish_steps=12
)
"""What two cores paint in a minute: the small network as far as it goes, the real one for the last touch."""

IMAGE_WIDE = Recipe(
    name="default-image-wide",
    source="specstyle; Ulyanov & Lebedev 2016 with the rows of a picture in the place of frequencies",
    network="wide-random",
    content_layers=("relu1",),
    style_layers=("relu1",),
    content_weight=0.2,
    steps=60,
    style_size="content",
    size=256,
)

TEXTURE: dict[str, dict[str, Any]] = {
    "audio": {"strength": 1.0, "init": "noise", "duration_s": 10.0},
    "image": {"strength": 1.0, "init": "noise", "enlarge": True, "style_size": "smaller", "carry": "image"},
}
"""What makes a texture of any recipe, by medium: nothing of a content, from noise."""

DEFAULTS = {
    ("audio", "kernel"): AUDIO_KERNEL,
    ("audio", "wide-random"): AUDIO_WIDE,
    ("audio", "vgg19"): AUDIO_VGG19,
    ("audio", "vgg19-lite"): AUDIO_VGG19.replace(name="default-audio", network="vgg19-lite"),
    ("audio", "vgg19-random"): AUDIO_VGG19.replace(name="default-audio-vgg19-random", network="vgg19-random"),
    ("image", "vgg19-lite"): IMAGE_LITE,
    ("image", "vgg19-random"): IMAGE_RANDOM,
    ("image", "vgg19"): IMAGE_VGG19,
    ("image", "wide-random"): IMAGE_WIDE,
}
"""The default recipe by medium and network."""


def default_recipe(medium: str, network: str) -> Recipe:
    """Return the default recipe for a medium and a network.

    Raises:
        RecipeError: If there is none for this pair.
    """
    try:
        return DEFAULTS[medium, network]
    except KeyError:
        pairs = ", ".join(f"{m} with {n}" for m, n in DEFAULTS)
        raise RecipeError(
            f"no default recipe for {medium} with network {network!r}; there are {pairs}"
        ) from None
