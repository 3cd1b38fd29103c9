from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from specstyle.errors import WeightsError
from specstyle.features import VGG19, lite, load_network, weights
from specstyle.features.weights import CHANNELS, LAYERS
from specstyle.recipes.recipe import S5
from specstyle.synthesis.pictures import drawn_scene


def picture() -> Tensor:
    """A smooth color pattern that needs no random numbers."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    planes = [torch.sin(x / 3.0 + y / 5.0), torch.cos(x * y / 90.0), torch.sin(y / 2.0)]
    return (0.5 + 0.4 * torch.stack(planes))[None]


def test_the_file_is_the_one_that_was_measured() -> None:
    content = lite.FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == lite.SHA256
    assert len(content) < 4_000_000
    assert {tensor.dtype for tensor in load_file(lite.FILE).values()} == {torch.float16}


def test_the_file_says_what_it_is() -> None:
    said = lite.description()
    assert said["format"] == lite.FORMAT
    for part in ("Simonyan", "Zisserman", "Visual Geometry Group, University of Oxford", "CC BY 4.0"):
        assert part in said["attribution"]
    assert set(said["kept"]) == set(S5) | {"relu4_2"}
    assert said["held_out_losses"][-1] < said["held_out_losses"][0]


def test_it_reaches_relu5_1_with_a_part_of_the_channels() -> None:
    loaded = lite.load()
    assert loaded.layers == lite.REACH == LAYERS[:13]
    assert all(len(bias) < CHANNELS[name] for name, (_, bias) in loaded.tensors.items())
    network = load_network("vgg19-lite", ("relu5_1",))
    assert network.origin.startswith("vgg19-lite")
    assert network.sha256 == lite.SHA256
    with pytest.raises(
        ValueError, match=r"vgg19-lite \(format 1\) does not reach relu5_2; it covers .*relu5_1"
    ):
        load_network("vgg19-lite", ("relu5_2",))


def test_golden_numbers() -> None:
    maps = VGG19(lite.load(), lite.REACH, pooling="average", padding="replicate")(picture())
    found = {
        name: (float(m.mean()), float(m.square().mean()), float(m[0, 3, 1, 1])) for name, m in maps.items()
    }
    assert found.keys() == GOLDEN.keys()
    for name, numbers in GOLDEN.items():
        assert found[name] == pytest.approx(numbers, rel=1e-4, abs=1e-5)


def test_it_answers_like_vgg19() -> None:
    said = lite.description()
    image = torch.from_numpy(drawn_scene(96, 96, seed=3)).movedim(2, 0).float()[None]
    kept = tuple(said["kept"])
    student = VGG19(lite.load(), kept, pooling="average", padding="replicate")(image)
    teacher = VGG19(weights.pretrained(kept[-1]), kept, pooling="average", padding="replicate")(image)
    for name in kept:
        wanted = teacher[name][:, said["channels"][name]] * said["scales"][name]
        assert float((student[name] - wanted).square().sum() / wanted.square().sum()) < LEFT[name]


def test_another_network_of_the_training_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(lite.FILE.read_bytes())
    assert lite.load(path).origin == str(path)
    assert load_network("vgg19-lite", ("relu2_1",), weights_file=path).sha256 == lite.SHA256


def test_a_damaged_file_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(lite.FILE.read_bytes())
    content[-1] ^= 1
    path = tmp_path / "vgg19-lite.safetensors"
    path.write_bytes(content)
    monkeypatch.setattr(lite, "FILE", path)
    with pytest.raises(WeightsError, match=r"damaged: its SHA-256 starts with .*; install specstyle again"):
        lite.load()


@pytest.mark.parametrize("metadata", [None, {lite.METADATA: '{"format": 99}'}, {lite.METADATA: "no JSON"}])
def test_a_file_that_is_no_such_network(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "other.safetensors"
    save_file(
        {"features.0.weight": torch.zeros(4, 3, 3, 3), "features.0.bias": torch.zeros(4)}, path, metadata
    )
    with pytest.raises(WeightsError, match=r"expected a network of `python -m training` in format 1, but"):
        lite.load(path)


def test_a_small_network_given_as_vgg19_is_told_where_it_belongs() -> None:
    with pytest.raises(WeightsError, match="belong to --network vgg19-lite"):
        weights.load(lite.FILE)


GOLDEN: dict[str, tuple[float, float, float]] = {
    "relu1_1": (1.35631, 6.81251, 0),
    "relu1_2": (1.15698, 4.35755, 3.32708),
    "relu2_1": (2.04168, 15.4395, 0.217903),
    "relu2_2": (2.72463, 32.0685, 0),
    "relu3_1": (3.34096, 39.1567, 10.2732),
    "relu3_2": (2.70975, 24.3991, 0),
    "relu3_3": (1.75036, 9.51114, 0),
    "relu3_4": (2.39232, 19.5407, 0),
    "relu4_1": (2.52452, 18.2431, 2.89223),
    "relu4_2": (2.68193, 30.4092, 0),
    "relu4_3": (1.60966, 13.0241, 3.33243),
    "relu4_4": (1.23573, 21.9902, 0),
    "relu5_1": (1.33317, 7.6657, 0),
}
"""Mean, mean square and one value of each layer's maps of ``picture`` on the day the file was made."""

LEFT = {
    "relu1_1": 0.001, "relu2_1": 0.015, "relu3_1": 0.03,
    "relu4_1": 0.1, "relu4_2": 0.13, "relu5_1": 0.66,
}  # fmt: skip
"""Share of the teacher's energy that may be left unexplained: one and a half times what was measured."""
