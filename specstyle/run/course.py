"""The course of one run: scale after scale, from the first image to the last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

from specstyle.engine.canvas import Canvas, Pixels
from specstyle.engine.captured import CapturedObjective
from specstyle.engine.objective import Objective
from specstyle.engine.optimize import NonFiniteLossError, State, Step, optimize
from specstyle.engine.scales import carry_up, resize, resize_memory, start_image
from specstyle.engine.tiles import Size
from specstyle.features.vgg import IMAGENET_MEAN_RGB
from specstyle.media.waveform import WaveformCanvas
from specstyle.run.build import optimizer_settings
from specstyle.run.objectives import build_objective
from specstyle.run.planning import Plan, smaller_tiles
from specstyle.run.request import Progress
from specstyle.run.session import Session
from specstyle.run.sharing import Share
from specstyle.run.shortage import FrugalObjective
from specstyle.run.sounds import SoundAdapter


class Course:
    """Optimizes what a session has prepared.

    Args:
        run: The session; what is no longer needed of it is freed.
    """

    def __init__(self, run: Session) -> None:
        self._run = run
        self.objective: Objective

    def optimize(self) -> State:
        """Optimize at each scale, from the coarsest; return the last state with the losses of the whole."""
        run = self._run
        state: State | None = None
        content = run.content.image
        done, losses_start = 0, None
        memory: dict[str, Any] = {}
        for scale, (height, width) in enumerate(run.shapes):
            content_here = resize(run.content.image, height, width)
            if state is None:
                start = self._first_image(resize(run.start.image, height, width))
                run.start = run.content  # all that is needed of it was taken
            else:
                start = carry_up(state.image, content, content_here, what=run.recipe.carry)
                memory = resize_memory(state.memory, height, width)
                state = dataclasses.replace(state, memory={})
            content = content_here
            share = Share(run.team, run.network.features, width)
            canvas = self._canvas(share.own(start))
            del start
            try:
                reached = self._optimize_scale(scale, done, canvas, share, share.own_memory(memory))
            except NonFiniteLossError as error:
                # What an earlier scale reached is better than nothing.
                good = None if error.state is None else share.whole_state(error.state)
                raise NonFiniteLossError(done + error.step, self._last_good(good, state, done)) from None
            state = share.whole_state(reached, with_memory=scale + 1 < len(run.shapes))
            losses_start = losses_start or state.losses_start
            done += state.steps
            state.steps, state.losses_start = done, losses_start
            if state.stopped:
                break
        if state is None:
            raise RuntimeError("there is no scale")
        if run.sound is not None and run.waveform is None and run.recipe.refine_steps and not state.stopped:
            state = self._refine(run.sound, state, self.objective)
        return self._let_go(state)

    def _optimize_scale(
        self, scale: int, done: int, canvas: Canvas, share: Share, memory: dict[str, Any]
    ) -> State:
        """Optimize at one scale, after ``done`` steps at others."""
        run = self._run
        height, width = run.shapes[scale]
        planned = run.outlook.plan(scale)
        self.objective = self._objective_at(height, width, planned, share)
        history = run.team.least(planned.history)
        state = optimize(
            canvas,
            self.objective,
            dataclasses.replace(optimizer_settings(run.recipe), history=history),
            run.steps_at(scale),
            on_step=self._reporter(scale, done, share=share),
            memory=memory,
            report_every=run.request.report_every if run.device.type == "cuda" else 1,
            team=run.team,
        )
        size = self.objective.size if isinstance(self.objective, FrugalObjective) else planned.size
        run.tiles.append(None if size is None else list(size))
        return state

    def _objective_at(self, height: int, width: int, planned: Plan, share: Share) -> Objective:
        """Return what is lowered at one scale."""
        run = self._run
        content, styles = resize(run.content.image, height, width), self._styles_at(height, width)

        def make(size: Size | None) -> Objective:
            objective = build_objective(
                run.recipe,
                run.network.features,
                content,
                styles,
                reference=None if run.reference is None else resize(run.reference, height, width),
                tiling=share.tiling(size, keep_content=planned.keep_content),
                masks=run.masks,
                warm=run.warm,
            )
            graph = run.device.type == "cuda" and size is None and hasattr(run.network.features, "strides")
            return CapturedObjective(objective) if graph else objective

        # Processes that wait for each other cannot try again each on its own.
        if run.team.size > 1 or not hasattr(run.network.features, "strides"):
            return make(planned.size)
        return FrugalObjective(make, smaller_tiles(planned.size, run.recipe, height, width), run.on_note)

    def _styles_at(self, height: int, width: int) -> list[Tensor]:
        """Return the styles at the scale of a content of some size."""
        run = self._run
        full = run.content.image.shape[2:]
        return [
            resize(
                s,
                max(round(s.shape[2] * height / full[0]), 1),
                max(round(s.shape[3] * width / full[1]), 1),
            )
            for s in run.styles
        ]

    def _let_go(self, state: State) -> State:
        """Free what only the optimization needed, before the way back takes memory of its own."""
        run = self._run
        del self.objective, run.outlook
        run.styles = []
        # Whoever decodes asks for the content's shape, and no more for its values.
        shape_only = run.content.image.new_zeros(()).expand(run.content.image.shape)
        run.content = run.start = dataclasses.replace(run.content, image=shape_only)
        parameters = [] if run.waveform is None else state.parameters
        return dataclasses.replace(state, memory={}, parameters=parameters)

    def _refine(self, sound: SoundAdapter, before: State, objective: Objective) -> State:
        """Go on from the image's sound on the waveform itself: what no phase could give is mended."""
        run = self._run
        decoded = sound.decode(before.image.clamp(0.0, run.upper), run.content)
        waveform = sound.waveform(run.content, start=decoded)
        settings, steps = optimizer_settings(run.recipe), run.recipe.refine_steps
        report = self._reporter(len(run.shapes) - 1, before.steps, waveform)
        try:
            state = optimize(waveform, objective, settings, steps, on_step=report)
        except NonFiniteLossError as error:
            raise NonFiniteLossError(before.steps + error.step, before) from None
        run.waveform = waveform
        state.steps, state.losses_start = before.steps + state.steps, before.losses_start
        return state

    @staticmethod
    def _last_good(here: State | None, before: State | None, done: int) -> State | None:
        if here is None:
            return before
        here.steps += done
        here.losses_start = before.losses_start if before is not None else here.losses_start
        return here

    def _canvas(self, start: Tensor) -> Canvas:
        run = self._run
        recipe = run.recipe
        if run.waveform is not None:
            return run.waveform
        constrained = None if run.picture is None else run.picture.canvas(start)
        return constrained or Pixels(
            start, pixel_range=recipe.pixel_range, upper=run.upper if recipe.clip else None
        )

    def _first_image(self, content: Tensor) -> Tensor:
        run = self._run
        recipe = run.recipe
        height, width = content.shape[2:]
        if run.start_source is not None:
            start = run.adapter.encode_style(run.start_source, run.content).image
            return resize(run.adapter.fit(start, run.content.image), height, width)
        if recipe.init == "style":
            return resize(run.adapter.fit(run.styles[0], run.content.image), height, width).contiguous()
        center: float | Tensor = 0.0
        if recipe.noise_center == "imagenet":
            mean = content.new_tensor(IMAGENET_MEAN_RGB)
            center = mean[:, None, None] if content.shape[1] == 3 else float(mean.mean())
        return start_image(
            recipe.init,
            content,
            noise=recipe.noise,
            noise_scale=recipe.noise_scale / recipe.pixel_range,
            noise_center=center,
            generator=run.generator,
        )

    def _reporter(
        self,
        scale: int,
        done: int,
        waveform: WaveformCanvas | None = None,
        *,
        share: Share | None = None,
    ) -> Callable[[Step], None]:
        run = self._run
        refined = run.recipe.refine_steps if run.sound is not None and run.waveform is None else 0
        total = sum(run.steps_at(i) for i in range(len(run.shapes))) + refined
        canvas = run.waveform or waveform

        def report(step: Step) -> None:
            def image() -> Tensor:
                return step.image() if share is None else share.whole(step.image())

            run.on_step(
                Progress(
                    step=done + step.step,
                    steps=total,
                    scale=scale + 1,
                    scales=len(run.shapes),
                    losses=step.losses,
                    image=image,
                    result=lambda: run.finish(image(), step.parameters(), canvas)[0],
                )
            )

        return report
