from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from specstyle.features import VGG19, winograd
from specstyle.features.random import random_weights


def pieces(
    shape: tuple[int, int, int, int], out: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    batch, into, height, width = shape
    generator = torch.Generator().manual_seed(height * 31 + width)
    x = torch.randn(batch, into, height, width, generator=generator, dtype=dtype)
    weight = torch.randn(out, into, 3, 3, generator=generator, dtype=dtype) / (9 * into) ** 0.5
    return x, weight, torch.randn(out, generator=generator, dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(3, 23), st.integers(3, 23)),
    st.integers(1, 5),
    st.sampled_from([0, 1]),
    st.sampled_from([1, 3, 128]),
)
def test_result_and_gradient_are_those_of_a_direct_convolution(
    shape: tuple[int, int, int, int], out: int, padding: int, block: int
) -> None:
    x, weight, bias = pieces(shape, out)
    x.requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_BLOCK", block)
        found = winograd.convolve(x, winograd.transformed(weight), bias, padding=padding)
        expected = F.conv2d(x, weight, bias, padding=padding)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
        above = torch.randn_like(expected)
        ours, theirs = (torch.autograd.grad(y, x, above)[0] for y in (found, expected))
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_one_output_is_the_papers_sum() -> None:
    x, weight, bias = pieces((1, 2, 6, 6), 1)
    found = winograd.convolve(x, winograd.transformed(weight), bias, padding=0)
    by_hand = bias[0] + sum(
        x[0, c, 2 + i, 3 + j] * weight[0, c, i, j] for c in range(2) for i in range(3) for j in range(3)
    )
    assert float(found[0, 0, 2, 3]) == pytest.approx(float(by_hand), rel=1e-12)


@pytest.mark.parametrize(("into", "out", "side"), [(64, 128, 64), (256, 256, 33), (512, 512, 16)])
def test_float32_loses_little(into: int, out: int, side: int) -> None:
    x, weight, bias = pieces((1, into, side, side), out, torch.float32)
    x.relu_().requires_grad_()
    found = winograd.convolve(x, winograd.transformed(weight), bias, padding=1)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    assert float((found - exact).detach().norm() / exact.detach().norm()) < 2e-6
    # 6e-7 here and 1.3e-6 below with every set of instructions: of norms over thousands of values, only the
    # order of the sums differs.
    above = torch.randn_like(found)
    ours = torch.autograd.grad(found, x, above)[0]
    theirs = torch.autograd.grad(exact, x, above.double())[0]
    assert float((ours - theirs).norm() / theirs.norm()) < 4e-6


def test_maps_stay_channels_last_and_may_be_changed_in_place() -> None:
    x, weight, bias = pieces((2, 4, 9, 10), 6)
    x.requires_grad_()
    found = winograd.convolve(x, winograd.transformed(weight), bias, padding=1)
    assert found.is_contiguous(memory_format=torch.channels_last)
    F.relu_(found).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


def test_any_layout_of_maps_and_gradients_will_do() -> None:
    x, weight, bias = pieces((2, 4, 12, 11), 6)
    filters = winograd.transformed(weight)
    views = [
        x,
        x.contiguous(memory_format=torch.channels_last),
        x.transpose(2, 3).contiguous().transpose(2, 3),
    ]
    results = []
    for view in views:
        leaf = view.detach().requires_grad_()
        found = winograd.convolve(leaf, filters, bias, padding=1)
        found.sum().backward()  # a gradient of one value expanded
        results.append((found.detach(), leaf.grad))
    for found, gradient in results[1:]:
        torch.testing.assert_close(found, results[0][0])
        torch.testing.assert_close(gradient, results[0][1])


@pytest.mark.parametrize(
    ("shape", "side", "dtype", "expected"),
    [
        ((128, 128), 32, torch.float32, True),
        ((128, 128), 32, torch.float64, False),
        ((128, 128), 32, torch.bfloat16, False),
        ((64, 3), 512, torch.float32, False),
        ((512, 512), 4, torch.float32, False),
    ],
)
def test_where_it_is_worthwhile(
    shape: tuple[int, int], side: int, dtype: torch.dtype, expected: bool
) -> None:
    assert winograd.worthwhile(torch.empty(*shape, 3, 3, dtype=dtype), side**2) is expected


@pytest.mark.usefixtures("one_thread")  # with more of them, fewer layers are worthwhile
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padding", ["zeros", "replicate", "replicate_first"])
def test_vgg_is_the_same_with_and_without(
    monkeypatch: pytest.MonkeyPatch, padding: str, dtype: torch.dtype
) -> None:
    network = VGG19(random_weights(3), ["relu2_2", "relu3_2"], padding=padding, dtype=dtype)
    image = torch.rand(1, 3, 64, 52, generator=torch.Generator().manual_seed(0), dtype=dtype).requires_grad_()
    if dtype == torch.float64:
        plainly = winograd.worthwhile
        monkeypatch.setattr(winograd, "worthwhile", lambda weight, n: plainly(weight.float(), n))
    calls = []
    plain = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *a, **k: calls.append(1) or plain(*a, **k))
    fast = network(image)["relu3_2"]
    assert len(calls) == 5  # all but the first
    ours = torch.autograd.grad(fast.square().sum(), image)[0]
    monkeypatch.setattr(winograd, "worthwhile", lambda *_: False)
    slow = network(image)["relu3_2"]
    theirs = torch.autograd.grad(slow.square().sum(), image)[0]
    assert len(calls) == 5
    # 2e-6 and 4e-15 with every set of instructions, and more than ten times that.
    exact = dtype == torch.float64
    assert float((fast - slow).detach().norm() / slow.detach().norm()) < (5e-14 if exact else 5e-5)
    # A ReLU that is on in one and off in the other moves the gradient by a thousandth. In float32 some of
    # half a million are that near to 0, and how many is up to the processor; in float64 none is.
    if exact:
        assert float((ours - theirs).norm() / theirs.norm()) < 5e-14
