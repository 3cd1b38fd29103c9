"""Long sounds section by section: what a section sees, what joins two, what is told."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import specstyle
from specstyle import StopRun
from specstyle.engine.canvas import sections

RATE, HOP = 8000, 64
OPTIONS = {"network": "vgg19-lite", "section_s": 1.5, "steps": 12, "phase_iterations": 1, "sample_rate": RATE}


def noise(seconds: float, seed: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def run(content: np.ndarray, **options: Any) -> specstyle.Result:
    return specstyle.transfer_audio(content, noise(1.0, 9), **{**OPTIONS, **options})


def test_a_section_knows_nothing_of_later_ones() -> None:
    first, second = noise(1.5, 0), noise(1.2, 1)
    # The level is that of the whole, and backwards a sound has the same.
    options = {"init_noise_db": None, "equalize": False}
    one, other = (run(np.concatenate([first, s]), **options) for s in (second, second[::-1]))
    alone = sections(one.image.shape[3], round(1.5 * RATE / HOP), round(1.5 * RATE / HOP) // 4)[1][0]
    assert float((one.image - other.image)[..., :alone].abs().max()) < 1e-2  # rounding, after some steps
    assert float((one.image - other.image)[..., alone:].abs().max()) > 0.1
    assert one.record["steps"] == 3 * OPTIONS["steps"]


def test_no_seam_is_louder_than_what_changes_anyway() -> None:
    """Neighboring frames share three quarters of their samples: a cut would be a jump."""
    image = run(noise(5.0, 0)).image
    changes = (image[..., 1:] - image[..., :-1]).abs().mean((0, 1, 2))
    parts = sections(image.shape[3], round(1.5 * RATE / HOP), round(1.5 * RATE / HOP) // 4)
    assert len(parts) > 3
    for (_, stop), (start, _) in itertools.pairwise(parts):
        near = changes[start - 2 : stop + 2]
        assert float(near.max()) < 1.25 * float(torch.quantile(changes, 0.99))


def test_a_short_sound_is_one_section() -> None:
    whole, one = (run(noise(1.2, 0), section_s=length) for length in (None, 1.5))
    assert torch.equal(whole.image, one.image)


def test_stopped_in_the_first_section_the_rest_is_told() -> None:
    def stop(progress: specstyle.Progress) -> None:
        if progress.step == 5:
            assert (progress.part, progress.scales) == ("section", 2)
            assert progress.image().shape[3] > 1.5 * RATE / HOP
            raise StopRun

    result = run(noise(2.0, 0), on_step=stop)
    assert any("the rest is not stylized" in note for note in result.notes)
    assert result.record["stopped"]


def test_what_is_left_of_the_content_and_the_losses_are_means() -> None:
    result = run(noise(2.0, 0))
    assert all(0 < share <= 1 for share in result.record["content_left"].values())
    assert result.record["losses"]["end"]["style"] < 0.5 * result.record["losses"]["start"]["style"]


@pytest.mark.parametrize("options", [{"canvas": "waveform"}, {"smallest_scale": 32}])
def test_sections_are_for_one_scale_of_an_image(options: dict[str, Any]) -> None:
    record = run(noise(2.0, 0), steps=2, **options).record
    assert record["scales"][-1] == record["image_shape"][2:]
