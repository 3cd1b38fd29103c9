"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine is, and what else it does, is no property of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors and a busy machine: threads that wait for each other are 10 times slower than one."""
    import torch  # tests that do not ask for this do not pay for it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_machine(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and no VGG19 on the machine."""
    from specstyle.features import weights

    monkeypatch.setattr(weights, "is_cached", lambda: False)
