"""What is minimized: a weighted sum of terms, as a value and a gradient with respect to the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine.grams import gram, gram_error
from specstyle.engine.losses import Distance, SquaredDistance, Statistic, content_distance, weighted_sum
from specstyle.engine.variation import Part, total_variation
from specstyle.errors import is_out_of_memory

T = TypeVar("T")


class Features(Protocol):
    """A network that turns an image into named feature maps.

    Attributes:
        stride: Pixels of the image per position of the coarsest feature map.
        halo: Pixels around a position that can influence it.
    """

    stride: int
    halo: int

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Turn ``[B, C, H, W]`` into feature maps by layer name, each ``[B, C_l, h_l, w_l]``."""
        ...


class Term(Protocol):
    """One weighted part of the loss.

    Attributes:
        name: Unique in an objective. What stands before a colon names the group it is reported under.
        weight: Factor in the total.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def weight(self) -> float: ...  # noqa: D102

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return the unweighted loss of each batch entry, ``[B]``."""
        ...


@dataclass(frozen=True)
class ContentTerm:
    """Distance of one layer's features from the content's.

    Attributes:
        layer: Of the network.
        weight: Factor in the total.
        target: The content's features; ``None`` where a ``TiledObjective`` computes them.
        form: See ``losses.content_scale``.
    """

    layer: str
    weight: float
    target: Tensor | None
    form: str

    @property
    def name(self) -> str:
        """The group and the layer."""
        return f"content:{self.layer}"

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return ``[B]``."""
        if self.target is None:
            raise ValueError(f"{self.name} has no target, and belongs to a TiledObjective")
        return content_distance(self.form, features[self.layer], self.target)


@dataclass(frozen=True)
class StyleTerm:
    """Distance of one layer's mean statistic from the style's.

    Attributes:
        layer: Of the network.
        weight: Factor in the total.
        target: The style's mean statistic, or what the distance makes of it.
        statistic: A sum over positions.
        distance: Between means.
        roots: For a style that does not apply everywhere, see ``losses.root_weights``.
        part: Tells terms of several styles on one layer apart.
    """

    layer: str
    weight: float
    target: Tensor
    statistic: Statistic
    distance: Distance
    roots: Tensor | None = None
    part: str = ""

    @property
    def name(self) -> str:
        """The group, the layer and the part, if there are several."""
        return f"style:{self.layer}" + (f":{self.part}" if self.part else "")

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return ``[B]``."""
        maps = features[self.layer]
        if self.statistic is gram and isinstance(self.distance, SquaredDistance):  # in two passes, not four
            weighted = maps if self.roots is None else maps * self.roots
            return self.distance.scale(self.target) * gram_error(weighted, self.target)
        return self.distance(mean_statistic(self.statistic, maps, self.roots), self.target)


@dataclass(frozen=True)
class Loss:
    """Any weighted loss of an image and of its feature maps.

    Attributes:
        name: Unique in an objective; what stands before a colon names the group it is reported under.
        weight: Factor in the total.
        function: From the image ``[B, C, H, W]`` and the maps ``[B, C_l, h_l, w_l]`` by layer to ``[B]``.
    """

    name: str
    weight: float
    function: Callable[[Tensor, dict[str, Tensor]], Tensor]

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return ``[B]``."""
        return self.function(image, features)


@dataclass(frozen=True)
class VariationTerm:
    """Total variation of the image, in the range in which it is optimized."""

    weight: float
    form: str
    pixel_range: float = 1.0
    name: str = "tv"
    loop: bool = False

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return ``[B]``."""
        if not self.loop:
            return total_variation(self.form, image * self.pixel_range)
        # Beyond the last row and column stand the first ones.
        around = F.pad(image, (0, 1, 0, 1), mode="circular")
        height, width = image.shape[2:]
        return self.share(around, Part(height, width, bottom=False, right=False))

    def share(self, image: Tensor, part: Part) -> Tensor:
        """Return what a part of the image adds, ``[B]``."""
        return total_variation(self.form, image * self.pixel_range, part)


def mean_statistic(statistic: Statistic, features: Tensor, roots: Tensor | None = None) -> Tensor:
    """Return a statistic's mean over the positions of ``features [B, C, h, w]``, weighted by ``roots``."""
    return weighted_sum(statistic, features, roots) / (features.shape[2] * features.shape[3])


def blended(means: Sequence[Tensor], blend: Sequence[float], *, batch: int) -> Tensor:
    """Return the weighted mean statistic of several styles for each entry of a batch.

    Channels of a style meet channels of the content one to one where their numbers agree. Otherwise all
    channels of the style are taken together, as more positions of one style.

    Args:
        means: Mean statistic of each style, ``[B_s, ...]``.
        blend: Weight of each style; only their ratios matter.
        batch: Entries of the content's batch.

    Returns:
        ``[batch, ...]``.

    Raises:
        ValueError: If there is not one weight per style, or none is above 0.
    """
    if len(means) != len(blend) or not sum(blend) > 0:
        raise ValueError(f"blend needs one weight per style ({len(means)}), not all 0, got {list(blend)}")
    parts = []
    for mean, weight in zip(means, blend, strict=True):
        if mean.shape[0] != batch:
            mean = mean.mean(0, keepdim=True).expand(batch, *mean.shape[1:])  # noqa: PLW2901
        parts.append(mean * (weight / sum(blend)))
    return torch.stack(parts).sum(0)


class Objective:
    """A sum of weighted terms of an image and of its features.

    Args:
        features: The network, or ``None`` if no term needs one.
        terms: The terms; their names must differ.

    Raises:
        ValueError: If two terms have the same name.
    """

    def __init__(self, features: Features | None, terms: Sequence[Term]) -> None:
        names = [term.name for term in terms]
        if len(set(names)) != len(names):
            raise ValueError(f"terms need different names, got {names}")
        self.features = features
        self.terms = tuple(terms)

    def make_room(self) -> bool:
        """Give up memory that is held between evaluations, at the price of time; ``False``: there is none."""
        return False

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term's weighted loss, summed over the batch, by name."""
        features = self.features(image) if self.features is not None else {}
        return {term.name: term.weight * term(image, features).sum() for term in self.terms}

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum with respect to the image.

        Entries of a batch do not influence each other: each has the gradient that it would have alone.

        Args:
            image: ``[B, C, H, W]``.
        """
        leaf = image.detach().requires_grad_(True)
        with torch.enable_grad():
            losses = self.losses(leaf)
            total = torch.stack(list(losses.values())).sum()
            (gradient,) = torch.autograd.grad(total, leaf)
        return {name: loss.detach() for name, loss in losses.items()}, gradient


def summarize(losses: dict[str, float]) -> dict[str, float]:
    """Add up weighted losses by group, with their ``total`` first.

    >>> summarize({"style:a": 1.0, "style:b": 2.0, "tv": 0.5})
    {'total': 3.5, 'style': 3.0, 'tv': 0.5}
    """
    groups = {"total": sum(losses.values())}
    for name, value in losses.items():
        group = name.split(":")[0]
        groups[group] = groups.get(group, 0.0) + value
    return groups


MakeRoom = Callable[[], bool]
"""Frees memory, if it can; whether it did."""


def with_room(attempt: Callable[[], T], make_room: MakeRoom, undo: Callable[[], None] = lambda: None) -> T:
    """Return what a function makes; where a device is out of memory, make room and call it again.

    Args:
        attempt: The function. A failed call must leave nothing behind that ``undo`` does not mend.
        make_room: Called after each failure.
        undo: Called before the next attempt.

    Raises:
        RuntimeError: If there is no more room to be made; ``torch.OutOfMemoryError`` where the device has it.
    """
    while True:
        try:
            return attempt()
        except RuntimeError as error:  # MPS, and libraries of CUDA, have no class of their own for it
            if not is_out_of_memory(error):
                raise
            kept = error.with_traceback(None)  # the frames hold what the attempt had made
        if not make_room():
            raise kept
        # What torch holds of the devices' memory without using it.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()
        undo()
