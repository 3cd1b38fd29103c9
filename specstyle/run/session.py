"""The parts of one run: what is read, what is made of it, and what comes of it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle._version import __version__
from specstyle.engine.optimize import State
from specstyle.engine.scales import resize, scale_shapes
from specstyle.errors import FileError
from specstyle.features.networks import Network
from specstyle.features.weights import sha256_of
from specstyle.media.base import Encoded
from specstyle.media.waveform import WaveformCanvas
from specstyle.recipes import Recipe, to_dict
from specstyle.run.adapters import Adapter, make_adapter
from specstyle.run.build import network_for
from specstyle.run.checkpoints import Keeper
from specstyle.run.outlook import Outlook
from specstyle.run.pictures import PictureAdapter
from specstyle.run.precision import convolutions_in, network_dtype, settle_precision
from specstyle.run.regions import Masks
from specstyle.run.request import Progress, Request, Result
from specstyle.run.sounds import SoundAdapter
from specstyle.run.warm import COLD, Warm

QUIETER_DB = -0.5
"""A peak limit that takes away more than this is worth a note."""


FULL_PREPARATION = 0.5
"""Strength from which on a content is fully equalized to the style's spectrum."""


class Session:
    """The parts of one run: sources to images, network and scales, and back to a sound or picture."""

    def __init__(
        self,
        request: Request,
        recipe: Recipe,
        device: torch.device,
        on_step: Callable[[Progress], None],
        *,
        on_note: Callable[[str], None] = lambda _: None,
        warm: Warm = COLD,
        keeper: Keeper | None = None,
    ) -> None:
        self.request, self.recipe, self.device, self.on_step = request, recipe, device, on_step
        self.told: list[str] = []
        self._on_note, self.warm, self.keeper = on_note, warm, keeper
        self.precision = settle_precision(request.precision, device, recipe.network)
        self.adapter: Adapter = make_adapter(
            request.medium, recipe, seed=request.seed, device=device, sample_rate=request.sample_rate
        )
        self.sound = self.adapter if isinstance(self.adapter, SoundAdapter) else None
        self.picture = self.adapter if isinstance(self.adapter, PictureAdapter) else None
        self.generator = torch.Generator().manual_seed(request.seed)
        self.tiles: list[list[int | None] | None] = []
        self.masks: Masks | None = None
        self.init_file: dict[str, str] | None = None
        self.waveform: WaveformCanvas | None = None
        self.content_source = self.adapter.source(request.content, "content")
        self.style_sources = tuple(self._style_source(s, i) for i, s in enumerate(request.styles))
        sources = (self.content_source, *self.style_sources)
        self.notes = tuple(note for source in sources for note in getattr(source, "notes", ()))
        # A strength of 0 is the content itself, so what prepares it for the style comes in gradually.
        styled = recipe.effective_weights()[1] > 0
        style_share = min(1.0, recipe.strength / FULL_PREPARATION) if styled else 0.0
        seen = self._encode(style_share)
        self._prepare_start(seen, style_share)
        self._plan()

    def on_note(self, note: str) -> None:
        """Tell the user something that came up under way, once, and keep it for the record."""
        if note not in self.told:
            self.told.append(note)
            self._on_note(note)

    def _encode(self, style_share: float) -> Any:
        """Make images of content and styles; return the content that was made one of."""
        request, seen = self.request, self.content_source
        if self.sound is not None and self.recipe.equalize and style_share > 0:
            seen = self.sound.equalized(seen, self.style_sources, style_share)
        self.content: Encoded = self.adapter.encode_content(seen)
        if request.output is not None:
            self.adapter.check_output(request.output, self.content_source, self.content)
        if self.picture is None:
            styles = [self.adapter.encode_style(s, self.content) for s in self.style_sources]
        else:
            given = (self.content_source, self.style_sources)
            masks = (request.content_masks, request.style_masks)
            styles, self.masks = self.picture.encode_styles(self.content, *given, *masks)
        self.styles = [s.image for s in styles]
        self.upper = max([self.content.upper, *(s.upper for s in styles)])
        return seen

    def _prepare_start(self, seen: Any, style_share: float) -> None:
        """Make ready what the optimization starts from."""
        recipe = self.recipe
        self.start_source = self._read_start()
        self.start = self.content
        self.reference = (
            self.adapter.reference(self.style_sources, self.content, self.generator)
            if recipe.balance == "gradient"
            else None
        )
        noisy = recipe.init == "content" and recipe.init_noise_db is not None
        if self.sound is not None and noisy and style_share > 0:
            noised = self.sound.noised(seen, self.style_sources, self.generator, style_share)
            self.start = self.adapter.encode_content(noised)
        if self.sound is not None and recipe.canvas == "waveform":
            start = self.style_sources[0] if recipe.init == "style" else self.start_source
            noise = self.generator if recipe.init == "noise" else None
            self.waveform = self.sound.waveform(
                self.start, start=start, styles=self.style_sources, noise=noise
            )

    def _plan(self) -> None:
        """Make the network, and plan the scales."""
        request, recipe = self.request, self.recipe
        channels, height = self.content.image.shape[1:3]
        with convolutions_in(self.precision):  # gains are measured
            self.network: Network = self.warm.network(
                network_for,
                recipe,
                precision=self.precision,
                rows=channels * height,
                seed=request.seed,
                weights=request.weights,
                preprocessing=request.preprocessing,
                device=self.device,
                dtype=network_dtype(self.precision),
            )
        self.shapes = scale_shapes(
            *self.content.image.shape[2:],
            smallest=recipe.smallest_scale,
            factor=recipe.scale_factor,
            fixed_height=self.network.fixed_height,
        )
        self.outlook = Outlook(
            request,
            recipe,
            self.network,
            self.device,
            self.content.image,
            max(s.shape[2] * s.shape[3] for s in self.styles),
            self.shapes,
            [self.steps_at(scale) for scale in range(len(self.shapes))],
            sum(s.shape[3] for s in self.styles),
        )

    def _style_source(self, given: Any, number: int) -> Any:
        """Return a style, or the part of it that the recipe asks for, read or kept from an earlier run."""

        def check(source: Any) -> Any:
            return self.adapter.source(source, "style")

        sound, medium = self.sound, self.request.medium
        if sound is None:
            return self.warm.source(given, medium, check)
        part = sound.style_part(number)
        return self.warm.source(given, medium, lambda g: sound.source(g, "style", part), part, check=check)

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

    def steps_at(self, scale: int) -> int:
        """Return how many evaluations a scale gets."""
        first = self.recipe.first_steps
        return first if first is not None and scale == 0 and len(self.shapes) > 1 else self.recipe.steps

    def finish(
        self, image: Tensor, parameters: list[Tensor], waveform: WaveformCanvas | None
    ) -> tuple[Any, dict[str, float]]:
        """Return an image, or the samples of a waveform, as a finished sound or picture, with figures."""
        if waveform is not None and self.sound is not None:
            return self.sound.finish_waveform(waveform, parameters[0], self.content_source)
        # Both are copies of what was optimized.
        whole = resize(image, *self.content.image.shape[2:]).clamp_(0.0, self.upper)
        return self.adapter.finish(whole, self.content, self.content_source)

    def result(
        self, state: State, notes: tuple[str, ...], started: float, failure: str | None = None
    ) -> Result:
        """Decode the final image and write down what was done."""
        output, figures = self.finish(state.image, state.parameters, self.waveform)
        if figures.get("peak_gain_db", 0.0) < QUIETER_DB:
            quieter = -figures["peak_gain_db"]
            mixed = self.recipe.mask is not None or self.recipe.keep_band or self.recipe.mix < 1.0
            what = "the stylized part" if mixed else "the result"
            notes += (f"{what} is {quieter:.1f} dB quieter than the content: its peaks would clip",)
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
            "torch": torch.__version__,
        }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
