"""The arithmetic floor against a count by hand and against torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.floor import gram_flop, network_flop, peak_flops
from specstyle.features.weights import CHANNELS, LAYERS
from specstyle.recipes.recipe import S5

VGG = {
    name: (CHANNELS[name], CHANNELS[LAYERS[number - 1]] if number else 3)
    for number, name in enumerate(LAYERS)
}


def test_vgg19_to_relu5_1_at_512_by_hand() -> None:
    """Thirteen convolutions, 379 GFLOP forward and back."""
    side, count = 512, 0
    for block, convolutions in enumerate(
        ([(3, 64), (64, 64)], [(64, 128), (128, 128)], [(128, 256)] + 3 * [(256, 256)],
         [(256, 512)] + 3 * [(512, 512)], [(512, 512)])
    ):  # fmt: skip
        for into, out in convolutions:
            count += 2 * 2 * into * out * 9 * (side // 2**block) ** 2
    found, maps = network_flop(VGG, S5, side, side)
    assert found == count
    assert round(found / 1e9) == 379
    assert maps["relu5_1"] == (512, 32 * 32)


def test_a_step_is_what_torch_counts() -> None:
    layers = ("relu1_1", "relu2_1", "relu3_1@2")
    x = torch.rand(1, 3, 32, 48, requires_grad=True)
    flop, maps = network_flop(VGG, layers, 32, 48)
    with FlopCounterMode(display=False) as counter:
        total = x.new_zeros(())
        for factor, deepest in ((1, "relu2_1"), (2, "relu3_1")):
            y = F.avg_pool2d(x, factor)
            for number, name in enumerate(LAYERS[: LAYERS.index(deepest) + 1]):
                y = F.avg_pool2d(y, 2) if number and name.endswith("_1") else y
                y = F.relu(F.conv2d(y, torch.randn(*VGG[name], 3, 3), padding=1))
            total = total + y.sum()
        total.backward()
    assert counter.get_total_flops() == flop
    out, positions = maps["relu1_1"]
    with FlopCounterMode(display=False) as counter:
        maps_ = torch.rand(out, positions)
        both = torch.rand(out, out)
        _ = maps_ @ maps_.T, both @ maps_
    assert counter.get_total_flops() == gram_flop(out, positions)


def test_the_peak_is_no_more_than_a_processor_can() -> None:
    assert 1e8 < peak_flops("cpu", repeat=2) < 1e14


@pytest.mark.parametrize("layers", [("relu1_1",), ("relu1_1@2",)])
def test_a_reduced_image_costs_less(layers: tuple[str, ...]) -> None:
    whole, _ = network_flop(VGG, ("relu1_1",), 64, 64)
    found, _ = network_flop(VGG, layers, 64, 64)
    assert found * (4 if "@" in layers[0] else 1) == whole
