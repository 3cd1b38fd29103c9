"""The page's server: what it takes, what it gives, whom it refuses, and what is left when it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from commands import Outcome, environment
from PIL import Image

from specstyle.cli import commands
from specstyle.recipes import read_recipe
from specstyle.ui.app import PAGE

MEDIA = pytest.mark.parametrize("medium", ["audio", "image"])


def wav(samples: Any, rate: int = 8000, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=options.pop("format", "WAV"), **options)
    return file.getvalue()


# -- jobs ----------------------------------------------------------------------------------------------------


@MEDIA
def test_a_job(medium: str, client: Any, tmp_path: Path) -> None:
    identity = client.begin(medium, steps=4, strength=0.7, seed=5)
    job = client.ended(identity)
    assert (job["state"], job["said"], job["has_result"], job["has_figure"]) == ("finished", "", True, True)
    assert job["losses"]["step"][0] == 1
    assert len(job["losses"]["total"]) == len(job["losses"]["step"]) >= 4
    at = f"/files/jobs/{identity}"
    suffix = {"audio": "wav", "image": "png"}[medium]
    _, headers, data = client.ask("GET", f"{at}/result.{suffix}")
    assert headers["content-disposition"].startswith("attachment")
    assert "style%20of%20s" in headers["content-disposition"]
    if medium == "audio":
        samples, rate = soundfile.read(io.BytesIO(data))
        assert (samples.shape, rate) == ((8001,), 8000)
        heard, _ = soundfile.read(io.BytesIO(client.ask("GET", f"{at}/listen.wav")[2]))
        assert np.abs(heard - samples).max() < 2**-14  # 16 bits for the player
    else:
        assert Image.open(io.BytesIO(data)).size == (60, 48)
    record = json.loads(client.ask("GET", f"{at}/record.json")[2])
    assert b"<!doctype html>" in client.ask("GET", f"{at}/report.html")[2][:20]
    assert record["seed"] == 5
    (tmp_path / "r.toml").write_bytes(client.ask("GET", f"{at}/recipe.toml")[2])
    recipe = read_recipe(tmp_path / "r.toml")
    assert (recipe.steps, recipe.strength) == (4, 0.7)
    for name in ("figure.png", "content.preview.png", "style-1.preview.png"):
        status, headers, data = client.ask("GET", f"{at}/{name}")
        assert (status, headers["content-type"]) == (200, "image/png")
        Image.open(io.BytesIO(data)).load()


def test_a_job_is_watched_stopped_and_gone_on_with_to_the_same_bytes(client: Any) -> None:
    whole = client.begin("image", steps=150)
    parts = client.begin("image", steps=150)
    assert next(j for j in client.json("GET", "/api/jobs")[1] if j["id"] == parts)["position"] in (1, 2)
    seen = client.wait(parts, lambda job: job.get("step", 0) > 30)
    assert seen["state"] == "running"
    assert seen["seconds_left"] > 0
    assert seen["steps"] == 150 + 12  # of them with the network that finishes
    picture = Image.open(io.BytesIO(client.ask("GET", f"/files/jobs/{parts}/live.png")[2]))
    assert picture.size == (60, 48)
    assert client.json("POST", f"/api/jobs/{parts}/stop")[0] == 200
    stopped = client.ended(parts)
    assert stopped["state"] == "stopped"
    assert stopped["has_result"]
    at_step = stopped["losses"]["step"][-1]
    assert stopped["said"] == f"Stopped at step {at_step}. This is the best result so far."
    assert client.json("POST", f"/api/jobs/{parts}/go-on")[0] == 200
    assert client.wait(parts, lambda job: "seconds_left" in job)["step"] >= at_step  # no step is lost
    assert client.ended(parts)["state"] == "finished"
    assert client.job(parts)["losses"] == client.job(whole)["losses"]
    results = {client.ask("GET", f"/files/jobs/{job}/result.png")[2] for job in (whole, parts)}
    assert len(results) == 1


def test_the_spectrogram_of_a_sound_in_work(client: Any) -> None:
    identity = client.begin("audio", steps=3000)
    client.wait(identity, lambda job: job.get("picture") is not None)
    first = client.ask("GET", f"/files/jobs/{identity}/live.png")[2]
    spectrogram = np.asarray(Image.open(io.BytesIO(first)).convert("L"))
    # The content is a sweep from 440 Hz upward: its loudest row rises (row 0 is the highest frequency).
    loudest = spectrogram[:, 3:-3].argmax(0)
    assert loudest[0] > loudest[-1] > spectrogram.shape[0] / 3
    later = client.wait(identity, lambda job: job["picture"] > 1)
    assert later["step"] >= later["picture"]
    client.json("POST", f"/api/jobs/{identity}/stop")
    assert client.ended(identity)["state"] == "stopped"


def test_the_queue(serve: Callable[..., Any]) -> None:
    with serve(waiting=2) as client:
        first = client.begin("image", steps=5000)
        client.wait(first, lambda job: job["state"] == "running")
        second, third = client.begin("image", steps=2), client.begin("image", steps=2)
        content, style = (client.send(name)[1]["id"] for name in ("c.png", "s.png"))
        status, said = client.json("POST", "/api/jobs", {"content": content, "styles": [style]})
        assert (status, said["error"]) == (429, "2 jobs wait already; try again when one is done")
        listed = client.json("GET", "/api/jobs")[1]
        assert [(j["id"], j["state"], j.get("position")) for j in listed] == [
            (third, "waiting", 2), (second, "waiting", 1), (first, "running", None)
        ]  # fmt: skip
        assert client.json("DELETE", f"/api/jobs/{first}") == (
            409,
            {"error": "this job is running; stop it first"},
        )
        client.json("POST", f"/api/jobs/{second}/stop")
        assert client.job(second)["said"] == "Taken out of the queue."
        client.json("POST", f"/api/jobs/{second}/go-on")
        client.json("POST", f"/api/jobs/{first}/stop")
        assert client.ended(second)["state"] == client.ended(third)["state"] == "finished"
        assert client.json("POST", f"/api/jobs/{second}/go-on")[0] == 409
        assert client.json("DELETE", f"/api/jobs/{second}")[0] == 200
        assert client.json("GET", f"/api/jobs/{second}")[0] == 404


def test_a_job_that_takes_too_long_is_stopped(serve: Callable[..., Any]) -> None:
    with serve(minutes=0.01) as client:
        job = client.ended(client.begin("image", steps=10_000))
        assert job["state"] == "stopped"
        assert job["has_result"]
        assert "after 0.01 minutes, the most that this server gives one job" in job["said"]


def test_jobs_outlive_their_server(serve: Callable[..., Any], tmp_path: Path) -> None:
    with serve() as client:
        done = client.begin("image", steps=2)
        client.ended(done)
        cut = client.begin("image", steps=300)
        waits = client.begin("image", steps=2)
        client.wait(cut, lambda job: job.get("step", 0) > 20)
    (tmp_path / "data" / "jobs" / "damaged").mkdir()
    (tmp_path / "data" / "jobs" / "damaged" / "job.json").write_text("{")
    with serve() as client:
        assert client.ended(waits)["state"] == "finished"
        assert client.job(done)["has_result"]
        assert len(client.job(done)["losses"]["step"]) >= 2
        job = client.job(cut)
        assert (job["state"], job["said"]) == ("stopped", "The server was ended while this ran.")
        left_at = job["losses"]["step"][-1]
        client.json("POST", f"/api/jobs/{cut}/go-on")
        assert client.wait(cut, lambda job: "step" in job)["step"] >= left_at
        assert client.ended(cut)["state"] == "finished"


def test_a_job_that_fails_says_why_and_the_next_one_runs(client: Any, tmp_path: Path) -> None:
    content, style = (client.send(name)[1] for name in ("c.wav", "s.wav"))
    short = client.send("click.wav", wav(np.random.default_rng(0).standard_normal(40)))[1]
    fails = client.json("POST", "/api/jobs", {"content": short["id"], "styles": [style["id"]]})[1]["id"]
    runs = client.begin("audio", steps=2)
    assert client.ended(runs)["state"] == "finished"
    job = client.job(fails)
    assert job["state"] == "failed"
    assert job["said"].startswith("click.wav (content) has 40 samples")
    assert str(tmp_path) not in job["said"]
    assert content["medium"] == "audio"


# -- what it takes -------------------------------------------------------------------------------------------


def test_files_are_known_by_what_they_hold(client: Any) -> None:
    status, upload = client.send("../../etc/a <b>.txt", (client.inputs / "c.png").read_bytes())
    assert status == 201
    assert (upload["medium"], upload["name"], upload["width"]) == ("image", "a <b>.txt", 60)
    status, upload = client.send("tone.aiff", wav(np.sin(np.arange(4000)), format="AIFF", subtype="PCM_24"))
    assert (upload["medium"], upload["seconds"], upload["channels"]) == ("audio", 0.5, 1)
    at = f"/files/uploads/{upload['id']}/listen.wav"
    data = client.ask("GET", at)[2]
    assert soundfile.info(io.BytesIO(data)).subtype == "PCM_16"  # AIFF is not for browsers
    assert client.ask("GET", at, headers={"Range": "bytes=0-3"})[0] == 206


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("notes.txt", b"hello", "notes.txt is text; give a sound (WAV"),
        ("none.wav", b"", "none.wav is empty; give a sound"),
        ("cut.png", b"\x89PNG\r\n\x1a\n123", "cut.png: "),
        ("film.mp4", b"\0\0\0\x20ftypisom" + bytes(64), "film.mp4 "),
        ("silent.wav", wav(np.zeros(4000)), "silent.wav (sound) "),
        ("noise.bin", bytes(range(256)) * 4, "noise.bin cannot be read as a sound"),
        ("long.wav", wav(np.zeros(70 * 100, dtype=np.int16), 100), "long.wav lasts 1 minutes, and at most 1"),
    ],
)  # fmt: skip
def test_files_that_are_refused(name: str, data: bytes, said: str, shared: Any) -> None:
    before = set((shared.folder / "uploads").iterdir())
    status, answer = shared.send(name, data)
    assert status == 422
    assert answer["error"].startswith(said)
    assert "\n" not in answer["error"]
    assert str(shared.folder) not in answer["error"]
    assert "specstyle image" not in answer["error"]
    assert set((shared.folder / "uploads").iterdir()) == before


def test_a_large_file_is_refused_before_it_is_there(serve: Callable[..., Any], tmp_path: Path) -> None:
    with serve(upload_mb=0.05) as client:
        said = b"big.wav is larger than 0.05 MB, the most that this server takes"
        heads = ("Content-Length: 90000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n")
        for head, sent in zip(heads, (b"", b"ea60\r\n" + bytes(60_000) + b"\r\n"), strict=True):
            with socket.create_connection(("127.0.0.1", client.port), timeout=10) as raw:
                start = f"POST /api/uploads?name=big.wav HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
                raw.sendall((start + head).encode() + sent)  # and no more: the answer comes all the same
                answer = b""
                while said not in answer and (piece := raw.recv(65536)):
                    answer += piece
            assert answer.startswith(b"HTTP/1.1 413")
            assert said in answer
        assert list((tmp_path / "data" / "uploads").iterdir()) == []


def test_old_uploads_make_room(serve: Callable[..., Any]) -> None:
    with serve(kept_uploads=2) as client:
        ids = [client.send("c.png")[1]["id"] for _ in range(3)]
        found = [client.ask("GET", f"/files/uploads/{i}/preview.png")[0] for i in ids]
        assert found == [404, 200, 200]
        status, said = client.json("POST", "/api/jobs", {"content": ids[0], "styles": [ids[1]]})
        assert (status, said["error"]) == (404, "a chosen file is no longer here; choose it again")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"recipe": "RECIPE.toml"}, "recipe: expected one of default, default-image, "),
        ({"recipe": "default-audio"}, "recipe: expected one of default, "),
        ({"recipe": 3}, "recipe: expected one of"),
        ({"init": "/etc/passwd"}, "settings must be an object with no more than: "),
        ([], "settings must be an object"),
        ({"strength": 2}, "strength: expected a number from 0 to 1, got 2"),
        ({"strength": float("nan")}, "strength: expected a number from 0 to 1, got nan"),
        ({"steps": 2.5}, "steps: expected a whole number from 1 to 10000, got 2.5"),
        ({"steps": True}, "steps: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number from 0"),
        ({"size": 9**9}, "size: expected a whole number from 32 to 8192"),
        ({"duration_s": 3}, "duration is for sounds only; leave it empty"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(settings: Any, said: str, shared: Any, tmp_path: Path) -> None:
    if isinstance(settings, dict) and settings.get("recipe") == "RECIPE.toml":
        settings = {"recipe": str(tmp_path / "mine.toml")}
        (tmp_path / "mine.toml").write_text("steps = 2\n")
    content, style = (shared.send(name)[1]["id"] for name in ("c.png", "s.png"))
    values = {"content": content, "styles": [style], "settings": settings}
    status, answer = shared.json("POST", "/api/jobs", values)
    assert status == 400
    assert answer["error"].startswith(said)
    assert shared.json("GET", "/api/jobs")[1] == []


def test_jobs_that_are_refused(client: Any) -> None:
    sound, picture = client.send("c.wav")[1]["id"], client.send("c.png")[1]["id"]

    def answer(values: Any) -> tuple[int, str]:
        status, said = client.json("POST", "/api/jobs", values)
        return status, said["error"]

    mixed = "a sound and a picture cannot be mixed; choose two sounds or two pictures"
    assert answer({"content": sound, "styles": [picture]}) == (400, mixed)
    assert answer({"content": sound, "styles": []}) == (400, "choose 1 to 8 styles, got 0")
    assert answer({"content": sound, "styles": [sound] * 9}) == (400, "choose 1 to 8 styles, got 9")
    assert answer({"content": sound, "styles": sound})[0] == 400
    assert answer({"content": "../x", "styles": [sound]})[0] == 404
    assert answer({"content": ["x"], "styles": [sound]})[0] == 404
    assert answer([1]) == (400, "the request is no JSON object")
    assert answer({"content": "x" * 70_000}) == (413, "the request is too long")
    assert client.ask("POST", "/api/jobs", b"\xff{")[0] == 400


# -- whom it refuses -----------------------------------------------------------------------------------------


def test_files_outside_its_folder_are_not_served(client: Any, tmp_path: Path) -> None:
    identity = client.begin("image", steps=1)
    client.ended(identity)
    upload = client.send("c.png")[1]["id"]
    (tmp_path / "data" / "secret.png").write_bytes(b"secret")
    mine = (f"/files/jobs/{identity}/", f"/files/uploads/{upload}/")
    for base in (*mine, "/files/jobs/", "/files/uploads/", "/"):
        for name in (
            "../secret.png", "../../secret.png", "..%2fsecret.png", "..%2f..%2fsecret.png",
            "%2e%2e/secret.png", "..\\secret.png", "%00", "job.json", "content.png", "run/result.png",
            f"{upload}.png", "checkpoint.pt", "//etc/passwd", "%2fetc%2fpasswd", "app.py", "..%2fapp.py",
        ):  # fmt: skip
            status, _, body = client.ask("GET", base + name)
            assert status == 404, base + name
            assert b"secret" not in body
    for method, path in (("GET", "/api/jobs/../.."), ("POST", f"/api/jobs/{identity}/remove"), ("PUT", "/")):
        assert client.ask(method, path)[0] in (404, 405)
    assert client.ask("DELETE", "/api/jobs/..")[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:7860"}, 200),
        ({"Host": "[::1]:7860"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
        ({"Host": "localhost:1", "Origin": "https://evil.example"}, 403),
        ({"Host": "localhost:1", "Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
)
def test_other_sites_are_refused(headers: dict[str, str], status: int, shared: Any) -> None:
    assert shared.ask("GET", "/api/jobs", headers=headers)[0] == status
    sent = shared.ask("POST", "/api/uploads?name=c.png", (shared.inputs / "c.png").read_bytes(), headers)
    assert sent[0] == (403 if status == 403 or "Sec-Fetch-Mode" in headers else 201)


def test_the_page_fetches_nothing_from_elsewhere(shared: Any) -> None:
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    assert shared.ask("GET", "/")[2] == (PAGE / "index.html").read_bytes()
    for path in PAGE.iterdir():
        name = path.name
        status, headers, body = shared.ask("GET", f"/{name}")
        assert status == 200
        assert headers["content-type"].startswith(kinds[path.suffix])
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        text = body.decode().replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert "://" not in text, name
        assert "innerHTML" not in text
        assert "<script>" not in text
        assert " onclick=" not in text
    assert shared.ask("GET", "/nowhere")[1]["x-content-type-options"] == "nosniff"


# -- the command ---------------------------------------------------------------------------------------------


def test_the_command_says_what_is_wrong(
    client: Any, cli: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    other = ("--folder", tmp_path / "other")
    for arguments, code, said in (
        (("--port", str(client.port), *other), 1, f"port {client.port} cannot be used: "),
        (("--port", "0", "--folder", tmp_path / "data"), 1, "another specstyle ui works there"),
        (("--port", "0", "--folder", tmp_path / "file"), 1, "name another --folder"),
        (("--port", "70000", *other), 2, "--port"),
        (("--max-minutes", "0", *other), 2, "--max-minutes"),
        (("--max-upload-mb", "nan", *other), 2, "--max-upload-mb"),
    ):
        outcome = cli("ui", "--no-browser", *arguments)
        assert (outcome.code, len(outcome.lines)) == (code, 1)
        assert said in outcome.err
    monkeypatch.setattr(commands, "find_spec", lambda name: None)
    outcome = cli("ui")
    assert (outcome.code, len(outcome.lines)) == (1, 1)
    assert "pip install 'specstyle[ui]'" in outcome.err


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_the_command_serves_until_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "specstyle", "ui", "--port", "0", "--no-browser", "--folder", "here"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(tmp_path),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.endswith("(jobs are kept in here; Ctrl-C ends)\n")
        with urllib.request.urlopen(line.split()[0], timeout=10) as page:
            assert b"<title>specstyle</title>" in page.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
