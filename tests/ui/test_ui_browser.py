"""The page itself, in a headless Chromium: a full job in each medium, errors, stop and go on."""

from __future__ import annotations

import io
import json
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
        assert [url for url in asked if not url.startswith(address)] == []
        assert wrong == []


def choose(page: Page, inputs: Path, content: str | None, style: str | None) -> None:
    for role, name in (("content", content), ("style", style)):
        if name is not None:
            page.set_input_files(f"#{role}-file", inputs / name)
            expect(page.locator(f"#{role}-chooser .chosen img")).to_have_count(1)


def set_steps(page: Page, steps: str) -> None:
    page.locator("summary", has_text="Settings").click()
    page.get_by_label("steps", exact=True).fill(steps)
    page.keyboard.press("Tab")


def download(page: Page, text: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_text(text, exact=True).first.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def until(page: Page, true: str) -> None:
    """Wait for an expression to be true; Playwright's own waiting needs an eval that the page forbids."""
    for _ in range(WAIT_MS // 100):
        if page.evaluate(true):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"waited for too long: {true}")


def finished(page: Page) -> None:
    expect(page.locator("#job .state.finished")).to_be_visible(timeout=3 * WAIT_MS)


def test_a_sound(client: Any, open_page: Any, tmp_path: Path) -> None:
    page = open_page(client)
    expect(page.locator("#start")).to_be_disabled()
    expect(page.locator("#why")).to_have_text("Choose a content first: a sound or a picture.")
    choose(page, client.inputs, "c.wav", "s.wav")
    expect(page.locator("#content-chooser .hint").last).to_have_text("1.0 s · 8 kHz · mono")
    page.get_by_label("Strength").fill("0.8")
    expect(page.locator("#strength-value")).to_have_text("0.80")
    expect(page.get_by_label("size", exact=True)).to_be_hidden()
    set_steps(page, "400")
    expect(page.locator("#h-keep_tune")).to_contain_text("how much of the content's fine structure")
    expect(page.locator("#time")).to_contain_text("It will take")
    page.locator("#start").click()
    live = page.locator("img.live")
    expect(live).to_be_visible()
    first = str(live.get_attribute("src"))
    expect(live).not_to_have_attribute("src", first)
    expect(page.locator(".told")).to_contain_text("of 400")
    page.locator("summary", has_text="Losses").click()
    expect(page.locator(".legend button", has_text="total")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".said")).to_contain_text("This is the best result so far.")
    page.get_by_role("button", name="Go on").click()
    finished(page)
    expect(page.get_by_role("status").last).to_have_text("c.wav in the style of s.wav: Finished")
    expect(page).to_have_title("Finished · c.wav · specstyle")
    samples, rate = soundfile.read(download(page, "Download the sound", tmp_path))
    assert (samples.shape, rate) == ((8001,), 8000)
    assert download(page, "Record", tmp_path).name == "c in the style of s.json"
    assert "strength = 0.8" in download(page, "Recipe", tmp_path).read_text()
    # What it was made with, once more; and its result as a content.
    page.get_by_role("button", name="Again with these settings").click()
    expect(page.locator("#style-chooser .chosen .name")).to_have_text("s.wav")
    expect(page.locator("#strength-value")).to_have_text("0.80")
    expect(page.get_by_label("steps", exact=True)).to_have_value("400")
    page.get_by_role("button", name="Take as content").click()
    expect(page.locator("#content-chooser .chosen .name")).to_have_text("c in the style of s.wav")


def test_the_player(client: Any, open_page: Any) -> None:
    page = open_page(client)
    page.get_by_text("At once", exact=True).click()
    choose(page, client.inputs, "c.wav", None)
    expect(page.locator("#why")).to_have_text("Choose a trained style, or any of your own.")
    page.get_by_text("fire", exact=True).click()
    page.get_by_text("rain", exact=True).click()
    expect(page.get_by_role("slider", name="How much of fire")).to_be_visible()  # two of them blend
    page.get_by_text("rain", exact=True).click()
    expect(page.get_by_role("slider", name="How much of fire")).to_be_hidden()
    page.locator("#start").click()
    finished(page)
    until(page, "[...document.querySelectorAll('.player audio')].every(a => a.readyState >= 3)")
    heard = "[...document.querySelectorAll('.player audio')].map(a => [a.muted, a.volume, a.currentTime])"
    page.keyboard.press("1")
    expect(page.locator(".panel.on h3")).to_contain_text("content")
    page.keyboard.press("l")
    page.keyboard.press(" ")
    until(page, "document.querySelector('.player audio').currentTime > 0.1")
    (muted, volume, at), (other_muted, other_volume, other_at) = page.evaluate(heard)
    assert (muted, other_muted) == (False, True)
    assert at == pytest.approx(other_at, abs=0.15)
    levels = [client.json("GET", "/api/jobs")[1][0]["id"]]
    job = client.job(levels[0])
    softer = job["view"]["level_db"] - job["results"]["0"]["level_db"]
    assert 20 * np.log10(other_volume / volume) == pytest.approx(softer, abs=0.1)  # equally loud
    page.keyboard.press("2")
    assert [one[0] for one in page.evaluate(heard)] == [True, False]
    expect(page.locator(".panel.on h3")).to_contain_text("result")
    page.wait_for_timeout(1200)  # it is a second long, and loops
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_a_picture(client: Any, open_page: Any, tmp_path: Path) -> None:
    page = open_page(client)
    # Both on the first zone: the first is the content, the other one the style.
    page.set_input_files("#content-file", [client.inputs / "c.png", client.inputs / "s.png"])
    expect(page.locator("#style-chooser .chosen .name")).to_have_text("s.png")
    expect(page.locator("#content-chooser .chosen .hint")).to_contain_text("48 pixels")
    set_steps(page, "120")
    # No style to the left.
    page.get_by_role("button", name="Paint where no style goes").click()
    page.get_by_role("slider", name="brush").fill("96")
    box = page.locator("#mask canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 30, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + box["height"] - 10, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#painted")).to_have_text("painted")
    page.locator("#start").click()
    expect(page.locator("img.live")).to_be_visible()
    until(page, "document.querySelector('img.live').naturalWidth === 60")
    expect(page.locator("#jobs .state")).to_have_class("state running")
    page.evaluate("document.querySelector('#jobs button').dataset.same = 'yes'")
    finished(page)
    until(page, "document.querySelector('.compare img').naturalWidth === 60")
    page.locator(".player input[type=range]").fill("80")
    assert page.locator(".compare").evaluate("one => one.style.getPropertyValue('--cut')") == "80%"
    page.get_by_role("combobox", name="Size", exact=True).select_option("4")
    assert page.locator(".compare").evaluate("one => one.clientWidth") == 240
    pixels = np.asarray(Image.open(download(page, "Download the picture", tmp_path)))
    assert pixels.shape == (48, 60, 3)
    assert np.abs(pixels.astype(float) - np.asarray(Image.open(client.inputs / "c.png"))).mean() > 3
    identity = client.json("GET", "/api/jobs")[1][0]["id"]
    mask = np.asarray(
        Image.open(io.BytesIO(client.ask("GET", f"/files/jobs/{identity}/mask")[2])).convert("L")
    )
    assert (mask.shape, mask[10:40, :6].max(), mask[:, 20:].min()) == ((48, 60), 0, 255)
    record = json.loads(download(page, "Record", tmp_path).read_text())
    assert [given["path"] for given in record["content_masks"]] == ["mask.png"]
    # The row was changed in place: a click between two answers is not lost.
    expect(page.locator("#jobs button")).to_have_attribute("data-same", "yes")
    # A reload finds the job again; it can be removed.
    page.reload()
    finished(page)
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
    expect(page.locator("#history")).to_be_hidden()
    expect(page.locator("#job")).to_be_hidden()


def test_an_example_a_texture_and_a_comparison(client: Any, open_page: Any) -> None:
    page = open_page(client)
    page.locator(".example", has_text="cat by the scream").click()
    finished(page)
    expect(page.locator("#job h2")).to_have_text("cat.jpg in the style of the-scream")
    # The content and what came of it: half and half, or one of them.
    cut = "document.querySelector('.compare').style.getPropertyValue('--cut')"
    for key, at, seen in (("0", "50%", "true true"), ("1", "100%", "true false"), ("2", "0%", "false true")):
        page.keyboard.press(key)
        assert page.evaluate(cut) == at
        buttons = page.locator(".player .bar [aria-pressed]")
        assert " ".join(str(b.get_attribute("aria-pressed")) for b in buttons.all()) == seen
    page.get_by_text("Texture", exact=True).click()
    expect(page.locator("#content-chooser")).to_be_hidden()
    choose(page, client.inputs, None, "s.png")
    set_steps(page, "2")
    page.get_by_label("size", exact=True).fill("32")
    page.locator("#start").click()
    expect(page.locator("#job h2")).to_have_text("A texture of s.png")
    finished(page)
    page.get_by_text("Compare", exact=True).click()
    page.get_by_label("Values, with commas between").fill("0, 1")
    page.locator("#start").click()
    expect(page.locator("#job h2")).to_have_text("cat.jpg in the style of s.png")
    finished(page)
    expect(page.locator(".pictures .panel h3")).to_have_count(4)
    expect(page.locator(".downloads b").last).to_have_text("strength 1")
    expect(page.locator("#jobs li")).to_have_count(3)


def test_any_sound_as_the_style_at_once(client: Any, open_page: Any) -> None:
    page = open_page(client)
    page.get_by_text("At once", exact=True).click()
    choose(page, client.inputs, "c.wav", None)
    paste = """sound => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([Uint8Array.from(sound)], "s.wav"));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    }"""
    page.evaluate(paste, [*(client.inputs / "s.wav").read_bytes()])
    expect(page.locator("#style-chooser .chosen .name")).to_have_text("s.wav")
    page.get_by_text("sea", exact=True).click()
    expect(page.locator("#why")).to_have_text("Choose trained styles or one of your own, not both.")
    page.get_by_text("sea", exact=True).click()
    page.locator("#start").click()
    expect(page.locator("#job h2")).to_have_text("c.wav in the style of s.wav")
    finished(page)
    page.get_by_role("button", name="Again with these settings").click()
    expect(page.locator("#style-chooser .chosen .name")).to_have_text("s.wav")
    expect(page.locator("#start")).to_be_enabled()


def test_a_film(client: Any, open_page: Any) -> None:
    films = pytest.importorskip("film_inputs", reason="films need PyAV and OpenCV")
    film = films.write(client.inputs / "<b>film.mp4", films.scene(30), films.click(1.2))
    page = open_page(client)
    page.set_input_files("#content-file", film)
    expect(page.locator("#why")).to_have_text("A film has a tab of its own: Film.")
    expect(page.locator("#content-chooser .chosen .hint")).to_contain_text("48 pixels · 1.2 s")
    page.get_by_text("Film", exact=True).click()
    for name in ("starry night", "the scream"):
        page.get_by_text(name, exact=True).click()
    page.locator("#start").click()
    expect(page.locator("[data-field=once] .beside")).to_contain_text(
        "Choose one style for a film's pictures"
    )
    page.get_by_text("starry night", exact=True).click()
    page.get_by_text("rain", exact=True).click()
    page.locator("#start").click()
    finished(page)
    expect(page.locator("#job h2")).to_have_text("<b>film.mp4 in the style of rain, the-scream")
    page.get_by_role("button", name="Play both from the start").click()
    until(
        page, "[...document.querySelectorAll('video')].every(v => v.currentTime > 0.3 && v.videoWidth === 64)"
    )


def test_errors_in_plain_words(serve: Callable[..., Any], open_page: Any) -> None:
    with serve(upload_mb=0.03) as client:
        page = open_page(client)
        beside = {
            role: page.locator(f"[data-field={role}] .beside") for role in ("content", "style", "steps")
        }
        page.set_input_files("#content-file", client.inputs / "notes.txt")
        expect(beside["content"]).to_contain_text("notes.txt is text; give a sound (WAV, FLAC, OGG, MP3,")
        large = {"name": "<b>large</b>.wav", "mimeType": "audio/wav", "buffer": bytes(40_000)}
        page.set_input_files("#style-file", [large])
        expect(beside["style"]).to_have_text(
            "<b>large</b>.wav is larger than 0.03 MB, the most that this server takes (--max-upload-mb)."
        )
        choose(page, client.inputs, "c.png", "s.wav")
        expect(page.locator("#why")).to_have_text(
            "A sound and a picture cannot be mixed. Choose two sounds or two pictures."
        )
        expect(page.locator("#start")).to_be_disabled()
        page.get_by_role("button", name="Take s.wav out").click()
        page.set_input_files("#style-file", client.inputs / "s.png")
        set_steps(page, "0")
        page.locator("#start").click()
        expect(beside["steps"]).to_have_text("Steps must be above 0, got 0.")
        expect(page.get_by_label("steps", exact=True)).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#history")).to_be_hidden()
    # The server is gone now, and the page says so.
    expect(page.locator("#server-error")).to_have_text(
        "The server does not answer. Is it still running in its terminal?"
    )


def test_a_narrow_and_dark_screen_with_the_keyboard_alone(client: Any, open_page: Any) -> None:
    page = open_page(client, viewport={"width": 390, "height": 740}, color_scheme="dark")
    choose(page, client.inputs, "c.png", "s.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#strength").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#strength-value")).to_have_text("0.55")
    page.keyboard.press("Tab")  # past painting
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # opens the settings
    page.get_by_label("steps", exact=True).focus()
    page.keyboard.type("3")
    page.keyboard.press("Enter")  # starts
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in background[4:-1].split(",")) < 60
    unnamed = """() => [...document.querySelectorAll("button, input, select, canvas, audio")]
        .filter(one => one.offsetParent && !one.labels?.length && !one.textContent.trim()
            && !one.getAttribute("aria-label")).map(one => one.outerHTML)"""
    assert page.evaluate(unnamed) == []
