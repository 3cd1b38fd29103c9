"""What a run asks of sounds: files or arrays to spectrogram images, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.views import View
from specstyle.errors import RecipeError
from specstyle.media import Encoded
from specstyle.media.audio import AudioSettings, Inverse, SoundCodec, WaveformCanvas
from specstyle.media.bands import sound_view
from specstyle.media.equalize import colored_noise, equalize, match_dynamics
from specstyle.media.level import finish_sound
from specstyle.media.masks import mask_of, mixed, sounding
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import (
    WHOLE,
    Part,
    Sound,
    channel_mixing,
    check_sound,
    grains_of,
    loudest,
    resample,
    sound_of_array,
)
from specstyle.media.soundwriting import SUFFIXES, check_output_fits, output_subtype
from specstyle.media.spectrogramfile import Spectrogram

GAP_S = 0.046
"""A content's level is taken over so long where noise is to fill its gaps."""

GRAIN_S = 0.2
"""Length of a grain of the style: a stroke fits into it, and no word."""

AROUND_S = 0.2
"""Of a loop, that is heard before and behind it: more than a filter's window."""

FAINT_NOISE = 0.1
"""Noise under what is as loud as the content's level, beside it: -20 dB."""


class SoundMedium:
    """Sounds as spectrogram images.

    Args:
        recipe: A ``Recipe``: STFT, compression and phase, the ranges of content and styles, masks.
        seed: Of a random phase.
        device: Where images live.
        sample_rate: Of arrays given as sources, in Hz.
    """

    def __init__(
        self, recipe: Any, *, seed: int, device: torch.device, sample_rate: int | None = None
    ) -> None:
        names = AudioSettings.__dataclass_fields__
        self._recipe, self._device, self._sample_rate = recipe, device, sample_rate
        self._codec = SoundCodec(AudioSettings(**{n: getattr(recipe, n) for n in names}), seed=seed)
        self._mask = mask_of(recipe) if recipe.mixes else None

    def source(self, given: Any, role: str, number: int = 0) -> Sound:
        """Return a checked sound from a path, a ``Sound``, or samples ``[(channels,) length]``.

        Here a style's mean goes, channel by channel, and that of a sound to start from: an offset is no
        sound. A content keeps its own, since what is kept of it is kept as it is.

        Args:
            given: What to take.
            role: ``content`` or ``style``, whose range the recipe says, or ``init``.
            number: Of a style, from 0.
        """
        recipe, part = self._recipe, WHOLE
        preview_s = recipe.preview_s if role == "content" else None
        if role == "content":
            part = Part(recipe.content_start_s, recipe.content_duration_s)
        elif role == "style":
            starts, durations = recipe.style_start_s or (0.0,), recipe.style_duration_s or (None,)
            part = Part(starts[number % len(starts)], durations[number % len(durations)])
        if isinstance(given, (str, Path)):
            sound = read_sound(Path(given), part)
        else:
            whole = given if isinstance(given, Sound) else sound_of_array(given, self._sample_rate, role)
            sound = whole if part == WHOLE else part.of(whole)
        if preview_s is not None:
            sound = loudest(sound, preview_s)
        self._check(sound, role)
        if role != "content":
            return _centered(sound)
        for low, _ in () if self._mask is None else self._mask.keep:
            if low >= sound.sample_rate / 2:
                raise RecipeError(
                    f"keep_band {low:g}- begins above {sound.sample_rate / 2:g} Hz, the highest frequency of "
                    f"{sound.name}; choose a lower one"
                )
        if self._recipe.duration_s is not None:
            length = max(round(self._recipe.duration_s * sound.sample_rate), 1)
            sound = replace(sound, samples=_looped(sound.samples, length))
            self._check(sound, role)
        return sound

    def _check(self, sound: Sound, role: str) -> None:
        working = self._recipe.sample_rate or sound.sample_rate
        n_fft = self._codec.settings.stft_at(sound.sample_rate).n_fft
        check_sound(sound, role=role, min_samples=math.ceil(n_fft * sound.sample_rate / working))

    def encode_content(self, source: Sound) -> Encoded:
        """Return the content's log-magnitude image."""
        return self._codec.encode(_centered(source), device=self._device)

    def encode_style(self, source: Sound, content: Encoded) -> Encoded:
        """Return a style's log-magnitude image at the content's sample rate."""
        comparable = resample(_heard([source])[0], content.context.sound.sample_rate)
        self._check(comparable, "style")
        return self._codec.encode(comparable, device=self._device)

    def fit(self, image: Tensor, like: Tensor) -> Tensor:
        """Repeat or cut the frames (stretching them would change the speed), and match the channels."""
        frames = like.shape[3]
        looped = image.repeat(1, 1, 1, -(-frames // image.shape[3]))[..., :frames]
        if looped.shape[0] == like.shape[0]:
            return looped
        return looped.mean(0, keepdim=True).expand_as(like)

    def equalized(self, content: Sound, styles: Sequence[Sound], amount: float = 1.0) -> Sound:
        """Return the content, without its mean, with the styles' long-term spectrum, level included."""
        blend = self._recipe.style_blend
        return equalize(_centered(content), _heard(styles), blend=blend, amount=amount)

    def reference(self, styles: Sequence[Sound], content: Encoded, generator: torch.Generator) -> Tensor:
        """Return the image of Gaussian noise with the styles' long-term spectrum."""
        original: Sound = content.context.sound
        noise = torch.randn(original.samples.shape, generator=generator, dtype=torch.float64)
        blend = self._recipe.style_blend
        colored = equalize(replace(original, samples=noise), _heard(styles), blend=blend)
        return self._codec.encode(colored, device=self._device).image

    def noised(
        self,
        content: Sound,
        styles: Sequence[Sound],
        generator: torch.Generator,
        amount: float = 1.0,
        *,
        kept: float = 1.0,
    ) -> Sound:
        """Return the content with grains of the styles in its gaps: the seed of a texture.

        They come from random places, and fill the room that is left under the content's own level (over
        ``GAP_S``), so that a silence starts as full as the style is, with its strokes, and a tone nearly as
        clear as it was.
        """
        heard, blend = _heard(styles), self._recipe.style_blend
        grains = grains_of(
            [resample(style, content.sample_rate).samples for style in heard],
            blend,
            content.samples.shape,
            size=round(GRAIN_S * content.sample_rate),
            generator=generator,
        )
        mixed_grains = replace(content, samples=channel_mixing(content.samples) @ grains)
        noise = equalize(mixed_grains, heard, blend=blend).samples
        level = content.samples.std(1, correction=0, keepdim=True)
        noise *= level / noise.std(1, correction=0, keepdim=True).clamp_min(torch.finfo(noise.dtype).tiny)
        loudest = 10 ** ((self._recipe.init_noise_db or 0.0) / 20)
        samples = kept * content.samples
        room = loudest * (1.0 - _level_around(samples, round(GAP_S * content.sample_rate)) / level)
        noise *= room.nan_to_num_(0.0).clamp_(min(loudest, FAINT_NOISE), loudest)
        return replace(content, samples=samples + amount * noise)

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

        It starts from the content, from a sound that is repeated or cut to its length, or from noise with the
        styles' spectrum. For ``loop`` see ``WaveformCanvas``.
        """
        if noise is not None:
            blend, like = self._recipe.style_blend, content.context.sound
            start = _centered(colored_noise(_heard(styles), like, noise, blend=blend))
        if start is not None:
            content = self._codec.encode(self._fitted(start, content.context.sound), device=self._device)
        return WaveformCanvas(content, self._codec.settings, device=self._device, loop=loop)

    def view(self, name: str, content: Encoded) -> View:
        """Return a view of sounds by its name."""
        return sound_view(name, self._codec.settings, content.context.stft, content.context.working_rate)

    def _fitted(self, sound: Sound, like: Sound) -> Sound:
        """Bring a sound to another's rate, length and number of channels."""
        samples = resample(sound, like.sample_rate).samples
        channels, length = like.samples.shape
        if samples.shape[0] != channels:
            samples = samples.mean(0, keepdim=True).expand(channels, -1)
        return replace(like, samples=_looped(samples, length))

    def check_output(self, path: Path, source: Sound, content: Encoded) -> None:
        """Refuse an output whose format cannot hold the content's rate, channels and length."""
        check_output_fits(source, path)

    def finish(
        self,
        image: Tensor,
        samples: Tensor | None,
        content: Encoded,
        original: Sound,
        *,
        canvas: WaveformCanvas | None = None,
        with_function: Inverse | None = None,
        styles: Sequence[Sound] = (),
        amount: float = 0.0,
        output: Path | None = None,
    ) -> tuple[Sound, dict[str, Any], Spectrogram | None]:
        """Bring an image, or the samples of a canvas, to a sound of the content's loudness.

        The styles give it their dynamics and spectrum, by an amount from 0 to 1. Where it will be written
        counts, as not every format ends at full scale.

        Returns:
            The sound, what the record says of it, and the magnitudes that it was made of, if there are any.
        """
        figures: dict[str, Any] = {}
        spectrogram = None
        if canvas is not None and samples is not None:
            sound = canvas.sound(samples)
        else:
            context = content.context
            sound, found, magnitude = self._codec.decode_with_report(
                image, content, with_function=with_function
            )
            spectrogram = Spectrogram(magnitude.cpu(), context.working_rate, context.stft, context.length)
            figures["phase"] = {"method": found.method, "start": found.start}
            # An exact match has no finite level; -300 dB is float64's own precision.
            figures["spectral_convergence_db"] = max(found.spectral_convergence_db, -300.0)
        if amount > 0:
            # A loop has its end before its beginning there, too, and no faded ends.
            length = sound.samples.shape[1]
            around = min(round(AROUND_S * sound.sample_rate), length) if self._recipe.loop else 0
            ends = sound.samples[:, length - around :], sound.samples[:, :around]
            sound = replace(sound, samples=torch.cat([ends[0], sound.samples, ends[1]], 1))
            blend = self._recipe.style_blend
            sound = match_dynamics(sound, _heard(styles), blend=blend, amount=amount)
            sound = self.equalized(sound, styles, amount)
            sound = replace(sound, samples=sound.samples[:, around : around + length])
        finished, level = self.mixed_and_leveled(sound, original, output)
        return finished, {**figures, **level}, spectrogram

    def mixed_and_leveled(
        self, made: Sound, original: Sound, output: Path | None
    ) -> tuple[Sound, dict[str, Any]]:
        """Mix a sound with the content that it was made of as the recipe says, and bring it to its loudness.

        Returns:
            The sound, and what the record says of its level.
        """
        mask, recipe = self._mask, self._recipe
        if mask is not None and recipe.silence == "keep":
            mask = replace(mask, sounding=sounding(original))
        mix = None if mask is None else lambda made: mixed(original, made, mask)
        suffix = "" if output is None else output.suffix.lower()
        unbounded = suffix in SUFFIXES and output_subtype(original, suffix) in ("FLOAT", "DOUBLE")
        finished, level = finish_sound(
            made, original, recipe.level, loop=recipe.loop, mix=mix, unbounded=unbounded
        )
        return finished, {"level": asdict(level)}

    def describe_encoding(self, content: Encoded) -> dict[str, Any]:
        """Return the transform that ran, with what the recipe left open."""
        stft = asdict(content.context.stft)
        described = {"stft": {"sample_rate": content.context.working_rate, **stft}}
        file = None if self._mask is None else self._mask.file
        return described if file is None else {**described, "mask": file}

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


def _level_around(samples: Tensor, width: int) -> Tensor:
    """Return the RMS of the samples around each one, ``[channels, length]``."""
    half = min(width, samples.shape[1]) // 2
    running = torch.nn.functional.pad(samples.square().cumsum(1), (half + 1, 0))
    running = torch.cat([running, running[:, -1:].expand(-1, half)], 1)
    around = (running[:, 2 * half + 1 :] - running[:, : -2 * half - 1]) / (2 * half + 1)
    return around.clamp_min_(0.0).sqrt_()


def _heard(styles: Sequence[Sound]) -> list[Sound]:
    """Leave out silent channels: they say nothing of a style, and the others then count for all channels."""
    moving = [style.samples.amax(1) > style.samples.amin(1) for style in styles]
    return [
        replace(s, samples=s.samples[m]) if not m.all() else s for s, m in zip(styles, moving, strict=True)
    ]


def _centered(sound: Sound) -> Sound:
    """Take each channel's mean away: an offset is no sound, but it would count as the loudest bin.

    Where there is none but rounding, the sound is left as it is: what was centered once stays so.
    """
    mean, peak = sound.samples.mean(1, keepdim=True), sound.samples.abs().amax(1, keepdim=True)
    offset = torch.where(mean.abs() > 1e-10 * peak, mean, 0.0)
    return replace(sound, samples=sound.samples - offset) if bool(offset.any()) else sound
