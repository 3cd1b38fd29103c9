"""Where a run begins, and what it tells on its way."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from specstyle.engine.optimize import Step
from specstyle.engine.scales import resize, start_image
from specstyle.features.vgg import IMAGENET_MEAN_RGB
from specstyle.media.waveform import WaveformCanvas
from specstyle.run.request import Progress
from specstyle.run.session import Session


def first_image(run: Session, content: Tensor) -> Tensor:
    """Return the image that a run starts from at its coarsest scale.

    Args:
        run: The run.
        content: What the start image is made of where it is made of the content, ``[B, C, h, w]``.
    """
    recipe = run.recipe
    height, width = content.shape[2:]
    if run.start_source is not None:
        start = run.adapter.encode_style(run.start_source, run.content).image
        return resize(run.adapter.fit(start, run.content.image), height, width)
    if recipe.init == "style":
        return resize(run.adapter.fit(run.styles[0], run.content.image), height, width).contiguous()
    center: float | Tensor = 0.0
    if recipe.noise_center == "imagenet":
        mean = content.new_tensor(IMAGENET_MEAN_RGB)
        center = mean[:, None, None] if content.shape[1] == 3 else float(mean.mean())
    return start_image(
        recipe.init,
        content,
        noise=recipe.noise,
        noise_scale=recipe.noise_scale / recipe.pixel_range,
        noise_center=center,
        generator=run.generator,
    )


def reporter(
    run: Session,
    scale: int,
    done: int,
    waveform: WaveformCanvas | None = None,
) -> Callable[[Step], None]:
    """Return what tells a run's user of the steps of one call of ``optimize``.

    Args:
        run: The run.
        scale: Number of the scale, from 0.
        done: Steps made before.
        waveform: The samples that are optimized, if it is not the run's own.
    """
    refined = run.recipe.refine_steps if run.sound is not None and run.waveform is None else 0
    total = sum(run.steps_at(i) for i in range(len(run.shapes))) + refined
    canvas = run.waveform or waveform

    def report(step: Step) -> None:
        run.on_step(
            Progress(
                step=done + step.step,
                steps=total,
                scale=scale + 1,
                scales=len(run.shapes),
                losses=step.losses,
                image=step.image,
                result=lambda: run.finish(step.image(), step.parameters(), canvas)[0],
            )
        )

    return report
