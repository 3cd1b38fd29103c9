from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from specstyle.features import overlapsave, wide
from specstyle.features.overlapsave import BlockConvolution
from specstyle.features.wide import WideRandom


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6)),
    width=st.integers(1, 13),
    more=st.integers(0, 70),
    group=st.integers(1, 4),
    rectify=st.booleans(),
)
def test_maps_and_gradient_are_those_of_a_convolution(
    sizes: tuple[int, int, int], width: int, more: int, group: int, *, rectify: bool
) -> None:
    """Blocks that are not full, a single one, groups of them that end within a batch entry."""
    batch, rows, n_filters = sizes
    filters, images = randn(n_filters, rows, width), randn(batch, rows, width + more, seed=1)
    expected, found = (images.clone().requires_grad_(True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlapsave, "GROUP", group)
        patch.setattr(overlapsave, "_SLICE", 4)
        ours = BlockConvolution(filters)(found, rectify=rectify)
        theirs = F.conv1d(expected, filters)
        theirs = theirs.relu() if rectify else theirs
        upstream = randn(*theirs.shape, seed=2)
        (ours * upstream).sum().backward()  # type: ignore[no-untyped-call]
    (theirs * upstream).sum().backward()  # type: ignore[no-untyped-call]
    # Transforms of up to 26 values, products of up to 65: float64 leaves twelve digits.
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("frames", [4, 9, 23])
def test_gradcheck(frames: int) -> None:
    convolve = BlockConvolution(randn(3, 2, 4))
    images = randn(2, 2, frames, seed=1).requires_grad_(True)
    assert torch.autograd.gradcheck(convolve, (images,))


def test_float32_loses_no_more_than_a_convolution_does() -> None:
    filters, images = randn(200, 100, 11), randn(2, 100, 90, seed=1).relu()
    exact = F.conv1d(images, filters)
    single, short = filters.float(), images.float()
    errors = [
        float((found.double() - exact).norm() / exact.norm())
        for found in (BlockConvolution(single)(short), F.conv1d(short, single))
    ]
    # Measured: 4e-7 and 2e-7. Sums of 1100 products at 6e-8 each would be off by 2e-6 at most.
    assert errors[0] < 1e-6
    assert errors[0] < 5 * errors[1]


@pytest.fixture(scope="module")
def networks() -> tuple[WideRandom, WideRandom]:
    """The smallest network that convolves in blocks, and the same one in float64, which does not."""
    options = {"seed": 3, "n_filters": 1024, "width": 8}
    assert wide._MANY == 1024 * 128 * 8
    return WideRandom(128, **options), WideRandom(128, dtype=torch.float64, **options)


@pytest.mark.parametrize("shape", [(1, 1, 128, 100), (2, 2, 64, 33), (1, 1, 128, 3), (1, 1, 128, 600)])
def test_a_large_network_is_what_it_was(
    networks: tuple[WideRandom, WideRandom], shape: tuple[int, ...]
) -> None:
    found = []
    for network in networks:
        image = torch.rand(shape, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
        maps = network(image)["relu1"]
        (gradient,) = torch.autograd.grad(maps.double().square().sum(), image)
        found.append((maps.detach().double(), gradient.double()))
    for ours, exact in zip(*found, strict=True):
        assert ours.shape == exact.shape
        # Float32 leaves six digits; where a map is 0 in one of them only, it is 1e-7 in the other.
        assert float((ours - exact).norm() / exact.norm()) < 2e-6


def test_silence_between_sounds_is_silent(networks: tuple[WideRandom, WideRandom]) -> None:
    """As in a convolution frame by frame; it has no gradient, of which Adam would make steps."""
    image = torch.rand(2, 1, 128, 90, generator=torch.Generator().manual_seed(0))
    image[0, ..., 30:50] = image[1, ..., 80:] = 0.0
    leaf = image.requires_grad_(True)
    maps = networks[0](leaf)["relu1"]
    silent = networks[1](image)["relu1"] == 0.0
    assert maps[0, ..., 30:43].eq(0.0).all()
    assert maps[1, ..., 80:].eq(0.0).all()
    assert float((maps.eq(0.0) == silent).float().mean()) > 0.9999
    (gradient,) = torch.autograd.grad(maps.sum(), leaf)
    assert gradient[0, ..., 37:43].eq(0.0).all()
    assert gradient[1, ..., 87:].eq(0.0).all()


def test_a_large_network_does_not_keep_its_filters_twice(networks: tuple[WideRandom, WideRandom]) -> None:
    blocks, direct = networks
    assert blocks._blocks is not None
    assert blocks._filters.numel() == 0
    assert direct._blocks is None
    assert blocks.sha256() == direct.sha256()
    torch.testing.assert_close(blocks.filters(), direct._filters.float(), rtol=0, atol=0)


def test_what_stays_a_plain_convolution() -> None:
    for network in (
        WideRandom(127, n_filters=1024, width=8),
        WideRandom(4096, n_filters=1024, width=4),
        WideRandom(128, n_filters=1024, width=8, dtype=torch.bfloat16),
    ):
        assert network._blocks is None


def test_the_same_maps_every_time(networks: tuple[WideRandom, WideRandom]) -> None:
    image = torch.rand(1, 1, 128, 70, generator=torch.Generator().manual_seed(0))
    first = networks[0](image)["relu1"]
    networks[0](torch.rand(2, 1, 128, 900))
    assert torch.equal(networks[0](image)["relu1"], first)
