"""Options that change nothing are told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from specstyle.errors import RecipeError
from specstyle.recipes import Recipe
from specstyle.recipes.checks import without_effect
from specstyle.run.settle import settle_recipe


@pytest.mark.parametrize(
    ("fields", "name", "reason"),
    [
        ({"optimizer": "lbfgs"}, "lr", "optimizer is lbfgs"),
        ({"optimizer": "sgd"}, "beta1", "optimizer is sgd"),
        ({"optimizer": "adam"}, "history", "optimizer is adam"),
        ({"network": "wide-random"}, "pooling", "network is wide-random"),
        ({"network": "vgg19"}, "n_filters", "network is vgg19"),
        ({"canvas": "waveform"}, "phase", "canvas is waveform"),
        ({}, "scale_factor", "smallest_scale is none"),
        ({}, "tv_loss", "tv_weight is 0"),
        ({"strength": 0.0, "tv_weight": 1.0}, "tv_weight", "strength is 0"),
    ],
)
def test_what_changes_nothing(fields: dict[str, object], name: str, reason: str) -> None:
    recipe = dataclasses.replace(Recipe(network="vgg19"), **fields)
    assert without_effect(recipe, [name, "steps"]) == (f"{name} has no effect: {reason}",)


def test_what_matters_is_not_told() -> None:
    recipe = Recipe(network="wide-random", optimizer="adam", tv_weight=1.0, smallest_scale=64)
    assert without_effect(recipe, ["lr", "beta1", "n_filters", "log_gain", "tv_loss", "carry", "phase"]) == ()


def test_a_run_tells_it() -> None:
    _, notes = settle_recipe(
        "audio", "default", weights=None, overrides={"network": "wide-random", "lr": 0.1, "log_gain": 3.0}
    )
    assert notes == ("lr has no effect: optimizer is lbfgs",)


def test_an_unknown_field_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no field 'stile_weight'; did you mean style_weight"):
        Recipe().replace(stile_weight=1.0)
    with pytest.raises(RecipeError, match="specstyle recipes NAME"):
        Recipe().replace(zzz=1.0)
