"""Styles applied to files and folders: what goes along, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Outcome
from PIL import Image

import specstyle
from specstyle.media.color import gray_of
from specstyle.media.imagefiles import read_picture
from specstyle.onepass.network import StyleNetwork
from specstyle.onepass.stylefile import Style, save_style
from specstyle.recipes import default_recipe, to_dict

Cli = Callable[..., Outcome]


@pytest.fixture
def place(workplace: Path) -> Path:
    """A workplace with ``two.safetensors``: styles that were never trained, and differ."""
    torch.manual_seed(0)
    network = StyleNetwork(2)
    for norm in network.norms:
        norm.shift.data += 0.3 * torch.randn_like(norm.shift)
    network.leave.bias.data += torch.tensor([1.0, 0.0, -1.0])
    styles = tuple({"name": name, "sha256": ""} for name in ("waves", "leaves"))
    recipe = to_dict(default_recipe("image", "vgg19-lite"))
    save_style(Style(network, "image", recipe, styles), workplace / "two.safetensors")
    return workplace


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def test_a_picture_is_stylized_with_its_record(place: Path, cli: Cli) -> None:
    outcome = cli("apply", "two.safetensors", "c.png", "-o", "o.png", "--blend", "waves=1,leaves=3", "--plot")
    assert outcome.code == 0, outcome.err
    record = json.loads(Path("o.png.json").read_text())
    assert record["onepass"]["blend"] == {"waves": 0.25, "leaves": 0.75}
    assert record["content"]["path"] == "c.png"
    assert len(record["content"]["sha256"]) == len(record["network"]["sha256"]) == 64
    assert pixels("o.png").shape == pixels("c.png").shape
    assert Path("o.figure.png").exists()
    again = specstyle.apply("two.safetensors", "c.png", blend={"waves": 1, "leaves": 3}).output.pixels
    expected = (again.movedim(0, 2).numpy() * 255).round()
    np.testing.assert_array_equal(pixels("o.png"), expected)
    told = cli("image", "--like", "o.png", "-o", "p.png")
    assert told.code == 1
    assert "specstyle apply" in told.err


def test_strength_0_is_the_content_to_the_last_bit(place: Path, cli: Cli) -> None:
    assert (
        cli("apply", "two.safetensors", "c.png", "-o", "o.png", "--blend", "waves=1", "--strength", "0").code
        == 0
    )
    np.testing.assert_array_equal(pixels("o.png"), pixels("c.png"))


def test_alpha_stays_and_colors_stay_if_asked_for(place: Path, cli: Cli) -> None:
    alpha = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (32, 1))
    Image.fromarray(np.dstack([np.asarray(Image.open("c.png")), alpha])).save("a.png")
    outcome = cli(
        "apply", "two.safetensors", "a.png", "-o", "o.png", "--blend", "waves=1", "--color", "content"
    )
    assert outcome.code == 0, outcome.err
    np.testing.assert_array_equal(np.asarray(Image.open("o.png"))[..., 3], alpha)
    ours, content = (read_picture(Path(p)).pixels for p in ("o.png", "a.png"))
    gray, before = gray_of(ours, "oklab"), gray_of(content, "oklab")
    assert abs(float(gray.mean() - before.mean())) < 0.05
    # The network's colors, as different as its biases make them, are not there.
    plain = specstyle.apply("two.safetensors", "a.png", blend={"waves": 1}).output.pixels
    away = [float((p.mean((1, 2)) - content.mean((1, 2))).abs().max()) for p in (ours, plain)]
    assert away[0] < 0.4 * away[1]


def test_masks_keep_the_content_and_part_styles(place: Path, cli: Cli) -> None:
    left = np.zeros((32, 40), np.uint8)
    left[:, :20] = 255
    Image.fromarray(left).save("left.png")
    Image.fromarray(255 - left).save("right.png")
    common = ("apply", "two.safetensors", "c.png", "-o")
    assert cli(*common, "o.png", "--blend", "waves=1", "--content-mask", "left.png").code == 0
    np.testing.assert_array_equal(pixels("o.png")[:, 20:], pixels("c.png")[:, 20:])
    both = ("--content-mask", "left.png", "--content-mask", "right.png")
    assert cli(*common, "b.png", "--blend", "waves=1,leaves=1", *both).code == 0
    for name, where in (("waves", slice(0, 20)), ("leaves", slice(20, 40))):
        assert cli(*common, f"{name}.png", "--blend", f"{name}=1").code == 0
        assert np.abs(pixels("b.png") - pixels(f"{name}.png"))[:, where].max() <= 1  # rounding to 8 bits
    told = cli(*common, "x.png", "--blend", "waves=1", *both)
    assert told.code == 2
    assert "2 masks for 1 styles" in told.err


def test_a_folder_makes_a_folder(place: Path, cli: Cli) -> None:
    Path("in").mkdir()
    Image.open("c.png").save("in/a.jpg")
    Image.open("c.png").save("in/b.bmp")
    Path("in/notes.txt").write_text("no picture")
    Path("in/broken.png").write_bytes(b"nothing")
    outcome = cli("apply", "two.safetensors", "in", "-o", "out", "--blend", "leaves=1", "--size", "24")
    assert outcome.code == 1
    assert "broken.png" in outcome.err
    assert "1 of 3 pictures" in outcome.lines[-1]
    made = sorted(path.name for path in Path("out").iterdir())
    assert made == ["a.jpg", "a.jpg.json", "b.png", "b.png.json"]
    with Image.open("out/b.png") as small:
        assert small.size == (24, 19)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["two.safetensors", "c.png", "-o", "o.png"], 2, "choose one"),
        (["two.safetensors", "c.png", "-o", "o.png", "--blend", "sand=1"], 2, "no style 'sand'"),
        (["two.safetensors", "c.png", "-o", "o.png", "--blend", "waves"], 2, "A=1,B=2"),
        (["two.safetensors", "c.png", "-o", "o.png", "--blend", "waves=1", "--strength", "2"], 2, "strength"),
        (["two.safetensors", "c.wav", "-o", "o.png", "--blend", "waves=1"], 1, "is a sound"),
        (["two.safetensors", "c.png", "-o", "o.xyz", "--blend", "waves=1"], 1, "xyz"),
        (["two.safetensors", "c.png", "s.png", "-o", "o.png", "--blend", "waves=1"], 1, "need a folder"),
        (["two.safetensors", "c.png", "c.png", "-o", "o", "--blend", "waves=1"], 1, "2 results"),
        (["nowhere.safetensors", "c.png", "-o", "o.png"], 1, "no such file"),
        (["c.png", "c.png", "-o", "o.png"], 1, "cannot be read as a style"),
    ],
)
def test_what_cannot_be_applied_gets_one_line(
    place: Path, cli: Cli, arguments: list[str], code: int, told: str
) -> None:
    outcome = cli("apply", *arguments)
    assert outcome.code == code, outcome.err
    assert told in outcome.lines[-1]
    assert not Path("o.png").exists()


def test_what_training_has_settled_cannot_be_changed(place: Path) -> None:
    with pytest.raises(ValueError, match="style_layers cannot be changed"):
        specstyle.apply("two.safetensors", "c.png", blend={"waves": 1}, style_layers=("relu1_1",))


def test_arrays_do_as_well_as_files(place: Path) -> None:
    array = np.asarray(Image.open("c.png"))
    ours, files = (
        specstyle.apply("two.safetensors", given, blend={"waves": 1}).output.pixels
        for given in (array, "c.png")
    )
    assert torch.equal(ours, files)


def test_styles_are_listed(cli: Cli) -> None:
    outcome = cli("styles")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) >= 6
    assert "van Gogh" in outcome.out


def test_names_cannot_move_the_cursor(workplace: Path, cli: Callable[..., Outcome]) -> None:
    Path("c.png").rename("\x1b[31mc.png")
    outcome = cli("apply", "engraving", "\x1b[31mc.png", "-o", "out\x1b[2J.png")
    assert outcome.code == 0
    assert "\x1b" not in outcome.out + outcome.err
    assert "out\\x1b[2J" in outcome.out
