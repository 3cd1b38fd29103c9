"""What a run asks of each medium, in one shape for both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from specstyle.engine.scales import resize
from specstyle.errors import RecipeError
from specstyle.media.audio import AudioSettings, SoundMedium
from specstyle.media.base import Encoded
from specstyle.media.equalize import equalize
from specstyle.media.image import ImageSettings, PictureMedium, check_picture
from specstyle.media.imagefiles import Picture, read_picture
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound, check_sound, resample
from specstyle.media.stft import auto_stft
from specstyle.media.waveform import WaveformCanvas
from specstyle.recipes import Recipe


class Adapter(Protocol):
    """The steps of a run that depend on the medium.

    Attributes:
        medium: ``audio`` or ``image``.
    """

    medium: str

    def source(self, given: Any, role: str) -> Any:
        """Return a checked source from a path, an array or a source."""
        ...

    def encode_content(self, source: Any) -> Encoded:
        """Return the content's image and context."""
        ...

    def encode_style(self, source: Any, content: Encoded) -> Encoded:
        """Return a style's image, comparable with the content's."""
        ...

    def fit(self, image: Tensor, like: Tensor) -> Tensor:
        """Bring an image to another's shape, to start from it."""
        ...

    def equalized(self, content: Any, styles: Sequence[Any]) -> Any:
        """Return the content with the styles' long-term spectrum."""
        ...

    def reference(self, styles: Sequence[Any], content: Encoded, generator: torch.Generator) -> Tensor:
        """Return an image of noise that is like the styles on average, of the content's shape."""
        ...

    def waveform(self, start: Encoded, init: str, generator: torch.Generator) -> Any:
        """Return a canvas of samples."""
        ...

    def finish_waveform(self, canvas: Any, samples: Tensor, original: Any) -> tuple[Any, dict[str, float]]:
        """Return the finished source that a canvas' samples are, and figures for the record."""
        ...

    def finish(self, image: Tensor, content: Encoded, original: Any) -> tuple[Any, dict[str, float]]:
        """Return the finished source, with the original content's loudness, and figures for the record."""
        ...

    def describe(self, source: Any) -> dict[str, Any]:
        """Return what the record says of a source."""
        ...


class SoundAdapter:
    """Sounds as spectrogram images.

    Args:
        recipe: STFT, compression and phase.
        seed: Of a random phase.
        device: Where images live.
        sample_rate: Of arrays given as sources, in Hz.
    """

    medium = "audio"

    def __init__(
        self, recipe: Recipe, *, seed: int, device: torch.device, sample_rate: int | None = None
    ) -> None:
        names = AudioSettings.__dataclass_fields__
        self._recipe, self._device, self._sample_rate = recipe, device, sample_rate
        self._medium = SoundMedium(AudioSettings(**{n: getattr(recipe, n) for n in names}), seed=seed)
        self._content: Sound | None = None

    def source(self, given: Any, role: str) -> Sound:
        """Return a checked sound from a path, a ``Sound``, or samples ``[(channels,) length]``."""
        if isinstance(given, (str, Path)):
            sound = read_sound(Path(given))
        elif isinstance(given, Sound):
            sound = given
        else:
            sound = _sound_of_array(given, self._sample_rate, role)
        recipe = self._recipe
        working = recipe.sample_rate or sound.sample_rate
        stft = auto_stft(
            working,
            n_fft=recipe.n_fft,
            hop_length=recipe.hop_length,
            win_length=recipe.win_length,
            window=recipe.window,
        )
        check_sound(sound, role=role, min_samples=math.ceil(stft.n_fft * sound.sample_rate / working))
        return sound

    def encode_content(self, source: Sound) -> Encoded:
        """Return the content's log-magnitude image."""
        self._content = source
        return self._medium.encode(source, device=self._device)

    def encode_style(self, source: Sound, content: Encoded) -> Encoded:
        """Return a style's log-magnitude image at the content's sample rate."""
        if self._content is None:
            raise RuntimeError("encode the content first")
        # A silent channel of a style says nothing about it; without it the others count for all channels.
        moving = source.samples.amax(1) > source.samples.amin(1)
        heard = dataclasses.replace(source, samples=source.samples[moving])
        return self._medium.encode(resample(heard, self._content.sample_rate), device=self._device)

    def fit(self, image: Tensor, like: Tensor) -> Tensor:
        """Repeat or cut the frames (stretching them would change the speed), and match the channels."""
        frames = like.shape[3]
        looped = image.repeat(1, 1, 1, -(-frames // image.shape[3]))[..., :frames]
        if looped.shape[0] == like.shape[0]:
            return looped
        return looped.mean(0, keepdim=True).expand_as(like)

    def equalized(self, content: Sound, styles: Sequence[Sound]) -> Sound:
        """Return the content with the styles' long-term spectrum, at its own loudness."""
        return equalize(content, styles, blend=self._recipe.style_blend)

    def reference(self, styles: Sequence[Sound], content: Encoded, generator: torch.Generator) -> Tensor:
        """Return the image of Gaussian noise with the styles' long-term spectrum."""
        original: Sound = content.context.sound
        noise = torch.randn(original.samples.shape, generator=generator, dtype=torch.float64)
        colored = self.equalized(dataclasses.replace(original, samples=noise), styles)
        return self._medium.encode(colored, device=self._device).image

    def waveform(self, start: Encoded, init: str, generator: torch.Generator) -> WaveformCanvas:
        """Return a canvas of samples that starts from the content or from white noise.

        Raises:
            RecipeError: If the start is neither.
        """
        if init not in ("content", "noise"):
            raise RecipeError(
                f"canvas waveform starts from content or noise, not from {init!r}; use --canvas image"
            )
        noise = generator if init == "noise" else None
        return WaveformCanvas(start, self._medium.settings, device=self._device, noise=noise)

    def finish_waveform(
        self, canvas: WaveformCanvas, samples: Tensor, original: Sound
    ) -> tuple[Sound, dict[str, float]]:
        """Bring samples to the content's rate, length and loudness."""
        finished, gain_db = self._medium.finish(canvas.sound(samples), original)
        return finished, {"peak_gain_db": gain_db}

    def finish(self, image: Tensor, content: Encoded, original: Sound) -> tuple[Sound, dict[str, float]]:
        """Reconstruct the phase and bring the result to the content's loudness."""
        sound, convergence_db = self._medium.decode_with_report(image, content)
        finished, gain_db = self._medium.finish(sound, original)
        # An exact match has no finite level; -300 dB is float64's own precision.
        return finished, {"spectral_convergence_db": max(convergence_db, -300.0), "peak_gain_db": gain_db}

    def describe(self, source: Sound) -> dict[str, Any]:
        """Return rate, channels and length."""
        channels, samples = source.samples.shape
        return {
            "sample_rate": source.sample_rate,
            "channels": channels,
            "samples": samples,
            "duration_s": samples / source.sample_rate,
        }


def _sound_of_array(given: Any, sample_rate: int | None, role: str) -> Sound:
    if sample_rate is None:
        raise ValueError(f"the {role} is an array of samples: say its sample_rate in Hz")
    samples = torch.as_tensor(given)
    if samples.ndim == 1:
        samples = samples[None]
    if samples.ndim != 2 or not samples.is_floating_point():
        raise ValueError(
            f"the {role} must be floating-point samples of shape [length] or [channels, length], got "
            f"{samples.dtype} of shape {list(samples.shape)}"
        )
    return Sound(samples.detach().cpu().to(torch.float64), sample_rate, name=role)


class PictureAdapter:
    """Pictures.

    Args:
        recipe: Sizes.
        device: Where images live.
    """

    medium = "image"

    def __init__(self, recipe: Recipe, *, device: torch.device) -> None:
        self._recipe, self._device = recipe, device
        self._medium = PictureMedium(
            ImageSettings(
                size=recipe.size or None, height=recipe.height, width=recipe.width, enlarge=recipe.enlarge
            )
        )

    def source(self, given: Any, role: str) -> Picture:
        """Return a checked picture from a path, a ``Picture``, or an array.

        Arrays: NumPy ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]`` of uint8, uint16 or floats in 0..1; tensors
        ``[C, H, W]`` or ``[1, C, H, W]`` in 0..1, with C of 1, 3 or 4.
        """
        if isinstance(given, (str, Path)):
            picture = read_picture(Path(given))
        elif isinstance(given, Picture):
            picture = given
        else:
            picture = _picture_of_array(given, role)
        check_picture(picture, role=role)
        return picture

    def encode_content(self, source: Picture) -> Encoded:
        """Return the content at its working size."""
        return self._medium.encode(source, device=self._device)

    def encode_style(self, source: Picture, content: Encoded) -> Encoded:
        """Return a style at its own working size, or forced to the content's."""
        if self._recipe.style_size == "content":
            height, width = content.image.shape[2:]
            return self._medium.encode_to(source, height, width, device=self._device)
        # height and width of a recipe shape the result; a style keeps its own aspect at the same scale.
        longest = max(content.image.shape[2:])
        settings = ImageSettings(size=longest, enlarge=self._recipe.enlarge)
        return PictureMedium(settings).encode(source, device=self._device)

    def fit(self, image: Tensor, like: Tensor) -> Tensor:
        """Resize to the other's shape."""
        return resize(image, *like.shape[2:])

    def equalized(self, content: Picture, styles: Sequence[Picture]) -> Picture:
        """Refuse: a picture has no long-term spectrum.

        Raises:
            RecipeError: Always.
        """
        raise RecipeError("equalize is for sounds; a picture has no long-term spectrum")

    def reference(self, styles: Sequence[Picture], content: Encoded, generator: torch.Generator) -> Tensor:
        """Return noise with the first style's mean color and contrast."""
        pixels = styles[0].pixels.to(content.image)
        mean, spread = pixels.mean((1, 2))[:, None, None], pixels.std((1, 2))[:, None, None]
        noise = torch.randn(content.image.shape, generator=generator).to(content.image)
        return (mean + spread * noise).clamp(0.0, 1.0)

    def waveform(self, start: Encoded, init: str, generator: torch.Generator) -> Any:
        """Refuse: a picture has no waveform.

        Raises:
            RecipeError: Always.
        """
        raise RecipeError("canvas waveform is for sounds; a picture's canvas is image")

    def finish_waveform(self, canvas: Any, samples: Tensor, original: Any) -> tuple[Any, dict[str, float]]:
        """Refuse, as ``waveform`` does.

        Raises:
            RecipeError: Always.
        """
        raise RecipeError("canvas waveform is for sounds; a picture's canvas is image")

    def finish(self, image: Tensor, content: Encoded, original: Picture) -> tuple[Picture, dict[str, float]]:
        """Clip to the valid range and put the content's alpha back."""
        return self._medium.decode(image, content), {}

    def describe(self, source: Picture) -> dict[str, Any]:
        """Return size and alpha."""
        return {
            "height": source.pixels.shape[1],
            "width": source.pixels.shape[2],
            "alpha": source.alpha is not None,
        }


def _picture_of_array(given: Any, role: str) -> Picture:
    problem = ValueError(
        f"the {role} must be an array [H, W], [H, W, 3] or [H, W, 4] (uint8, uint16 or floats in 0..1), or a "
        f"tensor [C, H, W] in 0..1 with C of 1, 3 or 4; got {type(given).__name__} of shape "
        f"{list(getattr(given, 'shape', []))}"
    )
    if isinstance(given, Tensor):
        planes = given.detach().cpu()
        planes = planes[0] if planes.ndim == 4 and planes.shape[0] == 1 else planes
    elif isinstance(given, np.ndarray) and given.ndim in (2, 3):
        scale = {"uint8": 255.0, "uint16": 65535.0}.get(given.dtype.name, 1.0)
        whole = given[:, :, None] if given.ndim == 2 else given
        planes = torch.from_numpy(np.moveaxis(whole.astype(np.float64) / scale, 2, 0).copy())
    else:
        raise problem
    if planes.ndim != 3 or planes.shape[0] not in (1, 3, 4) or not planes.is_floating_point():
        raise problem
    colors = planes[:3] if planes.shape[0] >= 3 else planes.expand(3, -1, -1)
    alpha = planes[3:].float() if planes.shape[0] == 4 else None
    if colors.isfinite().all() and (colors.min() < 0.0 or colors.max() > 1.0):
        raise ValueError(
            f"the {role}'s floats must lie in 0..1, got {float(colors.min()):g} to {float(colors.max()):g}"
        )
    return Picture(colors.float(), alpha, name=role)


def make_adapter(medium: str, recipe: Recipe, **options: Any) -> Adapter:
    """Return the adapter of a medium.

    Raises:
        ValueError: If there is no such medium.
    """
    makers: dict[str, Callable[..., Adapter]] = {"audio": SoundAdapter, "image": PictureAdapter}
    if medium not in makers:
        raise ValueError(f"medium must be audio or image, got {medium!r}")
    if medium == "image":
        options = {"device": options["device"]}
    return makers[medium](recipe, **options)
