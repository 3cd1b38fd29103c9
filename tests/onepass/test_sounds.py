"""Sound networks: block by block, on streams, at the ends of strength, from files."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

import specstyle
from specstyle.cli.main import main
from specstyle.media.sounds import Sound
from specstyle.onepass.playing import LATENCY, Player, long_term_power, play
from specstyle.onepass.soundnetwork import AHEAD, SAMPLE_RATE, STFT, SoundStyleNetwork, impulses, spectra_of
from specstyle.onepass.streaming import stream
from specstyle.onepass.stylefile import Style, load_style, save_style
from specstyle.recipes import RECIPES, to_dict

pytestmark = pytest.mark.usefixtures("one_thread")


def network(styles: int = 2) -> SoundStyleNetwork:
    """One that no one trained, but whose parts all do something."""
    torch.manual_seed(0)
    made = SoundStyleNetwork(styles).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.03 * torch.randn_like(parameter))
    made.spectra[1:] = torch.linspace(2.0, 0.0, STFT.n_bins)
    return made


def style(styles: int = 2) -> Style:
    described = tuple({"name": name, "sha256": "0" * 64} for name in "ab"[:styles])
    chosen = "a" if styles == 1 else None
    return Style(network(styles), "audio", to_dict(RECIPES["default-audio"]), described, chosen)


def noise(length: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(channels, length, generator=generator)


def played(samples: torch.Tensor, pieces: list[int], strength: float = 0.7) -> torch.Tensor:
    power = long_term_power(samples)
    player = Player(network(), torch.ones(2), strength, channels=len(samples), power=power)
    return torch.cat([*[player.push(p) for p in torch.split(samples, pieces, 1)], player.finish()], 1)


@given(
    length=st.integers(1, 20000), cuts=st.lists(st.integers(0, 20000), max_size=6), channels=st.integers(1, 2)
)
@settings(max_examples=15, deadline=None)
def test_pieces_do_not_matter(length: int, cuts: list[int], channels: int) -> None:
    samples = noise(length, channels)
    bounds = [0, *sorted(c for c in cuts if c <= length), length]
    whole = played(samples, [length])
    assert whole.shape == samples.shape
    pieces = played(samples, np.diff(bounds).tolist())
    assert float((whole - pieces).abs().max()) <= 1e-4 * max(float(whole.abs().max()), 1.0)


def test_long_sounds_have_no_seam_where_noise_is_drawn_anew() -> None:
    length = 1200 * STFT.hop_length
    samples = noise(length)
    whole, parts = played(samples, [length]), played(samples, [length // 3] * 3)
    assert float((whole - parts).abs().max()) <= 1e-4 * float(whole.abs().max())


def test_strength_0_is_the_content() -> None:
    times = torch.arange(30000, dtype=torch.float64) / 22050
    samples = torch.stack([torch.sin(2 * torch.pi * f * times) for f in (440.0, 1234.5)])
    found = play(network(), Sound(samples, 22050), torch.ones(2), 0.0).samples
    gain = float((found * samples).sum() / samples.square().sum())
    # Twice resampled: not at the ends, which are cut.
    assert float((found / gain - samples)[:, 500:-500].abs().max()) < 1e-3


def test_frames_are_those_of_scipy() -> None:
    samples = noise(STFT.n_fft + 3 * STFT.hop_length)
    ours = spectra_of(samples)[0].numpy()
    window = signal.get_window("hann", STFT.n_fft)
    frames = [samples[0, k * STFT.hop_length :][: STFT.n_fft].numpy() * window for k in range(4)]
    theirs = np.fft.rfft(frames).T / np.sqrt((window**2).sum())
    np.testing.assert_allclose(ours, theirs, atol=1e-6)  # float32


def test_impulses_are_sparse_and_of_variance_1() -> None:
    found = impulses(60 * SAMPLE_RATE, torch.Generator().manual_seed(0))
    assert float((found != 0).float().mean()) == pytest.approx(60 / SAMPLE_RATE, rel=0.1)
    # Heavy tails: the mean over 3,600 of them is known to a tenth or two.
    assert 0.6 < float(found.square().mean()) < 1.6


def test_what_comes_late_does_not_change_what_came_before() -> None:
    samples = noise(60000)
    other = samples.clone()
    other[:, 40000:] *= -1.0
    outputs = []
    for given_samples in (samples, other):
        player = Player(network(), torch.ones(2), 0.7)
        outputs.append(torch.cat([player.push(p) for p in torch.split(given_samples, 4000, 1)], 1))
    known = 40000 - LATENCY
    assert torch.equal(outputs[0][:, :known], outputs[1][:, :known])
    assert not torch.equal(*outputs)
    assert STFT.n_fft + AHEAD * STFT.hop_length == LATENCY


def wav_of(samples: np.ndarray, rate: int = SAMPLE_RATE) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(samples.shape[1])
        made.setsampwidth(2)
        made.setframerate(rate)
        made.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def test_a_stream_gives_as_many_samples_and_ends_in_the_middle_of_one() -> None:
    numbers = (3000 * np.random.default_rng(0).standard_normal((50001, 2))).astype(np.int16)
    outputs = []
    for data, pcm in ((wav_of(numbers), None), (numbers.tobytes() + b"x", (SAMPLE_RATE, 2))):
        sink = io.BytesIO()
        latency_s = stream(io.BytesIO(data), sink, style(), {"a": 1.0}, 0.6, pcm=pcm)
        assert latency_s < 0.25
        outputs.append(sink.getvalue())
    assert outputs[0][44:] == outputs[1]
    assert len(outputs[1]) == numbers.nbytes
    assert struct.unpack("<HHI", outputs[0][20:28]) == (1, 2, SAMPLE_RATE)


@pytest.mark.parametrize("rate", [22050, 48000])
def test_a_stream_of_another_rate_keeps_its_rate_length_and_time(rate: int) -> None:
    """At next to no strength, what goes out is what came in: at the same place."""
    numbers = (
        3000 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate) * (np.arange(2 * rate) > rate)
    ).astype(np.int16)
    sink = io.BytesIO()
    assert stream(io.BytesIO(wav_of(numbers[:, None], rate)), sink, style(), {"a": 1.0}, 0.0) < 0.25
    found = np.frombuffer(sink.getvalue()[44:], "<i2")
    assert struct.unpack("<I", sink.getvalue()[24:28]) == (rate,)
    assert len(found) == len(numbers)
    late = (
        signal.correlate(found[rate:].astype(float), numbers[rate:].astype(float), "same").argmax()
        - rate // 2
    )
    assert abs(late) <= 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "is no WAV"),
        (b"no sound at all, but text", "is no WAV"),
        (b"RIFF\0\0\0\0WAVEfmt ", "ends before its samples"),
    ],
)
def test_streams_that_are_none(given: bytes, said: str) -> None:
    with pytest.raises(specstyle.SpecstyleError, match=said):
        stream(io.BytesIO(given), io.BytesIO(), style(), {"a": 1.0}, 0.5)


def test_from_file_to_file(tmp_path: Path) -> None:
    """With the level, the record and the mask that the optimizer's results have."""
    save_style(style(1), tmp_path / "s.safetensors")
    assert isinstance(load_style(tmp_path / "s.safetensors").network, SoundStyleNetwork)
    content = noise(40000, 2).numpy().T
    content[:4000] = 0.0
    soundfile.write(tmp_path / "c.wav", content, 32000)
    flags = [
        str(tmp_path / "s.safetensors"),
        str(tmp_path / "c.wav"),
        "-o",
        str(tmp_path / "o.wav"),
        "--quiet",
    ]
    with pytest.raises(SystemExit, match="0"):
        main(["apply", *flags, "--strength", "0.8", "--silence", "keep"])
    found, rate = soundfile.read(tmp_path / "o.wav")
    assert found.shape == content.shape
    assert rate == 32000
    assert np.abs(found[:2000]).max() == 0.0
    record = (tmp_path / "o.wav.json").read_text()
    assert '"mode": "match"' in record
    result = specstyle.apply(tmp_path / "s.safetensors", content.T, sample_rate=32000, strength=0.8)
    assert result.output.samples.shape == (2, 40000)


def test_a_picture_of_a_sound_style_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_style(style(1), tmp_path / "s.safetensors")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    flags = [str(tmp_path / "s.safetensors"), str(tmp_path / "c.png"), "-o", str(tmp_path / "o.wav")]
    with pytest.raises(SystemExit, match="1"):
        main(["apply", *flags])
    assert "picture" in capsys.readouterr().err
    assert not (tmp_path / "o.wav").exists()


def test_a_sound_style_is_learned_and_goes_on_where_it_was_left(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", noise(60000).numpy().T, 22050)
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "data" / "c.wav", np.sin(np.arange(90000) / 20.0)[:, None], 44100)
    options = {
        "medium": "audio",
        "data": tmp_path / "data",
        "network": "wide-random",
        "recipe": "default-audio",
    }
    options |= {"style_layers": ["relu1"], "style_bands": 1, "n_filters": 8, "seed": 1}
    reports = []
    made = specstyle.train(
        tmp_path / "s.wav",
        tmp_path / "s.safetensors",
        steps=4,
        on_report=lambda report, optimizer: reports.append((report, optimizer)),
        **options,
    )
    assert made.names == ("s",)
    assert reports[-1][0].step == 4
    assert reports[-1][0].aim == 0.5
    assert all(np.isfinite(reports[-1][0].style_loss))
    assert reports[-1][1][0] > 0
    again = specstyle.train(tmp_path / "s.wav", steps=4, run_dir=tmp_path / "run", **options)
    for one, other in zip(made.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)
    # The noise has the style's spectrum, which is white up to its Nyquist frequency.
    spectrum = made.network.spectra[0]
    assert float(spectrum[20:400].mean()) == pytest.approx(2.0, rel=0.1)
    assert float(spectrum[600:].mean()) < 0.01
