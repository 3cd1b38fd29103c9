"""The kernel seen from landmarks, against its formula in plain loops and many random filters."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine.grams import gram
from specstyle.engine.losses import content_distance, relative_distance
from specstyle.engine.objective import mean_statistic
from specstyle.features.landmarks import LandmarkKernel, arc_cosine_kernel, width_of, window_sums
from specstyle.features.random import WideRandom


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


def style_loss(x: Tensor, s: Tensor, width: int) -> float:
    """The squared maximum mean discrepancy of the kernel's square, relative to the style's own."""
    center = s.mean(3, keepdim=True)
    own, style = patches(x, center, width), patches(s, center, width)

    def mean_square(p: list[Tensor], q: list[Tensor]) -> float:
        return sum(kernel_of(a, b) ** 2 for a in p for b in q) / (len(p) * len(q))

    ss = mean_square(style, style)
    return (mean_square(own, own) - 2 * mean_square(own, style) + ss) / ss


def content_loss(x: Tensor, c: Tensor, center: Tensor, width: int) -> float:
    own, target = patches(x, center, width), patches(c, center, width)
    distance = sum(float(a @ a + b @ b) - 2 * kernel_of(a, b) for a, b in zip(own, target, strict=True))
    return distance / sum(float(b @ b) for b in target)


def relative_gram(network: LandmarkKernel, layer: str, x: Tensor, s: Tensor) -> Tensor:
    own, style = (mean_statistic(gram, network(image)[layer]) for image in (x, s))
    return relative_distance(own, style)


@pytest.mark.parametrize("width", [1, 2, 8])
def test_losses_are_the_formulas_in_plain_loops_where_all_patches_are_landmarks(width: int) -> None:
    x, s = images(17, 17)
    layer = f"kernel{width}"
    network = LandmarkKernel(x, [s], layers=(layer, f"{layer}+rest"))
    # Directions below a millionth of the largest eigenvalue are left out.
    assert relative_gram(network, layer, x, s).item() == pytest.approx(style_loss(x, s, width), rel=1e-3)
    own, target = (network(image)[f"{layer}+rest"] for image in (s, x))
    loss = content_distance("relative", own, target).item()
    assert loss == pytest.approx(content_loss(s, x, s.mean(3, keepdim=True), width), rel=1e-2)


def test_what_no_landmark_spans_counts_for_the_content() -> None:
    """The rest of a patch's square, which its own channel holds: a feature vector is as long as its patch."""
    c, s, other = images(12, 12, 12, bins=40)
    network = LandmarkKernel(c, [s], layers=("kernel2", "kernel2+rest"))
    maps = network(other)
    squares = torch.tensor([float(p @ p) for p in patches(other, s.mean(3, keepdim=True), 2)])
    torch.testing.assert_close(maps["kernel2+rest"].square().sum(1)[0, 0].float(), squares, rtol=1e-4, atol=0)
    assert (maps["kernel2"].square().sum(1)[0, 0] < 0.999 * squares).all()


def test_it_is_the_limit_of_many_random_filters() -> None:
    x, s = images(15, 15, bins=5)
    center = s.mean(3, keepdim=True)
    random = WideRandom(5, n_filters=8000, width=2, dtype=torch.float64)
    own, style = random(x - center)["relu1"], random(s - center)["relu1"]
    finite = relative_distance(mean_statistic(gram, own), mean_statistic(gram, style)).item()
    network = LandmarkKernel(x, [s], layers=("kernel2",))
    # 8000 filters: a relative error of about sqrt(2 / 8000) in each Gram entry.
    assert relative_gram(network, "kernel2", x, s).item() == pytest.approx(finite, rel=0.06)


def test_gradients_are_those_of_finite_differences() -> None:
    x, s = images(9, 11, bins=3)
    network = LandmarkKernel(x, [s], layers=("kernel1", "kernel2+rest"), dtype=torch.float64)
    leaf = images(9, bins=3, seed=5)[0].requires_grad_(True)

    def loss(image: Tensor) -> Tensor:
        return torch.stack([maps.square().sum() for maps in network(image).values()])

    assert torch.autograd.gradcheck(loss, (leaf,))


def test_equal_patches_have_a_finite_gradient() -> None:
    """There autograd through arccos is infinite, and the root of what is left would be."""
    (x,) = images(10)
    network = LandmarkKernel(x, [x], layers=("kernel2", "kernel8+rest"))
    target = {name: maps.detach() for name, maps in network(x).items()}
    leaf = x.clone().requires_grad_(True)
    sum((maps - target[name]).square().sum() for name, maps in network(leaf).items()).backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().max() < 1e-5


def test_silence_is_finite() -> None:
    (s,) = images(40)
    network = LandmarkKernel(s, [s])
    silence = torch.zeros_like(s).requires_grad_(True)
    loss = sum(relative_gram(network, layer, silence, s).sum() for layer in network.layers)
    loss.backward()
    assert silence.grad is not None
    assert torch.isfinite(silence.grad).all()


def test_patches_as_long_as_the_shortest_image_stand_for_longer_ones() -> None:
    x, s = images(5, 20)
    network = LandmarkKernel(x, [s])
    maps = network(s)
    assert network.widths == (2,)
    assert torch.equal(maps["kernel32"], maps["kernel2"])
    for layer in network.layers:
        assert tuple(maps[layer].shape[1:]) == network.map_size(layer, 6, 20)


def test_a_circle_has_one_position_for_each_frame() -> None:
    (s,) = images(30)
    network = LandmarkKernel(s, [s], layers=("kernel2", "kernel8"), loop=True)
    around = torch.cat([s, s[..., : network.halo]], 3)
    for shift in (0, 11):
        turned = s.roll(shift, 3)
        maps = network(torch.cat([turned, turned[..., : network.halo]], 3))
        for layer, found in maps.items():
            assert found.shape[3] == 30
            torch.testing.assert_close(found, network(around)[layer].roll(shift, 3), rtol=1e-6, atol=1e-8)


def test_channels_are_seen_from_their_own_mean_and_other_numbers_of_them_from_the_common_one() -> None:
    both = torch.cat(images(20, 20), 0)
    network = LandmarkKernel(both, [both + torch.tensor([0.0, 1.0])[:, None, None, None]])
    assert network(both)["kernel2"].shape[0] == 2
    assert network(both[:1])["kernel2"].shape[0] == 1


def test_landmarks_of_a_long_sound_are_few_and_explain_it() -> None:
    generator = torch.Generator().manual_seed(0)
    two = torch.rand(2, 8, generator=generator)
    image = two[(torch.arange(2000) // 500) % 2].T[None, None] + 0.01 * torch.rand(
        1, 1, 8, 2000, generator=generator
    )
    network = LandmarkKernel(image, [image], layers=("kernel2+rest",))
    maps = network(image)["kernel2+rest"]
    assert maps.shape[1] <= 2 * 4 * 64
    assert (maps[:, -1].square() < 0.01 * maps.square().sum(1)).all()


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


@pytest.mark.parametrize(("layer", "width"), [("kernel2", 2), ("kernel32+rest", 32), ("kernel3", None)])
def test_layers_are_named_by_their_width(layer: str, width: int | None) -> None:
    assert width_of(layer) == width
