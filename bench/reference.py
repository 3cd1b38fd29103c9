"""The textbook loop that specstyle is compared with.

The method of the PyTorch tutorial on neural style transfer (Jacq & Herring, after Gatys, Ecker & Bethge
2016), written anew: the whole network as modules with frozen weights, forward hooks that keep the maps of the
wanted layers, losses of these maps by automatic differentiation, eager float32, ``torch.optim.Adam`` or
``torch.optim.LBFGS``. Targets are computed once, as there. Losses, weights and the preparation of the
network's input are those of the recipe, so that value and gradient are the candidate's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.cases import Case
from specstyle.engine.grams import band_weights
from specstyle.engine.views import IMAGE, bare
from specstyle.features.random import WideRandom, reference_images
from specstyle.features.vgg import VGG19, mean_activations, normalizing_gains, prepare
from specstyle.features.weights import LAYERS, Weights
from specstyle.recipes import Recipe
from specstyle.run.settle import seen_layers

LBFGS_HISTORY = 100
LBFGS_ITERATIONS = 20
"""Of ``torch.optim.LBFGS``: its defaults, which the tutorial takes."""


def whole_network(weights: Weights, recipe: Recipe) -> nn.Sequential:
    """Return every layer that the weights cover, and the last pooling, with its weights frozen."""
    modules = nn.Sequential()
    pool = nn.MaxPool2d(2) if recipe.pooling == "max" else nn.AvgPool2d(2)
    for number, name in enumerate(weights.layers):
        if number and name.endswith("_1"):
            modules.add_module(f"pool{number}", pool)
        weight, bias = weights.tensors[name]
        mode = "zeros" if recipe.padding == "zeros" else "replicate"
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, padding_mode=mode)
        layer.weight.data, layer.bias.data = weight.clone(), bias.clone()  # type: ignore[union-attr]
        modules.add_module(f"conv{number}", layer)
        modules.add_module(name, nn.ReLU())
    if weights.layers[-1] in (LAYERS[-1],):
        modules.add_module("pool", pool)
    return modules.requires_grad_(False).eval()


class Reference:
    """The losses of a case, the plain way.

    Args:
        case: What to compare with.
        device: Where to run.
    """

    def __init__(self, case: Case) -> None:
        recipe = case.recipe
        self.case, self.recipe = case, recipe
        self.device, self.dtype = case.content.device, case.content.dtype
        self.maps: dict[str, Tensor] = {}
        self.weights = {term.name: term.weight for term in case.objective.terms}
        self._layers = {kind: tuple(seen_layers(recipe, kind)) for kind in ("content", "style")}
        self._forward = self._network()
        self._gains = self._gains_of()
        with torch.no_grad():
            self._targets = self._make_targets()

    def _network(self) -> Callable[[Tensor], None]:
        """Return what fills ``maps``."""
        if self.case.weights is None:
            return self._one_layer
        network = whole_network(self.case.weights, self.recipe).to(self.device, self.dtype)
        medium, content = self.case.session.medium, self.case.session.content
        paths = {layer.partition("@")[2] for layers in self._layers.values() for layer in layers}
        views = {path: [medium.view(name, content) for name in path.split("@") if name] for path in paths}
        path = ""

        def keep(name: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _input: Any, output: Tensor) -> None:
                self.maps[f"{name}@{path}" if path else name] = output

            return hook

        through = [layer for layers in self._layers.values() for layer in layers if bare(layer) != IMAGE]
        looked_at = {layer.partition("@")[2] for layer in through}
        for name in {bare(layer) for layer in through}:
            network.get_submodule(name).register_forward_hook(keep(name))

        def run(image: Tensor) -> None:
            nonlocal path
            for path in paths:
                x = image
                for view in views[path]:
                    x = view(x)
                self.maps[f"{IMAGE}@{path}" if path else IMAGE] = x
                if path in looked_at:
                    network(prepare(x, self.case.session.network.preprocessing))

        return run

    def _one_layer(self, image: Tensor) -> None:
        """Run Ulyanov & Lebedev's layer: rows are input channels."""
        if self.recipe.network != "wide-random":
            return
        if not hasattr(self, "_filters"):
            rows = image.shape[1] * image.shape[2]
            made = WideRandom(
                rows,
                seed=self.case.request.seed,
                n_filters=self.recipe.n_filters,
                scaling=self.recipe.filter_scaling,
            )
            self._filters = made.filters().to(self.device, self.dtype)
        self.maps["relu1"] = F.relu(F.conv1d(image.flatten(1, 2), self._filters))[:, :, None]

    def _gains_of(self) -> dict[str, Tensor]:
        """Return the factors of ``normalize_activations``."""
        if not self.recipe.normalize_activations or self.case.weights is None:
            return {}
        layers = (*self.recipe.content_layers, *self.recipe.style_layers)
        plain = VGG19(
            self.case.weights,
            layers,
            pooling=self.recipe.pooling,
            padding=self.recipe.padding,
            dtype=self.dtype,
        )
        images = [image.to(self.dtype) for image in reference_images(0)]
        gains = normalizing_gains(mean_activations(plain, images))
        return {name: gain.to(self.device) for name, gain in gains.items()}

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Return the wanted maps of an image ``[B, C, H, W]``."""
        self.maps = {}
        self._forward(image)
        return {n: m * self._gains[n][:, None, None] if n in self._gains else m for n, m in self.maps.items()}

    def _make_targets(self) -> dict[str, Tensor]:
        content, style = self.features(self.case.content), self.features(self.case.styles[0])
        batch = self.case.content.shape[0]
        targets = {f"content:{n}": content[n] for n in self._layers["content"]}
        for name in self._layers["style"]:
            target = self._gram(style[name])
            targets[f"style:{name}"] = target if target.shape[0] == batch else target.mean(0, keepdim=True)
        return targets

    def _gram(self, maps: Tensor) -> Tensor:
        """Return the mean Gram matrix, of each band of rows if there are bands: ``[B, (bands,) C, C]``."""
        positions = maps.shape[2] * maps.shape[3]
        if self.recipe.style_bands < 2:
            flat = maps.flatten(2)
            return flat @ flat.transpose(1, 2) / positions
        weights = band_weights(self.recipe.style_bands, maps.shape[2], like=maps)
        flat = maps.flatten(2)
        bands = [(maps * w[:, None]).flatten(2) @ flat.transpose(1, 2) / positions for w in weights]
        return torch.stack(bands, 1)

    def loss(self, image: Tensor) -> Tensor:
        """Return the total loss of an image ``[B, C, H, W]``."""
        maps = self.features(image)
        total = image.new_zeros(())
        for name, weight in self.weights.items():
            kind, _, layer = name.partition(":")
            if kind == "tv":
                total = total + weight * _variation(image)
                continue
            make = self._content if kind == "content" else self._style
            total = total + weight * make(maps[layer], self._targets[name])
        return total

    def _content(self, maps: Tensor, target: Tensor) -> Tensor:
        error = (maps - target).square().flatten(1).sum(1)
        scale = {"half_sum": 0.5, "sum": 1.0, "mean": 1.0 / target[0].numel()}.get(self.recipe.content_loss)
        return (error / target.square().flatten(1).sum(1) if scale is None else scale * error).sum()

    def _style(self, maps: Tensor, target: Tensor) -> Tensor:
        error = (self._gram(maps) - target).square().flatten(-2).sum(-1)
        channels = maps.shape[1]
        scale = {"gram_gatys": 0.25 / channels**2, "gram_mean": 1.0 / channels**2}.get(self.recipe.style_loss)
        if scale is not None:
            return (scale * error).sum()
        norm = target.square().flatten(-2).sum(-1)
        if norm.ndim == 1:
            return (error / norm).sum()
        norm = torch.maximum(norm, 1e-6 * norm.amax(1, keepdim=True))
        return (error / norm).mean(1).sum()

    def run(self, method: str, steps: int, on_step: Callable[[float, Tensor], None]) -> Tensor:
        """Optimize a fresh canvas; return the last image.

        Args:
            method: ``adam`` or ``lbfgs``.
            steps: Evaluations.
            on_step: Called after each with the loss and the image.
        """
        canvas = self.case.canvas()
        parameters, box = canvas.parameters(), canvas.bounds()
        optimizer: torch.optim.Optimizer
        if method == "adam":
            optimizer = torch.optim.Adam(parameters, lr=self.case.adam_rate)
        else:
            optimizer = torch.optim.LBFGS(parameters, max_iter=LBFGS_ITERATIONS, history_size=LBFGS_HISTORY)
        done = 0

        def closure() -> Tensor:
            nonlocal done
            if box is not None:
                with torch.no_grad():
                    for parameter in parameters:
                        parameter.clamp_(*box)
            optimizer.zero_grad()
            with torch.enable_grad():
                image = canvas.image()
                loss = self.loss(image)
                loss.backward()
            done += 1
            on_step(float(loss.detach()), image.detach())
            return loss.detach()

        while done < steps:
            optimizer.step(closure)  # type: ignore[arg-type]
        with torch.no_grad():
            if box is not None:
                for parameter in parameters:
                    parameter.clamp_(*box)
            return canvas.image()


def _variation(image: Tensor) -> Tensor:
    """Return the default pictures' total variation: mean squares of differences, of colors ten times more."""
    red, green, blue = image.unbind(1)
    gray = 0.299 * red + 0.587 * green + 0.114 * blue
    colors = torch.stack([red - gray, blue - gray], 1)
    return sum(
        weight * (x.diff(dim=axis).square().mean((1, 2, 3))).sum()
        for weight, x in ((1.0, image), (10.0, colors))
        for axis in (2, 3)
    )
