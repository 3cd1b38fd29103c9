"""Style transfer on sound and on pictures through one engine.

Names are loaded when they are first used, so that ``import specstyle`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from specstyle import evaluate
    from specstyle.engine.objective import Loss
    from specstyle.engine.optimize import StopRun
    from specstyle.errors import SpecstyleError
    from specstyle.films.film import film
    from specstyle.media.imagefiles import Picture
    from specstyle.media.inversion import griffin_lim, invert
    from specstyle.media.sounds import Sound
    from specstyle.media.spectrogramfile import (
        invert_spectrogram,
        load_spectrogram,
        save_spectrogram,
        spectrogram_of,
    )
    from specstyle.onepass.apply import any_style, apply
    from specstyle.onepass.stylefile import Style, load_style
    from specstyle.onepass.train import train
    from specstyle.recipes import RECIPES, Recipe
    from specstyle.run.api import (
        Progress,
        Request,
        Result,
        texture_audio,
        texture_image,
        transfer,
        transfer_audio,
        transfer_image,
    )

_HOMES = {
    "Loss": "specstyle.engine.objective",
    "Picture": "specstyle.media.imagefiles",
    "Progress": "specstyle.run.api",
    "RECIPES": "specstyle.recipes",
    "Recipe": "specstyle.recipes",
    "Request": "specstyle.run.api",
    "Result": "specstyle.run.api",
    "Sound": "specstyle.media.sounds",
    "SpecstyleError": "specstyle.errors",
    "StopRun": "specstyle.engine.optimize",
    "Style": "specstyle.onepass.stylefile",
    "any_style": "specstyle.onepass.apply",
    "apply": "specstyle.onepass.apply",
    "film": "specstyle.films.film",
    "griffin_lim": "specstyle.media.inversion",
    "invert": "specstyle.media.inversion",
    "invert_spectrogram": "specstyle.media.spectrogramfile",
    "load_spectrogram": "specstyle.media.spectrogramfile",
    "load_style": "specstyle.onepass.stylefile",
    "save_spectrogram": "specstyle.media.spectrogramfile",
    "spectrogram_of": "specstyle.media.spectrogramfile",
    "texture_audio": "specstyle.run.api",
    "texture_image": "specstyle.run.api",
    "train": "specstyle.onepass.train",
    "transfer": "specstyle.run.api",
    "transfer_audio": "specstyle.run.api",
    "transfer_image": "specstyle.run.api",
}

__all__ = [
    "RECIPES",
    "Loss",
    "Picture",
    "Progress",
    "Recipe",
    "Request",
    "Result",
    "Sound",
    "SpecstyleError",
    "StopRun",
    "Style",
    "__version__",
    "any_style",
    "apply",
    "evaluate",
    "film",
    "griffin_lim",
    "invert",
    "invert_spectrogram",
    "load_spectrogram",
    "load_style",
    "save_spectrogram",
    "spectrogram_of",
    "texture_audio",
    "texture_image",
    "train",
    "transfer",
    "transfer_audio",
    "transfer_image",
]


def __getattr__(name: str) -> Any:
    if name == "evaluate":
        return import_module("specstyle.evaluate")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'specstyle' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
