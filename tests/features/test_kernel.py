"""The infinite-width kernel against its paper's formula in plain loops, and against many random filters."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine.grams import gram
from specstyle.engine.losses import content_distance, relative_distance
from specstyle.engine.objective import mean_statistic
from specstyle.features.kernel import (
    KernelStyleTerm,
    arc_cosine_kernel,
    kernel_content_term,
    kernel_style_term,
    square_mean,
    usable_widths,
    window_sums,
)
from specstyle.features.wide import WideRandom


def images(*frames: int, bins: int = 6, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(1, 1, bins, t, generator=generator, dtype=torch.float64) for t in frames]


def kernel_of(a: Tensor, b: Tensor) -> float:
    """Cho & Saul's kernel of order 1, twice theirs, as it stands in the paper."""
    n, m = float(a.norm()), float(b.norm())
    angle = math.acos(max(-1.0, min(1.0, float(a @ b) / (n * m))))
    return n * m * (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / math.pi


def patches(image: Tensor, center: Tensor, width: int) -> list[Tensor]:
    x = (image - center)[0, 0]
    return [x[:, t : t + width].reshape(-1) for t in range(x.shape[1] - width + 1)]


@pytest.mark.parametrize("width", [1, 2, 8])
def test_the_losses_are_the_formulas_in_plain_loops(width: int) -> None:
    x, s = images(13, 17)
    center = s.mean(3, keepdim=True)
    own, style = patches(x, center, width), patches(s, center, width)

    def mean_square(p: list[Tensor], q: list[Tensor]) -> float:
        return sum(kernel_of(a, b) ** 2 for a in p for b in q) / (len(p) * len(q))

    ss = mean_square(style, style)
    expected = (mean_square(own, own) - 2 * mean_square(own, style) + ss) / ss
    term = kernel_style_term(x, [s], [1.0], weight=1.0, widths=(width,))
    assert term(x, {}).item() == pytest.approx(expected, rel=1e-8)

    content = s[..., :13]
    target = patches(content, center, width)
    distance = sum(float(a @ a + b @ b) - 2 * kernel_of(a, b) for a, b in zip(own, target, strict=True))
    expected = distance / sum(float(b @ b) for b in target)
    loss = kernel_content_term(content, [s], [1.0], weight=1.0, widths=(width,))(x, {})
    assert loss.item() == pytest.approx(expected, rel=1e-7)


def test_it_is_the_limit_of_many_random_filters() -> None:
    x, s = images(12, 15, bins=5)
    center = s.mean(3, keepdim=True)
    network = WideRandom(5, n_filters=8000, width=2, dtype=torch.float64)
    own, style = network(x - center)["relu1"], network(s - center)["relu1"]
    finite = relative_distance(mean_statistic(gram, own), mean_statistic(gram, style)).item()
    term = kernel_style_term(x, [s], [1.0], weight=1.0, widths=(2,))
    # 8000 filters: a relative error of about sqrt(2 / 8000) in each Gram entry.
    assert term(x, {}).item() == pytest.approx(finite, rel=0.06)
    loss = kernel_content_term(s[..., :12], [s], [1.0], weight=1.0, widths=(2,))(x, {})
    features = network(s[..., :12] - center)["relu1"]
    assert loss.item() == pytest.approx(content_distance("relative", own, features).item(), rel=0.06)


def test_gradients_are_those_of_finite_differences() -> None:
    x, s = images(9, 11, bins=3)
    style = kernel_style_term(x, [s], [1.0], weight=1.0, widths=(1, 2))
    content = kernel_content_term(s[..., :9], [s], [1.0], weight=1.0, widths=(1, 2))
    leaf = x.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda image: style(image, {}) + content(image, {}), (leaf,))


def test_equal_patches_have_a_finite_gradient() -> None:
    """There autograd through arccos is infinite."""
    (x,) = images(10)
    leaf = x.clone().requires_grad_(True)
    kernel_content_term(x, [x], [1.0], weight=1.0)(leaf, {}).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().max() < 1e-5


def test_a_style_against_itself_costs_nothing_and_silence_is_finite() -> None:
    (s,) = images(40)
    assert kernel_style_term(s, [s], [1.0], weight=1.0)(s, {}).item() == pytest.approx(0.0, abs=1e-12)
    silence = torch.zeros_like(s).requires_grad_(True)
    loss = kernel_style_term(s, [s], [1.0], weight=1.0)(silence, {})
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert silence.grad is not None
    assert torch.isfinite(silence.grad).all()


def test_two_styles_blend_as_more_positions_of_one() -> None:
    x, a = images(20, 24)
    term = kernel_style_term(x, [a, a], [1.0, 3.0], weight=1.0)
    alone = kernel_style_term(x, [a], [1.0], weight=1.0)
    assert isinstance(term, KernelStyleTerm)
    assert term(x, {}).item() == pytest.approx(alone(x, {}).item(), rel=1e-9)


@given(st.integers(1, 12), st.sampled_from([1, 2, 4, 8]), st.integers(0, 1000))
@settings(deadline=None, max_examples=25, database=None)
def test_window_sums_are_sums_over_windows(extra: int, width: int, seed: int) -> None:
    frames = width + extra - 1
    dots = torch.rand(1, frames, frames, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    summed = window_sums(dots, width, diagonals=True)
    assert summed.shape == (1, extra, extra)
    for i in range(extra):
        for j in range(extra):
            expected = sum(float(dots[0, i + k, j + k]) for k in range(width))
            assert float(summed[0, i, j]) == pytest.approx(expected, rel=1e-12)


def test_the_kernel_of_a_vector_with_itself_is_its_square() -> None:
    n = torch.tensor([[3.0]], dtype=torch.float64)
    assert arc_cosine_kernel(n * n, n, n).item() == pytest.approx(9.0)
    assert arc_cosine_kernel(-n * n, n, n).item() == pytest.approx(0.0, abs=1e-7)
    assert usable_widths((2, 8, 32), 10, 50) == (2, 8)
    assert usable_widths((2, 8, 32), 1) == (1,)


@pytest.mark.parametrize("block", [1, 5, 7, 16, 40])
@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("widths", [(1,), (2, 8), (16,)])
def test_blocks_add_up_to_the_whole(block: int, itself: bool, widths: tuple[int, ...]) -> None:
    """Value and gradient, against one kernel matrix differentiated by autograd."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 21, 3, generator=generator, dtype=torch.float64).requires_grad_()
    y = x if itself else torch.randn(2, 17, 3, generator=generator, dtype=torch.float64)
    coefficients = torch.rand(len(widths), 2, generator=generator, dtype=torch.float64)
    found = square_mean(x, y, coefficients, widths, block=block)
    (gradient,) = torch.autograd.grad(found @ found.new_tensor([1.0, -3.0]), x)
    wanted = torch.zeros(2, dtype=torch.float64)
    for coefficient, width in zip(coefficients, widths, strict=True):
        a, b = (z.unfold(1, width, 1).flatten(2) for z in (x, y))
        n, m = a.norm(dim=2)[:, :, None], b.norm(dim=2)[:, None, :]
        cosine = (a @ b.transpose(1, 2) / (n * m)).clamp(-1 + 1e-12, 1 - 1e-12)
        angle = torch.acos(cosine)
        kernel = n * m * (angle.sin() + (math.pi - angle) * cosine) / math.pi
        wanted = wanted + coefficient * kernel.square().mean((1, 2))
    (wanted_gradient,) = torch.autograd.grad(wanted @ wanted.new_tensor([1.0, -3.0]), x)
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=0)
    torch.testing.assert_close(gradient, wanted_gradient, rtol=1e-5, atol=1e-8)
