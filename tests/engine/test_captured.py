"""Recording an objective, with a CUDA of this file's own: what it does with streams, graphs and failures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from specstyle.engine import captured
from specstyle.engine.captured import CapturedObjective
from specstyle.engine.objective import Objective, VariationTerm
from specstyle.engine.tiling import TiledObjective


class Graph:
    """Does when replayed what it was told to."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda

    def replay(self) -> None:
        self._cuda.log.append(f"replay on {self._cuda.device}")
        self._cuda.replay()


class Stream:
    def wait_stream(self, other: object) -> None:
        pass


class Cuda:
    """The calls of ``torch.cuda`` that recording needs; everything is computed at once, on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.device: object = "another"
        self.current = self.main = Stream()
        self.error: Exception | None = None
        self.replay: Any = lambda: None
        self.waiting: object = "default"
        captured._side.cache_clear()
        monkeypatch.setattr(torch.cuda, "device", self._on)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.current)
        monkeypatch.setattr(torch.cuda, "stream", self._stream)
        monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: setattr(self, "current", stream))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Graph(self))
        monkeypatch.setattr(torch.cuda, "graph", self._graph)
        monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: self.waiting)
        monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: setattr(self, "waiting", mode))

    @contextlib.contextmanager
    def _on(self, device: object) -> Iterator[None]:
        before, self.device = self.device, device
        yield
        self.device = before

    @contextlib.contextmanager
    def _stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextlib.contextmanager
    def _graph(self, graph: Graph, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        self.log.append(f"record on {self.device}")
        self.current = stream  # and there it stays if the recording fails, as in torch
        yield
        if self.error is not None:
            raise self.error
        self.current = self.main


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    yield Cuda(monkeypatch)
    captured._side.cache_clear()


def objective() -> Objective:
    return Objective(None, [VariationTerm(1.0, "squared"), VariationTerm(2.0, "absolute", name="other")])


def image(seed: int = 0) -> Tensor:
    return torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(seed))


def same(found: Any, expected: Any) -> bool:
    losses = all(torch.equal(found[0][name], value) for name, value in expected[0].items())
    return losses and torch.equal(found[1], expected[1])


def honest(recorded: CapturedObjective) -> None:
    """Write what a true graph would."""
    losses, gradient = Objective.value_and_grad(recorded, recorded._image)
    recorded._losses.copy_(recorded._stacked(losses))
    recorded._gradient.copy_(gradient)


def test_it_is_recorded_and_replayed_on_the_device_of_the_image(cuda: Cuda) -> None:
    notes: list[str] = []
    recorded = CapturedObjective(objective(), notes.append)
    cuda.replay = lambda: honest(recorded)
    for seed in (1, 2, 3):
        assert same(recorded.value_and_grad(image(seed)), objective().value_and_grad(image(seed)))
    assert cuda.log == ["record on cpu", *["replay on cpu"] * 4]
    assert not notes
    assert recorded.failure is None


@pytest.mark.parametrize("wrong", ["nothing", "losses", "gradient"])
def test_a_graph_that_does_not_give_what_was_evaluated_is_not_used(cuda: Cuda, wrong: str) -> None:
    """Such as an empty one, recorded on the stream of another device: what is there looks right."""
    notes: list[str] = []
    recorded = CapturedObjective(objective(), notes.append)

    def replay() -> None:
        if wrong != "nothing":
            honest(recorded)
            getattr(recorded, f"_{wrong}").mul_(1.2)

    cuda.replay = replay
    for seed in (1, 2):
        assert same(recorded.value_and_grad(image(seed)), objective().value_and_grad(image(seed)))
    assert notes == [
        "steps are not recorded as a CUDA graph, and take longer: the first replay of the graph did not give "
        "what was evaluated"
    ]
    assert cuda.log == ["record on cpu", "replay on cpu"]


def test_what_cannot_be_recorded_is_told_once_with_the_reason(cuda: Cuda) -> None:
    notes: list[str] = []
    recorded = CapturedObjective(objective(), notes.append)
    cuda.error = RuntimeError("operation not permitted when stream is capturing\nand how to debug it")
    for seed in (1, 2):
        assert same(recorded.value_and_grad(image(seed)), objective().value_and_grad(image(seed)))
    assert notes == [
        "steps are not recorded as a CUDA graph, and take longer: operation not permitted when stream is "
        "capturing"
    ]
    assert cuda.current is cuda.main
    assert not hasattr(recorded, "_image")


def test_what_waits_for_the_device_is_found_before_a_recording(cuda: Cuda) -> None:
    """One that fails would keep memory until the process ends."""

    class Asking(VariationTerm):
        def __call__(self, image: Tensor, features: dict[str, Tensor]) -> Tensor:
            if cuda.waiting == "error":
                raise RuntimeError("called a synchronizing CUDA operation")
            return super().__call__(image, features)

    notes: list[str] = []
    asking = Objective(None, [Asking(1.0, "squared")])
    recorded = CapturedObjective(asking, notes.append)
    for seed in (1, 2):
        assert same(recorded.value_and_grad(image(seed)), asking.value_and_grad(image(seed)))
    assert notes == [
        "steps are not recorded as a CUDA graph, and take longer: called a synchronizing CUDA operation"
    ]
    assert not cuda.log
    assert cuda.waiting == "default"


def test_too_little_memory_is_for_others_to_mend(cuda: Cuda) -> None:
    recorded = CapturedObjective(objective(), pytest.fail)
    cuda.error = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        recorded.value_and_grad(image())


def test_an_image_without_any_loss_can_be_recorded(cuda: Cuda) -> None:
    recorded = CapturedObjective(objective(), pytest.fail)
    cuda.replay = lambda: honest(recorded)
    _, gradient = recorded.value_and_grad(torch.ones(1, 3, 4, 4))
    assert not bool(gradient.any())


def test_what_is_made_a_graph() -> None:
    class Network:
        stride, halo, strides = 1, 0, {"a": 1}

        def __call__(self, image: Tensor) -> dict[str, Tensor]:
            return {"a": image}

    there, here = torch.device("cuda:1"), torch.device("cpu")
    whole = Objective(Network(), [])
    assert isinstance(captured.captured(whole, there), CapturedObjective)
    assert captured.captured(whole, here) is whole
    tiled = TiledObjective(Network(), [], (16, 16), content=image())
    assert captured.captured(tiled, there) is tiled
    kernel = Objective(lambda image: {}, [])  # type: ignore[arg-type]
    assert captured.captured(kernel, there) is kernel
