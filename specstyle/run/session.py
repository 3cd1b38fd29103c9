"""The course of one run."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle._version import __version__
from specstyle.engine.canvas import Canvas, Pixels
from specstyle.engine.captured import CapturedObjective
from specstyle.engine.objective import Objective
from specstyle.engine.optimize import NonFiniteLossError, State, Step, optimize
from specstyle.engine.scales import carry_up, resize, resize_memory, scale_shapes, start_image
from specstyle.engine.team import ALONE, Team
from specstyle.engine.tiles import Size
from specstyle.errors import FileError
from specstyle.features.networks import Network
from specstyle.features.vgg import IMAGENET_MEAN_RGB
from specstyle.features.weights import sha256_of
from specstyle.media.base import Encoded
from specstyle.media.waveform import WaveformCanvas
from specstyle.recipes import Recipe, to_dict
from specstyle.run.adapters import Adapter, make_adapter
from specstyle.run.build import network_for, optimizer_settings
from specstyle.run.objectives import build_objective
from specstyle.run.outlook import Outlook
from specstyle.run.planning import Plan, smaller_tiles
from specstyle.run.precision import network_dtype, settle_precision
from specstyle.run.request import Progress, Request, Result
from specstyle.run.sharing import Share, check_shared
from specstyle.run.shortage import FrugalObjective
from specstyle.run.sounds import SoundAdapter
from specstyle.run.warm import COLD, Warm

QUIETER_DB = -0.5
"""A peak limit that takes away more than this is worth a note."""


FULL_PREPARATION = 0.2
"""Strength from which on a content is fully equalized to the style's spectrum."""


class Session:
    """The parts of one run, and its course: sources to images, scales, optimization, and back."""

    def __init__(
        self,
        request: Request,
        recipe: Recipe,
        device: torch.device,
        on_step: Callable[[Progress], None],
        *,
        on_note: Callable[[str], None] = lambda _: None,
        team: Team = ALONE,
        warm: Warm = COLD,
    ) -> None:
        self.request, self.recipe, self.device, self.on_step = request, recipe, device, on_step
        self.on_note, self.team, self.warm = on_note, team, warm
        self.precision = settle_precision(request.precision, device)
        self.adapter: Adapter = make_adapter(
            request.medium, recipe, seed=request.seed, device=device, sample_rate=request.sample_rate
        )
        self.content_source = self.adapter.source(request.content, "content")
        self.style_sources = tuple(
            warm.source(s, request.medium, lambda given: self.adapter.source(given, "style"))
            for s in request.styles
        )
        seen = self.content_source
        self.sound = self.adapter if isinstance(self.adapter, SoundAdapter) else None
        # A strength of 0 is the content itself, so what prepares it for the style comes in gradually.
        style_share = (
            min(1.0, recipe.strength / FULL_PREPARATION) if recipe.effective_weights()[1] > 0 else 0.0
        )
        if self.sound is not None and recipe.equalize and style_share > 0:
            seen = self.sound.equalized(seen, self.style_sources, style_share)
        self.content: Encoded = self.adapter.encode_content(seen)
        if request.output is not None:
            self.adapter.check_output(request.output, self.content_source, self.content)
        styles = [self.adapter.encode_style(s, self.content) for s in self.style_sources]
        self.styles = [s.image for s in styles]
        self.upper = max([self.content.upper, *(s.upper for s in styles)])
        self.init_file: dict[str, str] | None = None
        self.start_source = self._read_start()
        self.start = self.content
        self.generator = torch.Generator().manual_seed(request.seed)
        self.reference = (
            self.adapter.reference(self.style_sources, self.content, self.generator)
            if recipe.balance == "gradient"
            else None
        )
        if recipe.init != "content" or recipe.init_noise_db is None:
            style_share = 0.0
        if self.sound is not None and style_share > 0:
            noised = self.sound.noised(seen, self.style_sources, self.generator, style_share)
            self.start = self.adapter.encode_content(noised)
        channels, height = self.content.image.shape[1:3]
        self.network: Network = warm.network(
            network_for,
            recipe,
            rows=channels * height,
            seed=request.seed,
            weights=request.weights,
            preprocessing=request.preprocessing,
            device=device,
            dtype=network_dtype(self.precision),
        )
        self.notes = tuple(
            note
            for source in (self.content_source, *self.style_sources)
            for note in getattr(source, "notes", ())
        )
        self.waveform: WaveformCanvas | None = None
        if self.sound is not None and recipe.canvas == "waveform":
            start = self.style_sources[0] if recipe.init == "style" else self.start_source
            noise = self.generator if recipe.init == "noise" else None
            self.waveform = self.sound.waveform(self.start, start=start, noise=noise)
        self.tiles: list[list[int | None] | None] = []
        self.objective: Objective
        self.shapes = scale_shapes(
            *self.content.image.shape[2:],
            smallest=recipe.smallest_scale,
            factor=recipe.scale_factor,
            fixed_height=self.network.fixed_height,
        )
        check_shared(team, recipe, self.network.features)
        self.outlook = Outlook(
            request,
            recipe,
            self.network,
            device,
            self.content.image,
            max(s.shape[2] * s.shape[3] for s in self.styles),
            self.shapes,
            [self._steps_at(scale) for scale in range(len(self.shapes))],
            team,
        )

    def _read_start(self) -> Any:
        """Return the source of ``--init FILE``, read before the run so that a bad file is told at once."""
        if self.recipe.init in ("content", "style", "noise"):
            return None
        try:
            source = self.adapter.source(self.recipe.init, "init")
        except FileError as error:
            raise FileError(
                f"--init {self.recipe.init} (content, style, noise or a file): {error}"
            ) from error
        # Hashed before the run, since the output may replace it.
        self.init_file = {"path": self.recipe.init, "sha256": sha256_of(Path(self.recipe.init))}
        return source

    def _steps_at(self, scale: int) -> int:
        first = self.recipe.first_steps
        return first if first is not None and scale == 0 and len(self.shapes) > 1 else self.recipe.steps

    def optimize(self) -> State:
        """Optimize at each scale, from the coarsest; return the last state with the losses of the whole."""
        state: State | None = None
        content = self.content.image
        done, losses_start = 0, None
        memory: dict[str, Any] = {}
        for scale, (height, width) in enumerate(self.shapes):
            content_here = resize(self.content.image, height, width)
            if state is None:
                start = self._first_image(resize(self.start.image, height, width))
                self.start = self.content  # all that is needed of it was taken
            else:
                start = carry_up(state.image, content, content_here, what=self.recipe.carry)
                memory = resize_memory(state.memory, height, width)
                state = dataclasses.replace(state, memory={})
            content = content_here
            share = Share(self.team, self.network.features, width)
            canvas = self._canvas(share.own(start))
            del start
            try:
                reached = self._optimize_scale(scale, done, canvas, share, share.own_memory(memory))
            except NonFiniteLossError as error:
                # What an earlier scale reached is better than nothing.
                good = None if error.state is None else share.whole_state(error.state)
                raise NonFiniteLossError(done + error.step, self._last_good(good, state, done)) from None
            state = share.whole_state(reached, with_memory=scale + 1 < len(self.shapes))
            losses_start = losses_start or state.losses_start
            done += state.steps
            state.steps, state.losses_start = done, losses_start
            if state.stopped:
                break
        if state is None:
            raise RuntimeError("there is no scale")
        if (
            self.sound is not None
            and self.waveform is None
            and self.recipe.refine_steps
            and not state.stopped
        ):
            state = self._refine(self.sound, state, self.objective)
        return self._let_go(state)

    def _optimize_scale(
        self, scale: int, done: int, canvas: Canvas, share: Share, memory: dict[str, Any]
    ) -> State:
        """Optimize at one scale, after ``done`` steps at others."""
        height, width = self.shapes[scale]
        planned = self.outlook.plan(scale)
        self.objective = self._objective_at(height, width, planned, share)
        history = self.team.least(planned.history)
        state = optimize(
            canvas,
            self.objective,
            dataclasses.replace(optimizer_settings(self.recipe), history=history),
            self._steps_at(scale),
            on_step=self._reporter(scale, done, share=share),
            memory=memory,
            report_every=self.request.report_every if self.device.type == "cuda" else 1,
            team=self.team,
        )
        size = self.objective.size if isinstance(self.objective, FrugalObjective) else planned.size
        self.tiles.append(None if size is None else list(size))
        return state

    def _objective_at(self, height: int, width: int, planned: Plan, share: Share) -> Objective:
        """Return what is lowered at one scale."""
        content, styles = resize(self.content.image, height, width), self._styles_at(height, width)

        def make(size: Size | None) -> Objective:
            objective = build_objective(
                self.recipe,
                self.network.features,
                content,
                styles,
                reference=None if self.reference is None else resize(self.reference, height, width),
                tiling=share.tiling(size, keep_content=planned.keep_content),
                warm=self.warm,
            )
            graph = self.device.type == "cuda" and size is None and hasattr(self.network.features, "strides")
            return CapturedObjective(objective) if graph else objective

        # Processes that wait for each other cannot try again each on its own.
        if self.team.size > 1 or not hasattr(self.network.features, "strides"):
            return make(planned.size)
        return FrugalObjective(make, smaller_tiles(planned.size, self.recipe, height, width), self.on_note)

    def _styles_at(self, height: int, width: int) -> list[Tensor]:
        """Return the styles at the scale of a content of some size."""
        full = self.content.image.shape[2:]
        return [
            resize(
                s,
                max(round(s.shape[2] * height / full[0]), 1),
                max(round(s.shape[3] * width / full[1]), 1),
            )
            for s in self.styles
        ]

    def _let_go(self, state: State) -> State:
        """Free what only the optimization needed, before the way back takes memory of its own."""
        del self.objective, self.outlook
        self.styles = []
        # Whoever decodes asks for the content's shape, and no more for its values.
        shape_only = self.content.image.new_zeros(()).expand(self.content.image.shape)
        self.content = self.start = dataclasses.replace(self.content, image=shape_only)
        parameters = [] if self.waveform is None else state.parameters
        return dataclasses.replace(state, memory={}, parameters=parameters)

    def _refine(self, sound: SoundAdapter, before: State, objective: Objective) -> State:
        """Go on from the image's sound on the waveform itself: what no phase could give is mended."""
        decoded = sound.decode(before.image.clamp(0.0, self.upper), self.content)
        waveform = sound.waveform(self.content, start=decoded)
        settings, steps = optimizer_settings(self.recipe), self.recipe.refine_steps
        report = self._reporter(len(self.shapes) - 1, before.steps, waveform)
        try:
            state = optimize(waveform, objective, settings, steps, on_step=report)
        except NonFiniteLossError as error:
            raise NonFiniteLossError(before.steps + error.step, before) from None
        self.waveform = waveform
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
        recipe = self.recipe
        if self.waveform is not None:
            return self.waveform
        return Pixels(start, pixel_range=recipe.pixel_range, upper=self.upper if recipe.clip else None)

    def _first_image(self, content: Tensor) -> Tensor:
        recipe = self.recipe
        height, width = content.shape[2:]
        if self.start_source is not None:
            start = self.adapter.encode_style(self.start_source, self.content).image
            return resize(self.adapter.fit(start, self.content.image), height, width)
        if recipe.init == "style":
            return resize(self.adapter.fit(self.styles[0], self.content.image), height, width).contiguous()
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
            generator=self.generator,
        )

    def _reporter(
        self,
        scale: int,
        done: int,
        waveform: WaveformCanvas | None = None,
        *,
        share: Share | None = None,
    ) -> Callable[[Step], None]:
        refined = self.recipe.refine_steps if self.sound is not None and self.waveform is None else 0
        total = sum(self._steps_at(i) for i in range(len(self.shapes))) + refined
        canvas = self.waveform or waveform

        def report(step: Step) -> None:
            def image() -> Tensor:
                return step.image() if share is None else share.whole(step.image())

            self.on_step(
                Progress(
                    step=done + step.step,
                    steps=total,
                    scale=scale + 1,
                    scales=len(self.shapes),
                    losses=step.losses,
                    image=image,
                    result=lambda: self._finish(image(), step.parameters(), canvas)[0],
                )
            )

        return report

    def _finish(
        self, image: Tensor, parameters: list[Tensor], waveform: WaveformCanvas | None
    ) -> tuple[Any, dict[str, float]]:
        if waveform is not None and self.sound is not None:
            return self.sound.finish_waveform(waveform, parameters[0], self.content_source)
        # Both are copies of what was optimized.
        whole = resize(image, *self.content.image.shape[2:]).clamp_(0.0, self.upper)
        return self.adapter.finish(whole, self.content, self.content_source)

    def result(
        self, state: State, notes: tuple[str, ...], started: float, failure: str | None = None
    ) -> Result:
        """Decode the final image and write down what was done."""
        output, figures = self._finish(state.image, state.parameters, self.waveform)
        if figures.get("peak_gain_db", 0.0) < QUIETER_DB:
            quieter = -figures["peak_gain_db"]
            notes += (f"the result is {quieter:.1f} dB quieter than the content: its peaks would clip",)
        failed = {} if failure is None else {"failed": failure}
        record = {
            **self._described(),
            "steps": state.steps,
            "stopped": state.stopped,
            "losses": {"start": state.losses_start, "end": state.losses_end},
            **figures,
            **failed,
            "notes": list(notes),
            "seconds": round(time.monotonic() - started, 3),
        }
        return Result(output, self.content_source, self.style_sources, record, notes)

    def _described(self) -> dict[str, Any]:
        """Return what the record says of everything but the outcome."""
        return {
            "specstyle": __version__,
            "medium": self.request.medium,
            "recipe": to_dict(self.recipe),
            "content": self.adapter.describe(self.content_source),
            "styles": [self.adapter.describe(s) for s in self.style_sources],
            **({} if self.init_file is None else {"init": self.init_file}),
            "image_shape": list(self.content.image.shape),
            **self.adapter.describe_encoding(self.content),
            "scales": [list(shape) for shape in self.shapes],
            "tiles": self.tiles,
            "network": {
                "name": self.network.name,
                "origin": self.network.origin,
                "sha256": self.network.sha256(),
                "preprocessing": self.network.preprocessing,
            },
            "seed": self.request.seed,
            "device": _device_name(self.device),
            "precision": self.precision,
            **({} if self.team.size == 1 else {"processes": self.team.size}),
            "torch": torch.__version__,
        }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
