"""Textures: statistics of a style at any length, and loops without a seam."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from commands import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from specstyle import texture_audio, texture_image, transfer_audio
from specstyle.engine.views import Seen
from specstyle.evaluate import evaluate
from specstyle.features import WideRandom
from specstyle.features.landmarks import LandmarkKernel
from specstyle.media.audio import AudioSettings, SoundCodec, WaveformCanvas
from specstyle.media.equalize import colored_noise, long_term_power
from specstyle.media.sounds import Sound
from specstyle.media.stft import StftSettings, circular_stft, stft
from specstyle.recipes import Recipe
from specstyle.run.objective import build_objective, network_for
from specstyle.run.request import Request
from specstyle.run.settle import layers_in_use
from specstyle.synthesis.sounds import rain

RATE = 8000


pytestmark = pytest.mark.usefixtures("workplace")


def as_sound(samples: np.ndarray) -> Sound:
    return Sound(torch.from_numpy(np.atleast_2d(samples)), RATE)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 700), more=st.integers(0, 40), hop=st.sampled_from([16, 24, 32]))
def test_circular_frames_are_those_of_a_plain_loop(length: int, more: int, hop: int) -> None:
    transform = StftSettings(64, hop, 64)
    x = np.random.default_rng(length).standard_normal(length)
    found = circular_stft(torch.from_numpy(x)[None], transform, more)[0]
    window = np.hanning(65)[:-1]
    expected = [
        np.fft.rfft(window * x[(np.arange(-32, 32) + t * hop) % length])
        for t in range(-(-length // hop) + more)
    ]
    np.testing.assert_allclose(found, np.transpose(expected), atol=1e-10)


def test_a_circle_has_no_beginning() -> None:
    """Rolled by whole hops, a loop has the same loss: no place of it is the seam."""
    style, start = as_sound(rain(1.0, RATE)), as_sound(rain(1.0, RATE, seed=3)[: 60 * 128])
    medium = SoundCodec(AudioSettings(n_fft=512, hop_length=128, unit_scale=False))
    content, image = medium.encode(start), medium.encode(style).image
    networks = (WideRandom(257, n_filters=32, width=11), LandmarkKernel(content.image, [image], loop=True))

    def losses(hops: int) -> torch.Tensor:
        found = []
        for network in networks:
            canvas = WaveformCanvas(content, medium.settings, loop=network.halo)
            with torch.no_grad():
                canvas.parameters()[0].copy_(canvas.parameters()[0].roll(hops * 128, 1))
            for maps in network(canvas.image().detach()).values():
                assert maps.shape[3] == 60
                flat = maps.flatten(2)
                gram = flat @ flat.transpose(1, 2)
                found.append((gram / gram.norm()).flatten())
        return torch.cat(found)

    # 1e-4: sums of float32 in another order.
    torch.testing.assert_close(losses(0), losses(23), rtol=1e-4, atol=1e-4)


def test_noise_has_the_styles_spectrum_and_no_seam() -> None:
    style = as_sound(rain(2.0, RATE))
    like = as_sound(np.ones((2, 40000)))
    noise = colored_noise([style], like, torch.Generator().manual_seed(0))
    transform = StftSettings(512, 128, 512)
    found, wanted = (long_term_power(s, transform) for s in (noise, style))
    # 1.5 dB: a sixth of an octave of 5 s of noise fluctuates so much at the lowest bins.
    assert np.abs(10 * np.log10(found / wanted))[8:].max() < 1.5
    jumps = np.abs(np.diff(noise.samples[0].numpy(), append=float(noise.samples[0, 0])))
    assert jumps[-1] < np.quantile(jumps, 0.999)


def test_a_loop_has_the_style_s_statistics_and_no_seam() -> None:
    style = rain(2.0, RATE)
    result = texture_audio(style, 2.5, loop=True, sample_rate=RATE, steps=25, seed=1)
    samples = result.output.samples
    assert samples.shape == (1, 20000)
    assert result.output.sample_rate == RATE
    report = evaluate(result.output, as_sound(style), as_sound(style))
    halves = report.style_halves
    assert report.output.snr_mean > halves.snr_mean - 6
    assert report.output.snr_mod > halves.snr_mod - 6
    assert report.output.copy < 0.6
    twice = samples.repeat(1, 2)
    # No end is faded: over 5 ms rain's level moves by some dB, and two faded ends are 15 dB below.
    assert float(twice[0, 19980:20020].square().mean() / samples.square().mean()) > 0.1
    jumps = twice.diff().abs()[0]
    assert float(jumps[19999]) < float(jumps.quantile(0.999))
    spectra = (stft(twice, StftSettings(256, 64, 256)).abs() + 1e-5).log()[0]
    flux = spectra.diff(dim=1).abs().mean(0)
    seam = 20000 // 64
    assert float(flux[seam - 3 : seam + 3].max()) < float(flux[20:-20].quantile(0.995))


def test_several_styles_and_a_range() -> None:
    one, two = rain(1.0, RATE), rain(1.0, RATE, seed=5)
    options: dict[str, Any] = {"sample_rate": RATE, "steps": 2}
    result = texture_audio([one, two], 0.5, style_blend=(3, 1), style_start_s=(0.2,), **options)
    assert result.output.samples.shape == (1, 4000)
    assert result.record["recipe"]["content_start_s"] == 0.2
    same = texture_audio([one, two], 0.5, style_blend=(3, 1), style_start_s=(0.2,), **options)
    assert torch.equal(result.output.samples, same.output.samples)
    other = texture_audio([one, two], 0.5, style_blend=(3, 1), style_start_s=(0.2,), seed=1, **options)
    assert not torch.equal(result.output.samples, other.output.samples)


@pytest.mark.parametrize(
    "options",
    [
        {"canvas": "image"},
        {"strength": 0.5},
        {"tv_weight": 1.0},
        {"network": "vgg19-lite"},
        {"network": "vgg19-lite", "canvas": "waveform"},
    ],
)
def test_what_cannot_loop(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"loop of a sound needs|loop is for|duration_s is for"):
        texture_audio(rain(1.0, RATE), 0.5, loop=True, sample_rate=RATE, **options)
    with pytest.raises(ValueError, match="loop is for textures"):
        transfer_audio(rain(1.0, RATE), rain(1.0, RATE), sample_rate=RATE, loop=True)


# Pictures


def weave(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).uniform(0, 1, (height // 4, width // 8, 3))
    return np.kron(rows, np.ones((4, 8, 1)))


def test_a_canvas_whose_borders_meet_has_the_same_loss_wherever_it_is_cut() -> None:
    style = torch.from_numpy(weave()).permute(2, 0, 1)[None].float()
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    rolled = image.roll((32, 48), (2, 3))
    recipe = Recipe(
        network="vgg19-lite", pooling="average", padding="replicate", strength=1.0, init="noise",
        tv_weight=1.0,
        style_layers=("relu1_1", "relu3_1", "relu3_1@2", "relu5_1"), tv_loss="chroma",
    )  # fmt: skip
    loss = {}
    for loop in (False, True):
        made = recipe.replace(loop=loop)
        network = network_for(made, Request("image", None, ()), device=torch.device("cpu"))
        features = Seen(
            lambda see, names, network=network: network.fitted(see, names, image, [style]),
            layers_in_use(made),
        )
        objective = build_objective(made, features, image, [style])
        loss[loop] = [sum(map(float, objective.value_and_grad(i)[0].values())) for i in (image, rolled)]
    assert loss[True][0] == pytest.approx(loss[True][1], rel=1e-5)  # float32
    assert loss[False][0] != pytest.approx(loss[False][1], rel=1e-4)


def test_a_picture_becomes_canvas_of_any_size() -> None:
    options: dict[str, Any] = {"network": "vgg19-lite", "finish_network": "", "steps": 4}
    plain = texture_image(weave(), 100, **options).output.pixels
    assert plain.shape == (3, 75, 100)
    looped = texture_image(weave(), 100, loop=True, **options).output.pixels
    assert looped.shape == (3, 80, 96)
    wide = texture_image(weave(), height=32, width=80, **options).output.pixels
    assert wide.shape == (3, 32, 80)
    again = texture_image(weave(), 100, **options).output.pixels
    assert torch.equal(plain, again)
    with pytest.raises(ValueError, match="loop of a picture needs a network of the VGG19 family"):
        texture_image(weave(), 64, loop=True, network="wide-random", steps=1)
    with pytest.raises(ValueError, match="--loop of a picture, see the image as a whole; drop --tile"):
        texture_image(weave(), 64, loop=True, tile=32, **options)


def test_a_loop_of_a_picture_has_no_seam() -> None:
    """Across its borders, a result changes as much as across any other line."""
    options: dict[str, Any] = {"network": "vgg19-lite", "finish_network": "", "steps": 30}

    def seam(loop: bool) -> float:
        pixels = texture_image(weave(seed=3), 64, loop=loop, **options).output.pixels
        inside = pixels.diff(dim=2).square().mean()
        return float((pixels[:, :, 0] - pixels[:, :, -1]).square().mean() / inside)

    assert seam(True) < 0.6 * seam(False)


def test_the_command_takes_pictures(cli: Callable[..., Outcome]) -> None:
    Image.fromarray((255 * weave()).astype(np.uint8)).save("s.png")
    options = ("--size", "64", "--loop", "--steps", "2", "--network", "vgg19-lite", "--quiet")
    assert cli("texture", "s.png", "-o", "t.png", *options).code == 0
    with Image.open("t.png") as made:
        assert made.size == (64, 48)
    outcome = cli("texture", "s.png", "-o", "u.png", "--duration", "2")
    assert outcome.code == 2
    assert "--duration is for sounds, and" in outcome.err
    assert not Path("u.png").exists()
    record = json.loads(Path("t.png.json").read_text(encoding="utf-8"))
    assert (record["medium"], record["recipe"]["loop"]) == ("image", True)


def test_command_line(cli: Callable[..., Outcome]) -> None:
    argv = ("texture", "s.wav", "-o", "out.wav", "--steps", "2", "--quiet", "--plot")
    for more, frames in ((("--duration", "0.7", "--loop"), 5600), (("--duration", "0.3", "--force"), 2400)):
        assert cli(*argv, *more).code == 0
        assert soundfile.info("out.wav").frames == frames
    assert json.loads(Path("out.wav.json").read_text())["recipe"]["strength"] == 1.0
    assert Path("out.figure.png").exists()
    wide = ("--network", "wide-random", "--n-filters", "16", "--canvas", "waveform", "--loop", "--force")
    assert cli(*argv, *wide, "--duration", "0.4").code == 0


@pytest.mark.parametrize("more", [{"mix": 0.5}, {"keep_band": ("0-200",)}, {"mask": "m.png"}])
def test_nothing_of_the_model_itself_comes_back(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="bring back the content, and a texture has none"):
        texture_audio(np.zeros(8000), 1.0, sample_rate=8000, **more)
