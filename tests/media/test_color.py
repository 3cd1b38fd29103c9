"""Color spaces against Ottosson's other matrices, matching against SciPy, and what both keep."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from draws import rand
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.media.color import colored, from_oklab, gray_of, match_colors, match_gray, to_oklab
from specstyle.media.image import PictureCodec, gray_encoded
from specstyle.media.pictures import ImageSettings, Picture

SPACES = pytest.mark.parametrize("space", ["oklab", "luma"])


def oklab_by_xyz(srgb: np.ndarray) -> np.ndarray:
    """Ottosson's first definition, over XYZ; the engine's matrices are the product."""
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    to_cones = [[0.8189330101, 0.3618667424, -0.1288597137], [0.0329845436, 0.9293118715, 0.0361456387],
                [0.0482003018, 0.2643662691, 0.6338517070]]  # fmt: skip
    to_lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
              [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.array(to_lab) @ np.cbrt(np.array(to_cones) @ np.array(to_xyz) @ light)


def test_oklab_is_ottossons() -> None:
    image = rand(3, 5, 7)
    expected = oklab_by_xyz(image.flatten(1).numpy())
    # The matrices are rounded to different digits: they differ by 1e-4.
    np.testing.assert_allclose(to_oklab(image).flatten(1).numpy(), expected, atol=3e-4)
    red = to_oklab(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)[:, None, None]).flatten()
    np.testing.assert_allclose(red.numpy(), [0.62796, 0.22486, 0.12585], atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(["oklab", "luma"]))
def test_a_picture_gets_its_own_colors_back(seed: int, space: str) -> None:
    image = rand(1, 3, 6, 5, seed=seed)
    image.scatter_(1, torch.randint(0, 3, (1, 1, 6, 5)), (rand(1, 1, 6, 5) > 0.5).double())  # at sRGB's edges
    assert torch.allclose(from_oklab(to_oklab(image)), image, atol=1e-6)
    assert torch.allclose(colored(gray_of(image, space), image, space), image, atol=2e-6)


@SPACES
def test_colors_keep_the_gray_and_the_hue(space: str) -> None:
    gray, colors = rand(1, 1, 40, 40), rand(1, 3, 40, 40, seed=1)
    found = colored(gray, colors, space)
    error = (gray_of(found, space) - gray).abs()
    # The table of chroma is interpolated, and close to blue sRGB bends inward.
    assert float(error.max()) < (0.03 if space == "oklab" else 1e-9)
    assert float(error.mean()) < 1e-4
    if space == "oklab":
        (_, a, b), (_, c, d) = (to_oklab(x)[0] for x in (found, colors))
        assert float(((a * d - b * c) / torch.hypot(c, d)).abs().mean()) < 1e-4  # across the hue
        assert bool((torch.hypot(a, b) <= torch.hypot(c, d) + 1e-3).all())


@SPACES
def test_gray_has_no_hue_to_keep(space: str) -> None:
    gray = rand(1, 1, 8, 8)
    assert torch.allclose(gray_of(gray.expand(-1, 3, -1, -1), space), gray, atol=1e-6)
    black_and_white = torch.tensor([0.0, 1.0], dtype=torch.float64).view(1, 1, 1, 2)
    assert torch.allclose(colored(black_and_white, rand(1, 3, 1, 2), space), black_and_white, atol=1e-5)


@SPACES
def test_decoding_gives_the_colors_back(space: str) -> None:
    picture = Picture(rand(3, 9, 12).float())
    medium = PictureCodec(ImageSettings())
    encoded = gray_encoded(medium.encode(picture), space)
    assert encoded.image.shape == (1, 1, 9, 12)
    assert torch.allclose(medium.decode(encoded.image, encoded).pixels, picture.pixels, atol=1e-4)


# -- matching ------------------------------------------------------------------------------------------------


def pair() -> tuple[Tensor, Tensor]:
    """Colors well inside 0..1, so that nothing is clipped."""
    mixing = torch.tensor([[0.2, 0.05, 0.0], [0.1, 0.1, 0.02], [0.0, 0.04, 0.15]], dtype=torch.float64)
    image = torch.einsum("rc,bchw->brhw", mixing, rand(1, 3, 30, 40)) + 0.3
    return image, 0.4 + 0.2 * rand(1, 3, 25, 20, seed=1) ** 3


def rows(image: Tensor) -> np.ndarray:
    return image[0].flatten(1).numpy()


def test_covariance_is_the_map_of_monge_and_kantorovitch() -> None:
    image, like = pair()
    found = rows(match_colors(image, like, "covariance"))
    source, target = rows(image), rows(like)
    a, b = np.cov(source, bias=True) + 1e-6 * np.eye(3), np.cov(target, bias=True) + 1e-6 * np.eye(3)
    root = scipy.linalg.sqrtm(a)
    inverse = np.linalg.inv(root)
    linear = inverse @ scipy.linalg.sqrtm(root @ b @ root) @ inverse
    expected = linear @ (source - source.mean(1, keepdims=True)) + target.mean(1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    # One of the source's directions is thin, and the floor under variances takes its part of it.
    np.testing.assert_allclose(np.cov(found, bias=True), np.cov(target, bias=True), atol=1e-5)


def test_mean_moves_and_nothing_else() -> None:
    image, like = pair()
    found = match_colors(image, like, "mean")
    np.testing.assert_allclose(rows(found - image).std(1), 0, atol=1e-12)
    np.testing.assert_allclose(rows(found).mean(1), rows(like).mean(1), atol=1e-12)


def test_histogram_brings_every_axis_together() -> None:
    image, like = pair()
    found, target = rows(match_colors(image, like, "histogram")), rows(like)
    axes = np.random.default_rng(0).standard_normal((20, 3))
    at = np.linspace(0.02, 0.98, 49)
    for axis in [*np.eye(3), *(axes / np.linalg.norm(axes, axis=1, keepdims=True))]:
        error = np.quantile(axis @ found, at) - np.quantile(axis @ target, at)
        assert np.abs(error).mean() < 0.01  # the spread is about 0.1; by covariance alone 0.02 is left


@pytest.mark.parametrize("how", ["mean", "covariance", "histogram"])
def test_matching_oneself_changes_nothing_and_weights_choose(how: str) -> None:
    image, like = pair()
    assert torch.allclose(match_colors(image, image, how), image, atol=5e-3 if how == "histogram" else 1e-9)
    weight = torch.zeros(1, 1, 30, 40, dtype=torch.float64)
    weight[..., :15] = 0.7
    ours = match_colors(image, like, how, weight=weight)[..., :15]
    assert torch.allclose(
        ours, match_colors(image[..., :15], like, how), atol=2e-3 if how == "histogram" else 1e-9
    )
    double = torch.cat([like, rand(1, 3, 25, 9, seed=3)], 3)
    counted = torch.cat([torch.ones(1, 1, 25, 20), torch.zeros(1, 1, 25, 9)], 3)
    same = match_colors(image, double, how, weight_like=counted)
    assert torch.allclose(same, match_colors(image, like, how), atol=5e-3 if how == "histogram" else 1e-9)


@pytest.mark.parametrize("how", ["mean", "covariance", "histogram"])
def test_one_single_color_is_no_trouble(how: str) -> None:
    image, _ = pair()
    flat = torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64)
    for found in (match_colors(image, flat, how), match_colors(flat, image, how)):
        assert bool(found.isfinite().all())
    if how != "mean":
        assert float((match_colors(image, flat, how) - 0.5).abs().max()) < 0.01


def test_match_gray_has_mean_and_deviation() -> None:
    image, like = (x[:, :1] for x in pair())
    found = match_gray(image, like)
    assert float(found.mean()) == pytest.approx(float(like.mean()), abs=1e-9)
    assert float(found.std()) == pytest.approx(float(like.std()), rel=1e-3)
    assert float(np.corrcoef(found.flatten(), image.flatten())[0, 1]) == pytest.approx(1.0)
