"""Texture statistics against closed forms and against the paper's formulas in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, special, stats

from specstyle.evaluate.texture import (
    LIMIT_DB,
    cochlear_envelopes,
    cochlear_filter,
    crest_distance_db,
    erb_number,
    modulation_filters,
    snr_db,
    texture_snr,
    texture_statistics,
)

RATE = 16000
CENTERS = np.geomspace(0.5, 200, 20)


def noise(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def time(seconds: float = 2.0) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def am_tone(rate_hz: float, depth: float = 1.0, seconds: float = 4.0) -> np.ndarray:
    t = time(seconds)
    return (1 + depth * np.sin(2 * np.pi * rate_hz * t)) * np.sin(2 * np.pi * 1000 * t)


def band_at(frequency: float) -> int:
    """Return the band that answers most to a frequency."""
    return int(np.argmax([cochlear_filter(k, np.array([frequency]), RATE)[0] for k in range(30)]))


def test_bands_stand_where_the_paper_says_and_tile_the_spectrum() -> None:
    f = np.linspace(0, 20000, 400001)
    bands = np.stack([cochlear_filter(k, f, 40000) for k in range(30)])
    peaks = f[bands.argmax(axis=1)]
    # "spanning 52-8844 Hz", in whole Hz, on a grid of 0.05 Hz
    assert np.round(peaks[[0, -1]]).tolist() == [52, 8844]
    np.testing.assert_allclose(np.diff(erb_number(peaks)), np.diff(erb_number(peaks)).mean(), rtol=0.01)
    inside = (f > peaks[0]) & (f < peaks[-1])
    np.testing.assert_allclose((bands**2).sum(axis=0)[inside], 1, atol=1e-12)
    # cos is √½ halfway to the neighbors' peaks: the 3 dB bandwidth is one spacing, 1.11 ERB
    spacing = (erb_number(10000) - erb_number(20)) / 31
    widths = (bands > np.sqrt(0.5)).sum(axis=1) * 0.05
    np.testing.assert_allclose(
        widths / (24.7 + peaks / 9.265), 2 * np.sinh(spacing / 18.53) * 9.265, rtol=5e-3
    )


def test_bands_end_at_nyquist_if_that_is_lower() -> None:
    f = np.linspace(0, 4000, 8001)
    top = cochlear_filter(29, f, 8000)
    assert top[-1] == pytest.approx(0, abs=1e-9)
    assert 3300 < f[top.argmax()] < 3700


def test_modulation_bands_have_their_centers_and_q() -> None:
    f = np.linspace(0, 400, 400001)
    bands = modulation_filters(f)
    np.testing.assert_allclose(f[bands.argmax(axis=1)], CENTERS, atol=1e-3)
    widths = (bands > np.sqrt(0.5)).sum(axis=1) * 1e-3
    np.testing.assert_allclose(CENTERS / widths, 2, rtol=0.01)


def test_a_pure_tone_has_the_envelope_of_the_closed_form() -> None:
    """A tone of RMS 1 at a band's center has the amplitude √2 there: envelope 2^0.15, and does not move."""
    band = 15
    f = np.linspace(0, 8000, 160001)
    center = f[cochlear_filter(band, f, RATE).argmax()]
    found = texture_statistics(0.01 * np.sin(2 * np.pi * center * time()), RATE)
    # The cut ends of the tone and the whole number of its periods shift RMS and mean by some 1e-3.
    assert found.mean[band] == pytest.approx(2**0.15, rel=5e-3)
    assert found.mean.argmax() == band
    assert found.var[band] < 1e-3
    assert found.mean[band + 3] < 0.1


def test_white_noise_has_the_moments_of_a_compressed_rayleigh_envelope() -> None:
    """A Gaussian band of power v has an envelope with E[a^p] = (2 v)^{p/2} Γ(1 + p/2)."""
    found = texture_statistics(noise(8.0), RATE)
    f = np.linspace(0, RATE / 2, 80001)
    # Resampling to 400 Hz cuts the fast part of the envelope off in wide bands; these are narrower.
    narrow = np.arange(2, 12)
    band_power = np.array([np.mean(cochlear_filter(k, f, RATE) ** 2) for k in narrow])
    m1, m2, m3 = special.gamma(1 + 0.3 * np.array([1, 2, 3]) / 2)
    variance = m2 - m1**2
    # 8 s hold some 200 independent values in the narrowest band, which scatters by 2 % (0.28 / √200)
    np.testing.assert_allclose(found.mean[narrow], (2 * band_power) ** 0.15 * m1, rtol=0.03)
    assert found.var[narrow].mean() == pytest.approx(variance / m1**2, rel=0.1)
    assert found.skew[narrow].mean() == pytest.approx((m3 - 3 * m1 * m2 + 2 * m1**3) / variance**1.5, abs=0.1)
    # bands five apart share nothing
    corr = np.zeros((30, 30))
    corr[np.triu_indices(30, 1)] = found.corr
    assert abs(np.mean([corr[k, k + 5] for k in range(2, 20)])) < 0.05


@pytest.mark.parametrize("index", [4, 9, 13, 16])
def test_an_am_tone_peaks_in_the_band_of_its_rate(index: int) -> None:
    found = texture_statistics(am_tone(CENTERS[index], depth=0.5), RATE)
    # Where the tone is; at 70 Hz the sidebands already leave this band, but not its neighbors' sum.
    assert int(np.argmax(found.mod[band_at(1000)])) == index


def test_the_modulation_power_of_am_is_that_of_its_harmonics() -> None:
    """At small depth the compressed envelope is a sine: all of its variance is in one modulation line."""
    index, depth = 9, 0.2
    found = texture_statistics(am_tone(CENTERS[index], depth, 8.0), RATE)
    k = band_at(1000)
    # (1 + d sin)^0.3 is 1 + 0.3 d sin: variance 0.3² d² / 2; 5 %: d² terms and the sidebands' attenuation
    assert found.var[k] == pytest.approx(0.3**2 * depth**2 / 2, rel=0.05)
    expected = modulation_filters(np.array([CENTERS[index]]))[:, 0] ** 2
    np.testing.assert_allclose(found.mod[k], expected, atol=0.05)


def test_a_click_train_moves_all_bands_together() -> None:
    clicks = np.zeros(4 * RATE)
    clicks[500 :: RATE // 5] = 1
    found, hiss = texture_statistics(clicks, RATE), texture_statistics(noise(4.0), RATE)
    upper = np.triu_indices(30, 1)
    wide = (upper[0] > 12) & (upper[1] > 12)
    assert found.corr[wide].min() > 0.7
    assert hiss.corr[wide].mean() < 0.3
    assert found.var[13:].min() > 10 * hiss.var[13:].max()
    assert found.skew[13:].min() > 1.5
    # the fundamental is at 5 Hz: nothing slower
    assert found.mod[20, CENTERS < 3].max() < 0.02 < found.mod[20, np.argmin(abs(CENTERS - 5))]


def test_statistics_are_those_of_the_paper_in_plain_loops() -> None:
    """Another way to the same: SciPy's Hilbert transform, polyphase resampling, FIR-free FFT bands."""
    x = noise(2.0, 3) * (1 + np.sin(2 * np.pi * 6 * time()))
    found = texture_statistics(x, RATE)
    y = np.concatenate([x / np.sqrt(np.mean(x**2)), np.zeros(RATE)])
    spectrum, f = np.fft.rfft(y), np.fft.rfftfreq(y.size, 1 / RATE)
    s = []
    for k in range(30):
        band = np.fft.irfft(spectrum * cochlear_filter(k, f, RATE), y.size)
        envelope = np.abs(signal.hilbert(band))[: x.size] ** 0.3
        s.append(signal.resample_poly(envelope, 1, RATE // 400, padtype="line"))
    s = np.array(s)
    # resample_poly's low-pass is not the ideal one: 2 % of spread where envelopes are fast
    np.testing.assert_allclose(found.mean, s.mean(axis=1), rtol=2e-3)
    np.testing.assert_allclose(found.var, s.var(axis=1) / s.mean(axis=1) ** 2, rtol=0.05)
    np.testing.assert_allclose(found.skew, stats.skew(s, axis=1), atol=0.05)
    np.testing.assert_allclose(found.corr, np.corrcoef(s)[np.triu_indices(30, 1)], atol=0.02)
    for k in (3, 12, 25):
        centered = s[k] - s[k].mean()
        mirrored = np.concatenate([centered, centered[::-1]])
        bands = modulation_filters(np.fft.rfftfreq(mirrored.size, 1 / 400))
        for n in (2, 8, 14):
            b = np.fft.irfft(np.fft.rfft(mirrored) * bands[n], mirrored.size)[: centered.size]
            assert found.mod[k, n] == pytest.approx(np.mean(b**2) / np.var(s[k]), abs=0.02)


def test_envelopes_keep_their_mean_and_rate() -> None:
    x = noise(0.7)
    s, rate = cochlear_envelopes(x, RATE)
    assert s.shape == (30, 280)
    assert rate == pytest.approx(400)
    odd, odd_rate = cochlear_envelopes(x[:11113], RATE)
    assert odd_rate == pytest.approx(RATE * odd.shape[1] / 11113, rel=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.floats(-80, 40), st.integers(0, 2**16))
def test_the_level_changes_nothing(gain_db: float, seed: int) -> None:
    x = noise(0.5, seed)
    a, b = texture_statistics(x, RATE), texture_statistics(10 ** (gain_db / 20) * x, RATE)
    for name in ("mean", "var", "skew", "corr", "mod"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-8, atol=1e-10)
    assert min(texture_snr(b, a).values()) > 100  # rounding, against 20 dB between two halves of a noise


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_crest_of_a_band_that_sounds_for_a_share_of_the_time(share: float) -> None:
    """10 log10(1 / share) for an on and off tone; its edges ring in the 400 Hz of the envelope."""
    t = time(4.0)
    on = ((t * 2) % 1 < share).astype(float)
    crest = texture_statistics(on * np.sin(2 * np.pi * 1000 * t), RATE).crest_db[band_at(1000)]
    assert crest == pytest.approx(10 * np.log10(1 / share), abs=1.5)
    steady = texture_statistics(np.sin(2 * np.pi * 1000 * t), RATE).crest_db[band_at(1000)]
    assert steady == pytest.approx(0, abs=0.5)  # but for its two ends


def test_the_crest_of_noise_is_that_of_a_rayleigh_envelope() -> None:
    """Of N independent values the largest square is ln N + 0.58 mean squares; N is bandwidth by time."""
    crest = texture_statistics(noise(8.0), RATE).crest_db
    centers = np.array([np.argmax(cochlear_filter(k, np.arange(8001.0), RATE)) for k in range(30)])
    independent = 8.0 * 1.1 * (24.7 + centers / 9.265)
    # One sound's maxima, each with a standard deviation of about 1 dB; below 400 Hz only: the envelope's rate
    # cuts faster peaks off.
    slow = centers < 1500
    expected = 10 * np.log10(np.log(independent) + 0.58)
    assert float(np.mean((crest - expected)[slow])) == pytest.approx(0, abs=0.7)


@settings(max_examples=15, deadline=None)
@given(gain_db=st.floats(-100, 60), seed=st.integers(0, 9))
def test_a_sound_and_its_louder_copy_have_the_same_crests(gain_db: float, seed: int) -> None:
    x, y = noise(0.5, seed), noise(0.5, seed + 10) ** 3
    ours, louder, other = (texture_statistics(v, RATE) for v in (x, 10 ** (gain_db / 20) * x, y))
    assert crest_distance_db(ours, ours) == 0
    assert crest_distance_db(louder, ours) < 1e-6
    assert crest_distance_db(louder, other) == pytest.approx(crest_distance_db(other, ours), abs=1e-6)


def test_crackles_as_hiss_are_far_off() -> None:
    rng = np.random.default_rng(3)
    crackle = noise(3.0) * (rng.random(3 * RATE) < 20 / RATE)
    again = noise(3.0, 1) * (rng.random(3 * RATE) < 20 / RATE)
    statistics = [texture_statistics(x, RATE) for x in (crackle, again, noise(3.0, 2))]
    assert crest_distance_db(statistics[1], statistics[0]) < 2
    assert crest_distance_db(statistics[2], statistics[0]) > 5


def test_snr_is_that_of_its_formula() -> None:
    reference = np.array([3.0, 4.0])
    assert snr_db(np.array([3.0, 3.5]), reference) == pytest.approx(20)
    assert snr_db(np.zeros(2), reference) == pytest.approx(0)
    assert snr_db(reference, reference) == LIMIT_DB
    assert snr_db(reference, np.zeros(2)) == -LIMIT_DB
    with pytest.raises(ValueError, match="shape"):
        snr_db(np.zeros(3), reference)


def test_a_longer_look_at_the_same_noise_is_nearer() -> None:
    def distance(seconds: float) -> dict[str, float]:
        return texture_snr(*(texture_statistics(noise(seconds, seed), RATE) for seed in (1, 2)))

    short, long = distance(0.5), distance(8.0)
    assert all(long[name] > short[name] + 3 for name in ("snr_mean", "snr_var", "snr_mod"))


def test_silence_has_no_statistics_and_no_nan() -> None:
    found = texture_statistics(np.zeros(RATE), RATE)
    for name in ("var", "skew", "corr", "mod"):
        assert not getattr(found, name).any()
    assert all(np.isfinite(v) for v in texture_snr(found, texture_statistics(noise(1.0), RATE)).values())


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"x has shape \(2, 5\)"):
        texture_statistics(np.zeros((2, 5)), RATE)
    with pytest.raises(ValueError, match="800 Hz"):
        texture_statistics(np.ones(500), 500)
