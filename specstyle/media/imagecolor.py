"""Any Pillow image -> sRGB floats and alpha: pixel modes, bit depths, embedded ICC profiles."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms

from specstyle.media.color import from_linear

FloatArray = NDArray[np.float32]

_GRAY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_PROFILE_SPACE = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY", "LAB": "Lab"}
_RAMP = np.linspace(0.0, 1.0, 256)
_TIFF_BITS_PER_SAMPLE = 258
_TIFF_PHOTOMETRIC = 262
_STRIP = 2**22
"""Pixels that are floats at a time, beside the result."""

_SAME_GAMMA = 0.05
"""A gamma of 1/2.2, nearly, stands for sRGB's curve."""

_OTHER_BYTE = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": "RGB;16B",
               "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B", "RGBA;16N": "RGBA;16B"}  # fmt: skip
"""What makes Pillow read the low bytes: the other order of bytes. N is the machine's, the lower one first."""


def in_floats(images: list[Image.Image], step: int, notes: list[str]) -> tuple[FloatArray, FloatArray | None]:
    """Return sRGB values of decoded images, strip by strip: each is no larger in memory than it must be.

    Args:
        images: One of any mode, or two: the high and the low bytes of 16 bits per channel.
        step: Of so many pixels across and down the mean is taken, weighted by alpha.
        notes: What a user should know is appended here, one sentence each.

    Returns:
        Colors from 0 to 1, ``[3, H, W]``, and alpha from 0 to 1, ``[1, H, W]``, or None.
    """
    first = images[0]
    width, height = -(-first.width // step), -(-first.height // step)
    colors, alpha = np.empty((3, height, width), np.float32), None
    # Where a file does not say what white is, all of it is looked at.
    rows = height if first.mode in ("I", "F") else max(_STRIP // (first.width * step), 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        box = (0, top * step, first.width, min(bottom * step, first.height))
        parts = [image.crop(box) for image in images]
        for part in parts:
            part.tag_v2 = getattr(first, "tag_v2", {})  # type: ignore[attr-defined]
        values, opacity = deep_to_srgb(*parts) if len(parts) == 2 else to_srgb(parts[0], notes)
        values = _brightened(values, first, notes)
        if step > 1:
            weight = np.ones(values.shape[:2], np.float32) if opacity is None else np.maximum(opacity, 1e-6)
            values = _sums(values * weight[..., None], step) / _sums(weight, step)[..., None]
            if opacity is not None:
                opacity = _sums(opacity, step) / _sums(np.ones_like(opacity), step)
        colors[:, top:bottom] = values.transpose(2, 0, 1)
        if opacity is not None:
            alpha = np.empty((1, height, width), np.float32) if alpha is None else alpha
            alpha[0, top:bottom] = opacity
    return colors, alpha


def _sums(values: FloatArray, step: int) -> FloatArray:
    """Return the sums of blocks of step times step pixels of ``[H, W, ...]``; the last may be smaller."""
    height, width = values.shape[:2]
    rows = np.add.reduceat(values, np.arange(0, height, step), axis=0)
    sums: FloatArray = np.add.reduceat(rows, np.arange(0, width, step), axis=1)
    return sums


def _brightened(values: FloatArray, image: Image.Image, notes: list[str]) -> FloatArray:
    """Apply the gamma of a PNG that says no more of its colors than that (PNG, third edition, 4.3)."""
    gamma, info = image.info.get("gamma"), image.info
    if not gamma or "srgb" in info or "icc_profile" in info or abs(2.2 * gamma - 1) < _SAME_GAMMA:
        return values
    notes.append(f"the file's gamma of {gamma:g} was converted to sRGB")
    return from_linear(torch.from_numpy(values ** np.float32(1 / gamma))).numpy()


def to_srgb(image: Image.Image, notes: list[str]) -> tuple[FloatArray, FloatArray | None]:
    """Turn a decoded image of any mode into sRGB values and alpha.

    Gray stays in floating point throughout, so that 16-bit gray keeps its steps (``convert("L")`` of an
    ``I;16`` image clips at 255 instead of scaling).

    Returns:
        Colors from 0 to 1, shape ``[H, W, 3]``, and alpha from 0 to 1, shape ``[H, W]``, or None.
    """
    profile = _embedded_profile(image, notes)
    if image.mode in _GRAY_MODES:
        gray, alpha = _gray_and_alpha(image, notes)
        return _gray_to_srgb(gray, profile, notes), alpha
    colors, alpha = _split_alpha(image)
    return _unit(_convert(colors, profile, notes)), alpha


def deep_to_srgb(high: Image.Image, low: Image.Image) -> tuple[FloatArray, FloatArray | None]:
    """Return colors and alpha like ``to_srgb``, from the high and the low bytes of 16 bits per channel."""
    levels = np.asarray(high).astype(np.float64) * 256 + np.asarray(low)
    values = (levels / 65535).astype(np.float32)
    if values.shape[2] == 4:
        return values[..., :3], values[..., 3]
    key = high.info.get("transparency")
    if not isinstance(key, tuple):
        return values, None
    return values, (levels != np.array(key)).any(2).astype(np.float32)


def has_deep_color(image: Image.Image) -> bool:
    """Tell whether Pillow will cut 16-bit colors of an opened image to 8 bits as it decodes them.

    Returns:
        True for RGB, RGBA, CMYK and gray-with-alpha files of 16 bits per channel.
    """
    return image.mode not in _GRAY_MODES and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _unit(image: Image.Image) -> FloatArray:
    values: FloatArray = np.asarray(image, dtype=np.float32) / np.float32(255)
    return values


# -- gray ----------------------------------------------------------------------------------------------------


def _gray_and_alpha(image: Image.Image, notes: list[str]) -> tuple[FloatArray, FloatArray | None]:
    if image.mode in ("LA", "La"):
        straight = image.convert("LA")
        return _unit(straight.getchannel("L")), _unit(straight.getchannel("A"))
    raw = np.asarray(image)
    key = image.info.get("transparency")
    alpha = None
    if isinstance(key, int):
        # Mode "1" arrives as booleans, and Pillow gives its transparent value as 0 or 255.
        alpha = (raw != (bool(key) if raw.dtype == np.bool_ else key)).astype(np.float32)
    if raw.dtype == np.bool_:
        return raw.astype(np.float32), alpha
    if image.mode == "L":
        return raw.astype(np.float32) / np.float32(255), alpha
    if image.mode in ("I", "F"):
        return open_ended(raw, notes), alpha
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0]
    # In float64 first: k / 65535 is then the nearest float32, whatever k.
    gray = (raw.astype(np.float64) / (2**bits - 1)).astype(np.float32)
    if tags.get(_TIFF_PHOTOMETRIC) == 0:  # "white is zero", which Pillow undoes for 8 bits but not for 16
        gray = np.float32(1) - gray
    return gray, alpha


def open_ended(raw: NDArray[np.generic], notes: list[str]) -> FloatArray:
    """Scale integers of 32 bits or floats, whose files do not say what white is."""
    values = raw.astype(np.float64)
    if not np.isfinite(values).all():
        return values.astype(np.float32)  # refused later, by check_picture, with the reason
    low, high = float(values.min()), float(values.max())
    if raw.dtype.kind == "f" and low >= 0 and high <= 1:
        return values.astype(np.float32)
    if raw.dtype.kind == "i" and low >= 0 and high <= 65535:
        notes.append("integer gray values read as 16 bits: 65535 is white")
        return (values / 65535).astype(np.float32)
    notes.append(f"{'gray ' * (raw.ndim == 2)}values from {low:g} to {high:g} stretched to black and white")
    return ((values - low) / max(high - low, 1e-300)).astype(np.float32)


def _gray_to_srgb(gray: FloatArray, profile: ImageCms.ImageCmsProfile | None, notes: list[str]) -> FloatArray:
    """Send gray through its profile as one curve of 256 points: exact for 8 bits, interpolated beyond."""
    if profile is None:
        return np.repeat(gray[..., None], 3, axis=2)
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    if _space(profile) == "RGB":
        ramp = ramp.convert("RGB")
    curve = _unit(_convert(ramp, profile, notes))[0]
    return np.stack([np.interp(gray, _RAMP, curve[:, c]) for c in range(3)], axis=2).astype(np.float32)


# -- color --------------------------------------------------------------------------------------------------


def _split_alpha(image: Image.Image) -> tuple[Image.Image, FloatArray | None]:
    """Separate colors (in RGB, CMYK or LAB) from alpha; palettes become RGB."""
    if image.mode in ("CMYK", "LAB"):
        return image, None
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        image.info["transparency"] = tuple(v >> 8 for v in key)  # a 16-bit key beside pixels cut to 8 bits
    if not image.has_transparency_data:
        return image.convert("RGB"), None
    straight = image.convert("RGBA")
    return straight.convert("RGB"), _unit(straight.getchannel("A"))


def _embedded_profile(image: Image.Image, notes: list[str]) -> ImageCms.ImageCmsProfile | None:
    data = image.info.get("icc_profile")
    if not data:
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(data))
    except (OSError, TypeError, ImageCms.PyCMSError):
        notes.append("the embedded ICC profile is damaged and was ignored")
        return None


def _space(profile: ImageCms.ImageCmsProfile) -> str:
    return str(profile.profile.xcolor_space).strip()


def _convert(image: Image.Image, profile: ImageCms.ImageCmsProfile | None, notes: list[str]) -> Image.Image:
    """Convert L, RGB, CMYK or LAB to sRGB, through the profile where it fits."""
    if profile is not None and _space(profile) == _PROFILE_SPACE[image.mode]:
        try:
            converted = ImageCms.profileToProfile(
                image,
                profile,
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
                # The quick way is up to ten 8-bit steps wrong in dark gray; of gray there are 256 pixels.
                flags=ImageCms.Flags.NOOPTIMIZE if image.mode == "L" else ImageCms.Flags.NONE,
            )
        except (OSError, ValueError, ImageCms.PyCMSError):
            notes.append("the embedded ICC profile cannot be applied and was ignored")
        else:
            name = " ".join((profile.profile.profile_description or "without a name").split())
            notes.append(f"colors converted to sRGB from the embedded ICC profile ({name})")
            if converted is not None:
                return converted
    elif profile is not None:
        notes.append(f"the embedded ICC profile is for {_space(profile)} and was ignored")
    if image.mode == "CMYK":
        notes.append("CMYK without a usable ICC profile: colors are approximate")
    return image.convert("RGB")


def read_low_bytes(image: Image.Image) -> bool:
    """Make an image, opened and not decoded, decode to the low bytes of its 16-bit colors.

    Returns:
        Whether that is possible; if not, the image is unchanged.
    """
    other = []
    for tile in getattr(image, "tile", ()):
        mode, *rest = [tile.args] if isinstance(tile.args, str) else tile.args or [None]
        if mode not in _OTHER_BYTE:
            return False
        other.append(tile._replace(args=(_OTHER_BYTE[mode], *rest)))
    image.tile = other  # type: ignore[attr-defined]
    return bool(other)
