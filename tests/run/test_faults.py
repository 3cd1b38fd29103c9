"""What the file system, the shell and another run may do to a run: nothing is lost without a word."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from commands import Outcome, command, environment
from PIL import Image

from specstyle.errors import OutputExistsError
from specstyle.files import atomic, check_output, temporary_name

pytestmark = pytest.mark.usefixtures("workplace")

RUN = {
    "audio": ["audio", "c.wav", "s.wav", "-o", "out.wav", "--steps", "2"],
    "image": ["image", "c.png", "s.png", "-o", "out.png", "--steps", "2"],
}
MEDIA = pytest.mark.parametrize("medium", RUN)


@pytest.mark.parametrize("place", ["itself", "link", "hard link"])
@pytest.mark.parametrize(
    "role", ["content", "style", "start", "content mask", "style mask", "weights", "OUT.json"]
)
def test_an_output_that_is_an_input(
    role: str, place: str, cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "m.png").write_bytes((tmp_path / "c.png").read_bytes())
    (tmp_path / "style.png").write_bytes((tmp_path / "s.png").read_bytes())
    name = {"content": "c.png", "style": "s.png", "OUT.json": "style.png"}.get(role, "m.png")
    output = name
    if place == "link":
        output = "link.png"
        (tmp_path / output).symlink_to(name)
    elif place == "hard link":
        output = "hard.png"
        os.link(tmp_path / name, tmp_path / output)
    if role == "OUT.json":  # OUT.json would replace it
        output = "r.png"
        (tmp_path / "r.png.json").symlink_to(name)
    option = {"start": "--init", "content mask": "--content-mask", "style mask": "--style-mask",
              "weights": "--weights"}.get(role)  # fmt: skip
    extra = [option, name] if option else []
    style = "style.png" if role == "OUT.json" else "s.png"
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    outcome = cli("image", "c.png", style, "-o", output, "--force", "--steps", "2", *extra)
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    assert "an input of the run; name another output" in outcome.err
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


@MEDIA
def test_an_output_that_appears_meanwhile_stays(
    medium: str, cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    from specstyle.run import job as job_module

    output = Path(RUN[medium][4])
    true = job_module.transfer

    def other_run(*arguments: object, **options: object) -> object:
        result = true(*arguments, **options)
        output.write_bytes(b"another's")
        output.with_stem(output.stem + "-2").write_bytes(b"a third one's")
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_module, "transfer", other_run)
        outcome = cli(*RUN[medium])
    kept = output.with_stem(output.stem + "-3")
    assert outcome.code == 0
    assert f"{output} appeared while this ran; the result is {kept}" in outcome.err
    assert output.read_bytes() == b"another's"
    assert not output.with_name(output.name + ".json").exists()
    record = json.loads(kept.with_name(kept.name + ".json").read_text())
    assert record["output"] == str(kept)
    assert any("appeared" in note for note in record["notes"])
    assert f"wrote {kept}" in outcome.out


@MEDIA
def test_the_result_is_there_before_its_record(
    medium: str, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in between must not leave an old output beside a new record, nor the other way round."""
    output = Path(RUN[medium][4])
    assert cli(*RUN[medium]).code == 0
    old, true, seen = output.read_bytes(), Path.replace, []

    def killed(path: Path, target: Path) -> None:
        record = output.with_name(output.name + ".json")
        seen.append((Path(target).name, output.read_bytes() == old, record.exists()))
        true(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    assert cli(*RUN[medium], "--force", "--seed", "5", "--init", "noise").code == 0
    assert seen[-2:] == [(output.name, True, False), (output.name + ".json", False, False)]


@MEDIA
def test_a_result_that_cannot_be_written_is_brought_to_safety(
    medium: str, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    output, safe = RUN[medium][4], tmp_path / "safe"
    safe.mkdir()
    monkeypatch.setenv("TMPDIR", str(safe))
    monkeypatch.setattr("tempfile.tempdir", None)
    true = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.parent.resolve() == tmp_path.resolve():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return true(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    outcome = cli(*RUN[medium])
    assert outcome.code == 1
    told = outcome.lines[-1]
    assert told.startswith(f"specstyle: {output}")
    assert "No space left on device" in told
    kept = Path(told.rpartition("the result is in ")[2])
    assert kept.parent.parent == safe
    if medium == "audio":
        assert soundfile.info(kept).frames == 4001
    else:
        with Image.open(kept) as image:
            assert image.size == (40, 32)
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_real_signal_ends_a_run_with_its_best(number: signal.Signals, tmp_path: Path) -> None:
    argv = [*command(), *RUN["audio"][:5], "--steps", "1000000", "--run-dir", "run"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(tmp_path)
    ) as process:
        try:
            assert process.stderr is not None
            assert any(line.startswith("step 1/") for line in process.stderr)
            process.send_signal(number)
            _, rest = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 128 + number, rest
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert f"stopped by {name} at step" in rest.splitlines()[-1]
    assert "Traceback" not in rest
    assert soundfile.info("out.wav").frames == 4001
    assert (tmp_path / "run/checkpoint.pt").exists()
    assert json.loads((tmp_path / "run/status.json").read_text())["status"] == "stopped"


def test_litter_of_a_killed_run_is_swept(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    path = tmp_path / "out.wav"
    for pid, age in ((process.pid, 60), (os.getppid(), 60), (process.pid, 0)):
        part = temporary_name(path if age else tmp_path / "other.wav", pid)
        part.write_bytes(b"half")
        os.utime(part, (part.stat().st_mtime - age,) * 2)
    unlike = tmp_path / ".out.12x.part.wav"
    unlike.write_bytes(b"")
    check_output(path, force=False)
    left = {p.name for p in tmp_path.glob(".*.part.wav")}
    assert left == {temporary_name(path, os.getppid()).name, f".other.{process.pid}.part.wav", unlike.name}


def test_atomic_replaces_nothing_where_it_shall_be_new(tmp_path: Path) -> None:
    with atomic(tmp_path / "a", new=True) as temporary:
        temporary.write_bytes(b"first")
    with (
        pytest.raises(OutputExistsError, match="exists by now"),
        atomic(tmp_path / "a", new=True) as temporary,
    ):
        temporary.write_bytes(b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_a_library_swallows(
    name: str, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch, when it is imported, clears what is raised as it imports NumPy; NumPy then fails to load."""

    def swallowed(*_: object, **__: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(getattr(signal, name))
        raise ImportError("cannot load module more than once per process")

    monkeypatch.setattr("specstyle.run.job.run_job", swallowed)
    outcome = cli(*RUN["image"])
    assert outcome.code == 128 + getattr(signal, name)
    assert outcome.lines == ["specstyle: interrupted at once, without waiting for a result"]
    monkeypatch.undo()
    assert cli("image", "nothing.png", "s.png", "-o", "out.png").code == 1


EARLY = """
import runpy, signal, sys
class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == "specstyle.cli.main":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Presses())
signal.signal(signal.SIGINT, getattr(signal, sys.argv.pop()))
runpy.run_module("specstyle", run_name="__main__")
"""


@pytest.mark.skipif(os.name == "nt", reason="a process is not ended by a signal there")
@pytest.mark.parametrize(("before", "code"), [("default_int_handler", -signal.SIGINT), ("SIG_IGN", 0)])
def test_ctrl_c_while_python_imports_the_program(before: str, code: int, tmp_path: Path) -> None:
    words = [sys.executable, "-c", EARLY, "--version", before]
    done = subprocess.run(words, capture_output=True, env=environment(tmp_path), check=False)
    assert (done.returncode, done.stderr) == (code, b"")
