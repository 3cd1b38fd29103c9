"""What a run asks of sounds: files or arrays to spectrogram images, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from specstyle.engine.views import View
from specstyle.media.audio import Inverse, SoundCodec, finish_sound
from specstyle.media.audiosettings import AudioSettings
from specstyle.media.bands import sound_view
from specstyle.media.base import Encoded
from specstyle.media.equalize import colored_noise, equalize
from specstyle.media.mixing import Mixing
from specstyle.media.soundfiles import check_output_fits, read_sound
from specstyle.media.sounds import WHOLE, Part, Sound, check_sound, resample
from specstyle.media.spectrogramfile import Spectrogram
from specstyle.media.waveform import WaveformCanvas


class SoundOptions(Protocol):
    """What a medium reads of a recipe, beside ``AudioSettings``: the recipe's own fields."""

    @property
    def sample_rate(self) -> int | None: ...  # noqa: D102
    @property
    def content_start_s(self) -> float: ...  # noqa: D102
    @property
    def content_duration_s(self) -> float | None: ...  # noqa: D102
    @property
    def style_start_s(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def style_duration_s(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def style_blend(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def duration_s(self) -> float | None: ...  # noqa: D102
    @property
    def init_noise_db(self) -> float | None: ...  # noqa: D102
    @property
    def loop(self) -> bool: ...  # noqa: D102
    @property
    def mask(self) -> str | None: ...  # noqa: D102
    @property
    def keep_band(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def mix(self) -> float: ...  # noqa: D102


class SoundMedium:
    """Sounds as spectrogram images.

    Args:
        recipe: STFT, compression and phase.
        seed: Of a random phase.
        device: Where images live.
        sample_rate: Of arrays given as sources, in Hz.
    """

    medium = "audio"

    def __init__(
        self, recipe: SoundOptions, *, seed: int, device: torch.device, sample_rate: int | None = None
    ) -> None:
        names = AudioSettings.__dataclass_fields__
        self._recipe, self._device, self._sample_rate = recipe, device, sample_rate
        self._codec = SoundCodec(AudioSettings(**{n: getattr(recipe, n) for n in names}), seed=seed)
        self._content_rate: int | None = None
        self._mixing = Mixing.of(recipe)

    def source(self, given: Any, role: str, part: Part = WHOLE) -> Sound:
        """Return a checked sound from a path, a ``Sound``, or samples ``[(channels,) length]``.

        Args:
            given: What to take.
            role: ``content``, whose range the recipe says, ``style`` or ``init``.
            part: The range of any other.
        """
        if role == "content":
            part = Part(self._recipe.content_start_s, self._recipe.content_duration_s)
        if isinstance(given, (str, Path)):
            sound = read_sound(Path(given), part)
        else:
            whole = given if isinstance(given, Sound) else _sound_of_array(given, self._sample_rate, role)
            sound = whole if part == WHOLE else part.of(whole)
        self._check(sound, role)
        if role == "content":
            self._mixing.check(sound)
        if role == "content" and self._recipe.duration_s is not None:
            length = max(round(self._recipe.duration_s * sound.sample_rate), 1)
            sound = dataclasses.replace(sound, samples=_looped(sound.samples, length))
            self._check(sound, role)
        return sound

    def style_part(self, number: int) -> Part:
        """Return the range of a style, by its place from 0."""
        starts, durations = self._recipe.style_start_s, self._recipe.style_duration_s
        start = starts[number if len(starts) > 1 else 0] if starts else 0.0
        return Part(start, durations[number if len(durations) > 1 else 0] if durations else None)

    def _check(self, sound: Sound, role: str) -> None:
        working = self._recipe.sample_rate or sound.sample_rate
        n_fft = self._codec.settings.stft_at(sound.sample_rate).n_fft
        check_sound(sound, role=role, min_samples=math.ceil(n_fft * sound.sample_rate / working))

    def encode_content(self, source: Sound) -> Encoded:
        """Return the content's log-magnitude image."""
        self._content_rate = source.sample_rate
        return self._codec.encode(_centered(source), device=self._device)

    def encode_style(self, source: Sound, content: Encoded) -> Encoded:
        """Return a style's log-magnitude image at the content's sample rate."""
        if self._content_rate is None:
            raise RuntimeError("encode the content first")
        comparable = resample(_heard(source), self._content_rate)
        self._check(comparable, "style")
        return self._codec.encode(_centered(comparable), device=self._device)

    def fit(self, image: Tensor, like: Tensor) -> Tensor:
        """Repeat or cut the frames (stretching them would change the speed), and match the channels."""
        frames = like.shape[3]
        looped = image.repeat(1, 1, 1, -(-frames // image.shape[3]))[..., :frames]
        if looped.shape[0] == like.shape[0]:
            return looped
        return looped.mean(0, keepdim=True).expand_as(like)

    def equalized(self, content: Sound, styles: Sequence[Sound], amount: float = 1.0) -> Sound:
        """Return the content with the styles' long-term spectrum, level included."""
        heard = [_heard(style) for style in styles]
        return equalize(content, heard, blend=self._recipe.style_blend, amount=amount)

    def reference(self, styles: Sequence[Sound], content: Encoded, generator: torch.Generator) -> Tensor:
        """Return the image of Gaussian noise with the styles' long-term spectrum."""
        original: Sound = content.context.sound
        noise = torch.randn(original.samples.shape, generator=generator, dtype=torch.float64)
        colored = self.equalized(dataclasses.replace(original, samples=noise), styles)
        return self._codec.encode(colored, device=self._device).image

    def noised(
        self, content: Sound, styles: Sequence[Sound], generator: torch.Generator, amount: float = 1.0
    ) -> Sound:
        """Return the content with noise of the styles' spectrum: the seed of a texture in its silences."""
        white = torch.randn(content.samples.shape, generator=generator, dtype=torch.float64)
        noise = self.equalized(dataclasses.replace(content, samples=white), styles).samples
        level = content.samples.std(1, correction=0, keepdim=True)
        gain = (
            level
            / noise.std(1, correction=0, keepdim=True)
            * 10 ** ((self._recipe.init_noise_db or 0.0) / 20)
        )
        return dataclasses.replace(content, samples=content.samples + amount * gain * noise)

    def waveform(
        self,
        content: Encoded,
        *,
        start: Sound | None = None,
        styles: Sequence[Sound] = (),
        noise: torch.Generator | None = None,
        loop: int | None = None,
    ) -> WaveformCanvas:
        """Return a canvas of samples of the content's rate and length.

        Args:
            content: What it starts from, unless one of the others is given.
            start: A sound to start from, repeated or cut to the content's length.
            styles: Whose spectrum a noise has.
            noise: Source of noise to start from.
            loop: See ``WaveformCanvas``.
        """
        if noise is not None:
            heard, like = [_heard(style) for style in styles], content.context.sound
            start = colored_noise(heard, like, noise, blend=self._recipe.style_blend)
        if start is not None:
            content = self._codec.encode(self._fitted(start, content.context.sound), device=self._device)
        return WaveformCanvas(content, self._codec.settings, device=self._device, loop=loop)

    def view(self, name: str, content: Encoded) -> View:
        """Return a view of sounds by its name."""
        return sound_view(name, self._codec.settings, content.context.stft, content.context.working_rate)

    def _fitted(self, sound: Sound, like: Sound) -> Sound:
        """Bring a sound to another's rate, length and number of channels."""
        samples = resample(_centered(sound), like.sample_rate).samples
        channels, length = like.samples.shape
        if samples.shape[0] != channels:
            samples = samples.mean(0, keepdim=True).expand(channels, -1)
        return dataclasses.replace(like, samples=_looped(samples, length))

    def check_output(self, path: Path, source: Sound, content: Encoded) -> None:
        """Refuse an output whose format cannot hold the content's rate, channels and length."""
        check_output_fits(source, path)

    def finish_waveform(
        self, canvas: WaveformCanvas, samples: Tensor, original: Sound
    ) -> tuple[Sound, dict[str, float]]:
        """Bring samples to the content's rate, length and loudness."""
        finished, gain_db = finish_sound(canvas.sound(samples), original)
        finished, more_db = self._mixing.mixed(finished, original)
        return finished, {"peak_gain_db": gain_db + more_db}

    def finish(
        self, image: Tensor, content: Encoded, original: Sound, *, with_function: Inverse | None = None
    ) -> tuple[Sound, dict[str, Any], Spectrogram]:
        """Reconstruct the phase and bring the result to the content's loudness.

        Returns:
            The sound, what the record says of it, and the magnitudes that it was made of.
        """
        sound, found, magnitude = self._codec.decode_with_report(image, content, with_function=with_function)
        finished, gain_db = finish_sound(sound, original)
        finished, more_db = self._mixing.mixed(finished, original)
        context = content.context
        spectrogram = Spectrogram(magnitude.cpu(), context.working_rate, context.stft, context.length)
        figures = {
            "phase": {"method": found.method, "start": found.start},
            # An exact match has no finite level; -300 dB is float64's own precision.
            "spectral_convergence_db": max(found.spectral_convergence_db, -300.0),
            "peak_gain_db": gain_db + more_db,
        }
        return finished, figures, spectrogram

    def describe_encoding(self, content: Encoded) -> dict[str, Any]:
        """Return the transform that ran, with what the recipe left open."""
        stft = dataclasses.asdict(content.context.stft)
        described = {"stft": {"sample_rate": content.context.working_rate, **stft}}
        return described | ({} if self._mixing.file is None else {"mask": self._mixing.file})

    def describe(self, source: Sound) -> dict[str, Any]:
        """Return rate, channels and length."""
        channels, samples = source.samples.shape
        return {
            "sample_rate": source.sample_rate,
            "channels": channels,
            "samples": samples,
            "duration_s": samples / source.sample_rate,
        }


def _looped(samples: Tensor, length: int) -> Tensor:
    """Repeat or cut samples ``[channels, length']`` to a length."""
    return samples.repeat(1, -(-length // samples.shape[1]))[:, :length].contiguous()


def _heard(style: Sound) -> Sound:
    """Leave out silent channels: they say nothing of a style, and the others then count for all channels."""
    moving = style.samples.amax(1) > style.samples.amin(1)
    if bool(moving.all()):
        return style
    return dataclasses.replace(style, samples=style.samples[moving])


def _centered(sound: Sound) -> Sound:
    """Take each channel's mean away: an offset is no sound, but it would count as the loudest bin."""
    return dataclasses.replace(sound, samples=sound.samples - sound.samples.mean(1, keepdim=True))


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
