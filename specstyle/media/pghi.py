"""A phase for a magnitude spectrogram without one iteration: phase-gradient heap integration."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specstyle.media.stft import StftSettings, window_tensor

_HANN_LAMBDA = 0.25645
"""λ / win_length² of the Gaussian nearest to a Hann window, as in Průša et al. 2017."""

_LOG_FLOOR = 1e-10
"""Smallest magnitude whose logarithm is taken, relative to the largest of its channel."""

_CHUNK = 2**18
"""Bins in work at once: few enough for the cache. Longer spectrograms are integrated piece by piece."""

_Array = np.ndarray[Any, Any]


@torch.no_grad()
def pghi(magnitude: Tensor, settings: StftSettings, *, tolerance: float = 1e-3) -> Tensor:
    """Estimate the phase from the slopes of the log-magnitudes.

    With a Gaussian window the phase's slope in time is given by the log-magnitude's slope in frequency, and
    the reverse. These slopes are integrated from large bins to small ones, along a maximum spanning forest of
    the bins (an edge weighs what the smaller of its two bins weighs; the larger neighbor goes first). That
    is the order of the paper's heap, found by Borůvka's algorithm instead: every bin points to its largest
    neighbor, every summit's basin to the best basin beside it, and so on in a few vectorized rounds.

    Each tree's phase is known but for a constant. It makes the tree's bins at 0 Hz and at the Nyquist
    frequency real, as those of a real signal are (departure from the paper, where it is arbitrary); without
    such bins the largest bin's phase is 0.

    Args:
        magnitude: At least 0 and finite, shape ``[..., n_bins, frames]``.
        settings: The transform.
        tolerance: Bins below this fraction of their channel's largest get phase 0.

    Returns:
        e^{iφ}, complex, of the magnitude's shape, precision and device. It is found on the CPU in float32.

    Reference:
        Průša, Balazs & Søndergaard 2017, "A noniterative method for reconstruction of phase from STFT
        magnitude", IEEE/ACM TASLP 25(5).
    """
    values: _Array = magnitude.reshape(-1, *magnitude.shape[-2:]).transpose(-1, -2).cpu().numpy()
    if values.size:  # to a peak from 0.5 to 1, by a power of two: levels change nothing, not even rounding
        # By NumPy: torch 2.8 takes that power as a number, which may be infinite, and multiplies.
        values = np.ldexp(values, -np.frexp(values.max(axis=(1, 2), keepdims=True))[1])
    values = np.ascontiguousarray(values, np.float32)
    phase = torch.from_numpy(_integrate(values, settings, tolerance)).to(magnitude.device, magnitude.dtype)
    unit = torch.polar(torch.ones_like(phase), phase)
    return unit.transpose(-1, -2).reshape(magnitude.shape)


@functools.lru_cache(maxsize=16)
def gaussian_lambda(settings: StftSettings) -> float:
    """Return λ, in squared samples, of the Gaussian exp(-π t²/λ) nearest to the window (least squares)."""
    if settings.window == "hann":
        return _HANN_LAMBDA * settings.win_length**2
    from scipy.optimize import minimize_scalar

    window = window_tensor(settings, torch.float64, torch.device("cpu")).numpy()
    window = np.pad(window / window.max(), settings.n_fft)  # the Gaussian is to vanish outside, too
    time = (np.arange(window.size) - window.size // 2) / settings.win_length

    def distance(log_width: float) -> float:
        return float(np.square(window - np.exp(-math.pi * time**2 / math.exp(log_width))).sum())

    fit = minimize_scalar(distance, bounds=(math.log(1e-3), math.log(10.0)), method="bounded")
    return math.exp(fit.x) * settings.win_length**2


@dataclass(frozen=True)
class _Plane:
    """A piece of a spectrogram with a border, flattened: neighbors are 1 and ``width`` away.

    Attributes:
        values: Magnitudes, 0 on the border.
        slopes: Change of the phase over one bin, then (``values.size`` on) over one hop.
        width: Bins of one frame, border included.
        time_slope: The second half of ``slopes``.
    """

    values: _Array
    slopes: _Array
    width: int
    time_slope: _Array

    def step(self, start: _Array, stop: _Array, in_time: _Array) -> _Array:
        """Return the change of the phase from each bin to a neighbor behind it (minus that: before it)."""
        shift = in_time * self.values.size
        mean: _Array = np.float32(0.5) * (self.slopes.take(start + shift) + self.slopes.take(stop + shift))
        return mean


_Carry = tuple[_Array, _Array]
"""Of a frame: magnitudes (0 if there is no phase), phases plus half their slopes; ``[channels, width]``."""

_Edges = tuple[_Array, _Array, _Array, _Array]
"""Both ends' nodes, the phase of the second less that of the first, and the weight."""


def _integrate(values: _Array, settings: StftSettings, tolerance: float) -> _Array:
    """Return phases in radians for magnitudes ``[channels, frames, n_bins]``, piece by piece in time."""
    n_channels, n_frames, n_bins = values.shape
    phase = np.zeros_like(values)
    if not values.size:
        return phase
    top = values.max(axis=(1, 2), keepdims=True)
    low = np.maximum(tolerance * top, np.finfo(np.float32).tiny).astype(np.float32)
    size = max(2, _CHUNK // (n_channels * n_bins))
    carry: _Carry | None = None
    for start in range(0, n_frames, size):
        stop = min(start + size, n_frames)
        shape = (n_channels, stop - start + 2, n_bins + 2)
        plane = _plane(values, top, start, stop, settings)
        bins, found = _integrated(plane, np.broadcast_to(low, shape).reshape(-1), carry)
        full, kept = np.zeros(plane.values.size, np.float32), np.zeros(plane.values.size, np.float32)
        full[bins], kept[bins] = found, plane.values[bins]
        phase[:, start:stop] = full.reshape(shape)[:, 1:-1, 1:-1]
        carry = kept.reshape(shape)[:, -2], (full + 0.5 * plane.time_slope).reshape(shape)[:, -2]
    return phase


def _plane(values: _Array, top: _Array, start: int, stop: int, settings: StftSettings) -> _Plane:
    """Return frames ``start`` to ``stop`` with the slopes of their phases (see ``pghi``).

    Time counts from each frame's first sample, which is where the transform counts from; so a click in the
    middle of the window turns by -π from bin to bin.
    """
    n_channels, n_frames, n_bins = values.shape
    n, hop, width = settings.n_fft, settings.hop_length, n_bins + 2
    spread = gaussian_lambda(settings)
    padded = np.zeros((n_channels, stop - start + 2, width), np.float32)
    padded[:, 1:-1, 1:-1] = values[:, start:stop]
    frames = np.clip(np.arange(start - 1, stop + 1), 0, n_frames - 1)
    floor = np.maximum(_LOG_FLOOR * top, np.finfo(np.float32).tiny)
    logs = torch.from_numpy(np.maximum(values[:, frames], floor)).log_().numpy()
    slopes = np.zeros((2, *padded.shape), np.float32)
    bin_slope, time_slope = slopes
    inner = time_slope[:, 1:-1, 2:-2]  # at 0 Hz and Nyquist a real signal's magnitudes are even: slope 0
    np.multiply(logs[:, 1:-1, 2:] - logs[:, 1:-1, :-2], np.float32(hop * n / (2.0 * spread)), out=inner)
    turns = (np.arange(n_bins) * hop + n // 2) % n - n // 2  # modulo n: a whole turn is none
    time_slope[:, 1:-1, 1:-1] += (turns * (2.0 * math.pi / n)).astype(np.float32)
    both = np.where((frames[2:] - frames[:-2]) < 2, 2.0, 1.0).astype(np.float32)  # one-sided at the ends
    scale = np.float32(-spread / (2.0 * hop * n)) * both[:, None]
    np.multiply(logs[:, 2:] - logs[:, :-2], scale, out=bin_slope[:, 1:-1, 1:-1])
    bin_slope -= np.float32(math.pi)
    return _Plane(padded.ravel(), slopes.ravel(), width, time_slope.ravel())


def _integrated(plane: _Plane, low: _Array, carry: _Carry | None) -> tuple[_Array, _Array]:
    """Return the bins that are at least ``low`` and their phases, integrated along a maximum spanning forest.

    What came before a piece counts as one node for each channel, so that the parts of a sound that the piece
    finds connected through the past, and hardly within itself, keep their relation.
    """
    bins, way, in_time = _largest_neighbors(plane, low)
    position = np.full(plane.values.size, -1, np.int64)
    position[bins] = np.arange(bins.size)
    goal = bins + way
    pointer = position.take(goal)
    phase = plane.step(bins, goal, in_time) * np.sign(-way).astype(np.float32)
    follow(pointer, phase)

    is_summit = pointer == np.arange(bins.size)
    summits = np.flatnonzero(is_summit)
    basin = (np.cumsum(is_summit) - 1).take(pointer)
    edges, n_nodes = _saddles(plane, bins, position, basin, phase), summits.size
    if carry is not None:
        more = _edges_to_the_past(plane, position, basin, phase, carry, first_node=n_nodes)
        edges = tuple(np.concatenate(pair) for pair in zip(edges, more, strict=True))  # type: ignore[assignment]
        n_nodes += len(carry[0])
    # torch is 3 times as fast at it as NumPy; equals keep their order.
    order = torch.sort(torch.from_numpy(edges[3]), stable=True).indices.numpy()
    root, shift = spanning_forest(edges[0].take(order), edges[1].take(order), edges[2].take(order), n_nodes)
    is_root = root == np.arange(n_nodes)
    tree = (np.cumsum(is_root) - 1).take(root)
    phase += np.remainder(shift, 2.0 * math.pi).astype(np.float32).take(basin)
    constant = _constants(plane, bins, phase, tree.take(basin), summits, n_trees=int(is_root.sum()))
    constant[tree[summits.size :]] = -shift[summits.size :]  # what goes on from the piece before
    return bins, phase + constant[tree.take(basin)]


def _largest_neighbors(plane: _Plane, low: _Array) -> tuple[_Array, _Array, _Array]:
    """Return the bins that count, the way to their largest neighbor (0 at a summit), and if it is in time."""
    values, width = plane.values, plane.width
    first, last = width, values.size - width
    own = values[first:last]
    left, right = values[first - 1 : last - 1], values[first + 1 : last + 1]
    before, after = values[first - width : last - width], values[first + width : last + width]
    across, along = np.maximum(left, right), np.maximum(before, after)
    # Sums and products of truth values: choosing by a random condition is some times slower.
    in_time = along >= across
    way = (right >= left).view(np.int8) * np.int32(2) - np.int32(1)
    way_in_time = (after >= before).view(np.int8) * np.int32(2 * width) - np.int32(width)
    way += in_time * (way_in_time - way)
    way *= np.maximum(across, along) > own
    kept = np.flatnonzero(own >= low[first:last])
    return kept + first, way.take(kept), in_time.take(kept)


def _saddles(plane: _Plane, bins: _Array, position: _Array, basin: _Array, phase: _Array) -> _Edges:
    """Return the edges between basins, from summit to summit."""
    label = np.full(plane.values.size, -1, np.int32)
    label[bins] = basin
    starts = []
    for way in (1, plane.width):
        here, there = label[:-way], label[way:]
        starts.append(np.flatnonzero((here != there) & ((here | there) >= 0)))
    below = np.concatenate(starts)
    in_time = np.arange(below.size) >= starts[0].size
    above = below + 1 + in_time * (plane.width - 1)
    first, second = position.take(below), position.take(above)
    jump = plane.step(below, above, in_time) + phase.take(first) - phase.take(second)
    weight = _weight(plane.values.take(below), plane.values.take(above))
    return basin.take(first), basin.take(second), jump.astype(np.float64), weight


def _edges_to_the_past(
    plane: _Plane, position: _Array, basin: _Array, phase: _Array, carry: _Carry, *, first_node: int
) -> _Edges:
    """Return the edges from the last frame of the piece before, one node a channel, to the first of this."""
    n_channels = len(carry[0])
    frame = np.arange(plane.values.size).reshape(n_channels, -1, plane.width)[:, 1].ravel()
    node = np.repeat(np.arange(first_node, first_node + n_channels), plane.width)
    kept = np.flatnonzero((carry[0].ravel() > 0.0) & (position.take(frame) >= 0))
    frame, node, at = frame.take(kept), node.take(kept), position.take(frame.take(kept))
    jump = carry[1].ravel().take(kept) + 0.5 * plane.time_slope.take(frame) - phase.take(at)
    weight = _weight(carry[0].ravel().take(kept), plane.values.take(frame))
    return node, basin.take(at), jump.astype(np.float64), weight


def _weight(first: _Array, second: _Array) -> _Array:
    """Return whole numbers that order edges by their smaller end, and then by their larger one."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    weight: _Array = low.view(np.int32).astype(np.int64) << 32 | high.view(np.int32)  # floats above 0
    return weight


def _constants(
    plane: _Plane, bins: _Array, phase: _Array, tree: _Array, summits: _Array, *, n_trees: int
) -> _Array:
    """Return what to add to the phases of each tree (see ``pghi``); ``tree``: of each bin."""
    constant = np.zeros(n_trees, np.float32)
    by_size = summits.take(np.argsort(plane.values.take(bins.take(summits)), kind="stable"))
    constant[tree[by_size]] = -phase[by_size]  # of one tree's summits the last one counts
    column = bins % plane.width
    real = np.flatnonzero((column == 1) | (column == plane.width - 2))
    power = plane.values[bins[real]].astype(np.float64) ** 2
    # The constant c that makes the sum of power · cos²(phase + c) largest.
    doubled = 2.0 * phase[real].astype(np.float64)
    cosine = np.bincount(tree[real], power * np.cos(doubled), n_trees)
    sine = np.bincount(tree[real], power * np.sin(doubled), n_trees)
    known = np.hypot(cosine, sine) > 0.0
    constant[known] = -0.5 * np.arctan2(sine, cosine)[known]
    return constant


def spanning_forest(first: _Array, second: _Array, jump: _Array, n_nodes: int) -> tuple[_Array, _Array]:
    """Join nodes along a maximum spanning forest, and sum phases along it (Borůvka's algorithm).

    In each round every tree points along its best edge, and what points to each other becomes one tree.

    Args:
        first: One end of each edge, the best edge last.
        second: The other end, another node.
        jump: Phase of ``second`` less that of ``first``.
        n_nodes: Number of nodes.

    Returns:
        Each node's root, and its phase less that of its root.
    """
    root, shift = np.arange(n_nodes), np.zeros(n_nodes)
    while first.size:
        best, other = np.full(n_nodes, -1), np.full(n_nodes, -1)
        best[first] = other[second] = np.arange(first.size)  # of equal indices the last one counts
        best = np.maximum(best, other)
        node = np.flatnonzero(best >= 0)
        edge = best.take(node)
        start, goal = first.take(edge), second.take(edge)
        pointer, change = np.arange(n_nodes), np.zeros(n_nodes)
        change[node] = jump.take(edge) * (1 - 2 * (start == node))
        goal += start - node
        pointer[node] = goal
        mutual = node.compress((pointer.take(goal) == node) & (node < goal))
        pointer[mutual], change[mutual] = mutual, 0.0  # each other's best: one becomes the root
        follow(pointer, change)
        shift += change.take(root)
        root = pointer.take(root)
        jump = jump + change.take(first) - change.take(second)
        first, second = pointer.take(first), pointer.take(second)
        apart = first != second
        first, second, jump = first.compress(apart), second.compress(apart), jump.compress(apart)
    return root, shift


def follow(pointer: _Array, change: _Array) -> None:
    """Replace each pointer by the end of its chain and each change by its sum along it, in place.

    Each round doubles what a pointer skips. A node that points to itself ends a chain, with a change of 0.
    """
    active = np.arange(pointer.size)
    while active.size:
        via = pointer.take(active)
        end = pointer.take(via)
        moved = end != via
        active, via, end = active.compress(moved), via.compress(moved), end.compress(moved)
        change[active] += change.take(via)
        pointer[active] = end
