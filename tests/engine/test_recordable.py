"""A CUDA graph records no copy from the host, no answer to it, and no shape that hangs on a value.

Without a GPU, tensors of the device ``meta`` stand for one: they have no values, so that whoever asks for one
fails, and the code paths are those of a device that is no CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from specstyle.engine.lowrank import LowRank
from specstyle.engine.objective import Objective
from specstyle.features import WideRandom
from specstyle.features.networks import NetworkOptions, build_network
from specstyle.recipes import Recipe, get_recipe
from specstyle.run.objectives import Masks, build_objective

META = torch.device("meta")
PLAIN = get_recipe("default-image").replace(network="vgg19-random", balance="weights")


class OneDevice(TorchDispatchMode):
    """Refuses whatever a graph on one device cannot record."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        given = tree_leaves((args, kwargs))
        devices = {
            x.device if isinstance(x, Tensor) else x for x in given if isinstance(x, (Tensor, torch.device))
        }
        if name in ("lift_fresh", "_local_scalar_dense", "nonzero") or devices - {META}:
            raise RuntimeError(f"a graph cannot record {name} on {sorted(map(str, devices))}")
        return func(*args, **(kwargs or {}))


def refuse(*_: object, **__: object) -> None:
    raise RuntimeError("a constant is copied from the host at each evaluation")


def on_meta(value: Any) -> Any:
    """Return a term with its tensors on the device without values."""
    if isinstance(value, Tensor):
        return value.to(META)
    if isinstance(value, LowRank):
        raise AssertionError("factors are for CPUs only")
    fields = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else ()
    changed = {n: on_meta(getattr(value, n)) for n in fields if isinstance(getattr(value, n), Tensor)}
    return dataclasses.replace(value, **changed) if changed else value


def vgg(recipe: Recipe, device: torch.device | str, dtype: torch.dtype) -> Any:
    options = NetworkOptions(
        pooling=recipe.pooling, padding=recipe.padding, normalize_activations=recipe.normalize_activations
    )
    layers = recipe.content_layers + recipe.style_layers
    return build_network("vgg19-random", layers, rows=3, options=options, device=device, dtype=dtype).features


def evaluated(recipe: Recipe, image: Tensor, masks: Masks | None = None, dtype: Any = torch.float32) -> None:
    """Evaluate a recipe's objective twice, the second time as if it were recorded."""
    here = build_objective(recipe, vgg(recipe, "cpu", dtype), image, [image.flip(3)], masks=masks)
    # Gains are made of values; the device without any takes those of the CPU.
    features = vgg(recipe.replace(normalize_activations=False), META, dtype)
    features._gains = {n: g.to(META) for n, g in here.features._gains.items()}  # type: ignore[union-attr]
    record(Objective(features, [on_meta(term) for term in here.terms]), image.to(META))


@contextlib.contextmanager
def as_if_recorded() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, OneDevice():
        # On the device without values these leave no trace.
        patch.setattr(Tensor, "new_tensor", refuse)
        patch.setattr(torch, "tensor", refuse)
        yield


def record(objective: Objective, image: Tensor) -> None:
    objective.value_and_grad(image)
    with as_if_recorded():
        losses, gradient = objective.value_and_grad(image)
    assert gradient.shape == image.shape
    assert gradient.device == META == next(iter(losses.values())).device


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: x * x.new_tensor([2.0]),
        lambda x: x * torch.tensor([2.0], device=META),
        lambda x: x * torch.ones(3).to(META),
        lambda x: x * float(x.sum()),
        lambda x: x[x > 0],
        lambda x: x[:, :, torch.ones(3, device=META).nonzero()[:, 0]],
    ],
)
def test_what_cannot_be_recorded_is_found(spoil: Callable[[Tensor], Tensor]) -> None:
    x = torch.ones(1, 1, 3, 3, device=META)
    with as_if_recorded(), pytest.raises((RuntimeError, NotImplementedError)):
        spoil(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"style_layers": ("relu1_1", "relu2_1@2", "relu1_2@8"), "content_layers": ("relu2_2@2",)},
        {"style_bands": 5, "style_loss": "gram_relative"},
        {"padding": "replicate"},
        {"padding": "replicate_first", "pooling": "average"},
        {"normalize_activations": True},
        {"style_loss": "gram_gatys", "content_loss": "half_sum"},
        *({"tv_weight": 1.0, "tv_loss": form} for form in ("absolute", "power", "nine_point")),
    ],
)
def test_an_objective_of_vgg19_can_be_recorded(changes: dict[str, Any], dtype: torch.dtype) -> None:
    layers = {"style_layers": ("relu1_1", "relu2_1"), "content_layers": ("relu2_2",)}
    image = torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    evaluated(PLAIN.replace(**{**layers, **changes}), image, dtype=dtype)


@pytest.mark.parametrize("bands", [1, 4])
def test_a_masked_objective_can_be_recorded(bands: int) -> None:
    recipe = PLAIN.replace(
        style_layers=("relu1_1", "relu2_1"), content_layers=("relu2_2",), style_loss="gram_relative",
        style_bands=bands,
    )  # fmt: skip
    mask = torch.linspace(0.0, 1.0, 20).expand(1, 1, 24, 20)
    image = torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    evaluated(recipe, image, Masks(contents=(mask,), styles=(mask,)))


@pytest.mark.parametrize("frames", [60, 530])
def test_an_objective_of_wide_random_can_be_recorded(frames: int) -> None:
    """Shorter and longer than where it turns to matrix products."""
    recipe = get_recipe("default-audio-wide")
    image = torch.rand(1, 1, 12, frames, generator=torch.Generator().manual_seed(0))
    features = WideRandom(12, n_filters=40, dtype=torch.float32, device=META)
    here = build_objective(recipe, WideRandom(12, n_filters=40), image, [image.flip(3)])
    record(Objective(features, [on_meta(term) for term in here.terms]), image.to(META))
