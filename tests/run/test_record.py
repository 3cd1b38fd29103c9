"""Settings inside pictures, and runs like those that made them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from specstyle.cli.main import main
from specstyle.errors import FileError
from specstyle.media.imagefiles import read_picture, write_picture
from specstyle.media.imagetags import kept_text
from specstyle.media.pictures import Picture
from specstyle.run.record import read_settings, settings_text

FLAGS = ["--network", "vgg19-lite", "--finish-network=", "--balance", "weights", "--style-layers", "relu1_1",
         "--content-layers", "relu2_1", "--quiet"]  # fmt: skip
OWN = ["--steps", "3", "--seed", "7", "--strength", "0.6", "--style-blend", "1,3", "--init", "noise"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Inputs as files, on one thread."""
    rng = np.random.default_rng(0)
    for name in ("c.png", "s.png", "t.png", "m.png"):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cli(*argv: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["image", *argv])
    return int(end.value.code or 0)


def make(output: str, *more: str) -> None:
    assert cli("c.png", "s.png", "t.png", "-o", output, *FLAGS, *OWN, *more) == 0


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_like_gives_the_same_bytes(suffix: str) -> None:
    make(f"old{suffix}", "--content-mask", "m.png", "--content-mask", "all", "--style-scale", "1,0.5")
    assert cli("--like", f"old{suffix}", "-o", f"new{suffix}", "--quiet") == 0
    assert Path(f"new{suffix}").read_bytes() == Path(f"old{suffix}").read_bytes()
    assert cli("--like", f"old{suffix}.json", "-o", f"again{suffix}", "--quiet") == 0
    assert Path(f"again{suffix}").read_bytes() == Path(f"old{suffix}").read_bytes()


def test_options_and_files_win() -> None:
    make("old.png")
    assert cli("t.png", "--like", "old.png", "-o", "new.png", "--steps", "2", "--seed", "1", "--quiet") == 0
    old, new = (json.loads(Path(f"{n}.png.json").read_text()) for n in ("old", "new"))
    assert (new["steps"], new["seed"], new["content"]["path"]) == (2, 1, "t.png")
    assert [s["path"] for s in new["styles"]] == ["s.png", "t.png"]
    assert {**new["recipe"], "steps": 3} == old["recipe"]


def test_files_may_have_moved_but_not_changed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in").mkdir()
    for name in ("c.png", "s.png", "t.png"):
        Path(name).rename(here / "in" / name)
    paths = [str(here / "in" / name) for name in ("c.png", "s.png", "t.png")]
    assert cli(*paths, "-o", "in/old.png", *FLAGS, *OWN) == 0
    assert str(here) not in Path("in/old.png").read_bytes().decode("latin-1")  # nobody's folders are told
    assert cli("--like", "in/old.png", "-o", "new.png", "--quiet") == 0
    assert torch.equal(read_picture("new.png").pixels, read_picture("in/old.png").pixels)
    Path("in/s.png").write_bytes(Path("m.png").read_bytes())
    assert cli("--like", "in/old.png", "-o", "p.png") == 1
    assert "old.png was made with in/s.png (style), which has changed since" in capsys.readouterr().err
    Path("in/c.png").unlink()
    assert cli("--like", "in/old.png", "-o", "p.png") == 1
    assert "(content), which is not here" in capsys.readouterr().err
    assert not Path("p.png").exists()


def test_a_start_and_weights_are_found_again(here: Path) -> None:
    from specstyle.features import lite

    Path("w.safetensors").write_bytes(lite.FILE.read_bytes())
    (here / "in").mkdir()
    Path("m.png").rename("in/m.png")
    files = ["--init", str(here / "in" / "m.png"), "--weights", "w.safetensors", "--network", "vgg19-lite"]
    argv = ["c.png", "s.png", "-o", "in/old.png", "--style-layers", "relu1_1", "--content-layers", "relu1_1"]
    assert cli(*argv, "--steps", "2", "--quiet", *files) == 0
    assert str(here) not in Path("in/old.png").read_bytes().decode("latin-1")
    assert cli("--like", "in/old.png", "-o", "new.png", "--quiet") == 0
    assert torch.equal(read_picture("new.png").pixels, read_picture("in/old.png").pixels)
    Path("w.safetensors").unlink()
    assert cli("--like", "in/old.png", "-o", "p.png", "--quiet") == 1


def test_no_metadata(capsys: pytest.CaptureFixture[str]) -> None:
    make("old.png", "--no-metadata")
    assert kept_text(Path("old.png")) is None
    with Image.open("old.png") as image:
        assert not image.info
    assert cli("--like", "old.png", "-o", "new.png") == 1
    assert "holds no settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(30), b'{"specstyle": "1"}', b"[1]", b"{"]
)
@pytest.mark.parametrize("name", ["old.png", "old.json"])
def test_what_holds_no_settings_is_told_in_a_line(
    content: bytes, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(content)
    assert cli("--like", name, "-o", "new.png") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name in error
    assert "unexpected" not in error


@pytest.mark.parametrize(
    "change", [{"seed": None}, {"recipe": {"steps": "x"}}, {"recipe": 3}, {"styles": 3}, {"styles": [3]}]
)
def test_damaged_settings(change: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    make("old.png")
    Path("bad.json").write_text(json.dumps({**read_settings(Path("old.png")), **change}))
    assert cli("--like", "bad.json", "-o", "new.png") in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "unexpected" not in error


def test_inputs_are_needed_without_like(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("-o", "new.png") == 2
    assert "CONTENT, STYLE" in capsys.readouterr().err


def test_settings_too_long_for_a_jpeg() -> None:
    picture = Picture(torch.rand(3, 8, 8))
    assert write_picture(picture, "a.jpg", text="x" * 70_000) == (
        "the settings are too long for a JPEG and are not in it",
    )
    assert write_picture(picture, "a.png", text="x" * 70_000) == ()
    assert kept_text(Path("a.png")) == "x" * 70_000
    assert read_picture("a.png").notes == ()
    with pytest.raises(FileError, match="no such file"):
        read_settings(Path("none.png"))


def test_text_of_settings_is_ascii() -> None:
    record = {
        "output": "o.png", "specstyle": "1", "medium": "image", "recipe": {"init": "/home/me/ü.png"},
        "content": {"path": "ü.png", "sha256": "0", "height": 4}, "styles": [{}], "content_masks": [None],
        "init": {"path": "/home/me/ü.png", "sha256": "1"}, "network": {"origin": "/home/me/w.pth"},
    }  # fmt: skip
    text = settings_text(record)
    assert text.isascii()
    assert "home" not in text
    assert json.loads(text)["content"] == {"path": "ü.png", "sha256": "0"}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_by_command(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    make(f"deep{suffix}", "--bits", "16")
    make(f"flat{suffix}")
    deep, flat = (read_picture(f"{name}{suffix}").pixels for name in ("deep", "flat"))
    assert float((deep - flat).abs().max()) <= 0.5 / 255 + 1e-6
    steps = deep.double() * 65535
    assert float((steps - steps.round()).abs().max()) < 0.01
    assert len(deep.unique()) > 300
    assert cli("--like", f"deep{suffix}", "-o", f"new{suffix}", "--quiet") == 0
    assert Path(f"new{suffix}").read_bytes() == Path(f"deep{suffix}").read_bytes()
    assert cli("c.png", "s.png", "-o", "new.jpg", *FLAGS, "--bits", "16") == 1
    assert "JPEG cannot hold 16 bits per channel" in capsys.readouterr().err
