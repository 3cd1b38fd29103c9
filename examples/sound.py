"""Play a melody by the rain, from arrays to an array.

Usage: python examples/sound.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import specstyle
from specstyle.synthesis.sounds import plucked_melody, rain

SAMPLE_RATE = 16000


def show(progress: specstyle.Progress) -> None:
    """Print every tenth step."""
    if progress.step % 10 == 0:
        print(f"step {progress.step}/{progress.steps}: style loss {progress.losses['style']:.4f}")


def main(folder: Path) -> None:
    """Stylize, and write the result and what the record says of it."""
    folder.mkdir(parents=True, exist_ok=True)
    result = specstyle.transfer_audio(
        plucked_melody(2.0, SAMPLE_RATE, seed=1),
        rain(2.0, SAMPLE_RATE, seed=2),
        sample_rate=SAMPLE_RATE,
        strength=0.6,
        on_step=show,
    )
    result.output.save(folder / "melody-by-rain.wav")
    losses = result.record["losses"]
    print(f"style loss: {losses['start']['style']:.4f} -> {losses['end']['style']:.6f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-output"))
