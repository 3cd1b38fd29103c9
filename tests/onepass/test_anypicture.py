"""Any picture as a style: the pull of a style, steps that carry on, networks that are made of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Outcome
from PIL import Image
from torch import Tensor

from specstyle import any_style, apply
from specstyle.features import lite
from specstyle.features.vgg import VGG19
from specstyle.onepass.anypicture import (
    DONE,
    PLAN,
    PULLS,
    STEPS,
    AnyPictureNetwork,
    StepNetwork,
    descend,
    grams,
    pulls,
    reduced,
)
from specstyle.onepass.network import StyleNetwork
from specstyle.recipes.recipe import S5

Cli = Callable[..., Outcome]


def textured(seed: int, height: int = 72, width: int = 88) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=generator)
    fine = torch.rand(1, 3, height, width, generator=generator)
    return 0.8 * torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear") + 0.2 * fine


@pytest.fixture(scope="module")
def network() -> VGG19:
    return VGG19(lite.load(), S5, pooling="average", padding="replicate")


def far(network: VGG19, image: Tensor, targets: dict[str, Tensor], layers: tuple[str, ...] = S5) -> Tensor:
    """The sum of the logarithms of relative errors, written down anew."""
    total, maps = torch.zeros(()), network(image)
    for name in layers:
        flat = maps[name].flatten(2)[0].double()
        found, wanted = flat @ flat.T / flat.shape[1], targets[name][0].double()
        total = total + (((found - wanted) ** 2).sum() / (wanted**2).sum() + DONE).log()
    return total


@pytest.mark.parametrize("at_once", [10**9, 1000])
def test_the_pull_is_the_direction_in_which_errors_fall(
    network: VGG19, at_once: int, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setattr(StepNetwork, "pixels_at_once", at_once)
    image, targets = textured(0), grams(network, textured(1))
    found = pulls(network, image, targets).split(3, 1)
    for pull, layers in zip(found, PULLS, strict=True):
        leaf = image.clone().requires_grad_(True)
        (expected,) = torch.autograd.grad(far(network, leaf, targets, layers), leaf)
        expected = -expected / expected.square().mean().sqrt()
        # Float32 through a dozen convolutions; asinh shrinks differences.
        torch.testing.assert_close(pull, torch.asinh(expected), rtol=1e-2, atol=1e-2)
        before, after = (float(far(network, x, targets, layers)) for x in (image, image + 1e-3 * pull))
        assert after < before


def test_steps_that_change_nothing_leave_the_content(one_thread: None) -> None:
    content, seen = textured(2, 70, 90), []

    def step(number: int, image: Tensor, content: Tensor, by: int) -> Tensor:
        seen.append((number, by, tuple(image.shape[2:])))
        torch.testing.assert_close(image, content)
        return image

    torch.testing.assert_close(descend(content, reduced(content, 4), step), content)
    assert [number for number, _, _ in seen] == list(range(STEPS))
    assert [by for _, by, _ in seen] == [by for by, count in PLAN for _ in range(count)]
    assert {by: size for _, by, size in seen} == {4: (18, 22), 2: (35, 45), 1: (70, 90)}
    assert reduced(textured(0, 24, 64), 4).shape[2:] == (16, 16)  # the deepest layer sees one position


def test_what_a_coarse_step_changed_is_carried_on() -> None:
    content = torch.full((1, 3, 64, 64), 0.25)

    def step(number: int, image: Tensor, content: Tensor, by: int) -> Tensor:
        return image + 0.25 if by == PLAN[0][0] and number == 0 else image

    torch.testing.assert_close(descend(content, reduced(content, 4), step), torch.full_like(content, 0.5))


def test_a_step_at_first_changes_nothing_and_at_no_strength_gives_the_content(one_thread: None) -> None:
    steps, parts = StepNetwork(), (textured(0, 32, 32), textured(1, 32, 32), torch.randn(1, 9, 32, 32))
    which = torch.eye(STEPS)[3:4]
    new = steps(torch.cat(parts, 1), which, torch.ones(1))
    torch.testing.assert_close(new, parts[0].clamp(0.02, 0.98))
    steps.leave.bias.data.fill_(3.0)
    assert torch.equal(steps(torch.cat(parts, 1), which, torch.zeros(1)), parts[1])
    assert isinstance(steps, StyleNetwork)


def test_a_picture_by_any_picture(workplace: Path, cli: Cli, network: VGG19) -> None:
    outcome = cli("apply", "any", "c.png", "s.png", "-o", "o.png", "--strength", "0.8")
    assert outcome.code == 0, outcome.err
    said = json.loads(Path("o.png.json").read_text())
    assert said["onepass"]["blend"] == {"s": 1.0}
    assert [style["path"] for style in said["styles"]] == ["s.png"]
    made, content, style = (
        torch.from_numpy(np.array(Image.open(name).convert("RGB"))).movedim(2, 0)[None].float() / 255.0
        for name in ("o.png", "c.png", "s.png")
    )
    assert made.shape == content.shape
    targets = grams(network, style)
    assert float(far(network, made, targets)) < float(far(network, content, targets)) - 1.0
    unchanged = apply(any_style("s.png"), "c.png", strength=0.0).output.pixels
    assert torch.equal((255.0 * unchanged).round(), (255.0 * content[0]).round())


def test_pictures_blend_and_large_ones_go_in_tiles(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    pictures = [textured(seed, 96, 96)[0] for seed in (3, 4)]
    torch.manual_seed(0)
    steps = StepNetwork().requires_grad_(False)
    steps.leave.weight.normal_(0.0, 0.02)
    both = AnyPictureNetwork(steps, pictures)
    content, half = textured(5, 80, 96), torch.tensor([0.5])
    ends = [both(content, torch.eye(2)[n : n + 1], half) for n in range(2)]
    alone = AnyPictureNetwork(steps, pictures[:1])(content, torch.ones(1, 1), half)
    assert torch.equal(ends[0], alone)
    between = both(content, torch.tensor([[0.5, 0.5]]), half)
    assert min(float((between - end).abs().mean()) for end in ends) > 1e-3
    monkeypatch.setattr(StepNetwork, "pixels_at_once", 80 * 96 - 1)
    tiled = both(content, torch.eye(2)[:1], half)
    # Statistics are those of a smaller copy, and nothing else differs.
    assert float((tiled - ends[0]).abs().mean()) < 0.02


def test_what_is_a_picture_and_what_a_sound(workplace: Path) -> None:
    noise = np.random.default_rng(0).random((32, 40, 3))
    assert any_style(noise).medium == any_style("s.png").medium == "image"
    assert any_style(noise[0, :, 0].repeat(1000), sample_rate=44100).medium == "audio"
    assert any_style(["s.png", "c.png"]).names == ("s", "c")
    with pytest.raises(ValueError, match="medium must be"):
        any_style("s.png", medium="film")
