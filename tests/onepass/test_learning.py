"""Training: it learns, it resumes, its strength is held in closed loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Outcome

import specstyle
from specstyle.files import load_state
from specstyle.onepass.contents import PictureContents
from specstyle.onepass.train import named_styles, picture_lesson
from specstyle.onepass.trainer import KNOTS, between
from specstyle.run.request import Request

TINY = {"size": 48, "style_layers": ("relu1_1", "relu2_1")}


def test_it_learns_its_style(workplace: Path) -> None:
    """After some seconds the style loss is a small part of the content's own."""
    reports: list[Any] = []
    style = specstyle.train(
        "s.png", "s.safetensors", steps=60, on_report=lambda *report: reports.append(report), **TINY
    )
    report, optimizer = reports[-1]
    assert report.step == 60
    assert report.aim == 0.75
    assert style.names == ("s",)
    assert len(optimizer) == 1
    request = Request("image", None, ["s.png"], overrides=TINY)
    lesson, _, _ = picture_lesson(request, None)
    from specstyle.onepass.trainer import style_loss

    contents = float(style_loss(lesson, 0, lesson.held_out).mean())
    # Seen: 0.17 of it; a network that learns nothing stays above 1, since random ones are gray.
    assert report.style_loss[0] < 0.5 * contents
    loaded = specstyle.load_style("s.safetensors")
    ours, again = (specstyle.apply(s, "c.png", strength=0.8).output.pixels for s in (style, loaded))
    # Half precision has 11 bits; through some 15 layers errors add up.
    assert float((ours - again).abs().mean()) < 0.02


def test_it_resumes_to_the_same_network(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended in the middle of a step too, after some weights are changed and before it counts."""
    whole = specstyle.train("s.png", steps=6, **TINY)
    from specstyle.onepass.trainer import Trainer

    true = Trainer._weigh_content

    def interrupted(trainer: Trainer, *given: Any) -> None:
        true(trainer, *given)
        if trainer.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("specstyle.onepass.train.EVERY_S", 0.0)
    monkeypatch.setattr(Trainer, "_weigh_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        specstyle.train("s.png", steps=6, run_dir="run", **TINY)
    monkeypatch.setattr(Trainer, "_weigh_content", true)
    assert load_state(Path("run/training.pt"))["trainer"]["step"] == 3
    resumed = specstyle.train("s.png", steps=6, run_dir="run", **TINY)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    assert Path("run/samples.png").exists()
    table = Path("run/losses.csv").read_text().split()
    assert [line.split(",")[0] for line in table] == ["step", "optimizer", "6"]
    assert table[0] == "step,s,left"
    with pytest.raises(specstyle.SpecstyleError, match="keeps another training"):
        specstyle.train("s.png", steps=6, run_dir="run", seed=1, **TINY)


def test_the_end_is_learned_on_the_network_that_the_recipe_ends_on(workplace: Path) -> None:
    from specstyle.onepass.network import StyleNetwork
    from specstyle.onepass.trainer import Trainer

    lesson, _, recipe = picture_lesson(Request("image", None, ["s.png"], overrides=TINY), None)
    assert recipe.finish_network == "vgg19"
    asked: list[tuple[int, int]] = []

    def counted(number: int, features: Any) -> Any:
        return lambda image: asked.append((number, trainer.step)) or features(image)

    assert lesson.finish is not None
    finish = dataclasses.replace(lesson.finish, features=counted(2, lesson.finish.features))
    lesson = dataclasses.replace(lesson, features=counted(1, lesson.features), finish=finish)
    trainer = Trainer(StyleNetwork(1), lesson, steps=5)
    while trainer.share < 1.0:
        trainer.advance()
    assert {*asked} == {(1, 0), (1, 1), (1, 2), (1, 3), (2, 4)}


def test_content_weights_follow_what_is_left(workplace: Path) -> None:
    """Where too little of the content is left its weight rises, where too much it falls."""
    from specstyle.onepass.network import StyleNetwork
    from specstyle.onepass.trainer import Trainer

    lesson, _, _ = picture_lesson(Request("image", None, ["s.png"], overrides=TINY), None)
    for left, sign in ((1.0, -1), (0.1, 1)):
        trainer = Trainer(StyleNetwork(1), lesson, steps=1)
        before = trainer.tilts.clone()
        trainer._weigh_content([left, left], [(0, 0.5), (0, 0.7)])
        moved = (trainer.tilts - before)[0]
        assert (sign * moved[2:5] > 0).all()  # the knots around 0.5 and 0.7
        assert (moved[[0, 1, 5]] == 0).all()


@pytest.mark.parametrize("strength", [0.0, 0.13, 0.4, 1.0])
def test_knots_carry_a_strength(strength: float) -> None:
    places = [(knot / (KNOTS - 1), share) for knot, share in between(strength)]
    assert sum(share for _, share in places) == pytest.approx(1.0)
    assert sum(place * share for place, share in places) == pytest.approx(strength)
    assert all(share >= -1e-12 for _, share in places)


def test_contents_are_drawn_the_same_for_the_same_seed(workplace: Path) -> None:
    Path("photographs").mkdir()
    Path("c.png").rename("photographs/c.png")
    contents = PictureContents(Path("photographs"), 32, 48)
    first, again = (contents(3, torch.Generator().manual_seed(5), 0.75) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (3, 3, 24, 24)
    assert 0.0 <= float(first.min()) < float(first.max()) <= 1.0
    Path("empty").mkdir()
    with pytest.raises(specstyle.SpecstyleError, match="is no folder with pictures"):
        PictureContents(Path("empty"), 32, 48)


def test_a_list_names_files_and_what_is_drawn(workplace: Path) -> None:
    lines = ['[[style]]\nname = "sand"\nfile = "s.png"\nsource = "me"\nlicense = "CC0"']
    lines += ['[[style]]\nname = "ink"\ndrawn = "engraving"']
    Path("list.toml").write_text("\n".join(lines))
    sand, ink = named_styles(["list.toml"])
    assert (sand.described["name"], sand.described["license"]) == ("sand", "CC0")
    assert ink.source.pixels.shape == (3, 512, 640)
    assert len(ink.described["sha256"]) == 64
    for text in ("[[style]]\nname=1", "style = 3", "[[style]]\nname='a'\ndrawn='nothing'", "not toml"):
        Path("list.toml").write_text(text)
        with pytest.raises(specstyle.SpecstyleError, match="is no list of styles"):
            named_styles(["list.toml"])


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none.png", "-o", "x.safetensors"], 1, "no such file"),
        (["s.png", "-o", "x.bin"], 1, "name it so"),
        (["s.png", "s.png", "-o", "x.safetensors"], 2, "different names"),
        (["s.png", "-o", "x.safetensors", "--minutes", "0"], 2, "above 0"),
        (["s.png", "-o", "x.safetensors", "--steps", "0"], 2, "above 0"),
        (["s.png", "-o", "x.safetensors", "--data", "nowhere"], 1, "is no folder"),
        (["s.wav", "-o", "x.safetensors", "--medium", "image"], 1, "is a sound"),
        (["s.png", "-o", "x.safetensors", "--start", "rain"], 2, "the medium of the styles, image"),
        (["s.wav", "-o", "x.safetensors", "--start", "swirls"], 2, "the medium of the styles, audio"),
    ],
)
def test_what_cannot_be_trained_gets_one_line(
    workplace: Path, cli: Callable[..., Outcome], arguments: list[str], code: int, told: str
) -> None:
    outcome = cli("train", *arguments)
    assert outcome.code == code
    assert told in outcome.lines[-1]
    assert "Traceback" not in outcome.err
    assert not list(Path().glob("x.*"))


def test_it_begins_where_other_styles_are(workplace: Path) -> None:
    """In the mean of those that come along, in that of its name, in a file's, or nowhere."""
    shipped = specstyle.load_style("starry-night")
    begun = specstyle.train("s.png", "begun.safetensors", steps=1, **TINY)
    # Adam's first step changes a weight by its rate at most.
    for name, value in begun.network.state_dict().items():
        theirs = shipped.network.state_dict()[name]
        theirs = theirs if theirs.shape == value.shape else theirs.view(6, *value.shape).mean(0)
        assert float((value - theirs).abs().max()) <= 1.6e-3, name
    Path("swirls.png").write_bytes(Path("s.png").read_bytes())
    known = specstyle.train("swirls.png", steps=1, **TINY).network.norms[0].scale
    theirs = shipped.network.norms[0].scale.view(6, *known.shape)[shipped.names.index("swirls")]
    assert float((known - theirs).abs().max()) <= 1.6e-3
    new = specstyle.train("s.png", steps=1, start="scratch", **TINY)
    assert float((new.network.enter.weight - shipped.network.enter.weight).abs().max()) > 0.05
    again = specstyle.train("s.png", steps=1, start="begun.safetensors", **TINY)
    assert float((again.network.enter.weight - begun.network.enter.weight).abs().max()) <= 3.2e-3
    with pytest.raises(ValueError, match="the medium of the styles, image"):
        specstyle.train("s.png", steps=1, start="rain", **TINY)
