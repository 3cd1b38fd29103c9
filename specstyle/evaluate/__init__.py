"""How good is a result: texture statistics, similarities, and the baselines it must beat."""

from specstyle.evaluate.folder import score_folder, write_csv
from specstyle.evaluate.report import Judge, Report, Scores, evaluate, format_table, to_json
from specstyle.media.equalize import equalize

__all__ = [
    "Judge",
    "Report",
    "Scores",
    "equalize",
    "evaluate",
    "format_table",
    "score_folder",
    "to_json",
    "write_csv",
]
