"""The synthesized sounds and pictures: reproducible, in range, and of the character that their names say."""

import numpy as np
import pytest
from scipy import stats

from specstyle.synthesis import sounds
from specstyle.synthesis.pictures import PICTURES, brush_texture, drawn_scene
from specstyle.synthesis.sounds import SOUNDS

RATE = 16000


def spectrum(samples: np.ndarray, rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * len(samples))) ** 2
    return np.linspace(0, rate / 2, len(power)), power


def centroid_hz(samples: np.ndarray) -> float:
    frequencies, power = spectrum(samples)
    return float((frequencies * power).sum() / power.sum())


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize(("duration_s", "rate"), [(1.5, RATE), (0.3, 44100), (2.0, 8000)])
def test_sounds_have_length_peak_and_no_dc(name: str, duration_s: float, rate: int) -> None:
    samples = SOUNDS[name](duration_s, rate, 3)
    assert samples.shape == (round(duration_s * rate),)
    assert samples.dtype == np.float64
    assert np.abs(samples).max() == pytest.approx(0.8)
    assert abs(samples.mean()) < 1e-9
    assert np.abs(samples[[0, -1]]).max() < 0.01


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_follow_their_seed(name: str) -> None:
    first, same, other = (SOUNDS[name](1.0, RATE, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_name_a_wrong_argument(name: str) -> None:
    with pytest.raises(ValueError, match="duration_s"):
        SOUNDS[name](0.0, RATE, 0)
    with pytest.raises(ValueError, match="sample_rate"):
        SOUNDS[name](1.0, 100, 0)


@pytest.mark.parametrize("pitch_hz", [110.0, 220.0, 261.626, 440.0])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_plucked_strings_are_in_tune(pitch_hz: float, rate: int) -> None:
    note = sounds._pluck(pitch_hz, rate, rate, np.random.default_rng(0))
    frequencies, power = spectrum(note, rate)
    near = np.abs(frequencies / pitch_hz - 1) < 0.2
    found_hz = frequencies[near][power[near].argmax()]
    assert abs(1200 * np.log2(found_hz / pitch_hz)) < 4  # cents; 5 is about what an ear notices


def test_the_melody_plays_its_tune() -> None:
    samples = SOUNDS["plucked_melody"](4.0, RATE, 0)
    for semitones, start, beats in sounds._TUNE:
        note = samples[int((start + 0.05) / 2 * RATE) : int((start + beats) / 2 * RATE)]
        frequencies, power = spectrum(note)
        scale = 220 * 2 ** (np.arange(0, 13) / 12)
        # Of the octave's thirteen notes the one in the score sounds strongest; or second, after the bass's
        # second harmonic, which falls on another.
        bands = [power[np.abs(frequencies / pitch - 1) < 0.02].max() for pitch in scale]
        assert semitones in np.argsort(bands)[-2:]


def test_the_voice_has_harmonics_hiss_and_rests() -> None:
    samples = SOUNDS["voice_phrase"](4.0, RATE, 0)
    frames = samples[: len(samples) // 400 * 400].reshape(-1, 400)
    level = np.sqrt((frames**2).mean(1))
    brightness = np.array([centroid_hz(frame) for frame in frames])
    assert (level < 0.02 * level.max()).any()
    audible = level > 0.1 * level.max()
    assert (brightness[audible] > 3000).sum() >= 4
    assert (brightness[audible] < 1500).mean() > 0.6
    # A vowel repeats after one period of a pitch between 110 and 260 Hz.
    vowel = samples[int(0.5 * RATE) : int(0.56 * RATE)]
    correlation = np.correlate(vowel, vowel, "full")[len(vowel) :] / (vowel**2).sum()
    assert correlation[RATE // 260 : RATE // 110].max() > 0.6


def test_rain_is_dense_and_fire_is_sparse() -> None:
    rain, fire = SOUNDS["rain"](3.0, RATE, 0), SOUNDS["fire_crackle"](3.0, RATE, 0)
    high = np.diff(np.stack([rain, fire]), 2, axis=1)  # leaves the fire's rumble out
    loud = np.abs(high)[:, : high.shape[1] // 80 * 80].reshape(2, -1, 80).max(axis=2)  # peaks of 5 ms
    sparseness = stats.kurtosis(high, axis=1)
    assert sparseness[1] > 2 * sparseness[0] > 0
    assert np.median(loud[0]) / loud[0].max() > 3 * np.median(loud[1]) / loud[1].max()
    assert centroid_hz(rain) > 1000
    frequencies, power = spectrum(fire)
    assert power[frequencies < 200].sum() > 0.1 * power.sum()


# -- pictures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("shape", [(64, 64), (48, 90), (70, 33), (16, 16)])
def test_pictures_have_shape_and_range(name: str, shape: tuple[int, int]) -> None:
    picture = PICTURES[name](*shape, seed=2)
    assert picture.shape == (*shape, 3)
    assert picture.dtype == np.float64
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std(axis=(0, 1)).min() > 0.08


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_follow_their_seed(name: str) -> None:
    first, same, other = (PICTURES[name](64, 64, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).mean() > 0.01
    with pytest.raises(ValueError, match="width"):
        PICTURES[name](64, 5, 0)


def test_the_scene_is_mirrored_in_its_lake() -> None:
    scene = drawn_scene(200, 200, 0).mean(axis=2)
    land, water = scene[100:134], scene[138:172][::-1]
    assert np.corrcoef(land.ravel(), water.ravel())[0, 1] > 0.5
    assert np.corrcoef(land.ravel(), np.roll(water, 100, axis=1).ravel())[0, 1] < 0.3


def test_a_larger_scene_is_the_same_scene() -> None:
    small, large = drawn_scene(64, 64, 1), drawn_scene(128, 128, 1)
    reduced = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - reduced).mean() < 0.02


def test_strokes_are_oriented_and_blue_and_yellow() -> None:
    picture = brush_texture(192, 192, 0)
    dy, dx = np.gradient(picture.mean(axis=2))

    def coherence(gx: np.ndarray, gy: np.ndarray) -> float:
        """How much the gradients of 12 x 12 pixels agree in direction: 0 for noise, 1 for straight lines."""
        xx, yy, xy = ((p.reshape(16, 12, 16, 12).mean(axis=(1, 3))) for p in (gx * gx, gy * gy, gx * gy))
        return float((np.hypot(xx - yy, 2 * xy) / (xx + yy)).mean())

    noise = np.random.default_rng(0).permutation(picture.mean(axis=2).ravel()).reshape(192, 192)
    assert coherence(dx, dy) > 2.5 * coherence(*np.gradient(noise)[::-1])
    red, _, blue = np.moveaxis(picture, 2, 0)
    assert (blue > red + 0.15).mean() > 0.3
    assert (red > blue + 0.15).mean() > 0.05
