"""What a run is made of: files or arrays to canvas, styles, masks, a fitted network; and back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.canvas import Canvas, Pixels, Stage, parts_of, resize, scale_shapes, sections
from specstyle.engine.device import convolutions_in, settle_precision
from specstyle.engine.optimize import State
from specstyle.engine.tiles import Size
from specstyle.engine.views import Seen, layers_of_callable
from specstyle.errors import FileError, RecipeError
from specstyle.evaluate.texture import gain_over_equalizer_db
from specstyle.features.networks import Network
from specstyle.files import sha256_of
from specstyle.media import Encoded
from specstyle.media.audio import WaveformCanvas
from specstyle.media.picturemedium import PictureMedium, whole_strides
from specstyle.media.soundmedium import SoundMedium
from specstyle.recipes import Recipe
from specstyle.run.checkpoint import Checkpoints
from specstyle.run.objective import Cache, Masks
from specstyle.run.record import described
from specstyle.run.request import Progress, Request, Result
from specstyle.run.settle import layers_in_use

QUIETER_DB = 0.5
"""A peak limit that takes away more than this is worth a note."""

LITTLE_GAIN_DB = 4.5
"""A result that is nearer to its style than an equalizer brings it by less is worth a note."""

SHARE_GOES = 3
"""Parts of a scale's evaluations, before each of which ``balance = "share"`` weighs the content anew."""

FEWEST = 2
"""Evaluations of such a part: the first one of L-BFGS only looks at where it stands."""

RARE = 0.005
"""Share of a style's values at either end that do not count for its range."""

STEP = 1 / 255
"""So far within black and white a range ends where a style's has no end: nothing of a result is clipped."""

OVERLAP_S = 0.5
"""Of a section of a sound with the one before it; a quarter of short ones."""

FEWEST_FRAMES = 16
"""Of a section: VGG19 halves them four times."""


class Session:
    """The parts of one run, read and made ready; see ``transfer`` for what it is given."""

    def __init__(
        self,
        request: Request,
        recipe: Recipe,
        device: torch.device,
        on_step: Callable[[Progress], None],
        *,
        on_note: Callable[[str], None] = lambda _: None,
        cache: Cache | None = None,
        keeper: Checkpoints | None = None,
    ) -> None:
        self.request, self.recipe, self.device, self.on_step = request, recipe, device, on_step
        self.told: list[str] = []
        self._on_note, self.keeper = on_note, keeper
        self._cache = Cache() if cache is None else cache
        self.precision = settle_precision(request.precision, device)
        self.sound: SoundMedium | None = None
        self.picture: PictureMedium | None = None
        if request.medium == "audio":
            rate = request.sample_rate
            self.sound = SoundMedium(recipe, seed=request.seed, device=device, sample_rate=rate)
        else:
            self.picture = PictureMedium(recipe, device=device)
        medium: Any = self.sound or self.picture
        self.medium = medium
        self.generator = torch.Generator().manual_seed(request.seed)
        self.tiles: list[Size | None] = []
        self.content_left: dict[str, float] = {}
        self.masks = Masks()
        self.init_file: dict[str, str] | None = None
        self.waveform: WaveformCanvas | None = None
        self.content_source: Any = self.medium.source(request.content, "content")
        self.style_sources = tuple(self.medium.source(s, "style", i) for i, s in enumerate(request.styles))
        sources = (self.content_source, *self.style_sources)
        self.notes = tuple(note for source in sources for note in getattr(source, "notes", ()))
        styled = recipe.effective_weights()[1] > 0
        self.style_share = recipe.style_fade if styled else 0.0
        seen = self._encode()
        if request.network is not None:
            self.recipe = self._with_layers_of(request.network)
        self.network, features = self._fitted(self.recipe, request)
        self.finish_network: Network | None = None
        self._prepare_start(seen, features)
        self.stages = self._stages(features)

    def tell(self, *notes: str) -> None:
        """Tell the user what there is to know, each thing once, and keep it for the record."""
        for note in notes:
            if note not in self.told:
                self.told.append(note)
                self._on_note(note)

    def _encode(self) -> Any:
        """Make images of content and styles; return the content that was made one of."""
        request, seen = self.request, self.content_source
        if self.sound is not None and self.recipe.equalize and self.style_share > 0:
            seen = self.sound.equalized(seen, self.style_sources, self.style_share)
        self.content: Encoded = self.medium.encode_content(seen)
        if request.output is not None:
            self.medium.check_output(request.output, self.content_source, self.content)
        if self.picture is None:
            styles = [self.medium.encode_style(s, self.content) for s in self.style_sources]
        else:
            given = (self.content_source, self.style_sources)
            masks = (request.content_masks, request.style_masks)
            styles, areas, parts = self.picture.encode_styles(self.content, *given, *masks)
            self.masks, seen = Masks(areas, parts), self.content
            if self.recipe.equalize and self.style_share > 0 and self.recipe.init == "content":
                seen = self.picture.equalized(self.content, styles, areas, parts, self.style_share)
        self.styles = [s.image for s in styles]
        self.upper = max([self.content.upper, *(s.upper for s in styles)])
        return seen

    def _stages(self, features: Seen) -> tuple[Stage, ...]:
        """Return what is optimized one after the other: scales, and an end with another network."""
        recipe = self.recipe
        shapes = scale_shapes(
            *self.content.image.shape[2:],
            smallest=recipe.smallest_scale,
            factor=recipe.scale_factor,
            fixed_height=self.network.fixed_height or getattr(features, "whole_rows", False),
        )
        if recipe.loop and self.picture is not None:  # at each scale, each pooling halves the circle
            shapes = list(dict.fromkeys((whole_strides(h), whole_strides(w)) for h, w in shapes))
        steps = [recipe.steps] * len(shapes)
        if recipe.first_steps is not None and len(shapes) > 1:
            steps[0] = recipe.first_steps
        # Where a share of the content is aimed at, each scale has several goes at it.
        goes = SHARE_GOES if recipe.balance == "share" and 0 < recipe.strength < 1 else 1
        goes = min(goes, max(min(steps) // FEWEST, 1))
        goals: list[tuple[tuple[int, int], tuple[int, int] | None]] = [(shape, None) for shape in shapes]
        parts = self._sections()
        if len(parts) > 1:
            steps = [recipe.steps] * len(parts)
            goals = [((shapes[0][0], stop - start), (start, stop)) for start, stop in parts]
        stages = [
            Stage(shape, part, features, columns)
            for (shape, columns), count in zip(goals, steps, strict=True)
            for part in parts_of(count, goes)
        ]
        if recipe.finish_network:
            request = dataclasses.replace(self.request, weights=None, preprocessing=None)
            last = recipe.replace(network=recipe.finish_network)
            self.finish_network, finishing = self._fitted(last, request)
            finish_steps = min(recipe.finish_steps, -(-recipe.steps // 3))  # few where few were asked for
            stages.append(Stage(shapes[-1], finish_steps, finishing))
        return tuple(stages)

    def _sections(self) -> list[tuple[int, int]]:
        """Return the columns of each section of a sound, or of all of it."""
        frames = self.content.image.shape[3]
        scales = self.recipe.smallest_scale is not None or self.recipe.finish_network
        if self.sound is None or self.recipe.section_s is None or self.waveform is not None or scales:
            return [(0, frames)]
        context = self.content.context
        rate = context.working_rate / context.stft.hop_length
        longest = max(round(self.recipe.section_s * rate), FEWEST_FRAMES)
        return sections(frames, longest, min(round(OVERLAP_S * rate), longest // 4))

    def _fitted(self, recipe: Recipe, request: Request) -> tuple[Network, Seen]:
        """Make a network, and fit it to what it will look at."""
        content, styles = self.content.image, self.styles
        with convolutions_in(self.precision):  # gains are measured
            network = self._cache.network(recipe, request, device=self.device, precision=self.precision)
            try:
                features = Seen(
                    lambda see, names: network.fitted(see, names, content, styles),
                    layers_in_use(recipe, all_of_them=request.terms is not None),
                    lambda name: self.medium.view(name, self.content),
                    channels=content.shape[1],
                )
            except ValueError as error:
                raise RecipeError(str(error)) from error
        return network, features

    def _with_layers_of(self, network: Callable[[Tensor], dict[str, Tensor]]) -> Recipe:
        """Return the recipe with a user's network's own layers where it names none: the last for content."""
        recipe = self.recipe
        if recipe.content_layers != ("",) and recipe.style_layers != ("",):
            return recipe
        given = layers_of_callable(network, self.content.image)
        return recipe.replace(
            content_layers=given[-1:] if recipe.content_layers == ("",) else recipe.content_layers,
            style_layers=given if recipe.style_layers == ("",) else recipe.style_layers,
        )

    def _prepare_start(self, seen: Any, features: Seen) -> None:
        """Make ready what the optimization starts from."""
        recipe = self.recipe
        self.start, self.start_source = self.content if self.picture is None else seen, None
        if recipe.init not in ("content", "style", "noise"):
            # Before the run: a bad file is told at once, and the output may replace it.
            try:
                self.start_source = self.medium.source(recipe.init, "init")
            except FileError as error:
                raise FileError(f"--init {recipe.init} (content, style, noise or a file): {error}") from error
            self.notes += self.start_source.notes
            self.init_file = {"path": recipe.init, "sha256": sha256_of(Path(recipe.init))}
        self.reference = (
            self.medium.reference(self.style_sources, self.content, self.generator)
            if recipe.balance == "gradient"
            else None
        )
        noisy = recipe.init == "content" and recipe.init_noise_db is not None
        if self.sound is not None and noisy and self.style_share > 0:
            # Nothing drives out what no loss sees: above half the strength, less and less of the content.
            kept = min(1.0, 2.0 * (1.0 - recipe.strength))
            noised = self.sound.noised(seen, self.style_sources, self.generator, self.style_share, kept=kept)
            self.start = self.medium.encode_content(noised)
        if self.sound is not None and recipe.canvas == "waveform":
            self.waveform = self.sound.waveform(
                self.start,
                start=self.style_sources[0] if recipe.init == "style" else self.start_source,
                noise=self.generator if recipe.init == "noise" else None,
                styles=self.style_sources,
                # So many frames more, and each patch of the circle is seen once.
                loop=features.halo if recipe.loop else None,
            )

    def canvas(self, start: Tensor) -> Canvas:
        """Return what is optimized: samples, or an image that starts as ``start``."""
        if self.waveform is not None:
            return self.waveform
        gray = self.picture is not None and self.recipe.color != "style"
        # What is not between black and white can be given no color.
        upper = self.upper if self.recipe.clip or gray else None
        lower = 0.0
        if upper is not None and self.picture is not None and self.recipe.style_range:
            lower, upper = self._style_range(upper)
        return Pixels(start, pixel_range=self.recipe.pixel_range, upper=upper, lower=lower)

    def _style_range(self, upper: float) -> tuple[float, float]:
        """Return the range of the styles' values; below half the strength, nearer to all there is."""
        values = [torch.sort(channel.flatten()).values for s in self.styles for channel in s.transpose(0, 1)]
        ends = [(v[int(RARE * (len(v) - 1))], v[int((1.0 - RARE) * (len(v) - 1))]) for v in values]
        share = self.recipe.style_fade
        darkest = max(float(min(end for end, _ in ends)), STEP)
        lightest = min(float(max(end for _, end in ends)), upper - STEP)
        return share * darkest, upper + share * (lightest - upper)

    def release_images(self) -> None:
        """Free what only the optimization needed: whoever decodes asks for the content's shape alone."""
        self.styles = []
        self.content.image = self.content.image.new_zeros(()).expand(self.content.image.shape)
        self.start = self.content

    def finish(self, image: Tensor, parameters: list[Tensor]) -> tuple[Any, dict[str, Any], Any]:
        """Return an image, or the samples of a waveform, as a finished sound or picture.

        Returns:
            The source, figures for the record, and a sound's magnitudes, if there are any.
        """
        # Both are copies of what was optimized.
        whole = image
        if self.waveform is None:
            whole = resize(image, *self.content.image.shape[2:]).clamp_(0.0, self.upper)
        if self.sound is None:
            return (*self.medium.finish(whole, self.content, self.content_source), None)
        return self.sound.finish(
            whole,
            parameters[0] if parameters else None,
            self.content,
            self.content_source,
            canvas=self.waveform,
            with_function=self.request.invert,
            styles=self.style_sources,
            amount=self.style_share if self.recipe.equalize else 0.0,
            output=self.request.output,
        )

    def result(self, state: State, started: float, failure: str | None = None) -> Result:
        """Decode the final image and write down what was done."""
        output, figures, spectrogram = self.finish(state.image, state.parameters)
        level = figures.get("level", {})
        quieter = level.get("quieter_db", 0.0)
        if quieter > QUIETER_DB and level["mode"] != "peak":
            what = "the stylized part" if self.recipe.mixes else "the result"
            self.tell(f"{what} is {quieter:.1f} dB quieter than the content: its peaks would clip")
        self._tell_of(output)
        outcome = {
            "steps": state.steps,
            "stopped": state.stopped,
            "losses": {"start": state.losses_start, "end": state.losses_end},
            **({"content_left": self.content_left} if self.content_left else {}),
            **figures,
            **({} if failure is None else {"failed": failure}),
            "notes": list(self.told),
            "seconds": round(time.monotonic() - started, 3),
        }
        record = described(self) | outcome
        sources = (self.content_source, self.style_sources)
        return Result(output, *sources, record, tuple(self.told), state.image.cpu(), spectrogram)

    def _tell_of(self, output: Any) -> None:
        """Say so where a sound is hardly nearer to its style than an equalizer would have brought it."""
        if self.sound is None or len(self.style_sources) > 1 or self.recipe.mixes or not self.style_share:
            return
        gain = gain_over_equalizer_db(output, self.content_source, self.style_sources[0])
        if gain is not None and gain < LITTLE_GAIN_DB:
            self.tell(
                "the result is hardly nearer to the style than an equalizer brings the content "
                f"({gain:.1f} dB): the style may be no texture (speech and melodies are none), or sparse; "
                "try a higher --strength, or a stretch of the style that sounds the same all along "
                "(--style-start)"
            )
