from __future__ import annotations

import re

import pytest
import torch
import torchvision
from draws import rand
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as transforms

from specstyle.features import VGG19, Weights, canonical_layer
from specstyle.features.random import random_weights
from specstyle.features.vgg import (
    LARGEST_GAIN,
    _constant,
    _edges_joined,
    mean_activations,
    normalizing_gains,
    photographic_means,
    prepare,
    with_edges,
)
from specstyle.features.weights import CHANNELS, CONV_INDEX, LAYERS

PAPERS = tuple(
    f"conv{block}_{i}" for block, n in enumerate((2, 2, 4, 4, 4), start=1) for i in range(1, n + 1)
)


def small(
    up_to: str = "relu5_4", channels: int = 3, *, positive: bool = False, preprocessing: str = "torchvision"
) -> Weights:
    """Narrow weights; positive ones let every pixel's change through."""
    generator = torch.Generator().manual_seed(0)
    tensors, channels_in = {}, 3
    for name in LAYERS[: LAYERS.index(up_to) + 1]:
        weight = torch.randn(channels, channels_in, 3, 3, generator=generator, dtype=torch.float64) * 0.3
        bias = torch.full((channels,), 0.2, dtype=torch.float64)
        tensors[name] = (weight.abs() if positive else weight, bias * (50.0 if positive else 1.0))
        channels_in = channels
    return Weights(tensors, preprocessing, "small random numbers", "")


def vgg(layers: tuple[str, ...], weights: Weights | None = None, **options: object) -> VGG19:
    return VGG19(weights or small(), layers, dtype=torch.float64, **options)  # type: ignore[arg-type]


def full_size() -> tuple[torch.nn.Sequential, Weights]:
    """torchvision's own VGG19, whole, with random weights; the classifier takes no memory."""
    with torch.device("meta"):
        model = torchvision.models.vgg19(weights=None, init_weights=False)
    convolutional = model.features.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in convolutional.parameters():
            scale = (2.0 / parameter[0].numel()) ** 0.5 if parameter.ndim == 4 else 0.1
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    state = convolutional.state_dict()
    tensors = {name: (state[f"{index}.weight"], state[f"{index}.bias"]) for name, index in CONV_INDEX.items()}
    return convolutional, Weights(tensors, "torchvision", "random", "")


def test_the_whole_network_is_torchvisions() -> None:
    model, weights = full_size()
    image = rand(1, 3, 64, 48).float()
    official = torchvision.models.VGG19_Weights.IMAGENET1K_V1.transforms()
    x = transforms.normalize(image, list(official.mean), list(official.std))
    expected, number, block, within = {}, 0, 1, 0
    with torch.no_grad():
        for module in model:
            x = module(x)
            if isinstance(module, torch.nn.MaxPool2d):
                block, within = block + 1, 0
            if isinstance(module, torch.nn.ReLU):
                within += 1
                number += 1
                expected[f"relu{block}_{within}"] = x.clone()  # the ReLU works in place
        maps = VGG19(weights, LAYERS)(image)
    assert number == 16
    assert set(maps) == set(expected)
    for name, wanted in expected.items():
        # float32 through up to 16 convolutions of up to 4608 products.
        assert ((maps[name] - wanted).norm() / wanted.norm()).item() < 1e-5, name
        assert maps[name].shape[1] == CHANNELS[name]


def test_preprocessing_is_torchvisions() -> None:
    image = rand(2, 3, 5, 6)
    official = torchvision.models.VGG19_Weights.IMAGENET1K_V1.transforms()
    expected = transforms.normalize(image, list(official.mean), list(official.std))
    torch.testing.assert_close(prepare(image, "torchvision"), expected, rtol=1e-12, atol=1e-13)


def test_preprocessing_is_caffes() -> None:
    """Keras' preprocess_input: BGR, 0 to 255, minus [103.939, 116.779, 123.68]."""
    image = rand(1, 3, 2, 2)
    ours = prepare(image, "caffe")
    red, green, blue = (255.0 * image[:, k] for k in range(3))
    torch.testing.assert_close(ours[:, 0], blue - 103.939)
    torch.testing.assert_close(ours[:, 1], green - 116.779)
    torch.testing.assert_close(ours[:, 2], red - 123.68)


@pytest.mark.parametrize("preprocessing", ["caffe", "torchvision"])
def test_gray_is_three_equal_colors(preprocessing: str) -> None:
    gray = rand(2, 1, 5, 6)
    assert torch.equal(prepare(gray, preprocessing), prepare(gray.repeat(1, 3, 1, 1), preprocessing))


def test_wrong_preprocessing_and_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        prepare(rand(1, 2, 4, 4), "caffe")
    with pytest.raises(ValueError, match=r"torchvision or caffe, got 'keras'"):
        prepare(rand(1, 3, 4, 4), "keras")


@pytest.mark.parametrize("paper", PAPERS)
def test_a_layer_has_three_spellings(paper: str) -> None:
    block, number = paper[4], paper[6]
    relu = f"relu{block}_{number}"
    for name in (paper, relu, f"block{block}_conv{number}"):
        assert canonical_layer(name) == relu
        assert list(vgg((name,))(rand(1, 3, 16, 16))) == [relu]
    assert LAYERS[PAPERS.index(paper)] == relu


def test_spellings_of_one_layer_are_one_layer() -> None:
    network = vgg(("conv2_1", "relu2_1", "block2_conv1"))
    assert network.layers == ("relu2_1",)


@pytest.mark.parametrize(
    "name", ["relu1_3", "relu6_1", "relu٢_1", "conv4_5", "conv4", "pool1", "", "relu1_1 ", "xconv1_1"]
)
def test_an_unknown_layer_lists_the_layers(name: str) -> None:
    with pytest.raises(ValueError, match="no layer") as caught:
        canonical_layer(name)
    assert repr(name) in str(caught.value)
    assert all(layer in str(caught.value) for layer in LAYERS)
    with pytest.raises(ValueError, match="no layer"):
        vgg((name,))


def test_partial_weights_say_what_they_cover() -> None:
    with pytest.raises(
        ValueError, match=r"does not reach relu3_1, relu5_2; it covers relu1_1, relu1_2, relu2_1"
    ):
        vgg(("relu1_1", "relu3_1", "relu5_2"), small("relu2_1"))


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pooling must be max or average, got 'min'"):
        vgg(("relu1_1",), pooling="min")
    with pytest.raises(ValueError, match=r"padding must be .*got 'reflect'"):
        vgg(("relu1_1",), padding="reflect")


def test_deeper_weights_are_neither_kept_nor_run() -> None:
    network = vgg(("relu2_1", "relu1_1"))
    assert [name for name, _, _ in network._convolutions] == ["relu1_1", "relu1_2", "relu2_1"]
    assert set(network(rand(1, 3, 8, 8))) == {"relu1_1", "relu2_1"}


def test_pooling_is_max_or_average() -> None:
    image = rand(1, 3, 8, 8)
    before = vgg(("relu1_2",))(image)["relu1_2"]
    windows = before.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    weight, bias = small().tensors["relu2_1"]
    for pooling, pooled in (("max", windows.amax(4)), ("average", windows.mean(4))):
        expected = torch.nn.functional.conv2d(pooled, weight, bias, padding=1).clamp(min=0.0)
        ours = vgg(("relu2_1",), pooling=pooling)(image)["relu2_1"]
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("padding", ["zeros", "replicate", "replicate_first"])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("shape", [(2, 1, 513, 5), (1, 3, 5, 5), (1, 3, 1, 1), (1, 1, 1, 40)])
def test_the_shortest_inputs_reach_the_deepest_layer(
    padding: str, pooling: str, shape: tuple[int, ...]
) -> None:
    image = rand(*shape).requires_grad_(True)
    maps = vgg(LAYERS, padding=padding, pooling=pooling)(image)
    assert all(min(m.shape) >= 1 for m in maps.values())
    (gradient,) = torch.autograd.grad(sum(m.sum() for m in maps.values()), image)
    assert gradient.isfinite().all()


def test_a_side_of_one_stays_one_and_an_odd_side_is_rounded_down() -> None:
    shapes = [
        tuple(m.shape[2:]) for m in vgg(tuple(f"relu{b}_1" for b in range(1, 6)))(rand(1, 1, 23, 5)).values()
    ]
    assert shapes == [(23, 5), (11, 2), (5, 1), (2, 1), (1, 1)]


def test_entries_of_a_batch_are_alone() -> None:
    images = rand(3, 3, 16, 18)
    network = vgg(("relu3_1",))
    whole = network(images)["relu3_1"]
    for b in range(3):
        torch.testing.assert_close(network(images[b : b + 1])["relu3_1"][0], whole[b], rtol=1e-12, atol=1e-13)


def test_maps_are_not_changed_by_what_follows() -> None:
    """ReLU works in place; a map that was handed out must not be overwritten by the next layer."""
    image = rand(1, 3, 16, 16)
    together = vgg(LAYERS)(image)
    for name in LAYERS:
        torch.testing.assert_close(together[name], vgg((name,))(image)[name], rtol=1e-13, atol=0)
    before = image.clone()
    vgg(("relu1_1",))(image)
    assert torch.equal(image, before)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize(
    "layer",
    ["relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_4", "relu4_1"],
)
def test_halo_is_how_far_a_position_reaches(layer: str, pooling: str) -> None:
    """Position p sits at pixel p * stride; beyond the halo nothing counts, at it something does."""
    network = vgg((layer,), small(channels=1, positive=True), pooling=pooling)
    stride, halo = network.stride, network.halo
    position = -(-(halo + stride) // stride)
    pixel = position * stride
    width = pixel + halo + 2 * stride
    width += -width % stride
    image = rand(1, 3, 2 * stride, width).requires_grad_(True)
    maps = network(image)[layer]
    assert maps.shape[3] == width // stride
    if pooling == "average":
        (gradient,) = torch.autograd.grad(maps[0, 0, 0, position], image)
        reached = gradient.abs().sum((0, 1, 2)).nonzero().flatten().tolist()
        assert max(reached) == pixel + halo
        assert min(reached) >= pixel - halo
        assert min(reached) == pixel - (halo - stride + 1)  # blocks begin at their pixel, so less to the left
    with torch.no_grad():
        for away in (-halo - 1, halo + 1):
            changed = image.clone()
            changed[:, :, :, pixel + away] += 10.0
            after = network(changed)[layer]
            assert torch.equal(after[0, 0, :, position], maps[0, 0, :, position])
        changed = image.clone()
        changed[:, :, :, pixel + halo] += 1e6  # above all else, so that it wins every maximum
        assert not torch.equal(network(changed)[layer][0, 0, :, position], maps[0, 0, :, position])


def test_margins_of_relu5_1() -> None:
    """85 from the first pixel of a position's block, 70 from the block's border: 80 in steps of 16."""
    network = vgg(("relu5_1",))
    assert (network.stride, network.halo) == (16, 85)
    assert 64 < network.halo - (network.stride - 1) <= 80


def test_stride_is_one_block_per_pooling() -> None:
    assert [vgg((f"relu{b}_1",)).stride for b in range(1, 6)] == [1, 2, 4, 8, 16]


def test_normalized_filters_have_mean_activation_one() -> None:
    images = [rand(1, 3, 12, 14), rand(2, 1, 20, 10, seed=1)]
    layers = ("relu1_1", "relu2_2", "relu3_1")
    plain = vgg(layers)
    gains = normalizing_gains(mean_activations(plain, images))
    network = vgg(layers, gains=gains)
    for name in layers:
        flat = torch.cat([network(i)[name].permute(1, 0, 2, 3).flatten(1) for i in images], dim=1)
        raw = torch.cat([plain(i)[name].permute(1, 0, 2, 3).flatten(1) for i in images], dim=1)
        fires = raw.sum(1) > 0
        torch.testing.assert_close(flat.mean(1)[fires], torch.ones(int(fires.sum())).double())
        usual = raw.mean(1)[fires].median()
        torch.testing.assert_close(gains[name][~fires], usual.reciprocal().expand(int((~fires).sum())))


def test_a_filter_that_hardly_fires_is_not_blown_up() -> None:
    """One in ten thousand means a gain of 10^4 by the formula, and one that never fires none at all."""
    means = {"relu4_1": torch.tensor([2.0, 4.0, 8.0, 4e-4, 0.0, 4.0]), "relu5_1": torch.zeros(3)}
    gains = normalizing_gains(means)
    expected = torch.tensor([0.5, 0.25, 0.125, LARGEST_GAIN / 4.0, 0.25, 0.25])
    torch.testing.assert_close(gains["relu4_1"], expected)
    assert gains["relu5_1"].tolist() == [1.0, 1.0, 1.0]


def test_the_means_over_photographs_are_those_of_every_channel() -> None:
    means = photographic_means()
    assert {name: len(mean) for name, mean in means.items()} == CHANNELS
    assert sum(map(len, means.values())) == 5504
    gains = normalizing_gains(means)
    for name, mean in means.items():
        assert (mean > 0).all(), name
        torch.testing.assert_close(gains[name] * mean, torch.ones_like(mean))  # no gain is cut off


@given(st.text(max_size=12))
@settings(deadline=None, max_examples=50, database=None)
def test_other_text_is_no_layer(name: str) -> None:
    if re.fullmatch(r"(relu|conv)[1-5]_[1-4]|block[1-5]_conv[1-4]", name, re.ASCII):
        return
    with pytest.raises(ValueError, match="its layers are"):
        canonical_layer(name)


def test_repeated_edges_in_the_layout_of_the_maps() -> None:
    """As on CUDA, where torch's own padding leaves that layout."""
    maps = torch.rand(2, 3, 5, 4, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    maps.requires_grad_(True)
    joined, padded = _edges_joined(maps), with_edges(maps)
    assert joined.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(joined, padded)
    weights = torch.rand_like(joined)
    gradients = [torch.autograd.grad((x * weights).sum(), maps)[0] for x in (joined, padded)]
    torch.testing.assert_close(*gradients)


@pytest.mark.usefixtures("one_thread")  # with more of them, such small filters are not transformed
def test_what_a_look_without_gradients_makes_serves_a_gradient_later() -> None:
    """Constants and transformed filters are kept; those of ``inference_mode`` could not be saved for it."""
    _constant.cache_clear()
    network = VGG19(random_weights(0, up_to="relu1_2"), ["relu1_2", "relu1_1"])
    image = torch.rand(1, 3, 24, 24)
    with torch.inference_mode():
        seen = network(image)
    maps = network(image.requires_grad_(True))
    assert network._filters, "a network without such filters tests nothing"
    (gradient,) = torch.autograd.grad(sum(m.square().sum() for m in maps.values()), image)
    assert bool(gradient.any())
    # Float32, within 50 roundings: libraries may take another way where a gradient is to come.
    torch.testing.assert_close(seen["relu1_2"].clone(), maps["relu1_2"], rtol=5e-6, atol=1e-5)
