"""Each published recipe, in both media, against the same system written by hand in NumPy."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import network as by_hand
from oracles import originals
from oracles import recipes as systems
from oracles.network import Array

from specstyle.engine.canvas import Pixels
from specstyle.engine.objective import Objective, summarize
from specstyle.engine.optimize import optimize
from specstyle.features import VGG19, Weights, WideRandom
from specstyle.features.vgg import mean_activations, normalizing_gains
from specstyle.recipes import PUBLISHED, get_recipe
from specstyle.recipes.published import MADE_FOR
from specstyle.run.objective import build_objective
from specstyle.run.settle import optimizer_settings

# Few channels, so that covariances of six positions (the fifth block's) have full rank.
CHANNELS = {"1": 4, "2": 5, "3": 6, "4": 6, "5": 4}

# Both sides compute in float64 with sums of a few thousand products; 1e-8 leaves room for the inverse
# root of a covariance (crowson2021), whose condition number multiplies rounding.
TOLERANCE = 1e-8

MEDIA = ("picture", "spectrogram")


def convolutions(seed: int, options: dict[str, Any]) -> dict[str, tuple[Array, Array]]:
    """Random filters; biases such that each channel fires at about 70 % of positions, and none is dead."""
    random = np.random.default_rng(seed)
    made: dict[str, tuple[Array, Array]] = {}
    image = random.uniform(size=(2, 3, 48, 48))
    x = by_hand.prepare(image, options["preprocessing"])
    for name in by_hand.LAYERS:
        channels = CHANNELS[name[4]]
        weight = random.normal(size=(channels, x.shape[1], 3, 3)) * math.sqrt(2.0 / (9 * x.shape[1]))
        if name.endswith("_1") and made:
            x = by_hand.pool(x, options["pooling"])
        response = by_hand.convolve(by_hand.pad(x, replicate=True), weight, np.zeros(channels))
        bias = 0.5 * response.std(axis=(0, 2, 3)) - response.mean(axis=(0, 2, 3))
        made[name] = weight, bias
        x = np.maximum(response + bias[:, None, None], 0.0)
    return made


def relu_name(layer: str) -> str:
    return layer.replace("conv", "relu")


def vgg(made: dict[str, tuple[Array, Array]], preprocessing: str, recipe: Any) -> VGG19:
    tensors = {relu_name(n): (torch.from_numpy(w), torch.from_numpy(b)) for n, (w, b) in made.items()}
    weights = Weights(tensors, preprocessing, "small random numbers", "")
    layers = recipe.content_layers + recipe.style_layers

    def build(gains: dict[str, torch.Tensor] | None) -> VGG19:
        return VGG19(
            weights,
            layers,
            pooling=recipe.pooling,
            padding=recipe.padding,
            gains=gains,
            dtype=torch.float64,
        )

    if not recipe.normalize_activations:
        return build(None)
    images = [torch.from_numpy(image) for image in reference_images()]
    return build(normalizing_gains(mean_activations(build(None), images)))


def reference_images() -> list[Array]:
    random = np.random.default_rng(77)
    return [random.uniform(size=(1, 3, 32, 48)), random.uniform(size=(2, 3, 48, 32))]


def images(medium: str, name: str) -> tuple[Array, Array, Array]:
    """The image, the content and the style, in 0..1; odd sides, so that pooling leaves something out."""
    random = np.random.default_rng(5)
    shape = (1, 3, 37, 52) if medium == "picture" else (2, 1, 33, 50)
    wider = (1, 3, 41, 64) if medium == "picture" else (2, 1, 33, 64)
    if name == "ulyanov2016":
        wider = (*shape[:3], 64)  # rows are channels, so only the width may differ

    def draw(size: tuple[int, ...]) -> Array:
        smooth = random.uniform(size=size)
        for axis in (2, 3):
            smooth = 0.6 * smooth + 0.4 * np.roll(smooth, 1, axis)
        return smooth

    x, content = draw(shape), draw(shape)
    style = draw(shape if name in systems.SAME_SIZE else wider) ** 1.3
    return x, content, style


def networks(name: str, rows: int) -> tuple[Any, Any]:
    """specstyle's network, and the one by hand, with the same weights."""
    recipe = get_recipe(name)
    if name == "ulyanov2016":
        ours = WideRandom(
            rows,
            seed=3,
            n_filters=24,
            scaling=recipe.filter_scaling,
            dtype=torch.float64,
        )
        drawn = torch.randn(24, rows, 11, generator=torch.Generator().manual_seed(3)).double().numpy()
        filters = drawn * math.sqrt(2.0) * math.sqrt(2.0 / ((rows + 24) * 11))
        # Filters are drawn and scaled in float32, whatever the network's dtype.
        np.testing.assert_allclose(ours._filters.numpy(), filters, rtol=3e-7)
        return ours, by_hand.OverTime(ours._filters.numpy())
    made = convolutions(11, systems.NETWORKS[name])
    theirs = by_hand.VGG(made, **systems.NETWORKS[name])
    ours = vgg(made, systems.NETWORKS[name]["preprocessing"], recipe)
    return ours, theirs.normalized(reference_images()) if name == "gatys2016" else theirs


def distance(ours: Array | float, theirs: Array | float) -> float:
    difference = np.linalg.norm(np.asarray(ours) - np.asarray(theirs))
    return float(difference / np.linalg.norm(np.asarray(theirs)))


def test_every_published_recipe_has_an_oracle() -> None:
    assert set(systems.SYSTEMS) == set(PUBLISHED)


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_recipe_has_the_loss_and_gradient_of_its_source(name: str, medium: str) -> None:
    x, content, style = images(medium, name)
    ours, theirs = networks(name, rows=x.shape[1] * x.shape[2])
    expected = systems.SYSTEMS[name](theirs, x, content, style)

    objective = build_objective(get_recipe(name), ours, torch.from_numpy(content), [torch.from_numpy(style)])
    image = torch.from_numpy(x)
    losses, gradient = objective.value_and_grad(image)
    sums = summarize({term: float(loss) for term, loss in losses.items()})

    assert set(sums) == {"total", *expected}
    assert distance(sums["total"], sum(loss for loss, _ in expected.values())) < TOLERANCE
    assert distance(gradient.numpy(), sum(g for _, g in expected.values())) < TOLERANCE
    for group, (loss, group_gradient) in expected.items():
        # One by one: a wrong small group must not hide behind a large one.
        terms = [term for term in objective.terms if term.name.split(":")[0] == group]
        alone = Objective(ours, terms).value_and_grad(image)[1].numpy()
        assert loss > 0
        assert distance(sums[group], loss) < TOLERANCE, group
        assert distance(alone, group_gradient) < TOLERANCE, group


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_the_oracles_gradient_is_that_of_its_own_loss(name: str, medium: str) -> None:
    x, content, style = images(medium, name)
    _, network = networks(name, rows=x.shape[1] * x.shape[2])
    system = systems.SYSTEMS[name]
    direction = np.random.default_rng(0).normal(size=x.shape)
    step = 1e-7
    ahead, behind = (system(network, x + sign * step * direction, content, style) for sign in (1, -1))
    for group, (_, gradient) in system(network, x, content, style).items():
        slope = (ahead[group][0] - behind[group][0]) / (2.0 * step)
        # A central difference: rounding of the loss over the step leaves six digits or so.
        assert slope == pytest.approx(float(np.sum(gradient * direction)), rel=1e-4), group


@pytest.mark.parametrize("preprocessing", ["caffe", "torchvision"])
@pytest.mark.parametrize("padding", ["zeros", "replicate", "replicate_first"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_every_option_of_the_network_does_what_it_does_by_hand(
    preprocessing: str, padding: str, pooling: str
) -> None:
    made = convolutions(2, {"preprocessing": preprocessing, "pooling": pooling})
    random = np.random.default_rng(1)
    x = random.uniform(size=(2, 3, 33, 35))
    gains = {name: random.uniform(0.5, 2.0, size=CHANNELS[name[4]]) for name in by_hand.LAYERS[::2]}
    theirs = by_hand.VGG(made, preprocessing, pooling, padding, gains)
    tensors = {relu_name(n): (torch.from_numpy(w), torch.from_numpy(b)) for n, (w, b) in made.items()}
    ours = VGG19(
        Weights(tensors, preprocessing, "small random numbers", ""),
        by_hand.LAYERS,
        pooling=pooling,
        padding=padding,
        gains={relu_name(name): torch.from_numpy(gain) for name, gain in gains.items()},
        dtype=torch.float64,
    )
    image = torch.from_numpy(x).requires_grad_(True)
    ours_maps, theirs_maps = ours(image), theirs.forward(x)
    pull = {name: random.normal(size=maps.shape) for name, maps in theirs_maps.items()}
    for name, maps in theirs_maps.items():
        np.testing.assert_allclose(ours_maps[relu_name(name)].detach().numpy(), maps, rtol=1e-10, atol=1e-10)
    total = sum((ours_maps[relu_name(n)] * torch.from_numpy(g)).sum() for n, g in pull.items())
    (gradient,) = torch.autograd.grad(total, image)
    assert distance(gradient.numpy(), theirs.backward(x, pull)) < 1e-12


# Against what the systems' own libraries gave (tests/oracles/originals.py)

ORIGINALS = json.loads(Path(originals.__file__).with_name("originals.json").read_text(encoding="utf-8"))


def as_tensor(image: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))


def original_network(name: str) -> Any:
    """specstyle's network with the filters that the original had."""
    recipe = get_recipe(name)
    if name == "ulyanov2016":
        network = WideRandom(20, seed=0, n_filters=24, width=11, scaling="fan_avg", dtype=torch.float64)
        kernel = (
            np.random.RandomState(3).randn(1, 11, 20, 24) * np.sqrt(2.0) * np.sqrt(2.0 / ((20 + 24) * 11))
        )
        network._filters = torch.from_numpy(np.ascontiguousarray(kernel[0].transpose(2, 1, 0)))
        return network
    preprocessing = MADE_FOR[name]
    made = originals.filters(preprocessing)
    tensors = {relu_name(n): (torch.from_numpy(w), torch.from_numpy(b)) for n, (w, b) in made.items()}

    def build(gains: dict[str, torch.Tensor] | None) -> VGG19:
        return VGG19(
            Weights(tensors, preprocessing, "small random numbers", ""),
            recipe.content_layers + recipe.style_layers,
            pooling=recipe.pooling,
            padding=recipe.padding,
            gains=gains,
            dtype=torch.float64,
        )

    if not recipe.normalize_activations:
        return build(None)
    calm = [as_tensor(originals.picture(*originals.SHAPE, phase)) for phase in (3.0, 4.0)]
    return build(normalizing_gains(mean_activations(build(None), calm)))


def original_objective(name: str) -> tuple[Objective, torch.Tensor, torch.Tensor]:
    """The recipe's objective, the image at which the original was evaluated, and the content."""
    if name == "ulyanov2016":
        x, content, style = (
            torch.from_numpy(np.ascontiguousarray(originals.spectrogram(phase)[0].transpose(0, 2, 1)[None]))
            for phase in (0.0, 1.0, 2.0)
        )
    else:
        shape = originals.SHAPE if name in systems.SAME_SIZE else originals.OTHER
        sizes = ((originals.SHAPE, 0.0), (originals.SHAPE, 1.0), (shape, 2.0))
        x, content, style = (as_tensor(originals.picture(*size, phase)) for size, phase in sizes)
    return build_objective(get_recipe(name), original_network(name), content, [style]), x, content


@pytest.mark.parametrize("name", PUBLISHED)
def test_losses_and_gradients_are_those_of_the_originals_own_library(name: str) -> None:
    objective, x, _ = original_objective(name)
    losses, gradient = objective.value_and_grad(x)
    sums = summarize({term: float(loss) for term, loss in losses.items()})
    expected = ORIGINALS[name]
    # Sums of thousands of products in float64 on both sides agree to 1e-12 or so. The root of a matrix by
    # its eigenvalues (crowson2021) halves the digits of the small ones.
    digits = 1e-6 if name == "crowson2021" else 1e-8
    assert {**expected["losses"], "total": sum(expected["losses"].values())} == pytest.approx(
        sums, rel=digits
    )
    flat = gradient.flatten()
    norm = float(flat.norm())
    assert norm == pytest.approx(expected["gradient_norm"], rel=digits)
    some = flat[:: len(flat) // 12].numpy()
    np.testing.assert_allclose(some, expected["gradient"], rtol=0, atol=digits * norm)


@pytest.mark.parametrize("name", [name for name, found in ORIGINALS.items() if "course" in found])
def test_ten_steps_are_those_of_the_originals_own_optimizer(name: str) -> None:
    recipe = get_recipe(name)
    objective, _, content = original_objective(name)
    canvas = Pixels(content, pixel_range=recipe.pixel_range, upper=1.0 if recipe.clip else None)
    settings = dataclasses.replace(optimizer_settings(recipe), keep="last")
    course: list[float] = []
    state = optimize(
        canvas, objective, settings, originals.STEPS, on_step=lambda step: course.append(step.losses["total"])
    )
    # Keras rounds its rates to float32: a decaying one by 6e-8, and .999 of Adam by 1.3e-8, so 1 - .999 is
    # off by 1.3e-5 and a first step by half of that. In ten steps 2e-7 and 3e-4 of the loss came of it.
    digits = 1e-5 if recipe.optimizer == "sgd" else 1e-3
    assert course == pytest.approx(ORIGINALS[name]["course"], rel=digits)
    flat = state.image.flatten()
    np.testing.assert_allclose(flat[:: len(flat) // 12], ORIGINALS[name]["last"], rtol=0, atol=digits)
