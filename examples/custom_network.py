"""A torch network of your own for sound: anything that turns an image into named feature maps."""

import sys
from pathlib import Path

import torch

import specstyle
from specstyle.synthesis.sounds import plucked_melody, rain

torch.manual_seed(0)
layers = torch.nn.Sequential(torch.nn.Conv2d(1, 64, (9, 5), padding="same"), torch.nn.ReLU())


def network(image):
    """Return one layer of maps, ``[B, 64, bins, frames]``."""
    return {"texture": layers(image)}


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "example-output")
folder.mkdir(parents=True, exist_ok=True)
sounds = plucked_melody(1.0, 16000, seed=1), rain(1.0, 16000, seed=2)
result = specstyle.transfer_audio(*sounds, sample_rate=16000, network=network, steps=10)
result.output.save(folder / "melody-by-own-network.wav")
