"""The level of a finished sound: loudness, peaks, balance, and the limiter against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from specstyle.media import level as module
from specstyle.media import loudness
from specstyle.media.level import CEILING, LOOKAHEAD_S, RELEASE_S, finish_sound, limiter_gains
from specstyle.media.loudness import loudness_lufs, true_peaks
from specstyle.media.sounds import Sound

RATE = 22050
AHEAD = round(LOOKAHEAD_S * RATE)

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(channels: int = 1, length: int = RATE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, length))


def sound(samples: np.ndarray, subtype: str | None = None) -> Sound:
    return Sound(torch.from_numpy(np.atleast_2d(samples).copy()), RATE, subtype, "a")


def sine(length: int = RATE, hz: float = 440.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(length) / RATE)[None]


def crackle(length: int = RATE, seed: int = 0, a_second: float = 30.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    clicks = rng.standard_normal((1, length)) * (rng.random((1, length)) < a_second / RATE)
    return signal.lfilter([1.0], [1.0, -0.9], clicks, axis=1) + 0.01 * noise(1, length, seed)


def rms(samples: Any) -> np.ndarray:
    x = np.asarray(samples)
    return np.sqrt(np.mean((x - x.mean(1, keepdims=True)) ** 2, axis=1))


def lufs(x: Sound) -> float:
    found = loudness_lufs(x.samples.numpy(), RATE)
    assert found is not None
    return found


def top(x: Sound) -> float:
    """Return the largest true peak as scipy has it, and no less than the largest sample."""
    samples = x.samples.numpy()
    return max(float(np.abs(signal.resample_poly(samples, 4, 1, axis=1)).max()), float(np.abs(samples).max()))


# -- the three ways ------------------------------------------------------------------------------------------


def test_match_gives_the_loudness_and_keeps_the_balance() -> None:
    content = sound(0.1 * noise(2) * [[0.5], [0.05]] + 0.2)
    found, level = finish_sound(sound(7.0 * sine().repeat(2, 0) + 0.3 + noise(2, RATE, 1), "PCM_16"), content)
    centered = sound(content.samples.numpy() - content.samples.numpy().mean(1, keepdims=True))
    assert lufs(found) == pytest.approx(lufs(centered), abs=1e-9)
    ratio = rms(found.samples) / rms(content.samples)
    np.testing.assert_allclose(ratio, 10 ** (level.gain_db / 20), rtol=1e-12)
    assert float(found.samples.mean(1).abs().max()) < 1e-14
    assert (level.mode, level.limited_db, level.quieter_db) == ("match", 0.0, 0.0)
    assert (found.subtype, found.name) == ("PCM_16", "a")


def test_rms_matches_each_channel_and_scales_what_would_clip() -> None:
    content = sound(np.sign(noise(2, 4000)) * [[0.9], [0.1]])
    decoded = sound(noise(2, 5000, 1))
    found, level = finish_sound(decoded, content, "rms")
    assert float(found.samples.abs().max()) == pytest.approx(0.999, abs=1e-12)
    np.testing.assert_allclose(
        rms(found.samples), rms(content.samples) * 10 ** (level.gain_db / 20), rtol=1e-12
    )
    assert level.gain_db == -level.quieter_db < -6
    flat = decoded.samples[0] - decoded.samples[0].mean()
    assert torch.corrcoef(torch.stack([flat, found.samples[0]]))[0, 1] > 1 - 1e-12  # nothing clipped
    quiet, level = finish_sound(decoded, sound(0.05 * noise(2, 4000)), "rms")
    np.testing.assert_allclose(rms(quiet.samples), rms(0.05 * noise(2, 4000)), rtol=1e-12)
    assert (level.gain_db, level.quieter_db) == (0.0, 0.0)


def test_peak_gives_the_largest_sample() -> None:
    content = sound(np.concatenate([0.2 * sine(), 0.05 * sine()]) + 0.3)
    found, level = finish_sound(sound(noise(2)), content, "peak")
    assert float(found.samples.abs().max()) == pytest.approx(0.2, rel=1e-3)
    assert level.limited_db == 0.0
    balance = rms(found.samples)
    assert balance[0] / balance[1] == pytest.approx(4, rel=1e-9)
    full, _ = finish_sound(sound(noise(2)), sound(np.sign(noise(2))), "peak")
    assert float(full.samples.abs().max()) == pytest.approx(0.999)


@pytest.mark.parametrize("mode", ["match", "peak", "rms"])
def test_silence_stays_silent(mode: str) -> None:
    one_silent = 0.1 * noise(3)
    one_silent[1], one_silent[2] = 0.0, 0.1
    found, _ = finish_sound(sound(noise(3, RATE, 1)), sound(one_silent), mode)
    assert found.samples[0].any()
    assert not found.samples[1:].any()
    for nothing in (np.zeros((1, RATE)), np.full((1, RATE), 0.1)):
        found, level = finish_sound(sound(nothing), sound(0.1 * noise()), mode)
        assert not found.samples.any()
        assert (level.gain_db, level.limited_db, level.quieter_db) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("length", [1, 2, 10, 100, round(0.4 * RATE) - 1])
def test_what_has_no_loudness_is_matched_by_its_rms_and_limited(length: int) -> None:
    content = sound(0.6 * np.sign(noise(1, length)))
    found, level = finish_sound(sound(noise(1, length, 1)), content)
    assert top(found) <= max(CEILING, top(content)) + 1e-12
    if level.limited_db == 0:
        np.testing.assert_allclose(rms(found.samples), rms(content.samples), rtol=1e-9)


def test_a_content_that_comes_back_is_as_it_was() -> None:
    """Also where its peaks are at full scale, or its true peaks above."""
    for content in (np.clip(3 * noise(2), -1, 1), sine(hz=RATE / 4 - 1) * 0.999, 0.1 * crackle()):
        centered = content - content.mean(1, keepdims=True)
        centered /= max(1.0, np.abs(centered).max())
        found, level = finish_sound(sound(centered), sound(centered))
        np.testing.assert_allclose(found.samples.numpy(), centered, atol=1e-9)
        assert level.limited_db < 1e-6


def test_a_content_beyond_full_scale_counts_as_turned_down_to_it() -> None:
    content = 4.0 * sine()
    found, level = finish_sound(sound(sine(hz=300)), sound(content))
    assert float(found.samples.abs().max()) <= 1.0
    assert level.quieter_db == pytest.approx(20 * math.log10(4), abs=0.5)
    assert lufs(found) == pytest.approx(lufs(sound(content / 4)), abs=0.5)


@pytest.mark.parametrize("mode", ["match", "rms", "peak"])
def test_floats_are_not_turned_down_for_a_clip_that_their_file_does_not_have(mode: str) -> None:
    for content, made in ((4.0 * noise(), crackle(seed=3)), (0.5 * np.sign(noise()), crackle(seed=3))):
        found, level = finish_sound(sound(made), sound(content), mode, unbounded=True)
        if mode == "match":
            assert lufs(found) == pytest.approx(lufs(sound(content)), abs=0.2)
        elif mode == "rms":
            np.testing.assert_allclose(rms(found.samples), rms(torch.from_numpy(content)), rtol=1e-3)
        else:
            largest = np.abs(content - content.mean(1, keepdims=True)).max()
            assert float(found.samples.abs().max()) == pytest.approx(largest, rel=1e-9)
        assert level.quieter_db <= 0.2


@pytest.mark.parametrize("exponent", [-30, -8, -2])
def test_a_quieter_content_gives_the_same_quieter(exponent: int) -> None:
    """Whatever the standard's absolute gate says of it."""
    content, made = 0.01 * noise() * np.linspace(0, 1, RATE), crackle(seed=2, a_second=3000.0)
    loud, quiet = (finish_sound(sound(made), sound(g * content))[0] for g in (1.0, 2.0**exponent))
    np.testing.assert_allclose(quiet.samples.numpy() * 2.0**-exponent, loud.samples.numpy(), rtol=1e-9)


def test_channels_nan_and_modes_are_named() -> None:
    with pytest.raises(ValueError, match="channels"):
        finish_sound(sound(noise()), sound(noise(2)))
    with pytest.raises(ValueError, match="NaN"):
        finish_sound(sound(noise() * math.nan), sound(noise()))
    with pytest.raises(ValueError, match="match, peak, rms"):
        finish_sound(sound(noise()), sound(noise()), "loud")


# -- the limiter ---------------------------------------------------------------------------------------------


def test_a_sine_with_one_peak() -> None:
    """The peak comes to the ceiling, the dB fall away with the time constant, and afar nothing changes."""
    x = 0.1 * sine(4 * RATE)
    at = 2 * RATE
    peaks = np.abs(x[0])
    peaks[at] = 4.0
    gains = limiter_gains(peaks, RATE)
    assert gains[at] == pytest.approx(1 / 4, rel=1e-6)
    assert np.all(gains[: at - AHEAD] == 1.0)
    assert np.all(np.diff(gains[at - AHEAD : at]) < 0)
    taken = -20 * np.log10(gains)
    release = round(RELEASE_S * RATE)
    later = taken[at + AHEAD + release] / taken[at + AHEAD]
    assert later == pytest.approx(math.exp(-1), rel=1e-3)  # to a sample
    assert np.all(gains[at + 20 * release :] == 1.0)
    assert np.all(limiter_gains(np.ones(100), RATE) == 1.0)


@pytest.mark.parametrize(("hz", "shift"), [(RATE / 4, 0.25 * np.pi), (RATE / 8, 0.3), (997.0, 0.0)])
def test_true_peaks_are_those_between_samples(hz: float, shift: float) -> None:
    """A sine at a quarter of the rate can have samples of 0.707 only; its peaks are 1 all the same."""
    t = np.arange(4000) / RATE
    x = np.sin(2 * np.pi * hz * t + shift)[None] * np.hanning(4000)
    assert true_peaks(x).max() == pytest.approx(1, abs=0.08)  # 4 times: up to 0.69 dB below
    y = noise(2, 3000)
    fine = np.abs(signal.resample_poly(y, 4, 1, axis=1)).max(0)
    assert true_peaks(y).max() == pytest.approx(max(fine.max(), np.abs(y).max()), rel=1e-12)
    # Each sample has the largest within three quarters of a sample.
    near = ndimage.maximum_filter1d(fine, 7)[::4]
    np.testing.assert_allclose(true_peaks(y), np.maximum(near, np.abs(y).max(0)), rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    length=st.integers(1, 9000),
    share=st.sampled_from([0.001, 0.01, 0.3]),
    factor=st.floats(0.5, 40),
)
def test_the_limiter_holds_every_peak(seed: int, length: int, share: float, factor: float) -> None:
    rng = np.random.default_rng(seed)
    peaks = np.abs(rng.standard_normal(length)) * np.where(rng.random(length) < share, factor, 0.2)
    gains = limiter_gains(peaks, 8000, gain=1.5)
    assert np.all(gains <= 1)
    assert np.all(gains > 0)
    assert np.all(gains * 1.5 * peaks <= 1 + 1e-9)


@pytest.mark.parametrize("loop", [False, True])
def test_block_by_block_is_the_same(loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.concatenate([crackle(30000, seed=s) for s in (0, 1)])
    monkeypatch.setattr(loudness, "BLOCK", 2**30)
    monkeypatch.setattr(module, "BLOCK", 2**30)
    peaks = true_peaks(x, loop=loop)
    gains = limiter_gains(20 * peaks, RATE, loop=loop)
    assert gains.min() < 0.5
    for block in (64, 1000, 29999):
        monkeypatch.setattr(loudness, "BLOCK", block)
        monkeypatch.setattr(module, "BLOCK", block)
        np.testing.assert_allclose(true_peaks(x, loop=loop), peaks, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(limiter_gains(20 * peaks, RATE, loop=loop), gains, rtol=1e-9)


def test_on_a_circle_there_is_no_seam() -> None:
    """A circle that is turned is limited in the same way, and the gain does not jump where it closes."""
    x = 0.02 * noise(1, 3 * RATE)
    x[0, 5] = 3.0
    peaks = true_peaks(x, loop=True)
    gains = limiter_gains(peaks, RATE, loop=True)
    turned = limiter_gains(np.roll(peaks, RATE), RATE, loop=True)
    np.testing.assert_allclose(turned, np.roll(gains, RATE), atol=1e-5)
    assert abs(gains[0] - gains[-1]) < 0.1 < 1 - gains[-1]
    assert limiter_gains(true_peaks(x), RATE)[-1] == 1.0


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from(["noise", "crackle", "sine", "bursts"]),
    channels=st.integers(1, 2),
    gain_db=st.floats(-30, 0),
)
def test_peaks_are_held_and_the_loudness_is_near(seed: int, kind: str, channels: int, gain_db: float) -> None:
    length = 2 * RATE
    made = {
        "noise": noise(channels, length, seed),
        "crackle": np.concatenate([crackle(length, seed + c, 200.0) for c in range(channels)]),
        "sine": np.repeat(sine(length), channels, 0),
        "bursts": noise(channels, length, seed) * (np.sin(np.arange(length) / 2000) > 0.7),
    }[kind]
    body = noise(channels, length, seed + 1) * np.array([[1.0], [0.3]])[:channels]
    content = sound(np.clip(10 ** (gain_db / 20) * body / 3, -1, 1))
    found, level = finish_sound(sound(made), content)
    assert top(found) <= max(CEILING, top(content)) * (1 + 1e-9)
    assert float(found.samples.abs().max()) <= 1.0
    off = lufs(content) - lufs(found)
    assert level.quieter_db == pytest.approx(max(0.0, off), abs=0.05)  # a mean that is in the content alone
    if level.limited_db == 0:  # where it takes some, all may have been turned down
        assert abs(off) < 0.5
        balance = rms(found.samples) / rms(content.samples)
        np.testing.assert_allclose(balance, balance[0], rtol=1e-9)


def test_more_peaks_than_sound_are_turned_down() -> None:
    """A limiter would take all that there is of sparse clicks; a single one it may take."""
    content = sound(0.5 * sine(3 * RATE))
    found, level = finish_sound(sound(crackle(3 * RATE, a_second=20.0)), content)
    assert level.gain_db < -3
    assert level.limited_db < 20
    assert level.quieter_db == pytest.approx(lufs(content) - lufs(found), abs=1e-6)
    one = 0.5 * noise(1, 3 * RATE) / 3
    one[0, RATE] = 20.0
    found, level = finish_sound(sound(one), sound(0.1 * sine(3 * RATE)))
    assert level.limited_db > 10
    assert level.quieter_db < 0.2


@given(seed=st.integers(0, 20))
@settings(max_examples=10, deadline=None)
def test_one_gain_for_all_channels(seed: int) -> None:
    """Where one channel is a multiple of the other, it stays so; an image does not move under the limiter."""
    made = crackle(RATE, seed)
    content = 0.2 * noise(1, RATE, seed)
    found, level = finish_sound(sound(made.repeat(2, 0)), sound(np.concatenate([content, -0.5 * content])))
    assume(level.limited_db > 1)
    left, right = found.samples.numpy()
    np.testing.assert_allclose(right, 0.5 * left, rtol=1e-9, atol=1e-15)


def test_a_mix_of_the_content_alone_is_the_content() -> None:
    content = np.clip(2 * noise(2), -1, 1) + 0.0
    back, level = finish_sound(sound(crackle().repeat(2, 0)), sound(content), mix=lambda _: sound(content))
    np.testing.assert_array_equal(back.samples.numpy(), content)
    assert (level.limited_db, level.quieter_db) == (0.0, 0.0)
    half, level = finish_sound(
        sound(crackle().repeat(2, 0)),
        sound(content),
        mix=lambda made: sound(0.7 * content + 0.7 * made.samples.numpy()),
    )
    assert level.limited_db > 0
    assert top(half) <= top(sound(content)) + 1e-12
