"""Spectrogram files: what is written comes back, and what is wrong is said in one line."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from specstyle.errors import FileError
from specstyle.media.phase import spectral_convergence_db
from specstyle.media.sounds import Sound
from specstyle.media.spectrogramfile import (
    invert_spectrogram,
    load_spectrogram,
    save_spectrogram,
    spectrogram_of,
)
from specstyle.media.stft import StftSettings, stft

SETTINGS = StftSettings(256, 64, 200, "hamming")


def sound(length: int = 3001) -> Sound:
    samples = torch.randn(2, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Sound(0.1 * samples, 8000, "PCM_16", "noise.wav")


def test_comes_back(tmp_path: Path) -> None:
    save_spectrogram(tmp_path / "s.npz", spectrogram_of(sound(), SETTINGS))
    loaded = load_spectrogram(tmp_path / "s.npz")
    assert (loaded.settings, loaded.length, loaded.sample_rate) == (SETTINGS, 3001, 8000)
    assert loaded.name == "s.npz"
    torch.testing.assert_close(
        loaded.magnitude, stft(sound().samples, SETTINGS).abs().float(), rtol=0, atol=0
    )


def test_numpy_reads_it_alone(tmp_path: Path) -> None:
    save_spectrogram(str(tmp_path / "S.NPZ"), spectrogram_of(sound(), SETTINGS))
    with np.load(tmp_path / "S.NPZ", allow_pickle=False) as arrays:
        assert arrays["magnitude"].dtype == np.float32
        assert arrays["magnitude"].shape == (2, 129, 48)
        values = {key: arrays[key].item() for key in arrays.files if key != "magnitude"}
    assert values == {
        "sample_rate": 8000,
        "n_fft": 256,
        "hop_length": 64,
        "win_length": 200,
        "window": "hamming",
        "length": 3001,
    }


@pytest.mark.parametrize("start", ["auto", "random"])
@pytest.mark.parametrize("method", ["pghi-raar", "griffin-lim"])
def test_inverts(tmp_path: Path, method: Any, start: Any) -> None:
    save_spectrogram(tmp_path / "s.npz", spectrogram_of(sound(), SETTINGS))
    loaded = load_spectrogram(tmp_path / "s.npz")
    back, found = invert_spectrogram(loaded, method=method, start=start, iterations=20, seed=1)
    assert (back.samples.shape, back.sample_rate, back.name) == ((2, 3001), 8000, "s")
    own = spectral_convergence_db(back.samples.float(), loaded.magnitude, SETTINGS)
    assert found.spectral_convergence_db == pytest.approx(own, abs=1e-3)
    assert found.spectral_convergence_db < -10.0
    assert (found.method, found.start) == (method, "pghi" if start == "auto" else start)
    again, _ = invert_spectrogram(loaded, method=method, start=start, iterations=20, seed=1)
    other, _ = invert_spectrogram(loaded, method=method, start=start, iterations=20, seed=2)
    assert torch.equal(again.samples, back.samples)
    assert torch.equal(other.samples, back.samples) == (start == "auto")


def arrays(**changes: Any) -> dict[str, Any]:
    whole = {
        "magnitude": np.ones((1, 129, 17), np.float32),
        "sample_rate": 8000,
        "n_fft": 256,
        "hop_length": 64,
        "length": 1000,
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def test_others_may_leave_out_what_has_a_default(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", **arrays(magnitude=np.ones((129, 17)), n_fft=256.0))
    loaded = load_spectrogram(tmp_path / "s.npz")
    assert loaded.magnitude.shape == (1, 129, 17)
    assert loaded.settings == StftSettings(256, 64, 256)


def spoiled(value: float) -> np.ndarray[Any, Any]:
    magnitude = np.ones((1, 129, 17))
    magnitude[0, 3, 4] = value
    return magnitude


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magnitude": None}, "no array 'magnitude'"),
        ({"length": None}, "no array 'length'"),
        ({"magnitude": np.ones((129, 17, 1, 1))}, "shape \\[129, 17, 1, 1\\]"),
        ({"magnitude": np.ones((1, 128, 17))}, "128 bins; n_fft 256 makes n_fft / 2 \\+ 1 = 129"),
        ({"magnitude": np.ones((1, 129, 16))}, "need \\[..., 129 bins, 17 frames\\]"),
        ({"n_fft": 2**40}, "129 bins; n_fft 1099511627776"),
        ({"magnitude": np.ones((1, 129, 17), complex)}, "type complex128"),
        ({"magnitude": np.ones((0, 129, 17))}, "shape \\[0, 129, 17\\]"),
        ({"magnitude": spoiled(np.nan)}, "1 magnitudes that are negative, NaN or infinite"),
        ({"magnitude": spoiled(-0.5)}, "1 magnitudes"),
        ({"magnitude": spoiled(1e300)}, "1 magnitudes"),
        ({"length": 1064}, "18 frames"),
        ({"length": 0}, "length 0"),
        ({"length": 10.5}, "length 10.5"),
        ({"n_fft": np.nan}, "n_fft nan"),
        ({"sample_rate": "fast"}, "sample_rate that is no number"),
        ({"hop_length": np.array([64, 64])}, "hop_length that is no number"),
        ({"hop_length": 256}, "hop_length is 256"),
        ({"window": 3}, "window that is no word"),
        ({"window": "glass"}, "window is 'glass'"),
        ({"window": np.array({"a": 1}, dtype=object)}, "plain arrays"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "s.npz", **arrays(**changes))
    with pytest.raises(FileError, match=message) as caught:
        load_spectrogram(tmp_path / "s.npz")
    assert "\n" not in str(caught.value)
    assert "s.npz" in str(caught.value)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.savez(whole, **arrays())
    damaged = bytearray(whole.getvalue())
    damaged[len(damaged) // 2] ^= 0xFF
    locked = bytearray(whole.getvalue())
    locked[locked.index(b"PK\1\2") + 8] |= 1  # the flag of encryption, which zipfile tells as RuntimeError
    contents = {
        "empty.npz": b"",
        "text.npz": b"hello\n" * 100,
        "cut.npz": whole.getvalue()[:-200],
        "flipped.npz": bytes(damaged),
        "locked.npz": bytes(locked),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=f"{name} is no .npz file") as caught:
            load_spectrogram(tmp_path / name)
        assert "\n" not in str(caught.value)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(FileError, match="single array"):
        load_spectrogram(tmp_path / "one.npy")
    with pytest.raises(FileError, match="No such file"):
        load_spectrogram(tmp_path / "missing.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path, tmp_path / "pipe.npz"):
        with pytest.raises(FileError, match="cannot be read: it is no plain file"):
            load_spectrogram(path)


def test_wrong_sounds_and_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"\.npz"):
        save_spectrogram(tmp_path / "s.wav", spectrogram_of(sound(), SETTINGS))
    with pytest.raises(FileError, match="cannot be written"):
        save_spectrogram(tmp_path / "no" / "s.npz", spectrogram_of(sound(), SETTINGS))
    with pytest.raises(FileError, match="no samples"):
        spectrogram_of(sound(0), SETTINGS)
    bad = sound()
    bad.samples[0, 3] = torch.nan
    with pytest.raises(FileError, match="NaN"):
        spectrogram_of(bad, SETTINGS)
    with pytest.raises(FileError, match="too loud"):
        spectrogram_of(Sound(1e38 * torch.ones(1, 900).double(), 8000), SETTINGS)
    good = spectrogram_of(sound(), SETTINGS)
    for spoiled, message in ((-good.magnitude, "negative"), (good.magnitude[:, 1:], "129 bins")):
        with pytest.raises(ValueError, match=message):
            save_spectrogram(tmp_path / "s.npz", replace(good, magnitude=spoiled))
    assert not list(tmp_path.iterdir())
