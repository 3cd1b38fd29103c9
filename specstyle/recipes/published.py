"""The published systems, by name, each to the letter; and the defaults that specstyle tunes itself.

Conventions: layers are taken after their ReLU, so the papers' ``conv4_2`` is ``relu4_2`` here. A loss that
a source divides by the numbers of positions of two equally large images is written with position *means*,
which is the same for equal sizes and stays meaningful for others. Sizes in pixels speak of pictures; a
spectrogram keeps its own grid (its rows are frequencies and its columns frames, so resizing it would
change the sound's pitch or speed).
"""

from __future__ import annotations

from specstyle.recipes.recipe import Recipe

TF_EAGER = Recipe(
    name="tf-eager",
    source="TensorFlow, Neural Style Transfer with eager execution (tutorial, 2018)",
    network="vgg19",
    content_layers=("relu5_2",),
    content_loss="mean",
    content_weight=1e3,
    style_loss="gram_mean",
    style_weight=1e-2,
    pixel_range=255.0,
    optimizer="adam",
    lr=5.0,
    beta1=0.99,
    epsilon=0.1,
    epsilon_hat=True,
    steps=1000,
    keep="best",
    enlarge=True,
)

GATYS2016 = Recipe(
    name="gatys2016",
    source="Gatys, Ecker & Bethge, Image Style Transfer Using Convolutional Neural Networks, CVPR 2016",
    network="vgg19",
    pooling="average",
    normalize_activations=True,
    content_layers=("relu4_2",),
    content_loss="half_sum",
    content_weight=1.0,
    style_loss="gram_gatys",
    style_weight=1e3,
    pixel_range=255.0,
    init="noise",
    noise_scale=255.0,
    optimizer="lbfgs",
    steps=1000,
    clip=False,
    style_size="content",
)

TF2 = Recipe(
    name="tf2",
    source="TensorFlow Core, Neural style transfer (tutorial, 2020-)",
    network="vgg19",
    content_layers=("relu5_2",),
    content_loss="mean",
    content_weight=1e4,
    style_loss="gram_mean",
    style_weight=1e-2,
    tv_loss="absolute",
    tv_weight=30.0,
    optimizer="adam",
    lr=0.02,
    beta1=0.99,
    epsilon=0.1,
    epsilon_hat=True,
    steps=1000,
    enlarge=True,
    resampling="bilinear",
    truncate_sides=True,
)

KERAS_LBFGS = Recipe(
    name="keras-lbfgs",
    source="Chollet, Deep Learning with Python, chapter 8 (2017); Keras neural style transfer example",
    network="vgg19",
    content_layers=("relu5_2",),
    content_loss="sum",
    content_weight=0.025,
    style_loss="gram_keras",
    style_weight=1.0,
    tv_loss="power",
    tv_weight=1e-4,
    pixel_range=255.0,
    optimizer="lbfgs",
    restart_every=21,  # SciPy stops a round of maxfun=20 only after it has passed 20
    steps=420,
    clip=False,
    size=0,
    height=400,
    enlarge=True,
    style_size="content",
    resampling="nearest",
    truncate_sides=True,
)

KERAS_SGD = Recipe(
    name="keras-sgd",
    source="keras.io, Neural style transfer (code example)",
    network="vgg19",
    content_layers=("relu5_2",),
    content_loss="sum",
    content_weight=2.5e-8,
    style_loss="gram_keras",
    style_weight=1e-6,
    tv_loss="power",
    tv_weight=1e-6,
    pixel_range=255.0,
    optimizer="sgd",
    lr=100.0,
    lr_decay=0.90,
    steps=4000,
    clip=False,
    size=0,
    height=400,
    width=600,
    enlarge=True,
    style_size="content",
    resampling="nearest",
)

JOHNSON2015 = Recipe(
    name="johnson2015",
    source="Johnson, neural-style (github.com/jcjohnson/neural-style, 2015)",
    network="vgg19",
    content_layers=("relu4_2",),
    content_loss="mean",
    content_weight=5.0,
    style_layer_weights=(1.0, 1.0, 1.0, 1.0, 1.0),
    style_loss="gram_chw",
    style_weight=100.0,
    tv_loss="squared",
    tv_weight=1e-3,
    pixel_range=255.0,
    init="noise",
    noise="gaussian",
    noise_scale=1e-3,
    noise_center="imagenet",
    optimizer="lbfgs",
    lr=10.0,  # for --optimizer adam
    steps=1000,
    clip=False,
)

CROWSON2021 = Recipe(
    name="crowson2021",
    source="Crowson, style-transfer-pytorch (github.com/crowsonkb/style-transfer-pytorch, 2021)",
    network="vgg19",
    padding="replicate_first",
    content_layers=("relu4_2",),
    content_loss="mean",
    content_weight=0.015,
    style_layer_weights=tuple(w / 341.0 for w in (256, 64, 16, 4, 1)),
    style_loss="wasserstein2",
    style_weight=1.0,
    tv_loss="nine_point",
    tv_weight=2.0,
    optimizer="adam",
    lr=0.02,
    beta2=0.99,
    steps=500,
    first_steps=1000,
    keep="average",
    smallest_scale=128,
    enlarge=True,
    style_size="smaller",
)

ULYANOV2016 = Recipe(
    name="ulyanov2016",
    source="Ulyanov & Lebedev, Audio texture synthesis and style transfer (2016)",
    network="wide-random",
    filter_scaling="fan_avg",
    content_layers=("relu1",),
    content_loss="sum",
    content_weight=1e-2,
    style_layers=("relu1",),
    style_loss="gram_sum",
    style_weight=1.0,
    init="noise",
    noise="gaussian",
    noise_scale=1e-3,
    optimizer="lbfgs",
    steps=300,
    clip=False,
    style_size="content",
    sample_rate=22050,
    n_fft=2048,
    hop_length=512,
    normalize_level=False,
    unit_scale=False,
    phase="random",
    phase_method="griffin-lim",
    phase_iterations=500,
    phase_momentum=0.0,
)

PUBLISHED = {
    recipe.name: recipe
    for recipe in (
        TF_EAGER, GATYS2016, TF2, KERAS_LBFGS, KERAS_SGD, JOHNSON2015, CROWSON2021, ULYANOV2016
    )
}  # fmt: skip

MADE_FOR = dict.fromkeys(PUBLISHED, "caffe") | {"crowson2021": "torchvision", "ulyanov2016": "none"}
"""The preprocessing, and with it the scale of activations, of the weights that each was balanced for."""
