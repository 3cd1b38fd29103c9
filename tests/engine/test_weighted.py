"""Weighted statistics against plain loops, whole and in tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from draws import rand
from engine.test_tiling import check, vgg
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine.grams import banded_gram, banded_relative_distance, gram
from specstyle.engine.losses import (
    Distance,
    Statistic,
    moments,
    portions,
    relative_distance,
    root_weights,
    wasserstein2_distance,
    wasserstein2_target,
)
from specstyle.engine.objective import StyleTerm, Term, mean_statistic
from specstyle.engine.tiles import tiled_means
from specstyle.features import VGG19


def test_weights_are_means_of_areas() -> None:
    mask = rand(1, 1, 12, 18)
    roots = root_weights(mask, 4, 6)
    areas = mask[0, 0].numpy().reshape(4, 3, 6, 3).mean((1, 3))
    np.testing.assert_allclose(roots[0, 0].square().numpy(), areas / areas.mean(), rtol=1e-12)
    with pytest.raises(ValueError, match="above 0"):
        root_weights(torch.zeros(1, 1, 4, 4), 2, 2)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_means_are_weighted_means(channels: int, height: int, width: int, seed: int) -> None:
    maps, mask = rand(2, channels, height, width, seed=seed), rand(1, 1, height, width, seed=seed + 1)
    roots = root_weights(mask, height, width)
    shares = (mask / mask.sum()).flatten().numpy()
    for b in range(2):
        vectors = maps[b].flatten(1).numpy().T
        second = sum(w * np.outer(f, f) for w, f in zip(shares, vectors, strict=True))
        first = sum(w * f for w, f in zip(shares, vectors, strict=True))
        np.testing.assert_allclose(mean_statistic(gram, maps, roots)[b].numpy(), second, atol=1e-12)
        both = mean_statistic(moments, maps, roots)[b].numpy()
        np.testing.assert_allclose(both, np.column_stack([second, first]), atol=1e-12)
        bands = mean_statistic(banded_gram(3), maps, roots)[b].numpy()
        np.testing.assert_allclose(bands.sum(0), second, atol=1e-12)


def test_a_hard_mask_is_a_crop_and_a_full_one_is_none() -> None:
    maps = rand(1, 4, 6, 10)
    mask = torch.zeros(1, 1, 6, 10, dtype=torch.float64)
    mask[..., 4:] = 0.3
    for statistic in (gram, moments):
        cropped = mean_statistic(statistic, maps[..., 4:])
        assert torch.allclose(mean_statistic(statistic, maps, root_weights(mask, 6, 10)), cropped, atol=1e-12)
        full = root_weights(torch.full_like(mask, 0.5), 6, 10)
        assert torch.allclose(mean_statistic(statistic, maps, full), mean_statistic(statistic, maps))


def test_portions() -> None:
    full, left = torch.ones(1, 1, 2, 4), torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 2, 4)
    assert portions([full], [3.0]) == pytest.approx([1.0])
    assert portions([left], [3.0]) == pytest.approx([0.5])
    assert portions([full, full], [3.0, 1.0]) == pytest.approx([0.75, 0.25])
    assert portions([left, 1 - left], [1.0, 1.0]) == pytest.approx([0.5, 0.5])
    assert portions([left, left], [1.0, 3.0]) == pytest.approx([0.125, 0.375])
    with pytest.raises(ValueError, match="above 0"):
        portions([full], [0.0])


def masked_terms(network: VGG19, style: Tensor, masks: list[Tensor], kind: str) -> list[Term]:
    kinds: dict[str, tuple[Statistic, Distance]] = {
        "gram": (gram, relative_distance),
        "bands": (banded_gram(3), banded_relative_distance),
        "wasserstein2": (moments, wasserstein2_distance),
    }
    statistic, distance = kinds[kind]
    made: list[Term] = []
    for layer, maps in network(style).items():
        target = mean_statistic(statistic, maps)
        target = wasserstein2_target(target) if kind == "wasserstein2" else target
        for number, mask in enumerate(masks):
            roots = root_weights(mask, *network.map_size(layer, *mask.shape[2:])[1:])
            made.append(StyleTerm(layer, 1.0 + number, target, statistic, distance, roots, str(number)))
    return made


@pytest.mark.parametrize("kind", ["gram", "bands", "wasserstein2"])
def test_tiles_give_the_whole_gradient_with_masks(kind: str) -> None:
    network = vgg("relu1_1", "relu2_1", "relu2_1@2")
    image, content = rand(1, 3, 75, 58), rand(1, 3, 75, 58, seed=1)
    masks = [rand(1, 1, 75, 58, seed=3) ** 3, torch.ones(1, 1, 75, 58, dtype=torch.float64)]
    masks[1][..., 20:] = 0.0
    made = masked_terms(network, rand(1, 3, 40, 61, seed=2), masks, kind)
    check(network, made, image, (None if kind == "bands" else 32, 16), content)


def test_no_gradient_through_the_network_where_a_mask_is_black() -> None:
    network = vgg("relu1_1")
    mask = torch.zeros(1, 1, 20, 30, dtype=torch.float64)
    mask[..., :10] = 1.0
    from specstyle.engine.objective import Objective

    made = masked_terms(network, rand(1, 3, 12, 14, seed=2), [mask], "gram")
    _, gradient = Objective(network, made).value_and_grad(rand(1, 3, 20, 30))
    assert float(gradient[..., 11:].abs().max()) == 0.0  # relu1_1 sees one pixel around itself
    assert float(gradient[..., :10].abs().max()) > 0.0


def test_tiled_means_with_weights() -> None:
    network, image = vgg("relu1_1", "relu3_1"), rand(1, 3, 50, 70)
    mask = rand(1, 1, 50, 70, seed=5)
    roots = {n: root_weights(mask, *network.map_size(n, 50, 70)[1:]) for n in ("relu1_1", "relu3_1")}
    maps = network(image)
    for name, mean in tiled_means(network, image, dict.fromkeys(roots, gram), (16, 24), roots).items():
        assert torch.allclose(mean, mean_statistic(gram, maps[name], roots[name]), rtol=1e-12)
