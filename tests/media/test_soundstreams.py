"""What a file says beside its samples: channels, tags; and films, and files that grow without end."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from corpus.sounds import VORBIS, WAV_ORDER, encoded, in_vorbis_order, mpeg_cases, noise, sound_cases
from hypothesis import given
from hypothesis import strategies as st

from specstyle.errors import FileError
from specstyle.media import mpeg, soundfiles
from specstyle.media.soundfiles import read_sound, write_sound
from specstyle.media.sounds import Part, Sound, mask_of

MPEG = list(mpeg_cases())

TAGS = {"title": "Title", "artist": "A", "album": "B", "date": "2020", "tracknumber": "3", "genre": "G",
        "comment": "Cafe", "copyright": "me", "license": "CC0"}  # fmt: skip


@pytest.mark.parametrize("subtype", [None, "OPUS"])
@pytest.mark.parametrize("channels", VORBIS)
def test_ogg_is_written_in_vorbis_order(channels: int, subtype: str | None, tmp_path: Path) -> None:
    loud = torch.arange(1, channels + 1, dtype=torch.float64)[:, None] / 20
    if channels >= 6:
        loud[3] = 0  # the low-frequency channel is encoded as such
    x = loud * torch.randn(channels, 48000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    write_sound(Sound(x, 48000, subtype), tmp_path / "a.ogg")
    stored = (soundfile.read(tmp_path / "a.ogg")[0] ** 2).mean(0)
    assert list(stored.argsort()) == list(in_vorbis_order(loud.numpy().T)[0].argsort())


@pytest.mark.parametrize(
    ("channels", "mask"), [(1, 0x8), (2, 0x600), (4, 0x107), (6, 0x60F), (6, 0x3F), (8, 0x63F)]
)
def test_the_mask_of_a_wav_is_kept(channels: int, mask: int, tmp_path: Path) -> None:
    content = bytearray(encoded(noise(100, channels), "WAVEX", "PCM_16"))
    struct.pack_into("<I", content, 40, mask)
    (tmp_path / "a.wav").write_bytes(content)
    sound = read_sound(tmp_path / "a.wav")
    assert sound.channel_mask == mask
    write_sound(sound, tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_bytes()[40:44] == struct.pack("<I", mask)
    assert torch.equal(read_sound(tmp_path / "b.wav").samples, sound.samples)


def test_surround_of_ogg_becomes_a_wav_with_its_mask(tmp_path: Path) -> None:
    bits = dict(zip(WAV_ORDER, (0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x100, 0x200, 0x400), strict=True))
    for channels, names in VORBIS.items():
        soundfile.write(tmp_path / "a.ogg", noise(5000, channels), 44100)
        write_sound(read_sound(tmp_path / "a.ogg"), tmp_path / "a.wav")
        mask = struct.unpack("<I", (tmp_path / "a.wav").read_bytes()[40:44])[0]
        assert mask == sum(bits[name] for name in names.split())


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [(".wav", "license"), (".flac", ""), (".ogg", ""), (".opus", ""), (".mp3", "copyright, license"),
     (".aiff", "album, date, genre, license, tracknumber")],
)  # fmt: skip
def test_tags_are_kept_or_told(suffix: str, lost: str, tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 48000, 1) as file:
        for name, value in TAGS.items():
            setattr(file, name, value)
        file.write(noise(5000))
    notes = write_sound(read_sound(tmp_path / "a.flac"), tmp_path / f"b{suffix}")
    assert notes == (
        (f"{'AIFF' if suffix == '.aiff' else suffix[1:].upper()} does not keep these tags: {lost}",)
        if lost
        else ()
    )
    kept = dict(read_sound(tmp_path / f"b{suffix}").tags)
    assert {n: kept.get(n) for n in TAGS if n not in lost.split(", ")} == {
        n: v for n, v in TAGS.items() if n not in lost.split(", ")
    }


def test_a_part_beyond_what_a_header_guesses(tmp_path: Path) -> None:
    case = next(c for c in sound_cases() if c.name == "var-44100-1-noxing.mp3")
    (tmp_path / case.name).write_bytes(case.content)
    whole = read_sound(tmp_path / case.name).samples
    part = read_sound(tmp_path / case.name, Part(1.5, 0.4)).samples
    assert torch.equal(part, whole[:, 66150 : 66150 + 17640])


def test_opus_has_few_rates_and_mp3_not_all(tmp_path: Path) -> None:
    x = 0.1 * torch.sin(torch.arange(44100, dtype=torch.float64) * 0.1)[None]
    assert "48000 Hz" in write_sound(Sound(x, 44100), tmp_path / "a.opus")[0]
    assert read_sound(tmp_path / "a.opus").samples.shape == (1, 48000)
    with pytest.raises(FileError, match="no sample rate of 96000 Hz"):
        write_sound(Sound(x, 96000), tmp_path / "a.mp3")
    with pytest.raises(FileError, match="at most 2 channels"):
        write_sound(Sound(x.expand(3, -1), 44100), tmp_path / "a.mp3")
    write_sound(Sound(x, 44100), tmp_path / "a.mp3")
    write_sound(Sound(x, 44100), tmp_path / "b.mp3")
    assert (tmp_path / "a.mp3").read_bytes() == (tmp_path / "b.mp3").read_bytes()
    assert read_sound(tmp_path / "a.mp3").samples.shape == x.shape


def test_a_file_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundfiles, "MAX_BYTES", 1 << 20)
    soundfile.write(tmp_path / "bomb.flac", np.zeros(3_000_000), 44100)
    with pytest.raises(FileError, match=r"grows to more than \d+ MiB"):
        read_sound(tmp_path / "bomb.flac")
    assert read_sound(tmp_path / "bomb.flac", Part(60.0, 1.0)).samples.shape == (1, 44100)
    soundfile.write(tmp_path / "noise.flac", noise(200_000), 44100)  # beyond the limit, but not by much
    assert read_sound(tmp_path / "noise.flac").samples.shape == (1, 200_000)


# -- beside FFmpeg -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        c
        for c in sound_cases()
        if c.name.endswith(("noxing.mp3", "-id3.mp3", "-id3v1.mp3", "-junk.mp3", "bis.ogg")) and not c.note
    ],
    ids=lambda c: c.name,
)
def test_the_same_as_ffmpeg(case: object, tmp_path: Path) -> None:
    """An independent decoder of the same files: as long, and as far as floats of 32 bits agree."""
    av = pytest.importorskip("av", reason="needs PyAV (the extra `film`)")
    path = tmp_path / case.name
    path.write_bytes(case.content)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="dbl")
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
        channels = len(case.samples[0])
        expected = np.concatenate([frame.to_ndarray().reshape(-1, channels) for frame in frames]).T
    found = read_sound(path).samples.numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("suffix", "container", "codec", "form"),
    [("m4a", "ipod", "alac", "s16p"), ("m4a", "ipod", "aac", "fltp"), ("webm", "webm", "libopus", "s16"),
     ("wv", "wv", "wavpack", "s16p"), ("mov", "mov", "pcm_s16le", "s16")],
)  # fmt: skip
def test_films(suffix: str, container: str, codec: str, form: str, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs PyAV (the extra `film`)")
    numbers = (32767 * noise(48000, 2)).astype(np.int16)
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=48000, layout="stereo")
        stream.codec_context.format = av.AudioFormat(form)
        frame = av.AudioFrame.from_ndarray(numbers.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    sound = read_sound(path)
    assert sound.sample_rate == 48000
    assert not sound.notes
    found, length = sound.samples.numpy().T, 48000
    if codec in ("aac", "libopus"):  # coded in frames, the first one an encoder's delay
        assert length <= len(found) <= length + 2048
        assert np.sqrt((found**2).mean()) == pytest.approx(np.sqrt((noise(48000, 2) ** 2).mean()), rel=0.3)
    else:
        np.testing.assert_array_equal(found, numbers / 32768)
    assert torch.equal(read_sound(path, Part(0.5, 0.25)).samples, sound.samples[:, 24000:36000])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("channels", VORBIS)
def test_surround_is_in_the_same_order_whatever_file_holds_it(
    channels: int, subtype: str, tmp_path: Path
) -> None:
    """The very packets of an Ogg file in Matroska: a tone of its own in each channel, from WAV's first on."""
    av = pytest.importorskip("av", reason="needs PyAV (the extra `film`)")
    tones = 40 * 2 ** (torch.arange(channels, dtype=torch.float64)[:, None] / 2)
    x = 0.2 * torch.sin(2 * torch.pi * tones * torch.arange(48000) / 48000)
    write_sound(Sound(x, 48000, subtype), tmp_path / "a.ogg")
    with av.open(str(tmp_path / "a.ogg")) as ogg, av.open(str(tmp_path / "a.mkv"), "w") as mkv:
        track = mkv.add_stream_from_template(ogg.streams.audio[0])
        for packet in ogg.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                mkv.mux(packet)
    masks = set()
    for name in ("a.ogg", "a.mkv"):
        sound = read_sound(tmp_path / name)
        spectra = torch.fft.rfft(sound.samples[:, 4800:28800]).abs()  # 2 Hz apart
        np.testing.assert_allclose(2 * spectra.argmax(1), tones[:, 0], atol=2)
        masks.add(sound.channel_mask)
    assert len(masks) == 1


@pytest.mark.parametrize(
    ("names", "mask"),
    [("FL FR FC LFE SL SR", 0x60F), ("FC", 0x4), ("FL FR", 0x3), ("DL DR", None), ("FR FL", None)],
)
def test_mask_of(names: str, mask: int | None) -> None:
    assert mask_of(names.split()) == mask


def test_a_film_without_pyav_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.m4a").write_bytes(b"\x00\x00\x00\x18ftypM4A " + bytes(200))
    with pytest.raises(
        FileError, match=r"is an MP4 or M4A file, which needs .*pip install 'specstyle\[film\]'"
    ):
        read_sound(tmp_path / "a.m4a")


@given(st.lists(st.tuples(st.integers(0, 5), st.binary(min_size=1, max_size=300)), max_size=4))
def test_what_stands_between_frames_changes_none_of_them(junk: list[tuple[int, bytes]]) -> None:
    """Where three and more follow each other: fewer could be chance."""
    case = next(c for c in MPEG if c.name == "con-8000-1-noxing.mp3")
    [clean] = mpeg.streams(case.content)
    size = clean.largest  # at a constant bit rate and 8 kHz all frames are as large
    assert len(case.content) == size * clean.n_frames == size * 30
    content = bytearray(case.content)
    for place, data in sorted(junk, reverse=True):
        content[5 * size * place : 5 * size * place] = data.replace(b"\xff", b"\xfe")
    [found] = mpeg.streams(bytes(content))
    assert found.n_frames == clean.n_frames
    assert found.data == clean.data


def silence(av: Any, length: int) -> Any:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, length), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48000, 0
    return frame


def test_a_films_tag_that_is_no_text(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs PyAV (the extra `film`)")
    with av.open(str(tmp_path / "a.m4a"), "w", format="ipod") as file:
        file.metadata["title"] = "some letters"
        stream = file.add_stream("aac", rate=48000, layout="mono")
        for packet in [*stream.encode(silence(av, stream.frame_size or 1024)), *stream.encode(None)]:
            file.mux(packet)
    content = (tmp_path / "a.m4a").read_bytes()
    (tmp_path / "b.m4a").write_bytes(content.replace(b"some letters", b"some\xff\xfeetters"))
    sound = read_sound(tmp_path / "b.m4a")
    assert dict(sound.tags)["title"] == "some\ufffd\ufffdetters"
    write_sound(sound, tmp_path / "c.flac")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff"])
@pytest.mark.parametrize("length", [0, 1999, 2001, 6001, 9000, 20_000])
def test_no_tag_spoils_a_file(suffix: str, length: int, tmp_path: Path) -> None:
    """An MP3's empty title failed the result; long comments made Opus and AIFF that nobody could read."""
    tags = tuple((name, "y" * length) for name in TAGS)
    sound = Sound(torch.zeros(1, 4000, dtype=torch.float64), 16000, tags=tags)
    notes = " ".join(write_sound(sound, path := tmp_path / f"a{suffix}"))
    again = read_sound(path)
    assert again.samples.shape[1] >= 4000
    for name, value in tags:
        assert dict(again.tags).get(name, "") == ("" if name in notes else value)
