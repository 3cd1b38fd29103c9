"""The command line: what it offers, says, writes and returns."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from commands import Outcome, command, environment, interrupt_at

import specstyle
from specstyle import RECIPES, Recipe
from specstyle.cli.main import build_parser, summary
from specstyle.cli.options import recipe_overrides
from specstyle.cli.progress import ProgressLine
from specstyle.features import weights as vgg_weights
from specstyle.recipes import to_toml
from specstyle.run import job as job_module
from specstyle.run.inputs import Session
from specstyle.run.request import Job, Request

pytestmark = pytest.mark.usefixtures("workplace")

MEDIA = pytest.mark.parametrize("medium", ["audio", "image"])
INPUTS = {"audio": ("c.wav", "s.wav"), "image": ("c.png", "s.png")}
OUT = {"audio": "out.wav", "image": "out.png"}
FAST = {
    "audio": ["--network", "wide-random", "--steps", "3", "--n-filters", "32", "--phase-iterations", "2"],
    "image": ["--steps", "3", "--network", "vgg19-random", "--style-layers", "relu1_1",
              "--content-layers", "relu1_1"],
}  # fmt: skip
RUN = {medium: [medium, *INPUTS[medium], "-o", OUT[medium], *FAST[medium]] for medium in INPUTS}


def new_files() -> set[str]:
    made = {str(p) for p in Path().rglob("*") if p.is_file()}
    return made - {"c.wav", "s.wav", "c.png", "s.png"}


def record_of(medium: str) -> dict[str, Any]:
    return dict(json.loads(Path(f"{OUT[medium]}.json").read_text(encoding="utf-8")))


# -- what it offers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [[], ["audio"], ["image"], ["batch"], ["recipes"], ["networks"], ["demo"]])
def test_help(argv: list[str], cli: Callable[..., Outcome]) -> None:
    outcome = cli(*argv, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert "usage: specstyle" in outcome.out
    if not argv:
        assert cli() == outcome
        for name in ("audio", "image", "recipes", "networks", "demo", "--version"):
            assert name in outcome.out


@pytest.mark.parametrize("medium", ["audio", "image", "texture"])
def test_help_shows_what_most_people_use_and_help_all_the_rest(
    medium: str, cli: Callable[..., Outcome]
) -> None:
    short, long = cli(medium, "--help"), cli(medium, "--help-all")
    assert (short.code, long.code, short.err, long.err) == (0, 0, "", "")
    options = set(re.findall(r"^  (?:-\w[ A-Z]*, )?(--[a-z-]+)", short.out, re.MULTILINE))
    assert 9 <= len(options - {"--help", "--help-all"}) <= 15
    assert all(f"\n{title}:\n" in short.out for title in ("network", "output", "the run", "how much of each"))
    assert options <= flags(medium)
    assert all(flag in long.out for flag in flags(medium))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("audio --strenght 1 c.wav s.wav", " audio: unknown option --strenght; did you mean --strength?"),
        ("batch jobs.csv --wrokers=2", " batch: unknown option --wrokers; did you mean --workers?"),
        ("audio --frobnicate",
         " audio: unknown option --frobnicate; specstyle audio --help-all shows what there is"),
        ("--verson", ": unknown option --verson; did you mean --version?"),
        ("c.wav s.wav", ": c.wav is no command; did you mean specstyle audio c.wav s.wav -o out.wav?"),
        ("c.mp3 --force", ": c.mp3 is no command; did you mean specstyle audio c.mp3 STYLE -o out.wav?"),
        ("'a b.JPG' s.png",
         ": a b.JPG is no command; did you mean specstyle image 'a b.JPG' s.png -o out.png?"),
        ("adio c.wav", ": adio is no command; did you mean audio?"),
        ("frob", ": frob is no command; specstyle --help shows what there is"),
    ],
)  # fmt: skip
def test_what_was_meant_is_told_in_one_line(words: str, line: str, cli: Callable[..., Outcome]) -> None:
    assert cli(*shlex.split(words)) == (2, "", f"specstyle{line}\n")


def test_an_option_may_be_shortened_and_a_file_may_look_like_one() -> None:
    parsed = build_parser().parse_args(["audio", "--stren", "1", "-o", "o.wav", "--", "--odd.wav", "s.wav"])
    assert (parsed.strength, parsed.content) == (1.0, Path("--odd.wav"))


@pytest.mark.parametrize(
    "words", ["--help", "audio --help", "--version", "spectrogram --help", "invert --help"]
)
def test_help_loads_nothing_heavy(words: str) -> None:
    program = f"""
import sys
from specstyle.cli.main import main
try:
    main({words.split()!r})
except SystemExit:
    pass
heavy = ("torch", "torchaudio", "librosa", "matplotlib", "scipy", "numpy", "soundfile", "PIL", "tqdm")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("start", [command(), [sys.executable, "-m", "specstyle"]], ids=["script", "module"])
def test_version(start: list[str]) -> None:
    done = subprocess.run([*start, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (f"specstyle {specstyle.__version__}\n", "")


def flags(medium: str) -> set[str]:
    (choices,) = (a.choices for a in build_parser()._actions if a.dest == "command")
    return {flag for action in choices[medium]._actions for flag in action.option_strings}


FIELDS = [f for f in dataclasses.fields(Recipe) if f.name not in ("name", "source")]


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.name)
def test_every_field_of_a_recipe_has_its_flag(field: Any) -> None:
    flag, group = "--" + field.name.removesuffix("_s").replace("_", "-"), field.metadata["group"]
    assert (flag in flags("audio")) == (group != "image" and field.metadata["flag"])
    assert (flag in flags("image")) == (group != "audio" and field.metadata["flag"])
    # Each of these is refused without another field.
    alone = field.name not in ("style_layer_weights", "content_layer_weights", "width", "duration_s", "loop")
    for medium in {"audio", "image"} - {{"audio": "image", "image": "audio"}.get(group, "")}:
        argv = [medium, "c", "s", "-o", "o"]
        assert recipe_overrides(build_parser().parse_args(argv)) == {}
        for text, value in examples(field):
            if field.metadata["flag"]:
                given = build_parser().parse_args([*argv, flag, text] if text else [*argv, flag])
                assert recipe_overrides(given) == {field.name: value}
            if alone:
                assert getattr(Recipe().replace(**{field.name: value}), field.name) == value


def examples(field: Any) -> list[tuple[str, Any]]:
    if field.name == "bits":
        return [("16", 16), ("8", 8)]
    if field.metadata["choices"]:
        return [(choice, choice) for choice in field.metadata["choices"]]
    if field.name == "keep_band":
        return [("0-200, 4000-", ("0-200", "4000-"))]
    return {
        "bool": [("", True)],
        "int": [("7", 7)],
        "float": [("0.25", 0.25)] if field.name != "scale_factor" else [("3", 3.0)],
        "str": [("word", "word")],
        "tuple[str, ...]": [("relu1_1, relu2_1", ("relu1_1", "relu2_1"))],
        "tuple[float, ...]": [("1,0.5", (1.0, 0.5))],
        "tuple[int, ...]": [("1, 8", (1, 8))],
    }[str(field.type).replace(" | None", "")]


def test_no_flags() -> None:
    parsed = build_parser().parse_args(["image", "c", "s", "-o", "o", "--no-clip", "--no-enlarge"])
    assert recipe_overrides(parsed) == {"clip": False, "enlarge": False}


def test_overrides_reach_the_record(cli: Callable[..., Outcome]) -> None:
    options = ["--strength", "0.7", "--content-weight", "0.3", "--style-weight", "2", "--tv-weight", "0.1",
               "--optimizer", "adam", "--lr", "0.01", "--n-fft", "256", "--hop-length", "64",
               "--phase", "random", "--init", "noise"]  # fmt: skip
    assert cli(*RUN["audio"], *options, "--seed", "9").code == 0
    record = record_of("audio")
    for flag, value in zip(options[::2], options[1::2], strict=True):
        said = record["recipe"][flag[2:].replace("-", "_")]
        assert str(said) == value or float(said) == float(value)
    assert record["seed"] == 9


# -- recipes and networks ------------------------------------------------------------------------------------


def test_recipes_lists_all_with_their_source(cli: Callable[..., Outcome]) -> None:
    outcome = cli("recipes")
    assert (outcome.code, outcome.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert set(lines) == {"default", *RECIPES}
    published = "tf-eager gatys2016 tf2 keras-lbfgs keras-sgd johnson2015 crowson2021 ulyanov2016"
    assert set(RECIPES) >= set(published.split())
    assert all(lines[name] == recipe.source for name, recipe in RECIPES.items())
    assert cli("recipes", "default").out == to_toml(RECIPES["default-audio"])
    assert cli("recipes", "default", "--medium", "image").out == to_toml(RECIPES["default-image"])


def test_an_unknown_recipe(cli: Callable[..., Outcome]) -> None:
    outcome = cli("recipes", "nobody1999")
    assert (outcome.code, outcome.out, len(outcome.lines)) == (2, "", 1)
    for name in ("nobody1999", "gatys2016", "default"):
        assert name in outcome.err


@pytest.mark.parametrize(
    ("medium", "name"),
    [("audio", "default-audio-wide"), ("audio", "ulyanov2016"), ("image", "default-image"),
     ("image", "johnson2015")],
)  # fmt: skip
def test_a_printed_recipe_gives_the_same_bytes(medium: str, name: str, cli: Callable[..., Outcome]) -> None:
    Path("mine.toml").write_text(cli("recipes", name).out, encoding="utf-8")
    made = []
    for recipe in (name, "mine.toml"):
        assert cli(*RUN[medium], "--force", "--recipe", recipe).code == 0
        made.append(Path(OUT[medium]).read_bytes())
    assert made[0] == made[1]


def test_networks(cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = cli("networks")
    assert (outcome.code, outcome.err) == (0, "")
    lines = {line.split()[0]: line for line in outcome.out.splitlines()}
    assert set(lines) == {"vgg19", "vgg19-lite", "vgg19-random", "wide-random", "kernel", "auto"}
    assert "in 8 bits" in lines["vgg19"]
    assert "not its brush strokes" in lines["vgg19-random"]
    assert cli("networks", "delete", "vgg19").code == 2
    for argv in ((), ("vgg19-random",), ("wide-random",), ("resnet",)):
        outcome = cli("networks", "fetch", *argv)
        assert (outcome.code, outcome.out, len(outcome.lines)) == (2, "", 1)
        assert re.match("specstyle: .*vgg19", outcome.err)
    monkeypatch.setattr(vgg_weights, "fetch", lambda: tmp_path / "vgg19.pth")
    assert cli("networks", "fetch", "vgg19") == (0, f"vgg19 is in {tmp_path / 'vgg19.pth'}\n", "")


def test_a_download_that_fails(
    cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vgg_weights, "cache_path", lambda: tmp_path / "hub" / "vgg19-dcbb9e9d.pth")

    def offline(*_: Any, **__: Any) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    outcome = cli("networks", "fetch", "vgg19")
    assert (outcome.code, outcome.out) == (1, "")
    assert len(outcome.err.splitlines()) == 1
    assert "unreachable" in outcome.err
    assert "--weights FILE" in outcome.err


def test_vgg19_needs_no_download_and_the_record_says_which_it_was(cli: Callable[..., Outcome]) -> None:
    size = ("--size", "32", "--steps", "2", "--smallest-scale", "32")
    assert cli("image", *INPUTS["image"], "-o", "out.png", "--network", "vgg19", *size).code == 0
    network = json.loads(Path("out.png.json").read_text(encoding="utf-8"))["network"]
    assert "8 bits" in network["origin"]
    assert network["sha256"] == vgg_weights.QUANTIZED_SHA256


# -- what it says --------------------------------------------------------------------------------------------


def test_a_summary_says_how_much_of_each_is_in_the_result() -> None:
    record = {
        "recipe": {"name": "default-audio"},
        "network": {"name": "vgg19-lite"},
        "steps": 45,
        "seconds": 8.6,
        "losses": {"start": {"style": 10.0}, "end": {"style": 2.5}},
        "content_left": {"image@fine": 0.9, "image@mel48@flux": 0.6, "image@fine@flux": 0.8},
    }
    job = Job(Request("audio", "c.wav", ("s.wav",)), Path("out.wav"))
    assert summary(job, record).split("; ") == [
        "45 steps of default-audio on vgg19-lite in 9 s",
        "of the content it has 68 % of its tune and 46 % of its attacks",
        "style loss down to 25 %",
    ]
    far = {**record, "content_left": {"image@fine": -0.1, "image@mel48@flux": -2.0}}
    assert "it has 0 % of its tune and 0 % of its attacks" in summary(job, far)


@MEDIA
def test_a_run_says_what_it_did(medium: str, cli: Callable[..., Outcome]) -> None:
    outcome = cli(*RUN[medium])
    assert outcome.code == 0
    summary, wrote, tried = outcome.out.splitlines()
    assert "3 steps" in summary
    assert re.search(r"style loss down to [\d.e-]+ %", summary)
    assert re.match(
        r"next: --strength [\d.]+ has more of the style, [\d.]+ more of the content; --report", tried
    )
    assert wrote == f"wrote {OUT[medium]}, {OUT[medium]}.json"
    steps = [line for line in outcome.lines if line.startswith("step ")]
    told = [re.match(r"step (\d)/3: total \S+, content \S+, style \S+", line) for line in steps]
    assert [found and found[1] for found in told] == ["1", "2", "3"]
    assert "s left" in steps[1]
    assert "\r" not in outcome.err
    assert new_files() == {OUT[medium], f"{OUT[medium]}.json"}


@pytest.mark.parametrize("medium", ["audio", "image"])
def test_the_automatic_network_is_said_in_one_line(medium: str, cli: Callable[..., Outcome]) -> None:
    outcome = cli(medium, *INPUTS[medium], "-o", OUT[medium], "--steps", "1")
    (line,) = (text for text in outcome.lines if text.startswith("network:"))
    assert "vgg19-lite" in line
    assert "VGG19" in line


def test_a_long_run_is_told_in_some_ten_lines(cli: Callable[..., Outcome]) -> None:
    outcome = cli(*RUN["audio"], "--steps", "57", "--optimizer", "adam", "--lr", "0.01")
    lines = [line for line in outcome.lines if line.startswith("step ")]
    assert 10 <= len(lines) <= 14
    assert lines[0].startswith("step 1/57")
    assert lines[-1].startswith("step 57/57")


def test_scales_are_told(cli: Callable[..., Outcome]) -> None:
    outcome = cli(*RUN["image"], "--smallest-scale", "20", "--scale-factor", "2")
    assert "scale 1/2" in outcome.err
    assert "scale 2/2" in outcome.err
    assert "step 6/6" in outcome.err


@MEDIA
def test_all_that_a_run_writes_goes_into_a_missing_folder(medium: str, cli: Callable[..., Outcome]) -> None:
    out = f"new/deep/{OUT[medium]}"
    extra = ["--plot", "--report", "--save-every", "2"]
    outcome = cli(medium, *INPUTS[medium], "-o", out, *FAST[medium], *extra)
    assert outcome.code == 0
    steps = (f"out.steps/step-00002{Path(out).suffix}", "out.steps/sheet.png")
    beside = (*steps, "out.figure.png", "out.report.html")
    assert new_files() == {out, f"{out}.json", *(f"new/deep/{name}" for name in beside)}
    assert all(name in outcome.out for name in new_files())


@MEDIA
def test_the_same_command_twice_gives_the_same_bytes_in_silence(
    medium: str, cli: Callable[..., Outcome]
) -> None:
    Path(OUT[medium]).write_bytes(b"old")
    assert cli(*RUN[medium]).code == 1
    assert Path(OUT[medium]).read_bytes() == b"old"
    made = []
    for _ in range(2):
        extra = ["--init", "noise", "--force", "--quiet", "--plot", "--save-every", "2"]
        assert cli(*RUN[medium], *extra) == (0, "", "")
        made.append(Path(OUT[medium]).read_bytes())
    assert made[0] == made[1] != b"old"


# -- errors --------------------------------------------------------------------------------------------------


def test_debug_shows_a_traceback() -> None:
    argv = [*command(), "audio", "lost.wav", "s.wav", "-o", "out.wav", "--debug"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("specstyle.errors.FileError: lost.wav")


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (RuntimeError("\n   odd\n thing"), 1, "unexpected RuntimeError: odd (--debug shows where)"),
        (RuntimeError(" \n"), 1, "unexpected RuntimeError: without a word (--debug shows where)"),
        (ZeroDivisionError(), 1, "unexpected ZeroDivisionError"),
        (MemoryError(), 1, "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1, "not enough memory"),
        (ValueError("seed is odd"), 2, "seed is odd"),
        (KeyboardInterrupt(), 130, "interrupted at once"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_whatever_happens_is_one_line(
    error: BaseException, code: int, word: str, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(job_module, "run_job", fails)
    outcome = cli("audio", *INPUTS["audio"], "-o", "out.wav")
    assert (outcome.code, len(outcome.lines)) == (code, 1)
    assert outcome.err.startswith("specstyle: ")
    assert word in outcome.err


@MEDIA
def test_nan_in_the_loss(medium: str, cli: Callable[..., Outcome]) -> None:
    """The last good result is written, and its record says which it is."""
    outcome = cli(*RUN[medium], "--optimizer", "sgd", "--lr", "1e30", "--no-clip", "--steps", "5")
    assert outcome.code == 1
    told = re.match(
        rf"specstyle: the loss became NaN or infinite at step (\d).*{OUT[medium]}", outcome.lines[-1]
    )
    assert told
    assert record_of(medium)["steps"] == int(told[1]) - 1
    assert new_files() == {OUT[medium], f"{OUT[medium]}.json"}
    if medium == "audio":
        assert np.isfinite(soundfile.read("out.wav")[0]).all()


def test_output_into_a_closed_pipe() -> None:
    """`specstyle recipes | true` is no reason for a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        argv = [*command(), "recipes", "gatys2016"]
        done = subprocess.run(argv, stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.stderr == b""


# -- Ctrl-C --------------------------------------------------------------------------------------------------


@MEDIA
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_ctrl_c_keeps_the_best_so_far(
    medium: str, quiet: list[str], cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(3, monkeypatch)
    before = signal.getsignal(signal.SIGINT)
    outcome = cli(*RUN[medium], "--steps", "50", "--save-every", "2", *quiet)
    assert signal.getsignal(signal.SIGINT) is before
    assert outcome.code == 130
    assert outcome.lines[-1].startswith("specstyle: stopped by Ctrl-C at step 3")
    assert OUT[medium] in outcome.lines[-1]
    if quiet:
        assert (outcome.out, len(outcome.lines)) == ("", 1)
    record = record_of(medium)
    assert (record["stopped"], record["steps"]) == (True, 3)
    assert Path(OUT[medium]).exists()


def test_ctrl_c_before_the_first_step_ends_at_once() -> None:
    with ProgressLine(quiet=True), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_the_result_is_finished(
    cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Session.result

    def pressed(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return true(*arguments)

    monkeypatch.setattr(Session, "result", pressed)
    outcome = cli(*RUN["audio"])
    assert outcome.code == 0
    assert "the result is nearly finished (Ctrl-C again: at once, without a result)" in outcome.err
    assert "stopping" not in outcome.err
    assert Path("out.wav").exists()


def test_two_times_ctrl_c_writes_nothing(
    cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(1, monkeypatch, times=2)
    outcome = cli(*RUN["audio"])
    assert outcome.code == 130
    assert outcome.lines[-1] == "specstyle: interrupted at once, without waiting for a result"
    assert new_files() == set()


# -- on a terminal -------------------------------------------------------------------------------------------


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    argv = [*command(), *RUN["image"], "--steps", "8"]
    with subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=its_end, env=environment(tmp_path)
    ) as process:
        os.close(its_end)
        shown = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ready, _, _ = select.select([terminal], [], [], 0.5)
            if ready:
                try:
                    block = os.read(terminal, 65536)
                except OSError:  # Linux: the other end is closed
                    break
                if not block:
                    break
                shown += block
            elif process.poll() is not None:
                break
    os.close(terminal)
    text = shown.decode()
    assert process.returncode == 0, text
    assert "\r" in text.replace("\r\n", "\n")
    assert re.search(r"8/8 \[", text)
    assert "total" in text
    assert "style" in text
    assert "step 1/8:" not in text  # the plain lines are for files
