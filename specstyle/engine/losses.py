"""Style statistics, distances between them, and content losses.

A statistic is a *sum* over positions; its mean is that sum divided by their number. Everything that a
style loss sees is such a mean, so that several styles, masks, tiles and devices are sums as well.

Conventions: ``F`` are feature maps ``[B, C, h, w]``, ``M = h * w`` their positions, ``G`` the mean of
``f f^T`` over positions, ``[B, C, C]``. Every loss returns one value per batch entry, ``[B]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Statistic = Callable[[Tensor], Tensor]
"""``F [B, C, h, w]`` to a sum over positions ``[B, ...]``."""

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two position means ``[B, ...]`` to a value per batch entry ``[B]``."""


_TINY = 1e-30


def moments(features: Tensor, roots: Tensor | None = None) -> Tensor:
    """Return first and second moments of feature vectors, summed over positions.

    Args:
        features: ``[B, C, h, w]``; with ``roots``, already multiplied by them.
        roots: Roots of the positions' weights, ``[1, 1, h, w]``; ``None``: all are 1.

    Returns:
        ``[B, C, C + 1]``: the Gram matrix, and ``sum_m f_m`` as its last column.
    """
    flat = features.flatten(2)
    ones = torch.ones_like(flat[:, :1])
    if roots is not None:
        ones = ones * roots.flatten(2)
    return flat @ torch.cat([flat, ones], dim=1).transpose(1, 2)


@dataclass(frozen=True)
class SquaredDistance:
    """The distance ``factor * sum (G - A)^2``.

    Attributes:
        factor: A number; ``None``: 1 / sum A^2, which is 1 for an empty image, whatever the network's scale.
            An empty target (a silent channel) then has no scale to compare with, and costs nothing.
    """

    factor: float | None = None

    def __call__(self, mean: Tensor, target: Tensor) -> Tensor:
        """Return ``[B]``."""
        return self.scale(target) * (mean - target).square().flatten(1).sum(1)

    def scale(self, target: Tensor) -> Tensor:
        """Return the factor of each batch entry, ``[B]``."""
        if self.factor is not None:
            return target.new_full((target.shape[0],), self.factor)
        norm = target.square().flatten(1).sum(1)
        return torch.where(norm > 0, norm.clamp_min(_TINY).reciprocal(), 0.0)


relative_distance = SquaredDistance()
"""``sum (G - A)^2 / sum A^2``."""


def gram_distance(form: str, *, channels: int, positions: int, image_positions: int) -> Distance:
    """Return a distance between mean Gram matrices, normalized as a published system does.

    Args:
        form: ``gram_mean`` mean over C^2 (TensorFlow tutorials); ``gram_gatys`` 1/(4 C^2) sum (Gatys et al.
            2016, equation 4, for a style of the content's size); ``gram_keras`` sum of squares of the *sums*
            / (36 (H W)^2) (Chollet 2017); ``gram_chw`` mean over C^2 of matrices divided by C M (Johnson
            2015); ``gram_sum`` the sum (Ulyanov & Lebedev 2016); ``gram_relative``.
        channels: C of the layer.
        positions: M of the layer.
        image_positions: H W of the image.

    Raises:
        ValueError: If the form is unknown.
    """
    if form == "gram_relative":
        return relative_distance
    scales = {
        "gram_mean": 1.0 / channels**2,
        "gram_gatys": 1.0 / (4.0 * channels**2),
        "gram_keras": (positions / image_positions) ** 2 / 36.0,
        "gram_chw": 1.0 / channels**4,
        "gram_sum": 1.0,
    }
    if form not in scales:
        accepted = ", ".join(["gram_relative", "wasserstein2", *scales])
        raise ValueError(f"style_loss must be one of {accepted}, got {form!r}")
    return SquaredDistance(scales[form])


COVARIANCE_FLOOR = 1e-4
"""Added to the variances before their Wasserstein-2 distance, as Crowson 2021 does."""


def wasserstein2_target(mean: Tensor) -> Tensor:
    """Prepare the style's moments for ``wasserstein2_distance``: one matrix root, once a run.

    Args:
        mean: Mean of ``moments``, shape ``[B, C, C + 1]``.

    Returns:
        Mean, covariance and the covariance's root side by side, ``[B, C, 1 + 2 C]``.
    """
    mu, covariance = _gaussian(precise(mean))
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp_min(0.0).sqrt()[:, None, :]) @ vectors.transpose(1, 2)
    return torch.cat([mu[:, :, None], covariance, root], dim=2)


def precise(tensor: Tensor) -> Tensor:
    """Return a float64 copy, on the CPU where the device has no such type.

    Roots halve the digits: in float32 all eigenvalues below a thousandth of the largest would be noise.
    """
    return tensor.cpu().double() if tensor.device.type == "mps" else tensor.double()


def wasserstein2_distance(mean: Tensor, target: Tensor) -> Tensor:
    """Return the squared Wasserstein-2 distance between Gaussians of feature vectors, per channel.

    ``mean_c (mu - mu_t)^2 + tr(S + S_t - 2 (S_t^1/2 S S_t^1/2)^1/2) / C``, with ``COVARIANCE_FLOOR`` on the
    diagonals of both covariances.

    Args:
        mean: Mean of ``moments``, shape ``[B, C, C + 1]``.
        target: ``wasserstein2_target`` of the style's moments.

    Reference:
        Crowson 2021 (style-transfer-pytorch); Dowson & Landau 1982 for the closed form.
    """
    mu, covariance = _gaussian(precise(mean))
    channels = mu.shape[1]
    mu_t, covariance_t, root = target[:, :, 0], target[:, :, 1 : channels + 1], target[:, :, channels + 1 :]
    root_trace: Tensor = _RootTrace.apply(covariance, root)  # type: ignore[no-untyped-call]
    traces = torch.diagonal(covariance + covariance_t, dim1=1, dim2=2).sum(1)
    return ((mu - mu_t).square().mean(1) + (traces - 2.0 * root_trace) / channels).to(mean)


def _gaussian(mean: Tensor) -> tuple[Tensor, Tensor]:
    mu = mean[:, :, -1]
    floor = COVARIANCE_FLOOR * torch.eye(mu.shape[1], dtype=mean.dtype, device=mean.device)
    return mu, mean[:, :, :-1] - mu[:, :, None] * mu[:, None, :] + floor


class _RootTrace(torch.autograd.Function):
    """``tr (R S R)^1/2`` for a fixed root R, with its gradient ``R (R S R)^-1/2 R / 2`` in closed form.

    One eigendecomposition serves both. Directions in which ``R S R`` is nothing but rounding (a layer with
    more channels than positions has many) have no finite gradient and get none.
    """

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, root: Tensor) -> Tensor:
        product = root @ covariance @ root
        values, vectors = torch.linalg.eigh((product + product.transpose(1, 2)) / 2.0)
        floor = values[:, -1:].clamp_min(0.0) * torch.finfo(values.dtype).eps * values.shape[1]
        solid = values > floor
        roots = torch.where(solid, values, 0.0).sqrt()
        inverse = torch.where(solid, 1.0 / roots, 0.0)
        ctx.save_for_backward(root @ vectors, inverse)
        return roots.sum(1)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        basis, inverse = ctx.saved_tensors
        gradient = (basis * inverse[:, None, :]) @ basis.transpose(1, 2)
        return 0.5 * grad[0][:, None, None] * gradient, None


def content_distance(form: str, features: Tensor, target: Tensor) -> Tensor:
    """Return the content loss of one layer: ``content_scale`` times ``sum (F - P)^2``.

    Args:
        form: See ``content_scale``.
        features: F, shape ``[B, C, h, w]``.
        target: P, the same shape.
    """
    scale = content_scale(form, target.square().flatten(1).sum(1), target[0].numel())
    return scale * (features - target).square().flatten(1).sum(1)


def content_scale(form: str, squares: Tensor, count: int) -> Tensor:
    """Return what a content loss multiplies the sum of squared errors by, ``[B]``.

    Args:
        form: ``mean`` of (F - P)^2 (TensorFlow tutorials; Johnson's division by CHW), ``sum`` (Keras),
            ``half_sum`` (Gatys et al. 2016, equation 1), ``relative`` to the sum of P^2; a silent target
            costs nothing.
        squares: Sum of P^2, ``[B]``.
        count: Values of P per batch entry.

    Raises:
        ValueError: If the form is unknown.
    """
    if form == "relative":
        return torch.where(squares > 0, squares.clamp_min(_TINY).reciprocal(), 0.0)
    factors = {"mean": 1.0 / max(count, 1), "sum": 1.0, "half_sum": 0.5}
    if form not in factors:
        raise ValueError(f"content_loss must be mean, sum, half_sum or relative, got {form!r}")
    return torch.full_like(squares, factors[form])


# -- positions that weigh differently ------------------------------------------------------------------------

# A Gram matrix is a sum of f f^T: with each feature vector multiplied by the root of its weight, the plain
# sum is the weighted one. The roots are scaled so that the weights' mean is 1: a sum divided by the number of
# positions, which is what every loss sees, is then the weighted sum divided by the sum of weights.


def weighted_sum(statistic: Statistic, features: Tensor, roots: Tensor | None) -> Tensor:
    """Return a statistic's sum over positions that weigh differently.

    Args:
        statistic: ``moments``, or one that is quadratic in feature vectors.
        features: ``[B, C, h, w]``.
        roots: Roots of the weights, ``[1, 1, h, w]``; ``None``: all weigh the same.
    """
    if roots is None:
        return statistic(features)
    if statistic is moments:
        return moments(features * roots, roots)
    return statistic(features * roots)


def root_weights(mask: Tensor, height: int, width: int) -> Tensor:
    """Return the roots of the weights that a mask gives to the positions of a feature map.

    Args:
        mask: Not negative and not 0 everywhere, ``[1, 1, H, W]``; each position gets its area's mean.
        height: Of the map.
        width: Of the map.

    Returns:
        ``[1, 1, height, width]``; the mean of their squares is 1.

    Raises:
        ValueError: If the mask is 0 everywhere.

    Reference:
        Gatys et al. 2017, "Controlling perceptual factors in neural style transfer", equations 3 to 5, which
        normalize the same way.
    """
    weights = F.adaptive_avg_pool2d(precise(mask), (height, width))
    mean = weights.mean()
    if not mean > 0:
        raise ValueError("a mask must be above 0 somewhere")
    return (weights / mean).sqrt().to(mask)


def portions(masks: Sequence[Tensor], blend: Sequence[float]) -> list[float]:
    """Return how much of the style loss belongs to each of several masked styles.

    A style is as strong where it applies as it would be on the whole image, whatever the size of its area: a
    mean over a part weighs that part's share. Where all masks are full, the portions are those of the blend.

    Args:
        masks: Where each style applies, from 0 to 1, ``[1, 1, H, W]``.
        blend: Weight of each style.

    Raises:
        ValueError: If all masks or all weights are 0.
    """
    areas = [weight * float(precise(mask).mean()) for mask, weight in zip(masks, blend, strict=True)]
    if not sum(areas) > 0:
        raise ValueError("some mask and its weight must be above 0")
    covered = float(torch.stack([precise(mask) for mask in masks]).sum(0).clamp_max(1.0).mean())
    return [covered * area / sum(areas) for area in areas]
