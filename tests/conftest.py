"""What tests of several folders share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Outcome, write_inputs
from hypothesis import HealthCheck, settings

# How fast a machine is, and what else it does, is no property of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Torchvision's VGG19, where a developer has fetched it, is another file than everyone has.
os.environ["TORCH_HOME"] = str(Path(tempfile.gettempdir()) / "specstyle-tests-without-torch-home")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors and a busy machine: threads that wait for each other are 10 times slower than one."""
    import torch  # tests that do not ask for this do not pay for it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    """A current folder with inputs in each medium, on one thread."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process."""
    from specstyle.cli.main import main

    def run(*argv: str | Path) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in argv])
        return Outcome(int(ended.value.code or 0), *capsys.readouterr())

    return run
