"""Magnitude to waveform, the best way known here: a good start, reflections, then momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from specstyle.media.pghi import pghi
from specstyle.media.phase import Projection, check_magnitude, magnitudes, start_phase
from specstyle.media.stft import StftSettings, check_shape, shaped, stft_blocks

Method = Literal["pghi-raar", "fast-griffin-lim", "griffin-lim"]
Start = Literal["auto", "content", "pghi", "random", "zero"]

METHODS: tuple[str, ...] = get_args(Method)
"""What ``invert`` accepts as its method."""

STARTS: tuple[str, ...] = get_args(Start)
"""What ``invert`` accepts as its start, beside a tensor."""

_TEST_STEP = 4
_SIGNAL_DB = -17.0
"""Reflections from PGHI are nearer than this after 3 pairs if there is a signal with these magnitudes (-18 dB
and below on recordings), and if there is none they stay above (-16 dB even after 50 pairs)."""


@dataclass(frozen=True, eq=False)
class InversionResult:
    """A waveform, how near its magnitudes came, and how it was found.

    Attributes:
        waveform: Shape ``[..., length]``.
        spectral_convergence_db: See ``phase.spectral_convergence_db``; lower is better.
        method: One of ``METHODS``.
        start: ``"content"``, ``"pghi"``, ``"random"``, ``"zero"`` or ``"given"`` (a tensor).
    """

    waveform: Tensor
    spectral_convergence_db: float
    method: str
    start: str


@torch.no_grad()
def invert(
    magnitude: Tensor,
    settings: StftSettings,
    length: int,
    *,
    method: Method = "pghi-raar",
    iterations: int = 64,
    momentum: float = 0.99,
    start: Tensor | Start = "auto",
    content: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> InversionResult:
    """Find a waveform with (nearly) the given magnitudes.

    ``"pghi-raar"`` spends the first half of its pairs on relaxed averaged alternating reflections, which
    leave a wrong phase that Griffin-Lim would keep, and the rest on accelerated Griffin-Lim, which settles.

    Channels that are inverted each from its own start lose their correlation. Unless the start is the
    content's phase or a tensor, it is therefore one phase for all of several channels: that of their mean
    magnitude, inverted first, with as many pairs (one channel's worth). If the content's waveform is given,
    its differences of phase between the channels come on top, and with them where a sound stands. Without it,
    channels that have nothing in common come out a little alike.

    Args:
        magnitude: At least 0, float32 or float64, shape ``[..., n_bins, n_frames(length)]``; the leading
            dimensions are the channels of one sound.
        settings: The transform.
        length: Number of samples.
        method: ``"pghi-raar"``, or ``griffin_lim``: ``"fast-griffin-lim"`` with ``momentum`` and
            ``"griffin-lim"`` without.
        iterations: Pairs of one transform and one inverse after the start; 0: invert with the start phase.
        momentum: Of ``"fast-griffin-lim"``, from 0 to 1; the other methods leave it alone.
        start: ``"content"``: the phase of ``content``; ``"pghi"``: see ``pghi``; ``"auto"``: that of the two
            from which the first waveform comes nearer (PGHI without ``content``); ``"random"``, ``"zero"``
            or a complex tensor: as for ``griffin_lim``.
        content: A complex spectrogram that broadcasts to ``magnitude``'s shape, of which the phase counts; or
            a waveform ``[..., length]``, of whose spectrogram it does (which takes less memory).
        generator: Source of ``"random"``; required for it. Nothing else is random.

    Returns:
        The waveform and its spectral convergence. All-zero magnitudes give zeros at once.

    Raises:
        ValueError: If magnitudes are negative, NaN or infinite, or an argument is out of range.

    Reference:
        Průša et al. 2017 (start), Luke 2005 (reflections), Nenov et al. 2023 (momentum).
    """
    unit = _checked_unit(magnitude, settings, length, iterations, momentum)
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
    batch = magnitude.shape[:-2]
    wanted: str = "given" if isinstance(start, Tensor) else start
    given = _given_start(start, content, magnitude, generator)
    if unit == 0.0:
        used = "pghi" if wanted == "auto" else wanted
        return InversionResult(magnitude.new_zeros(*batch, length), -math.inf, method, used)
    flat = magnitude.reshape(-1, *magnitude.shape[-2:])
    judges = wanted in {"auto", "content", "pghi"}
    search = _Search(method, settings, length, iterations, momentum, judges=judges, unit=unit)
    phase, used = _choose(search, flat, wanted=wanted, given=given)
    waveform, convergence = search(flat, phase)
    return InversionResult((waveform / unit).reshape(*batch, length), convergence, method, used)


@torch.no_grad()
def griffin_lim(
    magnitude: Tensor,
    settings: StftSettings,
    length: int,
    *,
    iterations: int = 64,
    momentum: float = 0.99,
    phase: Tensor | Literal["random", "zero"] = "random",
    generator: torch.Generator | None = None,
) -> InversionResult:
    """Find a waveform with (nearly) the given magnitudes.

    Each iteration transforms the waveform, puts the wanted magnitudes on the phase it finds and inverts.
    Fast Griffin-Lim goes on by ``momentum`` times the last change; as the transform is linear, that is
    done on the waveform, which is the same and smaller.

    ``torchaudio.functional.griffinlim`` is not what runs here: it takes no start phase, no generator and no
    momentum of 1, and it mirrors the ends, where ``stft`` has zeros, so that half a window and less is an
    error. From one start it comes as near; in dB after 32 iterations (ours, torchaudio's), speech, trumpet
    and dog bark: plain -18.4 -18.1, -17.2 -16.8, -15.2 -16.4; fast -25.6 -24.7, -25.2 -25.7, -24.4 -24.3
    (``pytest -s tests/media/test_inversion.py -k one_start``).

    Args:
        magnitude: At least 0, float32 or float64, shape ``[..., n_bins, n_frames(length)]``.
        settings: The transform.
        length: Number of samples.
        iterations: Pairs of one transform and one inverse after the start; 0: invert with the start phase.
        momentum: From 0 (Griffin & Lim 1984) to 1.
        phase: Start: ``"random"`` (the full circle; the same phases for all channels, which keeps much of
            their correlation; a start from a common phase keeps more), ``"zero"``, or a complex tensor that
            broadcasts to ``magnitude``'s shape, of which only the phase counts. Where that tensor is 0
            there is no phase, and the start is 0 too.
        generator: Source of ``"random"``; required for it.

    Returns:
        The waveform ``[..., length]`` and its spectral convergence. All-zero magnitudes give zeros.

    Raises:
        ValueError: If magnitudes are negative, NaN or infinite, or an argument is out of range.

    Reference:
        Griffin & Lim 1984; Perraudin, Balazs & Søndergaard 2013, "A fast Griffin-Lim algorithm", alg. 2.
    """
    unit = _checked_unit(magnitude, settings, length, iterations, momentum)
    batch = magnitude.shape[:-2]
    start, used = start_phase(phase, magnitude, generator), phase if isinstance(phase, str) else "given"
    method = "fast-griffin-lim"
    if unit == 0.0:
        return InversionResult(magnitude.new_zeros(*batch, length), -math.inf, method, used)
    search = _Search(method, settings, length, iterations, momentum, judges=False, unit=unit)
    flat, begun = (spec.reshape(-1, *spec.shape[-2:]) for spec in (magnitude, start))
    waveform, convergence = search(flat, begun)
    return InversionResult((waveform / unit).reshape(*batch, length), convergence, method, used)


def _checked_unit(
    magnitude: Tensor, settings: StftSettings, length: int, iterations: int, momentum: float
) -> float:
    """Refuse what makes no sense; return what to multiply magnitudes by, 0 if there are none.

    A power of two: nothing is rounded, and no square of a quiet signal's bins underflows.
    """
    check_shape(magnitude, settings, length, name="magnitude")
    check_magnitude(magnitude)
    if iterations < 0:
        raise ValueError(f"iterations is {iterations}; it must be at least 0")
    if not 0.0 <= momentum <= 1.0:
        raise ValueError(f"momentum is {momentum}; it must be from 0 to 1 (more does not converge)")
    peak = float(magnitude.max()) if magnitude.numel() else 0.0
    return 2.0 ** -max(math.frexp(peak)[1], -120) if peak > 0.0 else 0.0


@dataclass(frozen=True)
class _Search:
    """A method with all that it needs beside magnitudes and a start; see ``invert`` and ``_Relaxation``."""

    method: str
    settings: StftSettings
    length: int
    pairs: int
    momentum: float
    judges: bool
    unit: float

    def __call__(self, magnitude: Tensor, phase: Tensor) -> tuple[Tensor, float]:
        """Return the waveform ``[channels, length]`` times the unit, and its spectral convergence."""
        work = Projection(magnitude, self.settings, self.length, unit=self.unit)
        if self.method == "pghi-raar":  # half of the pairs for reflections, the rest to settle
            half = self.pairs // 2
            relaxation = _Relaxation(work, half, judges=self.judges)
            waveform = work.raar(phase, half, relaxation)
            momentum = 0.99 if relaxation.finds_signal else 0.95
            waveform = work.accelerated(waveform, self.pairs - half, alpha=momentum, beta=momentum)
        else:
            momentum = self.momentum if self.method == "fast-griffin-lim" else 0.0
            waveform = work.accelerated(
                work.invert(phase), self.pairs, alpha=momentum, beta=momentum, gamma=1.0
            )
        return waveform, work.convergence_db(waveform)


class _Relaxation:
    """β of the reflections, falling from 1 to 0.9; to 0.7 where there turns out to be no signal to find.

    A stylization's magnitudes are no signal's. There, wide reflections only wander, and a high momentum
    only overshoots. A few reflections tell the two apart: see ``_SIGNAL_DB``.

    Args:
        work: The reflections.
        pairs: Their number.
        judges: Whether to tell them apart. After a random start that would take many more reflections.
    """

    def __init__(self, work: Projection, pairs: int, *, judges: bool) -> None:
        self._work, self._pairs, self._judges = work, pairs, judges
        self.finds_signal = True

    def __call__(self, step: int, waveform: Tensor) -> float:
        """Return the β of a step, from 1, given the last waveform."""
        if step == _TEST_STEP + 1 and self._judges:
            self.finds_signal = self._work.convergence_db(waveform) < _SIGNAL_DB
        if self.finds_signal or step <= _TEST_STEP:
            return self._wide(step)
        share = (step - _TEST_STEP) / (self._pairs - _TEST_STEP)
        return self._wide(_TEST_STEP) + share * (0.7 - self._wide(_TEST_STEP))

    def _wide(self, step: int) -> float:
        return 1.0 - 0.1 * (step - 1) / max(1, self._pairs - 1)


def _given_start(
    start: Tensor | Start, content: Tensor | None, magnitude: Tensor, generator: torch.Generator | None
) -> Tensor | None:
    """Return the start that need not be estimated, or None for PGHI.

    Complex, ``[channels, n_bins, frames]``, or a waveform ``[channels, length]``.
    """
    source: Tensor | Literal["random", "zero"]
    if isinstance(start, Tensor) or start == "random" or start == "zero":  # noqa: PLR1714 (mypy narrows)
        source = start
    elif start in STARTS:
        if start == "content" and content is None:
            raise ValueError("start is 'content', which needs content (a complex spectrogram)")
        if content is None or start == "pghi":
            return None
        if not content.is_complex():
            return content.expand(*magnitude.shape[:-2], -1).reshape(-1, content.shape[-1]).to(magnitude)
        source = content
    else:
        raise ValueError(f"start is {start!r}; it must be one of {', '.join(STARTS)} or a tensor")
    return start_phase(source, magnitude, generator).reshape(-1, *magnitude.shape[-2:])


def _choose(search: _Search, magnitude: Tensor, *, wanted: str, given: Tensor | None) -> tuple[Tensor, str]:
    """Return the start and its name: complex ``[channels, n_bins, frames]``, or ``[channels, length]``."""
    if given is not None and wanted in {"content", "given"}:
        return given, wanted
    mid = magnitude.mean(dim=0, keepdim=True)
    if given is not None and wanted in {"random", "zero"}:
        common, used = given[:1], wanted
    else:
        common, used = pghi(mid, search.settings), "pghi"
        if given is not None:
            work = Projection(magnitude, search.settings, search.length, unit=search.unit)
            mine, theirs = (
                work.convergence_db(work.invert(p)) for p in (given, common.expand(magnitude.shape))
            )
            if mine <= theirs:
                return given, "content"
    if magnitude.shape[0] == 1:
        return common, used
    waveform = search(mid, common)[0].expand(magnitude.shape[0], -1)
    if given is not None and wanted == "auto" and not given.is_complex():
        waveform = _placed(waveform, given, search.settings)
    return waveform, used


def _placed(common: Tensor, content: Tensor, settings: StftSettings) -> Tensor:
    """Give copies of one waveform the differences of phase between a content's channels.

    A channel's differ from those of the content's strongest mixture, so that what stands in one channel alone
    is left as it is, and channels of opposite sign stay opposite.
    """
    strongest = torch.linalg.eigh(content @ content.T).eigenvectors[:, -1]
    blocks = stft_blocks(content, settings)

    def turns(first: int, count: int) -> Tensor:
        spectra = next(blocks)[1]
        mixture = torch.einsum("c,cft->ft", strongest.to(spectra), spectra)
        turned = spectra * mixture.conj()
        return turned / magnitudes(turned).clamp_(min=torch.finfo(common.dtype).tiny)

    return shaped(common, turns, settings)
