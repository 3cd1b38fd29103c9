"""The engine: optimizes an image tensor; it knows nothing of sounds or pictures."""

from specstyle.engine.canvas import Canvas, Pixels
from specstyle.engine.objective import ContentTerm, Features, Loss, Objective, StyleTerm, Term
from specstyle.engine.optimize import (
    NonFiniteLossError,
    OptimizerSettings,
    State,
    Step,
    StopRun,
    optimize,
)

__all__ = [
    "Canvas",
    "ContentTerm",
    "Features",
    "Loss",
    "NonFiniteLossError",
    "Objective",
    "OptimizerSettings",
    "Pixels",
    "State",
    "Step",
    "StopRun",
    "StyleTerm",
    "Term",
    "optimize",
]
