"""Sizes, resampling and the medium, held against plain loops and properties."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specstyle import RECIPES
from specstyle.media.image import PictureCodec
from specstyle.media.imagefiles import read_picture, write_picture
from specstyle.media.picturemedium import PictureMedium
from specstyle.media.pictures import ImageSettings, Picture, resize_picture, target_shape

sides = st.integers(1, 5000)


def random_picture(
    height: int, width: int, *, alpha: bool = False, dtype: torch.dtype = torch.float32
) -> Picture:
    generator = torch.Generator().manual_seed(height * width)
    layers = torch.rand(4, height, width, generator=generator, dtype=torch.float64).to(dtype)
    return Picture(layers[:3], layers[3:] if alpha else None, "random")


# -- target_shape --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "settings", "expected"),
    [
        ((600, 800), ImageSettings(), (384, 512)),
        ((800, 600), ImageSettings(), (512, 384)),
        ((100, 80), ImageSettings(), (100, 80)),
        ((100, 80), ImageSettings(enlarge=True), (512, 410)),
        ((3000, 4000), ImageSettings(size=None), (3000, 4000)),
        ((600, 800), ImageSettings(height=300), (300, 400)),
        ((600, 800), ImageSettings(height=900), (600, 800)),
        ((600, 800), ImageSettings(height=900, enlarge=True), (900, 1200)),
        ((600, 800), ImageSettings(height=200, width=700), (200, 700)),
        ((600, 800), ImageSettings(height=900, width=700, enlarge=True), (900, 700)),
        ((1, 5000), ImageSettings(size=10), (1, 10)),
    ],
)
def test_target_shape_examples(
    picture: tuple[int, int], settings: ImageSettings, expected: tuple[int, int]
) -> None:
    assert target_shape(*picture, settings) == expected


def test_exact_shapes_that_enlarge_need_permission() -> None:
    for height, width in ((601, 10), (10, 801), (601, 801)):
        with pytest.raises(ValueError, match="enlarge"):
            target_shape(600, 800, ImageSettings(height=height, width=width))


@given(sides, sides, sides, st.sampled_from(["size", "height"]), st.booleans())
def test_target_shape_keeps_the_aspect_and_enlarges_only_when_told(
    height: int, width: int, wanted: int, which: str, enlarge: bool
) -> None:
    new_height, new_width = target_shape(height, width, ImageSettings(**{which: wanted}, enlarge=enlarge))
    assert new_height >= 1
    assert new_width >= 1
    if not enlarge:
        assert new_height <= height
        assert new_width <= width
    side = {"size": max(height, width), "height": height}[which]
    scale = wanted / side if enlarge else min(1.0, wanted / side)
    for new, old in ((new_height, height), (new_width, width)):
        assert abs(new - old * scale) <= 0.5 + 1e-6 or (new == 1 and old * scale < 0.5)
    got = {"size": max(new_height, new_width), "height": new_height}[which]
    assert got == (wanted if enlarge else min(wanted, side))


@given(sides, sides, sides)
def test_target_shape_turns_with_the_picture_and_settles(height: int, width: int, size: int) -> None:
    settings = ImageSettings(size=size)
    shape = target_shape(height, width, settings)
    assert target_shape(width, height, settings) == shape[::-1]
    assert target_shape(*shape, settings) == shape


# -- resize_picture ------------------------------------------------------------------------------------------


def lanczos_matrix(old: int, new: int) -> np.ndarray:
    """Weights of the windowed sinc of three lobes, in plain loops (Turkowski 1990)."""
    scale = old / new
    stretch = max(scale, 1.0)
    weights = np.zeros((new, old))
    for i in range(new):
        center = (i + 0.5) * scale
        for j in range(old):
            t = (j + 0.5 - center) / stretch
            if abs(t) < 3:
                weights[i, j] = np.sinc(t) * np.sinc(t / 3)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("shape", [(11, 7), (40, 50), (23, 90), (1, 1), (23, 31)])
def test_resize_is_lanczos(shape: tuple[int, int]) -> None:
    # Values away from 0 and 1, so that the overshoot is not clipped and the formula is seen whole.
    picture = Picture(0.3 + 0.4 * random_picture(23, 31).pixels)
    rows, columns = lanczos_matrix(23, shape[0]), lanczos_matrix(31, shape[1])
    expected = np.einsum("ih,chw,jw->cij", rows, picture.pixels.numpy().astype(float), columns)
    got = resize_picture(picture, *shape)
    assert got.pixels.shape == (3, *shape)
    np.testing.assert_allclose(got.pixels.numpy(), np.clip(expected, 0, 1), atol=1e-6)  # float32


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((2832, 2707), (512, 489)), ((1753, 935), (512, 273)), ((863, 1831), (241, 511)),
        ((739, 644), (511, 446)), ((874, 1171), (382, 511)), ((2939, 2867), (511, 499)),
    ],
)  # fmt: skip
def test_truncated_sides_are_tensorflows(shape: tuple[int, int], wanted: tuple[int, int]) -> None:
    """``tf.cast(shape * (512 / max(shape)), tf.int32)``, as TensorFlow 2.21 computed it."""
    assert target_shape(*shape, ImageSettings(size=512, enlarge=True, truncate=True)) == wanted


def test_a_truncated_width_is_kerass() -> None:
    """``int(width * 400 / height)``."""
    for height, width in ((457, 640), (333, 500), (400, 401)):
        found = target_shape(height, width, ImageSettings(height=400, enlarge=True, truncate=True))
        assert found == (400, int(width * 400 / height))


def test_resampling_as_others_do() -> None:
    """Bilinear: numbers of ``tf.image.resize`` (2.21). Nearest: the pixel at a new one's center."""
    values = (np.arange(5 * 7 * 3).reshape(5, 7, 3) * 37 % 101 / 100).astype(np.float32)
    picture = Picture(torch.from_numpy(values.transpose(2, 0, 1).copy()))
    expected = [
        [0.27083331, 0.4458333, 0.32625002, 0.45916668], [0.42750001, 0.60249996, 0.77750003, 0.95249999],
        [0.58416653, 0.67499995, 0.26083338, 0.43583339],
    ]  # fmt: skip
    found = resize_picture(picture, 3, 4, "bilinear").pixels[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)  # float32
    rows, columns = ([int((i + 0.5) * old / new) for i in range(new)] for old, new in ((5, 3), (7, 4)))
    nearest = resize_picture(picture, 3, 4, "nearest").pixels.numpy()
    np.testing.assert_array_equal(nearest, values.transpose(2, 0, 1)[:, rows][:, :, columns])


def test_resize_does_not_round_to_8_bits_and_keeps_dtype_and_name() -> None:
    ramp = torch.linspace(0.5, 0.505, 400, dtype=torch.float64).expand(3, 16, 400)
    small = resize_picture(Picture(ramp, name="ramp"), 8, 200)
    assert small.pixels.dtype == torch.float64
    assert small.name == "ramp"
    assert len(small.pixels[0, 0].unique()) > 150  # 8 bits would leave 2 values
    np.testing.assert_allclose(small.pixels[0, 0, 5:-5], ramp[0, 0].reshape(200, 2).mean(1)[5:-5], atol=1e-6)


def test_resize_to_the_same_shape_changes_nothing() -> None:
    picture = random_picture(9, 12, alpha=True)
    same = resize_picture(picture, 9, 12)
    assert torch.equal(same.pixels, picture.pixels)
    assert torch.equal(same.alpha, picture.alpha)


def test_shrinking_does_not_alias() -> None:
    stripes = (torch.arange(512) % 2).float().expand(3, 64, 512)
    small = resize_picture(Picture(stripes), 8, 100)
    assert (small.pixels[..., 3:-3] - 0.5).abs().max() < 0.02  # taking every fifth would be all 0s and 1s


def test_transparent_colors_do_not_bleed() -> None:
    pixels = torch.zeros(3, 32, 32)
    pixels[2, :, :15], pixels[0, :, 15:] = 1.0, 1.0  # visible blue beside invisible red
    alpha = torch.zeros(1, 32, 32)
    alpha[:, :, :15] = 1.0
    for shape in ((12, 12), (80, 80)):
        got = resize_picture(Picture(pixels, alpha), *shape)
        visible = got.alpha[0] > 0.02
        assert got.pixels[0][visible].max() < 1e-4
        assert got.pixels[2][visible].min() > 1 - 1e-4
        assert got.alpha.min() >= 0
        assert got.alpha.max() <= 1
        # An opaque picture's alpha stays 1, and the invisible part keeps its color for whoever looks.
        assert got.alpha[0, :, 0].min() > 0.99
        assert got.pixels[0, :, -1].min() > 0.99


def test_resized_values_stay_in_range() -> None:
    hard = Picture((random_picture(20, 20).pixels > 0.5).float())
    for shape in ((13, 29), (50, 50)):
        pixels = resize_picture(hard, *shape).pixels
        assert pixels.min() >= 0
        assert pixels.max() <= 1


# -- the medium ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", [False, True])
def test_decode_of_encode_is_the_identity(dtype: torch.dtype, alpha: bool) -> None:
    medium = PictureCodec(ImageSettings())
    picture = random_picture(20, 30, alpha=alpha, dtype=dtype)
    encoded = medium.encode(picture, dtype=dtype)
    assert encoded.image.shape == (1, 3, 20, 30)
    assert encoded.image.dtype == dtype
    assert encoded.upper == 1.0
    back = medium.decode(encoded.image, encoded)
    assert torch.equal(back.pixels, picture.pixels)
    assert back.name == "random"
    assert (back.alpha is None) != alpha
    if alpha:
        assert torch.equal(back.alpha, picture.alpha)


def test_encode_resizes_image_and_alpha() -> None:
    medium = PictureCodec(ImageSettings(size=32))
    picture = random_picture(40, 64, alpha=True)
    encoded = medium.encode(picture)
    expected = resize_picture(picture, 20, 32)
    assert torch.equal(encoded.image[0], expected.pixels)
    assert torch.equal(encoded.context.alpha, expected.alpha)
    forced = medium.encode_to(picture, 50, 51, dtype=torch.float64)
    assert forced.image.shape == (1, 3, 50, 51)
    assert forced.image.dtype == torch.float64
    assert forced.context.alpha.shape == (1, 50, 51)


def test_the_image_is_a_copy() -> None:
    medium, picture = PictureCodec(ImageSettings()), random_picture(8, 8)
    before = picture.pixels.clone()
    encoded = medium.encode(picture)
    encoded.image.zero_()
    assert torch.equal(picture.pixels, before)
    image = torch.rand(1, 3, 8, 8)
    decoded = medium.decode(image, encoded)
    image.zero_()
    assert decoded.pixels.max() > 0


def test_decode_clips_and_detaches() -> None:
    medium = PictureCodec(ImageSettings())
    like = medium.encode(random_picture(8, 8))
    image = torch.linspace(-1, 2, 192).reshape(1, 3, 8, 8).requires_grad_()
    picture = medium.decode(image, like)
    assert not picture.pixels.requires_grad
    assert (picture.pixels.min(), picture.pixels.max()) == (0, 1)
    assert medium.decode(image.to(torch.bfloat16), like).pixels.dtype == torch.float32


def test_medium_refuses_what_does_not_fit() -> None:
    medium = PictureCodec(ImageSettings())
    like = medium.encode(random_picture(8, 8))
    with pytest.raises(ValueError, match=r"\[1, 3, 8, 8\], got \[1, 3, 4, 8\]"):
        medium.decode(torch.zeros(1, 3, 4, 8), like)


@given(st.integers(8, 40), st.integers(8, 40), st.booleans())
def test_files_round_trip_through_the_medium(tmp_path_factory, height: int, width: int, alpha: bool) -> None:
    path = tmp_path_factory.mktemp("p") / "p.png"
    write_picture(random_picture(height, width, alpha=alpha), path)
    medium = PictureCodec(ImageSettings(size=64))
    picture = read_picture(path)
    encoded = medium.encode(picture)
    write_picture(medium.decode(encoded.image, encoded), path)
    again = read_picture(path)
    assert math.isclose((again.pixels - picture.pixels).abs().max(), 0)
    assert (again.alpha is None) == (not alpha)


def test_the_colors_of_the_styles_come_each_to_its_area() -> None:
    recipe = RECIPES["default-image"].replace(style_blend=(1.0, 3.0))
    medium = PictureMedium(recipe, device=torch.device("cpu"))
    content, red, blue = (medium.encode_content(random_picture(24, 32)) for _ in range(3))
    red, blue = (
        dataclasses.replace(style, image=0.4 + 0.2 * style.image * torch.tensor(tint)[:, None, None])
        for style, tint in ((red, [1.0, 0.1, 0.1]), (blue, [0.1, 0.1, 1.0]))
    )
    left = (torch.arange(32) < 16).float().expand(1, 1, 24, 32)
    there = medium.equalized(content, [red, blue], (left, torch.zeros_like(left)), (None, None), 1.0).image
    assert torch.equal(there[..., 16:], content.image[..., 16:])
    mean = there[..., :16].mean((2, 3))
    torch.testing.assert_close(mean, red.image.mean((2, 3)), atol=2e-3, rtol=0.0)  # some values are clipped
    both = medium.equalized(content, [red, blue], (), (None, None), 0.5).image.mean((2, 3))
    mixed = 0.25 * red.image.mean((2, 3)) + 0.75 * blue.image.mean((2, 3))
    torch.testing.assert_close(both, 0.5 * (mixed + content.image.mean((2, 3))), atol=2e-3, rtol=0.0)
    for change in ({"color": "content"}, {"color_match": "mean"}):
        same = PictureMedium(recipe.replace(**change), device=torch.device("cpu"))
        assert same.equalized(content, [red, blue], (), (None, None), 1.0) is content
