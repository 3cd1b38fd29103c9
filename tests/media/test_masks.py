"""Soft masks in time and frequency, and what they leave of a content."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, signal

from specstyle.errors import FileError
from specstyle.media import stft as transforms
from specstyle.media.masks import Region, SoundMask, mixed, read_mask
from specstyle.media.sounds import Sound

RATE = 16000


def noise(length: int, seed: int, channels: int = 1) -> Sound:
    samples = 0.1 * np.random.default_rng(seed).standard_normal((channels, length))
    return Sound(torch.from_numpy(samples), RATE)


def level_db(
    samples: torch.Tensor, low: float, high: float, start_s: float = 0.0, stop_s: float = 9.0
) -> float:
    """Return the largest power density in a band and a range, by SciPy, re that of the test's noise."""
    cut = samples.numpy()[:, round(start_s * RATE) : round(stop_s * RATE)]
    f, density = signal.welch(cut, RATE, "blackmanharris", nperseg=min(8192, cut.shape[1]), detrend=False)
    blur = 4 * f[1]
    inside = density[:, (f >= low + blur) & (f <= high - blur)]
    return 10 * math.log10(max(float(inside.max()), 1e-300) / (0.01 * 2 / RATE))


@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 9000), channels=st.integers(1, 3), seed=st.integers(0, 9))
def test_nothing_and_everything(length: int, channels: int, seed: int) -> None:
    content, result = noise(length, seed, channels), noise(length, seed + 10, channels)
    assert torch.equal(mixed(content, result, SoundMask(mix=0.0)).samples, content.samples)
    nothing = SoundMask(picture=torch.zeros(3, 5, dtype=torch.float64))
    assert torch.equal(mixed(content, result, nothing).samples, content.samples)
    # 1e-12: two transforms in float64.
    assert torch.allclose(mixed(content, result, SoundMask()).samples, result.samples, atol=1e-12)
    half = mixed(content, result, SoundMask(mix=0.5)).samples
    assert torch.allclose(half, (content.samples + result.samples) / 2, atol=1e-12)


@pytest.mark.parametrize("band", [(0.0, 200.0), (1000.0, 2000.0), (4000.0, math.inf)])
def test_a_kept_band_is_the_content_s(band: tuple[float, float]) -> None:
    content, result = noise(2 * RATE, 0, 2), noise(2 * RATE, 1, 2)
    found = mixed(content, result, SoundMask(keep=(band,)))
    low, high = band[0], min(band[1], RATE / 2)
    assert level_db(found.samples - content.samples, low, high) < -80
    for free in ((0.0, band[0] * 0.88 - 170), (band[1] * 1.13 + 170, RATE / 2)):
        if free[1] - free[0] > 100:
            assert level_db(found.samples - result.samples, *free) < -60


def test_a_region_is_the_result_s_and_the_rest_the_content_s() -> None:
    content, result = noise(2 * RATE, 0), noise(2 * RATE, 1)
    region = Region(start_s=0.5, stop_s=1.5, low_hz=1000.0, high_hz=3000.0)
    found = mixed(content, result, SoundMask(regions=(region,))).samples
    change = (found - content.samples)[0]
    # Half a window, 32 ms here, is what the transform may blur.
    assert float(change[: round(0.45 * RATE)].abs().max()) == 0.0
    assert float(change[round(1.55 * RATE) :].abs().max()) == 0.0
    assert level_db(change[None], 4000, 7500) < -80
    assert level_db(found - result.samples, 1500, 2500, 0.6, 1.4) < -40


def test_weights_of_a_picture_are_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    picture = random.uniform(size=(7, 9))
    times, frequencies = torch.rand(40, dtype=torch.float64) * 3, torch.linspace(0, 8000, 33).double()
    found = SoundMask(picture=torch.from_numpy(picture)).weights(times, frequencies, 3.0)
    x = np.clip(times.numpy() / 3 * 9 - 0.5, 0, 8)
    y = np.clip((1 - frequencies.numpy() / 8000) * 7 - 0.5, 0, 6)
    places = np.stack(np.meshgrid(y, x, indexing="ij"))
    np.testing.assert_allclose(found, ndimage.map_coordinates(picture, places, order=1), atol=1e-12)


def test_later_regions_are_painted_over_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "mask.csv"
    path.write_text("amount, start_s,stop_s\n0.8,,\n\n0,1,2\n,3,4\n")
    mask = read_mask(path)
    assert mask.regions == (Region(amount=0.8), Region(1.0, 2.0, amount=0.0), Region(3.0, 4.0))
    times = torch.tensor([0.5, 1.5, 2.5, 3.5], dtype=torch.float64)
    found = mask.weights(times, torch.linspace(0, 8000, 5).double(), 5.0)
    np.testing.assert_allclose(found, np.tile([0.8, 0.0, 0.8, 1.0], (5, 1)), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    low=st.floats(0, 7000), width=st.floats(1, 7000), mix=st.floats(0, 1),
    start=st.floats(0, 2), amount=st.floats(0, 1),
)  # fmt: skip
def test_weights_are_shares(low: float, width: float, mix: float, start: float, amount: float) -> None:
    mask = SoundMask(
        keep=((low, low + width),), regions=(Region(start, 3.0, low, low + width, amount),), mix=mix
    )
    found = mask.weights(torch.linspace(0, 3, 20).double(), torch.linspace(0, 8000, 257).double(), 3.0)
    assert bool(((found >= 0.0) & (found <= mix + 1e-12)).all())


def test_a_picture_file(tmp_path: Path) -> None:
    gray = np.array([[0, 255], [51, 102]], np.uint8)
    Image.fromarray(gray).save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png").picture
    np.testing.assert_allclose(found, gray / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: a mask's table begins with names"),
        ("start_s,volume\n1,2\n", "line 1: a mask's table begins with names"),
        ("start_s,start_s\n1,2\n", "line 1: a mask's table begins with names"),
        ("start_s\n", "has no region"),
        ("start_s\nsoon\n", "line 2: every cell must be a number or empty"),
        ("start_s,stop_s\n1,2\n2,1\n", "line 3: a region needs start_s below stop_s"),
        ("amount\nnan\n", "line 2: a region needs"),
        ("amount\n1.5\n", "line 2: a region needs"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mask.csv").write_text(text)
    with pytest.raises(FileError, match=said):
        read_mask(tmp_path / "mask.csv")


def test_long_sounds_go_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    content, result = noise(3 * RATE, 0, 2), noise(3 * RATE, 1, 2)
    mask = SoundMask(keep=((0.0, 500.0),), regions=(Region(0.5, 2.0),))
    whole = mixed(content, result, mask).samples
    seen: list[int] = []
    original = SoundMask.weights
    monkeypatch.setattr(transforms, "BLOCK", 2**15)
    monkeypatch.setattr(
        SoundMask, "weights", lambda self, t, f, d: seen.append(len(t)) or original(self, t, f, d)
    )
    assert torch.allclose(mixed(content, result, mask).samples, whole, atol=1e-12)
    assert len(seen) > 10
    assert max(seen) <= 2**15 // (1024 * 2)


def test_a_region_to_the_ends_is_everything(tmp_path: Path) -> None:
    """Nothing lies beyond the ends of a sound that a soft edge could lead to."""
    (tmp_path / "m.csv").write_text(f"start_s,stop_s,low_hz,high_hz\n0,0.5,0,{RATE / 2}\n , \n")
    content, result = noise(RATE // 2, 0), noise(RATE // 2, 1)
    found = mixed(content, result, read_mask(tmp_path / "m.csv"))
    assert torch.allclose(found.samples, result.samples, atol=1e-12)


def test_cells_without_a_column_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("start_s,stop_s\n0,0.5,9\n")
    with pytest.raises(FileError, match="line 2: has 3 cells for 2 columns"):
        read_mask(tmp_path / "m.csv")
