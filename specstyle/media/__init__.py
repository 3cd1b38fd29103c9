"""Media: files to images and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Encoded:
    """An image that the engine can optimize, and what is needed to turn it back.

    Attributes:
        image: Values from 0 to ``upper``, shape ``[B, C, H, W]``. A picture has ``B = 1, C = 3`` (gray: 1); a
            sound has one batch entry per channel, ``C = 1``, ``H`` frequency bins (row 0 is 0 Hz) and ``W``
            frames.
        upper: Upper end of the valid range: 1 for a picture, at least 1 for a sound.
        context: What only the medium itself reads (sample rate, level, phase, alpha ...).
    """

    image: Tensor
    upper: float
    context: Any
