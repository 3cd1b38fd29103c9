"""Make the network that takes any sound as the style, specstyle/onepass/any-sound.safetensors.

    python -m training.anysound STYLES -o any-sound.safetensors --data RECORDINGS --run-dir DIR

STYLES is a folder of sounds; others are synthesized beside. The objective is that of ``specstyle train``;
what is learned is not the styles, but the way from what they do to gains. Stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from specstyle.errors import SpecstyleError
from specstyle.files import check_output, load_state, make_folder, save_state
from specstyle.media.sounds import Sound, resample
from specstyle.onepass.anysound import AnySoundNetwork, describe
from specstyle.onepass.contents import files_in
from specstyle.onepass.playing import long_term_power
from specstyle.onepass.soundnetwork import SAMPLE_RATE
from specstyle.onepass.stylefile import Style, save_style
from specstyle.onepass.train import sound_lesson
from specstyle.onepass.trainer import Trainer, between
from specstyle.recipes import to_dict
from specstyle.run.request import Request
from training.sounds import DURATION_S, bursts, draw_sound, noises
from training.sounds import SAMPLE_RATE as DRAWN_RATE

ITSELF, OTHERS = 3.0, 0.3
"""What a missing share changes a style's content weight by, and those of all others: they are many."""

JITTER = 0.1
"""Of a description, in deviations over all styles: what lies between styles is a style, too."""

EVERY_S = 900.0
"""Seconds from one report and checkpoint to the next."""


class AnyTrainer(Trainer):
    """A trainer of many styles, each seen seldom: what is found of one changes the weights of all."""

    def _weigh_content(self, left: list[float], learned: Sequence[tuple[int, float]]) -> None:
        for found, (style, strength) in zip(left, learned, strict=True):
            for knot, share in between(strength):
                change = share * (self.lesson.aim(strength) - found)
                self.tilts[:, knot] += OTHERS * change
                self.tilts[style, knot] += ITSELF * change
        self.tilts.clamp_(*self.lesson.tilts)


class Practice(nn.Module):
    """A network as the trainer calls it, with the styles that it learns from."""

    def __init__(self, styles: list[Tensor]) -> None:
        super().__init__()
        self.any, self.styles = AnySoundNetwork(), len(styles)
        self._described = torch.stack([describe(style) for style in styles])
        self.any.mean.copy_(self._described.mean(0))
        self.any.scale.copy_(self._described.std(0).clamp_min(1e-2))
        powers = torch.stack([long_term_power(style[None]) for style in styles])
        self.spectra = powers / powers.mean(1, keepdim=True)

    def forward(
        self, content: Tensor, noise: list[Tensor], random: Tensor, blend: Tensor, strength: Tensor
    ) -> Tensor:
        """Play by styles; see ``SoundStyleNetwork``."""
        described = blend @ self._described
        described = described + JITTER * self.any.scale * torch.randn(described.shape)
        played: Tensor = self.any.plays(content, noise, random, self.any.mixture(described), strength)
        return played


def styles_of(folder: Path, drawn: int) -> list[Any]:
    """Return the files of a folder, and styles that are synthesized."""
    styles: list[Any] = list(files_in(folder, "audio"))
    length = round(DURATION_S * DRAWN_RATE)
    for number in range(drawn):
        rng = np.random.default_rng(number)
        samples = (bursts(length, rng), noises(length, rng), draw_sound(rng))[number % 3]
        samples = samples / max(float(np.abs(samples).max()), 1e-9)
        styles.append(Sound(torch.from_numpy(samples)[None].double(), DRAWN_RATE, name=f"drawn {number}"))
    return styles


def trainer_of(arguments: argparse.Namespace) -> tuple[AnyTrainer, dict[str, Any]]:
    """Return what learns, and the recipe that it learns by."""
    request = Request("audio", None, styles_of(arguments.styles, arguments.drawn), seed=arguments.seed)
    torch.manual_seed(arguments.seed)
    lesson, session, recipe = sound_lesson(request, arguments.data)
    sources = [resample(source, SAMPLE_RATE) for source in session.style_sources]
    network = Practice([source.samples.mean(0).float() for source in sources])
    trainer = AnyTrainer(
        network, lesson, seed=arguments.seed, minutes=arguments.minutes, steps=arguments.steps
    )
    return trainer, to_dict(recipe)


def learn(trainer: AnyTrainer, checkpoint: Path | None) -> None:
    """Train to the end; say how far it is, and keep it, from time to time."""
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(load_state(checkpoint))
    last = time.monotonic()
    while trainer.share < 1.0:
        trainer.advance()
        if trainer.share < 1.0 and time.monotonic() - last < EVERY_S:
            continue
        report = trainer.report()
        loss = sum(report.style_loss) / len(report.style_loss)
        print(
            f"step {report.step}, {100 * report.share:.0f} %: style loss {loss:.3f} on contents held out, "
            f"{report.left:.2f} of them left at strength 0.5 (aim: {report.aim:.2f})",
            flush=True,
        )
        last = time.monotonic()
        if checkpoint is not None:
            save_state(checkpoint, trainer.state())


def main(argv: list[str] | None = None) -> int:
    """Train, and write the file."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m training.anysound", description=__doc__, formatter_class=form)
    add = parser.add_argument
    add("styles", type=Path, metavar="STYLES", help="a folder of sounds")
    add("-o", "--output", type=Path, required=True, metavar="FILE")
    add("--data", type=Path, metavar="FOLDER", help="recordings to learn from")
    add("--drawn", type=int, default=60, metavar="N", help="styles synthesized beside (%(default)s)")
    add("--minutes", type=float, default=50.0, metavar="M", help="how long (%(default)s)")
    add("--steps", type=int, metavar="N", help="how many steps, in the place of --minutes")
    add("--run-dir", type=Path, metavar="DIR", help="keep the training in DIR")
    add("--seed", type=int, default=0, metavar="N")
    add("--force", action="store_true", help="replace FILE")
    arguments = parser.parse_args(argv)
    try:
        check_output(arguments.output, force=arguments.force)
        if arguments.run_dir is not None:
            make_folder(arguments.run_dir)
        trainer, recipe = trainer_of(arguments)
        learn(trainer, None if arguments.run_dir is None else arguments.run_dir / "training.pt")
        save_style(Style(trainer.network.any, "audio", recipe, ()), arguments.output)
    except (SpecstyleError, ValueError) as error:
        print(f"training.anysound: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
