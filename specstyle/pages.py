"""Pages made of templates that the package carries, and sounds and pictures of a run as parts of them."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from specstyle.engine.canvas import resize
from specstyle.figures import levels_png, picture_png, spectrogram_db
from specstyle.media.loudness import loudness_lufs, rms_db
from specstyle.run.outputs import panel_titles
from specstyle.run.request import Result

LOSSLESS_S = 60.0
"""Longer sounds are embedded as MP3, shorter ones as FLAC of 16 bits; of many on a page a tenth of it."""

PICTURE = 1600
"""Longest side of an embedded picture in pixels."""

SMALL = 640
"""The same where there are many on a page; and of a spectrogram."""

DIFFERENCE_DB = 40.0
"""End of the color scale of a difference, either way."""

PEAKS = 400
"""Parts of a waveform as a page draws it."""

_ROWS = 512
SHARED = Path(__file__).parent / "run" / "pages"


def render(template: Path, **values: Any) -> str:
    """Return an HTML page: a Jinja2 template with all its values, none of which is taken as markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {}  # keys in their own order
    return environment.get_template(template.name).render(values)


def panels_of(medium: str, result: Result, *, texture: bool) -> list[dict[str, Any]]:
    """Return what is heard and seen: content, styles, result, difference."""
    sources = [result.content, *result.styles, result.output]
    titled = list(zip(panel_titles(len(result.styles)), sources, strict=True))[1 if texture else 0 :]
    panels = [panel_of(medium, title, source) for title, source in titled]
    if medium == "image":
        return [*panels, *_picture_difference(result)]
    return panels if texture else [*panels, *_sound_difference(result)]


def heard(sound: Any) -> dict[str, Any]:
    """Return what the player needs of a sound beside its file and its spectrogram.

    Its length and its highest frequency, its loudness in LUFS (of less than 0.4 s: its level in dB re full
    scale) and, for its waveform, the largest magnitude of each of ``PEAKS`` parts, in percent.
    """
    samples, rate = sound.samples.numpy(), sound.sample_rate
    level = loudness_lufs(samples, rate)
    parts = np.array_split(np.abs(samples).max(0), min(PEAKS, samples.shape[1]))
    return {
        "duration_s": round(samples.shape[1] / rate, 4),
        "nyquist_hz": rate / 2,
        "level_db": round((rms_db(samples) or -100.0) if level is None else level, 2),
        "peaks": [round(100.0 * float(part.max())) for part in parts],
    }


def panel_of(medium: str, title: str, source: Any, *, small: bool = False) -> dict[str, Any]:
    """Return a sound or a picture as the player has it, as data; a small one is one of many on a page."""
    if medium == "image":
        longest = SMALL if small else PICTURE
        return {"title": title, "image": _png(picture_png(source.pixels.float(), longest=longest))}
    levels_db, duration_s = spectrogram_db(source.samples.numpy(), source.sample_rate)
    channels, size = source.samples.shape[0], _fewer_rows(levels_db)
    return {
        **heard(source),
        "title": title,
        "text": f"{duration_s:.2f} s, {source.sample_rate} Hz, {channels} channel{'s' * (channels > 1)}",
        "image": _png(levels_png(levels_db, size=(min(size[0], SMALL), 256) if small else size)),
        "audio": _audio(source, LOSSLESS_S / 10 if small else LOSSLESS_S),
    }


def _sound_difference(result: Result) -> list[dict[str, Any]]:
    """Return where the result is louder (red) or softer (blue) than the content, each re its own peak."""
    content, output = result.content, result.output
    if content.samples.shape != output.samples.shape or content.sample_rate != output.sample_rate:
        return []
    (before, duration_s), (after, _) = (
        spectrogram_db(sound.samples.numpy(), sound.sample_rate) for sound in (content, output)
    )
    image = levels_png(
        after - before, size=_fewer_rows(before), scale=(-DIFFERENCE_DB, DIFFERENCE_DB), colors="coolwarm"
    )
    return [
        {
            "title": "result minus content",
            "text": f"red: louder, blue: softer, up to {DIFFERENCE_DB:.0f} dB, each re its own peak",
            "duration_s": duration_s,
            "nyquist_hz": content.sample_rate / 2,
            "difference": True,
            "image": _png(image),
        }
    ]


def _audio(sound: Any, lossless_s: float) -> str:
    samples = sound.samples.numpy().T[:, :2]
    long = len(samples) > lossless_s * sound.sample_rate
    # MP3 knows a few rates only, FLAC all up to 655,350 Hz.
    mp3 = long and sound.sample_rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
    buffer = io.BytesIO()
    options = {"format": "MP3"} if mp3 else {"format": "FLAC", "subtype": "PCM_16"}
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), sound.sample_rate, **options)
    return f"data:audio/{'mpeg' if mp3 else 'flac'};base64,{b64encode(buffer.getvalue()).decode()}"


def _picture_difference(result: Result) -> list[dict[str, Any]]:
    output = result.output.pixels.double()
    content = resize(result.content.pixels.double()[None], *output.shape[1:])[0]
    change = (output - content).abs().mean(dim=0).numpy()
    image = levels_png(np.flipud(change), scale=(0.0, 0.5))
    text = f"mean {change.mean():.3f} of 1; dark: kept, bright: changed"
    return [{"title": "difference of result and content", "text": text, "image": _png(image)}]


def _fewer_rows(levels: NDArray[Any]) -> tuple[int, int]:
    return levels.shape[1], min(levels.shape[0], _ROWS)


def _png(image: bytes) -> str:
    return f"data:image/png;base64,{b64encode(image).decode()}"
