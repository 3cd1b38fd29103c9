from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specstyle.errors import RecipeError, SpecstyleError
from specstyle.recipes import (
    DEFAULTS,
    PUBLISHED,
    RECIPES,
    Recipe,
    default_recipe,
    from_dict,
    from_toml,
    get_recipe,
    read_recipe,
    to_dict,
    to_toml,
)

S5 = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
FIFTHS = dict.fromkeys(S5, 0.2)

# Typed in from shared/RECIPES.md. Layer weights are those that count: share times the loss' weight.
TABLE: dict[str, dict[str, Any]] = {
    "tf-eager": {
        "pooling": "max", "padding": "zeros", "normalize_activations": False,
        "content_layers": ("relu5_2",), "content_loss": "mean", "content_weight": 1e3,
        "style_loss": "gram_mean", "style_weight": 1e-2, "tv_weight": 0.0, "pixel_range": 255.0,
        "init": "content", "optimizer": "adam", "lr": 5.0, "lr_decay": 1.0, "beta1": 0.99, "beta2": 0.999,
        "epsilon": 0.1, "epsilon_hat": True, "steps": 1000, "first_steps": None, "clip": True,
        "keep": "best", "smallest_scale": None, "size": 512, "enlarge": True, "height": None, "width": None,
        "style_size": "own",
    },
    "gatys2016": {
        "pooling": "average", "padding": "zeros", "normalize_activations": True,
        "content_layers": ("relu4_2",), "content_loss": "half_sum", "content_weight": 1.0,
        "style_loss": "gram_gatys", "style_weight": 1e3, "tv_weight": 0.0, "pixel_range": 255.0,
        "init": "noise", "noise": "uniform", "noise_scale": 255.0, "optimizer": "lbfgs",
        "restart_every": None, "clip": False, "keep": "last", "smallest_scale": None, "size": 512,
        "height": None, "width": None, "style_size": "content",
    },
    "tf2": {
        "pooling": "max", "padding": "zeros", "normalize_activations": False,
        "content_layers": ("relu5_2",), "content_loss": "mean", "content_weight": 1e4,
        "style_loss": "gram_mean", "style_weight": 1e-2, "tv_loss": "absolute", "tv_weight": 30.0,
        "pixel_range": 1.0, "init": "content", "optimizer": "adam", "lr": 0.02, "lr_decay": 1.0,
        "beta1": 0.99, "beta2": 0.999, "epsilon": 0.1, "epsilon_hat": True, "steps": 1000,
        "first_steps": None, "clip": True, "keep": "last", "smallest_scale": None, "size": 512,
        "enlarge": True, "height": None, "width": None, "style_size": "own", "resampling": "bilinear",
        "truncate_sides": True,
    },
    "keras-lbfgs": {
        "pooling": "max", "padding": "zeros", "normalize_activations": False,
        "content_layers": ("relu5_2",), "content_loss": "sum", "content_weight": 0.025,
        "style_loss": "gram_keras", "style_weight": 1.0, "tv_loss": "power", "tv_weight": 1e-4,
        "pixel_range": 255.0, "init": "content", "optimizer": "lbfgs", "restart_every": 21,
        "history": 10, "steps": 420, "clip": False, "keep": "last", "smallest_scale": None,
        "height": 400, "width": None, "enlarge": True, "style_size": "content", "resampling": "nearest",
        "truncate_sides": True,
    },
    "keras-sgd": {
        "pooling": "max", "padding": "zeros", "normalize_activations": False,
        "content_layers": ("relu5_2",), "content_loss": "sum", "content_weight": 2.5e-8,
        "style_loss": "gram_keras", "style_weight": 1e-6, "tv_loss": "power", "tv_weight": 1e-6,
        "pixel_range": 255.0, "init": "content", "optimizer": "sgd", "lr": 100.0, "lr_decay": 0.90,
        "steps": 4000, "clip": False, "keep": "last", "smallest_scale": None,
        "height": 400, "width": 600, "enlarge": True, "style_size": "content", "resampling": "nearest",
    },
    "johnson2015": {
        "pooling": "max", "padding": "zeros", "normalize_activations": False,
        "content_layers": ("relu4_2",), "content_loss": "mean", "content_weight": 5.0,
        "style_loss": "gram_chw", "style_weight": 100.0, "tv_loss": "squared", "tv_weight": 1e-3,
        "pixel_range": 255.0, "optimizer": "lbfgs", "steps": 1000, "lr": 10.0, "clip": False,
        "keep": "last", "smallest_scale": None, "style_size": "own",
    },
    "crowson2021": {
        "pooling": "max", "padding": "replicate_first",
        "normalize_activations": False, "content_layers": ("relu4_2",), "content_loss": "mean",
        "content_weight": 0.015, "style_loss": "wasserstein2", "style_weight": 1.0,
        "tv_loss": "nine_point", "tv_weight": 2.0, "pixel_range": 1.0, "init": "content",
        "optimizer": "adam", "lr": 0.02, "lr_decay": 1.0, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8,
        "epsilon_hat": False, "steps": 500, "first_steps": 1000, "clip": True, "keep": "average",
        "smallest_scale": 128, "scale_factor": math.sqrt(2.0), "carry": "image",
        "size": 512, "enlarge": True, "style_size": "smaller",
    },
    "ulyanov2016": {
        "network": "wide-random", "n_filters": 4096, "filter_scaling": "fan_avg",
        "content_layers": ("relu1",), "content_loss": "sum", "content_weight": 1e-2,
        "style_layers": ("relu1",), "style_loss": "gram_sum", "style_weight": 1.0, "tv_weight": 0.0,
        "pixel_range": 1.0, "init": "noise", "noise": "gaussian", "noise_scale": 1e-3,
        "noise_center": "zero", "optimizer": "lbfgs", "steps": 300, "clip": False, "keep": "last",
        "smallest_scale": None, "sample_rate": 22050, "n_fft": 2048, "hop_length": 512,
        "win_length": None, "log_gain": 1.0, "normalize_level": False,
        "unit_scale": False, "phase": "random", "phase_method": "griffin-lim",
        "phase_iterations": 500, "phase_momentum": 0.0,
    },
}  # fmt: skip

STYLE_SHARES = {
    "johnson2015": dict.fromkeys(S5, 1.0),
    "crowson2021": dict(zip(S5, (256 / 341, 64 / 341, 16 / 341, 4 / 341, 1 / 341), strict=True)),
    "ulyanov2016": {"relu1": 1.0},
}


def test_every_published_system_is_there() -> None:
    assert set(PUBLISHED) == set(TABLE)
    assert set(RECIPES) == {*PUBLISHED, *(r.name for r in DEFAULTS.values())}
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert recipe.source not in ("", "yours")


@pytest.mark.parametrize("name", TABLE)
def test_figures_are_those_of_the_table(name: str) -> None:
    recipe = get_recipe(name)
    found = {field: getattr(recipe, field) for field in TABLE[name]}
    assert found == TABLE[name]
    shares = STYLE_SHARES.get(name, FIFTHS)
    assert recipe.layer_weights("style") == pytest.approx(shares)
    assert list(recipe.layer_weights("style")) == list(shares)
    assert recipe.layer_weights("content") == {TABLE[name]["content_layers"][0]: 1.0}
    assert recipe.strength == 0.5
    assert recipe.effective_weights() == (recipe.content_weight, recipe.style_weight)
    if name != "ulyanov2016":
        assert recipe.network == "vgg19"


def test_gatys_range_of_ratio_and_steps() -> None:
    recipe = get_recipe("gatys2016")
    assert recipe.content_weight / recipe.style_weight == pytest.approx(1e-3)
    assert 500 <= recipe.steps <= 1000


def test_names_that_do_not_exist_list_those_that_do() -> None:
    with pytest.raises(RecipeError, match="no recipe is called 'gatys'") as caught:
        get_recipe("gatys")
    assert all(name in str(caught.value) for name in RECIPES)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SpecstyleError)


def test_defaults_by_medium_and_network() -> None:
    for (medium, network), recipe in DEFAULTS.items():
        assert default_recipe(medium, network) is recipe
        assert recipe.network in (network, "auto")
        layers = recipe.content_layers + recipe.style_layers
        assert all((layer == "relu1") == (network == "wide-random") for layer in layers)
    with pytest.raises(RecipeError, match=r"video with network 'vgg19'.*audio with wide-random"):
        default_recipe("video", "vgg19")


# TOML


@pytest.mark.parametrize("name", RECIPES)
def test_toml_brings_every_recipe_back(name: str) -> None:
    recipe = get_recipe(name)
    assert from_toml(to_toml(recipe)) == recipe
    assert from_dict(to_dict(recipe)) == recipe


LAYER = st.sampled_from([f"relu{b}_{i}" for b in range(1, 6) for i in (1, 2)])
WEIGHT = st.floats(1e-6, 1e6)


@st.composite
def variations(draw: st.DrawFn) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for kind in ("content", "style"):
        layers = draw(st.lists(LAYER, min_size=1, max_size=5, unique=True))
        changes[f"{kind}_layers"] = tuple(layers)
        weights = draw(st.none() | st.lists(WEIGHT, min_size=len(layers), max_size=len(layers)))
        changes[f"{kind}_layer_weights"] = tuple(weights or ())
        changes[f"{kind}_weight"] = draw(WEIGHT)
    changes["name"] = draw(st.text(st.characters(codec="utf-8"), max_size=20))
    changes["source"] = draw(st.text(st.characters(codec="utf-8"), max_size=40))
    changes["style_blend"] = tuple(draw(st.lists(WEIGHT, max_size=3)))
    changes["steps"] = draw(st.integers(1, 10**6))
    changes["first_steps"] = draw(st.none() | st.integers(1, 10**6))
    changes["restart_every"] = draw(st.none() | st.integers(1, 100))
    changes["height"] = draw(st.none() | st.integers(1, 10**4))
    changes["width"] = draw(st.none() | st.integers(1, 10**4)) if changes["height"] else None
    changes["size"] = 0 if changes["height"] else draw(st.integers(0, 10**5))
    changes["lr"] = draw(st.floats(1e-300, 1e300))
    changes["clip"] = draw(st.booleans())
    changes["strength"] = draw(st.floats(0.001, 0.999))
    return changes


@given(st.sampled_from(sorted(RECIPES)), variations())
@settings(deadline=None, max_examples=60, database=None)
def test_toml_brings_any_recipe_back(name: str, changes: dict[str, Any]) -> None:
    recipe = get_recipe(name).replace(**changes)
    assert from_toml(to_toml(recipe)) == recipe
    assert all(getattr(recipe, field) == value for field, value in changes.items())


def test_a_missing_field_has_its_default_and_a_whole_number_is_a_float() -> None:
    recipe = from_toml("steps = 7\ncontent_weight = 3\nstyle_layers = ['relu1_1']\nstyle_layer_weights = [2]")
    assert recipe.steps == 7
    assert isinstance(recipe.content_weight, float)
    assert recipe.style_layer_weights == (2.0,)
    assert isinstance(recipe.style_layer_weights[0], float)
    assert recipe.lr == Recipe().lr
    assert from_toml("steps = 7.0").steps == 7
    assert from_toml("") == Recipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 7", "no field 'stepz'; did you mean steps"),
        ("steps = 'many'", "steps must be of type int, got 'many'"),
        ("steps = 7.5", "steps must be of type int, got 7.5"),
        ("steps = true", "steps must be of type int, got True"),
        ("lr = true", "lr must be of type float, got True"),
        ("lr = '1'", "lr must be of type float"),
        ("clip = 1", "clip must be of type bool, got 1"),
        ("name = 3", "name must be of type str, got 3"),
        ("style_layers = 'relu1_1'", "style_layers must be a list, got 'relu1_1'"),
        ("content_layers = [1]", "content_layers must be of type str, got 1"),
        ("content_layers = 4", "content_layers must be a list, got 4"),
        ("style_layers = true", "style_layers must be a list, got True"),
        ("style_blend = 4", "style_blend must be a list, got 4"),
        ("style_blend = ['a']", "style_blend must be of type float"),
        ("[steps]\na = 1", "steps must be of type int"),
        ("lr = nan", "lr must be a finite number"),
        ("lr = inf", "lr must be a finite number"),
        ("pooling = 'mean'", "pooling must be one of max, average, got 'mean'"),
        ("style_loss = 'gram'", "style_loss must be one of .*gram_keras.*wasserstein2, got 'gram'"),
        ("steps =", "not valid TOML"),
        ("steps = 1\nsteps = 2", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        from_toml(text)
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=rf"mine\.toml: .*{message}"):
        read_recipe(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: cannot read the recipe: No such file"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="cannot read the recipe: it is a directory"):
        read_recipe(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\x81\x00\xff")
    with pytest.raises(RecipeError, match="it is no text file"):
        read_recipe(tmp_path / "bytes.toml")


# Values

BAD: list[dict[str, Any]] = [
    {"lr": math.nan}, {"steps": None}, {"clip": None},
    {"content_weight": -1.0}, {"style_weight": -0.1}, {"tv_weight": -1.0}, {"steps": 0}, {"lr": 0.0},
    {"first_steps": 0}, {"size": -1}, {"height": 0}, {"beta1": 1.0}, {"beta2": -0.1},
    {"strength": 1.1}, {"strength": -0.1}, {"scale_factor": 1.0},
    {"pixel_range": 0.0}, {"width": 100}, {"n_fft": 0}, {"hop_length": -1}, {"sample_rate": 0},
    {"history": 0}, {"restart_every": 0}, {"epsilon": 0.0}, {"log_gain": 0.0}, {"noise_scale": 0.0},
    {"lr_decay": 0.0}, {"n_filters": 0},
    {"smallest_scale": 0}, {"phase_iterations": -1}, {"phase_momentum": -0.5},
    {"optimizer": "rmsprop"}, {"keep": "first"}, {"noise": "pink"}, {"carry": "all"},
    {"style_size": "big"}, {"phase": "magic"}, {"padding": "same"},
    {"phase_method": "magic"},
    {"filter_scaling": "xavier"}, {"content_loss": "l1"}, {"tv_loss": "l1"},
    {"content_layers": ()}, {"style_layers": ()},
    {"style_layer_weights": (1.0,)}, {"content_layer_weights": (1.0, 2.0)},
    {"content_layer_weights": (-1.0,)}, {"style_layer_weights": (1.0, 1.0, 1.0, 1.0, math.nan)},
    {"style_blend": (0.0, 0.0)}, {"style_blend": (-1.0, 2.0)}, {"style_blend": (math.inf,)},
    {"name": None}, {"style_layers": None}, {"content_layers": None},
]  # fmt: skip


@pytest.mark.parametrize("values", BAD, ids=str)
def test_values_that_make_no_sense_are_refused_by_name(values: dict[str, Any]) -> None:
    pattern = next(iter(values))
    with pytest.raises(RecipeError, match=pattern):
        Recipe(**values)
    with pytest.raises(RecipeError, match=pattern):
        Recipe().replace(**values)


def test_content_only_and_style_only_are_recipes() -> None:
    assert Recipe(content_weight=0.0, content_layers=()).effective_weights() == (0.0, 1.0)
    assert Recipe(style_weight=0.0, style_layers=()).effective_weights() == (1.0, 0.0)


def test_recipes_are_frozen_and_hashable() -> None:
    recipe = Recipe()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.steps = 3  # type: ignore[misc]
    assert len({recipe, Recipe(), Recipe(steps=2)}) == 2


def test_every_option_has_a_text_and_a_group() -> None:
    for field in dataclasses.fields(Recipe):
        if field.name in ("name", "source"):
            continue
        assert field.metadata["help"]
        assert field.metadata["group"] in ("network", "loss", "optimizer", "image", "audio")
        if field.metadata["choices"]:
            assert field.default in field.metadata["choices"]


# replace()


def test_layer_weights_go_with_their_layers() -> None:
    base = get_recipe("crowson2021")
    assert base.replace(style_layers=("relu1_1", "relu2_1")).layer_weights("style") == {
        "relu1_1": 0.5,
        "relu2_1": 0.5,
    }
    assert base.replace(style_layers=S5).style_layer_weights == base.style_layer_weights
    assert base.replace(style_layers=list(S5)).style_layer_weights == base.style_layer_weights
    assert base.replace(content_layers=("relu3_1",)).style_layer_weights == base.style_layer_weights
    given = base.replace(style_layers=("relu1_1",), style_layer_weights=(3.0,))
    assert given.layer_weights("style") == {"relu1_1": 3.0}


def test_first_steps_go_with_steps() -> None:
    base = get_recipe("crowson2021")
    assert base.replace(steps=20).first_steps is None
    assert base.replace(steps=20, first_steps=30).first_steps == 30
    assert base.replace(lr=0.1).first_steps == 1000


def test_height_and_width_go_with_size() -> None:
    base = get_recipe("keras-sgd")
    smaller = base.replace(size=256)
    assert (smaller.size, smaller.height, smaller.width) == (256, None, None)
    with pytest.raises(RecipeError, match="size 256 and height 100 contradict each other"):
        base.replace(size=256, height=100)
    taller = get_recipe("tf2").replace(height=700)
    assert (taller.size, taller.height, taller.width) == (0, 700, None)
    assert (base.replace(steps=5).height, base.replace(steps=5).width) == (400, 600)


@pytest.mark.parametrize(("momentum", "method"), [(0.99, "fast-griffin-lim"), (0.0, "griffin-lim")])
def test_a_recipe_file_of_old_keeps_griffin_lim(momentum: float, method: str) -> None:
    """Files were written with every field, and had a momentum before there was a method to choose."""
    lines = to_toml(Recipe(phase="content", phase_momentum=momentum)).splitlines()
    old = "\n".join(line for line in lines if not line.startswith("phase_method"))
    assert (from_toml(old).phase, from_toml(old).phase_method) == ("content", method)
    assert from_toml(old).phase_momentum == momentum
    named = Recipe().replace(phase_momentum=momentum, phase_method="pghi-raar")
    assert named.phase_method == "pghi-raar"


def test_fields_that_are_gone_read_at_the_value_that_all_have_now() -> None:
    told: list[str] = []
    kept = "steps = 7\naverage_decay = 0.99\ncompression = 'log1p'\npooling_gain = 1"
    assert from_toml(kept, on_note=told.append) == Recipe(steps=7)
    assert [note.split(":")[0] for note in told] == ["pooling_gain, average_decay, compression"]
    with pytest.raises(RecipeError, match=r"compression 'db' is gone: it is always 'log1p' now"):
        from_dict({"compression": "db"})


def test_phase_by_default() -> None:
    """Ours is PGHI; a published recipe that names Griffin-Lim keeps it."""
    for recipe in RECIPES.values():
        expected = ("random", "griffin-lim") if recipe.name == "ulyanov2016" else ("auto", "pghi-raar")
        assert (recipe.phase, recipe.phase_method) == expected, recipe.name


def test_replace_refuses_an_unknown_field_and_changes_no_original() -> None:
    base = get_recipe("tf2")
    with pytest.raises(RecipeError, match="no field 'stepz'"):
        base.replace(stepz=3)
    assert base.replace(steps=3) != base
    assert base.steps == 1000
    assert base.replace() == base


# strength


def test_strength_one_half_changes_nothing_and_the_ends_are_pure() -> None:
    for recipe in RECIPES.values():
        c, s = recipe.content_weight, recipe.style_weight
        assert recipe.replace(strength=0.5).effective_weights() == (c, s)
        assert recipe.replace(strength=0.0).effective_weights() == (c, 0.0)
        assert recipe.replace(strength=1.0).effective_weights() == (0.0, s)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
@settings(deadline=None, database=None)
def test_the_ratio_grows_with_strength(one: float, other: float) -> None:
    def weights(strength: float) -> tuple[float, float]:
        return Recipe(content_weight=3.0, style_weight=7.0, strength=strength).effective_weights()

    content, style = weights(one)
    power = 2.0 if one < 0.5 else 1.2
    assert style / content == pytest.approx(7.0 / 3.0 * (one / (1 - one)) ** power, rel=1e-9)
    assert content <= 3.0 * (1 + 1e-12)
    assert style <= 7.0 * (1 + 1e-12)
    if other > one + 1e-6:
        more_content, more_style = weights(other)
        assert more_style / more_content > style / content


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_comes_back_also_as_windows_writes_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mine.toml"
    mine = get_recipe("crowson2021").replace(name="mine: „größer“", steps=20)
    path.write_bytes(to_toml(mine).replace("\n", "\r\n").encode(encoding))
    assert read_recipe(path) == mine
