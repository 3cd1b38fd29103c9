"""Several processes, one image: each holds some columns of it, and they tell each other what they must."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor

from specstyle.errors import SpecstyleError, is_out_of_memory


class TeamError(SpecstyleError):
    """Another process of the same run is gone or does not answer.

    Args:
        said: What is known of it.
        remedy: What to do.
    """

    def __init__(self, said: str, remedy: str = "start the run again") -> None:
        super().__init__(f"{said}; {remedy}")
        self.said = said


class Ranks:
    """The processes of ``torch.distributed``'s default group.

    Args:
        device: Where this process computes, and where its messages must be (NCCL knows GPUs only).
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._device = device

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes, the same in each; ``tensor`` is overwritten."""
        with self._answered():
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set in any process."""
        return self.least(0 if flag else 1) == 0

    def least(self, number: int) -> int:
        """Return the least of all processes' numbers."""
        least = torch.tensor(number, device=self._device)
        with self._answered():
            dist.all_reduce(least, op=dist.ReduceOp.MIN)
        return int(least)

    def exchange(self, sent: dict[int, Tensor], wanted: dict[int, Tensor]) -> None:
        """Send tensors to other processes, and fill others with what these send."""
        work = [dist.P2POp(dist.isend, tensor.contiguous(), to) for to, tensor in sent.items()]
        work += [dist.P2POp(dist.irecv, tensor, source) for source, tensor in wanted.items()]
        with self._answered():
            for request in dist.batch_isend_irecv(work) if work else []:
                request.wait()

    @contextlib.contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch's DistBackendError and DistNetworkError are such
            if is_out_of_memory(error):  # is no word from another process
                raise
            first = (str(error).splitlines() or [""])[0]
            raise TeamError(
                f"rank {self.rank} of {self.size}: another process of this run ended or does not answer "
                f"({first}); its own message says why"
            ) from error


class Strip:
    """The columns that one process holds.

    Args:
        width: Of the whole image.
        grid: What the borders between processes are multiples of (``tiles.grid_of``).
        ranks: The processes.

    Raises:
        ValueError: If there are more processes than multiples of ``grid``.
    """

    def __init__(self, width: int, grid: int, ranks: Ranks) -> None:
        units = width // grid
        if units < ranks.size:
            raise ValueError(
                f"an image of {width} columns is too small to be shared by {ranks.size} processes, which "
                f"need {grid} columns each; start fewer, or raise --size or --smallest-scale"
            )
        borders = [units * rank // ranks.size * grid for rank in range(ranks.size)]
        self._spans = list(zip(borders, [*borders[1:], width], strict=True))
        self._ranks, self.width = ranks, width
        self.start, self.stop = self._spans[ranks.rank]
        self._outer = self.start, self.stop

    def own(self, image: Tensor) -> Tensor:
        """Return a copy of own columns of a whole image ``[..., W]``."""
        return image[..., self.start : self.stop].clone(memory_format=torch.contiguous_format)

    def whole(self, own: Tensor) -> Tensor:
        """Return the whole image ``[..., W]`` of all processes' own columns."""
        found = own.new_empty(*own.shape[:-1], self.width)
        found[..., self.start : self.stop] = own
        others = [rank for rank in range(self._ranks.size) if rank != self._ranks.rank]
        parts = {rank: found[..., slice(*self._spans[rank])].clone() for rank in others}
        self._ranks.exchange(dict.fromkeys(others, own), parts)
        for rank, part in parts.items():
            found[..., slice(*self._spans[rank])] = part
        return found

    def with_margins(self, own: Tensor, margin: int) -> tuple[Tensor, int]:
        """Return own columns with others around them, and the first's number; see ``team.Columns``."""
        self._outer = self._margins(self._ranks.rank, margin)
        first, last = self._outer
        outer = own.new_empty(*own.shape[:-1], last - first)
        outer[..., self.start - first : self.stop - first] = own
        sent, parts = {}, {}
        for rank, (theirs, ours) in self._shared(margin).items():
            if ours:
                sent[rank] = own[..., ours[0] - self.start : ours[1] - self.start]
            if theirs:
                parts[rank] = outer[..., theirs[0] - first : theirs[1] - first].clone()
        self._ranks.exchange(sent, parts)
        for rank, part in parts.items():
            start = max(self._spans[rank][0], first) - first
            outer[..., start : start + part.shape[-1]] = part
        self._margin = margin
        return outer, first

    def fold(self, outer: Tensor) -> Tensor:
        """Return own columns of a sum over all processes; see ``team.Columns``."""
        first, _ = self._outer
        own = outer[..., self.start - first : self.stop - first].clone()
        sent, parts = {}, {}
        for rank, (theirs, ours) in self._shared(self._margin).items():
            if theirs:
                sent[rank] = outer[..., theirs[0] - first : theirs[1] - first]
            if ours:
                parts[rank] = own[..., ours[0] - self.start : ours[1] - self.start].clone()
        self._ranks.exchange(sent, parts)
        for rank, part in parts.items():
            start = max(self._margins(rank, self._margin)[0], self.start) - self.start
            own[..., start : start + part.shape[-1]] += part
        return own

    def _margins(self, rank: int, margin: int) -> tuple[int, int]:
        """Return first and last column (exclusive) that a process sees."""
        start, stop = self._spans[rank]
        return max(start - margin, 0), min(stop + margin, self.width)

    def _shared(self, margin: int) -> dict[int, tuple[tuple[int, int] | None, tuple[int, int] | None]]:
        """Return by other process the columns of its own that this one sees, and the reverse."""
        return {
            rank: (
                _overlap(self._margins(self._ranks.rank, margin), span),
                _overlap(self._margins(rank, margin), (self.start, self.stop)),
            )
            for rank, span in enumerate(self._spans)
            if rank != self._ranks.rank
        }


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int] | None:
    first, last = max(one[0], other[0]), min(one[1], other[1])
    return (first, last) if first < last else None
