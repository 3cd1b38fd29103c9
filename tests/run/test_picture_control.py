"""Control over a picture, by library and command line: colors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import specstyle
from specstyle.cli.main import main
from specstyle.features import weights as vgg_weights
from specstyle.media.color import gray_of, to_oklab

SHALLOW: dict[str, Any] = {
    "network": "vgg19-lite",
    "style_layers": ("relu1_1", "relu2_1"),
    "content_layers": ("relu2_1",),
    "steps": 6,
}
FLAGS = ["--network", "vgg19-lite", "--style-layers", "relu1_1,relu2_1", "--content-layers", "relu2_1",
         "--steps", "6", "--quiet"]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Inputs as files, on one thread, on a machine without VGG19."""
    monkeypatch.setattr(vgg_weights, "is_cached", lambda: False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, pixels in (("c.png", scene()), ("s.png", brush()), ("t.png", brush(seed=1))):
        Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    torch.set_num_threads(threads)


def scene(height: int = 40, width: int = 48) -> np.ndarray:
    y, x = np.mgrid[:height, :width] / max(height, width)
    return np.stack([0.5 + 0.4 * np.sin(9 * x), y, (x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.05], 2).astype(
        np.float64
    )


def brush(height: int = 36, width: int = 44, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.uniform(0, 1, (height // 2 + 1, width // 4 + 1, 3)), np.ones((2, 4, 1)))[
        :height, :width
    ]


def run(**options: Any) -> specstyle.Result:
    return specstyle.transfer_image("c.png", "s.png", **{**SHALLOW, **options})


def cli(*argv: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["image", *argv])
    return int(end.value.code or 0)


# -- colors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["content", "luminance"])
def test_the_contents_hues_are_kept(color: str) -> None:
    content = torch.from_numpy(scene()).movedim(2, 0)
    pixels = run(color=color).output.pixels.double()
    plain = run().output.pixels.double()

    def off_hue(image: torch.Tensor) -> float:
        """Distance from the line of the content's hue, in lightness' units or in YIQ's."""
        if color == "content":
            (_, a, b), (_, c, d) = to_oklab(image), to_oklab(content)
            return float(((a * d - b * c) / torch.hypot(c, d).clamp_min(1e-3)).abs().mean())
        ours, own = (x - gray_of(x, "luma") for x in (image, content))
        along = (ours * own).sum(0) / own.square().sum(0).clamp_min(1e-6)
        return float((ours - along * own).abs().mean())

    assert off_hue(pixels) < 2e-3  # 8 bits of the content
    assert off_hue(plain) > 10 * off_hue(pixels)
    space = {"content": "oklab", "luminance": "luma"}[color]
    assert float((gray_of(pixels, space) - gray_of(content, space)).abs().mean()) > 0.02  # it is painted


def test_gray_pictures_are_what_the_network_sees() -> None:
    seen: list[torch.Tensor] = []
    run(color="content", on_step=lambda p: seen.append(p.image()), smallest_scale=20)
    assert {tuple(image.shape[2:]) for image in seen} == {(20, 24), (40, 48)}
    assert all(torch.equal(image[:, 0], image[:, c]) for image in seen for c in (1, 2))


@pytest.mark.parametrize("how", ["mean", "covariance", "histogram"])
def test_matched_colors_reach_the_result(how: str) -> None:
    options: dict[str, Any] = {"strength": 1.0, "init": "noise", "steps": 25}
    content = torch.from_numpy(scene()).movedim(2, 0).mean((1, 2))
    plain, matched = (run(color_match=h, **options).output.pixels.mean((1, 2)) for h in ("none", how))
    assert float((matched - content).abs().sum()) < 0.5 * float((plain - content).abs().sum())


def test_colors_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("c.png", "s.png", "-o", "o.png", *FLAGS, "--color", "content", "--save-every", "3") == 0
    assert json.loads(Path("o.png.json").read_text())["recipe"]["color"] == "content"
    assert len(np.unique(np.asarray(Image.open("o.steps/step-00003.png")).reshape(-1, 3), axis=0)) > 256
    argv = [flag for flag in FLAGS if flag != "--quiet"]
    assert cli("c.png", "s.png", "-o", "p.png", *argv, "--color", "luminance", "--color-match", "mean") == 0
    assert "color_match has no effect: color is luminance" in capsys.readouterr().err
    assert cli("c.png", "s.png", "-o", "q.png", *FLAGS, "--color", "sepia") == 2
