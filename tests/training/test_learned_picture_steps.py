"""The network for any picture is learned, goes on where it was stopped, and its file can be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import training.anypicture as learning
from specstyle.onepass.anypicture import StepNetwork
from specstyle.onepass.stylefile import filled, read_file
from training.anypicture import StepTrainer, Styles, main


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).resize((320, 240)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, pixels in (("SIZE", 128), ("CONTENT", 64), ("STYLE", 64)):
        monkeypatch.setattr(learning, name, pixels)


def test_a_file_is_learned_that_can_be_used(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    output = tmp_path / "any.safetensors"
    command = [str(photographs), "-o", str(output), "--drawn", "1", "--painted", "0"]
    kept = ["--run-dir", str(tmp_path / "kept")]
    assert main([*command, *kept, "--steps", "1"]) == 0
    assert "step 1, 100 %" in capsys.readouterr().out
    first = {name: value.clone() for name, value in read_file(output)[0].items()}
    filled(StepNetwork(), first)
    assert main([*command, *kept, "--steps", "1"]) == 1
    assert "exists" in capsys.readouterr().err
    assert main([*command, *kept, "--steps", "2", "--force"]) == 0  # goes on
    stopped = read_file(output)[0]
    assert any(not torch.equal(value, first[name]) for name, value in stopped.items())
    assert main([*command, "--steps", "2", "--force"]) == 0  # in one go
    for name, value in read_file(output)[0].items():
        torch.testing.assert_close(value, stopped[name])
    assert main([str(tmp_path / "none"), "-o", str(tmp_path / "x.safetensors")]) == 1
    assert "no folder with pictures" in capsys.readouterr().err


def test_styles_are_cut_out_in_many_ways(photographs: Path, one_thread: None) -> None:
    styles = Styles.of(photographs, drawn=1, painted=1, seed=0)
    assert len(styles.pictures) == 2 + 3 + 2
    cuts = [styles.cut(torch.Generator().manual_seed(seed)) for seed in range(6)]
    assert all(cut.shape == (1, 3, learning.STYLE, learning.STYLE) for cut in cuts)
    assert all(float(cut.min()) >= 0.0 and float(cut.max()) <= 1.0 for cut in cuts)
    assert torch.equal(cuts[0], styles.cut(torch.Generator().manual_seed(0)))
    assert len({float(cut.mean()) for cut in cuts}) == len(cuts)


def test_where_too_much_is_left_the_content_weighs_less(photographs: Path, one_thread: None) -> None:
    contents = learning.PictureContents(photographs, 64, 128)
    trainer = StepTrainer(contents, Styles.of(photographs, drawn=1, painted=0, seed=0), 0, 1.0, 4)
    before = trainer.tilts.clone()
    more = trainer.advance()[2]  # an untrained network leaves the content
    assert more > 0.0
    changed = trainer.tilts - before
    assert float(changed.max()) <= 0.0 < -float(changed.min())
