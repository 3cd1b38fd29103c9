from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import specstyle
from specstyle.engine.device import convolutions_in, settle_precision
from specstyle.engine.objective import Objective
from specstyle.engine.views import Seen, bare
from specstyle.features import WideRandom
from specstyle.features.networks import load_network
from specstyle.recipes import get_recipe
from specstyle.run.objective import build_objective

CPU = torch.device("cpu")


def seen(name: str, layers: tuple[str, ...], **options: Any) -> Seen:
    network = load_network(name, tuple(map(bare, layers)), **options)
    nothing = torch.zeros(1, 3, 8, 8)
    return Seen(lambda see, names: network.fitted(see, names, nothing, [nothing]), layers)


def pictures() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:72, 0:64] / 64
    content = np.stack([x % 1, y % 1, (x > 0.5) * 1.0], -1) * 0.8 + 0.1
    style = np.stack([np.sin(40 * x) * 0.4 + 0.5, np.cos(30 * (x + y)) * 0.4 + 0.5, 0.5 + 0 * x], -1)
    return content, style


def test_auto_is_fp32_where_nothing_else_is_faster() -> None:
    assert settle_precision("auto", CPU) == settle_precision("auto", torch.device("mps")) == "fp32"
    assert settle_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(
    ("name", "device", "said"),
    [
        ("fp16", "cpu", "precision must be one of auto, fp32, tf32, bf16, got 'fp16'"),
        ("tf32", "cpu", "tf32 needs an NVIDIA GPU from Ampere on, and this is cpu; use fp32"),
        ("bf16", "mps", "not offered on MPS; use fp32"),
    ],
)
def test_what_a_device_does_not_have_is_refused(name: str, device: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settle_precision(name, torch.device(device))


@pytest.mark.parametrize(("capability", "best"), [((7, 5), "fp32"), ((8, 0), "tf32"), ((9, 0), "tf32")])
def test_gpus_before_ampere_have_neither_tf32_nor_bf16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], best: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    device = torch.device("cuda:1")
    assert settle_precision("auto", device) == best
    for name in ("tf32", "bf16"):
        if best == "fp32":
            with pytest.raises(ValueError, match=f"precision {name} needs an NVIDIA GPU from Ampere on, and"):
                settle_precision(name, device)
        else:
            assert settle_precision(name, device) == name


def test_the_kernel_in_bf16_is_the_kernel_but_for_its_digits() -> None:
    rng = np.random.default_rng(0)
    content, style = 0.1 * rng.standard_normal((2, 8000))
    exact, less = (
        specstyle.transfer_audio(content, style, sample_rate=8000, network="kernel", precision=p, steps=3)
        for p in ("fp32", "bf16")
    )
    ends = [r.record["losses"]["start"]["total"] for r in (exact, less)]
    assert less.record["precision"] == "bf16"
    assert ends[0] != ends[1]
    assert ends[1] == pytest.approx(ends[0], rel=0.02)  # products of 8 bits, summed over hundreds of bins


def test_tf32_is_for_convolutions_and_only_for_the_time_of_a_run() -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    repeatable = cudnn.deterministic
    with convolutions_in("tf32"):
        assert cudnn.allow_tf32 is True
        assert matmul.allow_tf32 == before[1]  # Gram matrices keep their digits
        assert cudnn.deterministic is True
    assert cudnn.deterministic is repeatable
    for precision in ("fp32", "bf16"):
        with convolutions_in(precision):
            assert cudnn.allow_tf32 is False
    assert before == (cudnn.allow_tf32, matmul.allow_tf32)


def test_gains_are_measured_in_the_precision_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from specstyle.features import networks

    found, plain = [], networks.normalizing_gains

    def gains(*arguments: object) -> dict[str, Tensor]:
        found.append(torch.backends.cudnn.allow_tf32)
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(networks, "normalizing_gains", gains)
    specstyle.transfer_image(
        *pictures(),
        network="vgg19-lite",
        finish_network="",
        precision="fp32",
        normalize_activations=True,
        steps=1,
    )
    assert found == [False]


def test_maps_of_a_bf16_network_are_float32_and_near() -> None:
    image = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(0))
    layers = ("relu1_1", "relu3_1", "relu2_1@2")
    exact = seen("vgg19-lite", layers)(image)
    for name, maps in seen("vgg19-lite", layers, dtype=torch.bfloat16)(image).items():
        assert maps.dtype == torch.float32
        assert float((maps - exact[name]).norm() / exact[name].norm()) < 0.02
    wide = WideRandom(40, n_filters=30, dtype=torch.bfloat16)(image[:, :1])["relu1"]
    assert wide.dtype == torch.float32
    plain = WideRandom(40, n_filters=30)(image[:, :1])["relu1"]
    assert float((wide - plain).norm() / plain.norm()) < 0.02


@pytest.mark.parametrize(
    ("options", "apart"), [({"optimizer": "lbfgs"}, 3.0), ({"optimizer": "adam", "lr": 0.03}, 1.2)]
)
def test_bf16_ends_no_worse_than_fp32(options: dict[str, object], apart: float) -> None:
    """The losses that count are those of the results, both by the exact network; full runs: bench/NOTES.md.

    On five contents 1e-3 apart and three sets of instructions the ratio was 0.6 to 1.4 for L-BFGS, whose line
    searches part ways and leave a thousandth of the start's loss, and 0.9 to 1.03 for Adam: four of its
    standard deviations are allowed.
    """
    content, style = pictures()
    recipe = get_recipe("default-image").replace(network="vgg19-lite")
    layers = recipe.content_layers + recipe.style_layers
    features = seen("vgg19-lite", layers)
    encoded = [torch.from_numpy(np.moveaxis(p, 2, 0)).float()[None] for p in (content, style)]
    objective = build_objective(recipe, features, encoded[0], encoded[1:])
    ends = []
    for precision in ("fp32", "bf16"):
        result = specstyle.transfer_image(
            content,
            style,
            network="vgg19-lite",
            precision=precision,
            recipe="default",
            steps=40,
            smallest_scale=None,
            **options,
        )
        assert result.record["precision"] == precision
        ends.append(sum(float(v) for v in objective.losses(result.output.pixels[None]).values()))
    assert ends[1] < apart * ends[0]


def case(device: str, dtype: torch.dtype, size: int = 96) -> tuple[Objective, Tensor]:
    recipe = get_recipe("gatys2016").replace(network="vgg19-random", tv_weight=1e-3)
    layers = recipe.content_layers + recipe.style_layers
    layers = tuple(layer.replace("conv", "relu") for layer in layers)
    recipe = recipe.replace(
        content_layers=tuple(n.replace("conv", "relu") for n in recipe.content_layers),
        style_layers=tuple(n.replace("conv", "relu") for n in recipe.style_layers),
    )
    features = seen("vgg19-random", layers, device=device, dtype=dtype)
    image, content, style = torch.rand(3, 1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(
        device
    )
    with convolutions_in("fp32"):  # the targets as exact as what is held against them
        return build_objective(recipe, features, content, [style]), image


def needs_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_a_gpu_gives_the_same_each_time(method: str) -> None:
    needs_gpu()
    content, style = pictures()
    first, second = (
        specstyle.transfer_image(
            content, style, network="vgg19-lite", device="cuda", optimizer=method, steps=10
        ).output.pixels
        for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "changes",
    [
        {"style_loss": "gram_relative", "style_bands": 6},
        {"padding": "replicate", "style_loss": "gram_relative"},
        {"style_layers": ("relu1_1", "relu2_1@2"), "normalize_activations": True},
    ],
)
def test_what_a_recipe_adds_runs_on_a_gpu_too(changes: dict[str, object]) -> None:
    needs_gpu()
    result = specstyle.transfer_image(
        *pictures(), recipe="default-image", network="vgg19-lite", device="cuda", steps=3, **changes
    )
    assert result.output.pixels.isfinite().all()


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu() -> None:
    needs_gpu()
    (ours, image), (theirs, there) = case("cpu", torch.float32), case("cuda", torch.float32)
    with convolutions_in("fp32"):
        losses, gradient = theirs.value_and_grad(there)
    expected, gradient_here = ours.value_and_grad(image)
    for name, loss in expected.items():
        assert float(losses[name]) == pytest.approx(float(loss), rel=1e-3)
    assert float((gradient.cpu() - gradient_here).norm() / gradient_here.norm()) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_whole_run_on_a_gpu(precision: str) -> None:
    needs_gpu()
    here, there = (
        # Line searches part ways for a gradient of three digits; Adam's steps do not.
        specstyle.transfer_image(
            *pictures(), network="vgg19-lite", optimizer="adam", lr=0.02, steps=20, device=device,
            precision=digits,
        )
        for device, digits in (("cpu", "fp32"), ("cuda", precision))
    )  # fmt: skip
    assert there.record["precision"] == precision
    ends = [r.record["losses"]["end"]["total"] for r in (here, there)]
    assert ends[1] == pytest.approx(ends[0], rel=0.02)


@pytest.mark.gpu
def test_tiles_on_a_gpu() -> None:
    needs_gpu()
    content, style = pictures()
    results = [
        specstyle.transfer_image(
            content, style, network="vgg19-lite", device="cuda", precision="fp32", tile=tile, steps=5
        )
        for tile in ("off", 32)
    ]
    torch.testing.assert_close(results[0].output.pixels, results[1].output.pixels, rtol=0, atol=5e-3)
