"""The textbook loop has the value and the gradient of what it is compared with."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench.cases import PICTURE_ROWS, SOUND_ROWS, Case, Row, make_case, make_request
from bench.inputs import pictures, sounds
from bench.options import Options
from bench.reference import Reference
from specstyle.engine.views import Seen
from specstyle.run.objective import build_objective, network_for
from specstyle.run.settle import layers_in_use


@pytest.mark.parametrize("row", [*PICTURE_ROWS, *SOUND_ROWS], ids=lambda row: row.name)
def test_value_and_gradient_agree(row: Row) -> None:
    case = small_case(row)
    image = near(case.content)
    losses, gradient = case.objective.value_and_grad(image)
    value, expected = plainly(case, image)
    # Some 1e-6 for each of a few convolutions and for the sums. The value is continuous: a ReLU that is on in
    # one and off in the other changes nothing.
    assert value == pytest.approx(sum(map(float, losses.values())), rel=1e-4)
    # The gradient is not: one such ReLU in a deep layer, of which 64 pixels leave 16 positions, moves it by
    # up to 3e-3, and which of a million are within rounding of 0 is up to the processor. One may be; not ten.
    assert distance(expected, gradient) < 3e-2
    # In doubles it would have to be within some 1e-14. Both sides are off by 1e-15 to 4e-15 there, and 100
    # times that is allowed.
    tolerance = 4e-13
    exact = in_float64(case)
    image = near(exact.content)
    losses, gradient = exact.objective.value_and_grad(image)
    value, expected = plainly(exact, image)
    assert value == pytest.approx(sum(map(float, losses.values())), rel=tolerance)
    assert distance(expected, gradient) < tolerance


def plainly(case: Case, image: Tensor) -> tuple[float, Tensor]:
    """The reference's value and gradient."""
    leaf = image.clone().requires_grad_(True)
    loss = Reference(case).loss(leaf)
    loss.backward()
    assert leaf.grad is not None
    return float(loss.detach()), leaf.grad


def distance(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def small_case(row: Row) -> Case:
    if row.medium == "image":
        name, content, style = pictures(1, 64, None)[0]
    else:
        name, content, style = sounds(1, 0.5, None)[0]
    return make_case(name, make_request(row, content, style, Options(), size=64))


def near(content: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return content + 0.05 * torch.rand(content.shape, generator=generator, dtype=content.dtype)


def in_float64(case: Case) -> Case:
    """The same images, weights and terms, and what is computed of them, in doubles."""
    recipe, session = case.recipe, copy.copy(case.session)
    session.content = replace(session.content, image=session.content.image.double())
    session.styles = [style.double() for style in session.styles]
    reference = None if session.reference is None else session.reference.double()
    content, styles = session.content.image, session.styles
    network = network_for(recipe, case.request, device=session.device, dtype=torch.float64)
    features = Seen(
        lambda see, names: network.fitted(see, names, content, styles),
        layers_in_use(recipe),
        lambda name: session.medium.view(name, session.content),
    )
    objective = build_objective(recipe, features, content, styles, reference=reference)
    return replace(case, session=session, objective=objective)


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_it_descends(method: str) -> None:
    _, content, style = pictures(1, 64, None)[0]
    case = make_case("x", make_request(PICTURE_ROWS[1], content, style, Options(), size=64))
    seen: list[float] = []
    last = Reference(case).run(method, 8, lambda loss, _: seen.append(loss))
    assert len(seen) >= 8
    assert seen[-1] < seen[0]
    assert last.shape == case.content.shape
