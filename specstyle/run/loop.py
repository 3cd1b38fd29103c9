"""One run: scale after scale, from the first image to the last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

from specstyle.engine.evaluations import SafePoint
from specstyle.engine.objective import Objective
from specstyle.engine.optimize import NonFiniteLossError, State, Step, optimize
from specstyle.engine.scales import carry_up, resize, resize_memory, start_image
from specstyle.engine.tiles import Size
from specstyle.features.vgg import IMAGENET_MEAN_RGB
from specstyle.run.inputs import Session
from specstyle.run.memory import Estimate, FrugalObjective, Plan, smaller_tiles
from specstyle.run.objective import Tiling, build_objective
from specstyle.run.request import Progress
from specstyle.run.settle import optimizer_settings


class ScaleLoop:
    """Optimizes what a session has prepared.

    Args:
        run: The session; what is no longer needed of it is freed.
        estimate: What it will take, and how each scale is made to fit.
    """

    def __init__(self, run: Session, estimate: Estimate) -> None:
        self._run, self._estimate = run, estimate
        self.objective: FrugalObjective
        self._done = 0
        self._losses_start: dict[str, float] | None = None

    def optimize(self) -> State:
        """Optimize at each scale, from the coarsest; return the last state with the losses of the whole."""
        run = self._run
        saved = None if run.keeper is None else run.keeper.load(run.device)
        state: State | None = None
        if saved is not None:
            self._restore(saved)
        for scale in range(0 if saved is None else saved["scale"], len(run.shapes)):
            state = self._at_scale(scale, state, saved)
            saved = None
            if state.stopped:
                break
        if state is None:
            raise RuntimeError("there is no scale")
        # The way back takes memory of its own.
        del self.objective
        run.release_images()
        parameters = [] if run.waveform is None else state.parameters
        return dataclasses.replace(state, memory={}, parameters=parameters)

    def _restore(self, saved: dict[str, Any]) -> None:
        """Go back to where a run was left, but for the optimization itself."""
        run = self._run
        self._done, self._losses_start = saved["done"], saved["losses_start"]
        run.generator.set_state(saved["generator"].cpu())
        run.tiles = [None if size is None else list(size) for size in saved["tiles"]]
        run.start = run.content

    def _at_scale(self, scale: int, before: State | None, saved: dict[str, Any] | None) -> State:
        """Optimize at one scale, after another one or from where a run was left."""
        run = self._run
        height, width = run.shapes[scale]
        content = resize(run.content.image, height, width)
        memory: dict[str, Any] = {}
        if saved is not None:
            start = content  # its place is what counts: the values come from the file
        elif before is None:
            start = first_image(run, resize(run.start.image, height, width))
            run.start = run.content  # all that is needed of it was taken
        else:
            content_before = resize(run.content.image, *run.shapes[scale - 1])
            start = carry_up(before.image, content_before, content, what=run.recipe.carry)
            memory = resize_memory(before.memory, height, width)
            before.memory.clear()
            del content_before
        try:
            state = self._optimize_scale(scale, start, memory, saved)
        except NonFiniteLossError as error:
            # What an earlier scale reached is better than nothing.
            last_good = self._last_good(error.state, before, self._done)
            raise NonFiniteLossError(self._done + error.step, last_good) from None
        self._losses_start = self._losses_start or state.losses_start
        self._done += state.steps
        state.steps, state.losses_start = self._done, self._losses_start
        return state

    def _optimize_scale(
        self, scale: int, start: Tensor, memory: dict[str, Any], saved: dict[str, Any] | None
    ) -> State:
        """Optimize at one scale, from an image that is not kept."""
        run = self._run
        canvas = run.canvas(start)
        del start
        planned = self._estimate.plan(scale) if saved is None else Plan(**saved["plan"])
        # The one of the scale before may hold as much as the next: it goes first.
        self.__dict__.pop("objective", None)
        self.objective = self._objective_at(*run.shapes[scale], planned)
        state = optimize(
            canvas,
            self.objective,
            dataclasses.replace(optimizer_settings(run.recipe), history=planned.history),
            run.steps_at(scale),
            on_step=self._reporter(scale),
            memory=memory,
            report_every=run.request.report_every if run.device.type == "cuda" else 1,
            steps_before=self._done,
            on_safe=self._checkpointer(scale, planned),
            resume=None if saved is None else saved["engine"],
            on_note=run.on_note,
        )
        run.tiles.append(None if self.objective.size is None else list(self.objective.size))
        return state

    def _reporter(self, scale: int) -> Callable[[Step], None]:
        """Return what tells a run's user of the steps at a scale."""
        run, done = self._run, self._done
        total = sum(run.steps_at(i) for i in range(len(run.shapes)))

        def report(step: Step) -> None:
            run.on_step(
                Progress(
                    step=done + step.step,
                    steps=total,
                    scale=scale + 1,
                    scales=len(run.shapes),
                    losses=step.losses,
                    image=step.image,
                    result=lambda: run.finish(step.image(), step.parameters())[0],
                )
            )

        return report

    def _checkpointer(self, scale: int, planned: Plan) -> SafePoint | None:
        """Return what keeps the run between two steps, if it is kept."""
        run, done, keeper = self._run, self._done, self._run.keeper
        if keeper is None:
            return None

        def keep(step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
            if not keeper.due(done + step):
                return
            # What of a plan decides the last bits of a result.
            size = self.objective.size
            plan = {"size": size, "keep_content": planned.keep_content, "history": planned.history}
            keeper.save(
                {
                    "step": done + step,
                    "scale": scale,
                    "done": done,
                    "losses_start": self._losses_start,
                    "tiles": [None if size is None else tuple(size) for size in run.tiles],
                    "generator": run.generator.get_state(),
                    "engine": snapshot(),
                    "plan": plan,
                }
            )

        return keep

    def _objective_at(self, height: int, width: int, planned: Plan) -> FrugalObjective:
        """Return what is lowered at one scale."""
        run = self._run
        content, styles = resize(run.content.image, height, width), self._styles_at(height, width)

        def make(size: Size | None) -> Objective:
            return build_objective(
                run.recipe,
                run.features,
                content,
                styles,
                reference=None if run.reference is None else resize(run.reference, height, width),
                tiling=None if size is None else Tiling(size, planned.keep_content),
                masks=run.masks,
                terms=run.request.terms,
                cache=run.cache,
            )

        sizes = smaller_tiles(planned.size, run.features, run.recipe, height, width)
        tileable = self._estimate.tileable
        return FrugalObjective(make, sizes if tileable else iter([planned.size]), run.on_note)

    def _styles_at(self, height: int, width: int) -> list[Tensor]:
        """Return the styles at the scale of a content of some size."""
        full = self._run.content.image.shape[2:]
        return [
            resize(
                s,
                max(round(s.shape[2] * height / full[0]), 1),
                max(round(s.shape[3] * width / full[1]), 1),
            )
            for s in self._run.styles
        ]

    @staticmethod
    def _last_good(here: State | None, before: State | None, done: int) -> State | None:
        if here is None:
            return before
        here.steps += done
        here.losses_start = before.losses_start if before is not None else here.losses_start
        return here


def first_image(run: Session, content: Tensor) -> Tensor:
    """Return the image that a run starts from at its coarsest scale.

    Args:
        run: The run.
        content: What the start image is made of where it is made of the content, ``[B, C, h, w]``.
    """
    recipe = run.recipe
    height, width = content.shape[2:]
    if run.start_source is not None:
        start = run.medium.encode_style(run.start_source, run.content).image
        return resize(run.medium.fit(start, run.content.image), height, width)
    if recipe.init == "style":
        return resize(run.medium.fit(run.styles[0], run.content.image), height, width).contiguous()
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
