"""The course of one run: scale after scale, from the first image to the last."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

from specstyle.engine.canvas import Canvas, Pixels
from specstyle.engine.evaluations import SafePoint, ignore_safe_point
from specstyle.engine.objective import Objective
from specstyle.engine.optimize import NonFiniteLossError, State, optimize
from specstyle.engine.scales import carry_up, resize, resize_memory
from specstyle.engine.tiles import Size
from specstyle.run.beginning import first_image, reporter
from specstyle.run.build import optimizer_settings
from specstyle.run.objectives import build_objective
from specstyle.run.planning import Plan, smaller_tiles
from specstyle.run.regions import Tiling
from specstyle.run.session import Session
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
        self._done = 0
        self._losses_start: dict[str, float] | None = None

    def optimize(self) -> State:
        """Optimize at each scale, from the coarsest; return the last state with the losses of the whole."""
        run = self._run
        saved = None if run.keeper is None else run.keeper.load(run.device)
        state: State | None = None
        if saved is not None:
            self._take_up(saved)
        if saved is not None and "refined" in saved:
            state = self._before_refining(saved)
        else:
            for scale in range(0 if saved is None else saved["scale"], len(run.shapes)):
                state = self._at_scale(scale, state, saved)
                saved = None
                if state.stopped:
                    break
        if state is None:
            raise RuntimeError("there is no scale")
        if run.sound is not None and run.waveform is None and run.recipe.refine_steps and not state.stopped:
            state = self._refine(run.sound, state, self.objective, saved)
        return self._let_go(state)

    def _take_up(self, saved: dict[str, Any]) -> None:
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
        canvas = self._canvas(start)
        del start, content
        try:
            state = self._optimize_scale(scale, canvas, memory, saved)
        except NonFiniteLossError as error:
            # What an earlier scale reached is better than nothing.
            last_good = self._last_good(error.state, before, self._done)
            raise NonFiniteLossError(self._done + error.step, last_good) from None
        if scale + 1 == len(run.shapes):
            state.memory = {}
        self._losses_start = self._losses_start or state.losses_start
        self._done += state.steps
        state.steps, state.losses_start = self._done, self._losses_start
        return state

    def _optimize_scale(
        self,
        scale: int,
        canvas: Canvas,
        memory: dict[str, Any],
        saved: dict[str, Any] | None,
    ) -> State:
        """Optimize at one scale."""
        run = self._run
        height, width = run.shapes[scale]
        planned = run.outlook.plan(scale) if saved is None else Plan(**saved["plan"], needed=0, free=0)
        # The one of the scale before may hold as much as the next: it goes first.
        self.__dict__.pop("objective", None)
        self.objective = self._objective_at(height, width, planned)
        history = planned.history

        def described() -> dict[str, Any]:
            return {"plan": self._plan_values(planned, history)}

        state = optimize(
            canvas,
            self.objective,
            dataclasses.replace(optimizer_settings(run.recipe), history=history),
            run.steps_at(scale),
            on_step=reporter(run, scale, self._done),
            memory=memory,
            report_every=run.request.report_every if run.device.type == "cuda" else 1,
            on_safe=self._keeping(scale, described),
            resume=None if saved is None else saved["engine"],
            on_note=run.on_note,
        )
        size = self._tile_size(planned)
        run.tiles.append(None if size is None else list(size))
        return state

    def _tile_size(self, planned: Plan) -> Size | None:
        """Return the size of the tiles in use, which may be smaller than was planned."""
        return self.objective.size if isinstance(self.objective, FrugalObjective) else planned.size

    def _plan_values(self, planned: Plan, history: int) -> dict[str, Any]:
        """Return what of a plan decides the last bits of a result."""
        return {
            "size": self._tile_size(planned),
            "keep_content": planned.keep_content,
            "history": history,
        }

    def _keeping(self, scale: int, described: Callable[[], dict[str, Any]]) -> SafePoint:
        """Return what keeps the run between two steps, if it is kept."""
        run, done, keeper = self._run, self._done, self._run.keeper
        if keeper is None:
            return ignore_safe_point

        def keep(step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
            if not keeper.due(done + step):
                return
            keeper.save(
                {
                    "step": done + step,
                    "scale": scale,
                    "done": done,
                    "losses_start": self._losses_start,
                    "tiles": [None if size is None else tuple(size) for size in run.tiles],
                    "generator": run.generator.get_state(),
                    "engine": snapshot(),
                    **described(),
                }
            )

        return keep

    def _objective_at(self, height: int, width: int, planned: Plan) -> Objective:
        """Return what is lowered at one scale."""
        run = self._run
        content, styles = resize(run.content.image, height, width), self._styles_at(height, width)

        def make(size: Size | None) -> Objective:
            return build_objective(
                run.recipe,
                run.network.features,
                content,
                styles,
                reference=None if run.reference is None else resize(run.reference, height, width),
                tiling=None if size is None else Tiling(size, planned.keep_content),
                masks=run.masks,
                warm=run.warm,
            )

        if not hasattr(run.network.features, "strides"):
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

    def _before_refining(self, saved: dict[str, Any]) -> State:
        """Return the image that a run had come to when it was left on its samples."""
        run, scale = self._run, len(self._run.shapes) - 1
        planned = Plan(**saved["plan"], needed=0, free=0)
        self.objective = self._objective_at(*run.shapes[scale], planned)
        before = saved["refined"]
        return State(
            before["image"], [], before["steps"], before["losses_start"], before["losses_end"], memory={}
        )

    def _refine(
        self, sound: SoundAdapter, before: State, objective: Objective, saved: dict[str, Any] | None
    ) -> State:
        """Go on from the image's sound on the waveform itself: what no phase could give is mended."""
        run, scale = self._run, len(self._run.shapes) - 1
        decoded = sound.decode(before.image.clamp(0.0, run.upper), run.content)
        waveform = sound.waveform(run.content, start=decoded)
        settings, steps = optimizer_settings(run.recipe), run.recipe.refine_steps
        report = reporter(run, scale, before.steps, waveform)
        self._done, self._losses_start = before.steps, before.losses_start
        planned = run.outlook.plan(scale) if saved is None else Plan(**saved["plan"], needed=0, free=0)

        def described() -> dict[str, Any]:
            names = ("image", "steps", "losses_start", "losses_end")
            plan = self._plan_values(planned, planned.history)
            return {"plan": plan, "refined": {name: getattr(before, name) for name in names}}

        try:
            state = optimize(
                waveform,
                objective,
                settings,
                steps,
                on_step=report,
                on_safe=self._keeping(scale, described),
                resume=None if saved is None else saved["engine"],
                on_note=run.on_note,
            )
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
