"""Files of trained styles: tensors in half precision, and what they are, checked as they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from specstyle.errors import FileError
from specstyle.files import atomic, sha256_of
from specstyle.onepass.network import StyleNetwork
from specstyle.onepass.soundnetwork import SoundStyleNetwork

FORMAT = 1
METADATA = "specstyle-style"
"""The entry of a file's metadata that says, as JSON, what it is."""

SHIPPED = {
    "image": Path(__file__).with_name("styles") / "pictures.safetensors",
    "audio": Path(__file__).with_name("styles") / "sounds.safetensors",
}
"""The styles that come along, by medium."""

ANY = {
    "image": Path(__file__).with_name("any-picture.safetensors"),
    "audio": Path(__file__).with_name("any-sound.safetensors"),
}
"""The networks that take any picture, or sound, as the style."""

NETWORKS: dict[str, Callable[[int], nn.Module]] = {"image": StyleNetwork, "audio": SoundStyleNetwork}
"""By medium: makes a network for a number of styles."""

MOST_STYLES, LARGEST = 64, 16_000_000
"""Of a file: styles, and bytes."""


@dataclass(frozen=True)
class Style:
    """One or more trained styles that share a network.

    Attributes:
        network: A ``StyleNetwork``, a ``SoundStyleNetwork``, or an ``AnyPictureNetwork``.
        medium: ``image`` or ``audio``.
        recipe: What it was trained by, as plain values.
        styles: Of each style ``name``, ``sha256`` of its picture or sound, and ``source`` and ``license`` as
            far as they are known.
        chosen: The style that is meant if no blend is given; ``None``: there are several.
        path: The file, if it came from one.
        sha256: Of the file.
    """

    network: Any
    medium: str
    recipe: dict[str, Any]
    styles: tuple[dict[str, str], ...]
    chosen: str | None = None
    path: Path | None = None
    sha256: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The styles' names."""
        return tuple(style["name"] for style in self.styles)

    def blend(self, weights: dict[str, float]) -> Tensor:
        """Return the weight of each style, ``[styles]``.

        Args:
            weights: By the styles' names; none at all: ``chosen``.

        Raises:
            ValueError: If a name is unknown, or the weights are negative or all 0, or there is a choice.
        """
        if not weights and self.chosen is None:
            raise ValueError(f"there are several styles here; choose one, or some: --blend {self.names[0]}=1")
        weights = weights or {str(self.chosen): 1.0}
        unknown = [name for name in weights if name not in self.names]
        if unknown:
            raise ValueError(f"there is no style {unknown[0]!r} here; there are {', '.join(self.names)}")
        found = torch.tensor([float(weights.get(name, 0.0)) for name in self.names])
        if not found.isfinite().all() or found.min() < 0 or not found.sum() > 0:
            raise ValueError(f"weights of styles must be numbers from 0 on, not all 0, got {weights}")
        return found


def save_style(style: Style, path: Path) -> None:
    """Write styles into a ``.safetensors`` file, whole or not at all.

    Raises:
        FileError: If it cannot be written.
    """
    from safetensors.torch import save

    said = {"format": FORMAT, "medium": style.medium, "recipe": style.recipe, "styles": list(style.styles)}
    tensors = {name: value.half().cpu().contiguous() for name, value in style.network.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors, {METADATA: json.dumps(said, allow_nan=False)}))


def shipped() -> dict[str, Path]:
    """Return the styles that come along: by name, the file that each is in."""
    return {name: path for path in SHIPPED.values() for name in load_style(path).names}


def load_style(name: str | Path) -> Style:
    """Load styles.

    Args:
        name: A file that ``specstyle train`` wrote, or the name of a style that comes along.

    Raises:
        FileError: If there is none, or the file is damaged, of another format, or no such file.
    """
    path, chosen = Path(name), None
    if not path.suffix and not path.exists():
        known = shipped()
        if str(name) not in known:
            raise FileError(
                f"{name}: no such style; there are {', '.join(known) or 'none'} (`specstyle styles`), or "
                "name a .safetensors file of `specstyle train`"
            )
        path, chosen = known[str(name)], str(name)
    tensors, said = read_file(path)
    try:
        network = _network(tensors, said)
        medium, recipe = said["medium"], dict(said["recipe"])
        styles = tuple({str(k): str(v) for k, v in style.items()} for style in said["styles"])
        found = Style(network, medium, recipe, styles, chosen, path, sha256_of(path))
        if len(set(found.names)) != len(styles):
            raise ValueError("two styles have one name")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(
            f"{path}: its styles are damaged ({error}); expected a file of `specstyle train`; train it anew"
        ) from error
    return found if len(styles) > 1 or chosen else Style(**{**vars(found), "chosen": found.names[0]})


def read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a file's tensors and what it says of itself.

    Raises:
        FileError: If there is none, or it is damaged, too large or of another format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileError(f"{path}: no such file; expected styles by `specstyle train` (.safetensors)")
    if path.stat().st_size > LARGEST:
        raise FileError(f"{path}: is too large for a style ({path.stat().st_size:,} bytes)")
    try:
        with safe_open(str(path), framework="pt") as file:
            said = json.loads((file.metadata() or {}).get(METADATA, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(
            f"{path}: cannot be read as a style ({reason}); expected a file of `specstyle train`"
        ) from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        found = f"format {said.get('format')}" if isinstance(said, dict) else "nothing of styles"
        raise FileError(
            f"{path}: says {found}, and styles of format {FORMAT} are read; train it by this version"
        )
    return tensors, said


def _network(tensors: dict[str, Tensor], said: dict[str, Any]) -> nn.Module:
    """Return the network of a file, whose tensors must be those of one, and finite."""
    if said["medium"] not in NETWORKS:
        raise ValueError(f"medium {said['medium']!r}")
    if not 1 <= len(said["styles"]) <= MOST_STYLES:
        raise ValueError(f"{len(said['styles'])} styles")
    network: nn.Module = filled(NETWORKS[said["medium"]](len(said["styles"])), tensors)
    return network


def filled(network: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a network with the tensors of a file, ready for use.

    Raises:
        ValueError: If they are not those of the network, or not finite.
    """
    expected = {name: value.shape for name, value in network.state_dict().items()}
    if {name: value.shape for name, value in tensors.items()} != expected:
        raise ValueError("tensors of other names or shapes")
    if not all(v.is_floating_point() and bool(v.isfinite().all()) for v in tensors.values()):
        raise ValueError("values that are no finite numbers")
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    return network.eval().requires_grad_(False)


@torch.no_grad()
def mixed(network: nn.Module, medium: str, mixture: Tensor) -> Any:
    """Return a network whose styles are mixtures of another's.

    Args:
        network: One of ``NETWORKS``.
        medium: ``image`` or ``audio``.
        mixture: How much of each of its styles is in each of those to come, ``[styles, its styles]``.
    """
    make = NETWORKS[medium]
    found, one, two = (make(count) for count in (len(mixture), 1, 2))
    alike, state = two.state_dict(), dict(network.state_dict())
    for name, value in one.state_dict().items():
        if value.shape != alike[name].shape:  # rows for each style
            each = state[name].view(mixture.shape[1], *value.shape)
            state[name] = torch.tensordot(mixture.to(each), each, 1).flatten(0, 1)
    found.load_state_dict(state)
    return found
