"""How a network learns its styles: the objective of a recipe on its outputs, strength in closed loop."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.losses import content_distance
from specstyle.engine.objective import ContentTerm, StyleTerm, Term
from specstyle.errors import SpecstyleError

BATCH = 2
"""Contents a step, each with a style and a strength of its own."""

LEARNING_RATE, LAST_RATE = 1.5e-3, 0.02
"""Adam's at first, and the share of it that is left in the end, along a cosine."""

LONGEST_GRADIENT = 1.0
"""Norm that a gradient is cut to."""

FIRST_SIZE, FIRST_SHARE = 0.75, 0.7
"""Contents have so much of their size for this share of the training: twice as many steps a minute."""

FINISH_SHARE = 0.8
"""From this share of the training on the lesson's ``finish`` is learned, if it has one."""

KNOTS = 6
"""Strengths, from 0 to 1, at which a style's content weights are known; between them they are on lines."""

WEAKEST = 0.1
"""Strength from which on is learned: below it the output is the content, nearly."""

GAIN = 1.0
"""Of the logarithm of a content weight, for each unit of the content's share that is missing."""


def at_random_places(
    network: Any, contents: Tensor, blend: Tensor, strengths: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return what a network makes of pictures, which may be anywhere in a larger one, and the pictures."""
    y, x = torch.randint(1 << 16, (2,), generator=generator).tolist()
    return network(contents, blend, strengths, origin=(y, x)), contents


@dataclass(frozen=True)
class Lesson:
    """What a network learns from.

    Attributes:
        features: Image ``[B, C, H, W]`` to maps by layer.
        terms: For each style, the terms of its objective; the content's targets do not count.
        contents: From a number, a generator and a share of their full size to contents, ``[B, C, H, W]``.
        held_out: Contents that are not learned from, ``[N, C, H, W]``.
        left: From outputs and contents to the share of each content that is left, ``[B]``, with a gradient.
        aim: From a strength to the share that should be.
        held: What a share that is missing weighs beside the recipe's content loss.
        made: From the network, contents, the weights of styles ``[B, styles]``, strengths ``[B]`` and a
            generator to images of what the network makes, and of what its content is held against.
        tilts: What the logarithms of factors on content weights stay within.
        finish: What the last part of the training is learned from; reports stay with this.
    """

    features: Callable[[Tensor], dict[str, Tensor]]
    terms: Sequence[Sequence[Term]]
    contents: Callable[[int, torch.Generator, float], Tensor]
    held_out: Tensor
    left: Callable[[Tensor, Tensor], Tensor]
    aim: Callable[[float], float]
    held: float = 0.0
    made: Callable[[Any, Tensor, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]] = at_random_places
    tilts: tuple[float, float] = (-9.0, 6.0)
    finish: Lesson | None = None


@dataclass(frozen=True)
class Report:
    """How far a training is.

    Attributes:
        step: Steps made.
        share: Of the whole, from 0 to 1.
        style_loss: On contents held out at strength 0.5, for each style.
        left: Of these contents, in the mean.
        aim: What should be left.
        samples: These contents in each style, ``[N, C, H, W]`` each.
    """

    step: int
    share: float
    style_loss: tuple[float, ...]
    left: float
    aim: float
    samples: tuple[Tensor, ...]


@dataclass
class Trainer:
    """Trains a network.

    Args:
        network: To be trained, on its device.
        lesson: What it learns from.
        seed: Of contents, styles and strengths.
        minutes: How long, in all its parts; or else
        steps: how many.
    """

    network: Any
    lesson: Lesson
    seed: int = 0
    minutes: float = 30.0
    steps: int | None = None
    step: int = 0
    seconds: float = 0.0
    tilts: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._adam = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)
        self.tilts = torch.linspace(4.0, -6.0, KNOTS).clamp(*self.lesson.tilts).repeat(self.network.styles, 1)

    @property
    def share(self) -> float:
        """How much of the training is done, from 0 to 1."""
        done = self.step / self.steps if self.steps is not None else self.seconds / (60.0 * self.minutes)
        return min(done, 1.0)

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {
            "network": self.network.state_dict(),
            "adam": self._adam.state_dict(),
            "tilts": self.tilts,
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        self._adam.load_state_dict(state["adam"])
        self.tilts, self.step, self.seconds = state["tilts"], state["step"], state["seconds"]

    def advance(self) -> None:
        """Make one step."""
        started = time.monotonic()
        generator = torch.Generator().manual_seed((self.seed << 32) + self.step)
        size = FIRST_SIZE if self.share < FIRST_SHARE else 1.0
        contents = self.lesson.contents(BATCH, generator, size).to(self.lesson.held_out)
        styles = torch.randint(self.network.styles, (BATCH,), generator=generator).tolist()
        strengths = WEAKEST + (1.0 - WEAKEST) * torch.rand(BATCH, generator=generator)
        for group in self._adam.param_groups:
            cosine = 0.5 + 0.5 * math.cos(math.pi * self.share)
            group["lr"] = LEARNING_RATE * (LAST_RATE + (1.0 - LAST_RATE) * cosine)
        lesson = (self.lesson.finish if self.share >= FINISH_SHARE else None) or self.lesson
        given = (contents, self._blend(styles), strengths.to(contents))
        outputs, contents = self.lesson.made(self.network, *given, generator)
        left = self.lesson.left(outputs, contents)
        learned = list(zip(styles, strengths.tolist(), strict=True))
        loss = self._losses(lesson, outputs, contents, left, learned).mean()
        if not bool(loss.isfinite()):
            raise SpecstyleError(
                f"the loss is no finite number at step {self.step}; another --seed or recipe may do better"
            )
        self._adam.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST_GRADIENT)
        self._adam.step()
        self._weigh_content(left.tolist(), learned)
        self.step += 1
        self.seconds += time.monotonic() - started

    @torch.no_grad()
    def report(self) -> Report:
        """Measure on what is held out."""
        contents, losses, left, samples = self.lesson.held_out, [], [], []
        half = torch.full((len(contents),), 0.5).to(contents)
        for style in range(self.network.styles):
            generator = torch.Generator().manual_seed(style)
            blend = self._blend([style] * len(contents))
            outputs, seen = self.lesson.made(self.network, contents, blend, half, generator)
            losses.append(float(style_loss(self.lesson, style, outputs).mean()))
            left += self.lesson.left(outputs, seen).tolist()
            samples.append(outputs)
        mean, aim = sum(left) / len(left), self.lesson.aim(0.5)
        return Report(self.step, self.share, tuple(losses), mean, aim, tuple(samples))

    def _blend(self, styles: Sequence[int]) -> Tensor:
        return torch.eye(self.network.styles)[list(styles)].to(self.lesson.held_out)

    def _losses(
        self,
        lesson: Lesson,
        outputs: Tensor,
        contents: Tensor,
        left: Tensor,
        learned: Sequence[tuple[int, float]],
    ) -> Tensor:
        """Return the loss of each output, ``[B]``, for a style and a strength each."""
        maps, losses = lesson.features(outputs), torch.zeros(len(outputs)).to(outputs)
        with torch.no_grad():
            targets = lesson.features(contents)
        tilts = [self._tilt(*pair) for pair in learned]
        factors = torch.tensor(tilts).exp().to(outputs)
        heaviest = torch.zeros_like(losses)
        for terms in zip(*(lesson.terms[style] for style, _ in learned), strict=True):
            term = terms[0]
            if isinstance(term, ContentTerm):
                distance = content_distance(term.form, maps[term.layer], targets[term.layer])
                losses = losses + factors * term.weight * distance
                heaviest = heaviest + factors * term.weight
                continue
            if isinstance(term, StyleTerm):
                each = [t.target for t in terms if isinstance(t, StyleTerm)]
                term = dataclasses.replace(term, target=torch.cat(each))
            losses = losses + term.weight * term(outputs, maps)
        losses = losses + heaviest * lesson.held * (1.0 - left)
        return losses / (1.0 + heaviest)  # no strength is learned at the cost of another

    def _tilt(self, style: int, strength: float) -> float:
        """Return the logarithm of the factor on a style's content weights."""
        return sum(float(self.tilts[style, knot]) * share for knot, share in between(strength))

    def _weigh_content(self, left: list[float], learned: Sequence[tuple[int, float]]) -> None:
        """Change content weights by how much of each content is left, and how much should be."""
        for found, (style, strength) in zip(left, learned, strict=True):
            for knot, share in between(strength):
                self.tilts[style, knot] += GAIN * share * (self.lesson.aim(strength) - found)
        self.tilts.clamp_(*self.lesson.tilts)


def style_loss(lesson: Lesson, style: int, images: Tensor) -> Tensor:
    """Return the weighted style loss of images, ``[B]``."""
    maps = lesson.features(images)
    terms = [term for term in lesson.terms[style] if isinstance(term, StyleTerm)]
    each = [
        t.weight
        * dataclasses.replace(t, target=t.target.expand(len(images), *t.target.shape[1:]))(images, maps)
        for t in terms
    ]
    return torch.stack(each).sum(0)


def between(strength: float) -> list[tuple[int, float]]:
    """Return the knots on either side of a strength, with their shares of it."""
    place = strength * (KNOTS - 1)
    below = min(int(place), KNOTS - 2)
    return [(below, below + 1 - place), (below + 1, place - below)]
