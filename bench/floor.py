"""The arithmetic of a step with direct convolutions, and the time that this machine would need for it alone.

Counted are multiplications and additions: each convolution up to the deepest layer in use, forward and as the
gradient with respect to its input (twice the work of forward; weights need no gradient), and each Gram matrix
with its gradient. The floor's time is that count by the best rate that a large product or convolution reached
in the same run. Convolutions with fewer products, as Winograd's or a Fourier transform's, can fall below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.cases import Case
from bench.paired import clock
from specstyle.engine.views import IMAGE, View, bare, plain_view
from specstyle.features.random import WIDTH
from specstyle.features.weights import LAYERS
from specstyle.run.settle import seen_layers

Shape = tuple[int, int]


def network_flop(
    channels: dict[str, Shape],
    layers: Sequence[str],
    height: int,
    width: int,
    view: Callable[[str], View] = plain_view,
) -> tuple[int, dict[str, Shape]]:
    """Return the operations of one step in VGG19's convolutions, and channels and positions of each layer.

    Args:
        channels: Layer name to output and input channels.
        layers: Layers in use, with their views; the image itself takes no operation.
        height: Of the image.
        width: Of the image.
        view: Makes a view by its name.
    """
    total, maps = 0, {}
    through = [name for name in layers if bare(name) != IMAGE]
    for path in sorted({name.partition("@")[2] for name in through}):
        here = [name for name in through if name.partition("@")[2] == path]
        deepest = max(LAYERS.index(bare(name)) for name in here)
        h, w = height, width
        for name in filter(None, path.split("@")):
            h, w = view(name).size(h, w)
        for number, name in enumerate(LAYERS[: deepest + 1]):
            if number and name.endswith("_1"):
                h, w = max(h // 2, 1), max(w // 2, 1)
            out, into = channels[name]
            total += 2 * (2 * out * into * 9 * h * w)
            maps[f"{name}@{path}" if path else name] = (out, h * w)
    return total, maps


def gram_flop(channels: int, positions: int) -> int:
    """Return the operations of a Gram matrix and its gradient: one product of that size each."""
    return 2 * (2 * channels * channels * positions)


def step_flop(case: Case) -> int:
    """Return the operations of one step of a case."""
    recipe, batch = case.recipe, case.content.shape[0]
    rows, columns = case.content.shape[1] * case.content.shape[2], case.content.shape[3]
    if case.weights is None:
        times = columns - WIDTH + 1
        filters = recipe.n_filters
        return batch * (2 * 2 * filters * rows * WIDTH * times + gram_flop(filters, times))
    channels = {name: (w.shape[0], w.shape[1]) for name, (w, _) in case.weights.tensors.items()}
    styles = seen_layers(recipe, "style")
    session = case.session
    total, maps = network_flop(
        channels,
        (*seen_layers(recipe, "content"), *styles),
        *case.content.shape[2:],
        lambda name: session.medium.view(name, session.content),
    )
    return batch * (total + sum(gram_flop(*maps[name]) for name in styles))


def peak_flops(device: str, precision: str = "fp32", repeat: int = 8) -> float:
    """Return the best operations per second of large products and convolutions on a device."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    side = 8192 if device.startswith("cuda") else 1024
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    x = torch.randn(1, 256, 128, 128, device=device, dtype=kind).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, device=device, dtype=kind)
    now = clock(device)
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
    before = cudnn.allow_tf32, cuda.matmul.allow_tf32
    cudnn.allow_tf32 = cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        product = 2 * side**3 / _least(lambda: a @ b, now, repeat)
        convolved = 2 * 256 * 256 * 9 * 128**2 / _least(lambda: F.conv2d(x, weight, padding=1), now, repeat)
    finally:
        cudnn.allow_tf32, cuda.matmul.allow_tf32 = before
    return float(max(product, convolved))


@torch.no_grad()
def _least(work: Callable[[], Tensor], now: Callable[[], float], repeat: int) -> float:
    times = []
    for turn in range(repeat + 2):
        started = now()
        work()
        if turn > 1:
            times.append(now() - started)
    return min(times)
