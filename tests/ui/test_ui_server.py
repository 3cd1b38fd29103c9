"""The page's server: what it takes, what it gives, whom it refuses, and what is left when it ends."""

from __future__ import annotations

import io
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from commands import Outcome, environment
from PIL import Image
from ui.conftest import TOKEN, make_inputs

from specstyle.cli import commands
from specstyle.recipes import read_recipe
from specstyle.ui import jobs, server
from specstyle.ui.app import PAGE
from specstyle.ui.uploads import Uploads
from specstyle.ui.words import Limits, Refusal

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
    assert (job["state"], job["said"], list(job["results"])) == ("finished", "", ["0"])
    steps = [row["step"] for row in job["losses"]]
    assert steps[0] == 1
    assert len(steps) >= 4
    at = f"/files/jobs/{identity}"
    suffix = {"audio": "wav", "image": "png"}[medium]
    _, headers, data = client.ask("GET", f"{at}/result-0.{suffix}")
    assert headers["content-disposition"].startswith("attachment")
    assert "style%20of%20s" in headers["content-disposition"]
    if medium == "audio":
        samples, rate = soundfile.read(io.BytesIO(data))
        assert (samples.shape, rate) == ((8001,), 8000)
        heard, _ = soundfile.read(io.BytesIO(client.ask("GET", f"{at}/result-0.listen.wav")[2]))
        assert np.abs(heard - samples).max() < 2**-14  # 16 bits for the player
    else:
        assert Image.open(io.BytesIO(data)).size == (60, 48)
    record = json.loads(client.ask("GET", f"{at}/record-0.json")[2])
    assert b"<!doctype html>" in client.ask("GET", f"{at}/report-0.html")[2][:20]
    assert record["seed"] == 5
    (tmp_path / "r.toml").write_bytes(client.ask("GET", f"{at}/recipe-0.toml")[2])
    recipe = read_recipe(tmp_path / "r.toml")
    assert (recipe.steps, recipe.strength) == (4, 0.7)
    for name in ("result-0.preview.png", "content.preview.png", "style-1.preview.png"):
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
    assert stopped["results"]
    at_step = stopped["losses"][-1]["step"]
    assert stopped["said"] == f"Stopped at step {at_step}. This is the best result so far."
    assert client.json("POST", f"/api/jobs/{parts}/go-on")[0] == 200
    assert client.wait(parts, lambda job: "seconds_left" in job)["step"] >= at_step  # no step is lost
    assert client.ended(parts)["state"] == "finished"
    assert client.job(parts)["losses"] == client.job(whole)["losses"]
    results = {client.ask("GET", f"/files/jobs/{job}/result-0.png")[2] for job in (whole, parts)}
    assert len(results) == 1


def test_the_spectrogram_of_a_sound_in_work(client: Any) -> None:
    identity = client.begin("audio", steps=3000)
    client.wait(identity, lambda job: job.get("picture") is not None)
    first = client.ask("GET", f"/files/jobs/{identity}/live.png")[2]
    spectrogram = np.asarray(Image.open(io.BytesIO(first)).convert("L"))
    # The content is a tone that rises: its loudest row rises (row 0 is the highest frequency).
    loudest = spectrogram[:, 3:-3].argmax(0)
    assert loudest[0] > loudest[-1] > spectrogram.shape[0] / 3
    client.wait(identity, lambda job: job["picture"] > 1)
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
        status, said = client.json("DELETE", f"/api/jobs/{first}")
        assert (status, said["error"]) == (409, "this job is running; stop it first")
        client.json("POST", f"/api/jobs/{second}/stop")
        assert client.job(second)["said"] == "Taken out of the queue."
        client.json("POST", f"/api/jobs/{second}/go-on")
        client.json("POST", f"/api/jobs/{first}/stop")
        assert client.ended(second)["state"] == client.ended(third)["state"] == "finished"
        assert client.json("POST", f"/api/jobs/{second}/go-on")[0] == 409
        assert client.json("DELETE", f"/api/jobs/{second}")[0] == 200
        assert client.json("GET", f"/api/jobs/{second}")[0] == 404


def test_a_step_that_does_not_end_is_ended(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "END_S", 0.0)  # no step is as short
    identity = client.begin("image", steps=10_000)
    client.wait(identity, lambda job: job.get("step", 0) > 20)
    client.json("POST", f"/api/jobs/{identity}/stop")
    job = client.ended(identity)
    assert (job["state"], job["said"][:19]) == ("stopped", "Ended within a step")
    assert client.ended(client.begin("image", "once", once={"swirls": 1}))["results"]
    monkeypatch.undo()
    client.json("POST", f"/api/jobs/{identity}/go-on")
    client.wait(identity, lambda job: "step" in job)
    for _ in range(2):  # the second time without waiting
        client.json("POST", f"/api/jobs/{identity}/stop")
    assert client.ended(identity)["state"] == "stopped"


def test_a_job_that_takes_too_long_is_stopped(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(job_minutes=0.05) as client:
        job = client.ended(client.begin("image", steps=10_000))
        assert job["state"] == "stopped"
        assert "--max-minutes" in "".join(job["notes"])
        monkeypatch.setattr(jobs, "END_S", -1.0)  # no step is as short
        client.json("POST", f"/api/jobs/{job['id']}/go-on")
        assert client.ended(job["id"])["said"].startswith("Ended within a step")


@MEDIA
def test_at_once_a_texture_and_several_side_by_side(medium: str, client: Any) -> None:
    slow = client.begin(medium, steps=10_000)
    blend = {"audio": {"rain": 1, "sea": 0.5}, "image": {"swirls": 1}}[medium]
    once = client.begin(medium, "once", once=blend)
    job = client.ended(once)  # it does not wait for the other
    assert client.job(slow)["state"] == "running"
    record = json.loads(client.ask("GET", f"/files/jobs/{once}/record-0.json")[2])
    assert sum(share > 0 for share in record["onepass"]["blend"].values()) == len(blend)
    name = {"audio": "result-0.wav", "image": "result-0.png"}[medium]
    assert client.json("POST", f"/api/uploads?job={once}&file={name}")[1]["medium"] == medium
    client.json("POST", f"/api/jobs/{slow}/stop")
    size = {"audio": {"duration_s": "0.7"}, "image": {"size": "48"}}[medium]
    texture = client.ended(client.begin(medium, "texture", steps="2", **size))
    made = texture["results"]["0"]
    assert (made["duration_s"] if medium == "audio" else made["width"]) == {"audio": 0.7, "image": 48}[medium]
    sweep = client.ended(client.begin(medium, "sweep", vary="strength", values="0, .25, 1", steps="2"))
    assert sweep["parts"] == ["strength 0", "strength .25", "strength 1"]
    results = [client.ask("GET", f"/files/jobs/{sweep['id']}/result-{i}.preview.png")[2] for i in range(3)]
    assert len({*results}) == 3
    assert job["seconds"] < 60


def test_the_time_that_a_job_will_take(shared: Any) -> None:
    content, style = (shared.send(name)[1]["id"] for name in ("c.png", "s.png"))
    asked = {"kind": "style", "content": content, "styles": [style], "settings": {"steps": "3"}}
    status, said = shared.json("POST", "/api/estimate", asked)
    assert (status, said["seconds"] < 100) == (200, True)
    short = shared.send("click.wav", wav(np.random.default_rng(0).standard_normal(40)))[1]["id"]
    sound = shared.send("s.wav")[1]["id"]
    status, said = shared.json("POST", "/api/estimate", {**asked, "content": short, "styles": [sound]})
    assert (status, said["field"], said["error"][:30]) == (400, "content", "click.wav (content) has 40 sam")


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
        assert client.job(done)["results"]
        assert len(client.job(done)["losses"]) >= 2
        job = client.job(cut)
        assert (job["state"], job["said"]) == ("stopped", "The server was ended while this ran.")
        left_at = job["losses"][-1]["step"]
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
    assert (upload["medium"], upload["duration_s"], upload["channels"]) == ("audio", 0.5, 1)
    assert upload["level_db"] == pytest.approx(-3, abs=1)  # a sine of full scale
    assert len(upload["peaks"]) == 400
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
        endless = b"a request has to say how long it is"
        heads = {"Content-Length: 90000": said, "Transfer-Encoding: chunked": endless}
        heads["Content-Length: 9\r\nTransfer-Encoding: chunked"] = endless
        for head, told in heads.items():
            with socket.create_connection(("127.0.0.1", client.port), timeout=10) as raw:
                start = (
                    f"POST /{TOKEN}/api/uploads?name=big.wav HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
                )
                raw.sendall(
                    (start + head).encode() + b"\r\n\r\n"
                )  # and no more: the answer comes all the same
                answer = b""
                while told not in answer and (piece := raw.recv(65536)):
                    answer += piece
            assert answer.startswith(b"HTTP/1.1 41")
            assert told in answer
        assert list((tmp_path / "data" / "uploads").iterdir()) == []


def test_the_oldest_files_make_room(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", Limits(kept_mb=0.03))

    def taken() -> str:
        source = uploads.copy(make_inputs(tmp_path / secrets.token_hex(2)) / "s.png", "s.png")
        return source.id

    first, *_, last = [taken() for _ in range(20)]
    assert uploads.get(last)
    with pytest.raises(Refusal, match="a chosen file is no longer here; choose it again"):
        uploads.get(first)
    assert sum(path.stat().st_size for path in (tmp_path / "uploads").rglob("*")) < 60_000


def test_fifty_pages(serve: Callable[..., Any], tmp_path: Path) -> None:
    """Each sends, asks, starts, goes away: nothing fails, and nothing is left that is nobody's."""
    with serve(waiting=5) as client:
        answers: list[int] = []

        def visit(number: int) -> None:
            status, content = client.send("c.png")
            style = client.send("s.png")[1]["id"]
            answers.append(status)
            with socket.create_connection(("127.0.0.1", client.port), timeout=60) as raw:  # and breaks off
                head = f"POST /{TOKEN}/api/uploads?name=x HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                head += "Content-Length: 900\r\n\r\n"
                raw.sendall(head.encode() + bytes(100))
            asked = {"content": content["id"], "styles": [style], "settings": {"steps": "2"}}
            status, job = client.json("POST", "/api/jobs", asked)
            answers.extend([status, client.ask("GET", "/api/jobs")[0]])
            answers.extend(client.ask("DELETE", f"/api/uploads/{one}")[0] for one in (content["id"], style))
            if "id" in job:
                answers.append(client.ask("POST", f"/api/jobs/{job['id']}/stop")[0])

        with ThreadPoolExecutor(50) as pages:
            [*pages.map(visit, range(50))]  # which raises what one of them raised
        assert {*answers} <= {200, 201, 409, 429}
        assert len(answers) >= 250
        listed = client.json("GET", "/api/jobs")[1]
        client.wait(listed[-1]["id"], lambda job: job["state"] not in ("waiting", "running", "finishing"))
        there = {path.name for path in (tmp_path / "data" / "jobs").iterdir()}
        assert there == {job["id"] for job in listed}
        for _ in range(300):  # what broke off is noticed soon
            left = list((tmp_path / "data" / "uploads").iterdir())
            if not left:
                break
            time.sleep(0.1)
        assert left == []


@pytest.mark.parametrize(
    ("settings", "field", "said"),
    [
        ({"recipe": "RECIPE.toml"}, "recipe", "recipe: expected one of default, default-image, "),
        ({"recipe": "default-audio"}, "recipe", "recipe: expected one of default, "),
        ({"recipe": 3}, "recipe", "recipe: expected one of"),
        ({"init": "/etc/passwd"}, "", "settings must be an object with no more than: "),
        ({"mask": "/etc/passwd"}, "", "settings must be an object with no more than: "),
        ([], "", "settings must be an object"),
        ({"strength": 2}, "strength", "strength must be from 0 to 1, got 2"),
        ({"strength": "half"}, "strength", "strength: expected a number, got 'half'"),
        ({"steps": 2.5}, "steps", "steps: expected a whole number, got '2.5'"),
        ({"steps": 0}, "steps", "steps must be above 0, got 0"),
        ({"seed": -1}, "seed", "seed: expected a number from 0 to "),
        ({"size": 9**9}, "size", "size: expected a number from 0 to 8192, got "),
        ({"network": "x.pth"}, "network", "network: expected one of auto, "),
        ({"duration_s": 3}, "", "settings must be an object with no more than: "),
        ({"kind": "sweep", "vary": "style_blend", "values": "1,2"}, "vary", "vary: expected a setting"),
        ({"kind": "sweep", "vary": "strength", "values": "1"}, "values", "values: expected 2 to 8 "),
        ({"kind": "sweep", "vary": "strength", "values": "0, x"}, "values", "strength: expected a number"),
        ({"kind": "once", "once": {"rain": 1}}, "once", "choose a trained style: starry-night, "),
        ({"kind": "once", "once": {"swirls": -1}}, "once", "the weight of a trained style is a number"),
        ({"kind": "once", "once": {"swirls": 1}, "color": "pink"}, "color", "color must be one of "),
        ({"kind": "film", "once": {"swirls": 1}}, "content", "a film is stylized in its own tab, "),
        ({"kind": "opera"}, "", "kind: expected one of style, once, texture, sweep, film; "),
    ],
)  # fmt: skip
def test_settings_that_are_refused(settings: Any, field: str, said: str, shared: Any, tmp_path: Path) -> None:
    if isinstance(settings, dict) and settings.get("recipe") == "RECIPE.toml":
        settings = {"recipe": str(tmp_path / "mine.toml")}
        (tmp_path / "mine.toml").write_text("steps = 2\n")
    content, style = (shared.send(name)[1]["id"] for name in ("c.png", "s.png"))
    kind = settings.pop("kind", "style") if isinstance(settings, dict) else "style"
    styles = [] if kind in ("once", "film") else [style]
    values = {"kind": kind, "content": content, "styles": styles, "settings": settings}
    status, answer = shared.json("POST", "/api/jobs", values)
    assert (status, answer["field"]) == (400, field)
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
    assert answer({"styles": [sound]}) == (400, "choose a content for all but a texture")
    assert answer({"content": "../x", "styles": [sound]})[0] == 404
    assert answer({"content": ["x"], "styles": [sound]})[0] == 404
    assert answer({"content": "", "kind": "once"})[0] == 404
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
            f"{upload}.png", "checkpoint.pt", "token", "../token", "//etc/passwd",
            "%2fetc%2fpasswd", "app.py", "..%2fapp.py",
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
        ({"Host": "evil.example"}, 400),
        ({"Host": "localhost.evil.example"}, 400),
        ({"Host": "127.0.0.1.evil.example:80"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
        ({"Host": "localhost:1", "Origin": "https://evil.example"}, 403),
        ({"Host": "localhost:1", "Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
    ],
)
def test_other_sites_are_refused(headers: dict[str, str], status: int, shared: Any) -> None:
    assert shared.ask("GET", "/api/jobs", headers=headers)[0] == status
    sent = shared.ask("POST", "/api/uploads?name=c.png", (shared.inputs / "c.png").read_bytes(), headers)
    assert sent[0] == (201 if status == 200 else status)


def test_who_does_not_know_the_address_sees_nothing(shared: Any) -> None:
    for root in ("", "/", f"/{TOKEN[:-1]}", f"/{TOKEN}x", f"/{TOKEN.upper()}"):
        for path in ("/", "/api/jobs", "/app.js", "/player.js", "/files/uploads/rainfall/preview.png"):
            assert shared.ask("GET", path, root=root)[0] == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}  # from the file that opens it
    assert shared.ask("GET", "/", headers=link)[0] == 200


def test_silent_connections_end(serve: Callable[..., Any], tmp_path: Path) -> None:
    head = f"POST /{TOKEN}/api/uploads?name=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    with serve(idle_s=1.0) as client:
        whole = f"GET /{TOKEN}/api/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for sent in (b"", b"GET / HTTP/1.1\r\nHos", head.encode() + b"abc", whole.encode() + b"GET"):
            with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:
                raw.sendall(sent)
                while raw.recv(4096):
                    pass
        assert list((tmp_path / "data" / "uploads").iterdir()) == []


def test_the_terminal_is_not_flooded() -> None:
    log, written = logging.getLogger("uvicorn.error"), list[logging.LogRecord]()
    filters, handler = log.filters[:], logging.NullHandler()
    server.make_server(lambda *_: None, TOKEN, Limits())
    handler.handle = written.append
    log.addHandler(handler)
    for _ in range(1000):
        log.warning("Invalid HTTP request received.")
    log.removeHandler(handler)
    log.filters = filters
    assert 0 < len(written) <= server.LOG_LINES


def test_the_page_fetches_nothing_from_elsewhere(shared: Any) -> None:
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    names = [*(path.name for path in PAGE.iterdir() if path.is_file()), "player.js", "player.css"]
    assert shared.ask("GET", "/")[2] == shared.ask("GET", "/index.html")[2]
    for name in names:
        status, headers, body = shared.ask("GET", f"/{name}")
        assert status == 200
        assert headers["content-type"].startswith(kinds[Path(name).suffix])
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        text = body.decode().replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert "://" not in text.split('id="data"')[0], name
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
        (("--max-upload-mb", "nan", *other), 2, "--max-upload-mb"),
        (("--max-minutes", "nan", *other), 2, "--max-minutes"),
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
        address = line.split()[0]
        with urllib.request.urlopen(address, timeout=10) as page:
            assert b"<title>specstyle</title>" in page.read()
        data = (tmp_path / "here" / "token").read_bytes()
        with urllib.request.urlopen(f"{address}api/uploads?name=n.wav", wav(np.sin(np.arange(4000)))) as sent:
            assert sent.status == 201
        written = [tmp_path / "here", *(tmp_path / "here").rglob("*")]
        assert {path.stat().st_mode & 0o777 for path in written} <= {0o700, 0o600}
        assert data.decode() in address
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert not (tmp_path / "here" / "uploads").exists()
