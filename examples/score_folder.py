"""Stylize at three strengths, and score the folder of results into a table."""

import sys
from pathlib import Path

import specstyle
from specstyle.synthesis.sounds import plucked_melody, rain

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "example-output")
folder.mkdir(parents=True, exist_ok=True)
sounds = plucked_melody(1.0, 16000, seed=1), rain(1.0, 16000, seed=2)
for strength in (0.3, 0.5, 0.8):
    result = specstyle.transfer_audio(*sounds, sample_rate=16000, strength=strength, steps=10)
    result.output.save(folder / f"strength-{strength}.wav")
rows = specstyle.evaluate.score_folder(folder, content=result.content, style=result.styles[0])
specstyle.evaluate.write_csv(rows, folder / "scores.csv")
