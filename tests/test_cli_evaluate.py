"""``specstyle evaluate`` on files."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from specstyle.cli.main import main


@pytest.fixture
def sounds(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    for name, samples in (
        ("content", tone + 0.01 * rng.normal(size=16000)),
        ("style", 0.1 * rng.normal(size=16000)),
    ):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
    content, style = str(tmp_path / "content.wav"), str(tmp_path / "style.wav")
    return [style, "--content", content, "--style", style]


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *arguments])
    return int(stop.value.code or 0)


def test_a_table_and_json_say_that_the_style_is_the_style(
    sounds: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sounds) == 0
    table = capsys.readouterr().out
    assert "equalized" in table
    assert "halves" in table
    assert run([*sounds, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["output"]["snr_mean"] == report["style"]["snr_mean"] > report["content"]["snr_mean"]
    assert report["output"]["copy"] == pytest.approx(1.0, abs=1e-3)


def test_a_silent_file_is_refused_in_one_line(
    sounds: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000), 16000)
    assert run([str(tmp_path / "silence.wav"), *sounds[1:]]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "silence.wav" in error
