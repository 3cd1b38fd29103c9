"""Inversion against the papers' formulas in plain loops, librosa, torchaudio, and the known traps."""

from __future__ import annotations

import math
import statistics
from inspect import signature
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from draws import noise
from hypothesis import assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from specstyle.media.inversion import METHODS, griffin_lim, invert
from specstyle.media.pghi import pghi
from specstyle.media.phase import Projection, random_phase, spectral_convergence_db
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import resample
from specstyle.media.stft import StftSettings, auto_stft, istft, stft

SETTINGS = StftSettings(256, 64, 256)
LENGTH = 64 * 120
ESC10 = Path(__file__).parents[2].parent / "shared" / "data" / "esc10"


pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chirps() -> torch.Tensor:
    """A tone that rises, one that falls, and a little noise."""
    t = torch.arange(LENGTH, dtype=torch.float64) / 8000
    rising = torch.sin(2 * torch.pi * (300 * t + 800 * t**2))
    falling = torch.sin(2 * torch.pi * (3000 * t - 900 * t**2))
    return rising + 0.5 * falling + 0.05 * noise(LENGTH)


def clicks() -> torch.Tensor:
    """Decaying bursts in near silence."""
    x = 1e-3 * noise(LENGTH)
    for start in range(700, LENGTH - 600, 1100):
        x[start : start + 600] += noise(600, seed=start) * torch.exp(-torch.arange(600) / 60.0)
    return x


SIGNALS = {"chirps": chirps, "noise": lambda: noise(LENGTH), "clicks": clicks}


def magnitude_projection(c: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
    return magnitude * torch.sgn(c)


def consistent_projection(c: torch.Tensor) -> torch.Tensor:
    return stft(istft(c, SETTINGS, LENGTH), SETTINGS)


def raar_loop(c: torch.Tensor, magnitude: torch.Tensor, betas: list[float]) -> torch.Tensor:
    """Luke 2005: β/2 (R1 R2 + 1) + (1 - β) P2 with R = 2 P - 1."""
    for beta in betas:
        p2 = magnitude_projection(c, magnitude)
        r2 = 2 * p2 - c
        r1 = 2 * consistent_projection(r2) - r2
        c = beta / 2 * (r1 + c) + (1 - beta) * p2
    return istft(magnitude_projection(c, magnitude), SETTINGS, LENGTH)


@pytest.mark.parametrize("pairs", [0, 1, 2, 6])
def test_raar_equals_the_papers_formula(pairs: int) -> None:
    magnitude = stft(torch.stack([chirps(), noise(LENGTH)]), SETTINGS).abs()
    phase = random_phase(tuple(magnitude.shape), generator(3), like=magnitude)
    work = Projection(magnitude, SETTINGS, LENGTH)
    betas = [0.95 - 0.2 * k / max(1, pairs - 1) for k in range(pairs)]
    expected = raar_loop(magnitude * phase, magnitude, betas)
    seen: list[int] = []

    def beta(step: int, waveform: torch.Tensor) -> float:
        # At step n the waveform of n - 2 pairs is known (at the first one that of the start).
        before = raar_loop(magnitude * phase, magnitude, betas[: max(0, step - 2)])
        torch.testing.assert_close(waveform, before, rtol=0, atol=1e-9)
        seen.append(step)
        return betas[step - 1]

    result = work.raar(phase, pairs, beta)
    assert seen == list(range(1, pairs + 1))
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)  # float64; the loop amplifies rounding


@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(0.99, 0.99, 1.25), (0.1, 1.1, 1.25), (0.5, 0.5, 1.0)])
def test_accelerated_equals_the_papers_formula(alpha: float, beta: float, gamma: float) -> None:
    """Nenov et al. 2023: t, c and d on complex spectrograms."""
    magnitude = stft(chirps(), SETTINGS).abs()
    work = Projection(magnitude[None], SETTINGS, LENGTH)
    x = 0.1 * chirps() + noise(LENGTH, seed=2)
    t = c = d = stft(x, SETTINGS)
    for _ in range(5):
        previous = t
        t = (1 - gamma) * d + gamma * consistent_projection(magnitude_projection(c, magnitude))
        c, d = t + alpha * (t - previous), t + beta * (t - previous)
    result = work.accelerated(x[None], 5, alpha=alpha, beta=beta, gamma=gamma)[0]
    torch.testing.assert_close(result, istft(t, SETTINGS, LENGTH), rtol=0, atol=1e-9)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    magnitude = stft(torch.stack([chirps(), noise(LENGTH)]), SETTINGS).abs()
    whole = invert(magnitude, SETTINGS, LENGTH, iterations=6)
    monkeypatch.setattr("specstyle.media.phase._BLOCK_CPU", 2 * 256 * 7)
    blocks = invert(magnitude, SETTINGS, LENGTH, iterations=6)
    torch.testing.assert_close(whole.waveform, blocks.waveform, rtol=0, atol=1e-8)


@pytest.mark.parametrize("method", ["griffin-lim", "fast-griffin-lim"])
def test_griffin_lim_is_itself(method: Any) -> None:
    magnitude = stft(chirps(), SETTINGS).abs()
    options: dict[str, Any] = {"method": method, "iterations": 4, "momentum": 0.8, "start": "random"}
    ours = invert(magnitude, SETTINGS, LENGTH, generator=generator(), **options)
    momentum = 0.8 if method.startswith("fast") else 0.0
    plain = griffin_lim(magnitude, SETTINGS, LENGTH, iterations=4, momentum=momentum, generator=generator())
    assert torch.equal(ours.waveform, plain.waveform)
    assert ours.spectral_convergence_db == plain.spectral_convergence_db
    assert (ours.method, ours.start) == (method, "random")


def libraries_db(
    magnitude: torch.Tensor,
    pairs: int,
    length: int = LENGTH,
    settings: StftSettings = SETTINGS,
    seed: int = 0,
) -> tuple[float, float]:
    """The spectral convergence of torchaudio and of librosa."""
    torch.manual_seed(seed)
    window = torch.hann_window(settings.n_fft, dtype=magnitude.dtype)
    sizes = settings.n_fft, settings.hop_length, settings.win_length
    first = torchaudio.functional.griffinlim(
        magnitude, window, *sizes, power=1.0, n_iter=pairs, momentum=0.99, length=length, rand_init=True
    )
    second = librosa.griffinlim(
        magnitude.numpy(),
        n_iter=pairs,
        hop_length=settings.hop_length,
        momentum=0.99,
        length=length,
        pad_mode="constant",
        **{"rng" if "rng" in signature(librosa.griffinlim).parameters else "random_state": seed},
    )
    return (
        spectral_convergence_db(first, magnitude, settings),
        spectral_convergence_db(torch.from_numpy(second), magnitude, settings),
    )


@pytest.mark.parametrize(("pairs", "better_db"), [(32, 3.0), (100, 1.0)])
@pytest.mark.parametrize("kind", sorted(SIGNALS))
def test_better_than_the_libraries(kind: str, pairs: int, better_db: float) -> None:
    """What is promised of every clip; bench/inversion.py has the medians on longer ones."""
    magnitude = stft(SIGNALS[kind](), SETTINGS).abs()
    ours = invert(magnitude, SETTINGS, LENGTH, iterations=pairs).spectral_convergence_db
    theirs = min(libraries_db(magnitude, pairs))
    print(f"{kind}, {pairs} pairs: {ours:.2f} dB, the better library {theirs:.2f} dB")
    assert ours < theirs - better_db


def test_not_worse_than_the_libraries_without_any_signal_to_find() -> None:
    """The geometric mean of two signals' magnitudes, as a stylization might ask for."""
    magnitude = (stft(chirps(), SETTINGS).abs() * stft(noise(LENGTH), SETTINGS).abs()).sqrt()
    ours = invert(magnitude, SETTINGS, LENGTH, iterations=32).spectral_convergence_db
    assert ours < min(libraries_db(magnitude, 32))


def test_start_is_the_closer_one() -> None:
    spec = stft(torch.stack([chirps(), noise(LENGTH)]), SETTINGS)
    magnitude = spec.abs()
    good = invert(magnitude, SETTINGS, LENGTH, iterations=4, content=spec)
    assert good.start == "content"
    assert good.spectral_convergence_db < -200.0  # the true phase is where every method stays
    torch.testing.assert_close(good.waveform, torch.stack([chirps(), noise(LENGTH)]), rtol=0, atol=1e-10)
    other = stft(noise(2, LENGTH, seed=5), SETTINGS)
    bad = invert(magnitude, SETTINGS, LENGTH, iterations=4, content=other)
    assert bad.start == "pghi"
    assert torch.equal(bad.waveform, invert(magnitude, SETTINGS, LENGTH, iterations=4).waveform)
    forced = invert(magnitude, SETTINGS, LENGTH, iterations=4, content=other, start="content")
    assert forced.start == "content"
    assert not torch.equal(forced.waveform, bad.waveform)
    given = invert(magnitude, SETTINGS, LENGTH, iterations=4, start=other)
    assert given.start == "given"
    assert torch.equal(given.waveform, forced.waveform)


@pytest.mark.parametrize(
    ("target", "start", "pairs", "noticed"),
    [
        ("mixed", "pghi", 40, True),
        ("mixed", "pghi", 6, False),  # after 4 reflections; 3 of them decide nothing
        ("mixed", "random", 40, False),
        ("own", "pghi", 40, False),
    ],
)
def test_magnitudes_of_no_signal_are_noticed(target: str, start: Any, pairs: int, noticed: bool) -> None:
    own = stft(chirps(), SETTINGS).abs()
    magnitude = own if target == "own" else (own * stft(noise(LENGTH), SETTINGS).abs()).sqrt()
    half = pairs // 2
    betas = [1.0 - 0.1 * k / (half - 1) for k in range(half)]
    if noticed:
        betas[4:] = [betas[3] + (0.7 - betas[3]) * k / (half - 4) for k in range(1, half - 3)]
    momentum = 0.95 if noticed else 0.99
    work, phase = Projection(magnitude[None], SETTINGS, LENGTH), pghi(magnitude[None], SETTINGS)
    if start == "random":
        phase = random_phase(tuple(magnitude.shape), generator(), like=magnitude)[None]
    x = work.raar(phase, half, lambda step, _: betas[step - 1])
    expected = work.accelerated(x, pairs - half, alpha=momentum, beta=momentum)[0]
    result = invert(magnitude, SETTINGS, LENGTH, iterations=pairs, start=start, generator=generator())
    torch.testing.assert_close(result.waveform, expected, rtol=0, atol=1e-6)  # rounding is amplified


def plain_loop(
    magnitude: torch.Tensor, start: torch.Tensor, iterations: int, momentum: float
) -> torch.Tensor:
    """Perraudin et al. 2013, algorithm 2, as printed: on complex spectrograms."""

    def project(c: torch.Tensor) -> torch.Tensor:
        return stft(istft(magnitude * torch.sgn(c), SETTINGS, LENGTH), SETTINGS)

    t = project(start)
    c = t
    for _ in range(iterations):
        t, previous = project(c), t
        c = t + momentum * (t - previous)
    return istft(t, SETTINGS, LENGTH)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("iterations", [0, 1, 7])
def test_griffin_lim_equals_the_papers_algorithm(momentum: float, iterations: int) -> None:
    magnitude = stft(torch.stack([chirps(), noise(LENGTH)]), SETTINGS).abs()
    start = random_phase((2, *magnitude.shape[1:]), generator(3), like=magnitude)
    result = griffin_lim(
        magnitude, SETTINGS, LENGTH, iterations=iterations, momentum=momentum, phase=start * 1e-30
    )
    expected = plain_loop(magnitude, start, iterations, momentum)
    # Both run in float64; the iteration amplifies rounding a little.
    torch.testing.assert_close(result.waveform, expected, rtol=0, atol=1e-9)
    reported = spectral_convergence_db(expected, magnitude, SETTINGS)
    assert result.spectral_convergence_db == pytest.approx(reported, abs=1e-6)


def test_spectral_convergence_is_its_formula() -> None:
    y, magnitude = noise(2, 1000), noise(2, 129, 17, seed=1).abs()
    own = np.abs(
        librosa.stft(
            np.pad(y.numpy(), ((0, 0), (0, 24))), n_fft=256, hop_length=64, window="hann", pad_mode="constant"
        )
    )
    wanted = magnitude.numpy()
    expected = 20 * math.log10(np.linalg.norm(own - wanted) / np.linalg.norm(wanted))
    assert spectral_convergence_db(y, magnitude, SETTINGS) == pytest.approx(expected, abs=1e-9)
    assert spectral_convergence_db(torch.zeros(1, 1000), torch.zeros(1, 129, 17), SETTINGS) == -math.inf


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_from_one_start_it_is_torchaudios(momentum: float) -> None:
    """What the docstring of ``griffin_lim`` quotes; ``-s`` shows it."""
    found, settings = [], auto_stft(16000)
    for name in ("music/speech", "music/trumpet", "esc10/dog_bark-1-32318-A"):
        if not (path := ESC10.parent / f"{name}.ogg").exists():
            pytest.skip(f"no recordings at {ESC10.parent}")
        x = resample(read_sound(path), 16000).samples[0, : 5 * 16000].float()
        magnitude = stft(x, settings).abs()
        torch.manual_seed(0)
        start = torch.rand(magnitude.shape, dtype=torch.complex64)  # as torchaudio draws it
        ours = griffin_lim(magnitude, settings, len(x), iterations=32, momentum=momentum, phase=start)
        torch.manual_seed(0)
        n_fft, hop = settings.n_fft, settings.hop_length
        theirs = torchaudio.functional.griffinlim(
            magnitude, torch.hann_window(n_fft), n_fft, hop, n_fft, 1.0, 32, momentum, len(x), True
        )
        found.append((ours.spectral_convergence_db, spectral_convergence_db(theirs, magnitude, settings)))
    print(f"\nmomentum {momentum}:", ", ".join(f"ours {a:.1f}, torchaudio's {b:.1f}" for a, b in found))
    # single results scatter by over 1 dB between starts, and rounding is another start after some iterations
    assert abs(np.diff(found).mean()) < 2


def test_random_phase_covers_the_circle() -> None:
    """torchaudio's covers a quarter."""
    phase = random_phase((4000,), generator(), like=torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(phase.abs(), torch.ones(4000, dtype=torch.float64))
    counts = torch.histc(phase.angle(), bins=8, min=-math.pi, max=math.pi)
    assert float(counts.min()) > 400  # 500 expected, standard deviation 21
    assert torch.equal(phase, random_phase((4000,), generator(), like=torch.zeros(1, dtype=torch.float64)))


@pytest.mark.parametrize("kind", ["chirps", "noise", "rain", "rooster"])
def test_griffin_lim_is_not_worse_than_the_libraries(kind: str) -> None:
    """Means over starts: a single start differs from the next by more than the 0.5 dB asked for."""
    settings = SETTINGS
    if kind in SIGNALS:
        x = SIGNALS[kind]()
    else:
        found = sorted(ESC10.glob(f"{kind}-1-*.ogg"))
        if not found:
            pytest.skip(f"no recordings at {ESC10}")
        settings, x = StftSettings(2048, 512, 2048), read_sound(found[0]).samples[0, : 512 * 80]
    magnitude, seeds = stft(x, settings).abs(), range(8)
    ours = [
        griffin_lim(
            magnitude, settings, len(x), iterations=32, generator=generator(seed)
        ).spectral_convergence_db
        for seed in seeds
    ]
    others = [libraries_db(magnitude, 32, len(x), settings, seed) for seed in seeds]
    best = min(statistics.mean(values) for values in zip(*others, strict=True))
    print(f"{kind}: {statistics.mean(ours):.2f} dB, the better library {best:.2f} dB")
    assert statistics.mean(ours) <= best + 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": math.nan}, "momentum"),
        ({"generator": None}, "generator"),
        ({"phase": "content"}, "phase is 'content'"),
        ({"phase": torch.zeros(129, 16, dtype=torch.complex64)}, "broadcast"),
    ],
)
def test_bad_arguments_of_griffin_lim_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        griffin_lim(torch.ones(129, 17), SETTINGS, 1000, **{"generator": generator(), **options})  # type: ignore[arg-type]


# The traps of FINDINGS.md


def correlation(y: torch.Tensor) -> float:
    return float(torch.corrcoef(y)[0, 1])


def near_mono(kind: str) -> torch.Tensor:
    mid, side = SIGNALS[kind](), noise(LENGTH, seed=9)
    side *= 0.15 * mid.std() / side.std()
    return torch.stack([mid + side, mid - side])


@pytest.mark.parametrize("kind", sorted(SIGNALS))
def test_channels_keep_their_correlation(kind: str) -> None:
    sound = near_mono(kind)
    magnitude = stft(sound, SETTINGS).abs()
    together = invert(magnitude, SETTINGS, LENGTH, iterations=32)
    apart = [invert(channel, SETTINGS, LENGTH, iterations=32) for channel in magnitude]
    print(kind, correlation(together.waveform), together.spectral_convergence_db)
    assert correlation(sound) > 0.95
    assert correlation(together.waveform) > 0.9
    alone = correlation(torch.stack([one.waveform for one in apart]))
    assert alone < correlation(together.waveform) - 0.05  # noise and clicks lose all of it
    mean = sum(one.spectral_convergence_db for one in apart) / 2
    assert together.spectral_convergence_db < mean + 0.5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", ["random", "zero"])
def test_channels_keep_their_correlation_from_any_start(method: Any, start: Any) -> None:
    """Noise, the hardest kind: from equal phases, each channel for itself, it ends at 0.32 to 0.80."""
    magnitude = stft(near_mono("noise"), SETTINGS).abs()
    options: dict[str, Any] = {"method": method, "start": start, "iterations": 32}
    together = invert(magnitude, SETTINGS, LENGTH, generator=generator(), **options)
    apart = [invert(m, SETTINGS, LENGTH, generator=generator(), **options).waveform for m in magnitude]
    print(method, start, correlation(together.waveform), correlation(torch.stack(apart)))
    assert correlation(together.waveform) > 0.75
    assert correlation(together.waveform) > correlation(torch.stack(apart)) + 0.1
    assert together.start == start


def test_equal_channels_stay_equal() -> None:
    magnitude = stft(chirps(), SETTINGS).abs().expand(2, -1, -1)
    y = invert(magnitude, SETTINGS, LENGTH, iterations=8).waveform
    # Not to the bit: the last values of a loop over vectors are rounded by scalar functions. As above, 1e-8
    # is rounding in float64, amplified by the loop.
    torch.testing.assert_close(y[0], y[1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", ["auto", "random", "zero"])
def test_zeros_give_zeros(method: str, start: str) -> None:
    result = invert(
        torch.zeros(2, 129, 17),
        SETTINGS,
        1000,
        method=method,
        start=start,
        iterations=3,
        generator=generator(),
    )
    assert result.waveform.shape == (2, 1000)
    assert not result.waveform.any()
    assert result.spectral_convergence_db == -math.inf
    assert result.start == ("pghi" if start == "auto" else start)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e-9])
def test_bad_magnitudes_are_refused(bad: float) -> None:
    magnitude = torch.ones(2, 129, 17)
    magnitude[1, 5, 6] = bad
    with pytest.raises(ValueError, match="1 values"):
        invert(magnitude, SETTINGS, 1000)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exponent", [-100, -20, 20, 110])
def test_level_only_scales(dtype: torch.dtype, exponent: int) -> None:
    """Squares of bins at 2^-100 underflow in float32."""
    magnitude = stft(chirps(), SETTINGS).abs().to(dtype)
    scale = 2.0**exponent
    loud = invert(magnitude, SETTINGS, LENGTH, iterations=4)
    quiet = invert(magnitude * scale, SETTINGS, LENGTH, iterations=4)
    assert quiet.spectral_convergence_db == loud.spectral_convergence_db
    assert torch.equal(quiet.waveform, loud.waveform * scale)
    assert loud.waveform.dtype == dtype


def test_random_needs_a_generator_and_obeys_it() -> None:
    magnitude = stft(chirps(), SETTINGS).abs()
    with pytest.raises(ValueError, match="generator"):
        invert(magnitude, SETTINGS, LENGTH, start="random")
    first, second, third = (
        invert(magnitude, SETTINGS, LENGTH, start="random", iterations=2, generator=generator(seed)).waveform
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    expected = random_phase(tuple(magnitude.shape), generator(1), like=magnitude)
    given = invert(magnitude, SETTINGS, LENGTH, start=1e-30 * expected, iterations=2)
    torch.testing.assert_close(given.waveform, first, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": -1}, "iterations"),
        ({"momentum": 1.01}, "momentum"),
        ({"method": "admm"}, "method is 'admm'; it must be one of pghi-raar"),
        ({"start": "noise"}, "start is 'noise'"),
        ({"start": "content"}, "needs content"),
        ({"start": torch.ones(129, 17)}, "complex"),
        ({"content": torch.ones(129, 16, dtype=torch.complex64)}, "broadcast"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        invert(torch.ones(129, 17), SETTINGS, 1000, **options)  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_agrees() -> None:
    magnitude = stft(torch.stack([chirps(), noise(LENGTH)]), SETTINGS).abs()
    here = invert(magnitude, SETTINGS, LENGTH, iterations=8)
    there = invert(magnitude.cuda(), SETTINGS, LENGTH, iterations=8)
    assert there.waveform.device.type == "cuda"
    torch.testing.assert_close(there.waveform.cpu(), here.waveform, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype: torch.dtype) -> None:
    """There is no Fourier transform in half precision on CPUs."""
    with pytest.raises(ValueError, match=r"dtype torch.b?float16; it must be float32 or float64"):
        invert(torch.ones(129, 17, dtype=dtype), SETTINGS, 1000)


@given(
    sizes=st.tuples(
        st.integers(8, 80), st.floats(2.0, 9.0), st.sampled_from(["hann", "hamming", "blackman"])
    ),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 900)),
    method=st.sampled_from(METHODS),
    start=st.sampled_from(["auto", "pghi", "random", "zero"]),
    iterations=st.integers(0, 5),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_transform(
    sizes: tuple[int, float, str], shape: tuple[int, int], method: Any, start: Any, iterations: int
) -> None:
    """Whatever is asked for comes in its shape, is finite, and is as near as it says."""
    half, part, window = sizes
    try:
        settings = StftSettings(2 * half, max(1, int(2 * half / part)), 2 * half, window)
    except ValueError:
        assume(False)
    magnitude, length = stft(noise(*shape), settings).abs(), shape[1]
    result = invert(
        magnitude, settings, length, method=method, iterations=iterations, start=start, generator=generator()
    )
    assert result.waveform.shape == shape
    assert bool(torch.isfinite(result.waveform).all())
    ratio = float((stft(result.waveform, settings).abs() - magnitude).norm() / magnitude.norm())
    assert 10 ** (result.spectral_convergence_db / 20) == pytest.approx(ratio, abs=1e-9)
    # What A⁺ made is nearer than silence is: <|AA⁺c|, S> >= <AA⁺c, c> = |AA⁺c|². Momentum may overshoot.
    assert ratio < (1 + 1e-9 if iterations == 0 or method == "griffin-lim" else 1.5)


@given(
    values=arrays(np.float64, (9, 12), elements=st.floats(0.0, 1e6)),
    exponent=st.integers(-40, 40),
)
@example(np.full((9, 12), 2.2e-313), 9)
@hypothesis_settings(max_examples=40, deadline=None)
def test_any_magnitudes(values: np.ndarray[Any, Any], exponent: int) -> None:
    """No signal need have them: plateaus, single bins, zeros. A level by a power of two only scales."""
    magnitude, settings = torch.from_numpy(values), StftSettings(16, 4, 16)
    first = invert(magnitude, settings, 44, iterations=4).waveform
    second = invert(magnitude * 2.0**exponent, settings, 44, iterations=4).waveform
    assert bool(torch.isfinite(first).all())
    # Below the smallest normal number (2.2e-308) digits are lost, in steps of 5e-324, at the one level or the
    # other: two hundred of the larger steps.
    lost = 1e-321 * max(1.0, 2.0**exponent)
    torch.testing.assert_close(second, first * 2.0**exponent, rtol=1e-12, atol=lost)
