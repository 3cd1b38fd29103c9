"""Run the tests with the oldest and the newest libraries allowed, in the Pythons of this machine.

python -m bench.matrix [--resolve] [PYTEST OPTION ...]

The oldest ones are for the oldest Python that is there. Each combination gets a virtual environment of its
own in a temporary folder (several GB, most of it torch). With --resolve nothing is installed or run: pip only
says whether such libraries go together. Of pyenv's Pythons those count that are chosen, as by PYENV_VERSION.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def oldest() -> Iterator[str]:
    """Give a constraint for each lower bound of a library in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = text[text.index("\ndependencies") : text.index("[project.scripts]")]
    for name, version in dict(re.findall(r'"([\w-]+)(?:\[\w+\])?>=([\d.]+)', needed)).items():
        yield f"{name}=={version}"


def tried(python: str, constraints: Path, options: list[str]) -> bool:
    """Return whether the libraries go together and, unless that is all that is asked, the tests pass."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
        pip = [str(inside), "-m", "pip", "install", "--quiet", "--constraint", str(constraints)]
        if "--resolve" in options:
            pip += ["--dry-run", "--only-binary", ":all:"]
        if subprocess.run([*pip, "--editable", ".[test]"], cwd=ROOT, check=False).returncode:
            return False
        tests = [str(inside), "-m", "pytest", "-q", *options]
        return "--resolve" in options or not subprocess.run(tests, cwd=ROOT, check=False).returncode


def main() -> None:
    """Print a line for each; the exit code is 1 where one failed."""
    options, failed = sys.argv[1:], 0
    with tempfile.TemporaryDirectory() as name:
        bounds = {"oldest": Path(name) / "oldest.txt", "newest": Path(name) / "newest.txt"}
        bounds["oldest"].write_text("\n".join(oldest()), "utf-8")
        bounds["newest"].write_text("", "utf-8")
        for version in VERSIONS:
            python = shutil.which(f"python{version}")
            # pyenv puts a name in the way of each Python that it has, chosen or not.
            if python is not None and subprocess.run([python, "-c", ""], check=False).returncode:
                python = None
            for which, constraints in bounds.items():
                good = python is not None and tried(python, constraints, options)
                failed += python is not None and not good
                said = "is not on this machine" if python is None else "good" if good else "FAILED"
                print(f"Python {version}, {which} libraries: {said}", flush=True)
            if python is not None:
                bounds.pop("oldest", None)  # which have no files for newer Pythons
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
