from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from draws import rand
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine.grams import banded_gram, banded_relative_distance, gram
from specstyle.engine.losses import (
    moments,
    relative_distance,
    wasserstein2_distance,
    wasserstein2_target,
)
from specstyle.engine.objective import ContentTerm, Objective, StyleTerm, Term, VariationTerm, mean_statistic
from specstyle.engine.tiles import tiled_means, tiles
from specstyle.engine.tiling import TiledObjective
from specstyle.engine.views import Seen, bare
from specstyle.features import VGG19, Weights, WideRandom
from specstyle.features.weights import LAYERS


def vgg(*layers: str, **options: object) -> Seen:
    generator = torch.Generator().manual_seed(0)
    tensors, channels_in = {}, 3
    for name in LAYERS:
        weight = torch.randn(3, channels_in, 3, 3, generator=generator, dtype=torch.float64) * 0.4
        tensors[name] = (weight, torch.full((3,), 0.2, dtype=torch.float64))
        channels_in = 3
    weights = Weights(tensors, "torchvision", "small random numbers", "")
    bare_layers = [bare(layer) for layer in layers]
    network = VGG19(weights, bare_layers, dtype=torch.float64, **options)  # type: ignore[arg-type]
    return Seen(lambda see, names: network.only(names), layers)


def terms(network: Any, content: Tensor, style: Tensor, *, kind: str = "gram") -> list[Term]:
    ours, theirs = network(content), network(style)
    made: list[Term] = []
    for number, layer in enumerate(ours):
        if kind == "gram":
            target = mean_statistic(gram, theirs[layer])
            made.append(StyleTerm(layer, 1.0 + number, target, gram, relative_distance))
        elif kind == "wasserstein2":
            target = wasserstein2_target(mean_statistic(moments, theirs[layer]))
            made.append(StyleTerm(layer, 1.0 + number, target, moments, wasserstein2_distance))
        else:
            statistic = banded_gram(3)
            target = mean_statistic(statistic, theirs[layer])
            made.append(StyleTerm(layer, 1.0 + number, target, statistic, banded_relative_distance))
    first, *_, last = [*ours, *ours]
    made.append(ContentTerm(first, 0.2, ours[first], "mean"))
    if first != last:
        made.append(ContentTerm(last, 0.7, ours[last], "relative"))
    made.append(VariationTerm(0.01, "nine_point", 3.0))
    return made


def for_tiles(made: list[Term]) -> list[Term]:
    return [dataclasses.replace(t, target=None) if isinstance(t, ContentTerm) else t for t in made]


def check(
    network: Any,
    made: list[Term],
    image: Tensor,
    size: tuple[int | None, int | None],
    content: Tensor,
    *,
    keep_content: bool = True,
) -> None:
    losses, gradient = Objective(network, made).value_and_grad(image)
    tiled = TiledObjective(network, for_tiles(made), size, content=content, keep_content=keep_content)
    tiled.value_and_grad(image * 0.5)
    found, tiled_gradient = tiled.value_and_grad(image)
    assert list(found) == list(losses)
    for name, loss in losses.items():
        assert float(found[name]) == pytest.approx(float(loss), rel=1e-12, abs=1e-14)
    assert float((tiled_gradient - gradient).norm() / gradient.norm()) < 1e-10
    assert tiled_gradient.shape == gradient.shape
    for name, loss in tiled.losses(image).items():
        assert float(loss) == pytest.approx(float(losses[name]), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("padding", ["zeros", "replicate", "replicate_first"])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize(
    "layers", [("relu1_1", "relu2_1", "relu3_1"), ("relu1_2", "relu2_1@2", "relu1_1@4"), ("relu1_1@2@local",)]
)
def test_tiles_give_the_whole_gradient(layers: tuple[str, ...], pooling: str, padding: str) -> None:
    network = vgg(*layers, pooling=pooling, padding=padding)
    image, content, style = rand(2, 3, 75, 58), rand(2, 3, 75, 58, seed=1), rand(2, 3, 40, 61, seed=2)
    check(network, terms(network, content, style), image, (32, 16), content)


def test_tiles_give_the_whole_gradient_down_to_relu5_1() -> None:
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    network = vgg(*layers)
    image, content, style = rand(1, 3, 237, 211), rand(1, 3, 237, 211, seed=1), rand(1, 3, 64, 80, seed=2)
    check(network, terms(network, content, style), image, (96, 112), content, keep_content=False)


@settings(deadline=None, max_examples=15)
@given(st.integers(16, 70), st.integers(16, 70), st.integers(1, 40), st.integers(1, 80))
def test_any_size_and_any_tile(height: int, width: int, tile_height: int, tile_width: int) -> None:
    network = vgg("relu1_1", "relu2_2")
    image, content = rand(1, 3, height, width), rand(1, 3, height, width, seed=1)
    made = terms(network, content, rand(1, 3, 20, 30, seed=2))
    check(network, made, image, (tile_height, tile_width), content, keep_content=height % 2 == 0)


@pytest.mark.parametrize("width", [1, 4, 11])
def test_wide_random_in_time(width: int) -> None:
    network = WideRandom(6, n_filters=7, width=width, dtype=torch.float64)
    image, content, style = rand(2, 1, 6, 97), rand(2, 1, 6, 97, seed=1), rand(2, 1, 6, 50, seed=2)
    for size in (13, 40, 96, 200):
        check(network, terms(network, content, style), image, (None, size), content)


@pytest.mark.parametrize("kind", ["wasserstein2", "bands"])
def test_other_statistics(kind: str) -> None:
    network = vgg("relu1_1", "relu2_1")
    image, content, style = rand(1, 3, 24, 67), rand(1, 3, 24, 67, seed=1), rand(1, 3, 24, 41, seed=2)
    check(network, terms(network, content, style, kind=kind), image, (None, 16), content)


def test_means_are_those_of_the_whole() -> None:
    network = vgg("relu1_1", "relu3_1")
    image = rand(2, 3, 51, 70)
    whole = network(image)
    for name, mean in tiled_means(network, image, {"relu1_1": gram, "relu3_1": gram}, (16, 24)).items():
        torch.testing.assert_close(mean, mean_statistic(gram, whole[name]), rtol=1e-12, atol=1e-12)


def test_a_smaller_margin_would_show() -> None:
    network = vgg("relu2_1")
    content = rand(1, 3, 48, 48, seed=1)
    made = terms(network, content, rand(1, 3, 40, 40, seed=2))
    network.halo = 1
    with pytest.raises(AssertionError):
        check(network, made, rand(1, 3, 48, 48), (16, 16), content)


def test_tiles_cover_each_pixel_once() -> None:
    network = vgg("relu3_1")
    seen = torch.zeros(61, 50)
    for tile in tiles(61, 50, (10, None), network):
        seen[tile.top : tile.bottom, tile.left : tile.right] += 1
        assert (tile.top % 4, tile.left) == (0, 0)
    assert bool((seen == 1).all())
    with pytest.raises(ValueError, match="a tile must be at least 1 pixel wide, got 0"):
        tiles(61, 50, (0, None), network)


def test_a_loss_that_needs_everything_at_once_refuses() -> None:
    class Histogram:
        name, weight = "histogram", 1.0

        def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
            return image.flatten(1).sort(1).values.sum(1)

    with pytest.raises(ValueError, match="the loss histogram needs all positions of the image at once"):
        TiledObjective(vgg("relu1_1"), [Histogram()], (16, 16))
    with pytest.raises(ValueError, match="content terms need the content's image"):
        TiledObjective(vgg("relu1_1"), [ContentTerm("relu1_1", 1.0, None, "mean")], (16, 16))
