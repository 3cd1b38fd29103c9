"""The student as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from specstyle.errors import SpecstyleError
from specstyle.features import lite
from specstyle.features.weights import CONV_INDEX
from specstyle.files import atomic
from training.layers import Tensors

ATTRIBUTION = (
    "Answers like VGG19 by K. Simonyan and A. Zisserman (Visual Geometry Group, University of Oxford), whose "
    "weights are licensed under CC BY 4.0; every number here comes from specstyle's own fit and tuning to it"
)


def export(tensors: Tensors, path: Path, *, facts: dict[str, Any]) -> None:
    """Write a student as ``safetensors`` in half precision, in torchvision's naming.

    The same student and facts give the same bytes.

    Args:
        tensors: The student.
        path: The file.
        facts: What else the file shall say of itself, as plain values.

    Raises:
        SpecstyleError: If a weight is not finite in half precision.
    """
    state = {}
    for name, (weight, bias) in tensors.items():
        for part, tensor in (("weight", weight), ("bias", bias)):
            half = tensor.detach().cpu().to(torch.float16).contiguous()
            if not bool(half.isfinite().all()):
                raise SpecstyleError(
                    f"the {part} of {name} is not finite in half precision: the training failed"
                )
            state[f"features.{CONV_INDEX[name]}.{part}"] = half
    said = {"format": lite.FORMAT, "preprocessing": "torchvision", "attribution": ATTRIBUTION, **facts}
    with atomic(path) as temporary:  # one entry: of several the file's order would be random
        save_file(state, temporary, metadata={lite.METADATA: json.dumps(said, sort_keys=True)})
