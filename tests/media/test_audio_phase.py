"""The phase of decoded sounds: which method runs, from which start."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from specstyle.media.audio import AudioSettings, SoundCodec
from specstyle.media.inversion import METHODS, InversionResult, griffin_lim
from specstyle.media.sounds import Sound
from specstyle.media.stft import stft

LENGTH = 64 * 120


pytestmark = pytest.mark.usefixtures("one_thread")


def stereo() -> Sound:
    """A rising tone, and the same with noise."""
    noise = torch.randn(2, LENGTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.arange(LENGTH, dtype=torch.float64) / 8000
    tone = torch.sin(2 * torch.pi * (300 * t + 800 * t**2)) + 0.05 * noise[0]
    return Sound(0.1 * torch.stack([tone, tone + 0.2 * noise[1]]), 8000)


def decode(image_of: Sound, content: Sound, **settings: Any) -> tuple[Sound, InversionResult]:
    medium = SoundCodec(AudioSettings(256, 64, **settings))
    image = medium.encode(image_of, dtype=torch.float64).image
    return medium.decode_with_report(image, medium.encode(content, dtype=torch.float64))[:2]


def test_each_method_is_better_than_the_next() -> None:
    """The image of another sound, which the content's phase fits badly."""
    sound = stereo()
    other = Sound(sound.samples.flip(-1), 8000)
    found = {}
    for method in METHODS:
        decoded, found[method] = decode(other, sound, phase_method=method, phase_iterations=32)
        assert decoded.samples.shape == sound.samples.shape
        assert (found[method].method, found[method].start) == (method, "pghi")
    values = [found[method].spectral_convergence_db for method in METHODS]
    print(dict(zip(METHODS, values, strict=True)))
    assert values[0] < values[1] - 0.5
    assert values[1] < values[2] - 1.0


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_named_griffin_lim_is_griffin_lim(momentum: float) -> None:
    """The recipes of old: content's phase and a momentum."""
    sound = Sound(stereo().samples[:1], 8000)
    medium = SoundCodec(
        AudioSettings(256, 64, phase="content", phase_method="fast-griffin-lim", phase_momentum=momentum,
                      phase_iterations=5, unit_scale=False)
    )  # fmt: skip
    encoded = medium.encode(sound, dtype=torch.float64)
    image = encoded.image.roll(30, dims=3)
    _, found, _ = medium.decode_with_report(image, encoded)
    spec = stft(encoded.context.working(), encoded.context.stft)
    plain = griffin_lim(
        torch.expm1(image[:, 0]), encoded.context.stft, LENGTH, iterations=5, momentum=momentum, phase=spec
    )
    torch.testing.assert_close(found.waveform, plain.waveform, rtol=0, atol=1e-10)


def test_starts_from_the_content_if_that_is_closer() -> None:
    sound = stereo()
    decoded, found = decode(sound, sound, phase_iterations=4)
    assert found.start == "content"
    assert found.spectral_convergence_db < -200.0
    torch.testing.assert_close(decoded.samples, sound.samples, rtol=0, atol=1e-10)
    forced, found = decode(sound, sound, phase_iterations=4, phase="pghi")
    assert found.start == "pghi"
    assert not torch.allclose(forced.samples, sound.samples, rtol=0, atol=1e-3)
