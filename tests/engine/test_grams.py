from __future__ import annotations

import pytest
import torch
from torch import Tensor

from specstyle.engine.grams import gram, gram_error, gram_pull


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
