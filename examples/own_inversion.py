"""Another inversion in the place of specstyle's: torchaudio's Griffin-Lim."""

import sys
from pathlib import Path

import torchaudio

import specstyle
from specstyle.synthesis.sounds import plucked_melody, rain


def invert(magnitude, stft, length):
    """Return samples ``[channels, length]`` for magnitudes ``[channels, bins, frames]``."""
    griffin_lim = torchaudio.transforms.GriffinLim(
        stft.n_fft, hop_length=stft.hop_length, win_length=stft.win_length, power=1, length=length
    )
    return griffin_lim.to(magnitude)(magnitude)


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "example-output")
folder.mkdir(parents=True, exist_ok=True)
sounds = plucked_melody(1.0, 16000, seed=1), rain(1.0, 16000, seed=2)
result = specstyle.transfer_audio(*sounds, sample_rate=16000, steps=5, invert=invert)
print("spectral convergence in dB:", result.record["spectral_convergence_db"])
result.output.save(folder / "melody-by-rain.wav")
