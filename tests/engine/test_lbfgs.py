from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch
from draws import rand
from torch import Tensor

from specstyle.engine import lbfgs as lbfgs_module
from specstyle.engine.lbfgs import FIRST_STEP, Memory, minimize


def curved(n: int, seed: int = 0) -> np.ndarray:
    """A symmetric positive definite matrix."""
    root = np.random.default_rng(seed).normal(size=(n, n))
    return root @ root.T + 0.1 * np.eye(n)


def dense_inverse(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The BFGS update of the inverse Hessian, in full matrices (Nocedal & Wright 2006, equation 6.17)."""
    s, y = pairs[-1]
    n = len(s)
    inverse = (s @ y) / (y @ y) * np.eye(n)
    for step, change in pairs:
        rho = 1.0 / (change @ step)
        left = np.eye(n) - rho * np.outer(step, change)
        inverse = left @ inverse @ left.T + rho * np.outer(step, step)
    return inverse


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_product_is_that_of_the_dense_matrix(count: int) -> None:
    rng, hessian = np.random.default_rng(1), curved(8)
    steps = [rng.normal(size=8) for _ in range(count)]
    memory = Memory(4)
    for step in steps:
        memory.add(torch.from_numpy(step), torch.from_numpy(hessian @ step))
    assert len(memory) == min(count, 4)
    vector = rng.normal(size=8)
    expected = dense_inverse([(s, hessian @ s) for s in steps[-4:]]) @ vector
    np.testing.assert_allclose(memory.product(torch.from_numpy(vector)).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("many", [0, 16])  # never a mask, or one from the first held variable on
def test_held_variables_stay_and_the_others_move_as_if_alone(
    monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(lbfgs_module, "_MANY", many)
    rng, hessian = np.random.default_rng(1), curved(8)
    free = np.array([1, 0, 1, 1, 0, 1, 1, 1.0])
    kept = free.astype(bool)
    steps = [rng.normal(size=8) for _ in range(3)]
    # The pairs' free parts need not agree with any Hessian; these do, and have positive curvature.
    pairs = [(s * free, hessian @ (s * free)) for s in steps]
    memory = Memory(5)
    for step, change in pairs:
        memory.add(torch.from_numpy(step), torch.from_numpy(change))
    vector = rng.normal(size=8)
    found = memory.product(torch.from_numpy(vector), torch.from_numpy(~kept)).numpy()
    expected = dense_inverse([(s[kept], y[kept]) for s, y in pairs]) @ vector[kept]
    np.testing.assert_allclose(found[kept], expected, rtol=1e-10)
    assert (found[~kept] == 0.0).all()


def test_without_a_memory_the_product_is_the_vector_itself() -> None:
    vector = rand(5)
    assert torch.equal(Memory(3).product(vector), vector)
    free = torch.tensor([1.0, 0, 1, 0, 1], dtype=torch.float64)
    assert torch.equal(Memory(3).product(vector, free == 0), vector * free)


def rosenbrock(x: Tensor) -> tuple[float, Tensor]:
    left, right = x[:-1], x[1:]
    gradient = torch.zeros_like(x)
    gradient[:-1] += -400.0 * left * (right - left.square()) - 2.0 * (1.0 - left)
    gradient[1:] += 200.0 * (right - left.square())
    return float((100.0 * (right - left.square()).square() + (1.0 - left).square()).sum()), gradient


def best_of_ours(function: object, start: Tensor, evaluations: int, box: tuple[float, float] | None) -> float:
    seen: list[float] = []

    def counted(x: Tensor) -> tuple[float, Tensor]:
        assert box is None or bool(((x >= box[0]) & (x <= box[1])).all())
        value, gradient = function(x)  # type: ignore[operator]
        seen.append(value)
        return value, gradient

    minimize(counted, start, Memory(10), evaluations=evaluations, box=box)
    assert len(seen) <= evaluations
    return min(seen)


def best_of_scipys(
    function: object, start: Tensor, evaluations: int, box: tuple[float, float] | None
) -> float:
    seen: list[float] = []

    class Enough(Exception):  # noqa: N818
        pass

    def counted(x: np.ndarray) -> tuple[float, np.ndarray]:
        if len(seen) == evaluations:
            raise Enough
        value, gradient = function(torch.from_numpy(x.copy()))  # type: ignore[operator]
        seen.append(value)
        return value, gradient.numpy()

    try:
        bounds = None if box is None else [box] * len(start)
        options = {"maxcor": 10, "ftol": 0.0, "gtol": 0.0, "maxfun": 10**9, "maxiter": 10**9}
        scipy.optimize.minimize(
            counted, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
    except Enough:
        pass
    return min(seen)


@pytest.mark.parametrize("box", [None, (-1.0, 0.8)], ids=["free", "box"])
@pytest.mark.parametrize("evaluations", [20, 60, 200])
@pytest.mark.parametrize("seed", range(3))
def test_it_gets_as_far_as_scipys(seed: int, evaluations: int, box: tuple[float, float] | None) -> None:
    start = -2.0 * rand(50, seed=seed)
    start = start if box is None else start.clamp(*box)
    ours = best_of_ours(rosenbrock, start, evaluations, box)
    assert ours <= 1.05 * best_of_scipys(rosenbrock, start, evaluations, box)


@pytest.mark.parametrize("seed", range(3))
def test_a_quadratic_in_a_box_is_solved(seed: int) -> None:
    hessian, b = curved(30, seed), np.random.default_rng(seed).normal(size=30)
    root = np.linalg.cholesky(hessian).T
    expected = scipy.optimize.lsq_linear(root, np.linalg.solve(root.T, b), bounds=(0.0, 0.5), tol=1e-14).x
    matrix, vector = torch.from_numpy(hessian), torch.from_numpy(b)

    def function(x: Tensor) -> tuple[float, Tensor]:
        return float(0.5 * x @ matrix @ x - vector @ x), matrix @ x - vector

    found = best_of_ours(function, rand(30, seed=seed) * 0.5, 400, (0.0, 0.5))
    best = float(0.5 * expected @ hessian @ expected - b @ expected)
    assert found == pytest.approx(best, abs=1e-6 * max(abs(best), 1.0))


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_with_a_box_the_first_step_does_not_depend_on_the_losses_scale(factor: float) -> None:
    tried: list[Tensor] = []

    def function(x: Tensor) -> tuple[float, Tensor]:
        tried.append(x)
        return factor * float((x - 0.7).square().sum()), factor * 2.0 * (x - 0.7)

    minimize(function, rand(100), Memory(10), evaluations=2, box=(0.0, 1.0))
    assert float((tried[1] - tried[0]).square().mean().sqrt()) == pytest.approx(FIRST_STEP, rel=0.05)


def test_a_point_where_nothing_helps_ends_it() -> None:
    calls = 0

    def flat(x: Tensor) -> tuple[float, Tensor]:
        nonlocal calls
        calls += 1
        return 1.0, torch.zeros_like(x)

    minimize(flat, rand(4), Memory(10), evaluations=1000)
    assert calls < 10
