"""What is trained: the student's layers and their widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from specstyle.features.weights import LAYERS

SHARES = {
    **{"relu1_1": 0.375, "relu1_2": 0.25, "relu2_1": 0.375, "relu2_2": 0.5},
    **{"relu3_2": 0.1875, "relu4_1": 0.375, "relu4_2": 0.25, "relu4_3": 0.1875},
}
"""Of the teacher's channels. The first layers cost most of the time, since their maps are large; what passes
from the second block to the third decides most of the error (bench/results/lite.md)."""


@dataclass(frozen=True)
class Plan:
    """The student's layers.

    Attributes:
        widths: Layer name to number of channels, from ``relu1_1`` without a gap.
        kept: Layers whose Gram matrices are to be right. The others are narrow passages between them.
    """

    widths: dict[str, int]
    kept: tuple[str, ...]


def make_plan(
    channels: Mapping[str, int], *, kept: Sequence[str], widths: Mapping[str, int] | None = None
) -> Plan:
    """Plan a student for a teacher: by ``SHARES``, else half the channels in kept layers, a quarter between.

    Args:
        channels: The teacher's layers and their channels, in order.
        kept: Layers to keep; the deepest of them is the student's last.
        widths: Other widths for some layers.

    Raises:
        ValueError: If a layer is not the teacher's, or a width is no number of its channels.
    """
    unknown = [name for name in (*kept, *(widths or {})) if name not in channels]
    if unknown or not kept:
        raise ValueError(
            f"the teacher has no layer {', '.join(unknown) or '(none was named)'}; it has "
            f"{', '.join(channels)}"
        )
    last = max(kept, key=LAYERS.index)
    chosen = {}
    for name in LAYERS[: LAYERS.index(last) + 1]:
        share = SHARES.get(name, 0.5 if name in kept else 0.25)
        chosen[name] = (widths or {}).get(name, max(int(share * channels[name]), 1))
        if not 1 <= chosen[name] <= channels[name]:
            raise ValueError(
                f"{name} cannot have {chosen[name]} channels: the teacher's layer has {channels[name]}"
            )
    return Plan(chosen, tuple(name for name in LAYERS if name in kept))
