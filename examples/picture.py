"""Paint a drawn scene with two styles at once, from arrays to an array.

Usage: python examples/picture.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import specstyle
from specstyle.synthesis.pictures import brush_texture, drawn_scene

SIZE = 128


def main(folder: Path) -> None:
    """Stylize, and write the result."""
    folder.mkdir(parents=True, exist_ok=True)
    result = specstyle.transfer_image(
        drawn_scene(SIZE, SIZE, seed=1),
        [brush_texture(SIZE, SIZE, seed=2), drawn_scene(SIZE, SIZE, seed=5)],
        network="vgg19-lite",
        style_blend=(3.0, 1.0),
        steps=20,
    )
    result.output.save(folder / "scene-by-brush.png")
    losses = result.record["losses"]
    print(f"style loss: {losses['start']['style']:.4f} -> {losses['end']['style']:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-output"))
