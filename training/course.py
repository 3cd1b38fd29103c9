"""The whole training, stage by stage; each stage's outcome is kept, so that a stopped training goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from specstyle.errors import SpecstyleError
from specstyle.features.weights import Weights
from specstyle.files import atomic
from training.closed_form import fit, make_lesson
from training.layers import Base, Lesson, Tensors, student_maps
from training.plan import Plan
from training.pool import Live, Pool, cut
from training.stylized import stylized_tiles
from training.tiles import Sources, make_tiles
from training.tuning import Tuning, TuningSettings, lesson_loss

SAVE_EVERY = 200
"""Steps between two checkpoints."""
_FOR_CHANNELS = 100
"""Tiles by which the teacher's channels are chosen."""


@dataclass(frozen=True)
class CourseSettings:
    """How long and on what.

    Attributes:
        tiles: To draw.
        fit_tiles: Of them, for the closed-form fit.
        held_out: Tiles that are drawn besides, for the losses that are reported.
        rounds: Tunings; before each but the first the student stylizes tiles that are added.
        stylized: Tiles to stylize before each of these rounds.
        live: Fresh crops and the teacher's answers at each step instead of a pool computed once.
        tuning: Of each round; ``steps`` is the total, of which the last round takes two thirds.
    """

    tiles: int = 3000
    fit_tiles: int = 1500
    held_out: int = 64
    rounds: int = 2
    stylized: int = 600
    live: bool = False
    tuning: TuningSettings = TuningSettings()  # noqa: RUF009  # frozen


class _Batches(Protocol):
    def batch(self, step: int, size: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]: ...


@dataclass(frozen=True)
class Graduate:
    """What comes out.

    Attributes:
        tensors: The student.
        lesson: What it was to answer.
        losses: On tiles held out: after the closed-form fit, and after each round.
    """

    tensors: Tensors
    lesson: Lesson
    losses: tuple[float, ...]


class Course:
    """A training under way.

    Args:
        teacher: The network to learn from.
        plan: The student's layers.
        sources: Of the tiles.
        settings: How long.
        base: A student's first layers, to be kept as they are; those after them are fitted and tuned.
        work: Folder for what each stage leaves.
        device: Where to train.
        say: Called with each line of progress.

    Raises:
        SpecstyleError: If ``work`` holds a training of other settings.
    """

    def __init__(
        self,
        teacher: Weights,
        plan: Plan,
        sources: Sources,
        settings: CourseSettings,
        *,
        base: Base | None = None,
        work: Path,
        device: torch.device,
        say: Callable[[str], None],
    ) -> None:
        self._teacher = replace(
            teacher, tensors={n: (w.to(device), b.to(device)) for n, (w, b) in teacher.tensors.items()}
        )
        self._plan, self._sources, self._settings, self._base = plan, sources, settings, base
        # What is tuned: of a base nothing.
        self._taught = tuple(name for name in plan.kept if not (base and name in base.tensors))
        self._work, self._device, self._say = work, device, say
        work.mkdir(parents=True, exist_ok=True)
        self._check_settings()

    def _check_settings(self) -> None:
        said = {
            "teacher": self._teacher.sha256,
            "plan": asdict(self._plan),
            "sources": {name: str(value) for name, value in asdict(self._sources).items()},
            "settings": asdict(self._settings),
            "base": list(self._base.tensors) if self._base else [],
        }
        text = json.dumps(said, indent=1, sort_keys=True) + "\n"
        path = self._work / "settings.json"
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise SpecstyleError(
                f"{self._work}: holds a training with other settings (settings.json); give the same ones to "
                "go on with it, or name another --work"
            )
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def run(self) -> Graduate:
        """Train, or go on; return the student."""
        settings, seed = self._settings, self._settings.tuning.seed
        count = settings.tiles + settings.held_out
        all_tiles: Tensor = self._once(
            "tiles", lambda: make_tiles(count, self._sources, seed=seed, say=self._say)
        )
        held_out, tiles = all_tiles[: settings.held_out], all_tiles[settings.held_out :]
        for_fit = cut(tiles[: settings.fit_tiles], seed).to(self._device).float() / 255.0
        self._say("choosing channels")
        lesson = make_lesson(self._teacher, self._plan, for_fit[:_FOR_CHANNELS], base=self._base)
        tensors: Tensors = self._once(
            "closed-form", lambda: fit(lesson, self._plan, for_fit, base=self._base, say=self._say)
        )
        losses = [self._judge(tensors, lesson, held_out)]
        for number in range(settings.rounds):
            if number:
                tiles = torch.cat([tiles, self._stylized(tensors, tiles, number)])
            tensors = self._tuned(tensors, lesson, tiles, number)
            losses.append(self._judge(tensors, lesson, held_out))
        return Graduate(tensors, lesson, tuple(losses))

    def _stylized(self, tensors: Tensors, tiles: Tensor, number: int) -> Tensor:
        made: Tensor = self._once(
            f"stylized-{number}",
            lambda: stylized_tiles(
                tensors,
                self._plan.kept,
                tiles[: self._settings.tiles],
                self._settings.stylized,
                seed=self._settings.tuning.seed + number,
                say=self._say,
            ),
        )
        return made

    def _tuned(self, tensors: Tensors, lesson: Lesson, tiles: Tensor, number: int) -> Tensors:
        settings = self._settings.tuning
        last = number == self._settings.rounds - 1
        before_last = settings.steps // 3 // max(self._settings.rounds - 1, 1)
        steps = settings.steps - before_last * (self._settings.rounds - 1) if last else before_last
        settings = replace(settings, steps=steps, seed=settings.seed + number)
        tuning = Tuning(tensors, self._taught, settings, fixed=self._base.tensors if self._base else ())
        name = f"tuning-{number}"
        if (saved := self._load(name)) is not None:
            tuning.restore(saved)
        if tuning.step >= steps:
            return tuning.tensors()
        batches: _Batches
        if self._settings.live:
            batches = Live(tiles.to(self._device), lesson, self._taught)
        else:
            batches = Pool(cut(tiles, settings.seed), lesson, self._taught, self._device, say=self._say)
        while tuning.step < steps:
            tuning.advance(*batches.batch(tuning.step, settings.batch, settings.seed))
            if tuning.step % settings.log_every == 0:
                recent = tuning.losses[-settings.log_every :]
                mean = sum(map(float, recent)) / len(recent)
                self._say(f"round {number + 1}, step {tuning.step} of {steps}: loss {mean:.4f}")
            if tuning.step % SAVE_EVERY == 0 or tuning.step == steps:
                self._save(name, tuning.state())
        return tuning.tensors()

    @torch.no_grad()
    def _judge(self, tensors: Tensors, lesson: Lesson, held_out: Tensor) -> float:
        if not len(held_out):
            return float("nan")
        kept, total = self._taught, 0.0
        for start in range(0, len(held_out), 8):
            some = held_out[start : start + 8]
            pictures = some.to(self._device).float() / 255.0
            answers = {n: r.relu() for n, r in lesson.responses(pictures, kept).items()}
            total += len(some) * float(
                lesson_loss(student_maps(tensors, pictures, kept), answers, gram_weight=1.0)
            )
        self._say(f"loss on {len(held_out)} tiles held out: {total / len(held_out):.4f}")
        return total / len(held_out)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a stage's outcome, from the work folder if it is there."""
        found = self._load(name)
        if found is None:
            found = make()
            self._save(name, found)
        return found

    def _load(self, name: str) -> Any:
        path = self._work / f"{name}.pt"
        return torch.load(path, map_location=self._device, weights_only=True) if path.exists() else None

    def _save(self, name: str, value: Any) -> None:
        with atomic(self._work / f"{name}.pt") as temporary:
            torch.save(value, temporary)
