"""What a run asks of each medium, in one shape for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from specstyle.media.base import Encoded
from specstyle.recipes import Recipe
from specstyle.run.pictures import PictureAdapter
from specstyle.run.sounds import SoundAdapter


class Adapter(Protocol):
    """The steps of a run that depend on the medium.

    Attributes:
        medium: ``audio`` or ``image``.
    """

    medium: str

    def source(self, given: Any, role: str) -> Any:
        """Return a checked source from a path, an array or a source."""
        ...

    def encode_content(self, source: Any) -> Encoded:
        """Return the content's image and context."""
        ...

    def encode_style(self, source: Any, content: Encoded) -> Encoded:
        """Return a style's image, comparable with the content's."""
        ...

    def fit(self, image: Tensor, like: Tensor) -> Tensor:
        """Bring an image to another's shape, to start from it."""
        ...

    def reference(self, styles: Sequence[Any], content: Encoded, generator: torch.Generator) -> Tensor:
        """Return an image of noise that is like the styles on average, of the content's shape."""
        ...

    def check_output(self, path: Path, source: Any, content: Encoded) -> None:
        """Refuse an output whose format cannot hold what this content will become."""
        ...

    def finish(self, image: Tensor, content: Encoded, original: Any) -> tuple[Any, dict[str, float]]:
        """Return the finished source, with the original content's loudness, and figures for the record."""
        ...

    def describe_encoding(self, content: Encoded) -> dict[str, Any]:
        """Return what the record says of how the content became an image."""
        ...

    def describe(self, source: Any) -> dict[str, Any]:
        """Return what the record says of a source."""
        ...


def make_adapter(medium: str, recipe: Recipe, **options: Any) -> Adapter:
    """Return the adapter of a medium.

    Raises:
        ValueError: If there is no such medium.
    """
    makers: dict[str, Callable[..., Adapter]] = {"audio": SoundAdapter, "image": PictureAdapter}
    if medium not in makers:
        raise ValueError(f"medium must be audio or image, got {medium!r}")
    if medium == "image":
        options = {"device": options["device"]}
    return makers[medium](recipe, **options)
