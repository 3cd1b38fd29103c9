"""Add a loss of your own to a recipe's: here, keep the content's loudness over time.

A term is anything with a name, a weight, and a call that returns one value per batch entry.

Usage: python examples/custom_loss.py [OUTPUT_FOLDER]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from specstyle.engine import Objective, Pixels, optimize
from specstyle.features import WideRandom
from specstyle.media.audio import SoundMedium
from specstyle.media.audiosettings import AudioSettings
from specstyle.media.soundfiles import write_sound
from specstyle.media.sounds import Sound
from specstyle.recipes import get_recipe
from specstyle.run.build import optimizer_settings
from specstyle.run.objectives import build_objective
from specstyle.synthesis.sounds import fire_crackle, voice_phrase

SAMPLE_RATE = 16000


@dataclass(frozen=True)
class EnvelopeTerm:
    """Distance of each frame's mean level from the content's."""

    target: Tensor
    weight: float = 0.1
    name: str = "envelope"

    def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return ``[B]`` for an image ``[B, 1, bins, frames]``."""
        return (image.mean((1, 2)) - self.target).square().mean(1) / self.target.square().mean(1)


def main(folder: Path) -> None:
    """Play a voice by a fire, with the voice's own envelope."""
    folder.mkdir(parents=True, exist_ok=True)
    voice, fire = (
        Sound(torch.from_numpy(make(2.0, SAMPLE_RATE, seed=3))[None], SAMPLE_RATE)
        for make in (voice_phrase, fire_crackle)
    )
    medium = SoundMedium(AudioSettings())
    content, style = medium.encode(voice), medium.encode(fire)

    recipe = get_recipe("default-audio-wide")
    network = WideRandom(rows=content.image.shape[2], n_filters=1024)
    objective = build_objective(recipe, network, content.image, [style.image])
    envelope = EnvelopeTerm(content.image.mean((1, 2)))
    objective = Objective(network, [*objective.terms, envelope])

    canvas = Pixels(content.image, upper=max(content.upper, style.upper))
    state = optimize(canvas, objective, optimizer_settings(recipe), steps=20)
    print(", ".join(f"{name} {loss:.4f}" for name, loss in state.losses_end.items()))

    sound, _ = medium.finish(medium.decode(state.image, content), content)
    write_sound(sound, folder / "voice-by-fire.wav")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-output"))
