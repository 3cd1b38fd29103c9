from __future__ import annotations

import itertools
import math

import pytest
import torch
from draws import rand
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.engine.canvas import (
    carry_up,
    noise_image,
    resize,
    resize_around,
    resize_memory,
    scale_shapes,
    sections,
)


@pytest.mark.parametrize(
    ("size", "smallest", "factor", "fixed_height", "shapes"),
    [
        ((512, 512), 128, math.sqrt(2.0), False, [(n, n) for n in (128, 181, 256, 362, 512)]),  # as published
        ((300, 600), 150, 2.0, False, [(75, 150), (150, 300), (300, 600)]),
        ((600, 300), 150, 2.0, False, [(150, 75), (300, 150), (600, 300)]),
        ((1025, 400), 100, 2.0, True, [(1025, 100), (1025, 200), (1025, 400)]),  # rows that are channels
        ((512, 256), None, 2.0, False, [(512, 256)]),
        ((512, 256), 513, 2.0, False, [(512, 256)]),
    ],
)
def test_scales(
    size: tuple[int, int], smallest: int | None, factor: float, fixed_height: bool, shapes: object
) -> None:
    assert scale_shapes(*size, smallest=smallest, factor=factor, fixed_height=fixed_height) == shapes


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.none() | st.integers(1, 3000),
    st.floats(1.01, 8.0),
    st.booleans(),
)
@settings(deadline=None, max_examples=200, database=None)
def test_scales_grow_to_the_full_size(
    height: int, width: int, smallest: int | None, factor: float, fixed: bool
) -> None:
    shapes = scale_shapes(height, width, smallest=smallest, factor=factor, fixed_height=fixed)
    assert shapes[-1] == (height, width)
    assert len(set(shapes)) == len(shapes)
    longest = [w if fixed else max(h, w) for h, w in shapes]
    assert longest == sorted(longest)
    assert all(h >= 1 and w >= 1 for h, w in shapes)
    if smallest is not None:
        assert all(side >= smallest for side in longest[:-1])
    if fixed:
        assert {h for h, _ in shapes} == {height}


def test_resize_keeps_a_flat_image_and_its_own_size() -> None:
    flat = torch.full((1, 3, 9, 7), 0.25, dtype=torch.float64)
    for size in ((18, 14), (4, 3), (9, 20)):
        assert resize(flat, *size).shape == (1, 3, *size)
        torch.testing.assert_close(resize(flat, *size), torch.full((1, 3, *size), 0.25).double())
    image = rand(1, 3, 9, 7)
    assert resize(image, 9, 7) is image


def test_resize_smooths_what_it_cannot_show() -> None:
    """One bright column in four is a quarter of the brightness at a quarter of the size."""
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    stripes[..., ::4] = 1.0
    small = resize(stripes, 16, 16)[..., 2:-2]
    assert (small - 0.25).abs().max() < 0.03


def test_adams_squares_stay_positive() -> None:
    spike = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    spike[0, 0, 3, 3] = 1.0  # bicubic interpolation swings below zero beside it
    moments = {"step": torch.tensor(7.0), "exp_avg": spike - 0.5, "exp_avg_sq": spike}
    larger = resize_memory(moments, 9, 9)
    assert torch.nn.functional.interpolate(spike, (9, 9), mode="bicubic").min() < 0
    assert larger["exp_avg_sq"].min() >= 0.0
    assert larger["exp_avg"].shape == larger["exp_avg_sq"].shape == (1, 1, 9, 9)
    assert float(larger["step"]) == 7.0
    assert larger["exp_avg"].min() < 0
    assert resize_memory({}, 9, 9) == {}


def test_what_lbfgs_remembers_is_resized_as_images_and_gradients_are() -> None:
    generator = torch.Generator().manual_seed(0)
    step, change = torch.rand(2, 1, 3, 6, 8, generator=generator)
    ((larger, larger_change),) = resize_memory({"pairs": [(step, change)]}, 12, 16)["pairs"]
    assert torch.equal(larger, resize(step, 12, 16))
    torch.testing.assert_close(larger_change * 4.0, resize(change, 12, 16))
    # A loss that is a mean over pixels changes along the step by as much as before.
    flat = torch.ones(1, 1, 6, 8)
    ((up, up_change),) = resize_memory({"pairs": [(flat, flat)]}, 12, 16)["pairs"]
    assert float((up * up_change).sum()) == pytest.approx(float((flat * flat).sum()), rel=1e-5)


def test_a_change_goes_up_on_the_larger_content() -> None:
    content, content_up = rand(1, 3, 8, 10), rand(1, 3, 16, 20, seed=1)
    assert torch.equal(carry_up(content, content, content_up, what="change"), content_up)
    brighter = carry_up(content + 0.125, content, content_up, what="change")
    torch.testing.assert_close(brighter, content_up + 0.125)
    image = rand(1, 3, 8, 10, seed=2)
    assert torch.equal(carry_up(image, content, content_up, what="image"), resize(image, 16, 20))
    with pytest.raises(ValueError, match=r"carry.*'nothing'"):
        carry_up(image, content, content_up, what="nothing")


def test_start_from_noise() -> None:
    content = torch.zeros(1, 3, 60, 70)

    def draw(seed: int, kind: str = "uniform", **options: object) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return noise_image(kind, content, generator=generator, **options)  # type: ignore[arg-type]

    uniform = draw(0, scale=255.0)
    assert uniform.dtype == content.dtype
    assert uniform.shape == content.shape
    assert uniform.min() >= 0.0
    assert 250.0 < uniform.max() <= 255.0
    # 12600 values: the mean's standard error is 0.26 % of the range.
    assert uniform.mean().item() == pytest.approx(127.5, rel=0.02)
    center = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    gaussian = draw(0, "gaussian", scale=1e-3, center=center)
    assert gaussian.mean((0, 2, 3)).tolist() == pytest.approx([0.1, 0.2, 0.3], abs=1e-4)
    assert gaussian.std((2, 3)).mean().item() == pytest.approx(1e-3, rel=0.05)
    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


def test_resizing_around_knows_no_border() -> None:
    """Rolled before or rolled after, it is the same picture."""
    image = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = resize_around(image, 16, 36)
    rolled = resize_around(image.roll((3, 5), (2, 3)), 16, 36)
    torch.testing.assert_close(rolled, plain.roll((6, 15), (2, 3)))
    assert not torch.allclose(plain, resize(image, 16, 36))


@given(st.integers(1, 5000), st.integers(2, 400), st.integers(0, 100))
def test_sections_are_alike_overlap_and_leave_nothing_out(width: int, longest: int, overlap: int) -> None:
    overlap = min(overlap, longest - 1)
    found = sections(width, longest, overlap)
    assert found[0][0] == 0
    assert found[-1][1] == width
    assert len({stop - start for start, stop in found}) == 1
    assert all(stop - start <= longest for start, stop in found)
    assert all(before[1] - after[0] >= overlap for before, after in itertools.pairwise(found))
    # One fewer would be too long.
    fewer = len(found) - 1
    assert fewer == 0 or fewer * longest - (fewer - 1) * overlap < width
