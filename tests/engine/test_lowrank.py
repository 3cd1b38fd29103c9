from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine import lowrank
from specstyle.engine.grams import gram, gram_error
from specstyle.engine.losses import relative_distance
from specstyle.engine.lowrank import is_worthwhile, low_rank, low_rank_error
from specstyle.engine.objective import StyleTerm


def maps(*shape: int, seed: int) -> Tensor:
    """Like those of a network: not negative, with a large mean."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mean_gram(features: Tensor) -> Tensor:
    return gram(features) / (features.shape[2] * features.shape[3])


def value_and_grad(features: Tensor, target: object) -> tuple[Tensor, Tensor]:
    leaf = features.clone().requires_grad_(True)
    error = low_rank_error if isinstance(target, lowrank.LowRank) else gram_error
    value = error(leaf, target)
    weights = torch.arange(1.0, len(value) + 1.0).to(value)
    return value.detach(), torch.autograd.grad((weights * value).sum(), leaf)[0]


@given(
    batch=st.integers(1, 2),
    channels=st.integers(1, 20),
    size=st.tuples(st.integers(1, 3), st.integers(1, 5)),
    rank=st.integers(1, 25),
    channels_last=st.booleans(),
)
@settings(max_examples=40)
def test_value_and_gradient_are_those_of_the_whole_matrix(
    batch: int, channels: int, size: tuple[int, int], rank: int, *, channels_last: bool
) -> None:
    features = maps(batch, channels, *size, seed=0)
    if channels_last:
        features = features.contiguous(memory_format=torch.channels_last)
    target = mean_gram(maps(batch, channels, 1, rank, seed=1))
    found = value_and_grad(features, low_rank(target, rank))
    for ours, theirs in zip(found, value_and_grad(features, target), strict=True):
        assert ours.shape == theirs.shape
        # Float64, but the range of a matrix is found only as far as its condition allows.
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-3, 1e-4, 1e-5])
def test_float32_near_the_target(apart: float) -> None:
    """Value and gradient are as exact as rounding allows: nothing cancels."""
    style, other = maps(1, 600, 1, 50, seed=1), maps(1, 600, 1, 50, seed=2)
    features = (style + apart * (other - style)).float()
    target = mean_gram(style.float())
    exact, gradient = value_and_grad(features.double(), target.double())
    value, found = value_and_grad(features, low_rank(target, 50))
    norm = float(target.double().square().sum())
    # Measured on 2048 channels at the target itself: 3e-12 of A squared, whose root is 1.8e-6.
    assert float(value) ** 0.5 == pytest.approx(float(exact) ** 0.5, rel=1e-5, abs=2e-6 * norm**0.5)
    parts = 4.0 / 50 * norm**0.5 * float(features.norm())
    assert float((found - gradient).norm()) < 1e-6 * parts


def test_a_style_against_itself_costs_nothing() -> None:
    style = maps(1, 600, 1, 50, seed=1).float()
    target = mean_gram(style)
    assert float(low_rank_error(style, low_rank(target, 50))) < 5e-12 * float(target.square().sum())


def test_a_term_is_the_same_in_factors() -> None:
    features, target = maps(2, 30, 1, 8, seed=0), mean_gram(maps(2, 30, 1, 5, seed=1))
    roots = maps(1, 1, 1, 8, seed=2)
    plain = StyleTerm("a", 1.0, target, gram, relative_distance, roots)
    factors = StyleTerm("a", 1.0, target, gram, relative_distance, roots, factors=low_rank(target, 5))
    ours, theirs = (term(features, {"a": features}) for term in (factors, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)


def test_a_term_takes_factors_where_they_save_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowrank, "MIN_CHANNELS", 60)
    target = mean_gram(maps(1, 60, 1, 5, seed=1))
    term = StyleTerm("a", 1.0, target, gram, relative_distance)
    found = term.factored(6, 5).factors
    assert found is not None
    torch.testing.assert_close(found.basis @ found.core @ found.basis.mT, target, rtol=1e-9, atol=1e-12)
    assert term.factored(60, 5).factors is None
    other = StyleTerm("a", 1.0, target, gram, lambda mean, _: mean.sum((1, 2)))
    assert other.factored(6, 5).factors is None


def test_gradcheck() -> None:
    target = low_rank(mean_gram(maps(2, 7, 1, 3, seed=1)), 3)
    features = maps(2, 7, 2, 2, seed=0).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: low_rank_error(x, target), (features,))


def test_where_it_is_worthwhile() -> None:
    assert is_worthwhile(4096, 422, 422)
    assert is_worthwhile(4096, 205, 1000)
    assert not is_worthwhile(4096, 1500, 1500)
    assert not is_worthwhile(512, 10, 10)
