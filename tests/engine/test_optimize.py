from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.optimize
import torch
from draws import rand
from torch import Tensor

from specstyle.engine.canvas import Pixels
from specstyle.engine.objective import Loss, Objective
from specstyle.engine.optimize import (
    NonFiniteLossError,
    OptimizerSettings,
    State,
    Step,
    StopRun,
    optimize,
)

SHAPE = (1, 1, 3, 4)


def image_loss(name: str, weight: float, function: Callable[[Tensor], Tensor]) -> Loss:
    return Loss(name, weight, lambda image, maps: function(image))


TARGET = rand(*SHAPE, seed=5)


def uneven(image: Tensor) -> Tensor:
    """A smooth function, not quadratic, with another curvature at every pixel."""
    error = image - TARGET
    scale = torch.arange(1.0, 13.0, dtype=torch.float64).reshape(SHAPE)
    mixed = error.flatten(1)[:, 1:] * error.flatten(1)[:, :-1]
    return (scale * (error.square() + error.pow(4))).flatten(1).sum(1) + 0.3 * mixed.sum(1)


def objective(function: Callable[[Tensor], Tensor] = uneven, weight: float = 1.0) -> Objective:
    return Objective(None, [image_loss("bowl:a", weight, function), image_loss("tv", 0.5, _ripple)])


def _ripple(image: Tensor) -> Tensor:
    return image.diff(dim=3).square().flatten(1).sum(1)


def gradient_at(x: Tensor, goal: Objective) -> Tensor:
    return goal.value_and_grad(x)[1]


def total_at(x: Tensor, goal: Objective) -> float:
    return sum(loss.item() for loss in goal.losses(x).values())


def run(
    start: Tensor,
    steps: int,
    *,
    goal: Objective | None = None,
    upper: float | None = None,
    pixel_range: float = 1.0,
    memory: dict[str, object] | None = None,
    on_step: Callable[[Step], None] | None = None,
    **settings: object,
) -> tuple[State, list[Step]]:
    seen: list[Step] = []

    def note(step: Step) -> None:
        image = step.image()
        seen.append(dataclasses.replace(step, image=image.clone))
        if on_step:
            on_step(step)

    canvas = Pixels(start, upper=upper, pixel_range=pixel_range)
    options = OptimizerSettings(**settings)  # type: ignore[arg-type]
    state = optimize(canvas, goal or objective(), options, steps, on_step=note, memory=memory)
    return state, seen


def images_by_adam(
    start: Tensor,
    steps: int,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    epsilon_hat: bool = False,
    upper: float | None = None,
) -> list[Tensor]:
    """Algorithm 1 of Kingma & Ba 2015, or TensorFlow's form of it; the images from the first to the last."""
    theta, goal = start.clone(), objective()
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    images = [theta.clone()]
    for t in range(1, steps + 1):
        g = gradient_at(theta, goal)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        if epsilon_hat:
            lr_t = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
            theta = theta - lr_t * m / (v.sqrt() + epsilon)
        else:
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
            theta = theta - lr * m_hat / (v_hat.sqrt() + epsilon)
        if upper is not None:
            theta = theta.clamp(0.0, upper)
        images.append(theta.clone())
    return images


ADAMS = [
    {"lr": 0.02, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    {"lr": 0.02, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8},
    {"lr": 0.05, "beta1": 0.99, "beta2": 0.999, "epsilon": 0.1, "epsilon_hat": True},
    {"lr": 0.05, "beta1": 0.99, "beta2": 0.999, "epsilon": 0.1},
]


@pytest.mark.parametrize("settings", ADAMS)
@pytest.mark.parametrize("upper", [None, 0.6])
def test_adam_against_a_plain_loop(settings: dict[str, object], upper: float | None) -> None:
    start = rand(*SHAPE).clamp(max=0.6)
    expected = images_by_adam(start, 30, upper=upper, **settings)  # type: ignore[arg-type]
    state, seen = run(start, 30, method="adam", upper=upper, **settings)
    for step, image in zip(seen, expected, strict=False):
        torch.testing.assert_close(step.image(), image, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.image, expected[-1], rtol=1e-10, atol=1e-12)


def test_sgd_decays_continuously() -> None:
    start, goal = rand(*SHAPE), objective()
    theta = start.clone()
    state, seen = run(start, 25, method="sgd", lr=0.01, lr_decay=0.4)
    for t, step in enumerate(seen):
        torch.testing.assert_close(step.image(), theta, rtol=1e-11, atol=1e-13)
        theta = theta - 0.01 * 0.4 ** (t / 100) * gradient_at(theta, goal)
    torch.testing.assert_close(state.image, theta, rtol=1e-11, atol=1e-13)


def test_the_learning_rate_is_in_units_of_the_pixel_range() -> None:
    """The published 100 of keras-sgd and 5 of tf-eager move values of 0..255."""
    start, goal = rand(*SHAPE), objective()
    state, _ = run(start, 1, method="sgd", lr=3.0, pixel_range=255.0)
    moved = 255.0 * start - 3.0 * gradient_at(start, goal) / 255.0
    torch.testing.assert_close(state.image, moved / 255.0, rtol=1e-12, atol=0)
    state, _ = run(start, 1, method="adam", lr=5.0, pixel_range=255.0)
    # Adam's first step is lr in every pixel, whatever the gradient, but for epsilon: 1e-8 beside some 1e-4.
    moved = (state.image - start).abs() * 255.0
    torch.testing.assert_close(moved, torch.full_like(start, 5.0), rtol=1e-3, atol=0)


def test_a_box_holds_from_the_start_and_at_every_step() -> None:
    start = 3.0 * rand(*SHAPE) - 1.0
    for settings in (
        {"method": "adam", "lr": 0.3},
        {"method": "sgd", "lr": 0.05},
        {"method": "lbfgs"},
    ):
        state, seen = run(start, 15, upper=0.5, pixel_range=255.0, **settings)
        for image in [*(step.image() for step in seen), state.image]:
            assert image.min() >= 0.0
            assert image.max() <= 0.5 + 1e-15


def quadratic() -> tuple[np.ndarray, np.ndarray, Objective]:
    """|A x - b|^2 with a condition number of about 30."""
    random = np.random.default_rng(3)
    u, _ = np.linalg.qr(random.normal(size=(12, 12)))
    matrix = u * np.linspace(1.0, 30.0**0.5, 12)
    b = matrix @ random.uniform(-0.5, 1.5, size=12)
    A, y = torch.from_numpy(matrix), torch.from_numpy(b)
    term = image_loss("bowl:a", 1.0, lambda x: (x.flatten(1) @ A.T - y).square().sum(1))
    return matrix, b, Objective(None, [term])


def test_lbfgs_reaches_the_minimum_of_a_quadratic() -> None:
    matrix, b, goal = quadratic()
    state, _ = run(rand(*SHAPE), 80, goal=goal, method="lbfgs")
    np.testing.assert_allclose(state.image.numpy().ravel(), np.linalg.solve(matrix, b), atol=1e-6)


def test_lbfgs_reaches_the_minimum_in_a_box() -> None:
    matrix, b, goal = quadratic()
    expected = scipy.optimize.lsq_linear(matrix, b, bounds=(0.0, 1.0), method="bvls").x
    assert ((expected == 0.0) | (expected == 1.0)).any(), "the box should matter"
    state, _ = run(rand(*SHAPE), 80, goal=goal, method="lbfgs", upper=1.0)
    np.testing.assert_allclose(state.image.numpy().ravel(), expected, atol=1e-6)


def valley(image: Tensor) -> Tensor:
    """Rosenbrock's function of twelve numbers, which keeps any method busy."""
    x = 3.0 * image.flatten(1)
    return (100.0 * (x[:, 1:] - x[:, :-1].square()).square() + (1.0 - x[:, :-1]).square()).sum(1)


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
@pytest.mark.parametrize("restart_every", [None, 1, 5, 20])
def test_lbfgs_makes_exactly_the_evaluations_asked_for(steps: int, restart_every: int | None) -> None:
    calls = 0

    def counted(image: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return valley(image)

    goal = Objective(None, [image_loss("tv", 1.0, counted)])
    state, seen = run(-rand(*SHAPE), steps, goal=goal, method="lbfgs", restart_every=restart_every)
    assert [step.step for step in seen] == list(range(1, steps + 1))
    assert {step.steps for step in seen} == {steps}
    assert state.steps == steps
    assert calls == steps


def test_lbfgs_starts_every_round_from_the_best_image_with_no_memory() -> None:
    goal = Objective(None, [image_loss("tv", 1.0, valley)])
    _, seen = run(-rand(*SHAPE), 36, goal=goal, method="lbfgs", restart_every=9)
    for begin in (9, 18, 27):
        best = min(seen[:begin], key=lambda step: step.losses["total"]).image()
        assert torch.equal(seen[begin].image(), best)
        gradient = gradient_at(best, goal)
        first_move = seen[begin + 1].image() - best
        # Without a memory the first direction is the steepest one.
        cosine = (first_move * -gradient).sum() / first_move.norm() / gradient.norm()
        assert cosine.item() == pytest.approx(1.0, abs=1e-9)


def test_lbfgs_ends_early_where_nothing_is_left_to_gain() -> None:
    _, _, goal = quadratic()
    state, seen = run(rand(*SHAPE), 5000, goal=goal, method="lbfgs")
    assert len(seen) == state.steps < 5000
    assert state.losses_end["total"] < 1e-20


def test_lbfgs_returns_the_best_image_that_it_saw() -> None:
    goal = Objective(None, [image_loss("tv", 1.0, valley)])
    for steps in range(2, 12):
        state, seen = run(-rand(*SHAPE), steps, goal=goal, method="lbfgs")
        assert state.losses_end["total"] == min(step.losses["total"] for step in seen)


def test_lbfgs_works_in_float32() -> None:
    goal = Objective(None, [image_loss("tv", 1.0, lambda x: (x - TARGET.float()).square().flatten(1).sum(1))])
    state, _ = run(rand(*SHAPE).float(), 30, goal=goal, method="lbfgs")
    assert state.image.dtype == torch.float32
    torch.testing.assert_close(state.image, TARGET.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("keep", ["last", "best", "average"])
def test_losses_end_are_those_of_the_result(method: str, keep: str) -> None:
    goal = objective()
    state, seen = run(rand(*SHAPE), 12, goal=goal, method=method, keep=keep, lr=0.04)
    assert state.losses_end["total"] == pytest.approx(total_at(state.image, goal), rel=1e-12)
    assert set(state.losses_end) == {"total", "bowl", "tv", "bowl:a"}
    assert state.losses_start == seen[0].losses
    assert state.losses_start["total"] == pytest.approx(total_at(seen[0].image(), goal), rel=1e-12)
    assert not state.stopped


@pytest.mark.parametrize("lr", [0.3, 5.0])
def test_keep_best_is_the_image_of_lowest_total(lr: float) -> None:
    """With lr 5 no step is better than the start."""
    start, goal = rand(*SHAPE), objective()
    settings = {"lr": lr, "beta1": 0.9, "beta2": 0.9, "epsilon": 1e-8}
    images = images_by_adam(start, 9, **settings)
    best = min(images, key=lambda image: total_at(image, goal))
    state, _ = run(start, 9, method="adam", keep="best", **settings)
    torch.testing.assert_close(state.image, best, rtol=1e-10, atol=1e-12)
    assert torch.equal(state.image, start) == (lr == 5.0)


@pytest.mark.parametrize("steps", [1, 6])
def test_keep_average_is_the_corrected_moving_average_of_all_images(steps: int) -> None:
    start = rand(*SHAPE)
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
    images = images_by_adam(start, steps, **settings)
    assert len(images) == steps + 1  # with the first
    value, accumulated = torch.zeros_like(start), 1.0
    for image in images:
        accumulated *= 0.99
        value = 0.99 * value + 0.01 * image
    state, _ = run(start, steps, method="adam", keep="average", **settings)
    torch.testing.assert_close(state.image, value / (1.0 - accumulated), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("epsilon_hat", [False, True])
def test_a_run_in_two_parts_is_the_run_in_one(epsilon_hat: bool) -> None:
    start = rand(*SHAPE)
    settings = {"method": "adam", "lr": 0.03, "epsilon": 0.05, "epsilon_hat": epsilon_hat}
    whole, _ = run(start, 14, **settings)
    first, _ = run(start, 7, **settings)
    second, _ = run(first.image, 7, memory=first.memory, **settings)
    torch.testing.assert_close(second.image, whole.image, rtol=1e-12, atol=1e-13)
    assert float(second.memory["step"]) == float(whole.memory["step"]) == 14
    without, _ = run(first.image, 7, **settings)
    assert (without.image - whole.image).abs().max() > 1e-4


@pytest.mark.parametrize("method", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("keep", ["last", "best", "average"])
def test_stop_run_ends_with_the_result_so_far(method: str, keep: str) -> None:
    goal = objective()

    def stop(step: Step) -> None:
        if step.step == 4:
            raise StopRun

    state, seen = run(rand(*SHAPE), 50, goal=goal, method=method, keep=keep, lr=0.02, on_step=stop)
    assert state.stopped
    assert state.steps == len(seen) == 4
    assert state.losses_end["total"] == pytest.approx(total_at(state.image, goal), rel=1e-12)
    if keep == "last" and method != "lbfgs":
        assert torch.equal(state.image, seen[-1].image())


def test_an_error_of_on_step_comes_through() -> None:
    def fail(step: Step) -> None:
        raise KeyError(step.step)

    for method in ("adam", "lbfgs"):
        with pytest.raises(KeyError):
            run(rand(*SHAPE), 3, method=method, on_step=fail)


def cliff(image: Tensor) -> Tensor:
    """Falls towards 0 and is NaN beyond."""
    return image.sqrt().flatten(1).sum(1)


@pytest.mark.parametrize("keep", ["last", "best", "average"])
@pytest.mark.parametrize("method", ["adam", "sgd"])
def test_a_loss_of_nan_names_the_step_and_keeps_the_last_good_state(method: str, keep: str) -> None:
    goal = Objective(None, [image_loss("tv", 1.0, cliff)])
    start = torch.full(SHAPE, 0.5, dtype=torch.float64)
    with pytest.raises(NonFiniteLossError, match=r"at step \d+") as caught:
        run(start, 50, goal=goal, method=method, keep=keep, lr=0.1)
    error = caught.value
    assert f"step {error.step};" in str(error)
    assert error.state is not None
    assert error.state.steps == error.step - 1 > 1
    assert error.state.image.isfinite().all()
    assert all(math.isfinite(value) for value in error.state.losses_end.values())
    assert error.state.losses_end["total"] == pytest.approx(total_at(error.state.image, goal), rel=1e-12)


def test_a_loss_of_nan_in_lbfgs_keeps_the_best_state() -> None:
    goal = Objective(None, [image_loss("tv", 1.0, cliff)])
    with pytest.raises(NonFiniteLossError) as caught:
        run(torch.full(SHAPE, 0.5, dtype=torch.float64), 50, goal=goal, method="lbfgs")
    assert caught.value.state is not None
    assert caught.value.state.image.isfinite().all()


def test_a_loss_of_nan_at_the_first_step_has_no_state() -> None:
    goal = Objective(None, [image_loss("tv", 1.0, cliff)])
    for method in ("adam", "lbfgs"):
        with pytest.raises(NonFiniteLossError, match="step 1;") as caught:
            run(-rand(*SHAPE) - 0.1, 5, goal=goal, method=method)
        assert caught.value.state is None


def test_an_image_that_only_the_last_update_spoiled_is_not_the_result() -> None:
    goal = Objective(None, [image_loss("tv", 1.0, cliff)])
    with pytest.raises(NonFiniteLossError) as caught:
        run(torch.full(SHAPE, 0.01, dtype=torch.float64), 1, goal=goal, method="adam", lr=1.0)
    assert caught.value.state is not None
    assert torch.equal(caught.value.state.image, torch.full(SHAPE, 0.01, dtype=torch.float64))


@pytest.mark.parametrize("every", [2, 4, 100])
def test_reporting_seldom_changes_nothing_but_the_reports(every: int) -> None:
    start, steps = rand(*SHAPE), 9
    results = []
    for report_every in (1, every):
        seen: list[int] = []
        state = optimize(
            Pixels(start, upper=1.0),
            objective(),
            OptimizerSettings("adam", lr=0.05),
            steps,
            on_step=lambda step, seen=seen: seen.append(step.step),  # type: ignore[misc]
            report_every=report_every,
        )
        results.append((state, seen))
    (whole, all_steps), (seldom, some) = results
    assert all_steps == list(range(1, steps + 1))
    assert some == sorted({1, steps, *range(every, steps + 1, every)})
    assert torch.equal(whole.image, seldom.image)
    assert (whole.losses_start, whole.losses_end) == (seldom.losses_start, seldom.losses_end)


def test_reporting_seldom_still_ends_on_nan_with_a_good_result() -> None:
    goal = Objective(None, [image_loss("tv", 1.0, cliff)])
    canvas = Pixels(torch.full(SHAPE, 0.5, dtype=torch.float64))
    with pytest.raises(NonFiniteLossError) as caught:
        optimize(canvas, goal, OptimizerSettings("adam", lr=0.1), 50, report_every=4)
    assert caught.value.state is not None
    assert caught.value.state.image.isfinite().all()


class InAnotherLayout(Objective):
    """Its gradient is in another memory layout than the image, as convolutions channels last give it."""

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        losses, gradient = super().value_and_grad(image)
        return losses, gradient.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("method", ["adam", "sgd", "lbfgs"])
def test_the_layout_of_the_gradient_does_not_matter(method: str) -> None:
    start, goal = rand(2, 3, 5, 4), objective()
    goal = Objective(goal.features, [t for t in goal.terms if t.name == "tv"])
    plain, _ = run(start, 5, goal=goal, method=method, lr=0.05)
    other, _ = run(start, 5, goal=InAnotherLayout(goal.features, goal.terms), method=method, lr=0.05)
    torch.testing.assert_close(other.image, plain.image, rtol=1e-12, atol=1e-14)


def test_reports_fall_on_steps_of_the_whole_run() -> None:
    """Counted per scale, every fourth step of a run whose first scale has 6 would be missed."""
    seen: list[int] = []
    optimize(
        Pixels(rand(*SHAPE)),
        objective(),
        OptimizerSettings("adam", lr=0.05),
        9,
        on_step=lambda s: seen.append(6 + s.step),
        report_every=4,
        steps_before=6,
    )
    assert seen == [7, 8, 12, 15]


@pytest.mark.parametrize("settings", [{"method": "lbfgs"}, {"method": "adam", "keep": "best"}])
def test_what_decides_by_the_losses_reports_every_step(settings: dict[str, str]) -> None:
    seen: list[int] = []
    options = OptimizerSettings(**settings, lr=0.05)  # type: ignore[arg-type]
    optimize(
        Pixels(rand(*SHAPE)), objective(), options, 5, on_step=lambda s: seen.append(s.step), report_every=3
    )
    assert seen == [1, 2, 3, 4, 5]


def test_lbfgs_goes_on_with_what_it_remembers() -> None:
    start = rand(*SHAPE)
    first, _ = run(start, 8, method="lbfgs")
    pairs = first.memory["pairs"]
    assert len(pairs) >= 3
    assert all(step.shape == change.shape == start.shape for step, change in pairs)
    assert all(float((step * change).sum()) > 0 for step, change in pairs)
    after, _ = run(first.image, 4, method="lbfgs", memory=first.memory)
    anew, _ = run(first.image, 4, method="lbfgs")
    assert after.losses_end["total"] < anew.losses_end["total"]


def test_a_step_does_not_outlive_its_moment() -> None:
    seen: list[Step] = []
    optimize(Pixels(rand(*SHAPE)), objective(), OptimizerSettings("adam"), 2, on_step=seen.append)
    for ask in (seen[0].image, seen[1].parameters):
        with pytest.raises(RuntimeError, match="before on_step returns"):
            ask()


def test_steps_are_reported_with_images_of_their_own() -> None:
    state, seen = run(rand(*SHAPE), 6, method="adam", lr=0.05)
    goal = objective()
    for step in seen:
        assert step.losses["total"] == pytest.approx(total_at(step.image(), goal), rel=1e-12)
        assert next(iter(step.losses)) == "total"
        assert step.losses["bowl"] + step.losses["tv"] == pytest.approx(step.losses["total"])
    copy = seen[-1].image()
    copy.zero_()
    assert seen[-1].image().abs().max() > 0
    assert not state.image.requires_grad


def test_the_start_is_not_changed() -> None:
    start = rand(*SHAPE)
    before = start.clone()
    for method in ("adam", "sgd", "lbfgs"):
        run(start, 4, method=method, lr=0.1)
        assert torch.equal(start, before)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"method.*adam, lbfgs, sgd.*'rmsprop'"):
        OptimizerSettings(method="rmsprop")
    with pytest.raises(ValueError, match=r"keep.*last, best, average.*'first'"):
        OptimizerSettings(keep="first")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        run(rand(*SHAPE), 0, method="adam")
