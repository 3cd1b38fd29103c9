"""Views of an image, and networks that look through them."""

from __future__ import annotations

import pytest
import scipy.ndimage
import torch
from draws import rand

from specstyle.engine.views import (
    IMAGE,
    LocalContrast,
    Luminance,
    Reduced,
    Seen,
    bare,
    layers_of_callable,
    plain_view,
)
from specstyle.features.random import random_weights
from specstyle.features.vgg import VGG19


def vgg(*layers: str) -> VGG19:
    bare_layers = [bare(layer) for layer in layers if bare(layer) != IMAGE]
    return VGG19(random_weights(0, up_to="relu2_2"), bare_layers, pooling="average", dtype=torch.float64)


def seen(*layers: str) -> Seen:
    network = vgg(*layers)
    return Seen(lambda see, names: network.only(names), layers)


def test_a_reduced_image_is_a_level_of_a_pyramid() -> None:
    image = rand(1, 3, 26, 33)
    level = image.numpy()
    for axis in (2, 3, 2, 3):  # twice halved, by SciPy's correlation with the binomial taps
        smooth = scipy.ndimage.correlate1d(
            level, [0.125, 0.375, 0.375, 0.125], axis, mode="nearest", origin=-1
        )
        level = smooth.take(range(0, level.shape[axis] - 1, 2), axis)
    view = Reduced(4)
    torch.testing.assert_close(view(image), torch.from_numpy(level), rtol=1e-12, atol=1e-12)
    assert view.size(26, 33) == view(image).shape[2:] == (6, 8)
    assert view(rand(1, 3, 3, 9)).shape[2:] == view.size(3, 9) == (1, 2)


def test_luminance_is_that_of_the_standard_and_leaves_gray_alone() -> None:
    image = rand(2, 3, 4, 5)
    red, green, blue = image.unbind(1)
    torch.testing.assert_close(Luminance()(image)[:, 0], 0.299 * red + 0.587 * green + 0.114 * blue)
    assert torch.equal(Luminance()(image[:, :1]), image[:, :1])


@pytest.mark.parametrize("loop", [False, True])
def test_local_contrast_against_scipy(loop: bool) -> None:
    image = rand(1, 3, 26, 33)
    luma, mode = Luminance()(image)[0, 0].numpy(), "wrap" if loop else "nearest"
    mean, square = (scipy.ndimage.uniform_filter(x, 11, mode=mode) for x in (luma, luma**2))
    expected = 0.5 + 0.2 * (luma - mean) / (square - mean**2 + 0.05**2) ** 0.5
    view = LocalContrast(5).looped() if loop else LocalContrast(5)
    torch.testing.assert_close(view(image)[0, 0], torch.from_numpy(expected), rtol=1e-9, atol=1e-9)  # float64


def test_local_contrast_raises_what_is_soft_and_not_what_is_faint() -> None:
    image = rand(1, 1, 40, 40) - 0.5
    strong, soft, faint = (LocalContrast()(0.5 + share * image).std() for share in (1.0, 0.3, 0.001))
    assert float(soft) > 0.7 * float(strong)  # it has .3 of it
    assert float(faint) < 0.01 * float(strong)
    assert LocalContrast()(rand(1, 3, 5, 6)).shape == (1, 1, 5, 6)  # smaller than what is around


@pytest.mark.parametrize("name", ["3", "mel64", "", "luma"])
def test_other_views_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="there are 2, 4, 8"):
        plain_view(name)


def test_layers_are_those_on_the_views() -> None:
    network, image = seen("relu2_1@4", "relu1_2", "relu1_1@luminance@2"), rand(1, 3, 24, 40)
    maps = network(image)
    assert set(maps) == {"relu2_1@4", "relu1_2", "relu1_1@luminance@2"}
    torch.testing.assert_close(maps["relu2_1@4"], vgg("relu2_1")(Reduced(4)(image))["relu2_1"])
    gray = Reduced(2)(Luminance()(image))
    torch.testing.assert_close(maps["relu1_1@luminance@2"], vgg("relu1_1")(gray)["relu1_1"])
    for layer, found in maps.items():
        assert network.map_size(layer, 24, 40) == tuple(found.shape[1:])
    assert network.strides == {"relu2_1@4": 8, "relu1_2": 1, "relu1_1@luminance@2": 2}


def test_every_network_has_the_image_itself_as_a_layer() -> None:
    network, image = seen("image", "image@luminance@2", "relu1_2"), rand(1, 3, 24, 40)
    maps = network(image)
    assert maps["image"] is image
    torch.testing.assert_close(maps["image@luminance@2"], Reduced(2)(Luminance()(image)))
    for layer, found in maps.items():
        assert network.map_size(layer, 24, 40) == tuple(found.shape[1:])
    assert network.strides == {"image": 1, "image@luminance@2": 2, "relu1_2": 1}
    assert torch.equal(network.looped()(image)["image"], image)


@pytest.mark.parametrize("layer", ["relu1_1@4", "relu2_2@2", "relu1_2@luminance", "image@2"])
def test_halo_is_how_far_a_position_reaches(layer: str) -> None:
    network = seen(layer)
    stride, halo = network.strides[layer], network.halo
    position = -(-(halo + stride) // stride)
    pixel = position * stride
    width = pixel + halo + 2 * stride
    width += -width % stride
    image = rand(1, 3, 2 * stride, width).requires_grad_(True)
    maps = network(image)[layer]
    (gradient,) = torch.autograd.grad(maps[0, :, 0, position].sum(), image)
    reached = gradient.abs().sum((0, 1, 2)).nonzero().flatten().tolist()
    assert pixel - halo <= min(reached)
    assert max(reached) <= pixel + halo


def test_a_callable_is_a_network_without_tiles() -> None:
    network = Seen(lambda see, names: lambda image: {"own": image * 2}, ["own", "own@2"])
    image = rand(1, 3, 8, 8)
    maps = network(image)
    assert torch.equal(maps["own"], image * 2)
    assert maps["own@2"].shape == (1, 3, 4, 4)
    assert not hasattr(network, "strides")
    with pytest.raises(ValueError, match="the network has no layer 'other'; it gave own"):
        Seen(lambda see, names: lambda image: {"own": image}, ["other"])(image)


def test_what_is_no_network_is_refused() -> None:
    assert layers_of_callable(lambda image: {"b": image, "a": image}, rand(1, 1, 2, 2)) == ("b", "a")
    for wrong in (lambda image: image, lambda image: {}, lambda image: {"a": image[0]}):
        with pytest.raises(ValueError, match=r"must turn an image .* into a dict of maps"):
            layers_of_callable(wrong, rand(1, 1, 2, 2))  # type: ignore[arg-type]
