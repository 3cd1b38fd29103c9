"""A recipe: every choice of a run, in one frozen value. The only home of defaults.

This module imports no tensor library, so that the command line can build its options from it at once.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from specstyle.recipes.checks import check_types, check_values, with_companions

S5 = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""The five style layers of Gatys et al. 2016 (their conv1_1 ... conv5_1, taken after the ReLU)."""

AT_ONCE = {
    "image": (
        "strength", "size", "height", "width", "enlarge", "resampling", "color", "color_match", "bits",
    ),
    "audio": (
        "strength", "content_start_s", "content_duration_s", "keep_band", "mask", "silence", "mix", "level",
    ),
}  # fmt: skip
"""Fields that can still be changed where a trained network stylizes in one pass, by medium."""

TOWARDS_CONTENT, TOWARDS_STYLE = 2.0, 1.2
"""Powers of the ratio of the weights, below and above a strength of 0.5."""


def _option(default: Any, text: str, *, group: str, choices: tuple[str, ...] = (), flag: bool = True) -> Any:
    """One field of a recipe, with what the command line needs to make a flag of it, if it has one."""
    return field(default=default, metadata={"help": text, "group": group, "choices": choices, "flag": flag})


@dataclass(frozen=True)
class Recipe:
    """All choices of one run. Fields are plain values, so a recipe can be written as TOML and read back.

    A field that is ``None`` is decided at run time (and the run's record shows the outcome).

    Raises:
        RecipeError: If a field has a value that makes no sense; the message names the field.
    """

    name: str = "custom"
    source: str = "yours"

    # The network
    network: str = _option(
        "auto", "auto, vgg19, vgg19-lite, vgg19-random, wide-random or kernel", group="network"
    )
    finish_network: str = _option(
        "",
        "network that goes on where the others' scales end, at full size, with the same layers; none given: "
        "there is no such end",
        group="network",
    )
    finish_steps: int = _option(
        15, "evaluations with finish_network, at most a third of steps", group="network"
    )
    pooling: str = _option("max", "pooling of VGG19", group="network", choices=("max", "average"))
    pooling_gain: float = _option(1.0, "factor on each pooling's output", group="network")
    padding: str = _option(
        "zeros",
        "border of VGG19's convolutions; replicate_first: the first one's only",
        group="network",
        choices=("zeros", "replicate", "replicate_first"),
    )
    normalize_activations: bool = _option(
        False, "scale each filter to mean activation 1 (Gatys et al. 2016)", group="network"
    )
    n_filters: int = _option(4096, "filters of wide-random", group="network")
    filter_width: int = _option(11, "width of wide-random's filters in frames", group="network", flag=False)
    filter_scaling: str = _option(
        "fan_in",
        "spread of wide-random's filters: fan_in 2/n_in, fan_avg 4/(n_in + n_out)",
        group="network",
        choices=("fan_in", "fan_avg"),
    )

    # The losses
    content_layers: tuple[str, ...] = _option(
        ("relu4_2",),
        "layers of the content loss; relu3_1@2: on the image at half its size (@4, @8), and so for any view; "
        "image: what is seen, as it is",
        group="loss",
    )
    content_view: str = _option(
        "",
        "what all content layers look at: nothing said: the canvas itself; 2, 4, 8: reduced so many times; "
        "luminance; local: contrast, the same everywhere; of sounds mel64: 64 mel bands, cqt24: bands of 24 "
        "an octave, fine: partials, flux: attacks",
        group="loss",
    )
    content_layer_weights: tuple[float, ...] = _option(
        (), "one weight per content layer; none given: 1/n each", group="loss", flag=False
    )
    content_loss: str = _option(
        "relative", "normalization", group="loss", choices=("mean", "sum", "half_sum", "relative")
    )
    content_weight: float = _option(1.0, "weight of the content loss; 0: style only", group="loss")
    style_layers: tuple[str, ...] = _option(S5, "layers of the style loss, as above", group="loss")
    style_view: str = _option("", "what all style layers look at, as above", group="loss")
    style_layer_weights: tuple[float, ...] = _option(
        (), "one weight per style layer; none given: 1/n each", group="loss"
    )
    style_loss: str = _option(
        "gram_relative",
        "statistic and normalization",
        group="loss",
        choices=(
            "gram_mean",
            "gram_gatys",
            "gram_keras",
            "gram_chw",
            "gram_sum",
            "gram_relative",
            "wasserstein2",
        ),
    )
    style_bands: int = _option(
        1,
        "Gram matrices per layer, each of a soft band of rows (frequencies of a sound); 1: the plain one",
        group="loss",
    )
    style_weight: float = _option(1.0, "weight of the style loss; 0: content only", group="loss")
    style_blend: tuple[float, ...] = _option(
        (), "one weight per style; none given: the same for each", group="loss"
    )
    strength: float = _option(
        0.5,
        "0: the content, 1: pure style; between, with balance share, how much of the content is gone; "
        "otherwise the ratio of the recipe's own weights, which 0.5 is, is multiplied by a power of "
        "strength / (1 - strength), so that equal steps do about as much",
        group="loss",
    )
    balance: str = _option(
        "weights",
        "weights: content_weight and style_weight weigh the losses as they are; gradient: each loss is first "
        "divided by the norm of its gradient at noise with the style's spectrum, so that equal weights mean "
        "the same for every pair; share: the content's weights are changed as it goes, so that strength "
        "names the share of its structure that is gone in the end: its square that of a picture's edges, "
        "in which local contrast counts, its power of 3.6 that of a sound's attacks, of 5.3 of partials",
        group="loss",
        choices=("weights", "gradient", "share"),
    )
    tv_loss: str = _option(
        "squared_mean",
        "form of the total variation",
        group="loss",
        choices=("squared_mean", "absolute", "power", "squared", "nine_point", "chroma"),
    )
    tv_weight: float = _option(0.0, "weight of the total variation; 0: none", group="loss")

    # The optimization
    pixel_range: float = _option(
        1.0, "the optimized values run from 0 to this (1, or 255 as Caffe's input)", group="optimizer"
    )
    init: str = _option("content", "content, style, noise or a file", group="optimizer")
    noise: str = _option(
        "uniform", "kind of noise for --init noise", group="optimizer", choices=("uniform", "gaussian")
    )
    noise_scale: float = _option(
        1.0, "uniform: upper end; gaussian: standard deviation (0 to pixel_range)", group="optimizer"
    )
    noise_center: str = _option(
        "zero",
        "mean of gaussian noise: zero, or ImageNet's mean color",
        group="optimizer",
        choices=("zero", "imagenet"),
    )
    optimizer: str = _option(
        "lbfgs", "optimization method", group="optimizer", choices=("adam", "lbfgs", "sgd")
    )
    lr: float = _option(1.0, "learning rate of adam and sgd (lbfgs searches its own)", group="optimizer")
    lr_decay: float = _option(1.0, "factor on the learning rate every lr_decay_steps", group="optimizer")
    lr_decay_steps: int = _option(
        100, "steps per factor lr_decay, continuously", group="optimizer", flag=False
    )
    beta1: float = _option(0.9, "Adam's first decay", group="optimizer")
    beta2: float = _option(0.999, "Adam's second decay", group="optimizer")
    epsilon: float = _option(1e-8, "Adam's epsilon", group="optimizer")
    epsilon_hat: bool = _option(
        False, "read epsilon as TensorFlow does (Kingma & Ba 2015, end of section 2)", group="optimizer"
    )
    section_s: float | None = _option(
        None,
        "a longer sound is optimized in sections of at most so many seconds, one after the other, each of "
        "which overlaps the one before it by half a second; none, or at several scales: as a whole",
        group="optimizer",
    )
    history: int = _option(10, "L-BFGS: remembered steps", group="optimizer")
    restart_every: int | None = _option(
        None, "L-BFGS: forget the past every so many evaluations", group="optimizer"
    )
    steps: int = _option(500, "evaluations of loss and gradient (at each scale)", group="optimizer")
    first_steps: int | None = _option(
        None, "evaluations at the first of several scales, if other", group="optimizer"
    )
    clip: bool = _option(True, "keep the image in its valid range at every step", group="optimizer")
    style_range: bool = _option(
        False,
        "keep the values between the darkest and the lightest of the styles (all but 0.5 % of theirs at "
        "either end) and a step of 8 bits within black and white: nothing is clipped",
        group="image",
    )
    keep: str = _option(
        "last", "which image is the result", group="optimizer", choices=("last", "best", "average")
    )
    average_decay: float = _option(
        0.99, "decay of the average for --keep average", group="optimizer", flag=False
    )
    smallest_scale: int | None = _option(
        None, "coarse-to-fine: longest side to start from", group="optimizer"
    )
    scale_factor: float = _option(math.sqrt(2.0), "ratio of one scale to the next", group="optimizer")
    loop: bool = _option(
        False,
        "for a texture: let its end flow into its beginning (a sound, on the waveform), or each border into "
        "the opposite one (a picture)",
        group="optimizer",
    )
    carry: str = _option(
        "image",
        "what goes up to the next scale: the image, or its change on the content",
        group="optimizer",
        choices=("image", "change"),
    )

    # Pictures
    size: int = _option(
        512, "longest side in pixels (0: as it is); never enlarges unless --enlarge", group="image"
    )
    height: int | None = _option(None, "height in pixels", group="image")
    width: int | None = _option(None, "width in pixels (with height: forced shape)", group="image")
    enlarge: bool = _option(False, "let size, height and width enlarge a picture", group="image")
    resampling: str = _option(
        "lanczos",
        "how pictures are brought to their size; bilinear: without antialiasing, as TensorFlow; nearest: as "
        "Keras reads them",
        group="image",
        choices=("lanczos", "bilinear", "nearest"),
    )
    truncate_sides: bool = _option(False, "cut sides to whole pixels instead of rounding them", group="image")
    style_size: str = _option(
        "own",
        "the style keeps its aspect (smaller: and is never enlarged), or is forced to the content's shape",
        group="image",
        choices=("own", "smaller", "content"),
    )

    style_scale: tuple[float, ...] = _option(
        (),
        "size of a style's strokes beside the content, one for all styles or one for each; none given: 1, "
        "the style's longest side is the content's (or its own, if that is shorter)",
        group="image",
    )
    bits: int = _option(8, "bits per channel of the result: 8, or 16 in PNG and TIFF", group="image")
    color: str = _option(
        "style",
        "whose colors; content: gray pictures of the lightness (OKLab) are optimized and get the content's "
        "hues and chroma; luminance: the same with luma (Gatys et al. 2016, in YIQ); style: all is free",
        group="image",
        choices=("style", "content", "luminance"),
    )
    color_match: str = _option(
        "none",
        "first bring each style's colors to the content's: mean color, covariance, or the whole histogram",
        group="image",
        choices=("none", "mean", "covariance", "histogram"),
    )

    # Sounds
    canvas: str = _option(
        "image",
        "what is optimized: the spectrogram image, or the waveform through the STFT",
        group="audio",
        choices=("image", "waveform"),
    )
    content_start_s: float = _option(
        0.0,
        "where the content begins in its file, in seconds; the output is that range",
        group="audio",
    )
    content_duration_s: float | None = _option(
        None, "seconds of the content from there; none: all", group="audio"
    )
    preview_s: float | None = _option(
        None, "of the content, or of that range of it, only the loudest so many seconds", group="audio"
    )
    style_start_s: tuple[float, ...] = _option(
        (), "where each style begins in its file, in seconds: one for all, or one per style", group="audio"
    )
    style_duration_s: tuple[float, ...] = _option(
        (), "seconds of each style from there: one for all, or one per style; none given: all", group="audio"
    )
    keep_band: tuple[str, ...] = _option(
        (), "bands of frequencies in Hz that stay as they are in the content: 0-200,4000-", group="audio"
    )
    mask: str | None = _option(
        None,
        "a picture (time from left to right, 0 Hz at the bottom, half the sample rate at the top; black: the "
        "content as it is) or a CSV table of regions (start_s,stop_s,low_hz,high_hz,amount)",
        group="audio",
    )
    silence: str = _option(
        "fill",
        "what becomes of the content's silences (a fifth of a second and more, 40 dB below its level): fill "
        "gives them the style's sound, keep leaves them as they are",
        group="audio",
        choices=("fill", "keep"),
    )
    mix: float = _option(1.0, "of content (0) and result (1), after all else", group="audio")
    level: str = _option(
        "match",
        "match: as loud as the content (BS.1770), a limiter holds peaks at -1 dBTP, or at the content's own "
        "if those are higher; peak: the content's largest sample; rms: the content's RMS, turned down if "
        "samples would pass full scale",
        group="audio",
        choices=("match", "peak", "rms"),
    )
    duration_s: float | None = _option(
        None,
        "for a texture (strength 1 or content_weight 0, init noise): seconds of the result",
        group="audio",
    )
    keep_tune: float | None = _option(
        None,
        "how much of the content's fine structure (partials, and with them the tune) is kept, from 0 to 1; "
        "none: as strength says",
        group="audio",
    )
    keep_time: float | None = _option(
        None, "how much of the content's attacks is kept, from 0 to 1; none: as strength says", group="audio"
    )
    init_noise_db: float | None = _option(
        None,
        "for --init content: add grains of the styles, in the content's gaps up to so many dB re its level, "
        "and no more than -20 dB under what is as loud as that; without them, what a style puts into silence "
        "is the same in every frame (none: none)",
        group="audio",
    )
    equalize: bool = _option(
        False,
        "give the content, before all else, the styles' colors, or their long-term spectrum; this a sound's "
        "result in the end, too, and its bands the distribution of levels that they have in the styles",
        group="loss",
    )
    sample_rate: int | None = _option(
        None, "working rate in Hz; none: the content's (the output always has the content's)", group="audio"
    )
    n_fft: int | None = _option(None, "FFT size; none: nearest power of two to 46 ms", group="audio")
    hop_length: int | None = _option(None, "hop; none: win_length / 4", group="audio")
    win_length: int | None = _option(None, "window length; none: n_fft", group="audio", flag=False)
    window: str = _option("hann", "window function (any of SciPy's)", group="audio", flag=False)
    compression: str = _option("log1p", "of magnitudes", group="audio", flag=False, choices=("log1p", "db"))
    log_gain: float = _option(1.0, "k in log1p(k |S| / rms)", group="audio")
    normalize_level: bool = _option(True, "divide the spectrogram by its own RMS", group="audio")
    unit_scale: bool = _option(True, "scale the compressed image to about 0..1", group="audio")
    phase: str = _option(
        "auto",
        "where the phase reconstruction starts; pghi: from the slopes of the magnitudes; auto: from pghi or "
        "content, whichever is closer",
        group="audio",
        choices=("auto", "content", "pghi", "random", "zero"),
    )
    phase_method: str = _option(
        "pghi-raar",
        "how the phase is reconstructed; pghi-raar: reflections, then accelerated Griffin-Lim",
        group="audio",
        choices=("pghi-raar", "fast-griffin-lim", "griffin-lim"),
    )
    phase_iterations: int = _option(64, "iterations of the phase reconstruction", group="audio")
    phase_momentum: float = _option(
        0.99,
        "momentum of fast-griffin-lim; given without phase_method, it asks for that",
        group="audio",
    )

    def __post_init__(self) -> None:
        check_types(self)
        check_values(self)

    def replace(self, **changes: Any) -> Recipe:
        """Return a copy with some fields changed.

        What belongs to a replaced value goes with it: layer weights with their layers, ``first_steps``
        with ``steps``; ``height``, ``width`` and the leave to enlarge with ``size``. A ``phase_momentum``
        brings its method, Griffin-Lim: the only one there was when the first recipe files were written.

        Raises:
            RecipeError: If a name is not a field, or a value is not accepted.
        """
        return dataclasses.replace(self, **with_companions(self, changes))

    @property
    def mixes(self) -> bool:
        """Whether some of a sound's result is the content itself."""
        return bool(self.mask is not None or self.keep_band or self.mix < 1.0 or self.silence == "keep")

    def layer_weights(self, kind: str) -> dict[str, float]:
        """Return the weight of each layer of one loss.

        Args:
            kind: ``"content"`` or ``"style"``.
        """
        layers: tuple[str, ...] = getattr(self, f"{kind}_layers")
        weights: tuple[float, ...] = getattr(self, f"{kind}_layer_weights")
        return dict(zip(layers, weights or (1.0 / max(len(layers), 1),) * len(layers), strict=True))

    @property
    def style_fade(self) -> float:
        """How far what no loss holds comes in (a style's spectrum, colors and range, smoothness): 0 to 1.

        With strength, so that 0 is the content and small values are mild; all of it from 0.5 on. The power
        makes equal steps of a sound's strength do about as much: bench/results/strength.md.
        """
        return float(min(1.0, self.strength / 0.5) ** 1.5)

    def effective_weights(self) -> tuple[float, float]:
        """Return the weights of content and style after ``strength``.

        At 0.5 they are the recipe's own. Otherwise their ratio is multiplied by ``(u / (1 - u))^p``, by
        making the one that loses smaller; at the ends one of them is 0. The power p is ``TOWARDS_CONTENT``
        below 0.5 and ``TOWARDS_STYLE`` above: bench/results/strength.md.
        """
        power = TOWARDS_CONTENT if self.strength < 0.5 else TOWARDS_STYLE
        up, down = self.strength**power, (1.0 - self.strength) ** power
        largest = max(up, down)
        return self.content_weight * (down / largest), self.style_weight * (up / largest)
