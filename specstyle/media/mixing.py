"""How a finished sound is mixed with its content."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specstyle.errors import FileError, RecipeError
from specstyle.files import sha256_of
from specstyle.media.audio import PEAK_LIMIT
from specstyle.media.bandtext import read_band
from specstyle.media.masks import SoundMask, mixed, read_mask
from specstyle.media.sounds import Sound


@dataclass(frozen=True)
class Mixing:
    """A mask, and the file that it came from.

    Attributes:
        mask: ``None``: the result is not mixed.
        file: Path and hash, for the record.
    """

    mask: SoundMask | None = None
    file: dict[str, str] | None = None

    @classmethod
    def of(cls, recipe: Any) -> Mixing:
        """Return what a recipe asks for by its ``mask``, ``keep_band`` and ``mix``.

        Raises:
            FileError: If its mask cannot be read.
        """
        if recipe.mask is None and not recipe.keep_band and recipe.mix == 1.0:
            return cls()
        mask, file = SoundMask(), None
        if recipe.mask is not None:
            path = Path(recipe.mask)
            try:
                mask, file = read_mask(path), {"path": recipe.mask, "sha256": sha256_of(path)}
            except (FileError, OSError) as error:
                raise FileError(f"--mask {recipe.mask} (a picture or a CSV table): {error}") from error
        bands = tuple(read_band(band) for band in recipe.keep_band)
        return cls(dataclasses.replace(mask, keep=bands, mix=recipe.mix), file)

    def check(self, content: Sound) -> None:
        """Refuse bands that the content does not have.

        Raises:
            RecipeError: Naming the band.
        """
        for low, _ in () if self.mask is None else self.mask.keep:
            if low >= content.sample_rate / 2:
                raise RecipeError(
                    f"keep_band {low:g}- begins above {content.sample_rate / 2:g} Hz, the highest frequency "
                    f"of {content.name}; choose a lower one"
                )

    def mixed(self, result: Sound, content: Sound) -> tuple[Sound, float]:
        """Return a finished sound mixed with its content, and the gain in dB that its peaks took away.

        The content comes back at its own level; only where the sum would pass full scale, and the content
        itself does not reach it, is all of it turned down.
        """
        if self.mask is None:
            return result, 0.0
        sound = mixed(content, result, self.mask)
        peaks = [float(torch.linalg.vector_norm(s.samples, math.inf)) for s in (sound, content)]
        limit = min(max(PEAK_LIMIT, peaks[1]), 1.0)
        gain = min(1.0, limit / peaks[0]) if peaks[0] > 0 else 1.0
        return dataclasses.replace(sound, samples=sound.samples.mul_(gain)), 20.0 * math.log10(gain)
