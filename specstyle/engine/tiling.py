"""The same losses and the same gradient, tile by tile: memory depends on the tile, not on the image.

Style statistics are sums over positions. A first pass adds them up without a graph; the losses are
differentiated by those sums; a second pass runs each tile forward and back with that gradient. A tile's
losses are taken on its own positions only, and the gradient of all that it sees, margin included, is added
up. That is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from specstyle.engine.grams import gram, gram_pull
from specstyle.engine.losses import content_scale
from specstyle.engine.objective import Objective, StyleTerm, Term, VariationTerm
from specstyle.engine.positions import weighted_sum
from specstyle.engine.tiles import Size, Tile, TileableFeatures, add_up, tiles


@dataclass(frozen=True)
class TiledContentTerm:
    """Distance of one layer's features from the content's, whose image the objective is given."""

    layer: str
    weight: float
    form: str

    @property
    def name(self) -> str:
        """The group and the layer."""
        return f"content:{self.layer}"

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Refuse: there is no target without the objective."""
        raise NotImplementedError("a tiled content term belongs to a TiledObjective")


@dataclass(frozen=True)
class _Pass:
    """What the second pass over the tiles needs, and what it adds to.

    Attributes:
        image: The image.
        upstream: Gradient of the style losses by each term's summed statistic.
        gradient: With respect to the image; ``None``: the losses only.
        losses: Content and variation losses by name.
    """

    image: Tensor
    upstream: dict[str, Tensor]
    gradient: Tensor | None
    losses: dict[str, Tensor]


class TiledObjective(Objective):
    """An objective whose network sees one tile at a time; value and gradient are those of the whole.

    Args:
        features: The network.
        terms: Content, style and variation terms.
        size: Of a tile, see ``tiles.Size``.
        content: ``[B, C, H, W]``, for content terms.
        keep_content: Keep the content's features, which takes memory in proportion to the image, instead of
            computing them in each evaluation.

    Raises:
        ValueError: If a term needs all positions at once.
    """

    def __init__(
        self,
        features: TileableFeatures,
        terms: Sequence[Term],
        size: Size,
        *,
        content: Tensor | None = None,
        keep_content: bool = True,
    ) -> None:
        super().__init__(features, terms)
        self._network, self._size = features, size
        self._styles = [term for term in terms if isinstance(term, StyleTerm)]
        self._contents = [term for term in terms if isinstance(term, TiledContentTerm)]
        self._variations = [term for term in terms if isinstance(term, VariationTerm)]
        known = (StyleTerm, TiledContentTerm, VariationTerm)
        for term in terms:
            if not isinstance(term, known):
                raise ValueError(
                    f"the loss {term.name} needs all positions of the image at once and cannot be computed "
                    "tile by tile; turn tiling off"
                )
        if self._contents and content is None:
            raise ValueError("content terms need the content's image")
        self._content, self._keep = content if self._contents else None, keep_content
        self._kept: dict[tuple[int, int], dict[str, Tensor]] = {}
        self._scales = {} if self._content is None else self._content_scales(self._content)

    @torch.no_grad()
    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term's weighted loss, summed over the batch, by name."""
        return self._evaluate(image, gradient=False)[0]

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum with respect to the image.

        Args:
            image: ``[B, C, H, W]``.
        """
        losses, gradient = self._evaluate(image.detach(), gradient=True)
        if gradient is None:
            raise RuntimeError("no gradient was computed")
        return losses, gradient

    def _evaluate(self, image: Tensor, *, gradient: bool) -> tuple[dict[str, Tensor], Tensor | None]:
        grid = self._grid(image)
        found, upstream = self._style_losses(image, grid)
        pull = torch.zeros_like(image) if gradient else None
        sums_of_parts: list[Term] = [*self._contents, *self._variations]
        local = {term.name: image.new_zeros(()) for term in sums_of_parts}
        if gradient or local:
            run = _Pass(image, upstream, pull, local)
            for tile in grid:
                self._run_tile(tile, run)
        found |= local
        return {term.name: found[term.name] for term in self.terms}, pull

    def _grid(self, image: Tensor) -> list[Tile]:
        return tiles(image.shape[2], image.shape[3], self._size, self._network)

    def _style_losses(self, image: Tensor, grid: list[Tile]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the style losses, and the gradient of their sum by each term's summed statistic."""
        losses: dict[str, Tensor] = {}
        upstream: dict[str, Tensor] = {}
        if not self._styles:
            return losses, upstream
        statistics = {term.name: term for term in self._styles}
        sums, counts = add_up(self._network, image, statistics, grid)
        for term in self._styles:
            total = sums[term.name].requires_grad_()
            with torch.enable_grad():
                loss = term.weight * term.distance(total / counts[term.name], term.target).sum()
                (upstream[term.name],) = torch.autograd.grad(loss, total)
            losses[term.name] = loss.detach()
        return losses, upstream

    def _run_tile(self, tile: Tile, run: _Pass) -> None:
        """Add the tile's part of content and variation losses, and of the gradient."""
        with_gradient = run.gradient is not None
        leaf = tile.seen(run.image).detach().clone().requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            total: list[Tensor] = []
            if self._contents or (self._styles and with_gradient):
                total = self._pull(tile, self._network(leaf), run)
            for term in self._variations:
                share = term.weight * term.share(tile.own_and_next(leaf), tile.part).sum()
                run.losses[term.name] += share.detach()
                total.append(share)
            if run.gradient is not None and total:
                (part,) = torch.autograd.grad(torch.stack(total).sum(), leaf)
                tile.seen(run.gradient).add_(part)

    def _pull(self, tile: Tile, maps: dict[str, Tensor], run: _Pass) -> list[Tensor]:
        """Return what the network's part of the gradient is the gradient of; add the content losses."""
        strides, total = self._network.strides, []
        for style in self._styles:
            inner, roots = tile.summed(style, maps[style.layer], strides[style.layer])
            if run.gradient is not None and inner.numel():
                upstream = run.upstream[style.name]
                if style.statistic is gram:
                    total.append(gram_pull(inner if roots is None else inner * roots, upstream))
                else:
                    total.append((upstream * weighted_sum(style.statistic, inner, roots)).sum())
        targets = self._targets(tile)
        for term in self._contents:
            error = tile.inner(maps[term.layer], strides[term.layer]) - targets[term.layer]
            loss = term.weight * (self._scales[term.layer] * error.square().flatten(1).sum(1)).sum()
            run.losses[term.name] += loss.detach()
            total.append(loss)
        return total

    @torch.no_grad()
    def _targets(self, tile: Tile) -> dict[str, Tensor]:
        """Return the content's features at a tile's own positions."""
        key = (tile.top, tile.left)
        if key in self._kept or self._content is None:
            return self._kept.get(key, {})
        maps = self._network(tile.seen(self._content))
        strides = self._network.strides
        found = {t.layer: tile.inner(maps[t.layer], strides[t.layer]).clone() for t in self._contents}
        if self._keep:
            self._kept[key] = found
        return found

    @torch.no_grad()
    def _content_scales(self, content: Tensor) -> dict[str, Tensor]:
        """Return what each content loss multiplies its sum of squares by, ``[B]`` by layer."""
        sums = {t.layer: content.new_zeros(content.shape[0]) for t in self._contents}
        counts = dict.fromkeys(sums, 0)
        for tile in self._grid(content):
            for layer, target in self._targets(tile).items():
                sums[layer] += target.square().flatten(1).sum(1)
                counts[layer] += target[0].numel()
        return {t.layer: content_scale(t.form, sums[t.layer], counts[t.layer]) for t in self._contents}
