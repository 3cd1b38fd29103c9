"""The scripts of examples/ run as they are, on a machine without a display and without the internet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


def test_there_are_examples() -> None:
    """At least: a sound, a picture, a custom loss, a custom network, a texture from style alone."""
    if not EXAMPLES.is_dir():
        pytest.skip("not a checkout")
    assert len(SCRIPTS) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_example(script: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "TORCH_HOME": str(tmp_path / "torch"),  # without pretrained weights
        "OMP_NUM_THREADS": "1",  # beside other tests, threads only wait for each other
        "PYTHONWARNINGS": "error::DeprecationWarning:__main__",
    }
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, str(script), str(out)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    made = [p for p in out.rglob("*") if p.is_file()]
    assert made, "nothing was written into the folder that was named"
    assert all(p.stat().st_size > 0 for p in made)
    assert {p.name for p in tmp_path.iterdir()} <= {"out", "torch"}, "something was written elsewhere"
