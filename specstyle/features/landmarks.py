"""The infinite-width limit of a random one-layer ReLU network over time, seen from landmark patches.

A random convolution of some frames with ReLU, given ever more filters, has feature vectors whose inner
products converge to a kernel between patches. Such vectors need no filters: in the span of landmark patches l
they are ``K_LL^(-1/2) k(x_t, l)`` but for what is orthogonal to all landmarks (the Nystroem approximation).
So this is a network like any other, with one layer for each width of a patch, and linear in the length of a
sound.

Notation: a patch is w neighboring frames with all their bins; n its Euclidean norm, D the dot product of two
patches, c = D / (n n') their cosine, k = n n' J(c) the kernel.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

WIDTHS = (2, 8, 32)
"""Patch widths in frames; powers of two, since window sums are built by doubling."""

LAYERS = tuple(f"kernel{width}" for width in WIDTHS)

STRETCH = 64
"""Frames of a stretch whose patches are landmarks."""

STRETCHES = 4
"""Of the content, and as many of the styles."""

_CANDIDATES = 32
"""Stretches looked at, of each kind."""

_FLOOR = 1e-6
"""Eigenvalues of K_LL below this share of the largest are rounding in float32, and left out."""


_REST = 1e-6
"""Share of a patch's square that counts as left in any case: the root has a gradient everywhere."""

_LAYER = re.compile(r"kernel(1|2|4|8|16|32|64)(\+rest)?")


def width_of(layer: str) -> int | None:
    """Return the frames of a layer's patches, ``None`` if there is no such layer.

    >>> width_of("kernel8"), width_of("kernel8+rest"), width_of("relu1")
    (8, 8, None)
    """
    match = _LAYER.fullmatch(layer)
    return int(match[1]) if match else None


class _ArcCosine(torch.autograd.Function):
    """k = n m J(D / (n m)), with the gradient by hand: autograd is singular where two patches are equal."""

    @staticmethod
    def forward(ctx: Any, dots: Tensor, n: Tensor, m: Tensor) -> Tensor:
        scale = n * m
        cosine = (dots / scale.clamp_min(1e-30)).clamp_(-1.0, 1.0)
        sine = (1.0 - cosine.square()).clamp_min_(0.0).sqrt_().div_(math.pi)
        slope = torch.acos(cosine).div_(-math.pi).add_(1.0)
        ctx.save_for_backward(n, m, sine, slope)
        return cosine.mul_(slope).add_(sine).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, Tensor, None]:
        n, m, sine, slope = ctx.saved_tensors
        return grad[0] * slope, (grad[0] * sine * m).sum(-1, keepdim=True).expand_as(n), None


def arc_cosine_kernel(dots: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """Return the arc-cosine kernel of order 1, scaled so that k(x, x) = |x|^2.

    ``k = n m J(c)``, ``J(c) = (sqrt(1 - c^2) + (pi - arccos c) c) / pi``, ``J'(c) = (pi - arccos c) / pi``

    Args:
        dots: Dot products D, ``[..., T, L]``.
        n: Norms of the one side, ``[..., T, 1]``.
        m: Norms of the other side, ``[..., 1, L]``; they get no gradient.

    Reference:
        Cho & Saul 2009, "Kernel methods for deep learning", equation 6 with n = 1.
    """
    kernel: Tensor = _ArcCosine.apply(dots, n, m)  # type: ignore[no-untyped-call]
    return kernel


def window_sums(dots: Tensor, width: int, *, diagonals: bool) -> Tensor:
    """Return sums over ``width`` neighboring frames, by doubling.

    Args:
        dots: Dot products of frames, ``[..., T, T']``, or of each frame with its partner, ``[..., T]``.
        width: A power of two.
        diagonals: Whether both time axes move together (``[..., T, T']``) or there is one (``[..., T]``).

    Returns:
        ``[..., T - width + 1, T' - width + 1]`` or ``[..., T - width + 1]``.
    """
    span = 1
    while span < width:
        if diagonals:
            dots = dots[..., :-span, :-span] + dots[..., span:, span:]
        else:
            dots = dots[..., :-span] + dots[..., span:]
        span *= 2
    return dots


class LandmarkKernel:
    """Maps ``kernel2``, ``kernel8``, ``kernel32`` of log-magnitude images: one for each width of patches.

    Gram matrices of these maps compare patches as the kernel's squared maximum mean discrepancy does, and
    their squared distances are its distances, as far as landmarks reach. Patches are seen from the styles'
    mean.

    Args:
        content: An image ``[B, 1, bins, T]``; a part of the landmarks is its own.
        styles: The same, of any length; the other part is theirs, and the mean of all bins.
        blend: Weight of each style in that mean.
        layers: Layers wanted. The longest width that fits into the shortest image stands for longer ones.
        loop: Images are circles in time that go on for ``max(widths) - 1`` frames: each map has one position
            for each frame of the circle.
        dtype: Of the products of frames; what follows is float32 at least.

    Reference:
        Cho & Saul 2009 for the kernel; Williams & Seeger 2001, "Using the Nystroem method to speed up kernel
        machines", for landmarks; Fine & Scheinberg 2001 for their choice, by a Cholesky factorization whose
        next pivot is where the most is left.
    """

    stride, whole_rows = 1, True

    def __init__(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        *,
        blend: Sequence[float] = (),
        layers: Sequence[str] = LAYERS,
        loop: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shortest = min(image.shape[3] for image in (content, *styles))
        widths = sorted({width_of(layer) or 1 for layer in layers})
        self.widths = tuple(w for w in widths if w <= shortest) or (1,)
        self.layers = tuple(layers)
        self.strides = dict.fromkeys(self.layers, 1)
        self.halo, self._loop, self._dtype = max(self.widths) - 1, loop, dtype
        with torch.no_grad():
            self._center = _mean_of(styles, blend or (1.0,) * len(styles), content.shape[0])
            stretch = min(STRETCH, shortest)
            parts = [self._chosen(images, stretch) for images in ([content], styles)]
            self._frames = torch.cat(parts)
            self._roots, self._norms = [], []
            for width in self.widths:
                kernel, norms = self._among(self._frames, width)
                self._norms.append(norms.reshape(1, 1, -1).to(self._frames))
                values, vectors = torch.linalg.eigh(kernel)
                solid = values > _FLOOR * values[-1]
                root = vectors[:, solid] / values[solid].clamp_min(1e-30).sqrt()
                self._roots.append(root.to(self._frames))

    def _centered(self, image: Tensor) -> Tensor:
        """Return frames ``[B, T, bins]`` without the styles' mean."""
        same = len(image) == len(self._center)
        center = self._center if same else self._center.mean(0, keepdim=True)
        return (image - center).flatten(1, 2).transpose(1, 2)

    def _chosen(self, images: Sequence[Tensor], stretch: int) -> Tensor:
        """Return stretches of frames ``[count, stretch, bins]`` of which all others are nearly made.

        Candidates lie evenly over all images; the next is the one whose patches those before explain least.
        """
        pieces = [p for image in images for p in self._centered(image)]
        each = max(_CANDIDATES // len(pieces), 1)
        found = []
        for piece in pieces:
            last = len(piece) - stretch
            count = min(each, last // stretch + 1)
            starts = [round(i * last / max(count - 1, 1)) for i in range(count)]
            found += [piece[start : start + stretch] for start in starts]
        candidates = torch.stack(found)
        width = self.widths[len(self.widths) // 2]
        kernel, _ = self._among(candidates, width)
        return candidates[_pivots(kernel, len(candidates), STRETCHES)]

    def _among(self, frames: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Return the kernel of all patches of some stretches ``[count, S, bins]``, ``[n, n]``, and norms."""
        count, stretch, bins = frames.shape
        frames = frames.double().cpu()  # a root halves the digits
        flat = frames.reshape(-1, bins)
        dots = (flat @ flat.T).view(count, stretch, count, stretch).transpose(1, 2)
        sums = window_sums(dots, width, diagonals=True).transpose(1, 2)
        n = _norms(window_sums(frames.square().sum(2), width, diagonals=False)).reshape(-1)
        return arc_cosine_kernel(sums.reshape(len(n), len(n)), n[:, None], n[None]), n

    def sha256(self) -> str:
        """Return the hash of the landmarks as hexadecimal digits."""
        return hashlib.sha256(self._frames.float().cpu().numpy().tobytes()).hexdigest()

    def map_size(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        """Return channels, height (1) and width of the maps of an image of ``height`` x ``width``."""
        number = self._number(layer)
        over = (max(self.widths) if self._loop else self.widths[number]) - 1
        return self._roots[number].shape[1] + int(layer.endswith("+rest")), 1, max(width - over, 1)

    def _number(self, layer: str) -> int:
        """Return the number of the width that stands for a layer; the widest stands for what does not fit."""
        width = width_of(layer)
        return self.widths.index(width) if width in self.widths else len(self.widths) - 1

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Turn ``[B, 1, bins, T]`` into ``{"kernel2": [B, C, 1, T - 1], ...}``."""
        x = self._centered(image)
        batch, frames, bins = x.shape
        count, stretch = self._frames.shape[:2]
        squares = x.square().sum(2)
        flat = self._frames.reshape(-1, bins)
        dots = (x.to(self._dtype) @ flat.to(self._dtype).T).to(self._frames.dtype)
        dots = dots.view(batch, frames, count, stretch).transpose(1, 2)
        maps = []
        for width, norms, root in zip(self.widths, self._norms, self._roots, strict=True):
            sums = window_sums(dots, width, diagonals=True).transpose(1, 2).flatten(2)
            n = _norms(window_sums(squares, width, diagonals=False))[..., None]
            features = arc_cosine_kernel(sums, n, norms) @ root
            rest = n.square() * (1.0 + _REST) - features.square().sum(2, keepdim=True)
            both = torch.cat([features, rest.clamp_min(_REST * 1e-12).sqrt()], 2)
            if self._loop:
                both = both[:, : frames - max(self.widths) + 1]
            maps.append(both.transpose(1, 2)[:, :, None])
        found = {}
        for layer in self.layers:
            whole = maps[self._number(layer)]
            found[layer] = whole if layer.endswith("+rest") else whole[:, :-1]
        return found


def _mean_of(styles: Sequence[Tensor], blend: Sequence[float], batch: int) -> Tensor:
    """Return the styles' mean over time for each bin, ``[batch or 1, 1, bins, 1]``."""
    means = [style.mean(3, keepdim=True) for style in styles]
    if any(len(mean) != batch for mean in means):
        means = [mean.mean(0, keepdim=True) for mean in means]
    shares = [weight / sum(blend) for weight in blend]
    return torch.stack([share * mean for share, mean in zip(shares, means, strict=True)]).sum(0)


def _norms(squares: Tensor) -> Tensor:
    # The floor keeps the root's gradient finite in silence.
    return (squares + 1e-12).sqrt()


def _pivots(kernel: Tensor, groups: int, count: int) -> list[int]:
    """Return the groups of rows, equally large, that a blockwise Cholesky factorization takes first."""
    size = len(kernel) // groups
    left = kernel
    chosen: list[int] = []
    for _ in range(min(count, groups)):
        rest = left.diagonal().view(groups, size).sum(1)
        rest[chosen] = -1.0
        best = int(rest.argmax())
        chosen.append(best)
        part = slice(best * size, (best + 1) * size)
        values, vectors = torch.linalg.eigh(left[part, part])
        solid = values > _FLOOR * values[-1].clamp_min(1e-30)
        across = left[:, part] @ (vectors[:, solid] / values[solid].sqrt())
        left = left - across @ across.T
    return chosen
