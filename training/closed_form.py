"""The first student, without any gradient: channels by greedy choice, filters by ridge regression."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.features.vgg import prepare
from specstyle.features.weights import LAYERS, Weights
from training.layers import Base, Lesson, Tensors, gram_means, responses
from training.plan import Plan

_RIDGE = 1e-5
"""Of the mean of the patches' second moments."""
_TINY = 1e-30


def choose_channels(gram: Tensor, count: int) -> Tensor:
    """Choose the channels from which the others of a Gram matrix can best be predicted, one by one.

    Args:
        gram: ``[C, C]``.
        count: How many.

    Returns:
        Their numbers, ascending, ``[count]``.

    Reference:
        Greedy column subset selection: each step takes the column that leaves the smallest residual
        (Farahat, Ghodsi & Kamel 2013); the residual is that of a pivoted Cholesky factorization.
    """
    residual = gram.double().clone()
    chosen: list[int] = []
    for _ in range(count):
        gain = residual.square().sum(0) / residual.diagonal().clamp_min(_TINY)
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        pivot = residual[best, best].clamp_min(_TINY)
        residual = residual - residual[:, best, None] * residual[None, best] / pivot
        residual[best] = residual[:, best] = 0.0
    return torch.tensor(sorted(chosen))


@torch.no_grad()
def make_lesson(
    teacher: Weights, plan: Plan, pictures: Tensor, *, base: Base | None = None, batch: int = 8
) -> Lesson:
    """Choose the teacher's channels and scales from its answers to some pictures ``[N, 3, H, W]``.

    What a base has been taught stays.
    """
    grams: dict[str, Tensor] = {}
    means: dict[str, Tensor] = {}
    last = list(plan.widths)[-1]
    for start in range(0, len(pictures), batch):
        some = pictures[start : start + batch]
        x = prepare(some, teacher.preprocessing).contiguous(memory_format=torch.channels_last)
        for name, _, response in responses(teacher.tensors, x, up_to=last):
            maps = F.relu(response)
            each = gram_means(maps).double()
            each /= each.square().sum((1, 2), keepdim=True).sqrt().clamp_min(_TINY)  # dark pictures count too
            grams[name] = grams.get(name, 0.0) + each.sum(0)
            means[name] = means.get(name, 0.0) + maps.double().mean((2, 3)).sum(0)
    channels, scales = (dict(base.channels), dict(base.scales)) if base else ({}, {})
    for name, width in plan.widths.items():
        if name not in channels:
            channels[name] = choose_channels(grams[name], width)
            scales[name] = len(pictures) / max(float(means[name][channels[name]].mean()), _TINY)
    return Lesson(teacher, channels, scales)


@torch.no_grad()
def fit(
    lesson: Lesson,
    plan: Plan,
    pictures: Tensor,
    *,
    base: Base | None = None,
    say: Callable[[str], None],
    batch: int = 50,
) -> Tensors:
    """Fit the student layer by layer: the teacher's responses from the student's own 3x3 patches.

    Each picture weighs as much as any other, however faint its responses.

    Args:
        lesson: What to answer.
        plan: Widths.
        pictures: ``[N, 3, H, W]`` in 0..1.
        base: Layers that stay as they are.
        say: Called with a line per layer.
        batch: Pictures that a network sees at once.
    """
    tensors: Tensors = dict(base.tensors) if base else {}
    wanted = tuple(name for name in plan.widths if name not in tensors)
    parts = [lesson.responses(some, wanted) for some in torch.split(pictures, batch)]
    x = prepare(pictures, "torchvision")
    if base:
        x = torch.cat([_last_maps(base.tensors, some) for some in torch.split(x, batch)])
    for name in wanted:
        if name.endswith("_1") and name != LAYERS[0]:
            x = F.avg_pool2d(x, 2)
        solution, error = _ridge(x, torch.cat([part.pop(name) for part in parts]))
        weight = solution[:-1].T.reshape(-1, x.shape[1], 3, 3).float().contiguous()
        tensors[name] = (weight, solution[-1].float().contiguous())
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), *tensors[name]))
        say(f"{name}: {x.shape[1]} channels, share of the responses left unexplained {error:.4f}")
    return tensors


def _last_maps(tensors: Tensors, x: Tensor) -> Tensor:
    """Return the maps of a network's last layer."""
    *_, (_, _, response) = responses(tensors, x, up_to=list(tensors)[-1])
    return F.relu(response)


def _ridge(x: Tensor, responses: Tensor) -> tuple[Tensor, float]:
    """Return the ridge regression of responses ``[N, C, h, w]`` on patches of x: ``[9 C_in + 1, C]``."""
    size = 9 * x.shape[1] + 1
    moments = torch.zeros(size, size, dtype=torch.float64, device=x.device)
    products = torch.zeros(size, responses.shape[1], dtype=torch.float64, device=x.device)
    energy = 0.0
    for picture, response in zip(x, responses, strict=True):
        wanted = response.flatten(1).T
        patches = F.unfold(F.pad(picture[None], (1, 1, 1, 1), mode="replicate"), 3)[0].T
        patches = torch.cat([patches, torch.ones_like(patches[:, :1])], dim=1)
        weight = 1.0 / wanted.square().mean().clamp_min(_TINY)
        moments += ((patches * weight).T @ patches).double()
        products += ((patches * weight).T @ wanted).double()
        energy += float((wanted * weight).double().mul(wanted).sum())
    ridge = _RIDGE * moments.diagonal().mean()
    solution = torch.linalg.solve(
        moments + ridge * torch.eye(size, dtype=torch.float64, device=x.device), products
    )
    left = energy - 2.0 * (solution * products).sum() + (solution * (moments @ solution)).sum()
    return solution, float(left) / max(energy, _TINY)
