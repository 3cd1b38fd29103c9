"""Ogg pages, against a checksum computed bit by bit, and against libsndfile's own files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from specstyle.media import containers
from specstyle.media.soundfiles import read_sound, write_sound
from specstyle.media.sounds import Sound


def checksum_bit_by_bit(data: bytes) -> int:
    """The division of RFC 3533, section 6, one bit at a time."""
    register = 0
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register >> 31 else 0)
            register &= 0xFFFFFFFF
    return register


@given(st.binary(max_size=200))
def test_checksum(data: bytes) -> None:
    assert containers.page_checksum(data) == checksum_bit_by_bit(data)


def written_by_libsndfile(subtype: str, n: int = 200_000) -> io.BytesIO:
    file = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal((n, 2))
    with soundfile.SoundFile(file, "w", 48000, 2, subtype, format="OGG") as sound:
        sound.write(noise)
    return file


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_two_files_become_one(subtype: str) -> None:
    first, second = written_by_libsndfile(subtype), written_by_libsndfile(subtype)
    assert first.getvalue() != second.getvalue()  # the reason for all this
    before = soundfile.read(io.BytesIO(first.getvalue()))[0]
    containers.set_serial(first)
    containers.set_serial(second)
    assert first.getvalue() == second.getvalue()
    assert np.array_equal(soundfile.read(io.BytesIO(first.getvalue()))[0], before)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_sound_written_twice(subtype: str, tmp_path: Path) -> None:
    noise = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((2, 30_000)))
    for name in ("a.ogg", "b.ogg"):
        write_sound(Sound(noise, 48000, subtype), tmp_path / name)
    assert (tmp_path / "a.ogg").read_bytes() == (tmp_path / "b.ogg").read_bytes()
    assert read_sound(tmp_path / "a.ogg").samples.shape == noise.shape
