"""A sound network over a sound of any length: block by block, without seams, from a file or a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.media.equalize import level_quantiles, shape_levels
from specstyle.media.sounds import Sound, channel_mixing, resample
from specstyle.media.stft import shaped, window_tensor
from specstyle.onepass.soundnetwork import (
    AHEAD,
    PAST,
    RANDOM,
    SAMPLE_RATE,
    STFT,
    SoundStyleNetwork,
    impulses,
    prepare,
    spectra_of,
)

N_FFT, HOP = STFT.n_fft, STFT.hop_length

LATENCY = N_FFT + AHEAD * HOP
"""Samples from one that comes in to the same one that goes out, at most, beside those of a chunk."""

MEMORY_S = 5.0
"""Of a stream, over which its spectrum and its level are taken."""

BLOCK = 1024
"""Frames in work at once; and noise is drawn for so many frames at a time."""


def play(network: SoundStyleNetwork, sound: Sound, blend: Tensor, strength: float, *, seed: int = 0) -> Sound:
    """Return a sound played by a style, as loud as the style made it.

    In the end its bands get the distribution of levels that they have in the style, and it the style's
    spectrum, both in proportion up to a strength of 0.5, and from there on in full. A stream, whose end is
    not known, does without.

    Args:
        network: The styles.
        sound: Of any rate, length and number of channels.
        blend: Weight of each style, ``[styles]``, not negative and not all 0.
        strength: From 0 to 1.
        seed: Of the noise.
    """
    samples = resample(sound, SAMPLE_RATE).samples
    player = Player(
        network,
        blend,
        strength,
        channels=len(samples),
        power=long_term_power(samples),
        mixing=channel_mixing(samples),
        seed=seed,
    )
    played, filled = torch.empty_like(samples), 0
    for part in (*torch.split(samples, BLOCK * HOP, 1), None):
        piece = player.finish() if part is None else player.push(part)
        played[:, filled : filled + piece.shape[1]] = piece
        filled += piece.shape[1]
    made = Sound(played, SAMPLE_RATE)
    del samples, played
    if strength > 0:
        shares = blend / blend.sum()
        levels = torch.tensordot(shares, network.levels, 1).double()
        made = shape_levels(made, levels, min(1.0, 2.0 * strength))
        gains = prepare(long_term_power(made.samples), shares @ network.spectra, strength)[:, None]
        made = replace(made, samples=shaped(made.samples, lambda first, n: gains, STFT))
    back = resample(made, sound.sample_rate).samples[:, : sound.samples.shape[1]]
    return replace(sound, samples=F.pad(back, (0, sound.samples.shape[1] - back.shape[1])))


def take_in(network: SoundStyleNetwork, styles: Sequence[Sound]) -> None:
    """Keep in a network what the spectrum and the levels of each of its styles are."""
    samples = [resample(style, SAMPLE_RATE).samples for style in styles]
    powers = torch.stack([long_term_power(x) for x in samples])
    network.spectra.copy_(powers / powers.mean(1, keepdim=True))
    network.levels.copy_(torch.stack([level_quantiles(Sound(x, SAMPLE_RATE)) for x in samples]))


class Player:
    """Plays a sound as it comes in.

    What comes out does not depend on the pieces in which it came in, but for rounding.

    Args:
        network: The styles.
        blend: Weight of each style, ``[styles]``, not negative and not all 0.
        strength: From 0 to 1.
        channels: Of the sound.
        power: Mean power of each bin of the whole sound, ``[n_bins]`` (see ``long_term_power``); ``None``: it
            is a stream, and what came in decides, over ``MEMORY_S``.
        mixing: ``[channels, channels]``, of independent noise into what the channels get; ``None``: all of
            them get the same.
        seed: Of the noise.
    """

    def __init__(
        self,
        network: SoundStyleNetwork,
        blend: Tensor,
        strength: float,
        *,
        channels: int = 1,
        power: Tensor | None = None,
        mixing: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        self._network, self._strength = network, strength
        self._blend = blend / blend.sum()
        self._power = torch.zeros(STFT.n_bins) if power is None else power
        self._streams, self._seed = power is None, seed
        self._drawn: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self._mixing = torch.zeros(channels, channels) if mixing is None else mixing.float()
        if mixing is None:
            self._mixing[:, 0] = 1.0
        # Frames are counted from 0, and frame k is centered on sample k * HOP.
        self._held = torch.zeros(channels, N_FFT // 2)
        self._held_from, self._end = -(N_FFT // 2), 0
        self._done = 0
        self._sum = torch.zeros(channels, 0)
        self._weight = torch.zeros(0)
        self._sum_from = -(N_FFT // 2)

    @torch.inference_mode()
    def push(self, samples: Tensor) -> Tensor:
        """Take samples in, ``[channels, n]`` at ``SAMPLE_RATE``; return those that are finished."""
        self._held = torch.cat([self._held, samples.float()], 1)
        self._end += samples.shape[1]
        ready = (self._end - N_FFT // 2) // HOP + 1 - AHEAD
        return self._play(ready, last=False)

    @torch.inference_mode()
    def finish(self) -> Tensor:
        """Return the rest: in all as many samples as came in."""
        frames = 1 + -(-self._end // HOP)
        missing = (frames - 1) * HOP + N_FFT // 2 - (self._held_from + self._held.shape[1])
        self._held = F.pad(self._held, (0, missing))
        return self._play(frames, last=True)

    def _play(self, ready: int, *, last: bool) -> Tensor:
        while self._done < ready:
            stop = min(self._done + BLOCK, ready)
            beyond = stop if last and stop == ready else stop + AHEAD
            self._block(self._done, stop, beyond)
            self._done = stop
        final = self._end if last else max(self._done * HOP - N_FFT // 2, self._sum_from)
        count = min(final - self._sum_from, self._sum.shape[1])
        found = self._sum[:, :count] / self._weight[:count].clamp_min(1e-6)
        self._sum, self._weight = self._sum[:, count:], self._weight[count:]
        skipped = max(-self._sum_from, 0)  # before the first sample
        self._sum_from += count
        return found[:, min(skipped, count) :]

    def _block(self, first: int, stop: int, beyond: int) -> None:
        """Play frames, and overlap-add them."""
        start = max(first - PAST, 0)
        left = start * HOP - N_FFT // 2
        self._held, self._held_from = self._held[:, left - self._held_from :], left
        content = spectra_of(self._held[:, : (beyond - 1 - start) * HOP + N_FFT])
        if self._streams:
            self._listen(content[..., first - start : stop - start])
        wanted = self._blend @ self._network.spectra
        gains, color = prepare(self._power, wanted, self._strength), wanted.sqrt()[:, None]
        noises, random = self._noises(start, beyond)
        output = self._network(
            content * gains[:, None],
            [spectra_of(self._mixing @ noise) * color for noise in noises],
            random.expand(len(content), -1, -1),
            self._blend.expand(len(content), -1),
            torch.full((len(content),), self._strength),
        )[..., first - start : stop - start]
        if self._streams:
            output = output * self._power.mean().sqrt()
        self._add(output, first, stop)

    def _add(self, spectra: Tensor, first: int, stop: int) -> None:
        window = window_tensor(STFT, torch.float32, spectra.device)
        frames = torch.fft.irfft(spectra * window.square().sum().sqrt(), n=N_FFT, dim=1) * window[:, None]
        length = (stop - 1 - first) * HOP + N_FFT
        at = first * HOP - N_FFT // 2 - self._sum_from
        grown = at + length - self._sum.shape[1]
        self._sum, self._weight = F.pad(self._sum, (0, grown)), F.pad(self._weight, (0, grown))
        shape = {"output_size": (1, length), "kernel_size": (1, N_FFT), "stride": (1, HOP)}
        self._sum[:, at : at + length] += F.fold(frames, **shape)[:, 0, 0]
        squares = window.square()[None, :, None].expand(1, -1, stop - first)
        self._weight[at : at + length] += F.fold(squares, **shape)[0, 0, 0]

    def _listen(self, spectra: Tensor) -> None:
        """Take a stream's new frames into its mean power."""
        power = spectra.abs().square().mean((0, 2))
        share = spectra.shape[2] / min(self._done + spectra.shape[2], MEMORY_S * SAMPLE_RATE / HOP)
        self._power = torch.lerp(self._power, power, min(share, 1.0))

    def _noises(self, start: int, beyond: int) -> tuple[list[Tensor], Tensor]:
        """Return the samples of each noise under some frames, ``[channels, n]``, and their random numbers."""
        needed = range(start // BLOCK, (beyond + N_FFT // HOP) // BLOCK + 1)
        self._drawn = {part: self._drawn.get(part) or self._draw(part) for part in needed}
        at = (start - needed[0] * BLOCK) * HOP
        length = (beyond - 1 - start) * HOP + N_FFT
        *noises, random = (torch.cat(pieces, -1) for pieces in zip(*self._drawn.values(), strict=True))
        first = start - needed[0] * BLOCK
        return [n[:, at : at + length] for n in noises], random[:, first : first + beyond - start]

    def _draw(self, part: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed((self._seed << 32) + part)
        channels, length = len(self._mixing), BLOCK * HOP
        normal = torch.randn(channels, length, generator=generator)
        sparse = torch.stack([impulses(length, generator) for _ in range(channels)])
        return normal, sparse, torch.randn(RANDOM, BLOCK, generator=generator)


def long_term_power(samples: Tensor) -> Tensor:
    """Return the mean power of each bin over a whole sound, ``[n_bins]``.

    Args:
        samples: ``[channels, length]`` at ``SAMPLE_RATE``.
    """
    total, frames = torch.zeros(STFT.n_bins, dtype=torch.float64), 0
    step = BLOCK * HOP
    for start in range(0, samples.shape[1], step):
        part = samples[:, start : start + step + N_FFT - HOP].float()
        part = F.pad(part, (0, max(N_FFT - part.shape[1], 0)))
        found = spectra_of(part).abs().square().mean(0)
        total += found.double().sum(1)
        frames += found.shape[1]
    return (total / frames).float()
