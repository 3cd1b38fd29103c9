"""Pictures by the library: what comes out, for what may come in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import specstyle
from specstyle import RECIPES, Picture, Progress, StopRun, transfer_image
from specstyle.errors import RecipeError
from specstyle.media.picturemedium import PictureMedium
from specstyle.media.structure import content_left

IMAGES = Path(__file__).parents[2].parent / "shared" / "data" / "images"
VGG_WEIGHTS = (
    Path(__file__).parents[2].parent
    / "shared"
    / "data"
    / "weights"
    / "vgg19-conv1_1-to-conv3_4-caffe.safetensors"
)
SHALLOW = {"style_layers": ("relu1_1", "relu2_1"), "content_layers": ("relu2_1",)}
FOR_PICTURES = [name for name, recipe in RECIPES.items() if not recipe.style_view]
FAST: dict[str, Any] = {"network": "vgg19-random", "steps": 3, **SHALLOW}


pytestmark = pytest.mark.usefixtures("one_thread")


def scene(height: int = 40, width: int = 48) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [0.5 + 0.4 * np.sin(9 * x), y, (x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.05]
    return np.stack(planes, 2).astype(np.float64)


def brush(height: int = 36, width: int = 44, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.uniform(0, 1, (height // 2 + 1, width // 4 + 1, 3))
    return np.kron(rows, np.ones((2, 4, 1)))[:height, :width]


def run(content: Any = None, style: Any = None, **options: Any) -> specstyle.Result:
    content = scene() if content is None else content
    style = brush() if style is None else style
    return transfer_image(content, style, **{**FAST, **options})


def check(result: specstyle.Result, height: int = 40, width: int = 48) -> torch.Tensor:
    pixels: torch.Tensor = result.output.pixels
    assert tuple(pixels.shape) == (3, height, width)
    assert bool(pixels.isfinite().all())
    assert float(pixels.min()) >= 0
    assert float(pixels.max()) <= 1
    return pixels


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(array, 2, 0).copy())


def psnr_db(x: torch.Tensor, y: torch.Tensor) -> float:
    return -10 * math.log10(max(float((x.double() - y.double()).square().mean()), 1e-30))


# -- what may come in ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 48), (33, 47), (8, 8), (8, 60), (61, 9)])
def test_any_shape(shape: tuple[int, int]) -> None:
    check(run(scene(*shape)), *shape)
    check(run(style=brush(*shape)))


def test_forms_of_input_are_equal(tmp_path: Path) -> None:
    content, style = (np.round(a * 255).astype(np.uint8) for a in (scene(), brush()))
    for name, pixels in (("c.png", content), ("s.png", style)):
        Image.fromarray(pixels).save(tmp_path / name)
    paths = (tmp_path / "c.png", tmp_path / "s.png")
    floats = tuple(torch.from_numpy(p).movedim(2, 0).double() / 255 for p in (content, style))
    forms: list[tuple[Any, Any]] = [
        (content, style),
        paths,
        (str(paths[0]), [str(paths[1])]),
        (content / 255, style / 255),
        floats,
        (floats[0][None], floats[1].float()),
        (floats[0].clone().requires_grad_(), floats[1]),
        (Picture(floats[0].float()), Picture(floats[1].float())),
        (content.astype(np.uint16) * 257, style),
        (paths[0], style),
    ]
    first, *others = [run(*form).output.pixels for form in forms]
    for other in others:
        assert torch.equal(first, other)


def test_inputs_are_not_changed() -> None:
    content, style = scene(), brush()
    run(content, style)
    np.testing.assert_array_equal(content, scene())
    np.testing.assert_array_equal(style, brush())
    pixels = tensor(scene()).float()
    run(Picture(pixels))
    assert torch.equal(pixels, tensor(scene()).float())


def test_gray(tmp_path: Path) -> None:
    gray = scene()[..., 0]
    three = np.repeat(gray[..., None], 3, 2)
    assert torch.equal(run(gray).output.pixels, run(three).output.pixels)
    assert torch.equal(run(torch.from_numpy(gray)[None]).output.pixels, run(three).output.pixels)
    check(run(style=gray))
    Image.fromarray(np.round(gray * 255).astype(np.uint8)).save(tmp_path / "gray.png")
    check(run(tmp_path / "gray.png"))


def test_alpha_is_carried_over(tmp_path: Path) -> None:
    alpha = np.linspace(0, 1, 40 * 48).reshape(40, 48, 1)
    content = np.concatenate([scene(), alpha], 2)
    result = run(content)
    check(result)
    assert torch.allclose(result.output.alpha, tensor(alpha).float(), atol=1e-6)
    assert result.record["content"]["alpha"] is True
    assert torch.equal(run(tensor(content)).output.alpha, result.output.alpha)
    Image.fromarray(np.round(content * 255).astype(np.uint8)).save(tmp_path / "a.png")
    of_file = run(tmp_path / "a.png").output.alpha
    assert torch.allclose(of_file, result.output.alpha, atol=0.5 / 255 + 1e-6)
    style = np.concatenate([brush(), np.full((36, 44, 1), 0.5)], 2)
    assert run(style=style).output.alpha is None  # a style's own does not come out


def test_alpha_is_resized_with_its_picture() -> None:
    content = np.concatenate([scene(), np.ones((40, 48, 1))], 2)
    content[:20, :, 3] = 0
    output = run(content, size=24).output
    assert tuple(output.alpha.shape) == (1, 20, 24)
    assert float(output.alpha[:, :8].max()) < 0.01
    assert float(output.alpha[:, 12:].min()) > 0.99


@pytest.mark.parametrize("bad", [
    scene() * 2, scene() - 0.5, scene()[..., :2], scene()[None], "words", 7, None,
    torch.zeros(40, 48, 3), (tensor(scene()) * 255).to(torch.uint8),
], ids=["above 1", "below 0", "two channels", "four dimensions", "a path", "a number", "nothing",
        "a tensor like an array", "a tensor of bytes"])  # fmt: skip
def test_what_is_no_picture_is_refused_by_name(bad: Any) -> None:
    with pytest.raises((ValueError, specstyle.SpecstyleError), match=r"style|words"):
        transfer_image(scene(), bad, **FAST)


# -- sizes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (40, 48)),
        ({"size": 24}, (20, 24)),
        ({"size": 0}, (40, 48)),
        ({"size": 200}, (40, 48)),
        ({"size": 72, "enlarge": True}, (60, 72)),
        ({"height": 20}, (20, 24)),
        ({"height": 80}, (40, 48)),
        ({"height": 60, "enlarge": True}, (60, 72)),
        ({"height": 16, "width": 40}, (16, 40)),
        ({"height": 50, "width": 30, "enlarge": True}, (50, 30)),
    ],
    ids=str,
)
def test_size(options: dict[str, Any], shape: tuple[int, int]) -> None:
    result = run(**options, steps=1)
    check(result, *shape)
    assert result.record["image_shape"] == [1, 3, *shape]
    assert result.record["content"] == {"height": 40, "width": 48, "alpha": False}


def test_a_picture_is_by_default_worked_on_at_512() -> None:
    big = np.kron(scene(), np.ones((15, 15, 1)))
    adapter = PictureMedium(RECIPES["default-image"], device=torch.device("cpu"))
    encoded = adapter.encode_content(adapter.source(big, "content"))
    assert tuple(encoded.image.shape) == (1, 3, 427, 512)


def test_another_network_finishes_at_full_size() -> None:
    options = {**FAST, "smallest_scale": 24, "scale_factor": 2.0, "finish_network": "vgg19-lite"}
    seen: list[Progress] = []
    result = transfer_image(scene(), brush(), on_step=seen.append, finish_steps=2, **options)
    assert result.record["scales"] == [[20, 24], [40, 48]]
    assert [progress.scale for progress in seen] == [1] * 3 + [2] * 4  # a third of the steps at most
    assert {progress.steps for progress in seen} == {7}
    used = [result.record[key]["name"] for key in ("network", "finish_network")]
    assert used == ["vgg19-random", "vgg19-lite"]
    without = transfer_image(scene(), brush(), **{**options, "finish_network": ""})
    assert "finish_network" not in without.record
    assert not torch.equal(result.output.pixels, without.output.pixels)


def test_a_network_without_the_layers_cannot_finish() -> None:
    with pytest.raises(RecipeError, match="kernel has no layer"):
        transfer_image(scene(), brush(), **{**FAST, "finish_network": "kernel"})
    with pytest.raises(RecipeError, match="no network 'resnet'"):
        transfer_image(scene(), brush(), **{**FAST, "finish_network": "resnet"})


def test_equal_strength_leaves_an_equal_share_of_each_content() -> None:
    """Whatever weight it takes: those that a recipe starts from differ by ten here (seen: .01, .13)."""
    left: dict[float, list[float]] = {0.25: [], 0.75: []}
    for strength, found in left.items():
        for weight in (0.005, 0.05):
            content = scene(96, 128)
            result = transfer_image(
                content, brush(), network="vgg19-lite", balance="share", strength=strength, steps=45,
                content_weight=weight, smallest_scale=48,
            )  # fmt: skip
            image = torch.from_numpy(content).permute(2, 0, 1)[None]
            found.append(content_left(result.output.pixels[None], image.float()))
        assert abs(float(np.mean(found)) - (1 - strength**2)) < 0.25  # seen: .03, .11
    weak, strong = left.values()
    assert max(abs(a - b) for a, b in (weak, strong)) < 0.2
    assert min(weak) > max(strong) + 0.1


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.enlarge or r.height])
def test_sizes_of_recipes(name: str) -> None:
    """Wanted shapes are checked by arithmetic alone where they are large."""
    recipe = RECIPES[name]
    adapter = PictureMedium(recipe, device=torch.device("cpu"))
    shape = tuple(adapter.encode_content(adapter.source(scene(), "content")).image.shape[2:])
    wanted = {
        "tf-eager": (427, 512),
        "tf2": (426, 512),
        "keras-lbfgs": (400, 480),
        "keras-sgd": (400, 600),
        "crowson2021": (427, 512),
    }
    assert shape == wanted[name]


def test_forced_shape_gives_way_to_size() -> None:
    check(run(recipe="keras-sgd", size=32), 27, 32)
    check(run(recipe="keras-sgd", size=100), 40, 48)


# -- recipes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOR_PICTURES)
def test_every_recipe(name: str) -> None:
    recipe = RECIPES[name]
    changes: dict[str, Any] = {"steps": 2, "size": 48}
    if {"relu1", "kernel2"} & set(recipe.style_layers):
        changes["n_filters"] = 32
    if name == "keras-sgd":  # its learning rate is for 400 x 600 pixels
        changes["lr"] = 1.0
    seen: list[Progress] = []
    result = transfer_image(scene(32, 48), brush(40, 36), recipe=name, on_step=seen.append, **changes)
    check(result, 32, 48)
    assert result.record["recipe"]["name"] == name
    assert result.record["recipe"]["source"] == recipe.source
    assert len(seen) == result.record["steps"] == (3 if recipe.finish_network else 2)
    assert all(math.isfinite(v) for v in result.record["losses"]["end"].values())


@pytest.mark.parametrize("network", ["auto", "vgg19-random", "wide-random"])
def test_defaults(network: str) -> None:
    notes: list[str] = []
    result = transfer_image(
        scene(), brush(), network=network, steps=2, n_filters=32, size=48, on_note=notes.append
    )
    check(result)
    ran = "vgg19-lite" if network == "auto" else network
    assert result.record["network"]["name"] == ran
    assert any(f"network: {ran}" in note for note in notes) == (network == "auto")


def test_coarse_to_fine() -> None:
    seen: list[Progress] = []
    shapes: list[tuple[int, ...]] = []

    def note(progress: Progress) -> None:
        seen.append(progress)
        shapes.append(tuple(progress.image().shape[2:]))
        assert tuple(progress.result().pixels.shape) == (3, 40, 48)

    result = run(smallest_scale=12, scale_factor=2.0, steps=2, on_step=note)
    check(result)
    assert result.record["scales"] == [[10, 12], [20, 24], [40, 48]]
    assert [p.step for p in seen] == [1, 2, 3, 4, 5, 6]
    assert [p.scale for p in seen] == [1, 1, 2, 2, 3, 3]
    assert {p.steps for p in seen} == {6}
    assert shapes[::2] == [(10, 12), (20, 24), (40, 48)]


def test_first_steps_are_the_first_scale_s() -> None:
    seen: list[Progress] = []
    run(smallest_scale=24, scale_factor=2.0, steps=2, first_steps=3, on_step=seen.append, optimizer="adam",
        lr=0.02)  # fmt: skip
    assert [p.scale for p in seen] == [1, 1, 1, 2, 2]
    assert {p.steps for p in seen} == {5}


# -- what the weights do -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strength", "without"), [(0.0, "style"), (1.0, "content")])
def test_the_ends_of_strength(strength: float, without: str) -> None:
    result = run(strength=strength)
    same = psnr_db(check(result), tensor(scene()))
    assert same > 100 if without == "style" else same < 60
    assert without not in result.record["losses"]["end"]


def test_more_strength_goes_further_from_the_content() -> None:
    near, far = (run(strength=s, steps=20).output.pixels for s in (0.1, 0.9))
    assert psnr_db(near, tensor(scene())) > psnr_db(far, tensor(scene())) + 1


@pytest.mark.parametrize(("kind", "other", "share"), [("content", "style", 0.1), ("style", "content", 1.0)])
def test_one_loss_alone_from_noise(kind: str, other: str, share: float) -> None:
    losses = run(init="noise", steps=30, **{f"{other}_weight": 0.0}).record["losses"]
    assert other not in losses["end"]
    assert losses["end"][kind] < share * losses["start"][kind]


def test_total_variation_smooths() -> None:
    def roughness(pixels: torch.Tensor) -> float:
        return float(pixels.diff(dim=1).square().mean() + pixels.diff(dim=2).square().mean())

    rough, smooth = (run(init="noise", tv_weight=w, steps=10) for w in (0.0, 100.0))
    assert roughness(smooth.output.pixels) < 0.7 * roughness(rough.output.pixels)
    assert smooth.record["losses"]["end"]["tv"] < smooth.record["losses"]["start"]["tv"]


def test_blend_of_styles() -> None:
    one, two = brush(), brush(50, 30, seed=2) ** 3
    alone = run(style=one).output.pixels
    assert torch.equal(run(style=[one, two], style_blend=(1, 0)).output.pixels, alone)
    assert torch.equal(run(style=[two, one], style_blend=(0, 5)).output.pixels, alone)
    even = run(style=[one, two])
    check(even)
    assert len(even.record["styles"]) == 2
    assert torch.equal(run(style=[one, two], style_blend=(2, 2)).output.pixels, even.output.pixels)
    assert not torch.equal(even.output.pixels, alone)


# -- how -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["content", "style", "noise"])
@pytest.mark.parametrize("network", ["wide-random", "vgg19-random"])
def test_inits(init: str, network: str) -> None:
    recipe = "default" if network == "wide-random" else RECIPES["default-image"]
    result = transfer_image(
        scene(), brush(), recipe=recipe, network=network, n_filters=32, init=init, steps=2
    )
    check(result)


def test_init_from_a_file(tmp_path: Path) -> None:
    Image.fromarray(np.round(brush(20, 70, seed=4) * 255).astype(np.uint8)).save(tmp_path / "start.jpg")
    result = run(init=str(tmp_path / "start.jpg"))
    assert not torch.equal(check(result), run().output.pixels)


def test_init_from_the_content_as_a_file(tmp_path: Path) -> None:
    content = np.round(scene() * 255).astype(np.uint8)
    Image.fromarray(content).save(tmp_path / "c.png")
    assert torch.equal(run(content, init=str(tmp_path / "c.png")).output.pixels, run(content).output.pixels)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "sgd"])
@pytest.mark.parametrize("pixel_range", [1.0, 255.0])
def test_optimizers(optimizer: str, pixel_range: float) -> None:
    lr = {"adam": 0.02 * pixel_range, "lbfgs": 1.0, "sgd": 0.3 * pixel_range**2}[optimizer]
    result = run(optimizer=optimizer, lr=lr, pixel_range=pixel_range, steps=5)
    check(result)
    losses = result.record["losses"]
    assert losses["end"]["total"] < losses["start"]["total"]


@pytest.mark.parametrize("options", [
    {"pooling": "average"}, {"padding": "replicate"},
    {"padding": "replicate_first"}, {"normalize_activations": True}, {"keep": "best"}, {"keep": "average"},
    {"style_loss": "wasserstein2"}, {"style_layer_weights": (1.0, 0.0)}, {"clip": False},
    {"style_size": "content"}, {"tv_weight": 0.1, "tv_loss": "nine_point"},
], ids=str)  # fmt: skip
def test_options(options: dict[str, Any]) -> None:
    result = run(**options)
    check(result)
    for name, value in options.items():
        assert result.record["recipe"][name] == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize("init", ["content", "noise"])
def test_the_same_twice(init: str) -> None:
    first, second = run(init=init), run(init=init)
    assert torch.equal(first.output.pixels, second.output.pixels)
    one, two = ({**r.record, "seconds": 0} for r in (first, second))
    assert one == two
    assert not torch.equal(first.output.pixels, run(init=init, seed=1).output.pixels)


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_stop(stop_at: int) -> None:
    """With two scales of three steps; the result is always whole."""

    def stop(progress: Progress) -> None:
        if progress.step == stop_at:
            raise StopRun

    result = run(on_step=stop, smallest_scale=24, scale_factor=2.0)
    check(result)
    assert result.record["stopped"] is True
    assert result.record["steps"] == stop_at


# -- the record ----------------------------------------------------------------------------------------------


def test_record() -> None:
    result = run(seed=5, strength=0.7)
    record = result.record
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["specstyle"] == specstyle.__version__
    assert record["medium"] == "image"
    assert record["network"]["name"] == "vgg19-random"
    assert record["network"]["preprocessing"] in ("torchvision", "caffe", "none")
    assert len(record["network"]["sha256"]) == 64
    assert record["seed"] == 5
    assert record["styles"] == [{"height": 36, "width": 44, "alpha": False}]
    assert "spectral_convergence_db" not in record
    assert record["seconds"] > 0
    again = transfer_image(
        scene(), brush(), recipe=specstyle.Recipe().replace(**record["recipe"]), seed=record["seed"]
    )
    assert torch.equal(again.output.pixels, result.output.pixels)


@pytest.mark.skipif(not IMAGES.is_dir(), reason="the pictures of shared/data/images are not here")
@pytest.mark.skipif(not VGG_WEIGHTS.is_file(), reason="the weights of shared/data/weights are not here")
def test_real_pictures_on_real_weights() -> None:
    result = transfer_image(
        IMAGES / "tubingen.jpg",
        IMAGES / "starry_night.jpg",
        weights=VGG_WEIGHTS,
        size=48,
        steps=10,
        style_layers=("relu1_1", "relu2_1", "relu3_1"),
        content_layers=("relu3_1",),
    )
    assert max(result.output.pixels.shape) == 48
    network = result.record["network"]
    assert (network["name"], network["preprocessing"]) == ("vgg19", "caffe")
    losses = result.record["losses"]
    assert losses["end"]["style"] < 0.3 * losses["start"]["style"]
    with pytest.raises(ValueError, match=r"relu4_1, relu5_1"):
        transfer_image(scene(), brush(), weights=VGG_WEIGHTS)
