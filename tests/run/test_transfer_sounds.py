"""Sounds by the library: what comes out, for what may come in."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import specstyle
from specstyle import RECIPES, Progress, Sound, StopRun, transfer_audio
from specstyle.engine.objective import Objective
from specstyle.files import sha256_of
from specstyle.media.loudness import loudness_lufs, true_peaks
from specstyle.run.api import TransferError

RATE = 8000
LENGTH = 4001
ESC10 = Path(__file__).parents[2].parent / "shared" / "data" / "esc10"
FAST: dict[str, Any] = {
    "network": "wide-random", "n_filters": 32, "steps": 3, "phase_iterations": 4,
    "equalize": False, "init_noise_db": None,
}  # fmt: skip
PEAK_LIMIT = 0.999


pytestmark = pytest.mark.usefixtures("one_thread")


def melody(length: int = LENGTH, rate: int = RATE, channels: int = 1) -> np.ndarray:
    t = np.arange(length) / rate
    rows = [0.3 * np.sin(2 * np.pi * (330 + 110 * c) * t * (1 + 0.3 * t)) for c in range(channels)]
    return np.stack(rows) + 1e-3 * np.random.default_rng(7).standard_normal((channels, length))


def rain(length: int = LENGTH, channels: int = 1, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, length))


def run(content: Any = None, style: Any = None, **options: Any) -> specstyle.Result:
    content = melody() if content is None else content
    style = rain() if style is None else style
    return transfer_audio(content, style, **{"sample_rate": RATE, **FAST, **options})


@pytest.fixture(params=["wide-random", "kernel"])
def each_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on an image with Griffin-Lim, and on the waveform itself (the default)."""
    monkeypatch.setitem(FAST, "network", request.param)
    if request.param == "kernel":
        monkeypatch.setitem(FAST, "equalize", True)
        monkeypatch.setitem(FAST, "init_noise_db", -20.0)


def rms(samples: torch.Tensor) -> torch.Tensor:
    centered = samples - samples.mean(-1, keepdim=True)
    return centered.square().mean(-1).sqrt()


def snr_db(x: torch.Tensor, y: torch.Tensor) -> float:
    return 10 * math.log10(float(x.square().sum()) / max(float((x - y).square().sum()), 1e-300))


def check(result: specstyle.Result, content: np.ndarray, rate: int = RATE) -> torch.Tensor:
    """Hold a result to what is promised of every sound."""
    samples = result.output.samples
    wanted = torch.as_tensor(np.atleast_2d(content), dtype=torch.float64)
    assert samples.dtype == torch.float64
    assert result.output.sample_rate == rate
    assert samples.shape == wanted.shape
    assert bool(samples.isfinite().all())
    assert float(samples.abs().max()) <= PEAK_LIMIT + 1e-12
    level = result.record["level"]
    # A limiter weighs halves of a wave unequally.
    even = 1e-9 if level["limited_db"] == 0.0 else 1e-2
    assert float(samples.mean(-1).abs().max()) <= even * max(1.0, float(samples.abs().max()))
    assert level["limited_db"] == 0.0 or level["mode"] == "match"
    if level["limited_db"] == 0.0:
        gain = 10 ** (level["gain_db"] / 20)  # of all channels alike
        assert torch.allclose(rms(samples), rms(wanted) * gain, rtol=1e-6, atol=1e-12)
    return samples


# -- what may come in ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("length", [4000, 4001, 4095, 4097, 5003])
def test_any_length(length: int) -> None:
    content = melody(length)
    check(run(content), content)


@pytest.mark.usefixtures("each_network")
def test_exactly_one_window() -> None:
    content, style = melody(512), rain(512)
    check(run(content, style, n_fft=512), content)
    with pytest.raises(specstyle.SpecstyleError, match="511 samples"):
        run(melody(511), style, n_fft=512)
    with pytest.raises(specstyle.SpecstyleError, match="511 samples"):
        run(content, rain(511), n_fft=512)


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels(channels: int) -> None:
    content = melody(channels=channels)
    samples = check(run(content), content)
    for one in range(1, channels):
        assert snr_db(samples[0], samples[one]) < 6  # distinct: not one channel copied


def test_channels_do_not_mix() -> None:
    """Each channel of a pair becomes what it becomes alone (the loss is their mean, so only nearly)."""
    content = melody(channels=2)
    # Any start but the content's phase is common to all channels.
    options: dict[str, Any] = {"optimizer": "adam", "lr": 0.02, "phase": "content"}
    pair = run(content, **options).output.samples
    for channel in range(2):
        alone = run(content[channel], **options).output.samples[0]
        other = run(content[1 - channel], **options).output.samples[0]
        assert snr_db(alone, pair[channel]) > 20
        assert snr_db(other, pair[channel]) < 6


@pytest.mark.usefixtures("each_network")
def test_swapped_channels_give_swapped_channels() -> None:
    content = melody(channels=2)
    # Without the noise, which has channels of its own.
    pair = (run(c, init_noise_db=None) for c in (content, content[::-1].copy()))
    straight, swapped = (result.output.samples for result in pair)
    assert snr_db(straight, swapped.flip(0)) > 40


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("right", [1.0, -1.0, 0.3])
def test_what_stands_in_one_place_stays_there(right: float) -> None:
    """One signal on both channels, in phase or not, comes out as one signal: also what fills its gaps."""
    content = melody()[:1] * np.array([[1.0], [right]])
    options = {"recipe": "default-audio", "network": "vgg19-lite", "init_noise_db": 0.0, "equalize": True}
    result = run(content, steps=6, **options)
    left, other = result.output.samples.numpy()
    assert np.corrcoef(left, other)[0, 1] * np.sign(right) > 0.99
    level = np.sqrt(np.mean(other**2) / np.mean(left**2))
    assert level == pytest.approx(abs(right), rel=0.02)


def test_a_silent_channel_stays_silent() -> None:
    content = melody(channels=2)
    content[1] = 0
    samples = check(run(content), content)
    assert not samples[1].any()
    assert samples[0].any()


@pytest.mark.usefixtures("each_network")
def test_a_silent_channel_of_the_style_says_nothing() -> None:
    half = rain(channels=2)
    half[1] = 0
    assert torch.equal(run(style=half).output.samples, run(style=half[:1]).output.samples)


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize(("content_channels", "style_channels"), [(2, 1), (1, 2), (3, 2), (2, 3)])
def test_other_numbers_of_channels_in_the_style(content_channels: int, style_channels: int) -> None:
    content = melody(channels=content_channels)
    check(run(content, rain(channels=style_channels)), content)
    check(run(content, rain(channels=style_channels), init="style"), content)


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("length", [900, 20_000])
def test_a_shorter_or_longer_style(length: int) -> None:
    content = melody()
    check(run(content, rain(length)), content)
    check(run(content, rain(length), init="style"), content)


def test_length_of_the_style_hardly_matters() -> None:
    losses = [
        run(style=rain(n, seed=3), steps=1, n_filters=128).record["losses"]["start"]["style"]
        for n in (16_000, 64_000)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("style_rate", [11025, 22050, 48000, 6000])
def test_a_style_at_another_rate(style_rate: int) -> None:
    content = melody()
    style = Sound(torch.from_numpy(rain(style_rate)), style_rate, name="style")
    result = run(content, style)
    check(result, content)
    assert result.record["styles"][0]["sample_rate"] == style_rate


def test_a_style_is_resampled_and_not_reread_at_another_pitch() -> None:
    """A 1 kHz tone at 24 kHz is the same style as at 8 kHz."""
    tones = {
        rate: Sound(torch.from_numpy(np.sin(2 * np.pi * 1000 / rate * np.arange(2 * rate))[None]), rate)
        for rate in (8000, 24000)
    }
    starts = {
        r: run(style=s, steps=1, n_filters=128).record["losses"]["start"]["style"] for r, s in tones.items()
    }
    assert starts[8000] == pytest.approx(starts[24000], rel=0.02)


def test_a_style_shorter_than_a_window_after_resampling_is_refused() -> None:
    """2048 samples at 48 kHz are one window there, but a sixth of one at the content's 8 kHz."""
    style = Sound(torch.from_numpy(rain(2048)), 48000, name="short.wav")
    with pytest.raises(specstyle.SpecstyleError, match="style"):
        run(style=style, n_fft=2048)


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("working_rate", [4000, 11025, 16000])
def test_another_working_rate(working_rate: int) -> None:
    content = melody(4003)
    check(run(content, working_rate=working_rate), content)


@pytest.mark.usefixtures("each_network")
def test_forms_of_input_are_equal(tmp_path: Path) -> None:
    content, style = melody(), rain()
    for name, samples in (("c.wav", content), ("s.wav", style)):
        soundfile.write(tmp_path / name, samples.T, RATE, subtype="DOUBLE")
    paths = (tmp_path / "c.wav", tmp_path / "s.wav")
    forms: list[tuple[Any, Any]] = [
        (content, style),
        (content[0], [style[0]]),
        (torch.from_numpy(content), torch.from_numpy(style[0])),
        (torch.from_numpy(content).requires_grad_(), (torch.from_numpy(style),)),
        paths,
        (str(paths[0]), str(paths[1])),
        (Sound(torch.from_numpy(content), RATE), Sound(torch.from_numpy(style), RATE)),
        (paths[0], style),
    ]
    first, *others = [run(*form).output.samples for form in forms]
    for other in others:
        assert torch.equal(first, other)


@pytest.mark.usefixtures("each_network")
def test_single_precision_arrays() -> None:
    content = melody().astype(np.float32)
    check(run(content, torch.from_numpy(rain()).float()), content)


def test_inputs_are_not_changed() -> None:
    content, style = melody(), rain()
    before = content.copy(), style.copy()
    run(torch.from_numpy(content), torch.from_numpy(style))
    np.testing.assert_array_equal(content, before[0])
    np.testing.assert_array_equal(style, before[1])


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run()
    assert list(tmp_path.iterdir()) == []


# -- level ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("exponent", [-7, -20, 1, 6])
def test_loudness_of_the_content_does_not_count(exponent: int) -> None:
    level = "rms" if exponent > 0 else "match"
    content = 0.1 * melody()
    quiet = run(content * 2.0**exponent, level=level).output.samples * 2.0**-exponent
    samples = run(content, level=level).output.samples
    if exponent > 0:  # the peak limit takes both down
        quiet, samples = quiet / rms(quiet)[:, None], samples / rms(samples)[:, None]
    assert snr_db(samples, quiet) > 120


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("exponent", [-7, 3])
def test_loudness_of_the_style_does_not_count(exponent: int) -> None:
    assert torch.equal(run(style=rain() * 2.0**exponent).output.samples, run().output.samples)


@pytest.mark.usefixtures("each_network")
def test_a_loud_content_is_scaled_and_not_clipped() -> None:
    """A square-like wave at full scale: at its RMS, nearly any other sound has peaks beyond 1."""
    content = np.clip(20 * melody(), -1, 1)
    result = run(content, steps=5, level="rms")
    samples = check(result, content)
    assert result.record["level"]["gain_db"] < -0.1
    assert any("quieter than the content" in note for note in result.notes)
    assert float(samples.abs().max()) == pytest.approx(PEAK_LIMIT)
    assert int((samples.abs() > PEAK_LIMIT - 1e-6).sum()) <= 2


@pytest.mark.usefixtures("each_network")
def test_a_loud_content_is_limited_and_the_record_says_how_loud_it_is() -> None:
    content = np.clip(20 * melody(), -0.7, 0.7)
    result = run(content, steps=5)
    samples = check(result, content)
    level = result.record["level"]
    assert 0 < level["limited_db"] < 12
    loud = [loudness_lufs(x, RATE) for x in (samples.numpy(), content)]
    assert loud[1] - loud[0] == pytest.approx(level["quieter_db"], abs=1e-3)  # but for the content's mean
    top = max(10 ** (-1 / 20), float(true_peaks(content).max()))
    assert float(true_peaks(samples.numpy()).max()) <= top + 1e-12


def test_level_by_the_peak() -> None:
    content = melody()
    samples = run(content, level="peak").output.samples
    wanted = np.abs(content - content.mean()).max()
    assert float(samples.abs().max()) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.usefixtures("each_network")
def test_dc_of_the_content_does_not_come_out() -> None:
    content = 0.2 + 0.3 * melody()
    found = check(run(content), content)
    # One bit more or less of the content, over again in each step.
    assert snr_db(run(0.3 * melody()).output.samples, found) > 60


@pytest.mark.parametrize(
    "options",
    [
        {"network": "kernel", "canvas": "waveform", "equalize": True, "init_noise_db": -20.0},
        {"network": "kernel", "canvas": "waveform", "init": "style"},
        {"network": "kernel", "canvas": "waveform", "init": "noise", "strength": 1.0, "duration_s": 0.7},
        {"network": "kernel", "canvas": "waveform", "init": "noise", "strength": 1.0, "loop": True},
        {"network": "wide-random", "init": "style", "style_view": "mel24"},
        {"network": "wide-random", "balance": "gradient", "equalize": True, "init_noise_db": 0.0},
        {"network": "wide-random", "style_rate": 11025},
    ],
    ids=str,
)
def test_a_constant_in_the_style_does_not_matter(options: dict[str, Any]) -> None:
    asked = dict(options)
    rate = asked.pop("style_rate", RATE)
    styles = [Sound(torch.from_numpy(offset + 0.7 * rain(channels=2)), rate) for offset in (0.0, 0.02, -0.5)]
    found = [run(style=style, **asked).output.samples for style in styles]
    assert min(snr_db(found[0], other) for other in found[1:]) > 60


# -- what the weights do -------------------------------------------------------------------------------------


def test_the_style_loss_falls() -> None:
    losses = run(steps=30, n_filters=64, content_weight=0.0).record["losses"]
    assert losses["end"]["style"] < 0.1 * losses["start"]["style"]


@pytest.mark.usefixtures("each_network")
def test_the_ends_of_strength() -> None:
    content = melody(channels=2)
    assert "content" not in run(strength=1.0).record["losses"]["end"]
    result = run(content, strength=0.0, phase_iterations=16)
    check(result, content)
    wanted = torch.from_numpy(content)
    assert snr_db(wanted - wanted.mean(1, keepdim=True), result.output.samples) > 40
    assert "style" not in result.record["losses"]["end"]


@pytest.mark.parametrize(("kind", "other", "share"), [("content", "style", 0.2), ("style", "content", 1.0)])
def test_one_loss_alone_from_noise(kind: str, other: str, share: float) -> None:
    result = run(init="noise", phase="random", steps=40, **{f"{other}_weight": 0.0})
    check(result, melody())
    losses = result.record["losses"]
    assert other not in losses["end"]
    assert losses["end"][kind] < share * losses["start"][kind]


@pytest.mark.usefixtures("each_network")
@pytest.mark.parametrize("duration_s", [0.3, 1.7])
def test_a_texture_of_any_length(duration_s: float) -> None:
    result = run(strength=1.0, init="noise", duration_s=duration_s)
    samples = check(result, np.resize(melody(), (1, round(duration_s * RATE))))
    assert samples.shape[1] == round(duration_s * RATE)


@pytest.mark.parametrize(
    "options",
    [{}, {"strength": 1.0, "init": "content"}, {"init": "noise"}],
    ids=["neither", "init", "weight"],
)
def test_a_duration_is_for_textures(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="duration_s is for textures"):
        run(duration_s=2.0, **options)


@pytest.mark.parametrize("network", ["wide-random", "vgg19-random"])
def test_every_network_on_the_waveform(network: str) -> None:
    content = melody(channels=2)
    result = run(content, network=network, canvas="waveform", steps=6)
    check(result, content)
    losses = result.record["losses"]
    assert losses["end"]["style"] < 0.8 * losses["start"]["style"]
    assert "spectral_convergence_db" not in result.record


def test_blend_of_styles() -> None:
    one, two = rain(), melody(channels=1)[:, ::-1].copy()
    alone = run(style=one).output.samples
    assert torch.equal(run(style=[one, two], style_blend=(1, 0)).output.samples, alone)
    assert torch.equal(run(style=[two, one], style_blend=(0, 5)).output.samples, alone)
    even = run(style=[one, two]).output.samples
    assert torch.equal(run(style=[one, two], style_blend=(2, 2)).output.samples, even)
    assert not torch.equal(even, alone)
    assert snr_db(alone, run(style=[one, one]).output.samples) > 60


@pytest.mark.usefixtures("each_network")
def test_styles_of_other_rates_lengths_and_channels_blend() -> None:
    content = melody(channels=2)
    styles = [rain(), Sound(torch.from_numpy(rain(30_000, channels=3)), 44100), rain(700, channels=2)]
    result = run(content, styles, style_blend=(3, 1, 2))
    check(result, content)
    assert len(result.styles) == len(result.record["styles"]) == 3


# -- how -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["content", "style", "noise"])
@pytest.mark.parametrize("network", ["wide-random", "vgg19-random"])
def test_inits(init: str, network: str) -> None:
    result = run(init=init, network=network, steps=2)
    check(result, melody())
    assert result.record["recipe"]["init"] == init


@pytest.mark.usefixtures("each_network")
def test_init_from_a_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "start.flac", rain(9000, channels=2).T, 11025)
    content = melody(channels=3)
    result = run(content, init=str(tmp_path / "start.flac"))
    check(result, content)
    assert not torch.equal(result.output.samples, run(content).output.samples)


def test_init_from_the_content_as_a_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "c.wav", melody().T, RATE, subtype="DOUBLE")
    result = run(init=str(tmp_path / "c.wav"))
    assert snr_db(run().output.samples, result.output.samples) > 100


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "sgd"])
@pytest.mark.parametrize("network", ["wide-random", "vgg19-random"])
def test_optimizers(optimizer: str, network: str) -> None:
    lr = {"adam": 0.02, "lbfgs": 1.0, "sgd": 0.01}[optimizer]
    result = run(optimizer=optimizer, lr=lr, network=network, steps=4)
    check(result, melody())
    losses = result.record["losses"]
    assert losses["end"]["total"] < losses["start"]["total"]


@pytest.mark.parametrize("network", ["wide-random", "vgg19-random"])
@pytest.mark.parametrize("carry", ["image", "change"])
def test_coarse_to_fine(network: str, carry: str) -> None:
    seen: list[Progress] = []
    result = run(
        network=network,
        smallest_scale=20,
        scale_factor=2.0,
        carry=carry,
        steps=2,
        balance="weights",
        on_step=seen.append,
    )
    check(result, melody())
    scales = result.record["scales"]
    height, width = result.record["image_shape"][2:]
    assert len(scales) > 1
    assert scales[-1] == [height, width]
    assert all(a[1] < b[1] for a, b in itertools.pairwise(scales))
    assert all(s[0] == height for s in scales[:-1])  # whose frequencies each network sees as they are
    assert {p.scales for p in seen} == {len(scales)}
    assert [p.scale for p in seen] == sorted(p.scale for p in seen)
    assert [p.step for p in seen] == list(range(1, 2 * len(scales) + 1))
    assert {p.steps for p in seen} == {2 * len(scales)}
    assert result.record["steps"] == 2 * len(scales)


@pytest.mark.parametrize("options", [
    {"n_fft": 512}, {"n_fft": 300, "hop_length": 100}, {"n_fft": 512, "win_length": 400},
    {"window": "blackmanharris"}, {"log_gain": 100.0}, {"normalize_level": False},
    {"unit_scale": False, "clip": False}, {"phase": "zero"}, {"phase": "random"}, {"phase": "pghi"},
    {"phase_iterations": 0}, {"phase_momentum": 0.0}, {"filter_scaling": "fan_avg"},
], ids=str)  # fmt: skip
def test_options_of_the_medium(options: dict[str, Any]) -> None:
    content = melody(channels=2)
    result = run(content, **options)
    check(result, content)
    for name, value in options.items():
        assert result.record["recipe"][name] == value


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe(name: str) -> None:
    """Two steps; VGG19 to its fifth block needs 16 bins and frames for one position there, mel48 48 bins."""
    changes: dict[str, Any] = {"steps": 2, "phase_iterations": 2, "network": RECIPES[name].network}
    if RECIPES[name].sample_rate is None:
        changes |= {"n_fft": 128, "hop_length": 64}
    if changes["network"] == "wide-random" or {"relu1", "kernel2"} & set(RECIPES[name].style_layers):
        changes["n_filters"] = 32
    content = melody(2500, channels=2)
    if name == "keras-sgd":  # its learning rate is for 400 x 600 pixels
        changes["lr"] = 1.0
    seen: list[Progress] = []
    result = transfer_audio(
        content, rain(3000), sample_rate=RATE, recipe=name, on_step=seen.append, **changes
    )
    check(result, content)
    assert result.record["recipe"]["name"] == name
    assert result.record["recipe"]["source"] == RECIPES[name].source
    assert len(seen) == result.record["steps"]
    assert all(math.isfinite(v) for v in result.record["losses"]["end"].values())


@pytest.mark.parametrize("name", ["default", "default-audio-vgg19-random", "ulyanov2016"])
def test_the_same_twice(name: str) -> None:
    options: dict[str, Any] = {"recipe": name, "init": "noise", "phase": "random"}
    if "vgg" in name:
        options["network"] = "vgg19-random"
    first, second = run(**options), run(**options)
    assert torch.equal(first.output.samples, second.output.samples)
    one, two = ({**r.record, "seconds": 0} for r in (first, second))
    assert one == two
    other = run(**options, seed=1)
    assert not torch.equal(first.output.samples, other.output.samples)
    assert first.record["network"]["sha256"] != other.record["network"]["sha256"]


@pytest.mark.parametrize(("options", "differs"), [({"phase": "random"}, True), ({"phase": "content"}, False)])
def test_the_seed_alone_changes_what_is_random(options: dict[str, Any], differs: bool) -> None:
    """The style's own weight is 0, so the network's weights do not count."""
    pair = [run(strength=0.0, seed=s, **options).output.samples for s in (0, 1)]
    assert (snr_db(*pair) < 40) == differs


@pytest.mark.parametrize("start", ["content", "pghi", "random", "zero"])
@pytest.mark.parametrize("method", ["pghi-raar", "fast-griffin-lim", "griffin-lim"])
def test_the_record_names_method_and_start(method: str, start: str) -> None:
    record = run(phase_method=method, phase=start, steps=2, phase_iterations=2).record
    assert record["phase"] == {"method": method, "start": start}
    assert record["recipe"]["phase_method"] == method


def test_phase_iterations_help() -> None:
    reached = [
        run(phase_iterations=n, phase="random", steps=2).record["spectral_convergence_db"] for n in (1, 40)
    ]
    assert reached[1] < reached[0] - 3


# -- steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_each_step_is_a_value(optimizer: str) -> None:
    seen: list[Progress] = []
    images: list[torch.Tensor] = []
    sounds: list[Sound] = []

    def look(progress: Progress) -> None:
        seen.append(progress)
        images.append(progress.image())
        sounds.append(progress.result())

    result = run(on_step=look, optimizer=optimizer, lr=0.02, steps=5, level="rms")
    assert [p.step for p in seen] == [1, 2, 3, 4, 5]
    assert {(p.steps, p.scale, p.scales) for p in seen} == {(5, 1, 1)}
    for progress in seen:
        assert set(progress.losses) >= {"total", "content", "style", "style:relu1", "content:relu1"}
        assert progress.losses["total"] == pytest.approx(
            progress.losses["content"] + progress.losses["style"]
        )
    assert {tuple(i.shape) for i in images} == {tuple(result.record["image_shape"])}
    assert not torch.equal(images[0], images[-1])
    assert seen[0].losses == result.record["losses"]["start"]
    for sound in sounds:
        assert sound.samples.shape == (1, LENGTH)
        assert sound.sample_rate == RATE
        peak, wanted = float(sound.samples.abs().max()), float(rms(torch.from_numpy(melody())))
        assert float(rms(sound.samples)) == pytest.approx(wanted, rel=1e-6) or peak == pytest.approx(
            PEAK_LIMIT
        )


def test_looking_changes_nothing() -> None:
    def meddle(progress: Progress) -> None:
        progress.image().fill_(float("nan"))
        progress.result().samples.zero_()
        progress.losses.update(dict.fromkeys(progress.losses, 0.0))

    looked = run(on_step=meddle)
    assert torch.equal(looked.output.samples, run().output.samples)
    assert looked.record["losses"] == run().record["losses"]


def test_the_last_image_is_the_result() -> None:
    """With what was seen last, the same sound is made again."""
    last: list[Any] = []

    def look(progress: Progress) -> None:
        if not last or progress.losses["total"] < last[0]:
            last[:] = [progress.losses["total"], progress.result().samples]

    assert torch.equal(run(on_step=look, steps=6).output.samples, last[1])


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("stop_at", [1, 3])
def test_stop(optimizer: str, stop_at: int) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == stop_at:
            raise StopRun

    result = run(on_step=stop, optimizer=optimizer, lr=0.02, steps=10)
    check(result, melody())
    assert result.record["stopped"] is True
    assert result.record["steps"] == stop_at
    assert run().record["stopped"] is False


@pytest.mark.parametrize("network", ["wide-random", "vgg19-random"])
def test_a_loss_that_is_no_number_ends_the_run(network: str) -> None:
    with pytest.raises(TransferError, match=r"NaN or infinite at step [2-4]") as caught:
        run(optimizer="sgd", lr=1e30, clip=False, steps=6, network=network)
    result = caught.value.result
    assert result is not None
    check(result, melody())
    assert all(math.isfinite(v) for v in result.record["losses"]["end"].values())
    json.dumps(result.record, allow_nan=False)


class Poison:
    """An objective that becomes NaN at its n-th evaluation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.count = 0
        true = Objective.value_and_grad

        def poisoned(objective: Objective, image: torch.Tensor) -> Any:
            self.count += 1
            losses, gradient = true(objective, image)
            if self.count == at:
                losses = {k: v * float("nan") for k, v in losses.items()}
            return losses, gradient

        monkeypatch.setattr(Objective, "value_and_grad", poisoned)


def test_a_first_loss_that_is_no_number_leaves_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    Poison(monkeypatch, 1)
    with pytest.raises(TransferError, match="at step 1") as caught:
        run()
    assert caught.value.result is None


@pytest.mark.parametrize("at", [4, 5])
def test_nan_at_a_later_scale_keeps_what_earlier_scales_reached(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps a scale: the fourth evaluation of all is the first of the second scale."""
    Poison(monkeypatch, at)
    scales: dict[str, Any] = {"smallest_scale": 20, "scale_factor": 2.0, "steps": 3}
    with pytest.raises(TransferError, match=f"at step {at}") as caught:
        run(network="vgg19-random", optimizer="adam", lr=0.01, **scales)
    assert caught.value.result is not None
    check(caught.value.result, melody())
    assert caught.value.result.record["steps"] == at - 1


# -- the record ----------------------------------------------------------------------------------------------


def test_record(tmp_path: Path) -> None:
    notes: list[str] = []
    result = run(melody(channels=2), on_note=notes.append, seed=5, style_blend=(1.0,))
    record = result.record
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["specstyle"] == specstyle.__version__
    assert record["medium"] == "audio"
    recipe = specstyle.Recipe().replace(**record["recipe"])
    assert recipe == RECIPES["default-audio-wide"].replace(**FAST, style_blend=(1.0,))
    assert record["content"] == {
        "sample_rate": RATE, "channels": 2, "samples": LENGTH, "duration_s": LENGTH / RATE
    }  # fmt: skip
    assert record["styles"] == [
        {"sample_rate": RATE, "channels": 1, "samples": LENGTH, "duration_s": LENGTH / RATE}
    ]
    assert record["network"]["name"] == "wide-random"
    assert len(record["network"]["sha256"]) == 64
    assert record["seed"] == 5
    assert record["device"].startswith(("cpu", "cuda", "mps"))
    assert record["torch"] == torch.__version__
    for when in ("start", "end"):
        assert {"total", "content", "style"} <= set(record["losses"][when])
    assert record["steps"] == FAST["steps"]
    assert -300 <= record["spectral_convergence_db"] < -5
    assert record["phase"]["method"] == "pghi-raar"
    assert record["phase"]["start"] in ("content", "pghi")
    assert record["seconds"] > 0
    assert record["level"]["mode"] == "match"
    assert set(record["level"]) == {"mode", "gain_db", "limited_db", "quieter_db"}
    assert tuple(record["notes"]) == result.notes == tuple(notes)
    assert result.content.samples.shape == (2, LENGTH)
    assert not list(tmp_path.iterdir())


def test_a_request_by_hand() -> None:
    request = specstyle.Request("audio", melody(), [rain()], overrides=FAST, sample_rate=RATE)
    assert torch.equal(specstyle.transfer(request).output.samples, run().output.samples)
    with pytest.raises(ValueError, match="smell"):
        specstyle.transfer(dataclasses.replace(request, medium="smell"))
    with pytest.raises(ValueError, match="style"):
        specstyle.transfer(dataclasses.replace(request, styles=()))


def test_partial_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    state = {
        "features.0.weight": 0.2 * torch.randn(64, 3, 3, 3, generator=generator),
        "features.0.bias": torch.zeros(64),
    }
    save_file(state, tmp_path / "w.safetensors", {"preprocessing": "caffe"})
    layers = {"style_layers": ("conv1_1",), "content_layers": ("relu1_1",)}
    result = run(weights=tmp_path / "w.safetensors", network="vgg19", **layers)
    check(result, melody())
    network = result.record["network"]
    assert network["name"] == "vgg19"
    assert network["preprocessing"] == "caffe"
    assert network["sha256"] == sha256_of(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="relu3_1"):
        run(weights=tmp_path / "w.safetensors", network="vgg19")


@pytest.mark.skipif(not ESC10.is_dir(), reason="the recordings of shared/data/esc10 are not here")
def test_recordings() -> None:
    content = specstyle.media.soundfiles.read_sound(ESC10 / "rooster-1-27724-A.ogg")
    start = int(content.samples.abs().argmax()) - 4000
    clip = dataclasses.replace(content, samples=content.samples[:, max(start, 0) : max(start, 0) + 22051])
    result = transfer_audio(
        clip, ESC10 / "rain-1-29561-A.ogg", **{**FAST, "n_filters": 64, "steps": 5, "phase_iterations": 8}
    )
    check(result, clip.samples.numpy(), 44100)
    losses = result.record["losses"]
    assert losses["end"]["style"] < 0.7 * losses["start"]["style"]
    assert result.record["spectral_convergence_db"] < -10
