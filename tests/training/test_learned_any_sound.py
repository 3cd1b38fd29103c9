"""The network for any style is learned by the objective of the recipe, and its file can be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from specstyle.onepass.anysound import AnySoundNetwork
from specstyle.onepass.stylefile import filled, read_file
from training.anysound import main


def test_a_file_is_learned_that_can_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    styles = tmp_path / "styles"
    styles.mkdir()
    samples = 0.1 * np.random.default_rng(0).standard_normal(30000)
    soundfile.write(styles / "s.wav", samples, 22050)
    output = tmp_path / "any.safetensors"
    command = [str(styles), "-o", str(output), "--drawn", "1", "--run-dir", str(tmp_path / "kept")]
    assert main([*command, "--steps", "1"]) == 0
    assert "step 1, 100 %" in capsys.readouterr().out
    network = filled(AnySoundNetwork(), read_file(output)[0])
    first = {name: value.clone() for name, value in network.state_dict().items()}
    assert main([*command, "--steps", "1"]) == 1
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--steps", "2", "--force"]) == 0
    assert "step 2, 100 %" in capsys.readouterr().out
    assert any(not torch.equal(value, first[name]) for name, value in read_file(output)[0].items())
