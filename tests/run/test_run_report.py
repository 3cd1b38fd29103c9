"""The report of a run, as text and in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from browsing import browser_page
from commands import go
from PIL import Image
from run.test_kept import STEPS, Killed, job, killed_at

from specstyle.errors import FileError
from specstyle.evaluate import evaluate
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Sound
from specstyle.pages import panels_of
from specstyle.run.checkpoint import resumed_job
from specstyle.run.request import Job, Result

pytestmark = pytest.mark.usefixtures("workplace")


def plain_job(folder: Path, kind: str, **options: Any) -> Job:
    made = job(folder, kind, "unused", report=True, **options)
    output = folder / f"out{made.output.suffix}"
    return dataclasses.replace(made, run_dir=None, checkpoint_every=None, output=output)


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    values: dict[str, Any] = json.loads(found[1])
    return values


def decoded(uri: str) -> io.BytesIO:
    return io.BytesIO(base64.b64decode(uri.partition(",")[2]))


def test_a_sound_is_embedded_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    _, written = go(plain_job(tmp_path, "sound, adam"))
    path = tmp_path / "out.report.html"
    assert path in written
    page = path.read_text()
    data = data_of(page)
    assert [p["title"] for p in data["panels"]] == ["content", "style", "result", "result minus content"]
    samples, rate = soundfile.read(decoded(data["panels"][2]["audio"]))
    expected, _ = soundfile.read(tmp_path / "out.wav")
    assert rate == 8000
    assert np.abs(samples - expected).max() < 2 / 32768
    assert [row["step"] for row in data["losses"]] == list(range(1, STEPS + 1))
    result, content, style = (read_sound(tmp_path / name) for name in ("out.wav", "c.wav", "s.wav"))
    assert f"<td>{evaluate(result, content, style).output.onset:.2f}</td>" in page
    for told in ("wide-random", "c.wav", "sha256", "torch, NumPy, Python", "n_filters"):
        assert told in page


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    go(plain_job(tmp_path, "sound, adam"))
    page = (tmp_path / "out.report.html").read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)[^"']+["']""", page)
    assert "default-src 'none'" in page
    assert "{{" not in page.replace("${{", "")


def test_the_difference_shows_what_became_louder() -> None:
    """Above 2 kHz there is noise in the result alone."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(16000))
    low = np.fft.irfft(np.where(np.arange(8001) < 4000, spectrum, 1e-4 * spectrum))
    content = Sound(torch.from_numpy(low)[None], 8000)
    whole = Sound(torch.from_numpy(np.fft.irfft(spectrum))[None], 8000)

    def shades(output: Sound) -> np.ndarray:
        panels = panels_of("audio", Result(output, content, (content,), {}), texture=False)
        image = Image.open(decoded(panels[-1]["image"])).convert("RGB")
        return np.asarray(image).astype(int)

    same = shades(content)
    assert np.abs(same - [221, 220, 219]).max() <= 3  # the middle of matplotlib's coolwarm
    changed = shades(whole)
    red_minus_blue = changed[..., 0] - changed[..., 2]
    rows = len(red_minus_blue)
    assert np.median(red_minus_blue[: rows // 2 - 4]) > 130
    assert np.abs(red_minus_blue[rows // 2 + 4 :]).mean() < 30


@pytest.mark.parametrize(
    "name", ["<script>alert(1)<", "{{js}}{{data}}", "{{ 7*7 }}{% include 'report.js' %}"]
)
def test_names_cannot_break_the_page(name: str, tmp_path: Path) -> None:
    hostile = tmp_path / f"{name}.wav"
    (tmp_path / "c.wav").rename(hostile)
    made = plain_job(tmp_path, "sound, adam")
    overrides = {**made.request.overrides, "steps": 1}
    request = dataclasses.replace(made.request, content=hostile, overrides=overrides)
    go(dataclasses.replace(made, request=request))
    page = (tmp_path / "out.report.html").read_text()
    assert "<script>alert" not in page
    assert f"<h1>{html.escape(hostile.name)} in the style of s.wav</h1>".replace("&#x27;", "&#39;") in page
    assert page.count("JSON.parse") == 1
    assert len(data_of(page)["losses"]) == 1
    assert "wide-random, 1 step in " in page


def test_a_resumed_run_tells_of_all_its_steps(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        go(job(tmp_path, "sound, adam", "run", report=True), on_step=killed_at(7))
    go(resumed_job(tmp_path / "run")[0])
    data = data_of((tmp_path / "run" / "result.report.html").read_text())
    assert [row["step"] for row in data["losses"]] == list(range(1, STEPS + 1))


def test_an_existing_report_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "out.report.html").write_text("mine")
    with pytest.raises(FileError, match=r"out\.report\.html: exists already"):
        go(plain_job(tmp_path, "sound, adam"))
    assert (tmp_path / "out.report.html").read_text() == "mine"


def lit(page: Any, selector: str) -> int:
    """Return how many different colors a canvas shows."""
    count: int = page.evaluate(
        """selector => {
            const canvas = document.querySelector(selector);
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const seen = new Set();
            for (let i = 0; i < data.length; i += 4)
                seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
            return seen.size;
        }""",
        selector,
    )
    return count


def test_a_sound_in_a_browser(tmp_path: Path) -> None:
    go(plain_job(tmp_path, "sound, adam"))
    with browser_page(viewport={"width": 1280, "height": 900}) as page:
        page.goto((tmp_path / "out.report.html").as_uri())
        page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")
        durations = page.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
        assert durations == pytest.approx([4001 / 8000, 0.5, 4001 / 8000], abs=0.01)
        assert lit(page, ".panel canvas") > 50
        assert lit(page, "#losses canvas") > 10
        box = page.locator(".panel canvas").first.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.keyboard.down("Control")
        page.mouse.wheel(0, -300)
        page.keyboard.up("Control")
        page.wait_for_function("document.body.dataset.window !== undefined")
        t0, t1, f0, f1 = map(float, page.evaluate("document.body.dataset.window").split())
        assert 0 < t0 < t1 < 4001 / 8000
        assert 0 < f0 < f1 < 4000
        page.get_by_role("button", name="show all").click()
        t0, t1, *_ = map(float, page.evaluate("document.body.dataset.window").split())
        assert (t0, t1) == pytest.approx((0.0, 4001 / 8000), abs=1e-3)
        term = page.get_by_role("button", name=re.compile("^style:"))
        assert term.get_attribute("aria-pressed") == "false"
        term.click()
        assert term.get_attribute("aria-pressed") == "true"
        assert page.errors == []
        assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []


def test_a_picture_in_a_browser(tmp_path: Path) -> None:
    go(plain_job(tmp_path, "picture, adam"))
    with browser_page(viewport={"width": 400, "height": 800}) as page:
        page.goto((tmp_path / "out.report.html").as_uri())
        page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert page.locator(".panel").count() == 5
        slider = page.get_by_role("slider")
        slider.fill("20")
        assert "20%" in page.locator(".compare").get_attribute("style")
        assert page.evaluate(
            "document.documentElement.scrollWidth <= window.innerWidth"
        )  # no sideways scroll
        assert page.errors == []
