"""Odd files, each with its outcome: the right values, or the exact kind of error, and never a silent loss."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from corpus import pictures, sounds
from specstyle.errors import FileError
from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound


def assert_one_line(message: str, name: str) -> None:
    assert "\n" not in message
    assert name in message
    assert len(message) < 400


@pytest.mark.parametrize("case", sounds.sound_cases(), ids=lambda case: case.name)
def test_sound(case: sounds.Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    if case.error:
        with pytest.raises(FileError, match=case.error) as caught:
            read_sound(path)
        assert_one_line(str(caught.value), case.name)
        return
    sound = read_sound(path)
    assert capfd.readouterr() == ("", "")
    said = "; ".join(sound.notes)
    assert re.search(case.note, said) if case.note else not said
    found = sound.samples.numpy().T[case.delay :]
    if case.more:
        found = found[: len(case.samples)]
    assert found.shape == case.samples.shape
    np.testing.assert_allclose(found, case.samples, rtol=0, atol=case.tolerance)


@pytest.mark.parametrize("case", pictures.picture_cases(), ids=lambda case: case.name)
def test_picture(case: pictures.Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    if case.error:
        with pytest.raises(FileError, match=case.error) as caught:
            read_picture(path)
        assert_one_line(str(caught.value), case.name)
        return
    picture = read_picture(path)
    assert capfd.readouterr() == ("", "")
    said = "; ".join(picture.notes)
    assert re.search(case.note, said) if case.note else not said
    found = picture.pixels.numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(found, case.pixels, rtol=0, atol=case.tolerance)


def test_the_page_counts_them() -> None:
    """docs/explanation/testing.md tells how many files of each kind there are."""
    page = (Path(__file__).parents[2] / "docs/explanation/testing.md").read_text(encoding="utf-8")
    odd_files = page.partition("## Odd files")[2].partition("\n## ")[0]
    told = re.findall(r"^\| [^|]+ \| (\d+) \| (\d+) \|", odd_files, re.MULTILINE)
    makers = (
        sounds.mpeg_cases, sounds.chunk_cases, sounds.ogg_cases, sounds.channel_cases, sounds.foreign_cases,
        pictures.tiff_cases, pictures.png_cases, pictures.jpeg_cases, pictures.foreign_cases,
    )  # fmt: skip
    kinds = [list(make()) for make in makers]
    assert told == [(str(len(cases)), str(sum(bool(c.error) for c in cases))) for cases in kinds]
