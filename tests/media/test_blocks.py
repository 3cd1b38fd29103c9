from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specstyle.media import blocks
from specstyle.media.stft import StftSettings, istft, stft


def signal(channels: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randn(channels, length, generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=30)
@given(
    channels=st.integers(1, 3), length=st.integers(1, 700), frames=st.integers(1, 9), hop=st.integers(1, 16)
)
def test_blocks_are_the_whole(channels: int, length: int, frames: int, hop: int) -> None:
    transform, x = StftSettings(32, hop, 32), signal(channels, length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", frames * 32 * channels)
        parts = list(blocks.stft_blocks(x, transform))
        magnitude = blocks.stft_magnitude(x, transform)
        gains = torch.linspace(0.1, 3.0, transform.n_bins, dtype=torch.float64)
        filtered = blocks.shaped(x, lambda first, count: gains[:, None], transform)
    whole = stft(x, transform)
    assert [first for first, _ in parts] == list(range(0, whole.shape[2], frames))
    torch.testing.assert_close(torch.cat([spec for _, spec in parts], 2), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(magnitude, whole.abs(), rtol=1e-12, atol=1e-12)
    expected = istft(whole * gains[:, None], transform, length)
    torch.testing.assert_close(filtered, expected, rtol=1e-10, atol=1e-10)
