"""What the page's server accepts."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 10**6


@dataclass(frozen=True)
class Limits:
    """Bounds, so that a slip does not fill the disk or the day.

    Attributes:
        upload_mb: Of one file, in megabytes (10^6 bytes).
        minutes: That one job may run before it is stopped.
        waiting: Jobs in the queue.
        styles: Of one job.
        sound_minutes: Of one sound.
        kept_uploads: Files that were chosen and may still become part of a job.
    """

    upload_mb: float = 200.0
    minutes: float = 60.0
    waiting: int = 20
    styles: int = 8
    sound_minutes: float = 30.0
    kept_uploads: int = 40

    def __post_init__(self) -> None:
        for name, flag in (("upload_mb", "--max-upload-mb"), ("minutes", "--max-minutes")):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{flag} must be above 0, got {getattr(self, name):g}")

    @property
    def upload_bytes(self) -> int:
        """Of one file."""
        return int(self.upload_mb * MEGABYTE)
