"""Networks are made once for many runs, kept within bounds, and change no byte of a result."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from commands import go
from PIL import Image

from specstyle import Request, transfer_audio
from specstyle.features import networks
from specstyle.recipes import Recipe
from specstyle.run.objective import Cache, network_key
from specstyle.run.request import Job

RATE = 8000
LAYERS = {"style_layers": ("relu1_1", "relu2_1"), "content_layers": ("relu2_1",), "steps": 3}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("audio", {"network": "kernel", "steps": 3}),
    ("audio", {"network": "wide-random", "n_filters": 32, "steps": 3, "phase_iterations": 2}),
    ("audio", {"network": "vgg19-random", "style_bands": 4, "phase_iterations": 2, **LAYERS}),
    (
        "audio",
        {"network": "vgg19-random", "style_loss": "wasserstein2", "style_bands": 1, "phase_iterations": 2}
        | LAYERS,
    ),
    ("image", {"network": "vgg19-lite", "smallest_scale": 20, **LAYERS}),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, one_thread: None) -> None:
    """Two contents of different sizes and two styles in each medium, on one thread."""
    rng = np.random.default_rng(0)
    t = np.arange(6000) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 440 * t * (1 + t))
    for name, samples in {"c1": tone, "c2": tone[::-1][:5000], "s1": 0.1 * rng.standard_normal(4000),
                          "s2": 0.1 * rng.standard_normal((4500, 2))}.items():  # fmt: skip
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
    for name, shape in {"c1": (32, 40), "c2": (40, 36), "s1": (36, 32), "s2": (30, 30)}.items():
        pixels = rng.integers(0, 255, (*shape, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")


def made(folder: Path, medium: str, overrides: dict[str, Any], names: str, cache: Cache | None) -> bytes:
    suffix = {"audio": ".wav", "image": ".png"}[medium]
    content, *styles = (folder / f"{name}{suffix}" for name in names.split())
    output = folder / f"out{suffix}"
    job = Job(Request(medium, content, tuple(styles), overrides=overrides, seed=3), output, force=True)
    go(job, cache=cache)
    return output.read_bytes()


@pytest.mark.parametrize(("medium", "overrides"), CASES)
def test_the_same_bytes_as_without(medium: str, overrides: dict[str, Any], tmp_path: Path) -> None:
    cache = Cache()
    for names in ("c1 s1", "c2 s1", "c1 s1 s2", "c1 s1"):
        assert made(tmp_path, medium, overrides, names, cache) == made(
            tmp_path, medium, overrides, names, None
        )


def test_other_recipes_between_change_nothing(tmp_path: Path) -> None:
    """What is kept for one recipe is not taken for another that differs in one field."""
    cache = Cache()
    plain = {"style_bands": 1}
    for change in ({}, {"style_bands": 2}, plain, {**plain, "style_loss": "wasserstein2"},
                   {"pooling": "average"}, {"style_layers": ("relu1_1",)}, {"n_fft": 256},
                   {"strength": 1.0}, {}):  # fmt: skip
        overrides = {**CASES[2][1], **change}
        assert made(tmp_path, "audio", overrides, "c1 s1", cache) == made(
            tmp_path, "audio", overrides, "c1 s1", None
        )


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    calls: list[Any] = []
    original = getattr(module, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, counting)
    return calls


def test_the_second_run_makes_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache()
    made(tmp_path, "audio", CASES[2][1], "c1 s1", cache)
    built = counted(monkeypatch, networks, "VGG19")
    made(tmp_path, "audio", CASES[2][1], "c2 s1", cache)
    assert not built


def test_what_determines_a_network() -> None:
    recipe = Recipe(network="vgg19-lite", content_layers=("relu1_1",), style_layers=("relu2_1",))

    def key(of: Recipe, device: str = "cpu", precision: str = "fp32", **changes: Any) -> Any:
        return network_key(of, Request("image", None, (), **changes), torch.device(device), precision)

    assert key(recipe) == key(recipe, seed=4) == key(dataclasses.replace(recipe, steps=9))
    assert key(recipe) != key(dataclasses.replace(recipe, pooling="average"))
    assert key(recipe) != key(dataclasses.replace(recipe, strength=1.0))  # no content layer is needed
    assert key(recipe) != key(recipe, device="meta")
    assert key(recipe) != key(recipe, precision="bf16")
    wide = dataclasses.replace(recipe, network="wide-random")
    assert key(wide) != key(wide, seed=4)


def test_as_many_networks_as_said() -> None:
    cache, made = Cache(networks=2), []
    recipe = Recipe(network="wide-random", content_layers=("relu1",), style_layers=("relu1",), n_filters=8)
    for seed in (0, 0, 1, 0, 2, 3, 0):
        request, cpu = Request("audio", None, (), seed=seed), torch.device("cpu")
        made.append(cache.network(recipe, request, device=cpu, precision="fp32"))
    again = [made[0] is made[i] for i in range(1, len(made))]
    assert again == [True, False, True, False, False, False]


@dataclasses.dataclass
class Halves:
    """A network of one's own that cannot be hashed."""

    sides: int = 2

    def __call__(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"halves": torch.nn.functional.avg_pool2d(image, self.sides)}


@pytest.mark.parametrize("network", [Halves(), torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3))])
def test_networks_of_ones_own(network: Any) -> None:
    """Also those that cannot be hashed, and those that could still be trained."""
    seen = network if isinstance(network, Halves) else lambda image: {"halves": network(image)}
    content, style = np.random.default_rng(0).standard_normal((2, 4000)) / 9
    layers = {"content_layers": ("halves",), "style_layers": ("halves",)}
    result = transfer_audio(content, style, sample_rate=RATE, network=seen, steps=3, **layers)
    assert result.output.samples.shape == (1, 4000)
