"""One run on several processes: how they find each other, and what each has of an image."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle.engine.distrib import Ranks, Strip, TeamError
from specstyle.engine.optimize import State
from specstyle.engine.team import Team
from specstyle.engine.tiles import Size, grid_of
from specstyle.errors import RecipeError
from specstyle.recipes import Recipe
from specstyle.run.build import choose_device
from specstyle.run.regions import Tiling


def join(device_name: str) -> tuple[Team, str]:
    """Meet the other processes that ``torchrun`` started.

    Args:
        device_name: Where to run, as a user says it; of several GPUs each process takes its own.

    Returns:
        The team, and the name of this process' own device.

    Raises:
        ValueError: If there are more processes than GPUs on a machine, or the device cannot be shared.
    """
    import torch.distributed as dist

    device = choose_device(device_name)
    if device.type == "mps":
        raise ValueError("several processes cannot share an MPS device; use --device cpu, or one process")
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"{os.environ['LOCAL_WORLD_SIZE']} processes for {torch.cuda.device_count()} GPUs; start one "
                "for each, or use --device cpu"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(device), str(device)


def leave() -> None:
    """Say goodbye to the other processes, if there are any."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def resumable(run_dir: Path | None) -> Iterator[None]:
    """Say how to go on if another process is gone and a folder keeps the run.

    Raises:
        TeamError: If another process is gone.
    """
    try:
        yield
    except TeamError as error:
        if run_dir is None or not (run_dir / "run.json").exists():
            raise
        raise TeamError(error.said, f"--resume {run_dir} goes on") from error


def check_shared(team: Team, recipe: Recipe, features: Any) -> None:
    """Refuse what several processes cannot share.

    Raises:
        RecipeError: Saying what to do instead.
    """
    if team.size == 1:
        return
    if not hasattr(features, "strides") or recipe.canvas == "waveform":
        raise RecipeError(
            f"{team.size} processes share an image, and {recipe.network} on the {recipe.canvas} works on the "
            "sound as a whole; take --network wide-random or a vgg19 network, or one process"
        )
    if recipe.refine_steps:
        raise RecipeError("--refine-steps works on the sound as a whole; set it to 0, or use one process")


class Share:
    """What one process has of an image of some width: all of it, if it is alone.

    Args:
        team: The processes.
        features: The network.
        width: Of the image.

    Raises:
        RecipeError: If the image is too small for so many.
    """

    def __init__(self, team: Team, features: Any, width: int) -> None:
        self._team = team
        self._strip: Strip | None = None
        if isinstance(team, Ranks):
            try:
                self._strip = Strip(width, grid_of(features), team)
            except ValueError as error:
                raise RecipeError(str(error)) from error

    def own(self, image: Tensor) -> Tensor:
        """Return what this process has of a whole image."""
        return image if self._strip is None else self._strip.own(image)

    def whole(self, own: Tensor) -> Tensor:
        """Return the whole image; all processes must ask for it."""
        return own if self._strip is None else self._strip.whole(own)

    def own_values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return nested values with what this process has of each whole image among them."""
        own: dict[str, Any] = _mapped(values, self.own)
        return own

    def whole_values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return nested values with the whole of each image among them; all processes must ask for it."""
        whole: dict[str, Any] = _mapped(values, self.whole)
        return whole

    def whole_state(self, state: State, *, with_memory: bool = False) -> State:
        """Return a state of the whole image, its optimizer's memory only if asked for."""
        memory = self.whole_values(state.memory) if with_memory else {}
        return dataclasses.replace(state, image=self.whole(state.image), memory=memory)

    def tiling(self, size: Size | None, *, keep_content: bool) -> Tiling | None:
        """Return how an objective is computed here, in tiles of a size."""
        if self._strip is None:
            return None if size is None else Tiling(size, keep_content)
        return Tiling(size or (None, None), keep_content, self._team, self._strip)


def _mapped(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return nested values with each image among them changed."""
    if isinstance(values, dict):
        return {name: _mapped(value, change) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return type(values)(_mapped(value, change) for value in values)
    return change(values) if isinstance(values, Tensor) and values.ndim == 4 else values
