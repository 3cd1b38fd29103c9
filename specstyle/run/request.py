"""What a run is asked for, what it tells on its way, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from specstyle.engine.objective import Term
from specstyle.errors import SpecstyleError
from specstyle.media.spectrogramfile import Spectrogram
from specstyle.recipes import Recipe

Stage = Literal["optimize", "finish"]
"""Where a run has got to, beyond the reading of its inputs."""


MakeTerms = Callable[[Callable[[Tensor], dict[str, Tensor]], Tensor, Sequence[Tensor]], Sequence[Term]]
"""From the network (an image to maps by layer), the content's and the styles' images to losses."""


@dataclass(frozen=True)
class Progress:
    """One step of a run, as its ``on_step`` function sees it.

    Attributes:
        step: Evaluations made, over all scales.
        steps: Evaluations that there will be.
        scale: Number of the current scale, from 1; of the current section, where a long sound goes in some.
        scales: Number of scales, or sections.
        losses: Weighted losses: ``total``, by group (``content``, ``style``, ``tv``), by term.
        image: Returns a copy of the current image, ``[B, C, h, w]``.
        result: Returns the current image as a finished sound or picture. This costs a phase reconstruction.
        part: What ``scale`` counts: ``scale`` or ``section``.
    """

    step: int
    steps: int
    scale: int
    scales: int
    losses: dict[str, float]
    image: Callable[[], Tensor]
    result: Callable[[], Any]
    part: str = "scale"


@dataclass(frozen=True)
class Result:
    """What a run gives.

    Attributes:
        output: The stylized ``Sound`` or ``Picture``.
        content: The content as it was read.
        styles: The styles as they were read.
        record: Version, recipe, inputs, network, seed, device, losses, seconds: plain values.
        notes: What a user should know.
        image: The optimized image, ``[B, C, H, W]``: of a sound its log-magnitudes.
        spectrogram: Of a sound, the magnitudes that became it, with their transform, as ``specstyle.invert``
            takes them.
    """

    output: Any
    content: Any
    styles: tuple[Any, ...]
    record: dict[str, Any]
    notes: tuple[str, ...] = ()
    image: Tensor | None = None
    spectrogram: Spectrogram | None = None


class TransferError(SpecstyleError):
    """A run that broke off.

    Attributes:
        result: The last good result, or ``None``.
    """

    def __init__(self, message: str, result: Result | None) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True)
class Request:
    """Everything that a run is asked for.

    Attributes:
        medium: ``audio`` or ``image``.
        content: A path, an array or a source.
        styles: One or more of the same.
        recipe: ``default``, a recipe's name, a TOML file, or a recipe.
        overrides: Recipe fields to change.
        weights: Weights file for VGG19 instead of torchvision's.
        preprocessing: ``torchvision`` or ``caffe``, if the weights file does not say.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        seed: Of random weights, noise and phase.
        sample_rate: Of arrays of samples, in Hz.
        tile: ``auto`` (tiles where memory is short), ``off``, or a tile's size in pixels.
        precision: ``auto`` (tf32 on GPUs that have it, else fp32), ``fp32``, ``tf32`` or ``bf16``.
        report_every: On a GPU, call ``on_step`` only at the first and the last step of a scale and at every
            so many: the GPU need not wait for the host in between. On a CPU each step is reported.
        memory_limit: The most memory that the process may hold on its device, in GiB: tiles are chosen for
            it, and what does not fit by estimate is refused. ``None``: half of the
            machine's, nine tenths of a GPU's, are planned for.
        workers: Runs side by side, this one among them, that share what a plan is made for.
        output: Where the result will be written, so that what its format cannot hold is told at once.
        content_masks: One for each style, or none: where in the content it applies. White is 1, black is 0;
            ``None`` or ``"all"``: everywhere.
        style_masks: One for each style, or none: which part of it counts.
        network: A network of the caller's own, in the place of the recipe's: anything that turns an image
            ``[B, C, H, W]`` into a dict of maps ``[B, C_l, h_l, w_l]`` by name. Content and style layers are
            then its names (by default the last one for content, all for style).
        terms: Makes losses of the caller's own beside the recipe's: called with the network, the content's
            and the styles' images, returns a list of ``Loss``. ``content_weight=0`` or ``style_weight=0``
            leaves the recipe's own out.
        invert: In the place of the recipe's phase reconstruction: from magnitudes ``[channels, n_bins,
            frames]``, ``StftSettings`` and a length to samples ``[channels, length]``.
    """

    medium: str
    content: Any
    styles: Sequence[Any]
    recipe: str | Path | Recipe = "default"
    overrides: dict[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    preprocessing: str | None = None
    device: str = "auto"
    seed: int = 0
    sample_rate: int | None = None
    tile: str | int = "auto"
    precision: str = "auto"
    report_every: int = 1
    memory_limit: float | None = None
    workers: int = 1
    output: Path | None = None
    content_masks: Sequence[Any] = ()
    style_masks: Sequence[Any] = ()
    network: Callable[[Tensor], dict[str, Tensor]] | None = None
    terms: MakeTerms | None = None
    invert: Callable[[Tensor, Any, int], Any] | None = None


@dataclass(frozen=True)
class Job:
    """A request whose content and styles are files, and where its results go.

    Attributes:
        request: What to do.
        output: The file to write; its suffix names the format.
        force: Replace an existing output.
        save_every: Also keep every so many steps' result, and a sheet of them; 0: none.
        plot: Also write a figure with content, style and result side by side.
        metadata: Keep the settings inside a picture, see ``run.record``.
        run_dir: A folder that keeps the run, so that it can be gone on with.
        checkpoint_every: Steps from one checkpoint to the next; ``None``: as many as half a minute takes.
        tensorboard: Log losses, pictures and sounds for TensorBoard into ``run_dir``.
        report: Also write a page to listen to and look at, see ``run.report``.
        resumed: Go on with what ``run_dir`` keeps.
        shown: What to call files in the record, by their paths; others are called as they are given.
        notes: What a user should know beforehand; the record keeps them.
    """

    request: Request
    output: Path
    force: bool = False
    save_every: int = 0
    plot: bool = False
    metadata: bool = True
    run_dir: Path | None = None
    checkpoint_every: int | None = None
    tensorboard: bool = False
    report: bool = False
    resumed: bool = False
    shown: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def name_of(self, path: Any) -> str:
        """Return what to call a file."""
        return self.shown.get(str(Path(path).absolute()), str(path))

    @property
    def record_path(self) -> Path:
        """Where the record goes: ``out.wav.json`` beside ``out.wav``."""
        return self.output.with_name(self.output.name + ".json")

    @property
    def figure_path(self) -> Path:
        """Where ``plot`` goes: ``out.figure.png``."""
        return self.output.with_name(self.output.stem + ".figure.png")

    @property
    def report_path(self) -> Path:
        """Where ``report`` goes: ``out.report.html``."""
        return self.output.with_name(self.output.stem + ".report.html")

    @property
    def steps_folder(self) -> Path:
        """Where ``save_every`` goes: ``out.steps/``, or ``snapshots/`` in ``run_dir``."""
        if self.run_dir is not None:
            return self.run_dir / "snapshots"
        return self.output.with_name(self.output.stem + ".steps")
