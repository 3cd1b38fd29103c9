"""A list of bad input, by the command line: one clear line, an exit code, nothing left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from commands import Outcome, command
from PIL import Image
from safetensors.torch import save_file

import specstyle
from specstyle.errors import SpecstyleError

RATE = 8000
SMALL = {"audio": ["--steps", "2", "--n-filters", "32", "--phase-iterations", "2"], "image": ["--steps", "2"]}
GOOD = {"audio": ("c.wav", "s.wav"), "image": ("c.png", "s.png")}
OUT = {"audio": "out.wav", "image": "out.png"}
MEDIA = ("audio", "image")

pytestmark = pytest.mark.usefixtures("workplace")


def save_picture(path: Path, pixels: Any) -> None:
    Image.fromarray(np.asarray(pixels).astype(np.uint8)).save(path)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file of a folder with its bytes, and every folder in it."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))
    }


def refuses(run: Callable[..., Outcome], *argv: str | Path, code: int, words: tuple[str, ...]) -> Outcome:
    """Run a command and hold it to what errors are: one line, its exit code, no file made or changed."""
    folder = Path.cwd()
    before = tree(folder)
    outcome = run(*argv)
    assert "Traceback" not in outcome.err
    assert outcome.code == code, outcome.err
    assert len(outcome.lines) == 1, outcome.err
    assert re.match("specstyle( audio| image)?: ", outcome.err)
    assert "unexpected" not in outcome.err
    for word in words:
        assert word in outcome.err
    assert outcome.out == ""
    assert tree(folder) == before
    return outcome


def transfer_argv(medium: str, role: str, bad: str) -> list[str]:
    """A command whose content, or style, or second style, or start is a bad file."""
    content, style = GOOD[medium]
    inputs = {
        "content": [bad, style],
        "style": [content, bad],
        "second style": [content, style, bad],
        "init": [content, style, "--init", bad],
    }[role]
    return [medium, *inputs, "-o", OUT[medium], *SMALL[medium]]


# -- files ---------------------------------------------------------------------------------------------------


NOISE = np.random.default_rng(0).uniform(0, 1, 4000)
PIXELS = np.random.default_rng(0).uniform(0, 1, (32, 32, 3))


def nothing(_: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def sound_of(samples: Any, **options: Any) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, samples, RATE, **options)


def pixels_of(pixels: Any) -> Callable[[Path], None]:
    return lambda path: save_picture(path, pixels)


def truncated(path: Path) -> None:
    """The first half of a picture."""
    whole = path.with_name("whole" + path.suffix)
    save_picture(whole, PIXELS * 255)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()


def picture(path: Path) -> None:
    with path.open("wb") as file:
        Image.fromarray((PIXELS * 255).astype(np.uint8)).save(file, format="JPEG")


def sound(path: Path) -> None:
    with path.open("wb") as file:
        soundfile.write(file, NOISE, RATE, format="FLAC")


@dataclass(frozen=True)
class Bad:
    name: str
    make: Callable[[Path], None]
    words: tuple[str, ...]


# What else is refused, and in what words, is told by the tests of files and of their checks (tests/media).
BAD_SOUNDS = {
    "missing": Bad("no/lost.wav", nothing, ("does not exist",)),
    "directory": Bad("dir.wav", folder, ("directory",)),
    "a picture": Bad("photo.wav", picture, ("JPEG picture", "specstyle image")),
    "less than a window": Bad("short.wav", sound_of(NOISE[:100]), ("100 samples", "window")),
    "silence": Bad("silence.wav", sound_of(np.zeros((RATE // 2, 2))), ("silence",)),
    "no number": Bad("nan.wav", sound_of(np.where(np.arange(4000) == 17, np.nan, NOISE), subtype="FLOAT"),
                     ("NaN", "sample 17")),
}  # fmt: skip

BAD_PICTURES = {
    "missing": Bad("no/lost.png", nothing, ("no such file",)),
    "directory": Bad("dir.png", folder, ("folder",)),
    "truncated": Bad("cut.png", truncated, ("cut short",)),
    "a sound": Bad("tune.png", sound, ("sound", "specstyle audio")),
    "1 pixel high": Bad("line.png", pixels_of(PIXELS[:1] * 255), ("32 x 1",)),
    "one color": Bad("plain.png", pixels_of(np.full((32, 32, 3), 120)), ("one single color",)),
    "fully transparent": Bad("clear.png", pixels_of(np.dstack([PIXELS * 255, 0 * PIXELS[..., 0]])),
                             ("transparent",)),
}  # fmt: skip

ROLES = ("content", "style", "second style", "init")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", BAD_SOUNDS)
def test_bad_sound(case: str, role: str, cli: Callable[..., Outcome], tmp_path: Path) -> None:
    bad = BAD_SOUNDS[case]
    bad.make(tmp_path / bad.name)
    refuses(cli, *transfer_argv("audio", role, bad.name), code=1, words=(Path(bad.name).name, *bad.words))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", BAD_PICTURES)
def test_bad_picture(case: str, role: str, cli: Callable[..., Outcome], tmp_path: Path) -> None:
    bad = BAD_PICTURES[case]
    bad.make(tmp_path / bad.name)
    refuses(cli, *transfer_argv("image", role, bad.name), code=1, words=(Path(bad.name).name, *bad.words))


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("role", ["content", "style", "init"])
def test_bad_input_leaves_no_steps_folder_and_what_force_would_replace(
    medium: str, role: str, cli: Callable[..., Outcome]
) -> None:
    Path(OUT[medium]).write_bytes(b"precious")
    extra = ["--save-every", "1", "--plot", "--force", "--quiet"]
    refuses(cli, *transfer_argv(medium, role, "lost.file"), *extra, code=1, words=("lost.file",))
    argv = [medium, *GOOD[medium], "-o", OUT[medium], *extra, "--recipe", "nobody1999"]
    refuses(cli, *argv, code=2, words=("nobody1999",))


def test_a_name_with_a_line_break_still_makes_one_line(cli: Callable[..., Outcome]) -> None:
    refuses(cli, *transfer_argv("audio", "content", "lost\nfile.wav"), code=1, words=("lost file.wav",))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("role", ["content", "style"])
def test_values_that_are_no_numbers_in_arrays(value: float, role: str) -> None:
    bad = PIXELS.copy()
    bad[3, 4, 1] = value
    pair = (bad, PIXELS) if role == "content" else (PIXELS, bad)
    with pytest.raises(SpecstyleError, match=f"{role}.*NaN or infinite"):
        specstyle.transfer_image(*pair, steps=1)
    with pytest.raises(SpecstyleError, match=f"{role}.*NaN or infinite"):
        specstyle.transfer_audio(*(p.reshape(-1) for p in pair), sample_rate=RATE, steps=1, n_filters=8)


@pytest.mark.parametrize(
    ("style", "rate", "said"),
    [
        (np.zeros(4000, dtype=np.int16), RATE, "style"),
        (np.zeros((1, 2, 4000)), RATE, "style"),
        (np.float64(3.0), RATE, "style"),
        ("no/such/file.wav", RATE, r"file\.wav"),
        ([], RATE, "style"),
        (NOISE, None, "sample_rate"),
        (NOISE, 0, "rate"),
        (NOISE, -1, "rate"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(style: Any, rate: int | None, said: str) -> None:
    with pytest.raises((ValueError, SpecstyleError), match=said):
        specstyle.transfer_audio(NOISE, style, sample_rate=rate, steps=1, n_filters=8)


# -- weights: their files, and what is wrong in them, are told by tests/features/test_weights.py -------------


def layers_state(first: tuple[int, ...] = (64, 3, 3, 3)) -> dict[str, torch.Tensor]:
    return {"features.0.weight": torch.full(first, 0.01), "features.0.bias": torch.zeros(first[0])}


@pytest.mark.parametrize("medium", MEDIA)
def test_weights_that_do_not_cover_a_layer(medium: str, cli: Callable[..., Outcome], tmp_path: Path) -> None:
    save_file(layers_state(), tmp_path / "w.safetensors", {"preprocessing": "caffe"})
    argv = [medium, *GOOD[medium], "-o", OUT[medium], "--weights", "w.safetensors"]
    refuses(cli, *argv, "--style-layers", "relu1_1,relu3_1", "--content-layers", "relu1_1", code=2,
            words=("relu3_1", "relu1_1"))  # fmt: skip
    argv[-1] = "lost.pth"
    refuses(cli, *argv, code=1, words=("lost.pth", "no such"))


# -- options -------------------------------------------------------------------------------------------------

VGG_LAYERS = ("relu1_1", "relu3_4", "relu5_4")
# Values of single fields: tests/recipes/test_recipes.py; what fits together: tests/run/test_settle.py.
BAD_OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown style layer": (("--style-layers", "relu9_9"), ("relu9_9", *VGG_LAYERS)),
    "one layer twice": (("--network", "vgg19-random", "--style-layers", "relu1_1,relu1_1"), ("relu1_1",)),
    "unknown recipe": (("--recipe", "nobody1999"), ("nobody1999", "gatys2016")),
    "missing recipe file": (("--recipe", "lost.toml"), ("lost.toml",)),
    "weights beside another network": (("--weights", "w.pth", "--network", "vgg19-random"), ("weights",)),
    "blend for another number of styles": (("--style-blend", "1,2"), ("blend", "2 weights for 1 style")),
    "seed beyond 64 bits": ((f"--seed={2**64}",), ("seed",)),
    "seed below 64 bits": ((f"--seed={-(2**63) - 1}",), ("seed",)),
    "nothing weighs": (("--content-weight", "0", "--style-weight", "0"), ("weigh",)),
    "strength above 1": (("--strength", "1.5"), ("strength", "1.5")),
    "negative save-every": (("--save-every=-1",), ("save_every",)),
}  # fmt: skip
BAD_SOUND_OPTIONS = {
    "n_fft 1": (("--n-fft", "1"), ("n_fft",)),
    "hop beyond the window": (("--n-fft", "256", "--hop-length", "300"), ("hop_length", "300")),
    "momentum 2": (("--phase-momentum", "2"), ("phase_momentum",)),
}
BAD_PICTURE_OPTIONS = {
    "larger without leave": (("--height", "100", "--width", "100"), ("enlarge", "100")),
}


@pytest.mark.parametrize(
    ("medium", "case"),
    [(m, c) for m in MEDIA for c in BAD_OPTIONS]
    + [("audio", c) for c in BAD_SOUND_OPTIONS]
    + [("image", c) for c in BAD_PICTURE_OPTIONS],
)
def test_bad_options(medium: str, case: str, cli: Callable[..., Outcome], tmp_path: Path) -> None:
    options, words = {**BAD_OPTIONS, **BAD_SOUND_OPTIONS, **BAD_PICTURE_OPTIONS}[case]
    torch.save(layers_state(), tmp_path / "w.pth")
    argv = [medium, *GOOD[medium], "-o", OUT[medium], *options]
    refuses(cli, *argv, code=2, words=words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("medium", MEDIA)
def test_a_device_that_is_not_here(medium: str, cli: Callable[..., Outcome]) -> None:
    argv = [medium, *GOOD[medium], "-o", OUT[medium], "--device", "cuda"]
    refuses(cli, *argv, code=2, words=("cuda", "--device auto"))


PARSER_REFUSES = [
    ("audio", "required"),
    ("audio c.wav -o out.wav", "STYLE"),
    ("audio c.wav s.wav", "-o OUT, or --run-dir DIR"),
    ("audio c.wav s.wav -o out.wav --size 3", "--size"),
    ("image c.png s.png -o out.png --n-fft 512", "--n-fft"),
    ("image c.png s.png -o out.png --phase zero", "--phase"),
    ("audio c.wav s.wav -o out.wav --steps 1.5", "--steps"),
    ("audio c.wav s.wav -o out.wav --style-blend 1,x", "--style-blend"),
    ("audio c.wav s.wav -o out.wav --seed x", "--seed"),
]


@pytest.mark.parametrize(("argv", "word"), PARSER_REFUSES)
def test_usage(argv: str, word: str, cli: Callable[..., Outcome]) -> None:
    refuses(cli, *argv.split(), code=2, words=(word,))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("n_fft = 256\nwin_length = 512", ("win_length",)),
        ('window = "porthole"', ("porthole",)),
        ("stepps = 3", ("mine.toml", "stepps")),
    ],
)
def test_a_bad_recipe_file(
    said: str, words: tuple[str, ...], cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(said + "\n", encoding="utf-8")
    refuses(cli, "audio", *GOOD["audio"], "-o", "out.wav", "--recipe", "mine.toml", code=2, words=words)


# -- output --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("medium", "name"),
    [("audio", n) for n in ("out.m4a", "out.png", "out", "out.wav.bak", ".wav")]
    + [("image", n) for n in ("out.gif", "out.wav", "out", "out.png~", ".png", "out.bmp")],
)
def test_unsupported_suffix(medium: str, name: str, cli: Callable[..., Outcome]) -> None:
    argv = [medium, *GOOD[medium], "-o", name, *SMALL[medium]]
    refuses(cli, *argv, code=1, words=(name, ".wav" if medium == "audio" else ".png"))


@pytest.mark.parametrize("medium", MEDIA)
class TestOutput:
    def argv(self, medium: str, output: str | Path) -> list[str]:
        return [medium, *GOOD[medium], "-o", str(output), *SMALL[medium]]

    def test_exists(self, medium: str, cli: Callable[..., Outcome], tmp_path: Path) -> None:
        (tmp_path / OUT[medium]).write_bytes(b"precious")
        refuses(cli, *self.argv(medium, OUT[medium]), code=1, words=(OUT[medium], "--force"))

    def test_is_a_folder(self, medium: str, cli: Callable[..., Outcome], tmp_path: Path) -> None:
        (tmp_path / OUT[medium]).mkdir()
        refuses(cli, *self.argv(medium, OUT[medium]), "--force", code=1, words=(OUT[medium], "directory"))

    def test_nothing_is_left_in_a_missing_folder(self, medium: str, cli: Callable[..., Outcome]) -> None:
        argv = self.argv(medium, f"no/such/{OUT[medium]}")
        refuses(cli, *argv, "--network", "alexnet", code=2, words=("alexnet",))
        refuses(cli, *self.argv(medium, f"no/{'x' * 300}/{OUT[medium]}"), code=1, words=("made a folder",))

    def test_folder_is_a_file(self, medium: str, cli: Callable[..., Outcome]) -> None:
        name = GOOD[medium][0]
        refuses(cli, *self.argv(medium, f"{name}/{OUT[medium]}"), code=1, words=(name, "made a folder"))

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, where nobody may write")
    def test_folder_is_unwritable_for_anyone(self, medium: str, cli: Callable[..., Outcome]) -> None:
        name = f"/proc/{OUT[medium]}"
        refuses(cli, *self.argv(medium, name), code=1, words=(name,))

    def test_folder_is_not_ours(
        self, medium: str, cli: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "theirs").mkdir(mode=0o555)
        if os.access(tmp_path / "theirs", os.W_OK):  # root may write anywhere

            def refused(path: Path, **_: Any) -> None:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))

            monkeypatch.setattr(Path, "touch", refused)
        name = f"theirs/{OUT[medium]}"
        refuses(cli, *self.argv(medium, name), code=1, words=(name, "Permission denied"))

    def test_folder_cannot_hold_the_steps(
        self, medium: str, cli: Callable[..., Outcome], tmp_path: Path
    ) -> None:
        (tmp_path / "out.steps").write_bytes(b"a file")
        argv = [*self.argv(medium, OUT[medium]), "--save-every", "1"]
        refuses(cli, *argv, code=1, words=("out.steps",))


# -- a disk that fills up ------------------------------------------------------------------------------------


@contextlib.contextmanager
def disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the system itself refuses the write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fails_late(outcome: Outcome, name: str) -> None:
    """After a run there are lines of progress; the last line is the error, and the only one."""
    assert outcome.code == 1
    assert outcome.lines[-1].startswith("specstyle: ")
    assert name in outcome.lines[-1]
    assert sum(line.startswith("specstyle: ") for line in outcome.lines) == 1
    assert "Traceback" not in outcome.err
    assert "unexpected" not in outcome.err
    assert "wrote" not in outcome.out


@pytest.mark.parametrize(
    ("medium", "output"),
    [(m, o) for m, suffixes in (("audio", ("wav", "flac", "ogg")), ("image", ("png", "jpg", "webp", "tiff")))
     for o in (f"out.{s}" for s in suffixes)],
)  # fmt: skip
def test_disk_full(medium: str, output: str, cli: Callable[..., Outcome], tmp_path: Path) -> None:
    """Nothing is left and nothing replaced, and no temporary name is told."""
    for options in ((), ("--force",)):
        before = tree(tmp_path)
        with disk(60):
            outcome = cli(medium, *GOOD[medium], "-o", output, *SMALL[medium], *options)
        fails_late(outcome, output)
        assert "cannot be written" in outcome.err
        assert ".part" not in outcome.err
        assert tree(tmp_path) == before
        (tmp_path / output).write_bytes(b"precious")


@pytest.mark.parametrize("medium", MEDIA)
def test_disk_full_at_the_first_intermediate_result_leaves_nothing(
    medium: str, cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    before = tree(tmp_path)
    with disk(60):
        outcome = cli(medium, *GOOD[medium], "-o", OUT[medium], *SMALL[medium], "--save-every", "1")
    fails_late(outcome, "step-00001")
    assert tree(tmp_path) == before


def test_disk_full_at_the_record_leaves_no_output(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    before = tree(tmp_path)
    small = ["--size", "12", "--style-layers", "relu1_1", "--content-layers", "relu1_1"]
    with disk(1500):  # a small picture without its settings fits, its record of some 3 kB does not
        argv = ["image", *GOOD["image"], "-o", "out.jpg", *SMALL["image"], *small, "--no-metadata"]
        outcome = cli(*argv)
    fails_late(outcome, "out.jpg.json")
    assert tree(tmp_path) == before


# -- the real command ----------------------------------------------------------------------------------------


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    bad = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    shutil.copy(tmp_path / "c.wav", bad)
    Path(os.fsdecode(bad)).write_bytes(b"")
    argv = [*command(), "audio", bad, "s.wav", "-o", "out.wav"]
    env = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=120, check=False, env=env)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(b"specstyle: ")
