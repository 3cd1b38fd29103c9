"""The network beside a second one in torch's own layers; strength, blends, tiles."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from specstyle.onepass.network import BLOCKS, GATE, HALO, STRIDE, StyleNetwork, _noise
from specstyle.onepass.tiling import TILE, stylize

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(styles: int = 2, channels: int = 3, seed: int = 0) -> StyleNetwork:
    """Return a network whose styles differ in all that they can."""
    torch.manual_seed(seed)
    network = StyleNetwork(styles, channels)
    for norm in network.norms:
        for part in (norm.scale, norm.shift):
            part.data += 0.3 * torch.randn_like(part)
    return network.eval().requires_grad_(False)


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, channels, 5, 6, generator=generator)
    smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return (smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0.0, 1.0)


def second(network: StyleNetwork, image: Tensor, style: int, strength: float) -> Tensor:
    """Return the output by torch's own instance normalization, one style at a time."""
    norms = iter(network.norms)

    def norm(x: Tensor) -> Tensor:
        n: Any = next(norms)
        scale, shift = (
            sum(p.unflatten(0, (-1, 3))[style, power] * strength**power for power in range(3))
            for p in (n.scale, n.shift)
        )
        return F.instance_norm(x, weight=scale, bias=shift, eps=1e-5)

    def conv(x: Tensor, layer: Any) -> Tensor:
        layers = layer if isinstance(layer, torch.nn.Sequential) else [layer]
        for one in layers:
            reach = one.kernel_size[0] // 2
            padded = F.pad(x, (reach,) * 4, mode="reflect") if reach else x
            x = F.conv2d(padded, one.weight, one.bias, stride=one.stride, groups=one.groups)
        return x

    def between(x: Tensor) -> Tensor:
        """Twice as many rows, each a quarter of the way to the next one or the one before."""
        beyond = F.pad(x, (0, 0, 1, 1), mode="replicate")
        rows = [0.75 * x + 0.25 * beyond[:, :, side : x.shape[2] + side] for side in (0, 2)]
        return torch.stack(rows, 3).flatten(2, 3)

    noise = _noise(*image.shape[2:], (0, 0)).to(image)[None, None]
    full = norm(conv(torch.cat([image, noise], 1), network.enter)).relu()
    half = norm(conv(full, network.down[0])).relu()
    x = norm(conv(half, network.down[1])).relu()
    for block in range(BLOCKS):
        inside = norm(conv(x, network.blocks[2 * block])).relu()
        x = x + norm(conv(inside, network.blocks[2 * block + 1]))
    for layer, skipped in zip(network.up, (half, full), strict=True):
        x = norm(conv(between(between(x).mT).mT, layer)).relu() + skipped
    kept = (1.0 - strength) ** GATE
    return kept * image + (1.0 - kept) * conv(x, network.leave).sigmoid()


@pytest.mark.parametrize("channels", [3, 1])
def test_the_network_is_what_its_papers_say(channels: int) -> None:
    network, image = drawn(3, channels).double(), picture(24, 32, channels).double()
    for style, strength in ((0, 0.3), (2, 1.0)):
        ours = network(
            image, torch.eye(3).double()[style][None], torch.tensor([strength], dtype=torch.float64)
        )
        # float64, with sums in another order.
        torch.testing.assert_close(ours, second(network, image, style, strength), rtol=0, atol=1e-10)


def test_a_style_takes_less_than_a_quarter_of_a_megabyte() -> None:
    assert 2 * sum(p.numel() for p in StyleNetwork(1).parameters()) < 245_000  # half precision; a header


@given(seed=st.integers(0, 5), style=st.integers(0, 1))
@settings(max_examples=6)
def test_at_strength_0_the_output_is_the_content(seed: int, style: int) -> None:
    image = picture(21, 34, seed=seed)
    assert torch.equal(stylize(drawn(), image, torch.eye(2)[style], 0.0), image)


def test_entries_of_a_batch_do_not_influence_each_other() -> None:
    network, images = drawn().double(), torch.cat([picture(16, 24), picture(16, 24, seed=1)]).double()
    blend, strength = torch.tensor([[1.0, 0.0], [0.3, 0.7]]).double(), torch.tensor([0.4, 0.9]).double()
    together = network(images, blend, strength)
    for i in range(2):
        alone = network(images[i : i + 1], blend[i : i + 1], strength[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-10)  # float64


def test_a_blend_lies_between_its_styles() -> None:
    """A blend of a style with itself is that style; blends of two move from one to the other."""
    network, image = drawn(), picture(32, 32)
    one, other = (stylize(network, image, torch.eye(2)[i], 0.8) for i in range(2))
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    blends = [stylize(network, image, torch.tensor([1.0 - share, share]), 0.8) for share in shares]
    assert torch.equal(blends[0], one)
    assert torch.equal(blends[-1], other)
    away = [float((blend - one).norm()) for blend in blends]
    assert away == sorted(away)
    again = stylize(network, image, torch.tensor([3.0, 3.0]), 0.8)  # only the ratio matters
    torch.testing.assert_close(again, blends[2], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(300, 421), (257, 130)])
def test_tiles_have_no_seams(height: int, width: int) -> None:
    """With the statistics of the same copy, tiles give what the whole gives."""
    network, image, blend = drawn(), picture(height, width), torch.tensor([0.4, 0.6])
    whole, tiled = (
        stylize(network, image, blend, 0.9, pixels_at_once=height * width - 1, tile=tile)
        for tile in (4096, 64)
    )
    # Seams stay below 1e-4: float32 sums in another order give some 1e-6, a halo too small 1e-2.
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)
    at_once = stylize(network, image, blend, 0.9)
    assert float((whole - at_once).abs().mean()) < 0.01  # the copy is hardly smaller


def test_tiles_begin_at_whole_strides() -> None:
    assert TILE % STRIDE == 0
    assert HALO % STRIDE == 0


def test_noise_is_that_of_a_plain_loop_wherever_a_part_begins() -> None:
    def at(y: int, x: int) -> float:
        mixed = (y * 73_856_093) ^ (x * 19_349_663)
        for factor in (1_274_126_177, 668_265_263):
            mixed = ((mixed ^ (mixed >> 15)) * factor) & 0x7FFF_FFFF
        return (mixed >> 7) / 2**24 - 0.5

    part = _noise(3, 4, (70_000, 12))
    expected = torch.tensor([[at(y, x) for x in range(12, 16)] for y in range(70_000, 70_003)])
    assert torch.equal(part, expected)
    many = _noise(256, 256, (0, 0))
    # Of 65,536 uniform values the mean is within 5 of its own deviations, 0.29 / 256.
    assert abs(float(many.mean())) < 5 * 0.29 / 256
    assert abs(float(many.std()) - 12**-0.5) < 0.01


@given(height=st.integers(8, 70), width=st.integers(8, 70), strength=st.floats(0.0, 1.0))
@settings(max_examples=15)
def test_any_size_and_strength_gives_a_picture(height: int, width: int, strength: float) -> None:
    output = stylize(drawn(), picture(height, width), torch.tensor([1.0, 1.0]), strength)
    assert output.shape == (1, 3, height, width)
    assert 0.0 <= float(output.min()) <= float(output.max()) <= 1.0


def test_the_network_can_be_exported() -> None:
    network, image = drawn(), picture(32, 48)
    given_ = (image, torch.tensor([[1.0, 0.0]]), torch.tensor([0.7]))
    exported = torch.export.export(network, given_).module()
    # The same operations, perhaps fused.
    torch.testing.assert_close(exported(*given_), network(*given_), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pixels_at_once", [10**9, 1000])
def test_statistics_of_the_image_before_are_kept_in_part(pixels_at_once: int) -> None:
    network, blend = drawn(), torch.tensor([1.0, 0.0])
    one, other = picture(64, 48, seed=1), picture(64, 48, seed=2)
    found: dict[str, list[Any]] = {"one": [], "other": [], "mixed": []}

    def run(image: Tensor, name: str, **given: Any) -> Tensor:
        return stylize(
            network, image, blend, 0.7, found=found[name], pixels_at_once=pixels_at_once, tile=32, **given
        )

    run(one, "one")
    alone = run(other, "other")
    again = run(other, "mixed", moments=found["one"], kept=0.0)
    torch.testing.assert_close(again, alone)
    found["mixed"] = []
    run(other, "mixed", moments=found["one"], kept=0.75)
    assert len(found["mixed"]) == len(network.norms)
    # Of the first normalization, whose input does not depend on those before.
    for number in range(2):
        expected = 0.75 * found["one"][0][number] + 0.25 * found["other"][0][number]
        torch.testing.assert_close(found["mixed"][0][number], expected)
