"""A folder of results becomes a table, by records or by what is given."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import Outcome

import specstyle
from specstyle.errors import FileError
from specstyle.evaluate import Judge, Scores, score_folder, write_csv
from specstyle.files import sha256_of
from specstyle.media.soundfiles import read_sound
from specstyle.media.sounds import Part

pytestmark = pytest.mark.usefixtures("one_thread")


def write(path: Path, seed: int, seconds: float = 1.0) -> Path:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).normal(size=round(8000 * seconds))
    soundfile.write(path, 0.1 * np.cumsum(noise) / np.abs(np.cumsum(noise)).max() + 0.02 * noise, 8000)
    return path


def record(output: Path, content: Path, style: Path, **recipe: object) -> None:
    said = [{"path": str(path), "sha256": sha256_of(path)} for path in (content, style)]
    text = json.dumps({"recipe": recipe, "content": said[0], "styles": said[1:]})
    output.with_name(output.name + ".json").write_text(text)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return a folder with two results, above which lie their content and style."""
    content, style = write(tmp_path / "c.wav", 1, 2.0), write(tmp_path / "s.wav", 2, 2.0)
    for seed, name in ((3, "b.wav"), (4, "a.flac")):
        record(write(tmp_path / "out" / name, seed), content, style)
    return tmp_path / "out"


def test_given_inputs_and_records_give_the_same_rows(made: Path, recwarn: pytest.WarningsRecorder) -> None:
    by_record = score_folder(made)
    by_paths = score_folder(str(made), content=made.parent / "c.wav", style=str(made.parent / "s.wav"))
    content, style = (read_sound(made.parent / name) for name in ("c.wav", "s.wav"))
    by_sounds = score_folder(made, content=content, style=style)
    expected = [
        {"file": name, **asdict(Judge(content, style).score(read_sound(made / name)))}
        for name in ("a.flac", "b.wav")
    ]
    assert by_record == by_paths == by_sounds == expected
    assert not list(recwarn)


def test_a_folder_that_was_moved_with_its_inputs_is_scored(made: Path, tmp_path: Path) -> None:
    before = score_folder(made, on_skip=pytest.fail)
    for name in ("c.wav", "s.wav"):
        shutil.move(tmp_path / name, made / name)
    told: list[str] = []
    assert score_folder(shutil.move(made, tmp_path / "moved"), on_skip=told.append) == before
    assert [line.split(" is")[0] for line in told] == ["c.wav", "s.wav"]  # they have no record


def test_the_range_that_a_run_heard_is_judged(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    content, style = write(tmp_path / "c.wav", 1, 2.0), write(tmp_path / "s.wav", 2, 2.0)
    options = ["--content-start", "0.5", "--content-duration", "1", "--style-start", "0.25", "--steps", "2"]
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "o.wav"
    assert cli("audio", content, style, "-o", output, "--quiet", *options).code == 0
    (row,) = score_folder(output.parent)
    judge = Judge(read_sound(content, Part(0.5, 1.0)), read_sound(style, Part(0.25)))
    assert row == {"file": "o.wav", **asdict(judge.score(read_sound(output)))}


def test_what_cannot_be_scored_is_told_in_a_line_and_the_rest_is_scored(made: Path) -> None:
    write(made / "alone.wav", 5)
    (made / "broken.wav").write_bytes(b"RIFF")
    record(made / "broken.wav", made.parent / "c.wav", made.parent / "s.wav")
    (made / "damaged.wav.json").write_text('{"recipe": {}}')
    write(made / "damaged.wav", 6)
    changed = write(made.parent / "changed.wav", 7)
    record(write(made / "other.wav", 8), changed, made.parent / "s.wav")
    write(changed, 9)
    told: list[str] = []
    rows = score_folder(made, on_skip=told.append)
    assert [row["file"] for row in rows] == ["a.flac", "b.wav"]
    for line, name, why in zip(
        told,
        ("alone", "broken", "damaged", "other"),
        ("no alone.wav.json", "broken.wav", "no record of a run", "changed"),
        strict=True,
    ):
        assert line.startswith(f"{name}.wav is not scored: ")
        assert why in line
        assert "\n" not in line
    with pytest.warns(UserWarning, match="is not scored"):
        score_folder(made)


def test_given_files_are_not_results(made: Path) -> None:
    rows = score_folder(made, content=made / "a.flac", style=made.parent / "s.wav", on_skip=pytest.fail)
    assert [row["file"] for row in rows] == ["b.wav"]


def test_a_folder_without_results_is_one_line(tmp_path: Path) -> None:
    for folder, message in ((tmp_path, "no sound that can be scored"), (tmp_path / "no", "cannot be read")):
        with pytest.raises(FileError, match=message) as caught:
            score_folder(folder)
        assert "\n" not in str(caught.value)


def test_a_table_holds_the_rows(made: Path, tmp_path: Path) -> None:
    rows = specstyle.evaluate.score_folder(made)
    rows[0]["loudness_lufs"] = None
    write_csv(rows, tmp_path / "t.csv")
    write_csv(rows, str(tmp_path / "t.csv"))
    with (tmp_path / "t.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["file", *Scores.__dataclass_fields__]
    assert [float(row["copy"]) for row in read] == [row["copy"] for row in rows]
    assert read[0]["loudness_lufs"] == ""
    with pytest.raises(ValueError, match="no rows"):
        write_csv([], tmp_path / "t.csv")


def test_the_command_writes_a_table(made: Path, cli: Callable[..., Outcome]) -> None:
    table = made.parent / "scores.csv"
    write(made / "alone.wav", 5)
    code, _, told = cli("evaluate", made, "-o", table)
    assert code == 0
    assert told.startswith("alone.wav is not scored")
    assert told.count("\n") == 1
    assert len(table.read_text().splitlines()) == 3
    code, _, told = cli("evaluate", made, "-o", table)
    assert (code, told.count("\n"), "--force" in told) == (1, 1, True)
    given = ("--content", made.parent / "c.wav", "--style", made.parent / "s.wav")
    outcome = cli("evaluate", made, "-o", table, "--force", *given)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(table.read_text().splitlines()) == 4
    for wrong in (
        (made,),
        (made, "-o", table, "--json"),
        (made / "b.wav",),
        (made / "b.wav", *given, "-o", table),
    ):
        code, _, told = cli("evaluate", *wrong)
        assert (code, told.count("\n")) == (2, 1)
    (made.parent / "empty").mkdir()
    code, _, told = cli("evaluate", made.parent / "empty", "-o", made.parent / "none.csv")
    assert (code, told.count("\n")) == (1, 1)
    assert not (made.parent / "none.csv").exists()


def test_the_command_says_that_the_style_is_the_style_and_silence_is_nothing(
    tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    content, style = write(tmp_path / "c.wav", 1), write(tmp_path / "s.wav", 2)
    given = ("--content", content, "--style", style)
    code, table, _ = cli("evaluate", style, *given)
    assert code == 0
    assert "equalized" in table
    assert "halves" in table
    report = json.loads(cli("evaluate", style, *given, "--json").out)
    assert report["output"]["snr_mean"] == report["style"]["snr_mean"] > report["content"]["snr_mean"]
    assert report["output"]["copy"] == pytest.approx(1.0, abs=1e-3)
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 8000)
    code, _, error = cli("evaluate", tmp_path / "silence.wav", *given)
    assert (code, error.count("\n"), "silence.wav" in error) == (1, 1, True)
