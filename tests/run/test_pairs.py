from __future__ import annotations

import numpy as np
import pytest
import torch

import specstyle
from specstyle.features import kernel
from specstyle.run import outlook, pairs

WIDTHS = (2, 8, 32)


@pytest.mark.parametrize(("frames", "style_frames"), [(300, 90), (70, 200), (66, 64)])
def test_pairs_are_those_that_the_kernel_looks_at(
    monkeypatch: pytest.MonkeyPatch, frames: int, style_frames: int
) -> None:
    monkeypatch.setattr(pairs, "BLOCK", 64)
    looked_at = 0
    block_sums = kernel._block_sums

    def counted(a: torch.Tensor, b: torch.Tensor, *more: object) -> object:
        nonlocal looked_at
        looked_at += a.shape[1] * b.shape[1]
        return block_sums(a, b, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(kernel, "_block_sums", counted)
    x, y = torch.rand(1, frames, 5), torch.rand(1, style_frames, 5)
    ones = torch.ones(3, 1)
    kernel.square_mean(x, x, ones, WIDTHS, block=64)
    assert looked_at == pairs.own_pairs(frames, WIDTHS)
    looked_at = 0
    kernel.square_mean(x, y, ones, WIDTHS, block=64)
    assert looked_at == pairs.style_pairs(frames, style_frames, WIDTHS)


def test_a_block_is_timed_with_its_gradient() -> None:
    own, other = pairs.seconds_per_pair(torch.rand(1, 1, 20, 300), WIDTHS)
    # A pair costs some 30 operations for each width: nanoseconds, less on many cores, and no second. 3e-10
    # was seen on two; 1e-13 would be 1e15 operations a second.
    assert 1e-13 < other < 1e-3
    assert 1e-13 < own < 1e-3


def test_memory_of_blocks_grows_with_the_length_up_to_a_block() -> None:
    sizes = [pairs.block_bytes(1, frames, WIDTHS) for frames in (100, 1000, 2000, 100_000)]
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3] < 2**28
    assert pairs.block_bytes(2, 100, WIDTHS) == 2 * sizes[0]


def notes_on(seconds: float, **options: object) -> list[str]:
    notes: list[str] = []
    content, style = np.random.default_rng(0).normal(size=(2, 8000 * seconds)) * 0.1  # type: ignore[call-overload]

    def stop(_: object) -> None:
        raise specstyle.StopRun

    specstyle.transfer_audio(
        content,
        style,
        sample_rate=8000,
        on_note=notes.append,
        on_step=stop,
        **options,  # type: ignore[arg-type]
    )
    return [note for note in notes if note.startswith("time: ")]


def test_a_long_sound_is_told_with_what_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "LARGE_PAIRS", 1)
    monkeypatch.setattr(pairs, "seconds_per_pair", lambda image, widths: (1e-6, 1e-6))
    assert notes_on(4, steps=20) == []
    monkeypatch.setattr(pairs, "seconds_per_pair", lambda image, widths: (1e-5, 1e-5))
    (some,) = notes_on(4, steps=100)
    (double,) = notes_on(8, steps=100)
    minutes = [float(note.split("very roughly ")[1].split()[0]) for note in (some, double)]
    assert minutes[1] == pytest.approx(4 * minutes[0], rel=0.3)
    assert "wide-random" not in some
    monkeypatch.setattr(pairs, "seconds_per_pair", lambda image, widths: (1e-4, 1e-4))
    (long,) = notes_on(8, steps=100)
    assert "grows with the square of the length; --network wide-random" in long
    assert "Ctrl-C" in long
