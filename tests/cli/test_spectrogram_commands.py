"""``specstyle spectrogram`` and ``specstyle invert`` on files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
from commands import Outcome

from specstyle.cli.main import build_parser
from specstyle.recipes import DEFAULTS

RATE = 8000


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    t = np.arange(4001) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 440 * t * (1 + t))
    stereo = np.stack([tone, tone + 0.02 * rng.standard_normal(t.size)], axis=1)
    soundfile.write(tmp_path / "in.wav", stereo, RATE, subtype="FLOAT")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def magnitudes_of(name: str, n_fft: int, hop: int) -> np.ndarray[Any, Any]:
    """librosa's, as the outsider."""
    samples, _ = soundfile.read(name, always_2d=True)
    padded = np.pad(samples.T, ((0, 0), (0, -samples.shape[0] % hop)))
    spec = librosa.stft(padded, n_fft=n_fft, hop_length=hop, pad_mode="constant")
    magnitude: np.ndarray[Any, Any] = np.abs(spec)
    return magnitude


def test_there_and_back(cli: Callable[..., Outcome]) -> None:
    made = ("in.wav", "-o", "new/s.npz", "--n-fft", "512", "--hop-length", "128")
    code, out, err = cli("spectrogram", *made)
    assert (code, err) == (0, "")
    assert "2 x 257 bins x 33 frames, n_fft 512, hop_length 128" in out
    with np.load("new/s.npz", allow_pickle=False) as arrays:
        wanted = arrays["magnitude"]
        assert arrays["window"].item() == "hann"
        assert [arrays[key].item() for key in ("sample_rate", "win_length", "length")] == [RATE, 512, 4001]
    np.testing.assert_allclose(wanted, magnitudes_of("in.wav", 512, 128), atol=1e-5)

    code, out, err = cli("invert", "new/s.npz", "-o", "newer/out.wav", "--iterations", "40")
    assert (code, err) == (0, "")
    said = re.search(r"pghi-raar from pghi, 40 iterations: spectral convergence (-[\d.]+) dB", out)
    assert said is not None
    assert "wrote newer/out.wav" in out
    info = soundfile.info("newer/out.wav")
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE, 2, 4001, "FLOAT")
    got = magnitudes_of("newer/out.wav", 512, 128)
    actual = 20 * np.log10(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
    assert float(said[1]) == pytest.approx(actual, abs=0.1)
    assert actual < -25


@pytest.mark.parametrize("start", ["auto", "pghi", "random", "zero"])
@pytest.mark.parametrize("method", ["pghi-raar", "fast-griffin-lim", "griffin-lim"])
def test_methods_starts_and_seeds(cli: Callable[..., Outcome], method: str, start: str) -> None:
    cli("spectrogram", "in.wav", "-o", "s.npz", "--n-fft", "256")
    options = ("--method", method, "--start", start, "--iterations", "3")
    for name, seed in (("a.wav", "1"), ("b.wav", "1"), ("c.wav", "2")):
        code, out, _ = cli("invert", "s.npz", "-o", name, "--seed", seed, *options)
        assert code == 0
        assert f"{method} from {'pghi' if start == 'auto' else start}, 3 iterations" in out
    a, b, c = (Path(name).read_bytes() for name in ("a.wav", "b.wav", "c.wav"))
    assert a == b
    assert (a == c) == (start != "random")


def test_quiet_and_force(cli: Callable[..., Outcome]) -> None:
    for argv in (("spectrogram", "in.wav", "-o", "s.npz"), ("invert", "s.npz", "-o", "out.wav")):
        assert cli(*argv, "--quiet") == (0, "", "")
        before = Path(argv[3]).read_bytes()
        code, out, err = cli(*argv)
        assert (code, out) == (1, "")
        assert re.fullmatch(rf"specstyle: {argv[3]}: exists already; .*--force.*\n", err)
        assert Path(argv[3]).read_bytes() == before
        assert cli(*argv, "--force", "--quiet")[0] == 0
        assert Path(argv[3]).read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["in.wav", "out.wav", "s.npz"]


# What else is refused: tests/media/test_spectrogramfile.py.
@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        ("spectrogram in.wav -o s.wav", 1, "s.wav does not end in .npz"),
        ("spectrogram none.wav -o s.npz", 1, "none.wav"),
        ("spectrogram in.wav -o in.wav/s.npz", 1, "in.wav: cannot be made a folder"),
        ("spectrogram in.wav -o s.npz --hop-length 4000", 2, "hop_length is 4000"),
        ("spectrogram in.wav", 2, "-o"),
        ("invert in.wav -o out.wav", 1, "in.wav is no .npz file"),
        ("invert nan.npz -o out.wav", 1, "2193 magnitudes that are negative, NaN or infinite"),
        ("invert loud.npz -o out.txt", 1, "out.txt"),
        ("invert loud.npz -o out.flac", 1, "out.flac"),
        ("invert loud.npz -o out.wav --iterations -1", 2, "iterations is -1"),
        ("invert loud.npz -o out.wav --start content", 2, "content"),
        ("invert loud.npz -o out.wav --device abacus", 2, "abacus"),
    ],
)
def test_refusals(cli: Callable[..., Outcome], argv: str, code: int, message: str) -> None:
    for name, value in (("nan", np.nan), ("loud", 1e4)):
        plain = {"sample_rate": RATE, "n_fft": 256, "hop_length": 64, "length": 1000}
        np.savez(f"{name}.npz", magnitude=np.full((1, 129, 17), value), **plain)
    before = sorted(Path().iterdir())
    outcome = cli(*argv.split())
    assert (outcome.code, outcome.out, len(outcome.lines)) == (code, "", 1)
    assert message in outcome.err
    assert sorted(Path().iterdir()) == before


def test_defaults_are_the_recipes() -> None:
    own = DEFAULTS["audio", "wide-random"]
    given = build_parser().parse_args(["invert", "s.npz", "-o", "out.wav"])
    assert (given.method, given.iterations) == (own.phase_method, own.phase_iterations)
