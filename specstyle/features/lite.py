"""vgg19-lite: a network of two megabytes inside the package that stands in for VGG19, up to relu5_1.

It has VGG19's layers at a fraction of their widths and was fitted and tuned to answer like it (`training/`):
the layers that style losses see keep about half of the teacher's channels, those between are narrow passages.
Gram matrices of its maps are used as they are.

Reference:
    Distillation: Hinton, Vinyals & Dean 2015; layer by layer from the student's own maps: Zhang, Zou, He &
    Sun 2016 (asymmetric reconstruction). The teacher: Simonyan & Zisserman 2015, configuration E; its weights
    by the Visual Geometry Group, University of Oxford, CC BY 4.0.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from specstyle.errors import WeightsError
from specstyle.features import weights
from specstyle.features.weights import LAYERS, Weights

FILE = Path(__file__).with_name("vgg19-lite.safetensors")
SHA256 = "290dd74103250a701a965624e468437a910c1c2e5c14cbbfb883659a91f16791"
"""Of ``FILE``."""

FORMAT = 1
METADATA = "vgg19-lite"
"""The entry of a file's metadata that says, as JSON, what it is and how it was made."""

REACH = LAYERS[: LAYERS.index("relu5_1") + 1]
"""The layers of the network in the package."""


def load(path: Path | None = None) -> Weights:
    """Load the network in the package, or another one made by `training/`.

    Raises:
        WeightsError: If the file is missing, damaged, no such network, or of another format.
    """
    loaded = weights.load(path or FILE, preprocessing="torchvision", any_width=True)
    if path is None:
        if loaded.sha256 != SHA256:
            raise WeightsError(
                f"{FILE}: damaged: its SHA-256 starts with {loaded.sha256[:12]}, expected {SHA256[:12]}; "
                "install specstyle again"
            )
        return dataclasses.replace(loaded, origin=f"vgg19-lite (format {FORMAT})")
    said = description(path).get("format", "nothing of a format")
    if said != FORMAT:
        raise WeightsError(
            f"{path}: expected a network of `python -m training` in format {FORMAT}, but its metadata says "
            f"{said}"
        )
    return loaded


def description(path: Path = FILE) -> dict[str, Any]:
    """Return what a file says of itself: format, attribution, channels, how it was trained."""
    from safetensors import safe_open

    if path.suffix.lower() != ".safetensors":
        return {}
    with safe_open(str(path), framework="pt") as file:
        text = (file.metadata() or {}).get(METADATA, "{}")
    try:
        said = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
