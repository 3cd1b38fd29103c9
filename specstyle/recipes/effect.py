"""Which fields of a recipe matter, given the others."""

from __future__ import annotations

from collections.abc import Iterable

from specstyle.recipes.recipe import Recipe

_VGG = ("vgg19", "vgg19-lite", "vgg19-random")

_ONLY_WITH: tuple[tuple[str, tuple[object, ...], tuple[str, ...]], ...] = (
    ("optimizer", ("adam", "sgd"), ("lr", "lr_decay", "lr_decay_steps")),
    ("optimizer", ("adam",), ("beta1", "beta2", "epsilon", "epsilon_hat")),
    ("optimizer", ("lbfgs",), ("history", "restart_every")),
    ("network", _VGG, ("pooling", "pooling_gain", "padding", "normalize_activations")),
    ("network", ("wide-random",), ("n_filters", "filter_width", "filter_scaling")),
    ("network", _VGG, ("style_bands",)),
    ("compression", ("log1p",), ("log_gain",)),
    ("init", ("content",), ("init_noise_db",)),
    ("init", ("noise",), ("noise", "noise_scale", "noise_center")),
    ("style_size", ("own", "smaller"), ("style_scale",)),
    ("color", ("style",), ("color_match",)),
    ("keep", ("average",), ("average_decay",)),
    ("phase_method", ("fast-griffin-lim",), ("phase_momentum",)),
    (
        "canvas",
        ("image",),
        ("phase", "phase_method", "phase_iterations", "phase_momentum", "clip", "section_s"),
    ),
)
"""A field, values of it, and the fields that matter with these values only."""

_ONLY_IF_SET: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("smallest_scale", ("scale_factor", "carry", "first_steps")),
    ("tv_weight", ("tv_loss",)),
    ("strength", ("tv_weight", "tv_loss", "style_range", "equalize")),
    ("finish_network", ("finish_steps",)),
)
"""A field that may be none or 0, and the fields that matter only if it is not."""


def without_effect(recipe: Recipe, names: Iterable[str]) -> tuple[str, ...]:
    """Say which of some fields change nothing, and why.

    Args:
        recipe: The whole recipe.
        names: The fields that a user set.

    Returns:
        One sentence per such field.
    """
    reasons = {}
    for field, values, dependent in _ONLY_WITH:
        if getattr(recipe, field) not in values:
            reasons.update(dict.fromkeys(dependent, f"{field} is {getattr(recipe, field)}"))
    for field, dependent in _ONLY_IF_SET:
        value = getattr(recipe, field)
        if not value:
            reasons.update(dict.fromkeys(dependent, f"{field} is {0 if value == 0 else 'none'}"))
    return tuple(f"{name} has no effect: {reasons[name]}" for name in names if name in reasons)
