"""Make a new stretch of rain from a recording of rain, whose end flows into its beginning.

Usage: python examples/sound_texture.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import specstyle
from specstyle.synthesis.sounds import rain

SAMPLE_RATE = 16000
DURATION_S = 3.0


def main(folder: Path) -> None:
    """Synthesize a texture that is longer than its model."""
    folder.mkdir(parents=True, exist_ok=True)
    model = rain(2.0, SAMPLE_RATE, seed=6)
    result = specstyle.texture_audio(model, DURATION_S, loop=True, sample_rate=SAMPLE_RATE)
    result.output.save(folder / "rain-texture.wav")
    losses = result.record["losses"]
    print(f"style loss: {losses['start']['style']:.4f} -> {losses['end']['style']:.6f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-output"))
