"""From files to files: the output, its record, intermediate results and figures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from commands import go, ignore
from PIL import Image

from specstyle import Progress, Request, StopRun
from specstyle.errors import FileError
from specstyle.media.imagefiles import read_picture
from specstyle.media.soundfiles import read_sound
from specstyle.run.job import run_job
from specstyle.run.request import Job

RATE = 8000
LAYERS = {"style_layers": ("relu1_1",), "content_layers": ("relu1_1",)}
FAST: dict[str, dict[str, Any]] = {
    "audio": {"network": "wide-random", "n_filters": 32, "steps": 3, "phase_iterations": 2},
    "image": {"network": "vgg19-random", "steps": 3, **LAYERS},
}
INPUTS = {"audio": ("c.wav", "s.wav"), "image": ("c.png", "s.png")}
OUT = {"audio": "out.wav", "image": "out.png"}
MEDIA = pytest.mark.parametrize("medium", ["audio", "image"])

pytestmark = pytest.mark.usefixtures("workplace")


def job(folder: Path, medium: str, output: str = "", **options: Any) -> Job:
    overrides = {**FAST[medium], **options.pop("overrides", {})}
    content, *styles = (folder / name for name in options.pop("inputs", INPUTS[medium]))
    request = Request(medium, content, tuple(styles), overrides=overrides, seed=3)
    return Job(request, folder / (output or OUT[medium]), **options)


def new_files(folder: Path) -> set[str]:
    made = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    return made - {"c.wav", "s.wav", "c.png", "s.png"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@MEDIA
def test_output_and_record(medium: str, tmp_path: Path) -> None:
    stages: list[str] = []
    result, written = run_job(job(tmp_path, medium), on_step=ignore, on_note=ignore, on_stage=stages.append)
    assert stages == ["optimize", "finish"]
    out = tmp_path / OUT[medium]
    assert written == [out, tmp_path / f"{OUT[medium]}.json"]
    assert new_files(tmp_path) == {p.name for p in written}
    if medium == "audio":
        sound = read_sound(out)
        assert (sound.sample_rate, sound.subtype, tuple(sound.samples.shape)) == (RATE, "PCM_16", (1, 4001))
        assert float((sound.samples - result.output.samples).abs().max()) <= 0.51 * 2**-15
    else:
        assert float((read_picture(out).pixels - result.output.pixels).abs().max()) <= 0.51 / 255


@MEDIA
def test_record_names_the_inputs_by_their_hashes(medium: str, tmp_path: Path) -> None:
    content, style = INPUTS[medium]
    result, _ = go(job(tmp_path, medium, inputs=(content, style, content)))
    record = json.loads((tmp_path / f"{OUT[medium]}.json").read_text(encoding="utf-8"))
    assert record["content"]["path"] == str(tmp_path / content)
    assert record["content"]["sha256"] == sha256(tmp_path / content)
    assert [s["sha256"] for s in record["styles"]] == [sha256(tmp_path / n) for n in (style, content)]
    assert record["output"] == str(tmp_path / OUT[medium])
    assert record["seed"] == 3
    for key in ("specstyle", "recipe", "network", "device", "losses", "steps", "stopped", "seconds", "notes"):
        assert record[key] == json.loads(json.dumps(result.record[key]))
    assert ("spectral_convergence_db" in record) == (medium == "audio")
    for key, value in result.record["content"].items():
        assert record["content"][key] == value


@pytest.mark.parametrize(("suffix", "kind"), [
    ("wav", "WAV"), ("WAV", "WAV"), ("flac", "FLAC"), ("ogg", "OGG"),
    ("png", "PNG"), ("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("tif", "TIFF"), ("tiff", "TIFF"),
    ("PNG", "PNG"),
])  # fmt: skip
def test_the_suffix_names_the_format(suffix: str, kind: str, tmp_path: Path) -> None:
    medium = "audio" if kind in ("WAV", "FLAC", "OGG") else "image"
    go(job(tmp_path, medium, f"out.{suffix}", overrides={"steps": 1}))
    path = tmp_path / f"out.{suffix}"
    if medium == "audio":
        info = soundfile.info(path)
        assert (info.format, info.samplerate, info.frames, info.channels) == (kind, RATE, 4001, 1)
    else:
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == (kind, (40, 32))
    assert new_files(tmp_path) == {f"out.{suffix}", f"out.{suffix}.json"}


def test_alpha_and_what_cannot_keep_it(tmp_path: Path) -> None:
    with Image.open(tmp_path / "c.png") as opaque:
        opaque.putalpha(Image.fromarray(np.tile(np.arange(0, 240, 6, dtype=np.uint8), (32, 1))))
        opaque.save(tmp_path / "s.png")
    go(job(tmp_path, "image", inputs=("s.png", "c.png")))
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.mode == "RGBA"
        assert np.asarray(picture)[0, :, 3].tolist() == list(range(0, 240, 6))
    told: list[str] = []
    without = job(tmp_path, "image", "out.jpg", inputs=("s.png", "c.png"))
    run_job(without, on_step=ignore, on_note=told.append, on_stage=ignore)
    record = json.loads((tmp_path / "out.jpg.json").read_text(encoding="utf-8"))
    for notes in (told, record["notes"]):
        assert any("alpha was dropped" in note for note in notes)


@MEDIA
def test_intermediate_results_and_a_sheet(medium: str, tmp_path: Path) -> None:
    _, written = go(job(tmp_path, medium, save_every=2, overrides={"steps": 5}))
    suffix = "wav" if medium == "audio" else "png"
    steps = {f"out.steps/step-{n:05d}.{suffix}" for n in (2, 4)}
    assert new_files(tmp_path) == {OUT[medium], f"{OUT[medium]}.json", "out.steps/sheet.png", *steps}
    assert {str(p.relative_to(tmp_path)) for p in written} == new_files(tmp_path)
    with Image.open(tmp_path / "out.steps" / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    for name in steps:
        (read_sound if medium == "audio" else read_picture)(tmp_path / name)


@MEDIA
def test_intermediate_results_change_nothing(medium: str, tmp_path: Path) -> None:
    go(job(tmp_path, medium))
    other = "b." + OUT[medium].split(".")[1]
    go(job(tmp_path, medium, other, save_every=1, plot=True))
    assert (tmp_path / OUT[medium]).read_bytes() == (tmp_path / other).read_bytes()


@MEDIA
def test_a_steps_folder_from_before_is_no_obstacle(medium: str, tmp_path: Path) -> None:
    _, written = go(job(tmp_path, medium, save_every=100))  # no step was due
    assert len(written) == 2
    assert not (tmp_path / "out.steps").exists()
    go(job(tmp_path, medium, save_every=1, force=True))
    go(job(tmp_path, medium, save_every=100, force=True))
    _, written = go(job(tmp_path, medium, save_every=3, force=True))
    assert all(path.exists() for path in written)


@MEDIA
def test_a_full_steps_folder_is_refused(medium: str, tmp_path: Path) -> None:
    go(job(tmp_path, medium, save_every=1))
    for name in (OUT[medium], OUT[medium] + ".json"):
        (tmp_path / name).unlink()
    with pytest.raises(FileError, match=r"out\.steps: holds files already"):
        go(job(tmp_path, medium, save_every=1))


@MEDIA
def test_negative_save_every(medium: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save_every"):
        go(job(tmp_path, medium, save_every=-1))
    assert new_files(tmp_path) == set()


@MEDIA
@pytest.mark.parametrize("n_styles", [1, 2])
def test_figure(medium: str, n_styles: int, tmp_path: Path) -> None:
    content, style = INPUTS[medium]
    _, written = go(job(tmp_path, medium, inputs=(content, *[style] * n_styles), plot=True))
    assert written[-1] == tmp_path / "out.figure.png"
    with Image.open(written[-1]) as figure:
        assert figure.format == "PNG"
        assert figure.width > 300 * (2 + n_styles)
    assert new_files(tmp_path) == {OUT[medium], f"{OUT[medium]}.json", "out.figure.png"}


@MEDIA
def test_stop_writes_the_best_so_far(medium: str, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 2:
            raise StopRun

    result, written = go(job(tmp_path, medium, save_every=1, plot=True, overrides={"steps": 9}), stop)
    assert result.record["stopped"]
    assert all(path.exists() for path in written)
    record = json.loads((tmp_path / f"{OUT[medium]}.json").read_text(encoding="utf-8"))
    assert (record["stopped"], record["steps"]) == (True, 2)
    assert len(list((tmp_path / "out.steps").glob("step-*"))) == 2


@MEDIA
def test_an_error_in_the_run_writes_nothing(medium: str, tmp_path: Path) -> None:
    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go(job(tmp_path, medium), fail)
    assert new_files(tmp_path) == set()


@MEDIA
def test_a_relative_output(medium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, style = INPUTS[medium]
    request = Request(medium, Path(content), (Path(style),), overrides=FAST[medium])
    go(Job(request, Path("neu ü").with_suffix(Path(OUT[medium]).suffix), plot=True, save_every=3))
    assert len(new_files(tmp_path)) == 5


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "PCM_U8"])
def test_subtype_rate_channels_and_length_are_kept(subtype: str, tmp_path: Path) -> None:
    samples = 0.2 * np.random.default_rng(3).standard_normal((4567, 2))
    soundfile.write(tmp_path / "c.wav", samples, 11025, subtype=subtype)
    go(job(tmp_path, "audio", overrides={"steps": 1}))
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.subtype, info.samplerate, info.channels, info.frames) == (subtype, 11025, 2, 4567)


def never(_: Any) -> None:
    raise AssertionError("a step was made before the refusal")


def test_what_the_format_cannot_hold_is_refused_before_the_first_step(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "c.wav", np.random.default_rng(0).standard_normal((3000, 9)) * 0.1, RATE)
    with pytest.raises(FileError, match="FLAC holds at most 8 channels"):
        go(job(tmp_path, "audio", "out.flac"), never)
    Image.fromarray(np.arange(17_000 * 16 * 3, dtype=np.uint32).astype(np.uint8).reshape(16, -1, 3)).save(
        tmp_path / "c.png"
    )
    with pytest.raises(FileError, match="WEBP holds at most 16383 pixels a side, this picture is 17000 x 16"):
        go(job(tmp_path, "image", "out.webp", overrides={"size": 0}), never)
    assert new_files(tmp_path) == set()


@MEDIA
def test_the_start_file_is_in_the_record(medium: str, tmp_path: Path) -> None:
    start = tmp_path / INPUTS[medium][1]
    result, _ = go(job(tmp_path, medium, overrides={"init": str(start)}))
    assert result.record["init"] == {
        "path": str(start),
        "sha256": hashlib.sha256(start.read_bytes()).hexdigest(),
    }


@MEDIA
def test_a_mistyped_start_is_told_as_such(medium: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"--init contnet \(content, style, noise or a file\)"):
        go(job(tmp_path, medium, overrides={"init": "contnet"}))


def test_a_linked_output_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.wav").write_bytes(b"old")
    (tmp_path / OUT["audio"]).symlink_to(tmp_path / "real.wav")
    go(job(tmp_path, "audio", force=True))
    assert (tmp_path / OUT["audio"]).is_symlink()
    assert soundfile.info(tmp_path / "real.wav").frames == 4001
