from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from specstyle.features import VGG19, Weights, random_weights
from specstyle.features.random import reference_images
from specstyle.features.vgg import prepare
from specstyle.features.weights import CHANNELS, LAYERS


@pytest.fixture(scope="module")
def three_blocks() -> Weights:
    return random_weights(0, up_to="relu3_1")


def filters(weights: Weights, name: str) -> np.ndarray:
    return weights.tensors[name][0].double().numpy().reshape(CHANNELS[name], -1)


def test_shapes_are_those_of_the_real_network() -> None:
    weights = random_weights(0, up_to="relu2_1")
    assert weights.layers == ("relu1_1", "relu1_2", "relu2_1")
    assert [tuple(w.shape) for w, _ in weights.tensors.values()] == [
        (64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3)
    ]  # fmt: skip
    assert weights.preprocessing == "torchvision"


@pytest.mark.parametrize("name", ["relu1_2", "relu2_1", "relu2_2", "relu3_1"])
def test_rows_are_orthogonal(three_blocks: Weights, name: str) -> None:
    rows = filters(three_blocks, name)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(unit @ unit.T, np.eye(len(unit)), atol=1e-5)  # float32


def test_columns_of_the_first_layer_are_orthonormal_up_to_the_rows_scale(three_blocks: Weights) -> None:
    """64 filters of 27 values cannot all be orthogonal; W = diag(scale) Q with Q^T Q = 1 instead."""
    rows = filters(three_blocks, "relu1_1")
    upper = np.triu_indices(27)
    # Linear in 1 / scale^2: sum_c w_ci w_cj / scale_c^2 = (i == j).
    equations = np.einsum("ci,cj->ijc", rows, rows)[upper]
    wanted = np.eye(27)[upper]
    inverse_squares, *_ = np.linalg.lstsq(equations, wanted, rcond=None)
    assert (inverse_squares > 0).all()
    np.testing.assert_allclose(equations @ inverse_squares, wanted, atol=1e-5)


def test_channels_are_centered_with_rms_one_on_the_reference_images(three_blocks: Weights) -> None:
    x = torch.cat([prepare(image.double(), "torchvision") for image in reference_images(0)])
    for name, (weight, bias) in three_blocks.tensors.items():
        if name.endswith("_1") and name != "relu1_1":
            x = F.avg_pool2d(x, 2)
        response = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight.double(), bias.double())
        x = response.relu()
        # Tensors and calibration are float32: sums over 37 thousand positions keep five digits.
        np.testing.assert_allclose(response.mean((0, 2, 3)), 0.0, atol=1e-4)
        np.testing.assert_allclose(x.square().mean((0, 2, 3)).sqrt(), 1.0, atol=1e-4)


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, two, other = (random_weights(seed, up_to="relu2_1") for seed in (3, 3, 4))
    for name in one.layers:
        for a, b in zip(one.tensors[name], two.tensors[name], strict=True):
            assert a.numpy().tobytes() == b.numpy().tobytes()
        assert not torch.equal(one.tensors[name][0], other.tensors[name][0])
    assert one.sha256 == two.sha256 != other.sha256
    assert "seed 3" in one.origin


def test_global_random_numbers_are_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    random_weights(0, up_to="relu1_1")
    assert torch.equal(torch.rand(3), expected)


def test_a_shallower_network_is_the_beginning_of_a_deeper_one(three_blocks: Weights) -> None:
    shallow = random_weights(0, up_to="relu1_2")
    for name in shallow.layers:
        assert torch.equal(shallow.tensors[name][0], three_blocks.tensors[name][0])


def test_the_whole_network_is_alive() -> None:
    weights = random_weights(0)
    assert weights.layers == LAYERS
    features = VGG19(weights, LAYERS, pooling="average", padding="replicate")
    with torch.no_grad():
        maps = [features(image) for image in reference_images(0)]
    for name in LAYERS:
        flat = torch.cat([m[name].flatten(2) for m in maps], dim=2)[0]
        assert flat.isfinite().all()
        np.testing.assert_allclose(flat.square().mean(1).sqrt().numpy(), 1.0, atol=1e-3)


def test_reference_images_are_pictures() -> None:
    images = reference_images(0, size=40)
    assert len(images) == 4
    for image in images:
        assert image.shape == (1, 3, 40, 40)
        assert image.min() >= 0.0
        assert image.max() <= 1.0
        assert image.std() > 0.02
    assert all(torch.equal(a, b) for a, b in zip(images, reference_images(0, size=40), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(images, reference_images(1, size=40), strict=True))
