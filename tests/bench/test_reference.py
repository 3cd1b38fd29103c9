"""The textbook loop has the value and the gradient of what it is compared with."""

from __future__ import annotations

import pytest
import torch

from bench.cases import PICTURE_ROWS, SOUND_ROWS, Row, make_case, make_request
from bench.inputs import pictures, sounds
from bench.options import Options
from bench.reference import Reference


@pytest.mark.parametrize("row", [*PICTURE_ROWS, *SOUND_ROWS], ids=lambda row: row.name)
def test_value_and_gradient_agree(row: Row) -> None:
    options = Options()
    if row.medium == "image":
        name, content, style = pictures(1, 64, None)[0]
    else:
        name, content, style = sounds(1, 0.5, None)[0]
    case = make_case(name, make_request(row, content, style, options, size=64))
    generator = torch.Generator().manual_seed(0)
    image = case.content + 0.05 * torch.rand(case.content.shape, generator=generator)
    losses, gradient = case.objective.value_and_grad(image)
    leaf = image.clone().requires_grad_(True)
    loss = Reference(case).loss(leaf)
    loss.backward()
    assert leaf.grad is not None
    assert float(loss.detach()) == pytest.approx(float(torch.stack(list(losses.values())).sum()), rel=1e-4)
    # Single-precision sums over positions in another order; ReLUs that flip at 0 do the rest. One of the 143
    # thousand of wide-random moves the gradient by about 1 / sqrt(143e3), and one lies 4e-8 from 0.
    tolerance = 1e-2 if row.network in ("kernel", "wide-random") else 1e-3
    assert float((leaf.grad - gradient).norm() / gradient.norm()) < tolerance


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_it_descends(method: str) -> None:
    _, content, style = pictures(1, 64, None)[0]
    case = make_case("x", make_request(PICTURE_ROWS[1], content, style, Options(), size=64))
    seen: list[float] = []
    last = Reference(case).run(method, 8, lambda loss, _: seen.append(loss))
    assert len(seen) >= 8
    assert seen[-1] < seen[0]
    assert last.shape == case.content.shape
