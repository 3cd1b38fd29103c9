"""Recipes as older versions wrote them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_VIEWS = {"mel": ("n_mels", 128), "cqt": ("bins_per_octave", 24)}
_GONE = ("representation", "n_mels", "bins_per_octave", "refine_steps", "kernel_widths")


def up_to_date(values: dict[str, Any], on_note: Callable[[str], None]) -> dict[str, Any]:
    """Return a recipe's values as this version has them.

    Images of mel or constant-Q bands (``representation``) are views of the STFT's now; the kernel has a layer
    for each width of its patches; evaluations on the waveform after the image (``refine_steps``) are gone;
    half the sum of squares (``gram_half_sum``) is the sum at half the weight.

    Args:
        values: By field.
        on_note: Called with a line for each thing that is said otherwise now.
    """
    new = {name: value for name, value in values.items() if name not in _GONE}
    shown = values.get("representation", "stft")
    if shown in _VIEWS:
        count, usual = _VIEWS[shown]
        view = f"{shown}{values.get(count, usual)}"
        for name in ("content_view", "style_view"):
            new.setdefault(name, view)
        on_note(f"representation {shown} is the view {view} of content and style now")
    if values.get("refine_steps"):
        on_note("refine_steps is gone, and left out: canvas waveform optimizes the samples from the start")
    widths = values.get("kernel_widths", (2, 8, 32))
    for kind in ("content_layers", "style_layers"):
        if values.get(kind) in (["kernel"], ("kernel",)):
            rest = "+rest" if kind == "content_layers" else ""
            new[kind] = [f"kernel{width}{rest}" for width in widths]
            new.pop(f"{kind[:-1]}_weights", None)
    if values.get("style_loss") == "gram_half_sum":
        new["style_loss"] = "gram_sum"
        new["style_weight"] = 0.5 * float(values.get("style_weight", 1.0))
    return new
