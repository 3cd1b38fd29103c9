"""Networks that stylize in one pass: trained by a recipe's objective, and applied to files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from specstyle.media.pictures import Picture
from specstyle.media.structure import edge_correlation
from specstyle.onepass.contents import PictureContents
from specstyle.onepass.training import Lesson
from specstyle.run.api import ignore
from specstyle.run.inputs import Session
from specstyle.run.objective import build_objective
from specstyle.run.request import Request
from specstyle.run.settle import check_request, choose_device, settle_request

CROP = 256
"""Side in pixels of the contents that a network learns from."""


def lesson_of(request: Request, data: Path | None) -> tuple[Lesson, Session]:
    """Return what a network learns from: the objective of a recipe for each style, and contents."""
    check_request(request)
    recipe, _ = settle_request(request)
    recipe = recipe.replace(finish_network="", strength=0.5)
    contents = PictureContents(data, CROP, recipe.size)
    content = Picture(contents.held_out[0].clamp(0.0, 1.0))
    seen = recipe.replace(size=CROP, style_scale=(recipe.size / CROP,))
    session = Session(
        dataclasses.replace(request, content=content), seen, choose_device(request.device), ignore
    )
    features = session.stages[-1].features
    terms = [
        build_objective(seen, features, session.content.image, [style]).terms for style in session.styles
    ]

    def left(outputs: Any, contents: Any) -> list[float]:
        return [
            edge_correlation(ours[None], theirs[None], longest=recipe.size)
            for ours, theirs in zip(outputs, contents, strict=True)
        ]

    lesson = Lesson(
        features,
        terms,
        contents,
        contents.held_out.to(session.device),
        left,
        lambda strength: 1.0 - strength**2,
    )
    return lesson, session
