"""Files in the place of others, names and texts made to harm: one line each, at once, nothing touched."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from commands import Outcome, command, environment
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file

from corpus.pictures import tiff
from specstyle.errors import CheckpointError, FileError
from specstyle.evaluate import write_csv
from specstyle.files import load_state, save_state
from specstyle.media.imagefiles import read_picture
from specstyle.media.spectrogramfile import load_spectrogram

pytestmark = pytest.mark.usefixtures("workplace")

IMAGE = ["image", "c.png", "s.png", "-o", "out.png", "--steps", "2"]
SOUND = ["audio", "c.wav", "s.wav", "-o", "out.wav", "--steps", "2"]
NETWORK = ["--style-layers", "relu1_1", "--content-layers", "relu1_1"]

PLACES: dict[str, Callable[[str], list[str]]] = {
    "content": lambda bad: ["audio", bad, "s.wav", "-o", "out.wav"],
    "picture": lambda bad: ["image", "c.png", bad, "-o", "out.png"],
    "start": lambda bad: [*IMAGE, "--init", bad],
    "style mask": lambda bad: [*IMAGE, "--style-mask", bad],
    "mask": lambda bad: [*SOUND, "--mask", bad],
    "table": lambda bad: [*SOUND, "--mask", bad + ".csv"],
    "recipe": lambda bad: [*SOUND, "--recipe", bad + ".toml"],
    "list": lambda bad: ["batch", bad],
    "weights": lambda bad: [*IMAGE, "--weights", bad],
    "safetensors": lambda bad: [*IMAGE, "--weights", bad + ".safetensors"],
    "like": lambda bad: ["image", "--like", bad, "-o", "out.png"],
    "run": lambda bad: ["image", "--resume", bad],
    "spectrogram": lambda bad: ["invert", bad, "-o", "out.wav"],
    "result": lambda bad: ["evaluate", bad, "--content", "c.wav", "--style", "s.wav"],
}


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_folder(path: Path) -> None:
    path.mkdir()


def make_large(path: Path) -> None:
    """2 GB, of which none is on the disk."""
    with path.open("wb") as file:
        file.truncate(2 * 10**9)


def refused(cli: Callable[..., Outcome], argv: list[str]) -> Outcome:
    before = sorted(p.name for p in Path().iterdir())
    outcome = cli(*argv)
    assert outcome.code in (1, 2), outcome.err
    assert len(outcome.lines) == 1, outcome.err
    assert "unexpected" not in outcome.err
    assert "Traceback" not in outcome.err
    assert sorted(p.name for p in Path().iterdir()) == before
    return outcome


@pytest.mark.timeout(90)  # a loaded machine takes long to start; what hangs, hangs
@pytest.mark.parametrize("make", [make_pipe, make_loop, make_device, make_folder, make_large])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_ordinary_file(
    place: str, make: Callable[[Path], None], cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    argv = PLACES[place]("bad")
    name = next(word for word in argv if word.startswith("bad"))
    make(tmp_path / name)
    outcome = refused(cli, argv)
    assert "bad" in outcome.err or (place, make) == ("result", make_folder)


@pytest.mark.parametrize("place", PLACES)
def test_a_name_of_9000_letters_and_an_url(place: str, cli: Callable[..., Outcome]) -> None:
    assert len(refused(cli, PLACES[place]("x" * 9000)).err) < 30_000
    refused(cli, PLACES[place]("x/" * 4500 + "y"))
    outcome = refused(cli, PLACES[place]("https://example.org/a.wav"))
    if place in ("content", "picture", "recipe", "list", "table"):
        assert "is an URL" in outcome.err
    if place in ("content", "picture"):
        assert "https://example.org/a.wav" in outcome.err


BRACKETS = "[" * 100_000


def texts(folder: Path) -> Iterator[list[str]]:
    for text in (BRACKETS, '{"specstyle": "1", "medium": "image", "recipe": ' + BRACKETS, "{}", "null", "7"):
        (folder / "like.json").write_text(text)
        yield ["image", "--like", "like.json", "-o", "out.png"]
        info = PngInfo()
        info.add_itxt("specstyle", text)
        Image.open(folder / "c.png").save(folder / "like.png", pnginfo=info)
        yield ["image", "--like", "like.png", "-o", "out.png"]
    settings = {"specstyle": "1", "medium": "image", "recipe": {}, "content": {}, "styles": 7, "seed": "x"}
    for key, value in (
        ("content", None),
        ("content", {"path": 7}),
        ("styles", [[]]),
        ("seed", {}),
        ("recipe", 7),
    ):
        (folder / "like.json").write_text(json.dumps({**settings, key: value}))
        yield ["image", "--like", "like.json", "-o", "out.png"]
    for text in ("x = " + BRACKETS, "x = " + "{a=" * 5000, "n_fft = 99999999999999999999999999", "\x00"):
        (folder / "bad.toml").write_text(text)
        yield [*SOUND, "--recipe", "bad.toml"]


def test_texts_that_nest_or_are_of_another_shape(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    for argv in texts(tmp_path):
        refused(cli, argv)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "complex64", "int8", "bool"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_odd_numbers(suffix: str, dtype: str, cli: Callable[..., Outcome], tmp_path: Path) -> None:
    kind = getattr(torch, dtype)
    state = {
        "features.0.weight": torch.ones(64, 3, 3, 3).to(kind),
        "features.0.bias": torch.ones(64).to(kind),
    }
    if suffix == ".pth":
        torch.save(state, tmp_path / "w.pth")
    else:
        save_file(state, tmp_path / "w.safetensors")
    assert "float" in refused(cli, [*IMAGE, *NETWORK, "--weights", f"w{suffix}"]).err


def test_a_spectrogram_that_would_fill_the_memory(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("unused.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(1100):
            file.write(bytes(1 << 20))
    with pytest.raises(FileError, match="grows to 1100 MiB"):
        load_spectrogram(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("bits", "form", "planar"), [(16, 1, 1), (16, 1, 2), (32, 3, 1), (64, 3, 1)], ids=str
)
def test_a_tiff_that_would_fill_the_memory(bits: int, form: int, planar: int, tmp_path: Path) -> None:
    """It is told to be what it is, not damaged, and before anything is decoded."""
    tags = {256: ("I", [13_000]), 257: ("I", [13_000]), 258: ("H", [bits] * 3), 259: ("H", [8]),
            262: ("H", [2]), 277: ("H", [3]), 278: ("I", [1000]), 284: ("H", [planar]),
            339: ("H", [form] * 3)}  # fmt: skip
    (tmp_path / "a.tif").write_bytes(tiff(tags, [zlib.compress(bytes(1 << 20))] * 39))
    with pytest.raises(FileError, match=r"grows to \d+ MiB"):
        read_picture(tmp_path / "a.tif", longest=64)


@pytest.mark.parametrize("kind", range(19))
def test_a_tiff_whose_tags_are_of_other_kinds(kind: int, tmp_path: Path) -> None:
    """Pillow raises what it likes of them, or keeps nothing."""
    tags = {256: ("I", [4]), 257: ("I", [4]), 258: ("H", [8] * 3), 259: ("H", [1]), 262: ("H", [2]),
            277: ("H", [3]), 278: ("I", [4]), 284: ("H", [1])}  # fmt: skip
    whole = tiff(tags, [bytes(range(48))])
    for tag in tags:
        place = whole.index(struct.pack("<HH", tag, {"H": 3, "I": 4}[tags[tag][0]]))
        for count in (0, 1, 2, 3, 2**31):
            damaged = whole[: place + 2] + struct.pack("<HI", kind, count) + whole[place + 8 :]
            (tmp_path / "a.tif").write_bytes(damaged)
            with contextlib.suppress(FileError):
                read_picture(tmp_path / "a.tif")


# -- run folders ---------------------------------------------------------------------------------------------


def test_edited_run_files(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    assert cli(*IMAGE[:3], "--run-dir", "run", "--steps", "2").code == 0
    whole = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/status.json").write_text("{")
    for key in whole:
        for value in (None, 7, "x", [], {}):
            (tmp_path / "run/run.json").write_text(json.dumps({**whole, key: value}))
            outcome = cli("image", "--resume", "run")
            assert len(outcome.lines) < 12
            assert "unexpected" not in outcome.err, (key, value)
            assert "Traceback" not in outcome.err
        (tmp_path / "run/run.json").write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        outcome = cli("image", "--resume", "run")
        assert "unexpected" not in outcome.err, key
    for text in (BRACKETS, "", "[]", "{}"):
        (tmp_path / "run/run.json").write_text(text)
        assert refused(cli, ["image", "--resume", "run"]).code == 1


def test_a_damaged_checkpoint_is_known(tmp_path: Path) -> None:
    values = {"engine": {"x": torch.arange(5000.0), "n": [1, 2.5, None]}, "step": 3}
    save_state(tmp_path / "c.pt", values)
    assert torch.equal(load_state(tmp_path / "c.pt")["engine"]["x"], values["engine"]["x"])
    whole = (tmp_path / "c.pt").read_bytes()
    tensor = whole.find(torch.arange(5000.0).numpy().tobytes())
    for place in [*range(0, len(whole), 997), tensor, tensor + 10_000]:
        hurt = bytearray(whole)
        hurt[place] ^= 0x41
        (tmp_path / "c.pt").write_bytes(hurt)
        try:
            found = load_state(tmp_path / "c.pt")
        except CheckpointError as error:
            assert "delete it" in str(error)  # noqa: PT017
        else:  # a byte that nothing depends on
            assert torch.equal(found["engine"]["x"], values["engine"]["x"])
            assert found["step"] == 3
            assert not tensor <= place < tensor + 20_000
    (tmp_path / "c.pt").write_bytes(whole)
    edited = {**torch.load(tmp_path / "c.pt"), "values": {**values, "step": 4}}
    torch.save(edited, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="is damaged; delete it"):
        load_state(tmp_path / "c.pt")


# -- words ---------------------------------------------------------------------------------------------------


def test_names_do_not_move_the_cursor(cli: Callable[..., Outcome]) -> None:
    outcome = refused(cli, ["audio", "a\x1b[2J\x07\u202eb.wav", "s.wav", "-o", "out.wav"])
    assert r"a\x1b[2J\x07\u202eb.wav" in outcome.err


def test_a_list_with_zero_bytes(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("content,style,output\nc.wav,s\0.wav,o.wav\n")
    assert "zero bytes" in refused(cli, ["batch", "l.csv"]).err


def test_cells_are_no_formulas(tmp_path: Path) -> None:
    names = ["=1+1", "+a", "-b", "@c", "d", ""]
    write_csv([{"file": name, "x": -1.5} for name in names], tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()[1:]
    assert lines == ["'=1+1,-1.5", "'+a,-1.5", "'-b,-1.5", "'@c,-1.5", "d,-1.5", ",-1.5"]


def test_an_encoding_without_the_letters_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "c.wav").rename(tmp_path / "mélodie ♫.wav")
    argv = [*command(), "audio", "mélodie ♫.wav", "s.wav", "-o", "ré♫.wav", "--steps", "1", "--strength", "0"]
    env = environment(tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    done = subprocess.run(argv, capture_output=True, timeout=120, check=False, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(rb"wrote r\\xe9\\u266b.wav", done.stdout)
    assert (tmp_path / "ré♫.wav").exists()
