"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from specstyle.errors import FileError
from specstyle.files import atomic, check_output, make_folder, write_json


def test_a_file_appears_at_the_end_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    with atomic(path) as temporary:
        assert temporary.parent == tmp_path  # the same file system, so that renaming is atomic
        assert temporary.suffix == ".wav"
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.wav"]  # noqa: PTH208


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b")
    assert not make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"file/b: cannot be made a folder: Not a directory; name another$"):
        make_folder(tmp_path / "file" / "b")


def test_a_folder_that_may_not_even_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(FileError, match=r"b: cannot be made a folder: Permission denied; name another$"):
        make_folder(tmp_path / "b")


def write_and_fail(path: Path, error: BaseException) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("existing", [None, b"old"])
def test_a_failure_in_the_middle_leaves_what_was(
    error: BaseException, existing: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "out.wav"
    if existing is not None:
        path.write_bytes(existing)
    with pytest.raises(type(error)):
        write_and_fail(path, error)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([existing] if existing else [])


def test_an_error_of_the_system_names_the_output(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    with pytest.raises(FileError, match=r"out\.wav.*No space left") as caught:
        write_and_fail(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.part.wav"))
    assert ".part" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_rename_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(FileError, match="Permission denied"), atomic(tmp_path / "out.wav") as temporary:
        temporary.write_bytes(b"whole")
    assert list(tmp_path.iterdir()) == []


def test_checking_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_output(Path("out.wav"), force=False)
    check_output(tmp_path / "out.wav", force=False)
    with atomic(tmp_path / "out.wav"):
        pass  # nothing written is nothing
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out.wav").write_bytes(b"old")
    check_output(tmp_path / "out.wav", force=True)
    assert (tmp_path / "out.wav").read_bytes() == b"old"
    with pytest.raises(FileError, match="--force"):
        check_output(tmp_path / "out.wav", force=False)


def test_a_folder_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refused)
    with pytest.raises(FileError, match=r"out\.wav.*Permission denied"):
        check_output(tmp_path / "out.wav", force=False)


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "out.wav.json"
    write_json(path, {"loss": 0.1, "path": "Ümlaut"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"loss": 0.1, "path": "Ümlaut"}
    before = path.read_bytes()
    for bad in ({"loss": float("nan")}, {"path": tmp_path}):
        with pytest.raises((ValueError, TypeError)):
            write_json(path, bad)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.wav.json"]
