"""Figures: what is in the files, read back with Pillow, and the levels behind the colors."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from scipy import signal

from specstyle import figures
from specstyle.figures import contact_sheet, sound_figure


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")) / 255


def share_of(picture: np.ndarray, color: tuple[float, float, float]) -> float:
    return float((np.abs(picture - color).max(axis=2) < 0.02).mean())


def blobs(picture: np.ndarray, color: tuple[float, float, float]) -> list[tuple[int, int]]:
    """Centers (row, column) of the separate areas of a color, in reading order."""
    from scipy import ndimage

    labels, count = ndimage.label(np.abs(picture - color).max(axis=2) < 0.02)
    centers = ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))
    return sorted((round(y), round(x)) for y, x in centers)


RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def plain(color: tuple[float, float, float], height: int = 30, width: int = 40) -> np.ndarray:
    return np.full((height, width, 3), color)


def test_pictures_stand_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "f.png"
    panels = [("content", plain(RED)), ("style $", plain(GREEN)), ("result", plain(BLUE))]
    contact_sheet(panels, path, columns=3, inches=4.0)
    drawn = pixels_of(path)
    (red,), (green,), (blue,) = (blobs(drawn, color) for color in (RED, GREEN, BLUE))
    assert red[0] == green[0] == blue[0]
    assert red[1] < green[1] < blue[1]
    for color in (RED, GREEN, BLUE):
        assert share_of(drawn, color) > 0.2


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 5, 1), (3, 5, 1), (5, 5, 1), (10, 5, 2), (7, 3, 3)]
)
def test_contact_sheets_have_rows_of_columns(tmp_path: Path, count: int, columns: int, rows: int) -> None:
    path = tmp_path / "s.png"
    contact_sheet([(f"step {i}", plain(RED)) for i in range(count)], path, columns=columns)
    centers = blobs(pixels_of(path), RED)
    assert len(centers) == count
    assert len({y for y, _ in centers}) == rows
    assert len({x for _, x in centers}) == min(count, columns)


def test_flat_arrays_are_drawn_from_below_on_one_scale(tmp_path: Path) -> None:
    low = np.zeros((8, 8))
    low[:4] = 1.0  # the lower half, since row 0 is the bottom
    high = np.full((8, 8), 3.0)
    contact_sheet([("a", low), ("b", high)], tmp_path / "s.png", columns=2)
    drawn = pixels_of(tmp_path / "s.png").sum(axis=2)
    height, width = drawn.shape
    upper, lower = drawn[height * 2 // 5, width // 4], drawn[height * 4 // 5, width // 4]
    assert drawn[height // 2, width * 3 // 4] > lower > upper


def test_titles_with_any_characters_do_no_harm(tmp_path: Path) -> None:
    titles = ["$\\frac{", "スタイル", "x" * 300, "a\nb", ""]
    contact_sheet([(title, plain(RED)) for title in titles], tmp_path / "s.png", columns=5)
    assert len(blobs(pixels_of(tmp_path / "s.png"), RED)) == 5


def test_sound_figure_shows_each_sound(tmp_path: Path) -> None:
    rate = 8000
    time_s = np.arange(2 * rate) / rate
    low, high = (np.sin(2 * np.pi * f * time_s)[None] for f in (500, 3500))
    sound_figure([("low", low, rate), ("high", np.repeat(1e-3 * high, 2, 0), rate)], tmp_path / "f.png")
    drawn = pixels_of(tmp_path / "f.png")
    bright = np.abs(drawn - [0.987, 0.991, 0.750]).max(axis=2) < 0.15  # magma's top color, and nothing else
    height, width, _ = drawn.shape
    panels = (
        bright[:, int(0.10 * width) : int(0.46 * width)],
        bright[:, int(0.52 * width) : int(0.82 * width)],
    )
    rows = [np.flatnonzero(panel.mean(axis=1) > 0.5).mean() / height for panel in panels]
    assert rows[0] > 0.6  # 500 Hz near the bottom
    assert rows[1] < 0.4  # 3500 Hz near the top, as bright although 60 dB quieter


@pytest.mark.parametrize("rate", [8000, 44100])
def test_levels_agree_with_scipy(rate: int) -> None:
    samples = np.random.default_rng(0).normal(size=(2, rate // 2))
    levels_db, duration_s = figures.spectrogram_db(samples, rate, 512)
    assert duration_s == pytest.approx(0.5)
    padded = np.pad(samples.mean(0), (256, 2048))
    window = signal.windows.hann(512, sym=False)
    _, _, power = signal.spectrogram(
        padded, rate, window, noverlap=384, detrend=False, mode="psd", scaling="spectrum"
    )
    power[1:-1] /= 2  # a one-sided spectrum counts these twice
    power = power[:, : levels_db.shape[1]]
    expected_db = np.maximum(10 * np.log10(power / power.max()), -80)
    np.testing.assert_allclose(levels_db, expected_db, atol=1e-6)
    assert levels_db.max() == 0


def test_a_long_sound_has_few_columns_and_loses_no_click() -> None:
    samples = np.zeros((1, 16000 * 100))
    clicks_s = [1.0, 47.3, 99.5]
    for click_s in clicks_s:
        samples[0, int(click_s * 16000)] = 1.0
    levels_db, duration_s = figures.spectrogram_db(samples, 16000)
    assert 500 < levels_db.shape[1] <= 1200
    lit_s = np.flatnonzero(levels_db[40] > -40) / levels_db.shape[1] * duration_s
    for click_s in clicks_s:
        assert np.abs(lit_s - click_s).min() < 0.2
    assert len(lit_s) <= 2 * len(clicks_s)


def test_silence_and_very_short_sounds_are_drawn(tmp_path: Path) -> None:
    sound_figure([("silence", np.zeros((1, 4000)), 8000), ("three", np.ones(3), 44100)], tmp_path / "f.png")
    assert pixels_of(tmp_path / "f.png").shape[1] > 500
    assert figures.spectrogram_db(np.zeros((1, 4000)), 8000)[0].max() == -80


def test_a_png_of_levels_has_low_ones_below_in_the_colors_of_their_scale() -> None:
    levels = np.repeat([[-80.0], [0.0], [7.0]], 4, axis=1)
    drawn = np.asarray(Image.open(io.BytesIO(figures.levels_png(levels))).convert("RGB"))
    bottom, top = (colormaps["magma"](end, bytes=True)[:3] for end in (0, 255))
    assert [tuple(row[0]) for row in drawn] == [top, top, bottom]
    wide = Image.open(io.BytesIO(figures.levels_png(levels, size=(40, 30), scale=(0, 7), colors="coolwarm")))
    assert wide.size == (40, 30)
    assert wide.convert("RGB").getpixel((20, 25)) == colormaps["coolwarm"](0, bytes=True)[:3]


@pytest.mark.parametrize(("longest", "size"), [(20, (20, 15)), (100, (40, 30))])
def test_a_png_of_a_picture_is_made_smaller_and_never_larger(longest: int, size: tuple[int, int]) -> None:
    made = figures.picture_png(torch.from_numpy(plain((1.5, 0.5, -1.0))).movedim(2, 0), longest=longest)
    image = Image.open(io.BytesIO(made))
    assert image.size == size
    assert image.getpixel((3, 3)) == (255, 128, 0)
