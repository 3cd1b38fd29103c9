"""The page itself, in a headless Chromium: a full job in each medium, errors, stop and go on."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from browsing import launched
from PIL import Image

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect

WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)  # a job's first step waits for libraries that it imports

DROP = """([zone, files]) => {
  const data = new DataTransfer();
  for (const [name, content] of files) {
    data.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name));
  }
  const event = (type) => new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
  const target = document.querySelector(zone);
  target.dispatchEvent(event("dragover"));
  target.dispatchEvent(event("drop"));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Page]]:
    """Open a server's page; in the end, all that it asked for must have been the server's own."""
    opened: list[tuple[Any, str, list[str], list[str]]] = []

    def open_(client: Any, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        page: Page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        asked: list[str] = []
        wrong: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Security Policy" in said.text else None)
        page.goto(client.address)
        expect(page.locator("#recipe option")).not_to_have_count(0)  # the script has run
        opened.append((context, client.address, asked, wrong))
        return page

    yield open_
    for context, address, asked, wrong in opened:
        context.close()
        assert asked
        assert [url for url in asked if not url.startswith(f"{address}/")] == []
        assert wrong == []


def drop(page: Page, zone: str, *paths: Path) -> None:
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in paths]
    page.evaluate(DROP, [zone, files])


def choose(page: Page, inputs: Path, content: str, style: str) -> None:
    for role, name in (("content", content), ("style", style)):
        page.set_input_files(f"#{role}-file", inputs / name)
        expect(page.locator(f"#{role}-chooser .chosen img")).to_have_count(1)


def set_steps(page: Page, steps: str) -> None:
    page.locator("summary", has_text="More").click()
    page.get_by_label("Steps").fill(steps)


def download(page: Page, text: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_text(text).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def has_pixels(page: Page, selector: str) -> bool:
    return bool(page.eval_on_selector(selector, "image => image.complete && image.naturalWidth > 0"))


def test_a_sound(client: Any, open_page: Any, tmp_path: Path) -> None:
    page = open_page(client)
    expect(page.locator("#start")).to_be_disabled()
    choose(page, client.inputs, "c.wav", "s.wav")
    expect(page.locator("#content-chooser .hint").last).to_have_text("1.0 s · 8 kHz · mono")
    page.get_by_label("Strength").fill("0.8")
    expect(page.locator("#strength-meaning")).to_contain_text("Nearer to the style than the default")
    set_steps(page, "1200")
    page.locator("#start").click()
    live = page.locator("img.live")
    expect(live).to_be_visible()
    first = str(live.get_attribute("src"))
    expect(live).not_to_have_attribute("src", first)
    expect(page.locator(".told")).to_contain_text("of 1200")
    expect(page.locator("polyline.style")).to_have_count(1)
    assert float(page.locator(".legend .style dd").inner_text()) > 0
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".said")).to_contain_text("This is the best result so far.")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#job .state.finished")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_role("status").last).to_have_text("c.wav in the style of s.wav: Finished")
    expect(page).to_have_title("Finished · c.wav · specstyle")
    player = page.locator(".main-player audio")
    page.wait_for_function("document.querySelector('.main-player audio').duration > 0")
    assert player.evaluate("player => player.duration") == pytest.approx(8001 / 8000, abs=0.01)
    expect(page.locator("img.figure")).to_be_visible()
    page.wait_for_function("document.querySelector('img.figure').naturalWidth > 0")
    samples, rate = soundfile.read(download(page, "Download the sound", tmp_path))
    assert (samples.shape, rate) == ((8001,), 8000)
    assert download(page, "Record (JSON)", tmp_path).name == "c in the style of s.json"
    assert "strength = 0.8" in download(page, "Recipe (TOML)", tmp_path).read_text()


def test_a_picture(client: Any, open_page: Any, tmp_path: Path) -> None:
    page = open_page(client)
    # Both on the first zone: the first is the content, the other one the style.
    drop(page, "#content-chooser .drop", client.inputs / "c.png", client.inputs / "s.png")
    expect(page.locator("#style-chooser .chosen .name")).to_have_text("s.png")
    expect(page.locator("#content-chooser .chosen .hint")).to_contain_text("48 pixels")
    set_steps(page, "120")
    expect(page.get_by_label("Duration, seconds")).to_be_hidden()
    page.locator("#start").click()
    expect(page.locator("img.live")).to_be_visible()
    page.wait_for_function("document.querySelector('img.live').naturalWidth === 60")
    expect(page.locator("#jobs .state")).to_have_class("state running")
    page.evaluate("document.querySelector('#jobs button').dataset.same = 'yes'")
    expect(page.locator("#job .state.finished")).to_be_visible(timeout=WAIT_MS)
    page.wait_for_function("document.querySelector('.compare img').naturalWidth === 60")
    page.locator(".slide").fill("80")
    assert page.locator(".compare .line").evaluate("line => line.style.left") == "80%"
    pixels = np.asarray(Image.open(download(page, "Download the picture", tmp_path)))
    assert pixels.shape == (48, 60, 3)
    assert np.abs(pixels.astype(float) - np.asarray(Image.open(client.inputs / "c.png"))).mean() > 3
    # The row was changed in place: a click between two answers is not lost.
    expect(page.locator("#jobs button")).to_have_attribute("data-same", "yes")
    expect(page.locator("#jobs .state")).to_have_class("state finished")
    # A reload finds the job again; it can be removed.
    page.reload()
    expect(page.locator("#job .state.finished")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    refusal = {"error": "this job is running; stop it first"}
    page.route(
        "**/api/jobs/*",
        lambda route: (
            route.fulfill(status=409, json=refusal) if route.request.method == "DELETE" else route.continue_()
        ),
    )
    page.get_by_role("button", name="Remove").click()
    page.wait_for_timeout(500)  # the next answer does not wipe it away
    expect(page.locator("#server-error")).to_have_text("This job is running; stop it first.")
    page.unroute("**/api/jobs/*")
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#no-jobs")).to_be_visible()
    expect(page.locator("#job")).to_be_hidden()


def test_errors_in_plain_words(serve: Callable[..., Any], open_page: Any) -> None:
    with serve(upload_mb=0.03) as client:
        page = open_page(client)
        error = page.locator("#form-error")
        page.set_input_files("#content-file", client.inputs / "notes.txt")
        expect(error).to_contain_text("notes.txt is text; give a sound (WAV, FLAC, OGG, MP3, AIFF) or a")
        large = {"name": "<b>large</b>.wav", "mimeType": "audio/wav", "buffer": bytes(40_000)}
        page.set_input_files("#style-file", [large])
        expect(error).to_have_text(
            "<b>large</b>.wav is larger than 0.03 MB, the most that this server takes."
        )
        choose(page, client.inputs, "c.png", "s.wav")
        expect(error).to_have_text(
            "A sound and a picture cannot be mixed. Choose two sounds or two pictures."
        )
        expect(page.locator("#start")).to_be_disabled()
        page.get_by_role("button", name="Take s.wav out").click()
        expect(error).to_be_hidden()
        page.set_input_files("#style-file", client.inputs / "s.png")
        set_steps(page, "0")
        page.locator("#start").click()
        expect(error).to_have_text("Steps: expected a whole number from 1 to 10000, got 0.")
        expect(page.locator("#no-jobs")).to_be_visible()
    # The server is gone now, and the page says so.
    expect(page.locator("#server-error")).to_have_text(
        "The server does not answer. Is it still running in its terminal?"
    )


def test_a_narrow_and_dark_screen_with_the_keyboard_alone(client: Any, open_page: Any) -> None:
    page = open_page(client, viewport={"width": 360, "height": 740}, color_scheme="dark")
    choose(page, client.inputs, "c.png", "s.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#recipe").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#strength-value")).to_have_text("0.55")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # opens More
    page.keyboard.press("Tab")
    page.keyboard.type("3")
    page.keyboard.press("Enter")  # starts
    expect(page.locator("#job .state.finished")).to_be_visible(timeout=WAIT_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in background[4:-1].split(",")) < 60
