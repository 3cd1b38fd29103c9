"""What a run of the suite was asked for, and what it ran on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

NO_GPU = "not measured: no GPU"


@dataclass(frozen=True)
class Options:
    """Options of the suite.

    Attributes:
        device: ``cpu`` or ``cuda``.
        sizes: Longest sides of pictures.
        seconds: Durations of sounds.
        precisions: As ``Request.precision`` spells them.
        tile: As ``Request.tile`` spells it.
        quick: Fewer steps and cases.
        steps: Steps of the reference loop in the time to quality.
        minutes: After so many, speed, time to quality and large inputs begin no further case.
        rounds: Timed turns of each step.
        threads: Of the CPU.
        data: Folder with ``images`` and ``esc10`` to use in the place of drawn pictures and made sounds.
        weights: Weights file for the rows of pretrained VGG19.
        results: Where ``RESULTS.md`` and ``results/`` are.
    """

    device: str = "cpu"
    sizes: tuple[int, ...] = (256, 512, 1024)
    seconds: tuple[float, ...] = (5.0, 30.0)
    precisions: tuple[str, ...] = ("fp32",)
    tile: str = "auto"
    quick: bool = False
    steps: int = 500
    minutes: float | None = None
    rounds: int = 12
    threads: int = 1
    data: Path | None = None
    weights: Path | None = None
    results: Path = Path(__file__).parent

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA device: only then absolute times are told."""
        return self.device.startswith("cuda")


def hardware(options: Options) -> str:
    """Return one line: processor or GPU, threads, versions."""
    if options.on_gpu:
        chip = f"{torch.cuda.get_device_name(options.device)}, CUDA {torch.version.cuda}"
    else:
        chip = f"{_processor()}, {options.threads} of {os.cpu_count()} cores"
    return f"{chip}; torch {torch.__version__}, Python {platform.python_version()}, {platform.system()}"


def _processor() -> str:
    """Return the processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
