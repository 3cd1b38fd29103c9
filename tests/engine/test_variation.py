from __future__ import annotations

import pytest
import torch
from draws import rand
from hypothesis import given
from hypothesis import strategies as st

from specstyle.engine.variation import CHROMA, FORMS, Part, total_variation


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tv_loss.*squared_mean or chroma, got 'l1'"):
        total_variation("l1", rand(1, 1, 2, 2))


def test_total_variations_against_loops() -> None:
    images = rand(2, 2, 4, 5)
    C, H, W = 2, 4, 5
    for b, x in enumerate(images.tolist()):
        sums = dict.fromkeys(("absolute", "power", "squared", "dx", "dy", "right", "below", "diagonal"), 0.0)

        def at(c: int, i: int, j: int, x: list[list[list[float]]] = x) -> float:
            return x[c][min(max(i, 0), H - 1)][min(max(j, 0), W - 1)]

        for c in range(C):
            for i in range(H):
                for j in range(W):
                    dx, dy = at(c, i, j + 1) - at(c, i, j), at(c, i + 1, j) - at(c, i, j)  # 0 at the border
                    sums["absolute"] += abs(dx) + abs(dy)
                    sums["dx"] += dx**2
                    sums["dy"] += dy**2
                    if i < H - 1 and j < W - 1:
                        sums["power"] += (dx**2 + dy**2) ** 1.25
                        sums["squared"] += 0.5 * (dx**2 + dy**2)
            for i in range(-1, H):
                for j in range(-1, W):
                    sums["diagonal"] += (at(c, i + 1, j + 1) - at(c, i, j)) ** 2
                    sums["diagonal"] += (at(c, i + 1, j) - at(c, i, j + 1)) ** 2
        straight = (sums["dx"] + sums["dy"]) / (C * H * W)
        nine = 2 * (straight / 3 + sums["diagonal"] / (C * (H + 1) * (W + 1)) / 12)
        means = sums["dx"] / (C * H * (W - 1)) + sums["dy"] / (C * (H - 1) * W)
        expected = {k: sums[k] for k in ("absolute", "power", "squared")}
        for form, value in {**expected, "nine_point": nine, "squared_mean": means}.items():
            assert total_variation(form, images)[b].item() == pytest.approx(value, rel=1e-12), form


def test_chroma_is_the_variation_of_color_differences_as_well() -> None:
    image = rand(2, 3, 5, 7)
    luma = (image * torch.tensor([0.299, 0.587, 0.114]).double()[:, None, None]).sum(1)
    plain = total_variation("squared_mean", image)
    colors = torch.stack([image[:, 2] - luma, image[:, 0] - luma], 1)
    expected = plain + CHROMA * total_variation("squared_mean", colors)
    torch.testing.assert_close(
        total_variation("chroma", image), expected, rtol=1e-6, atol=0
    )  # float32 weights
    gray = rand(1, 1, 5, 7)
    assert torch.equal(total_variation("chroma", gray), total_variation("squared_mean", gray))
    same = total_variation("chroma", gray.expand(-1, 3, -1, -1))
    torch.testing.assert_close(same, total_variation("squared_mean", gray))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 1, 6), (2, 1, 6, 1)])
def test_total_variation_of_one_row_or_column_is_finite(form: str, shape: tuple[int, ...]) -> None:
    image = rand(*shape).requires_grad_(True)
    value = total_variation(form, image)
    assert value.shape == shape[:1]
    assert value.isfinite().all()
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), image)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_total_variation_of_a_flat_image_is_zero_with_zero_gradient(form: str) -> None:
    image = torch.full((1, 3, 5, 6), 0.3, dtype=torch.float64, requires_grad=True)
    value = total_variation(form, image).sum()
    (gradient,) = torch.autograd.grad(value, image)
    assert value.item() == 0.0
    assert gradient.abs().max() == 0.0


@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_total_variation(form: str) -> None:
    image = rand(2, 2, 4, 5).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: total_variation(form, x), (image,))


@pytest.mark.parametrize("form", FORMS)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    rows=st.lists(st.integers(1, 8), max_size=3),
    columns=st.lists(st.integers(1, 8), max_size=3),
)
def test_the_shares_of_parts_add_up(
    form: str, height: int, width: int, rows: list[int], columns: list[int]
) -> None:
    image = rand(2, 3, height, width, seed=height * 10 + width)
    tops = sorted({0, *(r for r in rows if r < height)})
    lefts = sorted({0, *(c for c in columns if c < width)})
    total = torch.zeros(2, dtype=torch.float64)
    for top, bottom in zip(tops, [*tops[1:], height], strict=True):
        for left, right in zip(lefts, [*lefts[1:], width], strict=True):
            part = Part(height, width, top == 0, bottom == height, left == 0, right == width)
            # One row and one column more than its own, where there are any.
            total += total_variation(form, image[:, :, top : bottom + 1, left : right + 1], part)
    torch.testing.assert_close(total, total_variation(form, image), rtol=1e-12, atol=1e-14)
