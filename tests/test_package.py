"""The package as it is imported: light, whole, with examples that are true."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import specstyle

ROOT = Path(__file__).parents[1]
HEAVY = (
    "numba",
    "torchaudio",
    "torch",
    "numpy",
    "scipy",
    "librosa",
    "matplotlib",
    "soundfile",
    "soxr",
    "PIL",
    "tqdm",
    "ray",
    "safetensors",
    "starlette",
    "uvicorn",
)
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(specstyle.__path__, "specstyle.") if m.name != "specstyle.__main__"
)


def loaded_by(statement: str) -> list[str]:
    """Return which heavy libraries a fresh Python has loaded after a statement."""
    program = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    "statement",
    [
        "import specstyle",
        "import specstyle; specstyle.__version__; dir(specstyle)",
        "from specstyle import Recipe, RECIPES, SpecstyleError",
        "import specstyle.cli.main",
    ],
)
def test_a_light_import(statement: str) -> None:
    assert loaded_by(statement) == []


def test_metrics_wait_for_librosa_until_they_are_asked_for() -> None:
    """Its first use takes seconds."""
    assert not {"librosa", "numba", "torchaudio"} & set(loaded_by("import specstyle.evaluate"))


def test_a_star_import() -> None:
    assert "torch" in loaded_by("from specstyle import *\nassert callable(transfer_audio)")


@pytest.mark.parametrize("name", specstyle.__all__)
def test_public_names(name: str) -> None:
    value = getattr(specstyle, name)
    assert value is not None
    assert name in dir(specstyle)
    if callable(value) and name != "RECIPES":
        assert value.__doc__


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'transfer_smell'"):
        _ = specstyle.transfer_smell


def test_the_public_names_are_told_to_type_checkers() -> None:
    """The imports under TYPE_CHECKING, the table of homes and ``__all__`` name the same things."""
    tree = ast.parse((ROOT / "specstyle" / "__init__.py").read_text(encoding="utf-8"))
    guarded = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert guarded | {"__version__"} == set(specstyle.__all__)
    assert (ROOT / "specstyle" / "py.typed").exists()


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not a checkout")
def test_every_package_is_in_the_wheel() -> None:
    """Packages are listed by hand: a new folder must be in the list."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "packages"
    ]
    there = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "specstyle").rglob("__init__.py")}
    assert there - {"specstyle.synthesis"} == set(listed) - {"specstyle.synthesis"}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_imported_first(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in finder.find(module, name):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_the_version_is_told_once() -> None:
    from importlib.metadata import version

    assert version("specstyle") == specstyle.__version__
