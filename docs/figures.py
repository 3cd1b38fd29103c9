"""Make the figures of the documentation, and the sounds on its first page, from the demo's inputs.

Everything here starts from sounds and pictures that examples/synthesis draws: no recording, no photograph, no
download; but picture_recipes, first_page and pairs, on photographs, paintings and recordings, which are left
out where these are not at hand, as the page is without Playwright and a Chromium. They take some minutes on
one core, and picture_recipes forty minutes more.

Usage: python docs/figures.py [NAME ...]    (all of them if none is named)
"""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

import specstyle
from specstyle.evaluate import evaluate
from specstyle.figures import RANGE_DB, spectrogram_db
from specstyle.files import SAMPLES
from specstyle.media.soundfiles import read_sound, write_sound
from specstyle.media.sounds import Part, resample
from specstyle.media.stft import StftSettings, stft
from specstyle.onepass.stylefile import shipped
from specstyle.synthesis.pictures import PICTURES
from specstyle.synthesis.sounds import SOUNDS

HERE = Path(__file__).parent
PAINTINGS = HERE.parents[1] / "shared" / "data" / "images"
RATE, DURATION_S, SIZE = 22050, 3.0, 256
COLORS = 96

Panel = tuple[str, Any]


@cache
def sound(name: str) -> specstyle.Sound:
    """Return one of the demo's sounds."""
    return specstyle.Sound(torch.from_numpy(SOUNDS[name](DURATION_S, RATE, seed=0))[None], RATE, name=name)


@cache
def picture(name: str) -> Any:
    """Return one of the demo's pictures, ``[H, W, 3]``."""
    return PICTURES[name](SIZE, SIZE, seed=0)


def played(content: str, style: str, **options: Any) -> specstyle.Sound:
    """Return a sound in the style of another."""
    output: specstyle.Sound = specstyle.transfer_audio(sound(content), sound(style), **options).output
    return output


def painted(style: Any = None, **options: Any) -> Any:
    """Return the scene in a style, ``[H, W, 3]``; the brush if none is given."""
    style = picture("brush_texture") if style is None else style
    options = {"size": SIZE, "network": "vgg19-lite", **options}
    result = specstyle.transfer_image(picture("drawn_scene"), style, **options)
    return result.output.pixels.movedim(0, 2).numpy()


# -- drawing -------------------------------------------------------------------------------------------------


def save(figure: Figure, name: str, *, width: int, colors: int = COLORS) -> None:
    """Write a figure with few colors, so that it is small; as a JPEG if ``colors`` is 0."""
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=130, bbox_inches="tight", pad_inches=0.06)
    with Image.open(raw) as image:
        plain = image.convert("RGB")
    plain = plain.resize((width, round(plain.height * width / plain.width)), Image.Resampling.LANCZOS)
    path = HERE / "figures" / f"{name}.{'png' if colors else 'jpg'}"
    path.parent.mkdir(exist_ok=True)
    if colors:
        plain.quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)
    else:
        plain.save(path, quality=82, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")


def spectrograms(
    name: str, panels: Sequence[Panel], *, columns: int, top_hz: float = 8000.0, start_s: float = 0.0
) -> None:
    """Draw spectrograms in rows, on one color scale: dB below each panel's own peak."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.3 * columns + 0.8, 2.5 * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    drawn: Any = None
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, (title, shown) in zip(axes.ravel(), panels, strict=False):
        levels_db, duration_s = spectrogram_db(shown.samples.numpy(), shown.sample_rate)
        axis.set_axis_on()
        drawn = axis.imshow(
            levels_db,
            origin="lower",
            aspect="auto",
            extent=(0.0, duration_s, 0.0, shown.sample_rate / 2000),
            cmap="magma",
            vmin=-RANGE_DB,
            vmax=0.0,
        )
        axis.set_title(title, fontsize=10)
        axis.set(xlim=(start_s, duration_s), ylim=(0.0, top_hz / 1000))
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    for axis in axes[:, 0]:
        axis.set_ylabel("frequency (kHz)")
    figure.colorbar(drawn, ax=axes, label="dB re panel peak", pad=0.015, aspect=25)
    save(figure, name, width=min(1100, 330 * columns + 80))


def pictures(name: str, panels: Sequence[Panel], *, columns: int, colors: int = 200) -> None:
    """Draw pictures in rows."""
    rows = -(-len(panels) // columns)
    aspect = max(shown.shape[0] / shown.shape[1] for _, shown in panels)
    figure = Figure(figsize=(2.5 * columns, (2.5 * aspect + 0.25) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, (title, shown) in zip(axes.ravel(), panels, strict=False):
        gray = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0} if shown.ndim == 2 else {}
        axis.imshow(np.clip(shown, 0.0, 1.0), **gray)
        axis.set_title(title, fontsize=10)
        if gray:  # white must not run into the page
            axis.set_axis_on()
            axis.set(xticks=[], yticks=[])
    save(figure, name, width=min(1100, 255 * columns), colors=colors)


# -- sounds --------------------------------------------------------------------------------------------------


def melody_by_rain() -> None:
    """A content, a style, a result; also as sounds."""
    shown = [
        ("content: a plucked melody", sound("plucked_melody")),
        ("style: rain", sound("rain")),
        ("result", played("plucked_melody", "rain")),
    ]
    spectrograms("melody-by-rain", shown, columns=3)
    folder = HERE / "sounds"
    folder.mkdir(exist_ok=True)
    for name, (_, output) in zip(("melody", "rain", "melody-by-rain"), shown, strict=True):
        write_sound(output, folder / f"{name}.ogg")


def voice_by_fire() -> None:
    """Another pair, at three strengths."""
    shown = [("content: a voice", sound("voice_phrase")), ("style: fire", sound("fire_crackle"))]
    shown += [
        (f"strength {strength}", played("voice_phrase", "fire_crackle", strength=strength))
        for strength in (0.25, 0.5, 0.75, 1.0)
    ]
    spectrograms("voice-by-fire", shown, columns=3)
    for name, (_, output) in zip(("voice", "fire", "voice-by-fire"), (*shown[:2], shown[3]), strict=True):
        write_sound(output, HERE / "sounds" / f"{name}.ogg")


def strength_curves() -> None:
    """What the knob does to texture, onsets and chroma, on two of the demo's pairs."""
    strengths = np.linspace(0.0, 1.0, 9)
    figure = Figure(figsize=(9.0, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for color, (content, style) in zip(
        ("tab:blue", "tab:orange"),
        (("plucked_melody", "rain"), ("voice_phrase", "fire_crackle")),
        strict=True,
    ):
        scores = [
            evaluate(played(content, style, strength=float(x)), sound(content), sound(style)).output
            for x in strengths
        ]
        pair = f"{content.split('_')[0]} by {style.split('_')[0]}"
        texture = [(s.snr_mean + s.snr_var + s.snr_corr + s.snr_mod) / 4 for s in scores]
        left.plot(strengths, texture, "o-", color=color, label=pair, markersize=4)
        right.plot(
            strengths, [s.onset for s in scores], "o-", color=color, label=f"onset, {pair}", markersize=4
        )
        right.plot(
            strengths, [s.chroma for s in scores], "s:", color=color, label=f"chroma, {pair}", markersize=4
        )
    left.set(
        xlabel="--strength",
        ylabel="SNR of texture statistics\nto the style (dB)",
        title="nearer to the style",
    )
    right.set(xlabel="--strength", ylabel="correlation with the content", title="farther from the content")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    save(figure, "strength-curves", width=900)


def bands_and_masks() -> None:
    """What stays as it is in the content."""
    mask = HERE / "regions.csv"
    mask.write_text("start_s,stop_s,low_hz,high_hz,amount\n,,,,0\n1.2,2.2,,,1\n", encoding="utf-8")
    try:
        shown = [
            ("all of it", played("plucked_melody", "rain")),
            ("--keep-band 0-1500", played("plucked_melody", "rain", keep_band=("0-1500",))),
            ("--mask: 1.2 to 2.2 s", played("plucked_melody", "rain", mask=str(mask))),
        ]
    finally:
        mask.unlink()
    spectrograms("bands-and-masks", shown, columns=3)


def silences() -> None:
    """What comes into the silence of a content, with and without noise at the start."""
    shown = [("content, with silences", sound("plucked_melody")), ("style: fire", sound("fire_crackle"))]
    shown += [
        (
            "no noise at the start" if level is None else f"--init-noise-db {level:g}",
            played("plucked_melody", "fire_crackle", init_noise_db=level),
        )
        for level in (None, -20.0, 0.0)
    ]
    shown.append(("strength 0.8", played("plucked_melody", "fire_crackle", strength=0.8)))
    spectrograms("silences", shown, columns=3)


def sound_networks() -> None:
    """One pair through the recipes for sounds."""
    shown = [("content: a voice", sound("voice_phrase")), ("style: rain", sound("rain"))]
    recipes: dict[str, dict[str, Any]] = {
        "default-audio (vgg19-lite)": {"recipe": "default-audio"},
        "kernel": {"recipe": "kernel"},
        "default-audio-wide": {"recipe": "default-audio-wide"},
        "ulyanov2016, 100 steps": {"recipe": "ulyanov2016", "steps": 100},
    }
    for title, options in recipes.items():
        output = played("voice_phrase", "rain", **options)
        scores = evaluate(output, sound("voice_phrase"), sound("rain")).output
        print(
            f"{title}: onset {scores.onset:.2f}, mean {scores.snr_mean:.1f} dB, mod {scores.snr_mod:.1f} dB"
        )
        shown.append((title, output))
    spectrograms("sound-recipes", shown, columns=3)


# -- phase ---------------------------------------------------------------------------------------------------


def phase() -> None:
    """Spectral convergence of the inversion methods by their pairs of transforms."""
    settings = StftSettings(n_fft=1024, hop_length=256, win_length=1024)
    pairs = (4, 8, 16, 32, 64, 128)
    methods: dict[str, dict[str, Any]] = {
        "Griffin-Lim, random start": {"method": "griffin-lim", "start": "random"},
        "fast Griffin-Lim, random start": {"method": "fast-griffin-lim", "start": "random"},
        "fast Griffin-Lim, PGHI start": {"method": "fast-griffin-lim", "start": "pghi"},
        "pghi-raar (default)": {"method": "pghi-raar"},
    }
    figure = Figure(figsize=(11.0, 3.1), layout="constrained")
    for axis, name in zip(figure.subplots(1, 3, sharey=True), ("voice_phrase", "rain", "mix"), strict=True):
        magnitude, length, title = _magnitude(name, settings)
        for label, options in methods.items():
            found = [
                specstyle.invert(
                    magnitude,
                    settings,
                    length,
                    iterations=n,
                    generator=torch.Generator().manual_seed(0),
                    **options,
                ).spectral_convergence_db
                for n in pairs
            ]
            print(
                f"{title}, {label}: {', '.join(f'{n}: {db:.1f}' for n, db in zip(pairs, found, strict=True))}"
            )
            axis.plot(pairs, found, "o-", label=label, markersize=4)
        axis.set(xlabel="pairs of transforms", title=title, xscale="log")
        axis.set_xticks(pairs, [str(n) for n in pairs])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("spectral convergence (dB)")
    figure.axes[0].legend(fontsize=7)
    save(figure, "phase", width=1100)


def _magnitude(name: str, settings: StftSettings) -> tuple[torch.Tensor, int, str]:
    """Return magnitudes, of a sound or such as no sound has, with length and title."""
    if name != "mix":
        samples = sound(name).samples
        return (
            stft(samples, settings).abs(),
            samples.shape[1],
            f"{name.partition('_')[0]}: magnitudes of a sound",
        )
    both = [stft(sound(part).samples, settings).abs() for part in ("voice_phrase", "rain")]
    mixed = (both[0] * both[1]).sqrt()
    return mixed, sound("rain").samples.shape[1], "√(voice · rain): of no sound"


# -- pictures ------------------------------------------------------------------------------------------------


def scene_by_brush() -> None:
    """A content, a style, a result."""
    shown = [
        ("content", picture("drawn_scene")),
        ("style", picture("brush_texture")),
        ("result", painted()),
    ]
    pictures("scene-by-brush", shown, columns=3)


def picture_strength() -> None:
    """The knob on a picture."""
    shown = [(f"strength {x}", painted(strength=x)) for x in (0.2, 0.35, 0.5, 0.7, 0.9)]
    pictures("picture-strength", shown, columns=5)


def picture_networks() -> None:
    """What comes without a download."""
    shown = [
        ("vgg19-random: palette and grain", painted(network="vgg19-random")),
        ("vgg19-lite: brush strokes", painted()),
        ("wide-random: for sounds", painted(network="wide-random")),
    ]
    pictures("picture-networks", shown, columns=3)


def colors() -> None:
    """Whose colors."""
    shown = [
        ("--color style (default)", painted()),
        ("--color content", painted(color="content")),
        ("--color luminance", painted(color="luminance")),
        ("--color-match histogram", painted(color_match="histogram")),
    ]
    pictures("colors", shown, columns=4)


def picture_masks() -> None:
    """A style for a part of the picture."""
    mask = Image.new("L", (SIZE, SIZE), 0)
    ImageDraw.Draw(mask).rectangle((0, 0, SIZE, 0.55 * SIZE), fill=255)
    array = np.asarray(mask, dtype=np.float64) / 255
    shown = [("content mask", array), ("--content-mask", painted(content_mask=array)), ("no mask", painted())]
    pictures("picture-masks", shown, columns=3)


def style_scale() -> None:
    """The size of the strokes."""
    shown = [(f"--style-scale {x:g}", painted(style_scale=(x,))) for x in (0.5, 1.0, 2.0)]
    pictures("style-scale", shown, columns=3)


RECIPE_RUNS: dict[str, dict[str, Any]] = {
    "gatys2016": {"steps": 250},
    "gatys2016, 3e6, from the content": {"steps": 120, "style_weight": 3e6, "init": "content"},
    "tf-eager": {"steps": 250},
    "tf2": {"steps": 250},
    "keras-lbfgs": {"height": 192, "steps": 252},
    "keras-sgd": {"height": 160, "width": 240, "lr": 16.0, "steps": 1000},
    "johnson2015": {"steps": 250},
    "crowson2021": {"first_steps": 200, "steps": 100},
    "ulyanov2016": {},
    "default": {},
}
"""What a published recipe is run with, so that it takes some minutes; the rest is its own.

The learning rate of ``keras-sgd`` goes with the number of pixels, as its losses' gradients against it.
"""


def by_recipe(title: str, content: Any, style: Any) -> Any:
    """Return a picture by a recipe at 256 pixels, or at the sides it is given, ``[H, W, 3]``."""
    options = {"recipe": title.partition(",")[0], **RECIPE_RUNS[title]}
    options = options if "height" in options else {"size": 256, **options}
    return specstyle.transfer_image(content, style, **options).output.pixels.movedim(0, 2).numpy()


def halved(path: Path) -> Any:
    """Return a picture at half its size, so that a recipe which samples it skips no more than at its own."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").reduce(2)) / 255.0


def picture_recipes() -> None:
    """Tuebingen by every published recipe, with the real VGG19."""
    paths = [PAINTINGS / f"{name}.jpg" for name in ("tubingen", "starry_night")]
    if not all(path.is_file() for path in paths):
        print(f"picture_recipes left out: {paths[0]} or {paths[1]} is not on this machine")
        return
    content, style = map(halved, paths)
    shown: list[Panel] = [("content", content), ("style", style)]
    shown += [(title, by_recipe(title, content, style)) for title in RECIPE_RUNS]
    pictures("picture-recipes", shown, columns=4, colors=0)


RECORDED = {
    "trumpet": ("music/trumpet.ogg", 0.0, 3.1),
    "rain-recorded": ("esc10/rain-1-29561-A.ogg", 0.0, None),
    "speech": ("music/speech.ogg", 1.0, 6.0),
    "sea-recorded": ("esc10/sea_waves-1-91359-A.ogg", 0.0, None),
}
"""Recordings on the first page: where they are, and which part of them."""


PAINTED_CAT = "cat-by-starry-night"

FILM_STYLE = "starry-night"


def first_page() -> None:
    """A photograph painted like a painting, and two recordings played by two others, full quality."""
    data, photographs = PAINTINGS.parent, find_spec("skimage")
    paths = {name: data / path for name, (path, _, _) in RECORDED.items()}
    if photographs is None or not all(path.is_file() for path in paths.values()):
        print("first_page left out: scikit-image or the recordings are not on this machine")
        return
    shown = {}
    for name, (_, start, duration) in RECORDED.items():
        shown[name] = read_sound(paths[name], Part(start, duration))
    for result, content, style in (
        ("trumpet-by-rain", "trumpet", "rain-recorded"),
        ("speech-by-sea", "speech", "sea-recorded"),
    ):
        shown[result] = specstyle.transfer_audio(shown[content], shown[style]).output
    for name, heard in shown.items():
        write_sound(heard, HERE / "sounds" / f"{name}.ogg")
    panels = [("a trumpet", shown["trumpet"]), ("rain", shown["rain-recorded"])]
    panels.append(("the trumpet played by the rain", shown["trumpet-by-rain"]))
    spectrograms("trumpet-by-rain", panels, columns=3)
    cat = Path(str(photographs.origin)).parent / "data" / "chelsea.png"
    painting = PAINTINGS / "starry_night.jpg"
    painted_cat = specstyle.transfer_image(cat, painting, size=600).output.pixels.movedim(0, 2).numpy()
    images = [Image.open(path).convert("RGB") for path in (cat, painting)]
    images.append(Image.fromarray((255 * painted_cat).round().astype(np.uint8)))
    images = [i.resize((round(i.width * 300 / i.height), 300), Image.Resampling.LANCZOS) for i in images]
    row = Image.new("RGB", (sum(i.width for i in images) + 24, 300), "white")
    left = 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width + 12
    row.save(HERE / "figures" / f"{PAINTED_CAT}.jpg", quality=90)


def pairs() -> None:
    """Each pair of `bench/tune.py` by the default: a figure, and all its sounds."""
    sys.path.append(str(HERE.parent / "bench"))
    from tunes import load_pairs

    found, absent = load_pairs()
    if absent:
        print(f"pairs left out: {', '.join(absent)} are not on this machine")
        return
    for pair in found:
        result = specstyle.transfer_audio(pair.content, pair.style).output
        content, style = pair.name.replace("_", "-").split(" + ")
        name = f"{content}-by-{style}"
        for called, one in {name: result, content: pair.content, style: pair.style}.items():
            write_sound(one, HERE / "sounds" / "pairs" / f"{called}.ogg")
        panels = [(content, pair.content), (style, pair.style), ("result", result)]
        spectrograms(f"pairs/{name}", panels, columns=3)


def styles() -> None:
    """Each of the trained styles that come along, on the photograph and the recording that do, too."""
    for medium, name, content, draw, shape in (
        ("image", "styles-image", "cat.jpg", pictures, {"columns": 3, "colors": 0}),
        ("audio", "styles-audio", "trumpet.ogg", spectrograms, {"columns": 3}),
    ):
        panels: list[Panel] = []
        for named in shipped():
            style = specstyle.load_style(named)
            if style.medium == medium:
                output: Any = specstyle.apply(style, SAMPLES / content).output
                panels.append((named, output if medium == "audio" else output.pixels.movedim(0, 2).numpy()))
        draw(name, panels, **shape)


def any_picture() -> None:
    """Paintings that no network was trained on, and two photographs in one pass by each of them."""
    names = ("starry_night", "the_scream", "shipwreck")
    styles, town = [PAINTINGS / f"{name}.jpg" for name in names], PAINTINGS / "tubingen.jpg"
    if not all(path.is_file() for path in (*styles, town)):
        print("any_picture left out: the paintings are not on this machine")
        return
    panels: list[Panel] = [
        (name.replace("_", " "), halved(path)) for name, path in zip(names, styles, strict=True)
    ]
    for title, content in (("the cat", SAMPLES / "cat.jpg"), ("the town", town)):
        for path in styles:
            made = specstyle.apply(specstyle.any_style(path), content, size=450).output
            panels.append((title, made.pixels.movedim(0, 2).numpy()))
    pictures("any-picture", panels, columns=3, colors=0)


def film() -> None:
    """Pictures of a film of five seconds, that of ``bench/film.py``, beside each of them stylized alone."""
    sys.path.append(str(HERE.parent))
    from bench.film import RATE as FILM_RATE
    from bench.film import pan
    from specstyle.films.file import Film

    recording = PAINTINGS.parent / RECORDED["trumpet"][0]
    if find_spec("skimage") is None or not recording.is_file():
        print("film left out: scikit-image or the recordings are not on this machine")
        return
    trumpet = resample(read_sound(recording), FILM_RATE).samples[0].numpy()
    with tempfile.TemporaryDirectory() as folder:
        content = pan(Path(folder) / "pan.mp4", 5.0, np.resize(trumpet, 5 * FILM_RATE))
        result = Path(folder) / "result.mp4"
        print(specstyle.film(content, result, picture=FILM_STYLE, sound="rain")["flicker"])
        before, after = (list(Film(path).pictures()) for path in (content, result))
    style, numbers = specstyle.load_style(FILM_STYLE), (40, 41, 42, 100)
    panels = [(f"picture {number}", before[number].pixels / 255) for number in numbers]
    for number in numbers:
        alone = specstyle.apply(style, before[number].pixels).output.pixels.movedim(0, 2).numpy()
        panels.append(("alone", alone))
    panels += [("in the film", after[number].pixels / 255) for number in numbers]
    pictures("film", panels, columns=4, colors=0)


def _few_colors(image: str) -> str:
    """Return a PNG in base64 with few colors, so that it is small."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(image))) as whole:
        whole.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def notebooks() -> None:
    """Run the notebooks of examples/notebooks, and keep what they show."""
    import nbclient
    import nbformat

    for path in sorted((HERE.parent / "examples" / "notebooks").glob("*.ipynb")):
        notebook: Any = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=False).execute()
        notebook.metadata.pop("language_info", None)  # of this machine's Python
        for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = _few_colors(output["data"]["image/png"])
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")


def page() -> None:
    """Photograph the page as it opens, and with a finished sound."""
    chromium = shutil.which("chromium")
    if find_spec("playwright") is None or chromium is None:
        return
    from playwright.sync_api import sync_playwright

    def keep(view: Any, name: str, height: int) -> None:
        shot = view.screenshot(clip={"x": 0, "y": 0, "width": 1280, "height": height})
        image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(110, dither=Image.Dither.NONE)
        image.save(HERE / "figures" / f"{name}.png", optimize=True)

    command = [sys.executable, "-m", "specstyle", "ui", "--port", "0", "--no-browser", "--folder"]
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen([*command, folder], stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as running,
    ):
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1280, "height": 1000})
        view.goto((server.stdout or io.StringIO()).readline().split()[0], wait_until="networkidle")
        keep(view, "page-start", 760)
        view.locator(".example", has_text="trumpet by rainfall").click()
        view.locator("#job .state.finished").wait_for(timeout=300_000)
        view.locator(".play").click()
        view.wait_for_timeout(1500)
        view.locator(".play").click()
        keep(view, "page-done", 990)
        browser.close()
        server.terminate()


FIGURES: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        melody_by_rain,
        voice_by_fire,
        strength_curves,
        bands_and_masks,
        silences,
        sound_networks,
        phase,
        scene_by_brush,
        picture_strength,
        picture_networks,
        colors,
        picture_masks,
        style_scale,
        picture_recipes,
        first_page,
        pairs,
        notebooks,
        styles,
        any_picture,
        film,
        page,
    )
}


def main(names: Sequence[str]) -> None:
    """Make the named figures, or all."""
    for name in names or FIGURES:
        if name not in FIGURES:
            raise SystemExit(f"no figure is called {name!r}; there are {', '.join(FIGURES)}")
        FIGURES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
