"""Lists of jobs: what is read, what is refused, and where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from specstyle.batch.jobs import Task
from specstyle.batch.lists import read_csv, read_folder
from specstyle.errors import ListError
from specstyle.recipes import to_toml
from specstyle.recipes.recipe import Recipe


@pytest.fixture(autouse=True)
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")  # paths in a list start from its folder


def read(folder: Path, text: str | bytes, **common: Any) -> list[Task]:
    path = folder / "jobs.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_csv(path, common)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_dialects(encoding: str, separator: str, end: str, tmp_path: Path) -> None:
    rows = [["content", "style", "output", "style-layers", "seed"],
            ["c.wav", "s.wav", "größe.wav", "", "7"], [""],
            ["c.png", '"s.png;c.png"', "o/b.png", '"relu1_1,relu2_1"', ""]]  # fmt: skip
    text = end.join(separator.join(row) for row in rows) + end
    sound, picture = read(tmp_path, text.encode(encoding))
    assert (sound.number, sound.name, sound.job.output) == (1, "größe.wav", tmp_path / "größe.wav")
    request = sound.job.request
    assert (request.medium, request.seed, request.overrides) == ("audio", 7, {})
    assert (request.content, request.styles) == (tmp_path / "c.wav", (tmp_path / "s.wav",))
    assert picture.number == 2  # jobs are counted: neither column names nor blank lines are
    assert picture.job.request.styles == (tmp_path / "s.png", tmp_path / "c.png")
    assert picture.job.request.overrides == {"style_layers": ("relu1_1", "relu2_1")}
    assert picture.job.output == tmp_path / "o" / "b.png"


def test_the_command_lines_options_hold_unless_a_row_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(to_toml(Recipe(network="vgg19-random", tv_weight=3.0)))
    given = {"steps": 9, "size": 33, "n_fft": 256}
    text = ("content,style,output,steps,recipe,seed,device\nc.wav,s.wav,a.wav,,,,\n"
            "c.png,s.png,b.png,4,own.toml,5,cpu\n")  # fmt: skip
    sound, picture = read(tmp_path, text, overrides=given, seed=2)
    assert sound.recipe is not None
    assert picture.recipe is not None
    assert (sound.recipe.steps, sound.recipe.n_fft, sound.job.request.seed) == (9, 256, 2)
    assert (picture.recipe.steps, picture.recipe.size, picture.recipe.tv_weight) == (4, 33, 3.0)
    assert picture.job.request.seed == 5
    # Options for the other medium do not come along.
    assert sound.job.request.overrides == {"steps": 9, "n_fft": 256}
    assert (sound.pinned, picture.pinned) == (False, True)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("blank", ["\n\n", "  \n", "{0}{0}\n", "\n{0} {0}\r\n"])
def test_blank_lines_and_capitals_in_the_names_of_columns(blank: str, separator: str, tmp_path: Path) -> None:
    rows = [["Content", "STYLE", "output", "Style-Layers"], ["c.png", "s.png", "a.png", "relu1_1"]]
    text = blank.format(separator) + "\n".join(separator.join(row) for row in rows)
    (task,) = read(tmp_path, text)
    assert task.name == "a.png"
    assert task.job.request.overrides == {"style_layers": ("relu1_1",)}
    line = blank.count("\n") + 2
    with pytest.raises(ListError, match=f"line {line}: .*no.png does not exist"):
        read(tmp_path, text.replace("s.png", "no.png"))
    with pytest.raises(ListError, match=f"line {line - 1}: column 'stile' is unknown"):
        read(tmp_path, text.replace("STYLE", "stile"))


def test_a_named_medium(tmp_path: Path) -> None:
    (tmp_path / "c.bin").write_bytes((tmp_path / "c.wav").read_bytes())
    text = "medium,content,style,output\nsound,c.bin,s.wav,a.wav\naudio,c.bin,s.wav,b.wav\n"
    assert [task.job.request.medium for task in read(tmp_path, text)] == ["audio", "audio"]


HEAD = "content,style,output,steps,seed,init,size\n"
GOOD = "c.wav,s.wav,ok.wav,,,,\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("content,style,output,stesp\n" + GOOD, "line 1: column 'stesp' is unknown"),
        ("content,style,output,seed,seed\n", "line 1: column seed is there twice"),
        ("content,output,steps\n", "line 1: column style is missing"),
        (HEAD, "has no jobs"),
        ("", "has no jobs"),
        (HEAD + GOOD + "c.wav,,x.wav,,,,\n", "line 3: style is empty"),
        (HEAD + GOOD + "\nno.wav,s.wav,x.wav,,,,\n", "line 4: .*no.wav does not exist"),
        (HEAD + GOOD + "c.wav,s.wav;no.wav,x.wav,,,,\n", "line 3: .*no.wav does not exist"),
        (HEAD + "c.wav,elsewhere,x.wav,,,,\n", "line 2: .*elsewhere is no file"),
        (HEAD + GOOD + "c.png,s.png,ok.png,many,,,\n", "line 3: steps: expected a whole number, got 'many'"),
        (HEAD + GOOD + "c.png,s.png,ok.png,-1,,,\n", "line 3: steps must be"),
        (HEAD + "c.wav,s.wav,x.wav,,1.5,,\n", "line 2: seed: expected a whole number, got '1.5'"),
        (HEAD + "c.wav,s.wav,x.wav,,-1,,\n", "line 2: seed must be"),
        (HEAD + "c.wav,s.wav,x.wav,,,,9\n", "line 2: size is for pictures, and this job is a sound"),
        (HEAD + "c.wav,s.wav,x.wav,,,no.wav,\n", "line 2: .*no.wav does not exist"),
        (HEAD + "c.wav,s.wav,x.m4a,,,,\n", "line 2: .*x.m4a"),
        (HEAD + GOOD + "c.wav,s.wav,./ok.wav,,,,\n", "line 3: the output ./ok.wav is that of .*line 2 too"),
        (HEAD + GOOD + "c.wav,s.wav,s.wav,,,,\n", "line 3: the output s.wav is an input of .*line 2"),
        (HEAD + "c.wav,s.wav,c.png/x.wav,,,,\n", "line 2: .*c.png is in its way"),
        (HEAD + "c,s.wav,x.wav,,,,\n", "line 2: c does not say whether it is a sound or a picture"),
        (HEAD + "c.wav,s.wav,x.wav,,,,,8\n", "line 2: has 8 cells for 7 columns"),
        (HEAD + 'c.wav,"s.wav,x.wav,,,,\n', "is not CSV"),
        ("content,style,output,network\nc.png,s.png,x.png,resnet\n", "line 2: there is no network 'resnet'"),
        ("content,style,output,recipe\nc.png,s.png,x.png,gates\n", "line 2: .*gates"),
        ("content,style,output,device\nc.png,s.png,x.png,tpu\n", "line 2: device must be"),
        ("content,style,output,enlarge\nc.png,s.png,x.png,maybe\n", "enlarge: expected true or false"),
        ("content,style,output,style_blend\nc.png,s.png,x.png,\"1,2\"\n", "line 2: style_blend has 2"),
        ("content,style,output,weights\nc.png,s.png,x.png,no.pth\n", "line 2: .*no.pth does not exist"),
        ("medium,content,style,output\nsmell,c.png,s.png,x.png\n", "line 2: medium must be audio or image"),
        ("content,style,output,preprocessing\nc.png,s.png,x.png,x\n", "line 2: preprocessing must be"),
        (b"content,style,output\nc\xff.wav,s.wav,x.wav\n", "it is not UTF-8"),
        (HEAD + "no.wav,s.wav,a.wav,,,,\nno.wav,s.wav,b.wav,,,,\n", r"line 2: .*\(and 1 more like this\)"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ListError, match=words) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "jobs.csv"))
    assert "\n" not in str(caught.value)


def test_what_only_other_machines_know_is_left_to_them(tmp_path: Path) -> None:
    text = "content,style,output,device\nc.png,s.png,a.png,\nc.png,s.png,b.png,{}\n"
    other, own = read(tmp_path, text.format("auto"), precision="tf32")
    assert (other.job.request.device, own.job.request.device, own.pinned) == ("auto", "auto", True)
    with pytest.raises(ListError, match="line 3: precision tf32 needs an NVIDIA GPU"):
        read(tmp_path, text.format("cpu"), precision="tf32")


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="cannot read the list"):
        read_csv(tmp_path / "no.csv", {})


def test_a_folder(tmp_path: Path) -> None:
    for name, files in {"contents": ("c.wav", "c.png"), "styles": ("s.wav", "s.png")}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_bytes((tmp_path / file).read_bytes())
    (tmp_path / "contents" / "d.mp3").write_bytes(b"told when it is read")
    (tmp_path / "contents" / ".hidden.wav").touch()
    (tmp_path / "styles" / "notes.txt").touch()
    tasks, ignored = read_folder(tmp_path, tmp_path / "out", {"overrides": {"size": 20, "steps": 2}})
    assert [task.name for task in tasks] == ["c__s.png", "c__s.wav", "d__s.wav"]
    assert [task.number for task in tasks] == [1, 2, 3]
    assert tasks[0].job.output == tmp_path / "out" / "c__s.png"
    assert tasks[0].job.request.overrides == {"size": 20, "steps": 2}
    assert tasks[1].job.request.overrides == {"steps": 2}
    assert len(ignored) == 1
    assert "notes.txt" in ignored[0]
    (tmp_path / "contents" / "c.mp3").touch()
    with pytest.raises(ListError, match=r"c\.wav with s\.wav: the output c__s\.wav is that of .*c\.mp3"):
        read_folder(tmp_path, tmp_path / "out", {})


def test_a_folder_without_jobs(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="contents: cannot be listed"):
        read_folder(tmp_path, tmp_path, {})
    for name in ("contents", "styles"):
        (tmp_path / name).mkdir()
    with pytest.raises(ListError, match="no file in contents has a style"):
        read_folder(tmp_path, tmp_path, {})
