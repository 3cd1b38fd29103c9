from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from draws import rand
from torch import Tensor

from specstyle.features import WideRandom


def filters_of(seed: int, n: int, rows: int, width: int) -> Tensor:
    """Unit Gaussians, from torch's generator."""
    return torch.randn(n, rows, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 1, 6, 15), (2, 3, 2, 12)])
def test_maps_against_loops(shape: tuple[int, ...]) -> None:
    """Rows of all colors are channels: color by color, and row by row within a color."""
    image = rand(*shape) - 0.3
    batch, colors, height, frames = shape
    network = WideRandom(colors * height, seed=4, n_filters=5, width=4, dtype=torch.float64)
    weights = filters_of(4, 5, colors * height, 4) * math.sqrt(2.0 / (colors * height * 4))
    maps = network(image)["relu1"]
    assert maps.shape == (batch, 5, 1, frames - 3)
    for b in range(batch):
        for o in range(5):
            for t in range(frames - 3):
                total = 0.0
                for c in range(colors):
                    for h in range(height):
                        for k in range(4):
                            weight = float(weights[o, c * height + h, k])
                            total += weight * float(image[b, c, h, t + k])
                # The filters are float32 on both sides, the products are not.
                assert maps[b, o, 0, t].item() == pytest.approx(max(total, 0.0), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    ("scaling", "variance"),
    [("fan_in", 2.0 / (20 * 11)), ("fan_avg", 2.0 * 2.0 / ((20 + 600) * 11))],
)
def test_the_spread_of_the_filters(scaling: str, variance: float) -> None:
    network = WideRandom(20, seed=1, n_filters=600, scaling=scaling)
    expected = filters_of(1, 600, 20, 11) * math.sqrt(variance)
    torch.testing.assert_close(network._filters, expected, rtol=1e-6, atol=0)
    # 132 thousand values: their deviation is known to 0.2 %.
    assert network._filters.std().item() == pytest.approx(math.sqrt(variance), rel=0.01)


def test_the_published_figures_are_the_defaults() -> None:
    network = WideRandom(3)
    assert network._filters.shape == (4096, 3, 11)
    assert network.width == 11
    assert (network.stride, network.halo) == (1, 10)


def test_the_spread_does_not_depend_on_the_clip() -> None:
    network = WideRandom(6, seed=0, n_filters=8, dtype=torch.float64)
    long = rand(1, 1, 6, 60)
    whole = network(long)["relu1"]
    part = network(long[..., 20:40])["relu1"]
    torch.testing.assert_close(part, whole[..., 20:30], rtol=1e-12, atol=1e-13)


def test_seeds() -> None:
    one, two, other = (WideRandom(6, seed=seed, n_filters=8) for seed in (0, 0, 1))
    assert torch.equal(one._filters, two._filters)
    assert one.sha256() == two.sha256() != other.sha256()
    assert one.sha256() == hashlib.sha256(one._filters.numpy().tobytes()).hexdigest()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    WideRandom(6, n_filters=8)
    assert torch.equal(torch.rand(3), expected)


def test_silence_is_silent() -> None:
    assert WideRandom(6, n_filters=8)(torch.zeros(1, 1, 6, 20))["relu1"].abs().max() == 0.0


def test_other_rows_are_refused() -> None:
    network = WideRandom(6, n_filters=8)
    with pytest.raises(ValueError, match=r"6 rows.*\[1, 1, 7, 20\].*same height"):
        network(torch.zeros(1, 1, 7, 20))
    assert network(torch.zeros(1, 3, 2, 20))["relu1"].shape == (1, 8, 1, 10)


@pytest.mark.parametrize("frames", [1, 5, 10])
def test_a_short_clip_is_repeated_at_its_end(frames: int) -> None:
    network = WideRandom(6, n_filters=8, dtype=torch.float64)
    clip = rand(2, 1, 6, frames)
    longer = torch.cat([clip, clip[..., -1:].repeat(1, 1, 1, 11 - frames)], dim=3)
    assert torch.equal(network(clip)["relu1"], network(longer)["relu1"])
    assert network(clip)["relu1"].shape == (2, 8, 1, 1)


def test_entries_of_a_batch_are_alone() -> None:
    network = WideRandom(6, n_filters=8, dtype=torch.float64)
    clips = rand(3, 1, 6, 20)
    whole = network(clips)["relu1"]
    for b in range(3):
        torch.testing.assert_close(network(clips[b : b + 1])["relu1"][0], whole[b], rtol=1e-12, atol=1e-14)


def test_gradients_reach_every_frame() -> None:
    network = WideRandom(3, n_filters=6, width=3, dtype=torch.float64)
    image = rand(1, 1, 3, 7).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: network(x)["relu1"], (image,))
    (gradient,) = torch.autograd.grad(network(image)["relu1"].sum(), image)
    assert (gradient.abs().sum((0, 1, 2)) > 0).all()


def test_unknown_scaling_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fan_in or fan_avg, got 'xavier'"):
        WideRandom(6, scaling="xavier")


def test_maps_have_energy_whatever_the_rows() -> None:
    """He scaling: inputs of unit energy give responses of variance 2, so mean squares of 1 after the ReLU."""
    for rows in (8, 200):
        network = WideRandom(rows, n_filters=2000, width=5)
        noise = torch.randn(1, 1, rows, 60, generator=torch.Generator().manual_seed(0))
        assert network(noise)["relu1"].square().mean().item() == pytest.approx(1.0, rel=0.1)
        assert np.isfinite(network(noise)["relu1"].numpy()).all()


@pytest.mark.parametrize("length", [511, 512, 700])
def test_long_images_are_convolved_as_short_ones_are(length: int) -> None:
    network = WideRandom(5, n_filters=6, width=7, dtype=torch.float64)
    image = torch.rand(2, 1, 5, length, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = network(image)["relu1"]
    parts = [network(image[..., start : start + 56])["relu1"] for start in range(0, length - 56, 50)]
    for number, part in enumerate(parts):
        torch.testing.assert_close(whole[..., 50 * number : 50 * number + 50], part, rtol=1e-12, atol=1e-12)
    assert whole.shape == (2, 6, 1, length - 6)
