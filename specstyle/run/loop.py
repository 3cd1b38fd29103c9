"""One run: scale after scale, or section after section, from the first image to the last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine.canvas import Stage, carry_up, noise_image, resize, resize_around, resize_memory
from specstyle.engine.objective import Objective
from specstyle.engine.optimize import NonFiniteLossError, State, Step, optimize
from specstyle.engine.tiles import Size
from specstyle.engine.tiling import FrugalObjective
from specstyle.features.vgg import IMAGENET_MEAN_RGB
from specstyle.run.balance import Balance
from specstyle.run.inputs import Session
from specstyle.run.memory import Estimate, Plan, smaller_tiles
from specstyle.run.objective import build_objective
from specstyle.run.request import Progress
from specstyle.run.settle import optimizer_settings

_SAVED = ("done", "losses_start", "whole", "of_sections")
"""Of a ``ScaleLoop``, what a checkpoint holds beside what its session and the engine need."""


class ScaleLoop:
    """Optimizes what a session has prepared.

    Args:
        run: The session; what is no longer needed of it is freed.
        estimate: What it will take, and how each scale is made to fit.
    """

    def __init__(self, run: Session, estimate: Estimate) -> None:
        self._run, self._estimate = run, estimate
        self._done = 0
        self._losses_start: dict[str, float] | None = None
        self._balance = Balance(run)
        self._whole: Tensor | None = None
        self._of_sections: dict[int, dict[str, dict[str, float]]] = {}

    def optimize(self) -> State:
        """Optimize at each scale, from the coarsest; return the last state with the losses of the whole."""
        run, first = self._run, 0
        saved = None if run.keeper is None else run.keeper.load(run.device)
        state: State | None = None
        if saved is not None:
            first = saved["scale"]
            self._estimate.restore(saved["plans"])
            for name in _SAVED:
                setattr(self, f"_{name}", saved[name])
            run.generator.set_state(saved["generator"].cpu())
            run.tiles, self._balance.tilts = saved["tiles"], saved["tilts"]
        for scale in range(first, len(run.stages)):
            state = self._at_scale(scale, state, saved)
            saved = None
            if state.stopped:
                break
        if state is None:
            raise RuntimeError("there is no scale")
        state = self._of_whole(state, stage := run.stages[scale])
        if state.stopped and stage.columns and stage.columns[1] < run.content.image.shape[3]:
            share = stage.columns[1] / run.content.image.shape[3]
            run.tell(f"stopped at {100 * share:.0f} % of the sound: the rest is not stylized")
        run.release_images()  # the way back takes memory of its own
        parameters = [] if run.waveform is None else state.parameters
        return dataclasses.replace(state, memory={}, parameters=parameters)

    def _at_scale(self, scale: int, before: State | None, saved: dict[str, Any] | None) -> State:
        """Optimize at one scale, after another one or from where a run was left."""
        run, stage = self._run, self._run.stages[scale]
        # Of a run that was left, the start's place is what counts: the values come from the file.
        start = self._start(scale, before) if saved is None else stage.of(run.content.image)
        canvas = run.canvas(start)
        del start
        run.start = run.content  # all that is needed of it was taken
        memory = {}
        if before is not None:
            last = run.stages[scale - 1]
            if stage.features is last.features and stage.columns == last.columns:
                same = stage.shape == last.shape
                memory = dict(before.memory) if same else resize_memory(before.memory, *stage.shape)
            before.memory.clear()
        planned = self._estimate.plan(scale)
        objective = FrugalObjective(*self._attempts(stage, planned), run.tell)
        keep = partial(self._keep, scale=scale, objective=objective)
        try:
            state = optimize(
                canvas,
                objective,
                dataclasses.replace(optimizer_settings(run.recipe), history=planned.history),
                stage.steps,
                on_step=partial(self._report, scale=scale),
                memory=memory,
                report_every=run.request.report_every if run.device.type == "cuda" else 1,
                steps_before=self._done,
                on_safe=None if run.keeper is None else keep,
                resume=None if saved is None else saved["engine"],
                on_note=run.tell,
            )
        except NonFiniteLossError as error:
            good = error.state
            if good is not None:
                good.steps += self._done
                good.losses_start = self._losses_start or good.losses_start
                self._tell(stage, good)
            # What an earlier scale reached is better than nothing.
            kept, at = (good, stage) if good else (before, run.stages[scale - 1])
            whole = None if kept is None else self._of_whole(kept, at)
            raise NonFiniteLossError(self._done + error.step, whole) from None
        run.tiles.append(objective.size)
        if not state.stopped:
            self._balance.weigh(state.image, objective)
        self._tell(stage, state)
        self._losses_start = self._losses_start or state.losses_start
        self._done += state.steps
        state.steps, state.losses_start = self._done, self._losses_start
        return state

    def _tell(self, stage: Stage, state: State) -> None:
        """Take down what became of a section."""
        if stage.columns is None:
            return
        told = {"start": state.losses_start, "end": state.losses_end, "left": self._run.content_left}
        before = self._of_sections.get(stage.columns[0], told)
        self._of_sections[stage.columns[0]] = {**told, "start": before["start"]}
        self._run.content_left = self._mean("left")

    def _mean(self, what: str) -> dict[str, float]:
        """Return what was told of the sections, in the mean."""
        told = [section[what] for section in self._of_sections.values()]
        return {name: sum(one[name] for one in told) / len(told) for name in told[0]}

    def _of_whole(self, state: State, stage: Stage) -> State:
        """Return the state of a section as that of the whole."""
        if stage.columns is None:
            return state
        first, last = (self._mean(end) for end in ("start", "end"))
        image = self._joined(state.image, stage)
        return dataclasses.replace(state, image=image, losses_start=first, losses_end=last)

    def _joined(self, image: Tensor, stage: Stage) -> Tensor:
        """Return the whole with a section in its place, faded in where it overlaps the one before it."""
        if stage.columns is None or self._whole is None:
            return image
        start, stop = stage.columns
        before = [one.columns[1] for one in self._run.stages if one.columns and one.columns[0] < start]
        common = max(before, default=start)
        shares = torch.linspace(0.0, 1.0, common - start + 2, device=image.device)[1:-1]
        shares = F.pad(shares, (0, stop - common), value=1.0)
        joined = self._whole.clone()
        joined[..., start:stop] = torch.lerp(joined[..., start:stop], image, shares)
        return joined

    def _start(self, scale: int, before: State | None) -> Tensor:
        """Return the image that a scale starts from."""
        run, stage = self._run, self._run.stages[scale]
        if before is not None and run.stages[scale - 1].columns == stage.columns:
            if run.recipe.loop:
                return resize_around(before.image, *stage.shape)
            below, here = (run.stages[i].of(run.content.image) for i in (scale - 1, scale))
            return carry_up(before.image, below, here, what=run.recipe.carry)
        if stage.columns is None:
            return self._first(*stage.shape)
        self._balance = Balance(run)  # each section finds its own
        if before is None:
            self._whole = self._first(*run.content.image.shape[2:])
        else:
            self._whole = self._joined(before.image, run.stages[scale - 1])
        return stage.of(self._whole)

    def _first(self, height: int, width: int) -> Tensor:
        """Return the image that the run starts from."""
        run, recipe = self._run, self._run.recipe
        if run.start_source is not None or recipe.init == "style":
            given = run.styles[0]
            if run.start_source is not None:
                given = run.medium.encode_style(run.start_source, run.content).image
            return resize(run.medium.fit(given, run.content.image), height, width)
        content = resize(run.start.image, height, width)
        if recipe.init == "content":
            return content
        center: float | Tensor = 0.0
        if recipe.noise_center == "imagenet":
            mean = content.new_tensor(IMAGENET_MEAN_RGB)
            center = mean[:, None, None] if content.shape[1] == 3 else float(mean.mean())
        scaled = recipe.noise_scale / recipe.pixel_range
        return noise_image(recipe.noise, content, scale=scaled, center=center, generator=run.generator)

    def _report(self, step: Step, *, scale: int) -> None:
        """Tell a run's user of a step."""
        run, stage = self._run, self._run.stages[scale]
        parts = list(dict.fromkeys((one.shape, one.columns) for one in run.stages))

        def image() -> Tensor:
            return self._joined(step.image(), stage)

        run.on_step(
            Progress(
                step=self._done + step.step,
                steps=sum(stage.steps for stage in run.stages),
                scale=parts.index((stage.shape, stage.columns)) + 1,
                scales=len(parts),
                losses=step.losses,
                image=image,
                result=lambda: run.finish(image(), step.parameters())[0],
                part="scale" if stage.columns is None else "section",
            )
        )

    def _keep(
        self,
        step: int,
        snapshot: Callable[[], dict[str, Any]],
        *,
        scale: int,
        objective: FrugalObjective,
    ) -> None:
        """Keep the run between two steps, if it is time to."""
        run, step = self._run, self._done + step
        if run.keeper is None or not run.keeper.due(step):
            return
        plans = self._estimate.kept()
        plans[scale]["size"] = objective.size  # it may have become smaller on the way
        run.keeper.save(
            {
                **{name: getattr(self, f"_{name}") for name in _SAVED},
                "step": step,
                "scale": scale,
                "tiles": run.tiles,
                "tilts": self._balance.tilts,
                "generator": run.generator.get_state(),
                "engine": snapshot(),
                "plans": plans,
            }
        )

    def _attempts(
        self, stage: Stage, planned: Plan
    ) -> tuple[Callable[..., Objective], Iterator[Size | None]]:
        """Return what makes the objective of a scale, and sizes of tiles to make it in, one after another."""
        run, full, (height, width) = self._run, self._run.content.image.shape[2:], stage.shape
        if stage.columns is not None:  # styles are as they are
            full = torch.Size(stage.shape)
        shapes = [
            (max(round(s.shape[2] * height / full[0]), 1), max(round(s.shape[3] * width / full[1]), 1))
            for s in run.styles
        ]
        make = partial(
            build_objective,
            self._balance.weighed(),
            stage.features,
            stage.of(run.content.image),
            [resize(style, *shape) for style, shape in zip(run.styles, shapes, strict=True)],
            reference=None if run.reference is None else stage.of(run.reference),
            keep_content=planned.keep_content,
            masks=run.masks,
            terms=run.request.terms,
        )
        if not self._estimate.tileable:
            return make, iter([planned.size])
        return make, smaller_tiles(planned.size, stage.features, run.recipe, height, width)
