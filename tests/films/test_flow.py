"""What moves between two pictures, and what of one is carried on into the next."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

pytest.importorskip("cv2", reason="needs OpenCV (the extra `film`)")

from specstyle.films.pictures import EDGE, Movement

INNER = slice(24, -24)


def texture(seed: int, height: int = 128, width: int = 160, sigma: float = 2.0) -> np.ndarray:
    """Return smooth noise, uint8."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 3))
    smooth = gaussian_filter(noise, (sigma, sigma, 0), mode="wrap")
    return (127 + 50 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / 255


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-5, 4)])
def test_a_shift_is_found(shift: tuple[int, int]) -> None:
    before = texture(0)
    now = np.roll(before, shift, (0, 1))
    movement = Movement(before, now)
    assert movement.seen[INNER, INNER].mean() > 0.98
    # The flow is exact to a tenth of a pixel or so, on a texture that changes over two.
    found = movement.warped(unit(before))[INNER, INNER]
    assert np.abs(found - unit(now)[INNER, INNER]).mean() < 0.02
    assert movement.error(unit(before), unit(now)) / movement.seen.sum() < 0.005
    assert movement.seen.min() >= 0
    if shift == (0, 0):
        assert not movement.seen[:EDGE].any()
        assert movement.found.mean() > 0.95


def test_another_scene_is_not_taken_for_a_movement() -> None:
    assert Movement(texture(0), texture(1)).seen.mean() < 0.1


def test_what_comes_to_light_was_not_seen() -> None:
    behind, block = texture(0), texture(1)[:40, :40]
    before, now = behind.copy(), behind.copy()
    before[40:80, 40:80] = now[40:80, 46:86] = block
    movement = Movement(before, now)
    assert movement.seen[45:75, 41:45].mean() < 0.3  # uncovered
    assert movement.seen[50:70, 56:76].mean() > 0.7  # the block itself
    assert movement.seen[90:110, 20:-20].mean() > 0.8


def test_what_does_not_flicker_is_left_alone() -> None:
    content, styled = texture(0), unit(texture(1))
    assert np.abs(Movement(content, content).carried(styled, styled) - styled).max() < 1e-4


def test_a_mean_of_textures_keeps_their_contrast() -> None:
    content, before, now = texture(0), unit(texture(1)), unit(texture(2))
    made = Movement(content, content).carried(before, now)[INNER, INNER]
    before, now = before[INNER, INNER], now[INNER, INNER]
    assert np.abs(made - before).mean() < 0.5 * np.abs(made - now).mean()
    detail = [np.std(x - uniform_filter(x, (7, 7, 1))) for x in (made, now)]
    assert detail[0] == pytest.approx(detail[1], rel=0.15)
