"""Convolutions one after the other, as teacher and student both are; and what the student is to answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.features.vgg import prepare
from specstyle.features.weights import Weights

Tensors = dict[str, tuple[Tensor, Tensor]]
"""Layer name to (weight ``[out, in, 3, 3]``, bias ``[out]``), in order."""


@dataclass(frozen=True)
class Base:
    """The first layers of a student that is there already: a deeper one is built onto them as they are.

    Attributes:
        tensors: Its layers.
        channels: As in ``Lesson``.
        scales: As in ``Lesson``.
    """

    tensors: Tensors
    channels: dict[str, Tensor]
    scales: dict[str, float]


def responses(tensors: Tensors, x: Tensor, *, up_to: str) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Run a network layer by layer.

    Average pooling and replicated borders, as in specstyle's own recipes.

    Args:
        tensors: The network.
        x: Its prepared input, ``[B, 3, H, W]``.
        up_to: The last layer to run.

    Yields:
        Layer name, the layer's input, and its response before the ReLU.
    """
    for number, (name, (weight, bias)) in enumerate(tensors.items()):
        if name.endswith("_1") and number:
            x = F.avg_pool2d(x, 2)
        response = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias)
        yield name, x, response
        if name == up_to:
            return
        x = F.relu(response)


@dataclass(frozen=True)
class Lesson:
    """What the student is to answer: some of the teacher's channels, each layer brought to a mean of 1.

    Attributes:
        teacher: The network to learn from.
        channels: Layer name to the numbers of the teacher's channels.
        scales: Layer name to the factor on the teacher's maps.
    """

    teacher: Weights
    channels: dict[str, Tensor]
    scales: dict[str, float]

    @torch.no_grad()
    def responses(self, pictures: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the teacher's chosen and scaled responses before the ReLU, ``[B, C, h, w]`` by layer."""
        last = [name for name in self.teacher.tensors if name in layers][-1]
        answers = {}
        x = prepare(pictures, self.teacher.preprocessing)
        x = x.contiguous(memory_format=torch.channels_last)
        for name, _, response in responses(self.teacher.tensors, x, up_to=last):
            if name in layers:
                answers[name] = response[:, self.channels[name]] * self.scales[name]
        return answers


def student_maps(tensors: Tensors, pictures: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the student's maps after the ReLU, ``[B, C, h, w]`` by layer."""
    last = [name for name in tensors if name in layers][-1]
    x = prepare(pictures, "torchvision").contiguous(memory_format=torch.channels_last)
    return {name: F.relu(r) for name, _, r in responses(tensors, x, up_to=last) if name in layers}


def gram_means(maps: Tensor) -> Tensor:
    """Return mean Gram matrices ``[B, C, C]`` of maps ``[B, C, h, w]``."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]
