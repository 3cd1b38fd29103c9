from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from specstyle.errors import SpecstyleError
from specstyle.features import lite
from specstyle.features.vgg import VGG19
from specstyle.features.weights import CONV_INDEX, LAYERS, Weights
from specstyle.media.imagefiles import Picture, write_picture
from training import __main__ as command
from training.closed_form import choose_channels, fit, make_lesson
from training.export import export
from training.layers import responses, student_maps
from training.pictures import PLAIN, draw_picture
from training.plan import make_plan
from training.pool import CROP, Live, Pool, cut
from training.sounds import draw_spectrogram
from training.tiles import SIDE, Sources, make_tiles
from training.tuning import lesson_loss

WIDTHS = dict(zip(LAYERS, (8, 8, 12, 12, *[16] * 4, *[20] * 4, *[24] * 4), strict=True))


def small_teacher(up_to: str = "relu5_1") -> Weights:
    """VGG19's layers at small widths, with random weights."""
    generator = torch.Generator().manual_seed(1)
    tensors, channels_in = {}, 3
    for name in LAYERS[: LAYERS.index(up_to) + 1]:
        shape = (WIDTHS[name], channels_in, 3, 3)
        weight = torch.randn(shape, generator=generator) * (2.0 / (9 * channels_in)) ** 0.5
        tensors[name] = (weight, 0.1 * torch.randn(WIDTHS[name], generator=generator))
        channels_in = WIDTHS[name]
    return Weights(tensors, "torchvision", "a test", "0" * 64)


def save_teacher(path: Path, up_to: str = "relu5_1") -> Path:
    state = {}
    for name, (weight, bias) in small_teacher(up_to).tensors.items():
        state[f"features.{CONV_INDEX[name]}.weight"] = weight
        state[f"features.{CONV_INDEX[name]}.bias"] = bias
    save_file(state, path)
    return path


def run(teacher: Path, output: Path, *more: str) -> int:
    tiny = (
        "--tiles 12 --fit-tiles 8 --held-out 4 --stylized 2 --steps 40 --batch 4 --log-every 4 --device cpu"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["training", str(teacher), "-o", str(output), *tiny.split(), *more])
        return command.main()


def test_the_command_trains_blocks_1_to_5_and_lowers_its_loss(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path / "teacher.safetensors")
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    output = tmp_path / "student.safetensors"
    assert run(teacher, output, "--any-teacher", "--layers", ",".join(layers), "--seed", "3") == 0
    student = lite.load(output)
    assert student.layers == LAYERS[: LAYERS.index("relu5_1") + 1]
    assert [len(student.tensors[n][1]) for n in ("relu1_1", "relu1_2", "relu3_2", "relu5_1")] == [3, 2, 3, 12]
    said = lite.description(output)
    fitted, *tuned = said["held_out_losses"]
    assert tuned[-1] < 0.95 * fitted
    assert "CC BY 4.0" in said["attribution"]
    assert said["format"] == lite.FORMAT
    maps = VGG19(student, layers)(torch.rand(1, 3, 32, 32))
    assert maps["relu5_1"].shape == (1, 12, 2, 2)


def test_a_deeper_student_is_built_onto_the_first_layers_of_another(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path / "teacher.safetensors", "relu3_1")
    first, second = (tmp_path / f"{name}.safetensors" for name in ("first", "second"))
    assert run(teacher, first, "--any-teacher", "--layers", "relu1_1,relu2_1") == 0
    options = ("--any-teacher", "--layers", "relu1_1,relu2_1,relu3_1", "--onto", str(first))
    assert run(teacher, second, *options, "--base-layer", "relu1_2") == 0
    old, new = (lite.load(path).tensors for path in (first, second))
    assert list(new) == list(LAYERS[: LAYERS.index("relu3_1") + 1])
    for name in new:
        same = name in old and torch.equal(old[name][0], new[name][0])
        assert same == (name in ("relu1_1", "relu1_2")), name
    was, said = lite.description(first), lite.description(second)
    for name in ("relu1_1", "relu1_2"):
        assert (was["channels"][name], was["scales"][name]) == (said["channels"][name], said["scales"][name])
    assert said["onto"]["layers"] == ["relu1_1", "relu1_2"]
    fitted, *tuned = said["held_out_losses"]
    assert tuned[-1] < fitted


def test_the_same_seed_gives_the_same_bytes_also_when_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = save_teacher(tmp_path / "teacher.safetensors", "relu2_1")
    options = ("--any-teacher", "--layers", "relu1_1,relu2_1", "--steps", "12")
    outputs = [tmp_path / f"{name}.safetensors" for name in ("a", "b", "other")]
    monkeypatch.setattr("training.course.SAVE_EVERY", 2)
    assert run(teacher, outputs[0], *options) == 0

    saved = 0

    def stop_after_a_few(
        self: object, name: str, value: object, *, real: object = command.Course._save
    ) -> None:
        nonlocal saved
        real(self, name, value)  # type: ignore[operator]
        saved += name.startswith("tuning-1")
        if saved == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command.Course, "_save", stop_after_a_few)
        assert run(teacher, outputs[1], *options) == 130
    assert not outputs[1].exists()
    assert run(teacher, outputs[1], *options) == 0
    assert run(teacher, outputs[2], *options, "--seed", "1") == 0
    first, second, other = (path.read_bytes() for path in outputs)
    assert first == second != other


def test_a_work_folder_of_other_settings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = save_teacher(tmp_path / "teacher.safetensors", "relu1_1")
    options = ("--any-teacher", "--layers", "relu1_1", "--steps", "2", "--work", str(tmp_path / "work"))
    assert run(teacher, tmp_path / "a.safetensors", *options) == 0
    assert run(teacher, tmp_path / "b.safetensors", *options, "--lr", "0.5") == 1
    assert "holds a training with other settings" in capsys.readouterr().err
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "relu5_1"), "the teacher has no layer relu5_1; it has relu1_1"),
        (("--layers", "relu1_1", "--widths", "relu1_1=9"), "relu1_1 cannot have 9 channels"),
        (("--widths", "relu1_1"), "--widths takes entries like relu1_2=24"),
        (("--layers", "relu1_1", "--pictures", "nowhere"), "nowhere: holds no picture that can be read"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    teacher = save_teacher(tmp_path / "teacher.safetensors", "relu3_3")
    assert run(teacher, tmp_path / "a.safetensors", "--any-teacher", *options) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "a.safetensors").exists()


def test_a_teacher_of_other_widths_needs_the_users_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(save_teacher(tmp_path / "t.safetensors", "relu1_1"), tmp_path / "a.safetensors") == 1
    assert "these are not VGG19's weights" in capsys.readouterr().err


def test_a_folder_of_pictures_is_learned_from(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    red = torch.zeros(3, 60, 200)
    red[0] = 1.0
    write_picture(Picture(red, None, "red"), folder / "red.png")
    (folder / "notes.txt").write_text("no picture")
    tiles = make_tiles(60, Sources(pictures=folder, spectrograms=0.0), seed=0, say=lambda _: None)
    reddish = (tiles[:, 0].float() - tiles[:, 1:].float().amax(1)).mean((1, 2)) > 200
    assert 5 < int(reddish.sum()) < 55
    assert tiles.shape == (60, 3, SIDE, SIDE)
    assert tiles.dtype == torch.uint8


@pytest.mark.parametrize("name", list(PLAIN))
def test_pictures_are_drawn_in_range_by_their_seed(name: str) -> None:
    first, again, other = (PLAIN[name](48, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (3, 48, 48)
    assert first.min() >= 0.0
    assert first.max() <= 1.0
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.std() > 0.0


def test_developed_pictures_and_spectrograms_are_in_range() -> None:
    rng = np.random.default_rng(5)
    for image in [draw_picture(64, rng) for _ in range(20)] + [draw_spectrogram(rng) for _ in range(6)]:
        assert image.shape[0] == 3
        assert image.dtype == np.float32
        assert image.min() >= 0.0
        assert image.max() <= 1.0
    assert np.array_equal(image[0], image[2])  # spectrograms are gray


def test_the_first_channel_is_the_best_of_all_and_the_greedy_choice_beats_most_others() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(7, 4)) * rng.uniform(0.1, 3.0, (7, 1))
    gram = maps @ maps.T

    def left(chosen: tuple[int, ...]) -> float:
        """Energy of the Gram matrix that its chosen columns leave, by least squares."""
        part = gram[:, list(chosen)]
        middle = np.linalg.pinv(gram[np.ix_(chosen, chosen)])
        return float(np.sum((gram - part @ middle @ part.T) ** 2))

    one = choose_channels(torch.from_numpy(gram), 1)
    first = (gram**2).sum(0) / gram.diagonal()
    assert int(one[0]) == int(first.argmax())
    chosen = tuple(choose_channels(torch.from_numpy(gram), 3).tolist())
    every = sorted(left(c) for c in itertools.combinations(range(7), 3))
    assert left(chosen) <= every[len(every) // 10]
    assert left(tuple(choose_channels(torch.from_numpy(gram), 4).tolist())) < 1e-9 * np.sum(gram**2)


def test_the_closed_form_is_least_squares_on_the_students_own_patches() -> None:
    teacher = small_teacher("relu1_2")
    plan = make_plan(WIDTHS, kept=("relu1_2",), widths={"relu1_1": 4})
    pictures = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    lesson = make_lesson(teacher, plan, pictures)
    tensors = fit(lesson, plan, pictures, say=lambda _: None)
    first = student_maps(tensors, pictures, ("relu1_1",))["relu1_1"]
    patches = F.unfold(F.pad(first, (1, 1, 1, 1), mode="replicate"), 3)
    wanted = lesson.responses(pictures, ("relu1_2",))["relu1_2"].flatten(2)
    weight = wanted.square().mean((1, 2)).rsqrt()[:, None, None]
    ones = torch.ones_like(patches[:, :1])
    rows = (torch.cat([patches, ones], 1) * weight).movedim(1, 2).flatten(0, 1).double().numpy()
    targets = (wanted * weight).movedim(1, 2).flatten(0, 1).double().numpy()
    best = np.linalg.lstsq(rows, targets, rcond=None)[0]
    w, b = tensors["relu1_2"]
    found = np.concatenate([w.flatten(1).T.numpy(), b[None].numpy()])
    error = lambda solution: np.sum((rows @ solution - targets) ** 2)  # noqa: E731
    assert error(found) <= 1.001 * error(best) + 1e-6 * np.sum(targets**2)


def test_a_student_with_all_channels_finds_its_teacher() -> None:
    teacher = small_teacher("relu2_1")
    widths = {name: WIDTHS[name] for name in ("relu1_1", "relu1_2", "relu2_1")}
    plan = make_plan(WIDTHS, kept=("relu1_1", "relu2_1"), widths=widths)
    pictures = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    lesson = make_lesson(teacher, plan, pictures)
    tensors = fit(lesson, plan, pictures, say=lambda _: None)
    fresh = torch.rand(2, 3, 40, 24, generator=torch.Generator().manual_seed(1))
    answers = {n: r.relu() for n, r in lesson.responses(fresh, plan.kept).items()}
    assert float(lesson_loss(student_maps(tensors, fresh, plan.kept), answers, gram_weight=1.0)) < 1e-3


def test_layers_run_as_vgg19_does_with_average_pooling() -> None:
    teacher = small_teacher("relu3_1")
    picture = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    maps = VGG19(teacher, ["relu1_1", "relu3_1"], pooling="average", padding="replicate")(picture)
    own = student_maps(teacher.tensors, picture, ("relu1_1", "relu3_1"))
    for name, expected in maps.items():
        assert torch.allclose(own[name], expected, rtol=1e-5, atol=1e-6)
    assert [name for name, _, _ in responses(teacher.tensors, picture, up_to="relu2_1")] == [
        "relu1_1", "relu1_2", "relu2_1",
    ]  # fmt: skip


def test_the_loss_is_relative_picture_by_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, wanted = ({"a": torch.rand(2, 3, 4, 5, generator=generator)} for _ in range(2))

    def by_hand(f: np.ndarray, t: np.ndarray) -> float:
        gram = lambda x: sum(np.outer(x[:, i, j], x[:, i, j]) for i in range(4) for j in range(5)) / 20  # noqa: E731
        return float(np.sum((f - t) ** 2) / np.sum(t**2)) + 0.5 * float(
            np.sum((gram(f) - gram(t)) ** 2) / np.sum(gram(t) ** 2)
        )

    expected = np.mean([by_hand(f, t) for f, t in zip(maps["a"].numpy(), wanted["a"].numpy(), strict=True)])
    assert float(lesson_loss(maps, wanted, gram_weight=0.5)) == pytest.approx(float(expected), rel=1e-5)
    faint = {"a": wanted["a"] * torch.tensor([1.0, 1e-2])[:, None, None, None]}
    scaled = {"a": maps["a"] * torch.tensor([1.0, 1e-2])[:, None, None, None]}
    assert float(lesson_loss(scaled, faint, gram_weight=0.5)) == pytest.approx(float(expected), rel=1e-3)


def test_pool_and_live_give_the_teachers_answers_to_their_crops() -> None:
    teacher = small_teacher("relu2_1")
    plan = make_plan(WIDTHS, kept=("relu1_1", "relu2_1"))
    tiles = torch.randint(0, 256, (6, 3, SIDE, SIDE), dtype=torch.uint8)
    lesson = make_lesson(teacher, plan, tiles[:2].float() / 255.0)
    pool = Pool(cut(tiles, 0), lesson, plan.kept, torch.device("cpu"), say=lambda _: None, batch=4)
    live = Live(tiles, lesson, plan.kept)
    seen: list[Tensor] = []
    for batches in (pool, live):
        for step in range(3):
            pictures, answers = batches.batch(step, 2, 7)
            again, _ = batches.batch(step, 2, 7)
            assert pictures.shape == (2, 3, CROP, CROP)
            assert torch.equal(pictures, again)
            expected = lesson.responses(pictures, plan.kept)
            for name, maps in answers.items():
                assert torch.allclose(maps, expected[name].relu(), rtol=2e-3, atol=2e-3)
            seen.append(pictures)
    epoch = torch.cat(seen[:3])
    assert len(torch.unique(epoch.flatten(1), dim=0)) == 6  # each crop once an epoch


def test_a_file_has_the_same_bytes_and_no_weights_that_overflow(tmp_path: Path) -> None:
    tensors = small_teacher("relu1_2").tensors
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in paths:
        export(tensors, path, facts={"b": 1, "a": [2]})
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert {tensor.dtype for tensor in load_file(paths[0]).values()} == {torch.float16}
    with safe_open(str(paths[0]), framework="pt") as file:
        assert json.loads(file.metadata()[lite.METADATA])["preprocessing"] == "torchvision"
    weight, bias = tensors["relu1_1"]
    with pytest.raises(SpecstyleError, match="not finite in half precision"):
        export({"relu1_1": (weight * 1e9, bias)}, tmp_path / "c.safetensors", facts={})
    assert not (tmp_path / "c.safetensors").exists()
