"""The waveform as a canvas, and equalizing."""

import numpy as np
import pytest
import torch

import specstyle
from specstyle.errors import RecipeError
from specstyle.media.audio import AudioSettings, SoundMedium
from specstyle.media.equalize import equalize, long_term_power
from specstyle.media.sounds import Sound
from specstyle.media.stft import StftSettings
from specstyle.media.waveform import WaveformCanvas

RATE = 8000


def sounds(channels: int = 1) -> tuple[Sound, Sound]:
    rng = np.random.default_rng(0)
    t = np.arange(4001) / RATE
    tone = 0.4 * np.sin(2 * np.pi * 700 * t) * (t < 0.3) + 0.02 * rng.normal(size=(channels, t.size))
    noise = 0.1 * np.cumsum(rng.normal(size=(channels, 4801)), axis=1)
    return tuple(Sound(torch.from_numpy(x - x.mean(1, keepdims=True)), RATE) for x in (tone, noise))  # type: ignore[return-value]


@pytest.mark.parametrize("compression", ["log1p", "db"])
@pytest.mark.parametrize("normalize", [True, False])
def test_it_makes_the_image_that_the_medium_encodes(compression: str, normalize: bool) -> None:
    content, _ = sounds(2)
    settings = AudioSettings(compression=compression, normalize_level=normalize)  # type: ignore[arg-type]
    encoded = SoundMedium(settings).encode(content)
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
    canvas = WaveformCanvas(SoundMedium(settings).encode(Sound(samples, RATE)), settings)
    canvas.image().square().sum().backward()
    (parameter,) = canvas.parameters()
    assert parameter.grad is not None
    assert torch.isfinite(parameter.grad).all()


def test_equalizing_gives_the_long_term_spectrum() -> None:
    content, style = sounds()
    stft = StftSettings(512, 128, 512)
    wanted = long_term_power(style, stft)
    before = np.abs(np.log10(long_term_power(content, stft) / wanted)).mean()
    after = np.abs(np.log10(long_term_power(equalize(content, style), stft) / wanted)).mean()
    assert after < 0.2 * before
    blended = equalize(content, [style, style], blend=(1.0, 2.0))
    assert torch.allclose(blended.samples, equalize(content, style).samples)


@pytest.mark.parametrize("canvas", ["waveform", "image"])
def test_the_kernel_network_brings_the_style_nearer(canvas: str) -> None:
    content, style = sounds(2)
    result = specstyle.transfer_audio(content, style, network="kernel", canvas=canvas, steps=8)
    assert result.output.samples.shape == content.samples.shape
    losses = result.record["losses"]
    assert losses["end"]["style"] < 0.5 * losses["start"]["style"]
    assert ("spectral_convergence_db" in result.record) == (canvas == "image")
    rms = [x.square().mean(1).sqrt() for x in (result.output.samples, content.samples)]
    assert torch.allclose(*rms, rtol=1e-3)


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


def test_the_waveform_starts_from_content_or_noise() -> None:
    content, style = sounds()
    with pytest.raises(RecipeError, match="content or noise"):
        specstyle.transfer_audio(content, style, network="kernel", init="style", steps=1)
    result = specstyle.transfer_audio(content, style, network="kernel", init="noise", steps=2)
    assert result.record["steps"] == 2
