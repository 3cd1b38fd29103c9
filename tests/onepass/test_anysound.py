"""Any sound as a style: descriptions, networks that are mixed, the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Outcome

from specstyle import any_style
from specstyle.media.soundfiles import read_sound
from specstyle.onepass.anysound import KINDS, SIZE, AnySoundNetwork, describe
from specstyle.onepass.soundnetwork import RANDOM, SAMPLE_RATE, STFT

Cli = Callable[..., Outcome]


def noise(seed: int, seconds: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(round(seconds * SAMPLE_RATE), generator=generator)


def test_a_description_knows_no_level_and_tells_steady_from_beating() -> None:
    steady = noise(0)
    assert describe(steady).shape == (SIZE,)
    torch.testing.assert_close(describe(0.01 * steady), describe(steady), rtol=1e-3, atol=1e-3)
    beating = steady * (1.0 + torch.sin(2 * math.pi * 8 * torch.arange(len(steady)) / SAMPLE_RATE))
    deviation = slice(48, 96)
    assert (describe(beating)[deviation] > describe(steady)[deviation]).float().mean() > 0.9
    assert bool(describe(noise(1, 0.05)).isfinite().all())  # shorter than the longest lag


def test_a_mixed_network_plays_as_its_kinds_do_in_that_mixture() -> None:
    torch.manual_seed(0)
    any_sound = AnySoundNetwork().requires_grad_(False)
    for name, parameter in any_sound.plays.named_parameters():
        if len(parameter) == 3 * KINDS:
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        elif name.startswith("leave"):
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    styles = [noise(1), noise(2).cumsum(0)]
    mixture = any_sound.mixture(torch.stack([describe(style) for style in styles]))
    found = any_sound.network(styles)
    content = torch.randn(2, STFT.n_bins, 12, dtype=torch.complex64)
    noises = [torch.randn(2, STFT.n_bins, 12, dtype=torch.complex64) for _ in range(2)]
    given = content, noises, torch.randn(2, RANDOM, 12)
    strengths = torch.tensor([0.4, 0.9])
    ours, theirs = found(*given, torch.eye(2), strengths), any_sound.plays(*given, mixture, strengths)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)  # sums of float32 in another order
    assert float((ours[0] - found(*given, torch.eye(2).flip(0), strengths)[0]).abs().max()) > 1e-3
    assert float(found.spectra[1, 5] / found.spectra[1, 500]) > 10  # brown noise


def test_a_sound_by_any_sound(workplace: Path, cli: Cli) -> None:
    outcome = cli("apply", "any", "c.wav", "s.wav", "-o", "o.wav", "--strength", "0.8")
    assert outcome.code == 0, outcome.err
    assert json.loads(Path("o.wav.json").read_text())["onepass"]["blend"] == {"s": 1.0}
    made, content = (read_sound(name) for name in ("o.wav", "c.wav"))
    assert made.samples.shape == content.samples.shape
    assert float((made.samples - content.samples).abs().max()) > 1e-3


def test_what_is_no_style_gets_one_line(workplace: Path, cli: Cli) -> None:
    with pytest.raises(ValueError, match="different names"):
        any_style(["s.wav", "s.wav"])
    assert any_style(["s.wav", "c.wav"]).names == ("s", "c")
    for wrong, said in (
        (("c.wav", "-o", "p.wav"), "needs a STYLE"),
        (("c.wav", "s.wav", "-o", "s.wav", "--force"), "an input of the run"),
        (("c.wav", "absent.wav", "-o", "p.wav"), "does not exist"),
        (("c.wav", "s.png", "-o", "p.wav"), "s.png is a PNG picture, not a sound"),
        (("c.png", "s.wav", "-o", "p.png"), "s.wav: is a sound (WAV), not a picture"),
    ):
        outcome = cli("apply", "any", *wrong)
        assert outcome.code != 0
        assert said in outcome.err
        assert not Path("p.wav").exists()
