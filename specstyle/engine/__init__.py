"""The engine: optimizes an image tensor; it knows nothing of sounds or pictures."""
