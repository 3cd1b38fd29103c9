"""Files of styles: there and back, names and blends, and files that are none."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from specstyle import SpecstyleError, load_style
from specstyle.onepass.network import StyleNetwork
from specstyle.onepass.stylefile import METADATA, Style, save_style, shipped
from specstyle.recipes import default_recipe, to_dict


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    styles = ({"name": "waves", "sha256": "0" * 64}, {"name": "leaves", "sha256": "1" * 64, "license": "CC0"})
    recipe = to_dict(default_recipe("image", "vgg19-lite"))
    save_style(Style(StyleNetwork(2), "image", recipe, styles), tmp_path / "two.safetensors")
    return tmp_path / "two.safetensors"


def rewritten(file: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> Path:
    """Write the file anew with something changed of what it says, or of its tensors."""
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    said = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"][METADATA])
    tensors = load_file(file)
    change(said, tensors)
    save_file(tensors, file, {METADATA: json.dumps(said)})
    return file


def test_what_is_written_comes_back_in_half_precision(file: Path) -> None:
    torch.manual_seed(0)
    before, style = StyleNetwork(2), load_style(file)
    for name, value in style.network.state_dict().items():
        assert torch.equal(value, before.state_dict()[name].half().float())
    assert style.names == ("waves", "leaves")
    assert style.styles[1]["license"] == "CC0"
    assert style.medium == "image"
    assert file.stat().st_size < 260_000


def test_blends_name_styles(file: Path) -> None:
    style = load_style(file)
    assert style.blend({"leaves": 2.0}).tolist() == [0.0, 2.0]
    with pytest.raises(ValueError, match="choose one"):
        style.blend({})
    assert replace(style, chosen="waves").blend({}).tolist() == [1.0, 0.0]
    for wrong in ({"sand": 1.0}, {"waves": -1.0}, {"waves": 0.0}, {"waves": float("nan")}):
        with pytest.raises(ValueError, match=r"no style|must be numbers"):
            style.blend(wrong)


def _of_shape(said: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["enter.weight"] = torch.zeros(1)


def _not_finite(said: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["enter.weight"][0] = float("nan")


def _one_more(said: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["more"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_of_shape, "other names or shapes"),
        (_not_finite, "no finite numbers"),
        (_one_more, "other names or shapes"),
        (lambda said, _: said.update(format=99), "format 99"),
        (lambda said, _: said.update(medium="smell"), "smell"),
        (lambda said, _: said.update(styles=[]), "0 styles"),
        (lambda said, _: said.update(styles=[{}, {}]), "name"),
        (lambda said, _: said.update(styles=said["styles"] * 1000), "2000 styles"),
        (lambda said, _: said.update(styles=[said["styles"][0]] * 2), "one name"),
        (lambda said, _: said.update(styles="ab"), "damaged"),
        (lambda said, _: said.pop("recipe"), "recipe"),
    ],
)
def test_a_hostile_file_gets_one_line(file: Path, change: Any, told: str) -> None:
    with pytest.raises(SpecstyleError, match=told) as caught:
        load_style(rewritten(file, change))
    assert str(file) in str(caught.value)


def test_foreign_and_damaged_files_get_one_line(file: Path, tmp_path: Path) -> None:
    whole, other = file.read_bytes(), tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, other)
    cases = [
        (other.read_bytes(), "nothing of styles"),
        (whole[:-9], "cannot be read"),
        (b"", "cannot be read"),
    ]
    cases += [(b"PNG" * 50, "cannot be read"), (b"\xff" * 8 + whole[8:], "cannot be read")]
    for content, told in cases:
        other.write_bytes(content)
        with pytest.raises(SpecstyleError, match=told):
            load_style(other)
    for name, told in (("none.safetensors", "no such file"), ("no-such-style", "no such style")):
        with pytest.raises(SpecstyleError, match=told):
            load_style(name)
    with other.open("wb") as huge:
        huge.truncate(20_000_000)
    with pytest.raises(SpecstyleError, match="too large"):
        load_style(other)


def test_styles_that_come_along_are_small_and_say_where_they_are_from() -> None:
    known = shipped()
    assert len(known) >= 6
    for path in set(known.values()):
        style = load_style(path)
        assert path.stat().st_size <= 250_000 * len(style.styles)
        assert all(said["source"] and said["license"] for said in style.styles)
    assert load_style("starry-night").chosen == "starry-night"
