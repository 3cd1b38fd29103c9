"""Every kind of file in and out, and one clear line for each that cannot be."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
import soundfile
import torch

from specstyle.errors import FileError
from specstyle.media.soundfiles import check_output_fits, check_output_suffix, read_sound, write_sound
from specstyle.media.sounds import Sound, check_sound, resample


def noise(channels: int = 2, length: int = 3000, *, seed: int = 0, peak: float = 0.9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return peak * (2 * torch.rand(channels, length, generator=generator, dtype=torch.float64) - 1)


def assert_one_line(caught: pytest.ExceptionInfo[FileError], path: Path) -> None:
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        (".wav", "PCM_U8"),
        (".wav", "PCM_16"),
        (".wav", "PCM_24"),
        (".wav", "PCM_32"),
        (".wav", "FLOAT"),
        (".wav", "DOUBLE"),
        (".wav", "ULAW"),
        (".flac", "PCM_16"),
        (".flac", "PCM_24"),
        (".aiff", "PCM_S8"),
        (".aiff", "PCM_16"),
        (".aiff", "FLOAT"),
        (".ogg", "VORBIS"),
        (".ogg", "OPUS"),
        (".mp3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_reads(tmp_path: Path, suffix: str, subtype: str, channels: int) -> None:
    path = tmp_path / f"a{suffix}"
    x = noise(channels, 5000)
    soundfile.write(path, x.numpy().T, 48000, subtype)
    sound = read_sound(path)
    assert (sound.sample_rate, sound.subtype, sound.name) == (48000, subtype, path.name)
    assert sound.samples.dtype == torch.float64
    expected, _ = soundfile.read(path, always_2d=True)
    np.testing.assert_array_equal(sound.samples.numpy(), expected.T)
    assert sound.samples.shape == (channels, 5000)


@pytest.mark.parametrize(
    ("subtype", "dtype"), [("PCM_16", np.int16), ("PCM_32", np.int32), ("PCM_U8", np.uint8)]
)
def test_written_numbers_are_rounded(tmp_path: Path, subtype: str, dtype: type) -> None:
    """libsndfile on its own cuts off; SciPy reads the numbers themselves."""
    path = tmp_path / "a.wav"
    x = noise(3, 4000)
    x[:, :3] = torch.tensor([1.0, -1.0, 0.0])
    write_sound(Sound(x, 44100, subtype), path)
    rate, numbers = scipy.io.wavfile.read(path)
    bits = np.iinfo(dtype).bits
    offset = 128 if subtype == "PCM_U8" else 0
    # torch.round is not NumPy's rint; full scale becomes the largest number and never the most negative one
    expected = torch.round(x * 2 ** (bits - 1)).clamp(max=2 ** (bits - 1) - 1).numpy() + offset
    assert (rate, numbers.dtype) == (44100, dtype)
    np.testing.assert_array_equal(numbers.T, expected)


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [
        (".wav", "PCM_24", 2**-23),
        (".flac", "PCM_24", 2**-23),
        (".flac", "PCM_16", 2**-15),
        (".flac", "PCM_S8", 2**-7),
    ],
)
def test_written_samples_are_the_nearest(tmp_path: Path, suffix: str, subtype: str, step: float) -> None:
    path = tmp_path / f"a{suffix}"
    x = noise()
    write_sound(Sound(x, 44100, subtype), path)
    back = read_sound(path)
    assert back.subtype == subtype
    assert float((back.samples - x).abs().max()) <= step / 2 * 1.000001
    write_sound(back, tmp_path / f"b{suffix}")
    assert torch.equal(read_sound(tmp_path / f"b{suffix}").samples, back.samples)


@pytest.mark.parametrize(
    ("subtype", "suffix", "written"),
    [
        ("PCM_S8", ".wav", "PCM_U8"),
        ("PCM_U8", ".flac", "PCM_S8"),
        ("FLOAT", ".flac", "PCM_24"),
        ("DOUBLE", ".wav", "DOUBLE"),
        ("PCM_32", ".flac", "PCM_24"),
        ("MPEG_LAYER_III", ".wav", "PCM_16"),
        ("VORBIS", ".wav", "PCM_16"),
        ("OPUS", ".flac", "PCM_16"),
        ("IMA_ADPCM", ".wav", "PCM_16"),
        ("ALAC_24", ".wav", "PCM_24"),
        (None, ".wav", "PCM_16"),
        ("PCM_16", ".ogg", "VORBIS"),
        ("OPUS", ".ogg", "OPUS"),
        ("ULAW", ".wav", "ULAW"),
    ],
)
def test_subtype_is_kept_or_its_neighbor(tmp_path: Path, subtype: str, suffix: str, written: str) -> None:
    path = tmp_path / f"A{suffix.upper()}"
    write_sound(Sound(noise(), 48000, subtype), path)
    back = read_sound(path)
    assert (back.subtype, back.samples.shape) == (written, (2, 3000))


@pytest.mark.parametrize(
    ("suffix", "channels"), [(".wav", 1), (".wav", 6), (".wav", 30), (".flac", 8), (".ogg", 6)]
)
@pytest.mark.parametrize("rate", [8000, 44101, 192000])
def test_channels_and_rates(tmp_path: Path, suffix: str, channels: int, rate: int) -> None:
    path = tmp_path / f"a{suffix}"
    write_sound(Sound(noise(channels, 500), rate, "PCM_24"), path)
    back = read_sound(path)
    assert (back.sample_rate, tuple(back.samples.shape)) == (rate, (channels, 500))


@pytest.mark.parametrize(
    ("suffix", "channels", "rate", "message"),
    [
        (".flac", 9, 44100, "8 channels, and the sound has 9; write .wav or .ogg"),
        (".ogg", 300, 44100, "255 channels, and the sound has 300; write .wav"),
        (".wav", 1025, 44100, "1024 channels, and the sound has 1025; split it"),
        (".flac", 1, 700_000, "at most 655350 Hz"),
        (".flac", 1, 65_537, "only whole tens"),
        (".ogg", 1, 192_001, "at most 192000 Hz"),
    ],
)
def test_impossible_channels_and_rates(
    tmp_path: Path, suffix: str, channels: int, rate: int, message: str
) -> None:
    path = tmp_path / f"a{suffix}"
    sound = Sound(noise(channels, 50), rate)
    for refuse in (check_output_fits, write_sound):
        with pytest.raises(FileError, match=message) as caught:
            refuse(sound, path)
        assert_one_line(caught, path)


@pytest.mark.parametrize(
    ("suffix", "channels", "rate"),
    [(".flac", 8, 655_350), (".flac", 1, 65_535), (".wav", 1024, 1), (".ogg", 255, 192_000)],
)
def test_the_limits_themselves_are_possible(tmp_path: Path, suffix: str, channels: int, rate: int) -> None:
    write_sound(Sound(noise(channels, 50), rate), tmp_path / f"a{suffix}")


def test_long_vorbis(tmp_path: Path) -> None:
    """Written at once, three million samples crash libsndfile 1.2.2."""
    x = noise(1, 3_000_000)
    write_sound(Sound(x, 44100), tmp_path / "a.ogg")
    assert soundfile.info(tmp_path / "a.ogg").frames == 3_000_000


def test_float_files_are_equal_at_any_time(tmp_path: Path) -> None:
    """libsndfile writes the second of the day into float files."""
    sound = Sound(noise(1, 100) * 3, 44100, "FLOAT")  # floats may go beyond 1
    write_sound(sound, tmp_path / "a.wav")
    time.sleep(1.1)
    write_sound(sound, tmp_path / "b.wav")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav").samples, sound.samples, rtol=1e-7)


def test_nothing_is_clipped_silently(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(FileError, match=r"peak is 1\.5 ") as caught:
        write_sound(Sound(noise(1, 9).sign() * 1.5, 44100, "PCM_16"), path)
    assert_one_line(caught, path)
    with pytest.raises(FileError, match="NaN"):
        write_sound(Sound(noise(1, 9) * float("nan"), 44100, "FLOAT"), path)
    assert not path.exists()


def test_output_suffix() -> None:
    kinds = {
        "wav": "WAV",
        "FLAC": "FLAC",
        "Ogg": "OGG",
        "opus": "OGG",
        "mp3": "MP3",
        "aif": "AIFF",
        "aiff": "AIFF",
    }
    assert {s: check_output_suffix(f"x.{s}") for s in kinds} == kinds
    for name in ("x.m4a", "x", "x.wav.txt", ".wav"):
        with pytest.raises(FileError, match=r"\.wav, \.flac, \.ogg, \.opus, \.mp3 or \.aiff"):
            check_output_suffix(name)
    with pytest.raises(FileError, match=r"\.wav, \.flac"):
        write_sound(Sound(noise(), 44100), Path("x.m4a"))


def test_disk_full_in_the_middle(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        for suffix, subtype in ((".wav", "PCM_16"), (".wav", "FLOAT"), (".flac", None), (".ogg", None)):
            with pytest.raises(FileError, match="too large"):
                write_sound(Sound(noise(2, 200_000), 44100, subtype), tmp_path / f"a{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Traceback" not in capfd.readouterr().err


def test_unwritable_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="No such file or directory"):
        write_sound(Sound(noise(), 44100), tmp_path / "none" / "a.wav")
    (tmp_path / "dir.wav").mkdir()
    with pytest.raises(FileError, match="directory"):
        write_sound(Sound(noise(), 44100), tmp_path / "dir.wav")

    write_sound(Sound(noise(), 44100), tmp_path / "a.wav")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    for action in (lambda p: write_sound(Sound(noise(), 44100), p), read_sound):
        with pytest.raises(FileError, match="Permission denied") as caught:
            action(tmp_path / "a.wav")
        assert_one_line(caught, tmp_path / "a.wav")


@pytest.mark.parametrize("position", range(0, 60, 3))
def test_damaged_headers_never_crash(tmp_path: Path, position: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1, 200).numpy().T, 44100, "PCM_16")
    whole = path.read_bytes()
    for value in (0, 1, 127, 255):
        path.write_bytes(whole[:position] + bytes([value]) * 3 + whole[position + 3 :])
        with contextlib.suppress(FileError):
            assert read_sound(path).samples.shape[0] >= 1


def test_odd_file_names(tmp_path: Path) -> None:
    name = os.fsdecode(b"na\xefve \xe2\x99\xab.wav")  # not UTF-8
    write_sound(Sound(noise(), 44100), tmp_path / name)
    assert read_sound(tmp_path / name).samples.shape == (2, 3000)


def test_check_sound() -> None:
    x = noise(2, 500)
    check_sound(Sound(x, 8000), role="content", min_samples=500)
    one_silent = x.clone()
    one_silent[1] = 0
    check_sound(Sound(one_silent, 8000), role="content", min_samples=500)
    broken = x.clone()
    broken[1, 40] = float("nan")
    broken[0, 90] = float("inf")
    for samples, message in (
        (x[:, :0], "no samples"),
        (x[:, :499], "499 samples.*needs 500"),
        (broken, "2 samples that are NaN or infinite, the first at sample 40"),
        (x * 0, "silence"),
        (x * 0 + 0.1, "same value"),
        (torch.tensor([[0.1], [0.2]]).double().expand(2, 500), "same value"),
    ):
        with pytest.raises(FileError, match=message) as caught:
            check_sound(Sound(samples, 8000, name="bell.wav"), role="content", min_samples=500)
        assert str(caught.value).startswith("bell.wav (content)")


def test_sound_refuses() -> None:
    for samples in (torch.zeros(5).double(), torch.zeros(1, 5), torch.zeros(0, 5).double()):
        with pytest.raises(ValueError, match="float64 of shape"):
            Sound(samples, 8000)
    for rate in (0, -1, 44100.0, True):
        with pytest.raises(ValueError, match="sample_rate"):
            Sound(torch.zeros(1, 5).double(), rate)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "new"), [(44100, 22050), (22050, 48000), (8000, 8001)])
def test_resample_keeps_a_tone(rate: int, new: int) -> None:
    def tones(at: int) -> torch.Tensor:
        t = torch.arange(at, dtype=torch.float64) / at
        return torch.stack([torch.sin(2 * torch.pi * 440 * t), torch.cos(2 * torch.pi * 1000 * t)])

    changed = resample(Sound(tones(rate), rate, "PCM_24", "a"), new)
    assert (changed.sample_rate, changed.subtype, changed.name) == (new, "PCM_24", "a")
    assert abs(changed.samples.shape[1] - new) <= 1
    middle = slice(new // 4, new // 2)  # VHQ is good to 28 bits away from the ends
    torch.testing.assert_close(changed.samples[:, middle], tones(new)[:, middle], rtol=0, atol=1e-6)


def test_resample_to_the_same_rate_is_the_same_sound() -> None:
    sound = Sound(noise(), 44100)
    assert resample(sound, 44100) is sound
    with pytest.raises(ValueError, match="sample_rate"):
        resample(sound, 0)
