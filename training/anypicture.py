"""Make the network that takes any picture as the style, specstyle/onepass/any-picture.safetensors.

    python -m training.anypicture PHOTOGRAPHS -o any-picture.safetensors --run-dir DIR

The photographs are contents and styles; other styles are drawn, and painted over the photographs by the drawn
styles that come along. Each is seen as cut-outs of many sizes, turned, in other colors. What is learned is
how to make a step down the style loss of `vgg19-lite`; the last fifth of the time its outcome is judged by
VGG19. Stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.canvas import resize
from specstyle.engine.grams import gram
from specstyle.engine.losses import content_distance, relative_distance
from specstyle.engine.objective import mean_statistic
from specstyle.engine.variation import total_variation
from specstyle.errors import SpecstyleError
from specstyle.features import lite, weights
from specstyle.features.vgg import VGG19
from specstyle.files import check_output, load_state, make_folder, save_state
from specstyle.media.color import match_colors
from specstyle.media.imagefiles import read_picture
from specstyle.media.structure import edge_correlations
from specstyle.onepass.anypicture import PLAN, STEPS, StepNetwork, colored, descend, grams, pulls, reduced
from specstyle.onepass.apply import apply
from specstyle.onepass.contents import PictureContents, files_in
from specstyle.onepass.memory import keep_freed_memory
from specstyle.onepass.stylefile import Style, save_style
from specstyle.onepass.trainer import (
    FINISH_SHARE,
    KNOTS,
    LAST_RATE,
    LONGEST_GRADIENT,
    WEAKEST,
    between,
)
from specstyle.recipes import default_recipe, to_dict
from specstyle.recipes.recipe import S5

SIZE = 512
"""Longest side of a picture, about, in which strokes and things are seen."""

CONTENT, STYLE = 192, 224
"""Sides of what is cut out of contents and styles."""

DRAWN, PAINTED = 4, 2
"""Of each drawn style, and over each photograph."""

LEARNING_RATE = 1e-3
"""Of Adam, one content a step."""

CONTENT_WEIGHT, EDGES = 0.5, 6.0
"""Of the content loss at first, and what missing edges weigh beside it."""

SPECKLE = 10.0
"""What total variation of colors weighs beyond that of the content and that of the style."""

GAIN = 0.3
"""Of the logarithm of the content's weight, for each unit of its share that is missing."""

FAR = 10.0
"""The style loss is the mean of ``log(1 + FAR error)`` over layers: one style far off teaches no more."""

AVERAGED = 0.002
"""Share of the newest weights in their running mean, which is what is kept."""

STRENGTH = 0.35
"""By default: faces stay, and behind 0.5 hardly anything of the style is gained."""

EVERY_S = 300.0
"""Seconds from one line and checkpoint to the next."""


@dataclass
class Styles:
    """Pictures to take styles from."""

    pictures: list[Tensor]

    @classmethod
    def of(cls, folder: Path, *, drawn: int, painted: int, seed: int) -> Styles:
        """Return the pictures of a folder, drawn ones, and its pictures painted in drawn styles."""
        from specstyle.synthesis.patterns import PATTERNS

        files = files_in(folder, "image")
        pictures = [read_picture(file).pixels.float() for file in files]
        pictures += [
            torch.from_numpy(draw(SIZE, SIZE * 5 // 4, seed=number)).movedim(2, 0).float()
            for draw in PATTERNS.values()
            for number in range(drawn)
        ]
        generator = torch.Generator().manual_seed(seed)
        known = ("swirls", "stained-glass", "engraving")
        for file in files:
            for _ in range(painted):
                one, other = (known[n] for n in torch.randperm(3, generator=generator)[:2].tolist())
                blend = {one: 1.0} if _drawn(generator) < 0.5 else {one: 0.5, other: 0.5}
                strength = 0.6 if _drawn(generator) < 0.5 else 1.0
                made = apply(one, file, blend=blend, strength=strength, size=SIZE).output
                pictures.append(made.pixels.float())
        return cls([picture.expand(3, -1, -1) if len(picture) == 1 else picture[:3] for picture in pictures])

    def cut(self, generator: torch.Generator) -> Tensor:
        """Return a cut-out of one, turned and colored at random, ``[1, 3, STYLE, STYLE]``."""

        def draw(low: float = 0.0, high: float = 1.0) -> float:
            return low + (high - low) * _drawn(generator)

        picture = self.pictures[int(draw(0, len(self.pictures)))]
        longest = SIZE * 2.0 ** draw(-0.7, 0.5)
        sides = picture.shape[1:]
        factor = max(longest / max(sides), STYLE / min(sides))
        whole = resize(picture[None], *(max(round(side * factor), STYLE) for side in sides))[0].clamp(
            0.0, 1.0
        )
        y, x = (int(draw(0, side - STYLE + 1)) for side in whole.shape[1:])
        part = whole[:, y : y + STYLE, x : x + STYLE]
        part = part.flip(2) if draw() < 0.5 else part
        part = part.transpose(1, 2) if draw() < 0.5 else part
        part = part[torch.randperm(3, generator=generator)] if draw() < 0.5 else part
        if draw() < 0.5:
            mixing = torch.eye(3) + 0.5 * torch.randn(3, 3, generator=generator)
            mixed = torch.tensordot(mixing, part - part.mean((1, 2), keepdim=True), 1)
            mixed = mixed * (part.std() / mixed.std().clamp_min(1e-3))
            part = mixed + 0.2 + 0.6 * torch.rand(3, 1, 1, generator=generator)
        return part.clamp(0.0, 1.0)[None]


@dataclass
class StepTrainer:
    """Learns to make the steps of ``PLAN``, with strength in closed loop.

    Args:
        contents: What is to be stylized.
        styles: By what.
        seed: Of all that is drawn at random.
        minutes: How long, in all its parts; or else
        most: how many contents.
    """

    contents: PictureContents
    styles: Styles
    seed: int
    minutes: float
    most: int | None
    step: int = 0
    seconds: float = 0.0
    tilts: Tensor = field(default_factory=lambda: torch.linspace(4.0, -4.0, KNOTS))

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = StepNetwork()
        self.kept = copy.deepcopy(self.network).requires_grad_(False)
        self._adam = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)
        self._lite, self._real = (
            VGG19(loaded, S5, pooling="average", padding="replicate")
            for loaded in (lite.load(), weights.pretrained(S5[-1]))
        )

    @property
    def share(self) -> float:
        """How much of the training is done, from 0 to 1."""
        done = self.step / self.most if self.most is not None else self.seconds / (60.0 * self.minutes)
        return min(done, 1.0)

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        networks = {"network": self.network.state_dict(), "kept": self.kept.state_dict()}
        counts = {"step": self.step, "seconds": self.seconds, "tilts": self.tilts}
        return {**networks, "adam": self._adam.state_dict(), **counts}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        self.kept.load_state_dict(state["kept"])
        self._adam.load_state_dict(state["adam"])
        self.step, self.seconds, self.tilts = state["step"], state["seconds"], state["tilts"]

    def advance(self) -> tuple[float, float, float]:
        """Learn from one content; return its loss, style error in the end and what is left too much of it."""
        started = time.monotonic()
        generator = torch.Generator().manual_seed((self.seed << 32) + self.step)
        content, style = self.contents(1, generator), self.styles.cut(generator)
        strength = WEAKEST + (1.0 - WEAKEST) * _drawn(generator)
        for group in self._adam.param_groups:
            cosine = 0.5 + 0.5 * math.cos(math.pi * self.share)
            group["lr"] = LEARNING_RATE * (LAST_RATE + (1.0 - LAST_RATE) * cosine)
        loss, error, left = self._loss(self.network, content, style, strength)
        self._adam.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST_GRADIENT)
        self._adam.step()
        share = max(AVERAGED, 1.0 / (self.step + 1))
        with torch.no_grad():
            for mean, new in zip(self.kept.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(new, share)
        missing = 1.0 - strength**2 - left
        for knot, part in between(strength):
            self.tilts[knot] += GAIN * part * missing
        self.tilts.clamp_(-9.0, 6.0)
        self.step += 1
        self.seconds += time.monotonic() - started
        return float(loss.detach()), error, -missing

    @torch.no_grad()
    def held_out(self) -> tuple[float, float]:
        """Return, of what is not learned, the error of VGG19's Gram matrices and what is left, at 0.5."""
        found = []
        for number, content in enumerate(self.contents.held_out):
            style = self.styles.cut(torch.Generator().manual_seed(number))
            found.append(
                self._loss(self.kept, content[None, :, :CONTENT, :CONTENT], style, 0.5, self._real)[1:]
            )
        errors, left = zip(*found, strict=True)
        return sum(errors) / len(found), sum(left) / len(found)

    def _loss(
        self,
        network: StepNetwork,
        content: Tensor,
        style: Tensor,
        strength: float,
        judge: VGG19 | None = None,
    ) -> tuple[Tensor, float, float]:
        """Return the loss over all sizes, the style error of the last and what is left of the content."""
        judge = judge or (self._real if self.share >= FINISH_SHARE else self._lite)
        tilt = sum(float(self.tilts[knot]) * part for knot, part in between(strength))
        weight = CONTENT_WEIGHT * math.exp(tilt)
        styles = {by: reduced(style, by) for by, _ in PLAN}
        targets, wanted = ({by: grams(sees, x) for by, x in styles.items()} for sees in (self._lite, judge))
        ends = {sum(count for _, count in PLAN[: n + 1]) - 1 for n in range(len(PLAN))}
        start = colored(content, match_colors(content, style, "covariance"), strength)
        start = reduced(start, PLAN[0][0])
        losses: list[Tensor] = []
        found: list[tuple[float, float]] = []

        def step(number: int, image: Tensor, seen: Tensor, by: int) -> Tensor:
            looked = torch.cat([image, seen, pulls(self._lite, image, targets[by])], 1)
            image = network(looked, torch.eye(STEPS)[number : number + 1], torch.tensor([strength]))
            if number not in ends:
                return image
            maps, own = self._lite(image), self._lite(seen)["relu3_1"]
            judged = maps if judge is self._lite else judge(image)
            errors = torch.stack(
                [relative_distance(mean_statistic(gram, judged[n]), wanted[by][n]) for n in S5]
            )
            kept = content_distance("relative", maps["relu3_1"], own).clamp_max(4.0)
            left = edge_correlations(image, seen, longest=SIZE // by)
            style_loss = (1.0 + FAR * errors).log().mean()
            content_loss = (kept + EDGES * (1.0 - left)).mean()
            uneven = total_variation("chroma", image)
            beyond = uneven - torch.maximum(*(total_variation("chroma", x) for x in (seen, styles[by])))
            speckle = SPECKLE * beyond.clamp_min(0.0).mean()
            losses.append((style_loss + weight * content_loss) / (1.0 + weight) + speckle)
            found.append((float(errors.detach().mean()), float(left.detach())))
            return image.detach()

        descend(content, start, step)
        return torch.stack(losses).sum(), *found[-1]


def _drawn(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def learn(trainer: StepTrainer, checkpoint: Path | None) -> None:
    """Train to the end; say how far it is, and keep it, from time to time."""
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(load_state(checkpoint))
    last, seen = time.monotonic(), []
    while trainer.share < 1.0:
        seen.append(trainer.advance())
        if trainer.share < 1.0 and time.monotonic() - last < EVERY_S:
            continue
        loss, error, more = (sum(column) / len(seen) for column in zip(*seen, strict=True))
        gram_error, left = trainer.held_out()
        print(
            f"step {trainer.step}, {100 * trainer.share:.0f} %: loss {loss:.3f}, style error {error:.3f}, "
            f"{more:+.2f} left too much; held out, at strength 0.5: Gram error {gram_error:.3f} by VGG19, "
            f"{left:.2f} left (aim: 0.75)",
            flush=True,
        )
        last, seen = time.monotonic(), []
        if checkpoint is not None:
            save_state(checkpoint, trainer.state())


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and write the file."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m training.anypicture", description=__doc__, formatter_class=form
    )
    add = parser.add_argument
    add("photographs", type=Path, metavar="PHOTOGRAPHS", help="a folder of pictures")
    add("-o", "--output", type=Path, required=True, metavar="FILE")
    add("--drawn", type=int, default=DRAWN, metavar="N", help="of each drawn style (%(default)s)")
    add("--painted", type=int, default=PAINTED, metavar="N", help="over each photograph (%(default)s)")
    add("--minutes", type=float, default=70.0, metavar="M", help="how long (%(default)s)")
    add("--steps", type=int, metavar="N", help="how many contents, in the place of --minutes")
    add("--run-dir", type=Path, metavar="DIR", help="keep the training in DIR")
    add("--seed", type=int, default=0, metavar="N")
    add("--force", action="store_true", help="replace FILE")
    arguments = parser.parse_args(argv)
    try:
        check_output(arguments.output, force=arguments.force)
        if arguments.run_dir is not None:
            make_folder(arguments.run_dir)
        keep_freed_memory()
        folder, seed = arguments.photographs, arguments.seed
        styles = Styles.of(folder, drawn=arguments.drawn, painted=arguments.painted, seed=seed)
        contents = PictureContents(folder, CONTENT, SIZE)
        trainer = StepTrainer(contents, styles, seed, arguments.minutes, arguments.steps)
        learn(trainer, None if arguments.run_dir is None else arguments.run_dir / "training.pt")
        recipe = to_dict(
            default_recipe("image", "vgg19-lite").replace(
                finish_network="", style_scale=(), strength=STRENGTH
            )
        )
        save_style(Style(trainer.kept, "image", recipe, ()), arguments.output)
    except (SpecstyleError, ValueError) as error:
        print(f"training.anypicture: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
