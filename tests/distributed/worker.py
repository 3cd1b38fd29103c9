"""What each process of a test does; started by torchrun, rank 0 saves what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from specstyle.engine.canvas import Pixels
from specstyle.engine.distrib import Ranks, Strip
from specstyle.engine.optimize import OptimizerSettings, optimize
from specstyle.engine.team import ALONE
from specstyle.engine.tiles import grid_of, margin_of
from specstyle.features.networks import build_network
from specstyle.recipes import Recipe, get_recipe
from specstyle.run.objectives import build_objective
from specstyle.run.regions import Tiling

RECIPES: dict[str, Recipe] = {
    "vgg19-lite": get_recipe("default-image").replace(tv_weight=0.1, tv_loss="nine_point", pixel_range=1.0),
    "bands": get_recipe("default-audio-vgg19").replace(network="vgg19-lite", tv_weight=0.1),
    "wide-random": get_recipe("default-audio-wide").replace(n_filters=48, balance="gradient"),
}
METHODS = {"adam": {"lr": 0.02}, "sgd": {"lr": 0.1}, "lbfgs": {}}
STEPS = 6


def images(name: str) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (1, 3, 70, 150) if name == "vgg19-lite" else (2, 1, 33, 201)
    image, content = torch.rand(2, *shape, generator=generator)
    return image, content, torch.rand(*shape[:3], 90, generator=generator)


def case(name: str, team: Any) -> dict[str, Any]:
    """Return losses, gradient and short runs, whole."""
    recipe = RECIPES[name]
    image, content, style = images(name)
    rows = image.shape[1] * image.shape[2]
    layers = recipe.content_layers + recipe.style_layers
    features = build_network(recipe.network, layers, rows=rows, options=None).features
    if recipe.network == "wide-random":
        from specstyle.features import WideRandom

        features = WideRandom(rows, n_filters=recipe.n_filters)
    size = (None, 32)
    strip = Strip(image.shape[3], grid_of(features), team) if isinstance(team, Ranks) else None
    objective = build_objective(
        recipe,
        features,
        content,
        [style],
        reference=image.flip(3),
        tiling=Tiling(size, team=team, columns=strip),
    )
    own = (lambda x: x) if strip is None else strip.own
    whole = (lambda x: x) if strip is None else strip.whole
    losses, gradient = objective.value_and_grad(own(image))
    found: dict[str, Any] = {"losses": losses, "gradient": whole(gradient)}
    for method, options in METHODS.items():
        canvas = Pixels(own(image), upper=1.0)
        state = optimize(canvas, objective, OptimizerSettings(method, **options), STEPS, team=team)  # type: ignore[arg-type]
        found[method] = {"image": whole(state.image), "end": state.losses_end["total"]}
    return found


def strips(team: Ranks) -> bool:
    """Return whether margins come from their owners, go back to them, and the whole is put together."""
    good = True
    image = torch.arange(2.0 * 57).reshape(1, 1, 2, 57)
    for margin in (1, 4, 20, 60):
        strip = Strip(57, 4, team)
        outer, first = strip.with_margins(strip.own(image), margin)
        good &= torch.equal(outer, image[..., first : first + outer.shape[-1]])
        good &= first == max(strip.start - margin, 0)
        # Each process adds 1 to all that it sees: a column ends with the number of those that see it.
        folded = strip.whole(strip.fold(torch.ones_like(outer)))
        others = [Strip(57, 4, team)._margins(rank, margin) for rank in range(team.size)]
        expected = torch.tensor([sum(a <= x < b for a, b in others) for x in range(57)], dtype=torch.float32)
        good &= torch.equal(folded[0, 0, 1], expected)
        good &= torch.equal(strip.whole(strip.own(image)), image)
    return good


def main(out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    team = Ranks(torch.device("cpu"))
    found: dict[str, Any] = {
        "strips": team.least(int(strips(team))) == 1,
        "any": [team.any(team.rank == 1), team.any(False)],
        "cases": {name: case(name, team) for name in RECIPES},
    }
    if team.rank == 0:
        found["alone"] = {name: case(name, ALONE) for name in RECIPES}
        found["margin"] = margin_of(build_network("vgg19-lite", ("relu3_1",), rows=3).features)
        torch.save(found, out)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
