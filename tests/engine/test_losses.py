from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from draws import rand
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine import losses
from specstyle.engine.grams import gram
from specstyle.engine.objective import mean_statistic

GRAM_FORMS = ("gram_mean", "gram_gatys", "gram_keras", "gram_chw", "gram_sum", "gram_relative")
CONTENT_FORMS = ("mean", "sum", "half_sum", "relative")


def gram_form(form: str, maps: Tensor, image_positions: int = 100) -> losses.Distance:
    positions = maps.shape[2] * maps.shape[3]
    return losses.gram_distance(
        form, channels=maps.shape[1], positions=positions, image_positions=image_positions
    )


def style_loss(form: str, maps: Tensor, style: Tensor) -> Tensor:
    if form == "wasserstein2":
        target = losses.wasserstein2_target(mean_statistic(losses.moments, style))
        return losses.wasserstein2_distance(mean_statistic(losses.moments, maps), target)
    mean, target = mean_statistic(gram, maps), mean_statistic(gram, style)
    return gram_form(form, maps)(mean, target)


def test_gram_is_the_sum_of_outer_products() -> None:
    maps = rand(2, 3, 4, 5)
    expected = torch.zeros(2, 3, 3, dtype=torch.float64)
    for b in range(2):
        for i in range(3):
            for j in range(3):
                for y in range(4):
                    for x in range(5):
                        expected[b, i, j] += maps[b, i, y, x] * maps[b, j, y, x]
    torch.testing.assert_close(gram(maps), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(losses.moments(maps)[:, :, :3], expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(losses.moments(maps)[:, :, 3], maps.sum((2, 3)), rtol=1e-13, atol=0)


@given(st.permutations(range(12)))
@settings(deadline=None, max_examples=25, database=None)
def test_gram_does_not_depend_on_the_order_of_positions(order: list[int]) -> None:
    maps = rand(1, 4, 3, 4)
    shuffled = maps.flatten(2)[:, :, order].reshape(maps.shape)
    torch.testing.assert_close(gram(shuffled), gram(maps), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(losses.moments(shuffled), losses.moments(maps), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("statistic", [gram, losses.moments])
def test_statistics_are_sums_over_positions(statistic: losses.Statistic) -> None:
    maps = rand(2, 3, 4, 10)
    parts = statistic(maps[..., :3]) + statistic(maps[..., 3:])
    torch.testing.assert_close(parts, statistic(maps), rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("form", "factor"),
    [
        # C = 3, M = 20, the image has 100 pixels; every factor is on sum (G - A)^2 of position *sums*.
        ("gram_mean", 1 / 3**2 / 20**2),
        ("gram_gatys", 1 / (4 * 3**2 * 20**2)),
        ("gram_keras", 1 / (4 * 3**2 * 100**2)),
        ("gram_chw", 1 / 3**2 / (3 * 20) ** 2),
        ("gram_sum", 1.0 / 20**2),
    ],
)
def test_gram_distances_against_loops(form: str, factor: float) -> None:
    maps, style = rand(2, 3, 4, 5), rand(2, 3, 4, 5, seed=1)
    expected = []
    for f, s in zip(maps.flatten(2).numpy(), style.flatten(2).numpy(), strict=True):
        total = 0.0
        for i in range(3):
            for j in range(3):
                total += (float(np.dot(f[i], f[j])) - float(np.dot(s[i], s[j]))) ** 2
        expected.append(factor * total)
    np.testing.assert_allclose(style_loss(form, maps, style).numpy(), expected, rtol=1e-12)


def test_relative_distance_is_one_for_an_empty_image_and_ignores_the_scale() -> None:
    maps, style = rand(2, 3, 4, 5), rand(2, 3, 6, 5, seed=1)
    ones = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(style_loss("gram_relative", torch.zeros_like(maps), style), ones)
    torch.testing.assert_close(
        style_loss("gram_relative", 1e3 * maps, 1e3 * style),
        style_loss("gram_relative", maps, style),
        rtol=1e-12,
        atol=0,
    )


def test_an_unknown_form_is_refused_with_what_is_accepted() -> None:
    maps = rand(1, 2, 3, 3)
    with pytest.raises(ValueError, match=r"style_loss.*gram_keras.*'gram'"):
        gram_form("gram", maps)
    with pytest.raises(ValueError, match=r"content_loss.*relative.*'l2'"):
        losses.content_distance("l2", maps, maps)


@pytest.mark.parametrize("form", [*GRAM_FORMS, "wasserstein2"])
def test_a_style_against_itself_costs_nothing(form: str) -> None:
    style = rand(2, 5, 6, 7) ** 2
    cost = style_loss(form, style, style)
    # Traces of roots: what remains is rounding of the style's own energy.
    assert cost.abs().max() <= 1e-13 * style.square().mean()


@pytest.mark.parametrize("form", [*GRAM_FORMS, "wasserstein2"])
def test_style_losses_do_not_depend_on_the_length(form: str) -> None:
    # The image's pixels grow with the maps' positions, as gram_keras expects.
    maps, style = rand(1, 4, 3, 6), rand(1, 4, 3, 8, seed=1)
    long_maps, long_style = maps.repeat(1, 1, 1, 3), style.repeat(1, 1, 1, 5)
    if form == "gram_keras":
        mean, target = mean_statistic(gram, maps), mean_statistic(gram, style)
        one = gram_form(form, maps, 4 * 18)(mean, target)
        three = gram_form(form, long_maps, 4 * 54)(mean_statistic(gram, long_maps), target)
    else:
        one, three = style_loss(form, maps, style), style_loss(form, long_maps, long_style)
    torch.testing.assert_close(three, one, rtol=1e-10, atol=0)


@pytest.mark.parametrize("form", ["mean", "relative"])
def test_content_losses_of_a_repeated_clip_do_not_grow(form: str) -> None:
    maps, target = rand(1, 4, 3, 6), rand(1, 4, 3, 6, seed=1)
    one = losses.content_distance(form, maps, target)
    three = losses.content_distance(form, maps.repeat(1, 1, 1, 3), target.repeat(1, 1, 1, 3))
    torch.testing.assert_close(three, one, rtol=1e-12, atol=0)


def test_content_losses_against_loops() -> None:
    maps, target = rand(2, 2, 3, 4), rand(2, 2, 3, 4, seed=1)
    for b in range(2):
        squares = [
            (float(f) - float(p)) ** 2 for f, p in zip(maps[b].ravel(), target[b].ravel(), strict=True)
        ]
        energy = sum(float(p) ** 2 for p in target[b].ravel())
        total = sum(squares)
        expected = {"mean": total / 24, "sum": total, "half_sum": total / 2, "relative": total / energy}
        for form, value in expected.items():
            ours = losses.content_distance(form, maps, target)[b].item()
            assert ours == pytest.approx(value, rel=1e-13), form


@pytest.mark.parametrize("form", CONTENT_FORMS)
def test_gradients_of_content_losses(form: str) -> None:
    maps, target = rand(2, 3, 3, 4).requires_grad_(True), rand(2, 3, 3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x: losses.content_distance(form, x, target), (maps,))


@pytest.mark.parametrize("form", [*GRAM_FORMS, "wasserstein2"])
def test_gradients_of_style_losses(form: str) -> None:
    maps, style = rand(2, 3, 3, 4).requires_grad_(True), rand(2, 3, 4, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x: style_loss(form, x, style), (maps,))


def test_wasserstein_against_scipy() -> None:
    maps, style = rand(2, 4, 5, 6), rand(2, 4, 7, 6, seed=1) ** 2
    ours = style_loss("wasserstein2", maps, style)
    for b in range(2):
        f, s = maps[b].flatten(1).numpy(), style[b].flatten(1).numpy()
        a, c = (np.cov(x, bias=True) + 1e-4 * np.eye(4) for x in (f, s))
        root = scipy.linalg.sqrtm(c)
        middle = scipy.linalg.sqrtm(root @ a @ root)
        value = np.mean((f.mean(1) - s.mean(1)) ** 2) + np.trace(a + c - 2 * middle) / 4
        assert ours[b].item() == pytest.approx(value, rel=1e-10)


def test_wasserstein_between_commuting_gaussians_is_the_distance_of_deviations() -> None:
    """Independent channels: mean (mu - mu')^2 + mean (s - s')^2, s^2 = sigma^2 + 1e-4: a closed form."""
    signs = torch.tensor([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], dtype=torch.float64)
    mu, sigma = torch.tensor([[1.0, 2.0, 3.0], [0.5, 1.0, 4.0]], dtype=torch.float64)
    mu_t, sigma_t = torch.tensor([[0.0, 2.5, 3.0], [2.0, 1.0, 0.25]], dtype=torch.float64)
    maps = (mu[:, None] + sigma[:, None] * signs)[None, :, None]
    style = (mu_t[:, None] + sigma_t[:, None] * signs)[None, :, None]
    expected = (
        (mu - mu_t).square().mean() + ((sigma**2 + 1e-4).sqrt() - (sigma_t**2 + 1e-4).sqrt()).square().mean()
    ).item()
    assert style_loss("wasserstein2", maps, style).item() == pytest.approx(expected, rel=1e-13)


def decaying(channels: int, positions: int, *, seed: int, power: float = 1.5) -> Tensor:
    """Maps whose covariance has a spectrum that falls like k^-power, as those of real networks do."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(channels, channels, generator=generator, dtype=torch.float64))
    spread = torch.arange(1, channels + 1, dtype=torch.float64) ** (-power / 2)
    white = torch.randn(channels, positions, generator=generator, dtype=torch.float64)
    return (2.0 + basis @ (spread[:, None] * white)).reshape(1, channels, 1, positions)


def covariance_trace(maps: Tensor) -> float:
    flat = maps.flatten(2).double()
    return float((flat - flat.mean(2, keepdim=True)).square().mean(2).sum())


@pytest.mark.parametrize(("channels", "positions"), [(64, 12), (48, 1), (100, 40)])
def test_wasserstein_with_more_channels_than_positions(channels: int, positions: int) -> None:
    style = decaying(channels, positions, seed=0)
    maps = style.clone().requires_grad_(True)
    cost = style_loss("wasserstein2", maps, style).sum()
    (gradient,) = torch.autograd.grad(cost, maps)
    assert abs(cost.item()) * channels <= 1e-9 * max(covariance_trace(style), 1.0)
    assert gradient.isfinite().all()
    other = decaying(channels, positions + 5, seed=1).requires_grad_(True)
    (gradient,) = torch.autograd.grad(style_loss("wasserstein2", other, style).sum(), other)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_wasserstein_of_dead_and_equal_channels_is_finite() -> None:
    style = rand(1, 6, 5, 5)
    style[:, 1] = 0.0
    style[:, 2] = style[:, 3]
    maps = rand(1, 6, 5, 5, seed=1)
    maps[:, 4] = 0.0
    maps.requires_grad_(True)
    cost = style_loss("wasserstein2", maps, style).sum()
    (gradient,) = torch.autograd.grad(cost, maps)
    assert math.isfinite(cost.item())
    assert gradient.isfinite().all()


def test_wasserstein_is_right_in_float32() -> None:
    """The precision that runs use: nothing against itself, and the loss and gradient of float64.

    Roots halve the digits: an eigenvalue of S that is sqrt(C eps) of the largest (0.4 % here) vanishes in
    the rounding of R S R if that is formed in float32, and real layers have most of theirs below that.
    """
    style, other = decaying(128, 1000, seed=0), decaying(128, 1000, seed=1)
    itself = style_loss("wasserstein2", style.float(), style.float()).item()
    assert abs(itself) * 128 <= 1e-3 * covariance_trace(style)

    def value_and_grad(maps: Tensor, target: Tensor) -> tuple[float, Tensor]:
        leaf = maps.clone().requires_grad_(True)
        cost = style_loss("wasserstein2", leaf, target).sum()
        return cost.item(), torch.autograd.grad(cost, leaf)[0].double()

    cost, gradient = value_and_grad(other.float(), style.float())
    exact_cost, exact_gradient = value_and_grad(other, style)
    assert cost == pytest.approx(exact_cost, rel=1e-2)
    assert ((gradient - exact_gradient).norm() / exact_gradient.norm()).item() < 1e-2


@pytest.mark.parametrize("form", ["mean", "relative"])
def test_silence_as_content_keeps_the_loss_finite(form: str) -> None:
    """One silent channel of a stereo sound has maps of zeros in a network without biases."""
    silent = torch.zeros(1, 4, 1, 10)
    maps = torch.ones_like(silent, requires_grad=True)
    cost = losses.content_distance(form, maps, silent).sum()
    (gradient,) = torch.autograd.grad(cost, maps)
    assert math.isfinite(cost.item())
    assert gradient.isfinite().all()


@pytest.mark.parametrize("form", ["gram_mean", "gram_relative"])
def test_silence_as_style_keeps_the_loss_finite(form: str) -> None:
    maps = torch.ones(1, 4, 1, 10, requires_grad=True)
    cost = style_loss(form, maps, torch.zeros(1, 4, 1, 10)).sum()
    (gradient,) = torch.autograd.grad(cost, maps)
    assert math.isfinite(cost.item())
    assert gradient.isfinite().all()
