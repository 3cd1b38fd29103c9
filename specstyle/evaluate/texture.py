"""Texture statistics of McDermott & Simoncelli 2011, and how near two sounds are in each of them.

Sounds are one channel, float64 ``[length]``, frequencies and sample rates in Hz.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import fft

from specstyle.media.equalize import equalize
from specstyle.media.sounds import Sound, resample

Array = np.ndarray[Any, np.dtype[np.float64]]

N_BANDS = 30
LOWEST_HZ, HIGHEST_HZ = 20.0, 10_000.0
"""Where the cochlear bands begin and end (at Nyquist, if that is lower)."""

COMPRESSION = 0.3
ENVELOPE_RATE = 400.0
"""In Hz."""

N_MODULATION_BANDS = 20
SLOWEST_HZ, FASTEST_HZ, MODULATION_Q = 0.5, 200.0, 2.0

LIMIT_DB = 120.0
"""SNRs end here on both sides, so that equal sounds have a number: beyond it rounding is measured."""

_SILENCE = 1e-6
"""Envelopes are lifted to this fraction of the sound's RMS (-120 dB): below it there is only rounding."""

_CONSTANT = 1e-9
"""An envelope whose standard deviation is less than this fraction of its mean does not move."""

_TAIL_S = 0.2
"""Zeros behind the sound: the filters' tails end there instead of coming in again at the front."""

SHORTEST_S, LONGEST_S = 1.0, 30.0
"""Of a sound that is measured: less says little of a texture, and more says no more."""

_STATISTICS = ("snr_mean", "snr_var", "snr_corr", "snr_mod")


@dataclass(frozen=True, eq=False)
class TextureStatistics:
    """Time averages over the compressed envelopes s_k(t) of K = 30 cochlear bands.

    With m_k the mean, d_k the standard deviation of s_k (over the number of samples), and b_kn(t) the
    envelope s_k filtered by modulation band n:

    Attributes:
        mean: m_k, shape ``[30]``, of the sound scaled to RMS 1.
        var: d_k² / m_k², shape ``[30]``.
        skew: mean_t (s_k - m_k)³ / d_k³, shape ``[30]``.
        corr: mean_t (s_j - m_j)(s_k - m_k) / (d_j d_k) for the pairs j < k, shape ``[435]``.
        mod: mean_t b_kn² / d_k², the part of the variance in modulation band n, shape ``[30, 20]``.
        crest_db: 20 log10(max_t e_k / √(mean_t e_k²)) of the envelopes e_k = s_k^(1/0.3) before compression,
            shape ``[30]``: 0 of a steady band, 10 log10(1/d) of one that sounds for the share d of the time.

    A band whose envelope does not move has 0 for everything but its mean.

    Reference:
        McDermott & Simoncelli 2011, "Sound texture perception via statistics of the auditory periphery",
        Neuron 71, Experimental Procedures: marginal moments, correlations, modulation power.
    """

    mean: Array
    var: Array
    skew: Array
    corr: Array
    mod: Array
    crest_db: Array


def texture_statistics(x: Array, sample_rate: float) -> TextureStatistics:
    """Measure the texture statistics of a sound, whatever its level.

    Args:
        x: One channel, shape ``[length]``.
        sample_rate: In Hz, at least 800.

    Returns:
        The five kinds of statistics.

    Raises:
        ValueError: If ``x`` has another shape or no samples, or the rate is too low.
    """
    s, envelope_rate = cochlear_envelopes(x, sample_rate)
    mean = s.mean(axis=1)
    centered = s - mean[:, None]
    sigma = np.sqrt(np.mean(centered**2, axis=1))
    moves = sigma > _CONSTANT * mean
    z = np.where(moves[:, None], centered, 0.0) / np.where(moves, sigma, 1.0)[:, None]
    pairs = np.triu_indices(N_BANDS, k=1)
    # Where an envelope ends at once, its low-pass swings below 0.
    e = np.maximum(s, 0.0) ** (1.0 / COMPRESSION)
    # Modulation filters act on the cosine transform (the envelope mirrored at its ends), where Parseval's
    # theorem gives the power without going back.
    cosines = fft.dct(z, axis=1, norm="ortho")
    frequencies = np.arange(z.shape[1]) * envelope_rate / (2 * z.shape[1])
    return TextureStatistics(
        mean=mean,
        var=np.where(moves, sigma, 0.0) ** 2 / np.where(moves, mean, 1.0) ** 2,
        skew=np.mean(z**3, axis=1),
        corr=(z @ z.T / z.shape[1])[pairs],
        mod=cosines**2 @ modulation_filters(frequencies).T ** 2 / z.shape[1],
        crest_db=20.0 * np.log10(e.max(axis=1) / np.sqrt(np.mean(e**2, axis=1))),
    )


def texture_snr(statistics: TextureStatistics, reference: TextureStatistics) -> dict[str, float]:
    """Return how near one sound's statistics are to another's, kind by kind.

    A departure from the paper: ``snr_mod`` compares the square roots of the modulation powers, that is, RMS
    modulations relative to d_k. The powers span three decades, so that their SNR would hang on the few
    largest, and an unchanged content would get 0 dB whatever the pair.

    Returns:
        ``snr_mean``, ``snr_var``, ``snr_skew``, ``snr_corr`` and ``snr_mod`` in dB; higher is nearer.
    """
    both = statistics, reference
    plain = {f"snr_{n}": snr_db(*(getattr(s, n) for s in both)) for n in ("mean", "var", "skew", "corr")}
    return {**plain, "snr_mod": snr_db(*(np.sqrt(s.mod) for s in both))}


def crest_distance_db(statistics: TextureStatistics, reference: TextureStatistics) -> float:
    """Return how far the crests of a sound's band envelopes are from another's: mean_k |c_k - r_k| in dB.

    c_k and r_k are the crests (peak over RMS, ``TextureStatistics.crest_db``) of band k. Drops, crackles and
    ticks stand out of their band by 15 dB and more, hiss by about 10: what is played by events and comes out
    as hiss is that far off. A longer piece of the same noise has slightly higher peaks.

    Args:
        statistics: Of the sound that is judged.
        reference: Of the style.

    Returns:
        At least 0; lower is nearer.
    """
    return float(np.mean(np.abs(statistics.crest_db - reference.crest_db)))


def snr_db(values: Array, reference: Array) -> float:
    """Return 10 log10(Σ r² / Σ (r - v)²), over all entries and between -120 and 120 dB.

    0 dB is what zeros in place of every value would get.

    Args:
        values: v, of any shape.
        reference: r, of the same shape.

    Raises:
        ValueError: If the shapes differ.
    """
    signal, error = float(np.sum(reference**2)), float(np.sum((reference - values) ** 2))
    if error == 0.0:
        return LIMIT_DB
    if signal == 0.0:
        return -LIMIT_DB
    return float(np.clip(10 * np.log10(signal / error), -LIMIT_DB, LIMIT_DB))


def cochlear_envelopes(x: Array, sample_rate: float) -> tuple[Array, float]:
    """Return the compressed envelopes of the cochlear bands of a sound scaled to RMS 1.

    Each band is filtered (zero phase, zeros around the sound), its Hilbert envelope taken to the power 0.3
    and then low-pass filtered and resampled to 400 Hz by cutting its cosine transform off. That leaves the
    mean as it is and mirrors the envelope at both ends, where other resamplers let it fall to zero.

    Args:
        x: One channel, shape ``[length]``.
        sample_rate: In Hz, at least 800.

    Returns:
        The envelopes, shape ``[30, round(400 · duration)]`` (at least 1), and their exact rate in Hz.

    Raises:
        ValueError: If ``x`` has another shape or no samples, or the rate is too low.
    """
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"x has shape {x.shape}; it must be one channel, [length], with samples in it")
    if sample_rate < 2 * ENVELOPE_RATE:
        raise ValueError(f"sample_rate is {sample_rate}; envelopes at 400 Hz need at least 800 Hz")
    length = x.size
    n_out = max(round(length * ENVELOPE_RATE / sample_rate), 1)
    rms = float(np.sqrt(np.mean(x**2)))
    n_fft = int(fft.next_fast_len(length + round(_TAIL_S * sample_rate)))
    spectrum = fft.rfft(x / rms if rms > 0 else x, n_fft)
    frequencies = fft.rfftfreq(n_fft, 1 / sample_rate)
    envelopes = np.empty((N_BANDS, n_out))
    for band, row in enumerate(envelopes):  # one after the other: minutes of sound fit into memory
        analytic = fft.ifft(2 * cochlear_filter(band, frequencies, sample_rate) * spectrum, n_fft)[:length]
        compressed = np.maximum(np.abs(analytic), _SILENCE) ** COMPRESSION
        cosines = fft.dct(compressed, norm="ortho")[:n_out]
        row[:] = fft.idct(cosines * np.sqrt(n_out / length), norm="ortho")
    return envelopes, sample_rate * n_out / length


def cochlear_filter(band: int, frequencies: Array, sample_rate: float) -> Array:
    """Return the frequency response of a cochlear band: a half cosine on the ERB-number scale.

    32 points equally spaced in ERB number from 20 Hz to 10 kHz (or Nyquist) are where bands begin, peak and
    end; each band reaches its neighbors' peaks, so that the squared responses add up to 1 in between. The
    paper's low-pass and high-pass beyond the ends serve synthesis only and are left out.

    Args:
        band: From 0 to 29.
        frequencies: In Hz, shape ``[bins]``.
        sample_rate: In Hz.

    Returns:
        Shape ``[bins]``, at most 1.

    Reference:
        McDermott & Simoncelli 2011, Experimental Procedures (center frequencies "spanning 52-8844 Hz");
        Glasberg & Moore 1990 for the ERB-number scale.
    """
    points = np.linspace(erb_number(LOWEST_HZ), erb_number(min(HIGHEST_HZ, sample_rate / 2)), N_BANDS + 2)
    distance = (erb_number(frequencies) - points[band + 1]) / (points[1] - points[0])
    return np.where(np.abs(distance) < 1, np.cos(np.pi / 2 * distance), 0.0)


def band_powers(power: Array, frequencies: Array, sample_rate: float) -> Array:
    """Add up a power spectrum or spectrogram in the cochlear bands, weighted by their squared responses.

    Args:
        power: Shape ``[bins]`` or ``[bins, frames]``.
        frequencies: In Hz, shape ``[bins]``.
        sample_rate: In Hz.

    Returns:
        Shape ``[30]`` or ``[30, frames]``.
    """
    return np.stack([cochlear_filter(k, frequencies, sample_rate) ** 2 @ power for k in range(N_BANDS)])


def modulation_filters(frequencies: Array) -> Array:
    """Return the frequency responses of the 20 modulation bands: half cosines of constant Q = 2.

    The centers f_n are equally spaced in log frequency from 0.5 to 200 Hz; a band ends at f_n ± f_n/2 and
    is 3 dB down at f_n ± f_n/4, which makes its width f_n / 2.

    Args:
        frequencies: In Hz, shape ``[bins]``.

    Returns:
        Shape ``[20, bins]``, at most 1.
    """
    centers = np.geomspace(SLOWEST_HZ, FASTEST_HZ, N_MODULATION_BANDS)[:, None]
    distance = (frequencies[None, :] - centers) * MODULATION_Q / centers
    return np.where(np.abs(distance) < 1, np.cos(np.pi / 2 * distance), 0.0)


def erb_number(frequency: Any) -> Any:
    """Return how many equivalent rectangular bandwidths lie below a frequency in Hz.

    Reference:
        Glasberg & Moore 1990, with their bandwidth 24.7 + f / 9.265 integrated.
    """
    return 9.265 * np.log1p(frequency / (24.7 * 9.265))


def mono(sound: Sound, rate: int) -> Array:
    """Return the mean of the channels at another rate, shape ``[length]``."""
    mean = replace(sound, samples=sound.samples.mean(dim=0, keepdim=True))
    samples: Array = resample(mean, rate).samples[0].numpy()
    return samples


def gain_over_equalizer_db(output: Sound, content: Sound, style: Sound) -> float | None:
    """Return how much nearer a result is to a style than the content through an equalizer.

    Args:
        output: The result; its first 30 seconds count, and so for the others.
        content: What it was made of.
        style: What it should sound like.

    Returns:
        The difference of the means of four texture SNRs (envelope mean and variance, correlation between
        bands, modulation) in dB. Seen by the default: 14 to 28 by rain, sea and a helicopter, 5 to 13 by
        fire, 3 to 6 by a clock, 2 to 8 by speech (half of it below 4.5), below 1 by another tune. ``None``
        if a sound is shorter than a second or silent.
    """
    rate = min(sound.sample_rate for sound in (output, content, style))
    output, content, style = (
        replace(sound, samples=sound.samples[:, : round(LONGEST_S * sound.sample_rate)])
        for sound in (output, content, style)
    )
    first = [mono(sound, rate) for sound in (output, equalize(content, style), style)]
    if any(len(x) < SHORTEST_S * rate or not np.ptp(x) > 0 for x in first):
        return None
    wanted = texture_statistics(first[2], rate)
    ours, theirs = (texture_snr(texture_statistics(x, rate), wanted) for x in first[:2])
    return float(np.mean([ours[name] - theirs[name] for name in _STATISTICS]))
