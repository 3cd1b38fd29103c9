from __future__ import annotations

import numpy as np
import scipy.linalg
import torch

from bench.colors import color_transfer


def test_it_is_the_optimal_map_between_gaussians() -> None:
    rng = np.random.default_rng(0)
    content = 0.5 + 0.05 * np.tensordot(rng.normal(size=(3, 3)), rng.normal(size=(3, 9, 7)), 1)
    style = 0.4 + 0.05 * np.tensordot(rng.normal(size=(3, 3)), rng.normal(size=(3, 8, 8)), 1)
    x, y = content.reshape(3, -1), style.reshape(3, -1)
    a, b = np.cov(x), np.cov(y)
    root = np.real(scipy.linalg.sqrtm(a))
    move = np.linalg.inv(root) @ np.real(scipy.linalg.sqrtm(root @ b @ root)) @ np.linalg.inv(root)
    expected = move @ (x - x.mean(1, keepdims=True)) + y.mean(1, keepdims=True)
    found = color_transfer(torch.from_numpy(content), torch.from_numpy(style)).numpy().reshape(3, -1)
    assert np.allclose(found, np.clip(expected, 0.0, 1.0), atol=1e-5)


def test_colors_become_the_styles_and_a_flat_picture_stays_finite() -> None:
    generator = torch.Generator().manual_seed(0)
    content = 0.5 + 0.05 * torch.randn(3, 20, 20, generator=generator)
    style = torch.tensor([0.6, 0.5, 0.3])[:, None, None] + 0.04 * torch.randn(3, 9, 30, generator=generator)
    made = color_transfer(content, style).flatten(1)
    assert torch.allclose(made.mean(1), style.flatten(1).mean(1), atol=1e-4)
    assert torch.allclose(torch.cov(made), torch.cov(style.flatten(1)), atol=1e-5)
    flat = color_transfer(torch.full((3, 8, 8), 0.3), style)
    assert torch.allclose(flat.flatten(1).mean(1), style.flatten(1).mean(1), atol=1e-3)
