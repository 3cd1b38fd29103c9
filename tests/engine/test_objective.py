from __future__ import annotations

import pytest
import torch
from draws import rand
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine.grams import gram
from specstyle.engine.losses import SquaredDistance, moments
from specstyle.engine.objective import (
    ContentTerm,
    Objective,
    StyleTerm,
    VariationTerm,
    blended,
    mean_statistic,
)
from specstyle.engine.variation import total_variation
from specstyle.recipes import Recipe
from specstyle.run.objective import build_objective


class Toy:
    """Two small layers, without borders: positions see their neighbors only."""

    stride, halo = 1, 1

    def __init__(self, channels: int = 1) -> None:
        self.first = rand(4, channels, 3, 3, seed=9) - 0.5
        self.second = rand(5, 4, 1, 1, seed=10) - 0.3

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        a = F.softplus(F.conv2d(F.pad(image, (1, 1, 1, 1), mode="circular"), self.first))
        return {"a": a, "b": F.softplus(F.conv2d(a, self.second))}

    def map_size(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        return {"a": 4, "b": 5}[layer], height, width


LOSSES = [
    {"content_loss": content, "style_loss": style}
    for content, style in (
        ("mean", "gram_mean"),
        ("sum", "gram_keras"),
        ("half_sum", "gram_gatys"),
        ("relative", "gram_relative"),
        ("mean", "wasserstein2"),
        ("mean", "gram_chw"),
        ("half_sum", "gram_sum"),
    )
]


def recipe(**changes: object) -> Recipe:
    base = Recipe(
        content_layers=("b",), style_layers=("a", "b"), content_weight=2.0, style_weight=3.0, tv_weight=0.1
    )
    return base.replace(**changes)


@pytest.mark.parametrize("forms", LOSSES, ids=lambda f: f["style_loss"])
def test_entries_of_a_batch_do_not_influence_each_other(forms: dict[str, str]) -> None:
    content, style, image = rand(3, 1, 8, 9), rand(3, 1, 8, 11, seed=1), rand(3, 1, 8, 9, seed=2)
    together, gradient = build_objective(recipe(**forms), Toy(), content, [style]).value_and_grad(image)
    sums = dict.fromkeys(together, 0.0)
    for b in range(3):
        one = slice(b, b + 1)
        objective = build_objective(recipe(**forms), Toy(), content[one], [style[one]])
        alone, alone_gradient = objective.value_and_grad(image[one])
        # Roots of covariances (wasserstein2) lose digits: 2e-10 was seen, and the worst is sqrt(eps), 1.5e-8.
        torch.testing.assert_close(gradient[one], alone_gradient, rtol=2e-8, atol=1e-14)
        sums = {name: sums[name] + loss.item() for name, loss in alone.items()}
    assert sums == pytest.approx({name: loss.item() for name, loss in together.items()}, rel=2e-8)


@pytest.mark.parametrize("forms", LOSSES, ids=lambda f: f["style_loss"])
def test_the_gradient_is_that_of_the_sum_of_the_losses(forms: dict[str, str]) -> None:
    content, style = rand(2, 1, 5, 6), rand(2, 1, 5, 6, seed=1)
    objective = build_objective(recipe(**forms, tv_loss="squared"), Toy(), content, [style])
    image = rand(2, 1, 5, 6, seed=2)
    _, gradient = objective.value_and_grad(image)
    for place in ((0, 0, 0, 0), (0, 0, 3, 4), (1, 0, 4, 5), (1, 0, 2, 0)):
        step = torch.zeros_like(image)
        step[place] = 1e-6
        ahead, behind = (sum(objective.losses(image + s * step).values()).item() for s in (1, -1))
        assert gradient[place].item() == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("forms", LOSSES, ids=lambda f: f["style_loss"])
def test_style_means_do_not_depend_on_length(forms: dict[str, str]) -> None:
    """A periodic image, repeated: the same statistics, so the same loss, on image and style."""
    image, style = rand(1, 1, 6, 7), rand(1, 1, 6, 7, seed=1)
    only_style = recipe(**forms, content_weight=0.0, tv_weight=0.0)

    def loss(repeats: int, style_repeats: int) -> float:
        long = image.repeat(1, 1, 1, repeats)
        objective = build_objective(only_style, Toy(), long, [style.repeat(1, 1, 1, style_repeats)])
        return sum(value.item() for value in objective.losses(long).values())

    # As above, sqrt(eps) for roots of covariances.
    assert loss(3, 1) == pytest.approx(loss(1, 1), rel=2e-8)
    assert loss(1, 4) == pytest.approx(loss(1, 1), rel=2e-8)


@pytest.mark.parametrize("form", ["mean", "relative"])
def test_the_balance_of_content_and_style_does_not_depend_on_length(form: str) -> None:
    content, style, image = rand(1, 1, 6, 7), rand(1, 1, 6, 7, seed=1), rand(1, 1, 6, 7, seed=2)
    settings = recipe(content_loss=form, style_loss="gram_relative", tv_loss="squared_mean")

    def losses(repeats: int) -> dict[str, float]:
        long = [x.repeat(1, 1, 1, repeats) for x in (content, image)]
        values = build_objective(settings, Toy(), long[0], [style]).losses(long[1])
        return {name: value.item() for name, value in values.items() if name != "tv"}

    assert losses(4) == pytest.approx(losses(1), rel=1e-10)


@pytest.mark.parametrize("forms", LOSSES, ids=lambda f: f["style_loss"])
def test_an_image_that_is_its_own_content_and_style_costs_nothing(forms: dict[str, str]) -> None:
    image = rand(2, 1, 6, 7)
    objective = build_objective(recipe(**forms, tv_weight=0.0), Toy(), image, [image])
    losses, gradient = objective.value_and_grad(image)
    energy = Toy()(image)["a"].square().sum().item()
    assert all(abs(loss.item()) < 1e-12 * energy for loss in losses.values())
    assert gradient.abs().max().item() < 1e-8


def test_two_equal_styles_are_one_style_and_only_ratios_of_the_blend_count() -> None:
    maps = [rand(1, 3, 4, 5), rand(1, 3, 6, 5, seed=1)]
    means = [gram(m) / (m.shape[2] * m.shape[3]) for m in maps]
    expected = 0.25 * means[0] + 0.75 * means[1]
    for blend in ((1.0, 3.0), (10.0, 30.0)):
        torch.testing.assert_close(blended(means, blend, batch=1), expected, rtol=1e-13, atol=0)
    twice = blended([means[0], means[0]], (1.0, 7.0), batch=1)
    torch.testing.assert_close(twice, means[0], rtol=1e-13, atol=0)


def test_channels_of_a_style_meet_channels_of_the_content_or_are_taken_together() -> None:
    style = rand(2, 3, 4, 5)
    each = blended([mean_statistic(moments, style)], [1.0], batch=2)
    torch.testing.assert_close(each, mean_statistic(moments, style))
    joined = torch.cat([style[:1], style[1:]], dim=3)
    for batch in (1, 3):
        together = blended([mean_statistic(moments, style)], [1.0], batch=batch)
        expected = mean_statistic(moments, joined).expand(batch, -1, -1)
        torch.testing.assert_close(together, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("blend", [(), (1.0,), (0.0, 0.0), (1.0, 1.0, 1.0)])
def test_a_blend_that_does_not_fit_is_refused(blend: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="blend needs one weight per style"):
        blended([rand(1, 2, 2)] * 2, blend, batch=1)


def test_terms_of_the_same_name_are_refused() -> None:
    term = VariationTerm(1.0, "squared")
    with pytest.raises(ValueError, match="different names"):
        Objective(None, [term, term])


def test_an_image_term_sees_the_range_that_is_optimized() -> None:
    image = rand(1, 3, 4, 5)
    term = VariationTerm(1.0, "absolute", pixel_range=255.0)
    expected = total_variation("absolute", 255.0 * image)
    torch.testing.assert_close(term(image, {}), expected)


def test_terms_weigh_and_name_themselves() -> None:
    maps = {"a": rand(1, 2, 3, 3)}
    content = ContentTerm("a", 4.0, torch.zeros(1, 2, 3, 3, dtype=torch.float64), "sum")
    style = StyleTerm("a", 0.5, torch.zeros(1, 2, 2, dtype=torch.float64), gram, SquaredDistance(1.0))
    objective = Objective(lambda _: maps, [content, style])  # type: ignore[arg-type]
    losses = objective.losses(rand(1, 1, 3, 3))
    assert losses["content:a"].item() == pytest.approx(4.0 * maps["a"].square().sum().item())
    mean = gram(maps["a"]) / 9
    assert losses["style:a"].item() == pytest.approx(0.5 * mean.square().sum().item())


def test_the_image_is_left_alone_and_needs_no_gradient_of_its_own() -> None:
    content, style, image = rand(1, 1, 5, 6), rand(1, 1, 5, 6, seed=1), rand(1, 1, 5, 6, seed=2)
    objective = build_objective(recipe(), Toy(), content, [style])
    before = image.clone()
    with torch.no_grad():
        losses, gradient = objective.value_and_grad(image)
    assert torch.equal(image, before)
    assert not image.requires_grad
    assert not gradient.requires_grad
    assert not any(loss.requires_grad for loss in losses.values())


def test_a_layer_named_twice_counts_twice_or_is_refused() -> None:
    """It must not lose weight in silence."""
    content, style, image = rand(1, 1, 5, 6), rand(1, 1, 5, 6, seed=1), rand(1, 1, 5, 6, seed=2)

    def style_loss(layers: tuple[str, ...]) -> float:
        settings = Recipe(style_layers=layers, content_weight=0.0, content_layers=("b",))
        losses = build_objective(settings, Toy(), content, [style]).losses(image)
        return sum(value.item() for value in losses.values())

    once = style_loss(("a",))
    try:
        twice = style_loss(("a", "a"))
    except ValueError:
        return
    assert twice == pytest.approx(once)


def test_the_style_blend_needs_one_weight_per_style() -> None:
    content, style = rand(1, 1, 5, 6), rand(1, 1, 5, 6, seed=1)
    with pytest.raises(ValueError, match="style_blend has 2 weights for 1 styles"):
        build_objective(recipe(style_blend=(1.0, 2.0)), Toy(), content, [style])


@pytest.mark.parametrize(
    ("strength", "groups"), [(0.0, {"content"}), (1.0, {"style"}), (0.5, {"content", "style"})]
)
def test_a_weight_of_nothing_leaves_the_group_out(strength: float, groups: set[str]) -> None:
    content, style = rand(1, 1, 5, 6), rand(1, 1, 5, 6, seed=1)
    settings = recipe(strength=strength, tv_weight=0.0)
    objective = build_objective(settings, Toy(), content, [style])
    assert {term.name.split(":")[0] for term in objective.terms} == groups
