from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from specstyle.media.structure import BLUR, content_left, edge_correlations


def picture(seed: int, height: int = 96, width: int = 128) -> torch.Tensor:
    noise = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


def edge_correlation(image: torch.Tensor, content: torch.Tensor, longest: int | None = None) -> float:
    return float(edge_correlations(image, content, longest=longest))


def test_a_picture_is_all_there_and_another_is_not() -> None:
    one = picture(0)
    assert edge_correlation(one, one) == pytest.approx(1.0, abs=1e-6)
    assert edge_correlation(1.0 - 0.5 * one, one) == pytest.approx(1.0, abs=1e-5)  # edges have no sign
    assert abs(edge_correlation(one, picture(1))) < 0.3  # some 200 blobs: correlations spread by 0.07
    assert edge_correlation(torch.full_like(one, 0.5), one) == 0.0


def test_a_batch_is_its_pictures_one_by_one_and_has_a_gradient() -> None:
    images, contents = (
        torch.cat([picture(0), picture(1)]).double(),
        torch.cat([picture(1), picture(2)]).double(),
    )
    found = edge_correlations(images, contents, longest=512)
    alone = [edge_correlation(i[None], c[None], longest=512) for i, c in zip(images, contents, strict=True)]
    assert found.tolist() == pytest.approx(alone, abs=1e-10)  # float64
    leaf = images[:1, :, :24, :24].clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: edge_correlations(x, contents[:1, :, :24, :24]), leaf)
    flat = torch.full_like(leaf, 0.5).requires_grad_(True)
    (gradient,) = torch.autograd.grad(edge_correlations(flat, contents[:1, :, :24, :24]).sum(), flat)
    assert gradient.isfinite().all()


def test_more_of_another_picture_is_less_of_the_first() -> None:
    one, other = picture(0), picture(1)
    left = [edge_correlation(torch.lerp(one, other, share), one) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert left == sorted(left, reverse=True)


def test_against_scipy() -> None:
    one, other = picture(0, 192, 256), picture(3, 192, 256)
    edges = []
    for image in (one, other):
        gray = np.tensordot([0.299, 0.587, 0.114], image[0].double().numpy(), 1)
        smooth = gaussian_filter(gray, 256 / BLUR, mode="mirror", radius=7)
        edges.append(np.hypot(np.diff(smooth, axis=1)[1:], np.diff(smooth, axis=0)[:, 1:]).ravel())
    assert edge_correlation(one, other) == pytest.approx(np.corrcoef(edges)[0, 1], abs=1e-4)


def test_what_is_soft_counts_beside_what_is_sharp() -> None:
    """A soft half that is lost is hardly missed among edges; here it is."""
    sharp, soft, other = (picture(seed) for seed in (0, 1, 2))
    left = torch.arange(128) < 64
    content = torch.where(left, sharp, 0.5 + 0.4 * (soft - 0.5))
    lost = torch.where(left, sharp, 0.5 + 0.4 * (other - 0.5))
    assert content_left(content, content) == pytest.approx(1.0, abs=1e-5)
    assert content_left(lost, content) < edge_correlation(lost, content) - 0.05
