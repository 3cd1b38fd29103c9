"""A recipe: every choice of a run, in one frozen value. The only home of defaults.

This module imports no tensor library, so that the command line can build its options from it at once.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import partial
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


_network, _loss, _optimizer, _image, _audio = (
    partial(_option, group=group) for group in ("network", "loss", "optimizer", "image", "audio")
)


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
    network: str = _network("auto", "auto, vgg19, vgg19-lite, vgg19-random, wide-random or kernel")
    finish_network: str = _network(
        "",
        "network that goes on where the others' scales end, at full size, with the same layers; none given: "
        "there is no such end",
    )
    finish_steps: int = _network(15, "evaluations with finish_network, at most a third of steps")
    pooling: str = _network("max", "pooling of VGG19", choices=("max", "average"))
    padding: str = _network(
        "zeros",
        "border of VGG19's convolutions; replicate_first: the first one's only",
        choices=("zeros", "replicate", "replicate_first"),
    )
    normalize_activations: bool = _network(
        False, "scale each filter to mean activation 1 (Gatys et al. 2016)"
    )
    n_filters: int = _network(4096, "filters of wide-random")
    filter_scaling: str = _network(
        "fan_in",
        "spread of wide-random's filters: fan_in 2/n_in, fan_avg 4/(n_in + n_out)",
        choices=("fan_in", "fan_avg"),
    )

    # The losses
    content_layers: tuple[str, ...] = _loss(
        ("relu4_2",),
        "layers of the content loss; relu3_1@2: on the image at half its size (@4, @8), and so for any view; "
        "image: what is seen, as it is",
    )
    content_view: str = _loss(
        "",
        "what all content layers look at: nothing said: the canvas itself; 2, 4, 8: reduced so many times; "
        "luminance; local: contrast, the same everywhere; of sounds mel64: 64 mel bands, cqt24: bands of 24 "
        "an octave, fine: partials, flux: attacks",
    )
    content_layer_weights: tuple[float, ...] = _loss(
        (), "one weight per content layer; none given: 1/n each", flag=False
    )
    content_loss: str = _loss("relative", "normalization", choices=("mean", "sum", "half_sum", "relative"))
    content_weight: float = _loss(1.0, "weight of the content loss; 0: style only")
    style_layers: tuple[str, ...] = _loss(S5, "layers of the style loss, as above")
    style_view: str = _loss("", "what all style layers look at, as above")
    style_layer_weights: tuple[float, ...] = _loss((), "one weight per style layer; none given: 1/n each")
    style_loss: str = _loss(
        "gram_relative",
        "statistic and normalization",
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
    style_bands: int = _loss(
        1, "Gram matrices per layer, each of a soft band of rows (frequencies of a sound); 1: the plain one"
    )
    style_weight: float = _loss(1.0, "weight of the style loss; 0: content only")
    style_blend: tuple[float, ...] = _loss((), "one weight per style; none given: the same for each")
    strength: float = _loss(
        0.5,
        "0: the content, 1: pure style; between, with balance share, how much of the content is gone; "
        "otherwise the ratio of the recipe's own weights, which 0.5 is, is multiplied by a power of "
        "strength / (1 - strength), so that equal steps do about as much",
    )
    balance: str = _loss(
        "weights",
        "weights: content_weight and style_weight weigh the losses as they are; gradient: each loss is first "
        "divided by the norm of its gradient at noise with the style's spectrum, so that equal weights mean "
        "the same for every pair; share: the content's weights are changed as it goes, so that strength "
        "names the share of its structure that is gone in the end: its square that of a picture's edges, "
        "in which local contrast counts, its power of 3.6 that of a sound's attacks, of 5.3 of partials",
        choices=("weights", "gradient", "share"),
    )
    tv_loss: str = _loss(
        "squared_mean",
        "form of the total variation",
        choices=("squared_mean", "absolute", "power", "squared", "nine_point", "chroma"),
    )
    tv_weight: float = _loss(0.0, "weight of the total variation; 0: none")

    # The optimization
    pixel_range: float = _optimizer(
        1.0, "the optimized values run from 0 to this (1, or 255 as Caffe's input)"
    )
    init: str = _optimizer("content", "content, style, noise or a file")
    noise: str = _optimizer("uniform", "kind of noise for --init noise", choices=("uniform", "gaussian"))
    noise_scale: float = _optimizer(
        1.0, "uniform: upper end; gaussian: standard deviation (0 to pixel_range)"
    )
    noise_center: str = _optimizer(
        "zero", "mean of gaussian noise: zero, or ImageNet's mean color", choices=("zero", "imagenet")
    )
    optimizer: str = _optimizer("lbfgs", "optimization method", choices=("adam", "lbfgs", "sgd"))
    lr: float = _optimizer(1.0, "learning rate of adam and sgd (lbfgs searches its own)")
    lr_decay: float = _optimizer(1.0, "factor on the learning rate every 100 steps, continuously")
    beta1: float = _optimizer(0.9, "Adam's first decay")
    beta2: float = _optimizer(0.999, "Adam's second decay")
    epsilon: float = _optimizer(1e-8, "Adam's epsilon")
    epsilon_hat: bool = _optimizer(
        False, "read epsilon as TensorFlow does (Kingma & Ba 2015, end of section 2)"
    )
    section_s: float | None = _optimizer(
        None,
        "a longer sound is optimized in sections of at most so many seconds, one after the other, each of "
        "which overlaps the one before it by half a second; none, or at several scales: as a whole",
    )
    history: int = _optimizer(10, "L-BFGS: remembered steps")
    restart_every: int | None = _optimizer(None, "L-BFGS: forget the past every so many evaluations")
    steps: int = _optimizer(500, "evaluations of loss and gradient (at each scale)")
    first_steps: int | None = _optimizer(None, "evaluations at the first of several scales, if other")
    clip: bool = _optimizer(True, "keep the image in its valid range at every step")
    style_range: bool = _image(
        False,
        "keep the values between the darkest and the lightest of the styles (all but 0.5 % of theirs at "
        "either end) and a step of 8 bits within black and white: nothing is clipped",
    )
    keep: str = _optimizer("last", "which image is the result", choices=("last", "best", "average"))
    smallest_scale: int | None = _optimizer(None, "coarse-to-fine: longest side to start from")
    scale_factor: float = _optimizer(math.sqrt(2.0), "ratio of one scale to the next")
    loop: bool = _optimizer(
        False,
        "for a texture: let its end flow into its beginning (a sound, on the waveform), or each border into "
        "the opposite one (a picture)",
    )
    carry: str = _optimizer(
        "image",
        "what goes up to the next scale: the image, or its change on the content",
        choices=("image", "change"),
    )

    # Pictures
    size: int = _image(512, "longest side in pixels (0: as it is); never enlarges unless --enlarge")
    height: int | None = _image(None, "height in pixels")
    width: int | None = _image(None, "width in pixels (with height: forced shape)")
    enlarge: bool = _image(False, "let size, height and width enlarge a picture")
    resampling: str = _image(
        "lanczos",
        "how pictures are brought to their size; bilinear: without antialiasing, as TensorFlow; nearest: as "
        "Keras reads them",
        choices=("lanczos", "bilinear", "nearest"),
    )
    truncate_sides: bool = _image(False, "cut sides to whole pixels instead of rounding them")
    style_size: str = _image(
        "own",
        "the style keeps its aspect (smaller: and is never enlarged), or is forced to the content's shape",
        choices=("own", "smaller", "content"),
    )

    style_scale: tuple[float, ...] = _image(
        (),
        "size of a style's strokes beside the content, one for all styles or one for each; none given: 1, "
        "the style's longest side is the content's (or its own, if that is shorter)",
    )
    bits: int = _image(8, "bits per channel of the result: 8, or 16 in PNG and TIFF")
    color: str = _image(
        "style",
        "whose colors; content: gray pictures of the lightness (OKLab) are optimized and get the content's "
        "hues and chroma; luminance: the same with luma (Gatys et al. 2016, in YIQ); style: all is free",
        choices=("style", "content", "luminance"),
    )
    color_match: str = _image(
        "none",
        "first bring each style's colors to the content's: mean color, covariance, or the whole histogram",
        choices=("none", "mean", "covariance", "histogram"),
    )

    # Sounds
    canvas: str = _audio(
        "image",
        "what is optimized: the spectrogram image, or the waveform through the STFT",
        choices=("image", "waveform"),
    )
    content_start_s: float = _audio(
        0.0, "where the content begins in its file, in seconds; the output is that range"
    )
    content_duration_s: float | None = _audio(None, "seconds of the content from there; none: all")
    preview_s: float | None = _audio(
        None, "of the content, or of that range of it, only the loudest so many seconds"
    )
    style_start_s: tuple[float, ...] = _audio(
        (), "where each style begins in its file, in seconds: one for all, or one per style"
    )
    style_duration_s: tuple[float, ...] = _audio(
        (), "seconds of each style from there: one for all, or one per style; none given: all"
    )
    keep_band: tuple[str, ...] = _audio(
        (), "bands of frequencies in Hz that stay as they are in the content: 0-200,4000-"
    )
    mask: str | None = _audio(
        None,
        "a picture (time from left to right, 0 Hz at the bottom, half the sample rate at the top; black: the "
        "content as it is) or a CSV table of regions (start_s,stop_s,low_hz,high_hz,amount)",
    )
    silence: str = _audio(
        "fill",
        "what becomes of the content's silences (a fifth of a second and more, 40 dB below its level): fill "
        "gives them the style's sound, keep leaves them as they are",
        choices=("fill", "keep"),
    )
    mix: float = _audio(1.0, "of content (0) and result (1), after all else")
    level: str = _audio(
        "match",
        "match: as loud as the content (BS.1770), a limiter holds peaks at -1 dBTP, or at the content's own "
        "if those are higher; peak: the content's largest sample; rms: the content's RMS, turned down if "
        "samples would pass full scale",
        choices=("match", "peak", "rms"),
    )
    duration_s: float | None = _audio(
        None, "for a texture (strength 1 or content_weight 0, init noise): seconds of the result"
    )
    keep_tune: float | None = _audio(
        None,
        "how much of the content's fine structure (partials, and with them the tune) is kept, from 0 to 1; "
        "none: as strength says",
    )
    keep_time: float | None = _audio(
        None, "how much of the content's attacks is kept, from 0 to 1; none: as strength says"
    )
    init_noise_db: float | None = _audio(
        None,
        "for --init content: add grains of the styles, in the content's gaps up to so many dB re its level, "
        "and no more than -20 dB under what is as loud as that; without them, what a style puts into silence "
        "is the same in every frame (none: none)",
    )
    equalize: bool = _loss(
        False,
        "give the content, before all else, the styles' colors, or their long-term spectrum; this a sound's "
        "result in the end, too, and its bands the distribution of levels that they have in the styles",
    )
    sample_rate: int | None = _audio(
        None, "working rate in Hz; none: the content's (the output always has the content's)"
    )
    n_fft: int | None = _audio(None, "FFT size; none: nearest power of two to 46 ms")
    hop_length: int | None = _audio(None, "hop; none: win_length / 4")
    win_length: int | None = _audio(None, "window length; none: n_fft", flag=False)
    window: str = _audio("hann", "window function (any of SciPy's)", flag=False)
    log_gain: float = _audio(1.0, "k in log1p(k |S| / rms)")
    normalize_level: bool = _audio(True, "divide the spectrogram by its own RMS")
    unit_scale: bool = _audio(True, "scale the compressed image to about 0..1")
    phase: str = _audio(
        "auto",
        "where the phase reconstruction starts; pghi: from the slopes of the magnitudes; auto: from pghi or "
        "content, whichever is closer",
        choices=("auto", "content", "pghi", "random", "zero"),
    )
    phase_method: str = _audio(
        "pghi-raar",
        "how the phase is reconstructed; pghi-raar: reflections, then accelerated Griffin-Lim",
        choices=("pghi-raar", "fast-griffin-lim", "griffin-lim"),
    )
    phase_iterations: int = _audio(64, "iterations of the phase reconstruction")
    phase_momentum: float = _audio(
        0.99, "momentum of fast-griffin-lim; given without phase_method, it asks for that"
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
