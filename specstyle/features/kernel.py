"""The infinite-width limit of a random one-layer ReLU network over time, in closed form.

A random convolution of width w with ReLU, given ever more filters, has Gram matrices and features whose
inner products converge to a kernel between patches of w frames. So its style loss (a distance of Gram
matrices) and its content loss can be written with that kernel, without a filter and without a seed.

Notation: a patch is w neighboring frames with all their bins; n its Euclidean norm, D the dot product of
two patches, c = D / (n n') their cosine, k = n n' J(c) the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LAYER = "kernel"
WIDTHS = (2, 8, 32)
"""Patch widths in frames; powers of two, since window sums are built by doubling."""


BLOCK = 1024
"""Patches on a side of the part of a kernel matrix that is held at a time."""


class _ArcCosine(torch.autograd.Function):
    """k = n m J(D / (n m)), with the gradient by hand: autograd is singular where two patches are equal."""

    @staticmethod
    def forward(ctx: Any, dots: Tensor, n: Tensor, m: Tensor) -> Tensor:
        scale = n * m
        cosine = torch.where(scale > 0, dots / scale.clamp_min(1e-30), 0.0).clamp(-1.0, 1.0)
        sine = (1.0 - cosine.square()).clamp_min(0.0).sqrt() / math.pi
        slope = 1.0 - torch.acos(cosine) / math.pi
        ctx.save_for_backward(n, m, sine, slope)
        return scale * (sine + slope * cosine)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, m, sine, slope = ctx.saved_tensors
        along = grad[0] * sine
        return grad[0] * slope, _fold(along * m, n), _fold(along * n, m)


def _fold(gradient: Tensor, like: Tensor) -> Tensor:
    """Sum a gradient over the dimensions in which its tensor was broadcast."""
    for dim, (have, want) in enumerate(zip(gradient.shape, like.shape, strict=True)):
        if have != want:
            gradient = gradient.sum(dim, keepdim=True)
    return gradient


def arc_cosine_kernel(dots: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """Return the arc-cosine kernel of order 1, scaled so that k(x, x) = |x|^2.

    ``k = n m J(c)``, ``J(c) = (sqrt(1 - c^2) + (pi - arccos c) c) / pi``, ``J'(c) = (pi - arccos c) / pi``

    Args:
        dots: Dot products D, any shape.
        n: Norms of the one side, of the same number of dimensions (1 where they are broadcast).
        m: Norms of the other side.

    Reference:
        Cho & Saul 2009, "Kernel methods for deep learning", equation 6 with n = 1.
    """
    kernel: Tensor = _ArcCosine.apply(dots, n, m)  # type: ignore[no-untyped-call]
    return kernel


def window_sums(dots: Tensor, width: int, *, diagonals: bool) -> Tensor:
    """Return sums over ``width`` neighboring frames, by doubling.

    Args:
        dots: Dot products of frames: ``[B, T, T']``, or ``[B, T]`` of each frame with its partner.
        width: A power of two.
        diagonals: Whether both time axes move together (``[B, T, T']``) or there is one (``[B, T]``).

    Returns:
        ``[B, T - width + 1, T' - width + 1]`` or ``[B, T - width + 1]``.
    """
    span = 1
    while span < width:
        dots = (
            dots[:, :-span, :-span] + dots[:, span:, span:] if diagonals else dots[:, :-span] + dots[:, span:]
        )
        span *= 2
    return dots


def usable_widths(widths: Sequence[int], *frames: int) -> tuple[int, ...]:
    """Return the widths that fit into the shortest of some clips, at least one."""
    return tuple(w for w in widths if w <= min(frames)) or (1,)


def _frames(image: Tensor, center: Tensor) -> Tensor:
    """Return centered frames ``[B, T, bins]`` of an image ``[B, 1, bins, T]``."""
    return (image - center).flatten(1, 2).transpose(1, 2)


class _SquareMean(torch.autograd.Function):
    """Weighted means of k(x_t, y_s)^2 over all pairs of patches, and their gradient, block by block.

    The whole kernel matrix of a long sound does not fit into memory (a minute: gigabytes), but mean and
    gradient are sums over pairs of blocks of it. The gradient is taken while a block is at hand.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 (autograd passes by position)
        ctx: Any, x: Tensor, y: Tensor, coefficients: Tensor, widths: tuple[int, ...], block: int
    ) -> Tensor:
        itself, wants_gradient = x is y, x.requires_grad
        total, gradient = x.new_zeros(x.shape[0]), torch.zeros_like(x)
        for first in range(0, x.shape[1] - min(widths) + 1, block):
            for second in range(first if itself else 0, y.shape[1] - min(widths) + 1, block):
                # A pair of two blocks of the same sound stands for its mirror image too.
                twice = 2.0 if itself and second > first else 1.0
                rows, columns = (slice(start, start + block + max(widths) - 1) for start in (first, second))
                with torch.set_grad_enabled(wants_gradient):
                    a = x[:, rows].detach().requires_grad_(wants_gradient)
                    b = y[:, columns].detach().requires_grad_(wants_gradient and itself)
                    counts = [(x.shape[1] - w + 1) * (y.shape[1] - w + 1) for w in widths]
                    limits = [(x.shape[1] - w + 1 - first, y.shape[1] - w + 1 - second) for w in widths]
                    sums = _block_sums(a, b, widths, [(min(n, block), min(m, block)) for n, m in limits])
                    value = sum(
                        twice * c * part / n for c, part, n in zip(coefficients, sums, counts, strict=True)
                    )
                    total = total + value.detach()
                    if wants_gradient:
                        parts = torch.autograd.grad(value.sum(), [a, b] if itself else [a])
                        for where, part in zip((rows, columns), parts, strict=False):
                            gradient[:, where] += part
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return grad[0][:, None, None] * gradient, None, None, None, None


def _block_sums(
    a: Tensor, b: Tensor, widths: Sequence[int], counts: Sequence[tuple[int, int]]
) -> list[Tensor]:
    """Return sums of k^2 over the first ``counts`` patches of two pieces, ``[B]`` for each width."""
    cross = a @ b.transpose(1, 2)
    own_a, own_b = a.square().sum(2), b.square().sum(2)
    sums = []
    for width, (n_rows, n_columns) in zip(widths, counts, strict=True):
        if min(n_rows, n_columns) < 1:  # a last block of only the shorter patches
            sums.append(cross.sum((1, 2)) * 0.0)
            continue
        n = _norms(window_sums(own_a, width, diagonals=False))[:, :n_rows, None]
        m = _norms(window_sums(own_b, width, diagonals=False))[:, None, :n_columns]
        dots = window_sums(cross, width, diagonals=True)[:, :n_rows, :n_columns]
        sums.append(arc_cosine_kernel(dots, n, m).square().sum((1, 2)))
    return sums


def square_mean(
    x: Tensor, y: Tensor, coefficients: Tensor, widths: Sequence[int], *, block: int = BLOCK
) -> Tensor:
    """Return ``sum_w coefficient_w mean_(t, s) k_w(x_t, y_s)^2`` in memory that does not grow with length.

    Exact for any length; the time grows with the product of the lengths. It can be differentiated once, by x
    (by both arguments if ``y`` is ``x`` itself).

    Args:
        x: Frames ``[B, T, bins]``.
        y: Frames ``[B, T', bins]``.
        coefficients: One per width and batch entry, ``[widths, B]``.
        widths: Patch widths, powers of two, none above T or T'.
        block: Patches on a side of the part of the kernel matrix that is held at a time.

    Returns:
        ``[B]``.
    """
    value: Tensor = _SquareMean.apply(x, y, coefficients, tuple(widths), block)  # type: ignore[no-untyped-call]
    return value


def _square_means(x: Tensor, y: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """Return the mean of k(x_t, y_s)^2 over all pairs of patches, ``[B]`` for each width."""
    ones = x.new_ones(1, x.shape[0])
    return [square_mean(x, y, ones, [width]) for width in widths]


def _norms(squares: Tensor) -> Tensor:
    # The floor keeps the root's gradient finite in silence.
    return (squares + 1e-12).sqrt()


@dataclass(frozen=True)
class KernelStyleTerm:
    """Squared maximum mean discrepancy of patches, relative to the style's own, averaged over widths.

    ``(mean k_xx^2 - 2 mean k_xs^2 + mean k_ss^2) / mean k_ss^2``: the relative Gram loss of infinitely many
    filters. Make it with ``kernel_style_term``.

    Reference:
        Gretton et al. 2012 for the discrepancy; Li et al. 2017 ("Demystifying neural style transfer") for
        Gram matrices as one.
    """

    weight: float
    styles: tuple[Tensor, ...]
    blend: tuple[float, ...]
    center: Tensor
    own: tuple[Tensor, ...]
    widths: tuple[int, ...]
    loop: bool = False
    name: str = "style:kernel"

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return ``[B]``."""
        x = _frames(image, self.center)
        scale = 1.0 / (len(self.widths) * torch.stack(self.own))
        if not self.loop:
            return self._discrepancy(x, scale, self.widths)
        # Each frame of a circle begins one patch of every width.
        around = [torch.cat([x, x[:, : width - 1]], 1) for width in self.widths]
        parts = zip(around, scale, self.widths, strict=True)
        return torch.stack([self._discrepancy(y, s[None], (width,)) for y, s, width in parts]).sum(0)

    def _discrepancy(self, x: Tensor, scale: Tensor, widths: tuple[int, ...]) -> Tensor:
        """Return the part of the loss of some widths."""
        loss = square_mean(x, x, scale, widths) + len(widths) / len(self.widths)
        for style, share in zip(self.styles, self.blend, strict=True):
            loss = loss + square_mean(x, style, -2.0 * share * scale, widths)
        return loss


@dataclass(frozen=True)
class KernelContentTerm:
    """Mean squared distance of features of patches at the same time, relative to the content's.

    ``mean_t (n_x^2 + n_c^2 - 2 k(x_t, c_t)) / mean_t n_c^2``, averaged over widths.
    """

    weight: float
    content: Tensor
    center: Tensor
    widths: tuple[int, ...]
    name: str = "content:kernel"

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return ``[B]``."""
        x, c = _frames(image, self.center), _frames(self.content, self.center)
        dots, squares_x, squares_c = (x * c).sum(2), x.square().sum(2), c.square().sum(2)
        losses = []
        for width in self.widths:
            n, m = (window_sums(s, width, diagonals=False) + 1e-12 for s in (squares_x, squares_c))
            kernel = arc_cosine_kernel(window_sums(dots, width, diagonals=False), n.sqrt(), m.sqrt())
            losses.append((n + m - 2.0 * kernel).mean(1) / m.mean(1))
        return torch.stack(losses).mean(0)


def _matched(
    styles: Sequence[Tensor], blend: Sequence[float], batch: int
) -> tuple[list[Tensor], tuple[float, ...], Tensor]:
    """Return styles with the content's channels, their shares, and their mean over time for each bin."""
    shares = tuple(w / sum(blend) for w in blend)
    matched = [
        s if s.shape[0] == batch else s.mean(0, keepdim=True).expand(batch, -1, -1, -1) for s in styles
    ]
    means = [share * s.mean(3, keepdim=True) for share, s in zip(shares, matched, strict=True)]
    return matched, shares, torch.stack(means).sum(0)


@torch.no_grad()
def kernel_style_term(
    content: Tensor,
    styles: Sequence[Tensor],
    blend: Sequence[float],
    *,
    weight: float,
    widths: Sequence[int] = WIDTHS,
    loop: bool = False,
) -> KernelStyleTerm:
    """Prepare the style's side of the discrepancy.

    Args:
        content: ``[B, 1, bins, T]``; only its shape counts.
        styles: Images ``[B_s, 1, bins, T_s]``; one of another number of channels is averaged over them.
        blend: Weight of each style; only their ratios matter.
        weight: Of the term.
        widths: Patch widths in frames; those that do not fit into the shortest clip are left out.
        loop: Whether the image is a circle in time: its last patches go on with its first frames.
    """
    fitting = usable_widths(widths, content.shape[3], *(s.shape[3] for s in styles))
    matched, shares, center = _matched(styles, blend, content.shape[0])
    centered = tuple(_frames(s, center) for s in matched)
    own = [torch.zeros(content.shape[0]).to(center) for _ in fitting]
    for a, share_a in zip(centered, shares, strict=True):
        for b, share_b in zip(centered, shares, strict=True):
            for i, mean in enumerate(_square_means(a, b, fitting)):
                own[i] = own[i] + share_a * share_b * mean
    safe = tuple(mean.clamp_min(1e-30) for mean in own)
    return KernelStyleTerm(weight, centered, shares, center, safe, fitting, loop)


@torch.no_grad()
def kernel_content_term(
    content: Tensor,
    styles: Sequence[Tensor],
    blend: Sequence[float],
    *,
    weight: float,
    widths: Sequence[int] = WIDTHS,
) -> KernelContentTerm:
    """Prepare the content's side, seen from the style's mean.

    Args:
        content: ``[B, 1, bins, T]``.
        styles: Images ``[B_s, 1, bins, T_s]``.
        blend: Weight of each style; only their ratios matter.
        weight: Of the term.
        widths: As for ``kernel_style_term``.
    """
    fitting = usable_widths(widths, content.shape[3], *(s.shape[3] for s in styles))
    return KernelContentTerm(weight, content, _matched(styles, blend, content.shape[0])[2], fitting)
