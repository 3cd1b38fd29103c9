"""A server on a free port with a tiny client, and inputs to send."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from PIL import Image

from specstyle.ui.app import make_app
from specstyle.ui.server import listen, make_server
from specstyle.ui.words import Limits

RATE, TOKEN = 8000, "0123456789abcdef" * 2
INPUTS = {"audio": ("c.wav", "s.wav"), "image": ("c.png", "s.png")}


@dataclass
class Client:
    """Speaks with a server as a page does."""

    port: int
    inputs: Path
    folder: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}/"

    def ask(
        self, method: str, path: str, body: Any = None, headers: Any = None, root: str = f"/{TOKEN}"
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, root + path, body, headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()

    def json(self, method: str, path: str, values: Any = None) -> tuple[int, Any]:
        status, _, body = self.ask(method, path, None if values is None else json.dumps(values))
        return status, json.loads(body)

    def send(self, name: str, data: bytes | None = None) -> tuple[int, Any]:
        data = (self.inputs / name).read_bytes() if data is None else data
        status, _, body = self.ask("POST", f"/api/uploads?name={quote(name)}", data)
        return status, json.loads(body)

    def begin(self, medium: str, kind: str = "style", **settings: Any) -> str:
        content, style = (self.send(name)[1]["id"] for name in INPUTS[medium])
        asked = {"kind": kind, "content": None if kind == "texture" else content, "settings": settings}
        status, job = self.json("POST", "/api/jobs", {**asked, "styles": [] if kind == "once" else [style]})
        assert status == 201, job
        return str(job["id"])

    def job(self, identity: str) -> dict[str, Any]:
        status, job = self.json("GET", f"/api/jobs/{identity}")
        assert status == 200, job
        return dict(job)

    def wait(self, identity: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for _ in range(3000):
            job = self.job(identity)
            if until(job):
                return job
            assert job["state"] != "failed", job
            time.sleep(0.01)
        raise AssertionError(f"waited for too long: {job}")

    def ended(self, identity: str) -> dict[str, Any]:
        return self.wait(identity, lambda job: job["state"] in ("finished", "stopped"))


@contextlib.contextmanager
def running(folder: Path, limits: Limits, inputs: Path) -> Iterator[Client]:
    listener = listen(0)
    server = make_server(make_app(folder, limits), TOKEN, limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Client(listener.getsockname()[1], inputs, folder)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return make_inputs(tmp_path / "inputs")


def make_inputs(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    t = np.arange(8001) / RATE
    soundfile.write(folder / "c.wav", 0.3 * np.sin(2 * np.pi * 440 * t * (1 + t)), RATE, subtype="PCM_24")
    soundfile.write(folder / "s.wav", 0.1 * rng.standard_normal(8000), RATE)
    y, x = np.mgrid[:48, :60]
    for name, pixels in (
        ("c.png", np.stack([x * 4, y * 5, x + y], 2)),
        ("s.png", rng.integers(0, 255, (40, 48, 3))),
    ):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("not a sound")
    return folder


@pytest.fixture(autouse=True)
def _small(one_thread: None) -> None:
    pass


@pytest.fixture
def serve(tmp_path: Path, inputs: Path) -> Callable[..., Any]:
    """Start a server on one folder, with limits."""
    return lambda **limits: running(tmp_path / "data", Limits(**limits), inputs)


@pytest.fixture
def client(serve: Callable[..., Any]) -> Iterator[Client]:
    with serve() as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One server for tests that leave no jobs; it takes sounds of a minute."""
    folder = tmp_path_factory.mktemp("shared")
    with running(folder / "data", Limits(sound_minutes=1), make_inputs(folder / "inputs")) as found:
        yield found
