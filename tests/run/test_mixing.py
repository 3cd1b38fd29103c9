"""What stays of a content where a recipe's mask, bands or mix keep it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from commands import Outcome
from PIL import Image
from scipy import signal

from specstyle import SpecstyleError, transfer_audio

RATE = 8000
FAST: dict[str, Any] = {"network": "wide-random", "n_filters": 16, "steps": 2, "phase_iterations": 2}


pytestmark = pytest.mark.usefixtures("one_thread")


def sound(seed: int, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, 6000))


def run(content: Any = None, **options: Any) -> Any:
    content = sound(0, 2) if content is None else content
    return transfer_audio(content, sound(1), **{"sample_rate": RATE, **FAST, **options})


def density_db(samples: np.ndarray, low: float, high: float) -> float:
    f, density = signal.welch(samples, RATE, "blackmanharris", nperseg=2048, detrend=False)
    inside = density[:, (f > low + 16) & (f < high - 16)]
    return 10 * math.log10(max(float(inside.max()), 1e-300) / (0.01 * 2 / RATE))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"style_view": "mel32"},
        {"canvas": "waveform"},
        {"network": "kernel", "content_view": "cqt6", "style_view": "cqt6"},
        {"network": "kernel", "working_rate": 6000},
    ],
)
def test_kept_bands_with_every_view_and_canvas(options: dict[str, Any]) -> None:
    content = sound(0, 2)
    found = run(content, keep_band=["0-500", "3000-"], **options).output.samples.numpy()
    plain = run(content, **options).output.samples.numpy()
    for low, high in ((-99.0, 500.0), (3000.0, 4099.0)):
        assert density_db(found - content, low, high) < -80
    # The soft edges reach 2 * 5 bins of 15.6 Hz beyond a band, or a sixth of an octave.
    assert density_db(found - plain, 800, 2400) < -60
    assert density_db(found - content, 800, 2400) > -30


def test_mix(tmp_path: Path) -> None:
    content = sound(0, 2)
    dry, half, wet = (run(content, mix=mix).output.samples for mix in (0.0, 0.5, 1.0))
    assert torch.equal(dry, torch.from_numpy(content))
    assert torch.equal(wet, run(content).output.samples)
    assert torch.allclose(half, (dry + wet) / 2, atol=1e-12)
    Image.new("L", (4, 4), 0).save(tmp_path / "black.png")
    assert torch.equal(run(content, mask=tmp_path / "black.png").output.samples, dry)


def test_silences_are_filled_or_kept() -> None:
    content = sound(1)
    third = content.shape[-1] // 3
    content[..., third : 2 * third] = 0.0
    margin = round(0.12 * RATE)  # a soft edge, and half the window of the mix
    inside = slice(third + margin, 2 * third - margin)
    made = {
        how: run(content, silence=how, level="rms").output.samples[..., inside] for how in ("fill", "keep")
    }
    assert float(made["keep"].abs().max()) == 0.0
    assert float(made["fill"].square().mean().sqrt()) > 0.01 * float(np.sqrt(np.mean(content**2)))


def test_a_content_at_full_scale_comes_back_at_its_level() -> None:
    content = sound(0)
    content[0, 100] = 1.0
    assert torch.equal(run(content, mix=0.0).output.samples, torch.from_numpy(content))
    louder = 3.0 * content
    for level in ("match", "peak", "rms"):
        result = run(louder, keep_band=["0-1000"], level=level)
        assert float(result.output.samples.abs().max()) <= 1.0
        assert result.record["level"]["gain_db"] < -6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep_band": ["200"]}, "keep_band needs bands in Hz such as 0-200 or 4000-, got '200'"),
        ({"keep_band": ["300-200"]}, "keep_band needs bands"),
        ({"keep_band": ["-"]}, "keep_band needs bands"),
        ({"keep_band": ["5000-"]}, "keep_band 5000- begins above 4000 Hz"),
        ({"mix": 1.5}, "mix must be from 0 to 1"),
        ({"mask": "nowhere.png"}, r"--mask nowhere\.png .* does not exist|--mask nowhere\.png"),
        ({"mask": "nowhere.csv"}, r"the mask cannot be read: No such file"),
    ],
)
def test_what_is_no_mask(options: dict[str, Any], said: str) -> None:
    with pytest.raises((SpecstyleError, ValueError), match=said):
        run(**options)


def test_command_line_and_batch(workplace: Path, cli: Callable[..., Outcome]) -> None:
    for name, seed in (("c", 0), ("s", 1)):
        soundfile.write(f"{name}.wav", sound(seed).T, RATE, subtype="DOUBLE")
    Path("mask.csv").write_text("start_s,stop_s\n0.3,0.5\n")
    fast = ("--network", "kernel", "--steps", "2")
    kept = ("--mask", "mask.csv", "--keep-band", "0-500", "--mix", "0.7")
    assert cli("audio", "c.wav", "s.wav", "-o", "out.wav", *fast, *kept).code == 0
    change = soundfile.read("out.wav")[0] - sound(0)[0]
    # Beyond the region and half a window of 128 ms there is nothing but the file's own precision.
    assert np.abs(change[: round(0.23 * RATE)]).max() < 1e-4
    assert np.abs(change[round(0.35 * RATE) : round(0.45 * RATE)]).max() > 0.02
    assert json.loads(Path("out.wav.json").read_text())["mask"]["path"] == "mask.csv"
    Path("jobs.csv").write_text("content,style,output,mask\nc.wav,s.wav,b.wav,mask.csv\n")
    for _ in range(2):
        assert cli("batch", "jobs.csv", *fast).code == 0
    assert "mask.csv" in json.loads(Path("b.wav.json").read_text())["mask"]["path"]
    assert "skipped" in Path("jobs.results.csv").read_text()
    Path("mask.csv").write_text("start_s,stop_s\n0.2,0.5\n")
    assert cli("batch", "jobs.csv", *fast).code == 1
    assert "not the same mask" in Path("jobs.results.csv").read_text()
