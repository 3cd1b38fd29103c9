"""How far it is through the house: what one run of `specstyle audio` passes, and how deep it goes.

    python -m bench.house

Prints lines and modules of the program, files of `run`, and, for 3 seconds of sound, the functions and
modules that one run passes and the calls between `main` and the Gram matrix (`sys.setprofile`).
"""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import soundfile

import specstyle

HOME = Path(specstyle.__file__).parent
RATE = 22050


def sizes() -> dict[str, int]:
    """Return lines and modules of the program, and files of ``run``."""
    files = list(HOME.rglob("*.py"))
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    return {"lines": lines, "modules": len(files), "files of run": len(list((HOME / "run").glob("*.py")))}


def passed() -> dict[str, int]:
    """Return functions and modules that one run on 3 s passes, and the frames to the Gram matrix."""
    functions: set[tuple[str, str, int]] = set()
    depths: list[int] = []
    home = str(HOME)

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        # Bodies of classes, which run at an import, are calls, too, and no functions.
        if (
            event != "call"
            or not code.co_filename.startswith(home)
            or not code.co_flags & inspect.CO_OPTIMIZED
        ):
            return
        functions.add((code.co_filename, code.co_name, code.co_firstlineno))
        if code.co_name in ("gram", "gram_error", "banded_gram", "statistic"):
            depths.append(_depth(frame))

    with tempfile.TemporaryDirectory() as folder:
        for name, seed in (("c", 0), ("s", 1)):
            noise = 0.1 * np.random.default_rng(seed).standard_normal(3 * RATE)
            soundfile.write(Path(folder) / f"{name}.wav", noise, RATE)
        from specstyle.cli.main import main

        names = [str(Path(folder) / name) for name in ("c.wav", "s.wav", "o.wav")]
        sys.setprofile(watch)
        try:
            with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
                main(["audio", *names[:2], "-o", names[2], "--steps", "5", "--quiet"])
        finally:
            sys.setprofile(None)
    code = {f for f in functions if not f[1].startswith("<")}
    return {
        "functions": len(code),
        "modules passed": len({f[0] for f in code}),
        "frames to the Gram matrix": min(depths),
    }


def _depth(frame: FrameType | None) -> int:
    """Return how many frames of any code there are from ``main`` to this one, both counted."""
    depth = 1
    while frame is not None and frame.f_code.co_name != "main":
        frame, depth = frame.f_back, depth + 1
    return depth


if __name__ == "__main__":
    for what, number in {**sizes(), **passed()}.items():
        print(f"{what}: {number}")
