"""Sounds and pictures of a run as parts of a page: data URIs with what is told of them."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from specstyle import figures
from specstyle.run.outputs import panel_titles
from specstyle.run.request import Result

LOSSLESS_S = 60.0
"""Longer sounds are embedded as MP3, shorter ones as FLAC of 16 bits."""

PICTURE = 1600
"""Longest side of an embedded picture in pixels."""

DIFFERENCE_DB = 40.0
"""End of the color scale of a difference, either way."""

_ROWS = 512


def panels_of(medium: str, result: Result, *, texture: bool) -> list[dict[str, Any]]:
    """Return what is heard and seen: content, styles, result, difference."""
    sources = [result.content, *result.styles, result.output]
    titled = list(zip(panel_titles(len(result.styles)), sources, strict=True))[1 if texture else 0 :]
    if medium == "image":
        panels = [{"title": title, "image": _picture(_pixels(source))} for title, source in titled]
        return [*panels, *_picture_difference(result)]
    panels = [_sound_panel(title, source) for title, source in titled]
    return panels if texture else [*panels, *_sound_difference(result)]


def _sound_panel(title: str, sound: Any) -> dict[str, Any]:
    levels_db, duration_s = figures.spectrogram_db(title, sound.samples.numpy(), sound.sample_rate)
    channels = sound.samples.shape[0]
    return {
        "title": title,
        "text": f"{duration_s:.2f} s, {sound.sample_rate} Hz, {channels} channel{'s' * (channels > 1)}",
        "duration_s": duration_s,
        "nyquist_hz": sound.sample_rate / 2,
        "image": _colored(_pooled(levels_db) / figures.RANGE_DB + 1.0, "magma"),
        "audio": _audio(sound),
    }


def _sound_difference(result: Result) -> list[dict[str, Any]]:
    """Return where the result is louder (red) or softer (blue) than the content, each re its own peak."""
    content, output = result.content, result.output
    if content.samples.shape != output.samples.shape or content.sample_rate != output.sample_rate:
        return []
    levels = [
        figures.spectrogram_db("difference", sound.samples.numpy(), sound.sample_rate)
        for sound in (content, output)
    ]
    change = _pooled(levels[1][0]) - _pooled(levels[0][0])
    return [
        {
            "title": "result minus content",
            "text": f"red: louder, blue: softer, up to {DIFFERENCE_DB:.0f} dB, each re its own peak",
            "duration_s": levels[0][1],
            "nyquist_hz": content.sample_rate / 2,
            "difference": True,
            "image": _colored(change / (2 * DIFFERENCE_DB) + 0.5, "coolwarm"),
        }
    ]


def _pooled(levels_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return levels in fewer rows, each the mean of some."""
    share = -(-levels_db.shape[0] // _ROWS)
    padded = np.pad(levels_db, ((0, -levels_db.shape[0] % share), (0, 0)), mode="edge")
    pooled: NDArray[np.float64] = padded.reshape(-1, share, levels_db.shape[1]).mean(axis=1)
    return pooled


def _colored(values: NDArray[np.float64], colors: str) -> str:
    """Return values from 0 to 1 ``[rows, columns]``, the lowest row first, as a PNG in a data URI."""
    from matplotlib import colormaps

    shades = colormaps[colors](np.clip(np.flipud(values), 0.0, 1.0), bytes=True)[..., :3]
    return _png(Image.fromarray(np.ascontiguousarray(shades)).quantize(256))


def _audio(sound: Any) -> str:
    samples = sound.samples.numpy().T
    samples = samples[:, :2] if samples.shape[1] > 2 else samples
    long = len(samples) > LOSSLESS_S * sound.sample_rate
    # MP3 knows a few rates only, FLAC all up to 655,350 Hz.
    mp3 = long and sound.sample_rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
    buffer = io.BytesIO()
    options = {"format": "MP3"} if mp3 else {"format": "FLAC", "subtype": "PCM_16"}
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), sound.sample_rate, **options)
    return _uri("audio/mpeg" if mp3 else "audio/flac", buffer.getvalue())


def _pixels(picture: Any) -> NDArray[np.float64]:
    pixels: NDArray[np.float64] = picture.pixels.movedim(0, 2).double().numpy()
    return pixels


def _picture_difference(result: Result) -> list[dict[str, Any]]:
    content, output = _pixels(result.content), _pixels(result.output)
    if content.shape != output.shape:
        height, width = output.shape[:2]
        resized = _image(content).resize((width, height), Image.Resampling.LANCZOS)
        content = np.asarray(resized, dtype=np.float64) / 255.0
    change = np.abs(output - content).mean(axis=2)
    text = f"mean {change.mean():.3f} of 1; dark: kept, bright: changed"
    return [
        {
            "title": "difference of result and content",
            "text": text,
            "image": _colored(np.flipud(change) * 2, "magma"),
        }
    ]


def _image(pixels: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray((np.clip(pixels, 0.0, 1.0) * 255 + 0.5).astype(np.uint8))


def _picture(pixels: NDArray[np.float64]) -> str:
    image = _image(pixels)
    if max(image.size) > PICTURE:
        image.thumbnail((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    return _png(image)


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return _uri("image/png", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
