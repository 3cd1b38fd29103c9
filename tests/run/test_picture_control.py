"""Control over a picture, by library and command line: colors, masks, sizes of styles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from run.test_transfer_pictures import brush, scene

import specstyle
from specstyle.cli.main import main
from specstyle.media.color import gray_of, to_oklab
from specstyle.run.api import Request, transfer
from specstyle.run.inputs import Session

SHALLOW: dict[str, Any] = {
    "network": "vgg19-lite",
    "style_layers": ("relu1_1", "relu2_1"),
    "content_layers": ("relu2_1",),
    "steps": 6,
}
FLAGS = ["--network", "vgg19-lite", "--style-layers", "relu1_1,relu2_1", "--content-layers", "relu2_1",
         "--steps", "6", "--quiet"]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Inputs as files, on one thread."""
    for name, pixels in (("c.png", scene()), ("s.png", brush()), ("t.png", brush(seed=1))):
        Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**options: Any) -> specstyle.Result:
    return specstyle.transfer_image("c.png", "s.png", **{**SHALLOW, **options})


def cli(*argv: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["image", *argv])
    return int(end.value.code or 0)


def test_values_stay_within_the_styles_and_a_step_within_black_and_white() -> None:
    dull = 0.2 + 0.5 * brush()
    stark = np.where(brush() > 0.5, 1.0, 0.0)
    found = {}
    for name, style in (("dull", dull), ("stark", stark)):
        result = specstyle.transfer_image(scene(), style, **SHALLOW, style_range=True)
        found[name] = np.round(255 * result.output.pixels.double().numpy())
    assert found["dull"].min() >= np.floor(255 * np.quantile(dull, 0.004))
    assert found["dull"].max() <= np.ceil(255 * np.quantile(dull, 0.996))
    assert (found["stark"].min(), found["stark"].max()) == (1, 254)  # reached, and kept
    same = specstyle.transfer_image(scene(), stark, **SHALLOW, style_range=True, strength=0.0)
    torch.testing.assert_close(same.output.pixels, torch.from_numpy(scene()).movedim(2, 0).float())


# -- colors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["content", "luminance"])
def test_the_contents_hues_are_kept(color: str) -> None:
    content = torch.from_numpy(scene()).movedim(2, 0)
    pixels = run(color=color, steps=18).output.pixels.double()
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
    assert {image.shape[1] for image in seen} == {1}


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


# -- masks ---------------------------------------------------------------------------------------------------


def left(height: int, width: int, share: float = 0.5) -> np.ndarray:
    mask = np.zeros((height, width))
    mask[:, : round(width * share)] = 1.0
    return mask


def change(result: specstyle.Result) -> np.ndarray:
    """How much each column was changed."""
    columns: np.ndarray = (result.output.pixels - result.content.pixels).abs().mean((0, 1)).numpy()
    return columns


@pytest.mark.parametrize("loss", ["gram_relative", "wasserstein2", "gram_gatys"])
@pytest.mark.parametrize("tile", ["off", 16])
def test_a_style_applies_where_its_mask_is_white(loss: str, tile: str | int) -> None:
    columns = change(
        run(content_mask=left(40, 48), style_loss=loss, tile=tile, style_weight=100.0, init="content")
    )
    assert columns[:20].mean() > 0.02
    assert columns[32:].max() < 0.1 * columns[:20].mean()


def test_full_masks_change_nothing() -> None:
    plain = run(style_blend=())
    for masks in (
        {"style_mask": np.ones((36, 44))},
        {"content_mask": np.ones((40, 48)), "style_mask": [None]},
    ):
        assert torch.allclose(run(**masks).output.pixels, plain.output.pixels, atol=1e-3)
    assert torch.equal(run(content_mask=[None], style_mask=["all"]).output.pixels, plain.output.pixels)


def test_two_styles_in_their_places() -> None:
    red, blue = (brush() * np.array(color) for color in ([1.0, 0.1, 0.1], [0.1, 0.1, 1.0]))
    mask = left(40, 48)
    result = specstyle.transfer_image(
        scene(), [red, blue], content_mask=[mask, 1 - mask], **{**SHALLOW, "steps": 15, "strength": 0.9}
    )
    pixels = result.output.pixels.mean(1)  # [3, W]
    assert float(pixels[0, :16].mean() - pixels[2, :16].mean()) > 0.2
    assert float(pixels[2, 32:].mean() - pixels[0, 32:].mean()) > 0.2
    assert {n for n in result.record["losses"]["end"] if ":" in n} >= {"style:relu1_1:1", "style:relu1_1:2"}


def test_a_style_mask_chooses_a_part_of_the_style() -> None:
    style = brush()
    style[:, 22:] *= np.array([1.0, 0.0, 0.0])
    masked, whole = (
        specstyle.transfer_image(
            scene(), style, **{**SHALLOW, "strength": 1.0, "steps": 15, "style_mask": mask}
        )
        for mask in (1 - left(36, 44), None)
    )
    assert float(masked.output.pixels[1:].mean()) < 0.5 * float(whole.output.pixels[1:].mean())


def test_colors_are_matched_under_the_masks() -> None:
    content = scene()
    content[:, 24:] = 0.1
    style = brush()
    options = {
        **SHALLOW,
        "color_match": "mean",
        "init": "style",
        "style_size": "content",
        "steps": 1,
        "strength": 1.0,
    }
    options |= {"smallest_scale": None}
    result = specstyle.transfer_image(content, style, content_mask=1 - left(40, 48), **options)
    assert float(result.output.pixels.mean()) < 0.3  # 0.1 and what was clipped; the style's is 0.5


def test_masks_by_command_and_what_is_wrong_with_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, mask in (
        ("m.png", left(80, 96)),
        ("black.png", np.zeros((40, 48))),
        ("wide.png", left(20, 60)),
    ):
        Image.fromarray((mask * 255).astype(np.uint8)).save(name)
    both = ["c.png", "s.png", "t.png", *FLAGS, "--content-mask", "m.png", "--content-mask", "all"]
    assert cli(*both, "-o", "o.png") == 0
    record = json.loads(Path("o.png.json").read_text())
    assert record["content_masks"][0]["path"] == "m.png"
    assert record["content_masks"][1] is None
    one = ["c.png", "s.png", "-o", "p.png", *FLAGS]
    for mask, said in (
        ("black.png", "black everywhere"),
        ("wide.png", "same aspect"),
        ("none.png", "no such file"),
    ):
        assert cli(*one, "--content-mask", mask) == 1
        assert said in capsys.readouterr().err
    assert cli(*one, "--style-mask", "m.png", "--style-mask", "m.png") == 2
    assert "--style-mask is there 2 times for 1 styles" in capsys.readouterr().err
    assert not Path("p.png").exists()
    with pytest.raises(ValueError, match="for pictures"):
        transfer(Request("audio", "c.wav", ("s.wav",), content_masks=("m.png",)))


def test_masks_in_a_list_of_jobs(here: Path) -> None:
    Image.fromarray((left(80, 96) * 255).astype(np.uint8)).save("m.png")
    Path("jobs.csv").write_text("content,style,output,content_mask\nc.png,s.png;t.png,b.png,m.png;all\n")
    with pytest.raises(SystemExit) as end:
        main(["batch", "jobs.csv", *FLAGS])
    assert end.value.code == 0
    both = ["--content-mask", "m.png", "--content-mask", "all"]
    assert cli("c.png", "s.png", "t.png", *FLAGS, *both, "-o", "single.png") == 0
    assert np.array_equal(np.asarray(Image.open("b.png")), np.asarray(Image.open("single.png")))
    before = Path("b.png").stat().st_mtime_ns
    with pytest.raises(SystemExit):
        main(["batch", "jobs.csv", *FLAGS])
    assert Path("b.png").stat().st_mtime_ns == before
    Image.fromarray((left(80, 96, 0.7) * 255).astype(np.uint8)).save("m.png")
    with pytest.raises(SystemExit) as end:
        main(["batch", "jobs.csv", *FLAGS])
    assert end.value.code == 1
    assert "not the same content mask" in Path("jobs.results.csv").read_text()


# -- sizes of styles -----------------------------------------------------------------------------------------


def test_style_scale_sizes_each_style(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[tuple[int, ...]]] = []
    init = Session.__init__

    def watched(session: Any, *args: Any, **kwargs: Any) -> None:
        init(session, *args, **kwargs)
        seen.append([tuple(s.shape[2:]) for s in session.styles])

    monkeypatch.setattr(Session, "__init__", watched)
    two = ["c.png", "s.png", "t.png", *FLAGS, "--size", "24", "--force", "-o", "o.png"]
    for scale, expected in (
        ("1", [(20, 24), (20, 24)]),
        ("2", [(40, 48), (40, 48)]),  # larger than the file: asked for by name
        ("0.5,1.5", [(10, 12), (30, 36)]),
    ):
        assert cli(*two, "--style-scale", scale) == 0
        assert seen.pop() == expected
    for scale, said in (("0.1", "sides from 8"), ("1,2,3", "3 numbers for 2 styles"), ("0", "above 0")):
        assert cli(*two, "--style-scale", scale) == 2
        assert said in capsys.readouterr().err


def test_larger_strokes() -> None:
    """On stripes, the scale of the style is that of the result."""
    stripes = np.zeros((64, 64, 3)) + 0.1
    stripes[np.arange(64) % 8 < 4] = 0.9

    def periods(scale: float) -> float:
        result = specstyle.transfer_image(
            np.random.default_rng(0).uniform(0, 1, (64, 64, 3)), stripes,
            **{**SHALLOW, "style_layers": ("relu1_1", "relu2_1", "relu3_1"), "steps": 30, "strength": 1.0,
               "style_scale": (scale,), "init": "noise"},
        )  # fmt: skip
        spectrum = np.abs(np.fft.rfft(result.output.pixels.mean((0, 2)).numpy() - 0.5))
        return float((np.arange(33) * spectrum[:33] ** 2)[1:].sum() / (spectrum[1:] ** 2).sum())

    assert periods(2.0) < 0.85 * periods(1.0)  # half, had the few steps driven out all of the noise
