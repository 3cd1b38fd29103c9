"""Half a second of damaged files of each kind; ``make fuzz`` takes a minute of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import fuzz


def test_damaged_files_have_a_clear_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SLOW_S", 20.0)  # other tests run at the same time
    for kind, (read, files) in fuzz.readers().items():
        said = fuzz.fuzz(read, files, 0.5, 0, tmp_path)
        assert re.match("[1-9].* 0 without a clear answer", said), f"{kind}: {said}"
    assert not any(tmp_path.iterdir())


def test_an_answer_that_is_none_is_counted_and_its_file_kept(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        raise KeyError(path.name)

    said = fuzz.fuzz(read, [("a", b"abc")], 0.05, 0, tmp_path)
    kept = len(list(tmp_path.iterdir()))
    assert kept > 0
    assert said.startswith(f"{kept} files, 0 read, {kept} without")
