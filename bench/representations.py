"""What each representation of a sound loses: STFT magnitudes to bands and back, on recordings.

    python bench/representations.py

The spectral convergence ``|S - S'| / |S|`` of the magnitudes alone, in dB, and of the sound that phase
reconstruction makes of them, started from the sound's own phase. Medians over recordings.
"""

from __future__ import annotations

import numpy as np
import torch
from pairs import DEVELOPMENT, RATE, densest, read

from specstyle.media.audio import SoundMedium
from specstyle.media.audiosettings import AudioSettings
from specstyle.media.phase import spectral_convergence_db
from specstyle.media.stft import stft

CASES = {
    "stft": {},
    "mel, 80 bands": {"representation": "mel", "n_mels": 80},
    "mel, 128 bands": {"representation": "mel", "n_mels": 128},
    "mel, 256 bands": {"representation": "mel", "n_mels": 256},
    "cqt, 12 per octave": {"representation": "cqt", "bins_per_octave": 12},
    "cqt, 24 per octave": {"representation": "cqt", "bins_per_octave": 24},
    "cqt, 48 per octave": {"representation": "cqt", "bins_per_octave": 48},
}


def main() -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    sounds = [densest(read(name)) for name in sorted({name for pair in DEVELOPMENT for name in pair})]
    print(f"{len(sounds)} recordings at {RATE} Hz, n_fft 1024, hop 256\n")
    print("| representation | rows | magnitudes, dB | sound, dB |\n|---|---|---|---|")
    for title, choices in CASES.items():
        settings = AudioSettings(**choices)  # type: ignore[arg-type]
        medium, lost, heard, rows = SoundMedium(settings), [], [], 0
        for sound in sounds:
            encoded = medium.encode(sound, dtype=torch.float64)
            magnitude = stft(sound.samples, settings.stft_at(RATE)).abs()
            bank = settings.filterbank(settings.stft_at(RATE), RATE)
            back = magnitude if bank is None else bank.bins(bank.bands(magnitude))
            error = float((back - magnitude).norm() / magnitude.norm())
            lost.append(20.0 * np.log10(max(error, 1e-15)))
            out = medium.decode(encoded.image, encoded)
            heard.append(spectral_convergence_db(out.samples, magnitude, settings.stft_at(RATE)))
            rows = encoded.image.shape[2]
        print(f"| {title} | {rows} | {np.median(lost):.1f} | {np.median(heard):.1f} |")


if __name__ == "__main__":
    main()
