"""Gram matrices of all rows or of bands of them, against plain loops, autograd and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from draws import rand
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine.grams import (
    band_weights,
    banded_gram,
    banded_relative_distance,
    gram,
    gram_error,
    gram_pull,
)
from specstyle.engine.losses import relative_distance
from specstyle.errors import RecipeError
from specstyle.recipes import Recipe
from specstyle.run.objective import build_objective


def layouts(maps: Tensor) -> list[Tensor]:
    return [maps.clone(), maps.clone(memory_format=torch.channels_last)]


def symmetric(*shape: int) -> Tensor:
    matrix = rand(*shape, seed=7)
    return matrix + matrix.transpose(1, 2)


# More channels than positions, and the reverse: the gradient is multiplied out in either order.
@pytest.mark.parametrize("shape", [(2, 9, 2, 3), (2, 3, 5, 7), (1, 4, 1, 1)])
def test_the_error_is_that_of_the_mean_gram_matrix(shape: tuple[int, ...]) -> None:
    target = symmetric(shape[0], shape[1], shape[1])
    for maps in layouts(rand(*shape)):
        expected = (gram(maps) / (shape[2] * shape[3]) - target).square().sum((1, 2))
        torch.testing.assert_close(gram_error(maps, target), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(2, 9, 2, 3), (2, 3, 5, 4)])
def test_gradients_of_the_error(shape: tuple[int, ...]) -> None:
    target = symmetric(shape[0], shape[1], shape[1])
    for maps in layouts(rand(*shape)):
        assert torch.autograd.gradcheck(lambda x: gram_error(x, target), (maps.requires_grad_(True),))


def test_the_pull_has_the_gradient_of_the_product() -> None:
    upstream = rand(2, 4, 4, seed=3)
    for maps in layouts(rand(2, 4, 5, 3)):
        maps.requires_grad_(True)
        (expected,) = torch.autograd.grad((upstream * (maps.flatten(2) @ maps.flatten(2).mT)).sum(), maps)
        value = gram_pull(maps, upstream)
        (found,) = torch.autograd.grad(3.0 * value, maps)
        assert value.item() == 0.0
        torch.testing.assert_close(found, 3.0 * expected, rtol=1e-12, atol=1e-14)


def test_the_error_keeps_its_digits_on_thousands_of_channels() -> None:
    maps, style = rand(1, 4096, 1, 8).float(), rand(1, 4096, 1, 8, seed=1).float()
    target = gram(style) / 8
    exact = (gram(maps.double()) / 8 - target.double()).square().sum((1, 2))
    torch.testing.assert_close(gram_error(maps, target).double(), exact, rtol=1e-5, atol=0)


F64 = torch.float64


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@given(st.integers(1, 70), st.integers(1, 70))
def test_weights_share_out_every_row(bands: int, rows: int) -> None:
    weights = band_weights(bands, rows, like=maps(1))
    assert weights.shape == (min(bands, rows), rows)
    assert bool((weights >= 0).all())
    assert bool((weights.amax(1) > 0).all())
    torch.testing.assert_close(weights.sum(0), torch.ones(rows, dtype=F64), rtol=0, atol=1e-12)


def test_weights_are_triangles() -> None:
    found = band_weights(3, 5, like=maps(1))
    wanted = [[1.0, 0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 1.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.5, 1.0]]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=F64))


@pytest.mark.parametrize(("bands", "rows"), [(0, 5), (3, 0)])
def test_no_bands(bands: int, rows: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        band_weights(bands, rows, like=maps(1))


@pytest.mark.parametrize("bands", [1, 2, 5, 9, 40])
def test_the_statistic_is_the_formula_in_plain_loops(bands: int) -> None:
    features = maps(2, 3, 9, 4)
    weights = band_weights(bands, 9, like=features).numpy()
    f = features.numpy()
    wanted = np.zeros((2, len(weights), 3, 3))
    for b, k, row, column in np.ndindex(2, len(weights), 9, 4):
        vector = f[b, :, row, column]
        wanted[b, k] += weights[k, row] * np.outer(vector, vector)
    found = banded_gram(bands)(features)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.sum(1), gram(features))


def test_one_band_is_the_plain_gram_loss() -> None:
    x, y = maps(2, 3, 6, 5), maps(2, 3, 6, 5, seed=1)
    plain = relative_distance(gram(x), gram(y))
    torch.testing.assert_close(banded_relative_distance(banded_gram(1)(x), banded_gram(1)(y)), plain)


def test_the_distance_is_the_formula_in_plain_loops() -> None:
    g, a = maps(2, 4, 3, 3), maps(2, 4, 3, 3, seed=1)
    wanted = [
        np.mean([((g[b, k] - a[b, k]) ** 2).sum() / (a[b, k] ** 2).sum() for k in range(4)]) for b in range(2)
    ]
    np.testing.assert_allclose(banded_relative_distance(g, a), wanted, rtol=1e-12)


def test_an_empty_image_costs_one_and_silence_costs_nothing() -> None:
    target = maps(1, 4, 3, 3)
    empty = torch.zeros_like(target)
    assert float(banded_relative_distance(empty, target)) == pytest.approx(1.0)
    assert float(banded_relative_distance(target, empty)) == 0.0
    target[:, 2] = 0.0  # one silent band in an audible sound divides nothing by zero
    assert bool(banded_relative_distance(target + 1e-3, target).isfinite().all())


def test_bands_know_where_a_texture_lives() -> None:
    """The same rows upside down: nothing to a plain Gram, everything to bands."""
    rows = torch.linspace(0.1, 1.0, 8, dtype=F64)[:, None]
    x = maps(1, 3, 8, 50) * rows
    flipped = x.flip(2)
    assert float(relative_distance(gram(x), gram(flipped))) < 1e-20
    assert float(banded_relative_distance(banded_gram(4)(x), banded_gram(4)(flipped))) > 0.5


def test_a_recipe_with_bands() -> None:
    recipe = Recipe(
        network="vgg19-random", style_layers=("a",), content_weight=0.0, content_layers=(), style_bands=4
    )
    content, style = maps(1, 1, 12, 6), maps(1, 1, 12, 9, seed=2)
    objective = build_objective(recipe, lambda image: {"a": image.abs() + 0.1}, content, [style])
    losses, gradient = objective.value_and_grad(content)
    x, s = (banded_gram(4)(image.abs() + 0.1) / image[0, 0].numel() for image in (content, style))
    assert float(losses["style:a"]) == pytest.approx(float(banded_relative_distance(x, s)))
    assert torch.autograd.gradcheck(
        lambda image: objective.losses(image)["style:a"], content.requires_grad_()
    )
    assert bool(gradient.any())


def test_bands_need_the_relative_loss() -> None:
    with pytest.raises(RecipeError, match="style_bands 16 needs style_loss gram_relative, not gram_gatys"):
        Recipe(style_bands=16, style_loss="gram_gatys")


def test_a_statistic_first_asked_for_without_gradients_has_one_later() -> None:
    statistic, x = banded_gram(3), maps(1, 2, 6, 4)
    with torch.inference_mode():
        seen = statistic(x)
    (gradient,) = torch.autograd.grad(statistic(x.requires_grad_()).sum(), x)
    assert bool(gradient.any())
    assert torch.equal(statistic(x).detach(), seen.clone())
    # Of another height and type, other weights.
    assert statistic(maps(1, 2, 9, 4).float()).dtype == torch.float32
