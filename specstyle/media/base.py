"""What a medium is: a file becomes an image tensor, and an image tensor becomes a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

SourceT = TypeVar("SourceT")


@dataclass(frozen=True)
class Encoded:
    """An image that the engine can optimize, and what is needed to turn it back.

    Attributes:
        image: Values from 0 to ``upper``, shape ``[B, C, H, W]``. A picture has ``B = 1, C = 3``; a sound
            has one batch entry per channel, ``C = 1``, ``H`` frequency bins (row 0 is 0 Hz) and ``W`` frames.
        upper: Upper end of the valid range: 1 for a picture, at least 1 for a sound.
        context: What only the medium itself reads (sample rate, level, phase, alpha ...).
    """

    image: Tensor
    upper: float
    context: Any


class Medium(Protocol[SourceT]):
    """Reads, encodes, decodes and writes one kind of file.

    ``read`` and ``write`` touch files; ``encode`` and ``decode`` are pure.
    """

    name: str

    def read(self, path: Path) -> SourceT:
        """Read a file, or raise ``FileError`` saying in one line why not."""
        ...

    def encode(self, source: SourceT, *, dtype: torch.dtype = torch.float32) -> Encoded:
        """Turn a source into an image."""
        ...

    def decode(self, image: Tensor, like: Encoded) -> SourceT:
        """Turn an image of the same shape as ``like.image`` into a source."""
        ...

    def write(self, source: SourceT, path: Path) -> None:
        """Write a file in the format that its suffix names."""
        ...
