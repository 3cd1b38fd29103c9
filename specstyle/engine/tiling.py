"""The same losses and the same gradient, tile by tile: memory depends on the tile, not on the image.

Style statistics are sums over positions. A first pass adds them up without a graph; the losses are
differentiated by those sums; a second pass runs each tile forward and back with that gradient. A tile's
losses are taken on its own positions only, and the gradient of all that it sees, margin included, is added
up. That is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from specstyle.engine.grams import gram, gram_pull
from specstyle.engine.losses import content_scale, weighted_sum
from specstyle.engine.objective import ContentTerm, Objective, StyleTerm, Term, VariationTerm, with_room
from specstyle.engine.tiles import Size, Tile, TileableFeatures, add_up, tiles


class TiledObjective(Objective):
    """An objective whose network sees one tile at a time; value and gradient are those of the whole.

    Args:
        features: The network.
        terms: Content (without a target), style and variation terms.
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
        self._contents = [term for term in terms if isinstance(term, ContentTerm)]
        self._variations = [term for term in terms if isinstance(term, VariationTerm)]
        for term in terms:
            if not isinstance(term, (StyleTerm, ContentTerm, VariationTerm)):
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
        return self._evaluate(image, None)

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum with respect to the image.

        Args:
            image: ``[B, C, H, W]``.
        """
        gradient = torch.zeros_like(image)
        return self._evaluate(image.detach(), gradient), gradient

    def _evaluate(self, image: Tensor, gradient: Tensor | None) -> dict[str, Tensor]:
        """Return the losses; add up the gradient, if one is wanted."""
        grid = self._grid(image)
        losses, upstream = self._style_losses(image, grid)
        sums: list[Term] = [*self._contents, *self._variations]
        losses |= {term.name: image.new_zeros(()) for term in sums}
        if gradient is not None or sums:
            for tile in grid:
                self._run_tile(tile, image, losses, gradient, upstream)
        return {term.name: losses[term.name] for term in self.terms}

    def _grid(self, image: Tensor) -> list[Tile]:
        return tiles(image.shape[2], image.shape[3], self._size, self._network)

    def _style_losses(self, image: Tensor, grid: list[Tile]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the style losses, and the gradient of their sum by each term's summed statistic."""
        losses: dict[str, Tensor] = {}
        upstream: dict[str, Tensor] = {}
        if not self._styles:
            return losses, upstream
        statistics = {term.name: (term.layer, term.statistic, term.roots) for term in self._styles}
        sums, counts = add_up(self._network, image, statistics, grid)
        for term in self._styles:
            total = sums[term.name].requires_grad_()
            with torch.enable_grad():
                loss = term.weight * term.distance(total / counts[term.name], term.target).sum()
                (upstream[term.name],) = torch.autograd.grad(loss, total)
            losses[term.name] = loss.detach()
        return losses, upstream

    def _run_tile(
        self,
        tile: Tile,
        image: Tensor,
        losses: dict[str, Tensor],
        gradient: Tensor | None,
        upstream: dict[str, Tensor],
    ) -> None:
        """Add the tile's part of content and variation losses, and of the gradient."""
        wanted = gradient is not None
        leaf = tile.seen(image).detach().clone().requires_grad_(wanted)
        with torch.set_grad_enabled(wanted):
            total: list[Tensor] = []
            if self._contents or (self._styles and wanted):
                maps = self._network(leaf)
                total = self._pulls(tile, maps, upstream) if wanted else []
                total += self._content_losses(tile, maps, losses)
            for term in self._variations:
                share = term.weight * term.share(tile.own_and_next(leaf), tile.part).sum()
                losses[term.name] += share.detach()
                total.append(share)
            if gradient is not None and total:
                (part,) = torch.autograd.grad(torch.stack(total).sum(), leaf)
                tile.seen(gradient).add_(part)

    def _pulls(self, tile: Tile, maps: dict[str, Tensor], upstream: dict[str, Tensor]) -> list[Tensor]:
        """Return what the style losses' part of the gradient is the gradient of."""
        total = []
        for style in self._styles:
            stride = self._network.strides[style.layer]
            inner, roots = tile.inner(maps[style.layer], stride), tile.roots(style.roots, stride)
            if not inner.numel():
                continue
            if style.statistic is gram:
                total.append(gram_pull(inner if roots is None else inner * roots, upstream[style.name]))
            else:
                total.append((upstream[style.name] * weighted_sum(style.statistic, inner, roots)).sum())
        return total

    def _content_losses(self, tile: Tile, maps: dict[str, Tensor], losses: dict[str, Tensor]) -> list[Tensor]:
        """Return the tile's content losses, and add them up."""
        total, targets = [], self._targets(tile)
        for term in self._contents:
            own = tile.inner(maps[term.layer], self._network.strides[term.layer])
            squares = (own - targets[term.layer]).square().flatten(1).sum(1)
            total.append(term.weight * (self._scales[term.layer] * squares).sum())
            losses[term.name] += total[-1].detach()
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


class FrugalObjective(Objective):
    """An objective that is made anew in smaller tiles whenever the device is out of memory.

    The evaluation that failed is repeated, so that no step is lost.

    Args:
        make: Makes the objective in tiles of the size that it is given as ``tile``.
        sizes: Of tiles to try, the next smaller one each; ``None``: the whole image.
        on_note: Called with a line for the user at each change.

    Raises:
        RuntimeError: If even the smallest tiles do not fit; see ``with_room``.
    """

    def __init__(
        self, make: Callable[..., Objective], sizes: Iterator[Size | None], on_note: Callable[[str], None]
    ) -> None:
        self._make, self._sizes, self._on_note = make, sizes, on_note
        self._objective: Objective | None = None
        self.size = next(sizes)
        with_room(self._made, self._cut)

    def _made(self) -> Objective:
        if self._objective is None:
            self._objective = self._make(tile=self.size)
        return self._objective

    def _cut(self) -> bool:
        """Go on in the next smaller tiles, if there are any."""
        smaller = next(self._sizes, None)
        if smaller is None:
            return False
        # What holds the memory must go before the next attempt: graphs, and the terms' targets.
        self._objective, self.size = None, smaller
        sides = " x ".join(str(side) if side else "all" for side in smaller)
        self._on_note(f"the device is out of memory; going on in tiles of {sides} pixels")
        return True

    def make_room(self) -> bool:
        """Go on in tiles, unless it does already: between evaluations these hold nothing but targets."""
        return self.size is None and self._cut()

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term's weighted loss by name."""
        return with_room(lambda: self._made().losses(image), self._cut)

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum."""
        return with_room(lambda: self._made().value_and_grad(image), self._cut)
