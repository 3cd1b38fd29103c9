"""The waveform as a canvas, and equalizing."""

from pathlib import Path

import numpy as np
import pytest
import torch

import specstyle
from specstyle.errors import RecipeError
from specstyle.media.audio import AudioSettings, SoundCodec, WaveformCanvas
from specstyle.media.equalize import equalize, long_term_power
from specstyle.media.soundfiles import write_sound
from specstyle.media.sounds import Sound
from specstyle.media.stft import StftSettings, auto_stft

RATE = 8000


def sounds(channels: int = 1) -> tuple[Sound, Sound]:
    rng = np.random.default_rng(0)
    t = np.arange(4001) / RATE
    tone = 0.4 * np.sin(2 * np.pi * 700 * t) * (t < 0.3) + 0.02 * rng.normal(size=(channels, t.size))
    noise = 0.1 * np.cumsum(rng.normal(size=(channels, 4801)), axis=1)
    return tuple(Sound(torch.from_numpy(x - x.mean(1, keepdims=True)), RATE) for x in (tone, noise))  # type: ignore[return-value]


@pytest.mark.parametrize("normalize", [True, False])
def test_it_makes_the_image_that_the_medium_encodes(normalize: bool) -> None:
    content, _ = sounds(2)
    settings = AudioSettings(normalize_level=normalize)
    encoded = SoundCodec(settings).encode(content)
    canvas = WaveformCanvas(encoded, settings)
    assert torch.allclose(canvas.image(), encoded.image, atol=2e-4)
    assert canvas.bounds() is None
    back = canvas.sound(canvas.parameters()[0].detach()).samples
    scale = content.samples.square().mean(1, keepdim=True).sqrt()
    assert torch.allclose(back * scale, content.samples, atol=1e-5)


def test_silence_has_a_finite_gradient() -> None:
    samples = torch.zeros(1, 4000, dtype=torch.float64)
    samples[:, 2000:] = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settings = AudioSettings()
    canvas = WaveformCanvas(SoundCodec(settings).encode(Sound(samples, RATE)), settings)
    canvas.image().square().sum().backward()
    (parameter,) = canvas.parameters()
    assert parameter.grad is not None
    assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("canvas", ["waveform", "image"])
def test_the_kernel_network_brings_the_style_nearer(canvas: str) -> None:
    content, style = sounds(2)
    result = specstyle.transfer_audio(content, style, network="kernel", canvas=canvas, steps=8, level="rms")
    assert result.output.samples.shape == content.samples.shape
    losses = result.record["losses"]
    assert losses["end"]["style"] < 0.5 * losses["start"]["style"]
    assert ("spectral_convergence_db" in result.record) == (canvas == "image")
    rms = [x.square().mean(1).sqrt() for x in (result.output.samples, content.samples)]
    gain = 10 ** (result.record["level"]["gain_db"] / 20)
    assert torch.allclose(rms[0], gain * rms[1], rtol=1e-3)


def test_strength_moves_the_kernel_from_content_to_style() -> None:
    content, style = sounds()
    ends = [
        specstyle.transfer_audio(content, style, network="kernel", strength=u, steps=8).record["losses"][
            "end"
        ]
        for u in (0.0, 1.0)
    ]
    assert "style" not in ends[0]
    assert "content" not in ends[1]


@pytest.mark.parametrize("init", ["content", "style", "noise", "file"])
def test_where_the_waveform_starts(init: str, tmp_path: Path) -> None:
    """One evaluation without a change shows the start: the first image is the start's own."""
    content, style = sounds()
    stereo = Sound(style.samples[:, :3000].repeat(2, 1), RATE, "FLOAT")  # other length and channels
    write_sound(stereo, tmp_path / "start.wav")
    seen: list[torch.Tensor] = []
    specstyle.transfer_audio(
        content,
        style,
        network="kernel",
        init=str(tmp_path / "start.wav") if init == "file" else init,
        equalize=False,
        init_noise_db=None,
        steps=1,
        on_step=lambda progress: seen.append(progress.image()),
    )
    encode = SoundCodec(AudioSettings(unit_scale=False)).encode
    length = content.samples.shape[1]
    looped = (style.samples[:, :3000] - style.samples[:, :3000].mean()).repeat(1, 2)[:, :length]
    centered = style.samples - style.samples.mean()
    wanted = {"content": content.samples, "style": centered[:, :length], "file": looped}
    if init == "noise":
        assert float(seen[0].std(3).mean() / seen[0].mean()) > 0.2
        # The style's long-term spectrum; both images are divided by their own levels, and the clip is short.
        found, style_s = (
            image[0, 0, 5:190].expm1().square().mean(1) for image in (seen[0], encode(style).image)
        )
        ratio_db = 10 * (found / style_s).log10()
        assert float(ratio_db.median().abs()) < 3.0
        assert float(ratio_db.std()) < 3.0
    else:
        image = encode(Sound(wanted[init], RATE)).image
        torch.testing.assert_close(seen[0], image, rtol=0, atol=2e-2)


def test_the_waveform_has_one_scale() -> None:
    content, style = sounds()
    with pytest.raises(RecipeError, match="canvas waveform has one scale"):
        specstyle.transfer_audio(content, style, network="kernel", smallest_scale=64, steps=1)


def fill_silence(canvas: str, init_noise_db: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Stylize a quarter of a second of sound and then silence; return the silence's samples and image."""
    content, style = sounds()
    samples = torch.zeros(1, 12_000, dtype=torch.float64)
    samples[:, :2000] = content.samples[:, :2000]
    images: list[torch.Tensor] = []
    result = specstyle.transfer_audio(
        Sound(samples, RATE),
        style,
        network="kernel",
        canvas=canvas,
        init_noise_db=init_noise_db,
        steps=8,
        on_step=lambda progress: images.append(progress.image()),
    )
    return result.output.samples[0, 5120:10880], images[-1][:, :, :, 80:170]


def test_noise_at_the_start_keeps_a_waveform_from_buzzing() -> None:
    """Without it digital silence becomes the same frame again and again: a tone that no style has."""
    lag = 2 * auto_stft(RATE).hop_length
    alike = []
    for level in (None, -20.0):
        x, _ = fill_silence("waveform", level)
        x = torch.diff(x)  # the style is deep brown noise, alike at any small lag
        alike.append(float((x[lag:] * x[:-lag]).sum() / x.square().sum()))
    assert alike[0] > 0.5
    assert abs(alike[1]) < 0.2


def test_noise_at_the_start_makes_the_frames_of_an_image_differ() -> None:
    spread = [
        image.std(3).mean() / image.mean() for _, image in (fill_silence("image", d) for d in (None, -20.0))
    ]
    assert spread[0] < 0.02
    assert spread[1] > 0.1


def test_the_noise_has_the_level_asked_for() -> None:
    content, style = sounds(2)
    starts: list[torch.Tensor] = []
    for level in (None, -30.0, -20.0):
        specstyle.transfer_audio(
            content,
            style,
            network="kernel",
            equalize=False,
            init_noise_db=level,
            steps=1,
            on_step=lambda progress: starts.append(progress.result().samples),
        )
    plain = starts[0]
    for start, level in zip(starts[1:], (-30.0, -20.0), strict=True):
        # The result has the content's RMS again: find the noise as what is not the content.
        share = (start * plain).sum(1, keepdim=True) / plain.square().sum(1, keepdim=True)
        noise = (start - share * plain).square().mean(1) / (share * plain).square().mean(1)
        assert torch.allclose(10.0 * noise.log10(), torch.tensor(level, dtype=torch.float64), atol=0.5)


def test_equalizing_halfway() -> None:
    """Half the amount is half the way in decibels; none is the content but for its faded ends."""
    content, style = sounds()
    stft = StftSettings(512, 128, 512)
    before, half, after = (
        np.log10(long_term_power(equalize(content, style, amount=a, settings=stft), stft))
        for a in (0.0, 0.5, 1.0)
    )
    assert np.abs(after - before).mean() > 1.0
    assert np.abs(half - (before + after) / 2).mean() < 0.05
    blended = equalize(content, [style, style], blend=(1.0, 2.0))
    assert torch.allclose(blended.samples, equalize(content, style).samples)
    none = equalize(content, style, amount=0.0, settings=stft)
    torch.testing.assert_close(none.samples[:, 100:-100], content.samples[:, 100:-100], rtol=0, atol=1e-9)
