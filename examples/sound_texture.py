"""Make a new stretch of rain from a recording of rain: style only, from noise.

Usage: python examples/sound_texture.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import numpy as np

import specstyle
from specstyle.media.soundfiles import write_sound
from specstyle.synthesis.sounds import rain

SAMPLE_RATE = 16000
DURATION_S = 3.0


def main(folder: Path) -> None:
    """Synthesize a texture that is longer than its model."""
    folder.mkdir(parents=True, exist_ok=True)
    model = rain(2.0, SAMPLE_RATE, seed=6)
    # With no content loss the content gives nothing but length and loudness.
    noise = np.random.default_rng(0).normal(0.0, model.std(), int(DURATION_S * SAMPLE_RATE))
    result = specstyle.transfer_audio(
        noise,
        model,
        sample_rate=SAMPLE_RATE,
        network="kernel",
        content_weight=0.0,
        init="noise",
    )
    write_sound(result.output, folder / "rain-texture.wav")
    losses = result.record["losses"]
    print(f"style loss: {losses['start']['style']:.4f} -> {losses['end']['style']:.6f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-output"))
