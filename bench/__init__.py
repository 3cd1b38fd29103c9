"""Programs that measure what the documentation claims; ``python -m bench`` runs the suite (``README.md``)."""
