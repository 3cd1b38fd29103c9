from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import specstyle
from specstyle.errors import RecipeError
from specstyle.features import WideRandom
from specstyle.features.networks import build_network
from specstyle.recipes import default_recipe, get_recipe
from specstyle.run import planning
from specstyle.run.planning import GIB, Plan, check_tile, describe, free_memory, plan, readable
from specstyle.run.request import Request

KERNEL = default_recipe("audio", "kernel")
GATYS = get_recipe("gatys2016").replace(network="vgg19-random")


@pytest.fixture(scope="module")
def vgg() -> object:
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
    return build_network("vgg19-random", layers, rows=3).features


@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_map_sizes_are_those_of_the_maps(vgg: object, height: int, width: int) -> None:
    lite = build_network("vgg19-lite", ("relu1_2", "relu3_1", "relu2_1@2", "relu3_3@4"), rows=3).features
    image = torch.zeros(1, 3, height, width)
    for name, maps in lite(image).items():
        assert lite.map_size(name, height, width) == tuple(maps.shape[1:])
    wide = WideRandom(height, n_filters=5, width=7)
    assert wide.map_size("relu1", height, width) == tuple(wide(image[:, :1])["relu1"].shape[1:])


def test_what_fits_is_not_cut(vgg: object) -> None:
    found = plan(GATYS, vgg, (1, 3, 512, 512), tile=None, free=8 * GIB)
    assert found.size is None
    assert found.keep_content
    assert found.history == GATYS.history
    assert found.fits


def test_a_large_picture_is_cut_so_that_it_fits(vgg: object) -> None:
    recipe = GATYS.replace(optimizer="adam")
    found = plan(recipe, vgg, (1, 3, 6000, 6000), tile=None, free=8 * GIB)
    assert found.size is not None
    assert found.size[0] == found.size[1] in planning.TILES
    assert found.needed <= planning.SHARE * found.free
    larger = plan(recipe, vgg, (1, 3, 6000, 6000), tile=None, free=80 * GIB)
    assert larger.size is None or larger.size[0] >= found.size[0]  # type: ignore[operator]


def test_a_map_has_no_more_values_than_kernels_can_count(vgg: object) -> None:
    recipe = GATYS.replace(optimizer="adam")
    most = math.isqrt(2**31 // 64)
    for side, cut in ((most, False), (most + 1, True)):
        assert vgg.largest_map(side, side) == 64 * side**2  # type: ignore[attr-defined]
        assert (plan(recipe, vgg, (1, 3, side, side), tile=None, free=900 * GIB).size is not None) == cut
    lite = build_network("vgg19-lite", ("relu2_1@2", "relu1_1@4"), rows=3).features
    assert lite.largest_map(100, 80) == lite.map_size("relu2_1@2", 100, 80)[0] // 2 * 50 * 40
    wide = WideRandom(513, n_filters=4096, width=11)
    assert (wide.largest_map(513, 100), wide.largest_map(1, 100)) == (5643 * 100, 5643 * 100)


def test_lbfgs_remembers_less_where_it_must(vgg: object) -> None:
    found = plan(GATYS, vgg, (1, 3, 6000, 6000), tile=None, free=16 * GIB)
    assert planning.MIN_HISTORY <= found.history < GATYS.history
    tiny = plan(GATYS, vgg, (1, 3, 6000, 6000), tile=None, free=GIB)
    assert tiny.history == planning.MIN_HISTORY
    assert not tiny.fits
    assert describe(tiny, GATYS, "image").endswith("not be enough: take --optimizer adam, a smaller --size")


def test_tiles_as_asked_for(vgg: object) -> None:
    shape = (1, 3, 700, 900)
    assert plan(GATYS, vgg, shape, tile=300, free=80 * GIB).size == (300, 300)
    assert plan(GATYS, vgg, shape, tile=0, free=1).size is None
    banded = default_recipe("audio", "vgg19-lite")
    lite = build_network("vgg19-lite", banded.style_layers, rows=1).features
    assert plan(banded, lite, (2, 1, 1025, 9000), tile=512, free=80 * GIB).size == (None, 512)


@pytest.mark.parametrize("tile", ["auto", "off", "256", 256])
def test_tile_sizes(tile: str | int) -> None:
    assert check_tile(tile) == {"auto": None, "off": 0}.get(str(tile), 256)


@pytest.mark.parametrize("tile", ["", "0", "-3", "1.5", "all", 0, None, True, 32.7, "²"])
def test_other_tile_sizes_are_refused(tile: object) -> None:
    with pytest.raises(ValueError, match="tile must be auto, off or a whole number of pixels from 1 on"):
        specstyle.transfer_image(*pictures(), network="vgg19-lite", steps=1, tile=tile)  # type: ignore[arg-type]


def test_what_limits_and_reports_a_run_can_be_said_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def record(request: Request, **_: object) -> None:
        asked.append(request)

    monkeypatch.setattr("specstyle.run.api.transfer", record)
    specstyle.transfer_image(*pictures(), memory_limit=6, report_every=5)
    specstyle.transfer_audio(np.zeros(9), np.zeros(9), sample_rate=8000, memory_limit=0.5, report_every=2)
    assert [(request.memory_limit, request.report_every) for request in asked] == [(6, 5), (0.5, 2)]


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf"), True, "6"])
def test_other_memory_limits_are_refused(limit: object) -> None:
    with pytest.raises(ValueError, match="memory_limit must be a number of GiB above 0, got"):
        specstyle.transfer_image(*pictures(), steps=1, memory_limit=limit)  # type: ignore[arg-type]


@pytest.mark.parametrize("every", [0, 1.5, True, None])
def test_other_numbers_of_steps_between_reports_are_refused(every: object) -> None:
    with pytest.raises(ValueError, match="report_every must be a whole number of steps from 1 on, got"):
        specstyle.transfer_image(*pictures(), steps=1, report_every=every)  # type: ignore[arg-type]


def test_free_memory_is_that_of_the_machine_or_up_to_a_limit() -> None:
    cpu = torch.device("cpu")
    free = free_memory(cpu)
    assert 0 < free < 2**50
    assert free_memory(cpu, 1e-9) == 0
    assert free_memory(cpu, 1e9) > 0.5 * free


def test_features_of_the_content_are_given_up_before_the_last_tile(vgg: object) -> None:
    recipe, shape = GATYS.replace(optimizer="adam"), (1, 3, 2000, 2000)
    least = plan(recipe, vgg, shape, tile=None, free=0).needed
    found = plan(recipe, vgg, shape, tile=None, free=round((least + 1) / planning.SHARE))
    assert found.fits
    assert found.size == (128, 128)


def notes_with(limit: float, **options: object) -> list[str]:
    notes: list[str] = []
    options = {"network": "vgg19-lite", "size": 64, "steps": 1, "smallest_scale": None, **options}
    specstyle.transfer_image(*pictures(), memory_limit=limit, on_note=notes.append, **options)  # type: ignore[arg-type]
    return [note for note in notes if note.startswith("memory: ")]


def test_a_limit_below_what_the_process_holds_is_told_with_one_that_does() -> None:
    (note,) = notes_with(0.1, optimizer="lbfgs")
    held = planning.held_memory(torch.device("cpu")) / GIB
    said = re.search(r"limit 0.1 is too low: the process holds ([0-9.]+) GiB .* to ([0-9.]+) or more", note)
    assert said is not None
    assert float(said[1]) == pytest.approx(held, rel=0.2, abs=0.1)
    assert note.endswith("or take --optimizer adam, a smaller --size")
    (little,) = notes_with(float(said[2]) + 0.2)
    assert "; libraries may take more beside" in little
    assert notes_with(float(said[2]) + 0.8) == []
    (note,) = notes_with(0.1, optimizer="adam", lr=0.02)
    assert "--optimizer" not in note


def test_advice_is_for_the_medium() -> None:
    none = plan(KERNEL, object(), (1, 1, 513, 900), tile=None, free=0)
    said = describe(none, KERNEL, "audio", limit=0.5, held=GIB)
    assert "the process holds 1.0 GiB" in said
    assert said.endswith("or take a shorter sound or a lower --sample-rate")
    assert "optimizer" not in said


def test_durations_are_readable() -> None:
    assert readable(119.0) == "2 minutes"
    assert readable(7200.0) == "2.0 hours"


def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((90, 70, 3)), rng.random((50, 60, 3))


@pytest.mark.parametrize("overrides", [{}, {"balance": "gradient"}, {"optimizer": "adam", "lr": 0.02}])
def test_a_picture_in_tiles_is_the_picture(overrides: dict[str, object]) -> None:
    results = [
        specstyle.transfer_image(
            *pictures(),
            network="vgg19-lite",
            tile=tile,
            steps=4,
            smallest_scale=40,
            tv_weight=0.01,
            **overrides,
        )
        for tile in ("off", 32)
    ]
    whole, tiled = (r.output.pixels for r in results)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=2e-3)
    assert [r.record["tiles"] for r in results] == [[None, None], [[32, 32], [32, 32]]]
    for name, value in results[0].record["losses"]["start"].items():
        assert results[1].record["losses"]["start"][name] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("network", ["wide-random", "vgg19-lite"])
def test_a_sound_in_tiles_is_the_sound(network: str) -> None:
    content, style = np.random.default_rng(0).normal(size=(2, 2, 24000)) * 0.1
    results = [
        specstyle.transfer_audio(
            content,
            style,
            sample_rate=8000,
            network=network,
            n_filters=32,
            steps=3,
            tile=tile,
            phase_iterations=2,
        )
        for tile in ("off", 20)
    ]
    assert results[1].record["tiles"] == [[None, 20]]
    for when in ("start", "end"):
        for name, value in results[0].record["losses"][when].items():
            assert results[1].record["losses"][when][name] == pytest.approx(value, rel=1e-3)


def test_a_tile_that_takes_little_beside_what_is_held_is_not_made_smaller() -> None:
    features = WideRandom(33, n_filters=16)
    recipe = get_recipe("default-audio-wide").replace(optimizer="adam", n_filters=16)
    shape = (2, 1, 33, 200_000)
    held = planning.plan(recipe, features, shape, tile=128, free=10**6).needed
    for free, expected in ((1.1 * held, 2048), (0.9 * held, 128)):
        found = planning.plan(recipe, features, shape, tile=None, free=int(free))
        assert found.size == (None, expected)


def test_a_tile_as_large_as_the_image_is_the_image(vgg: object) -> None:
    for tile, size in ((99, (99, 99)), (100, None), (10**5, None)):
        assert plan(GATYS, vgg, (1, 3, 60, 100), tile=tile, free=GIB).size == size


def test_so_little_memory_that_libraries_take_most_of_it_is_told() -> None:
    roomy, tight = (Plan(None, True, 10, 50 * 2**20, free) for free in (GIB, GIB // 4))
    assert describe(roomy, GATYS, "image", limit=2.0) == "memory: about 50 MiB of 1.0 GiB"
    assert describe(tight, GATYS, "image") == "memory: about 50 MiB of 0.2 GiB"
    assert describe(tight, GATYS, "image", limit=0.5) == (
        "memory: about 50 MiB of 0.2 GiB; libraries may take more beside than --memory-limit 0.5 leaves"
    )


@pytest.mark.parametrize("long", [True, False])
def test_memory_and_time_are_told_before_a_long_run(monkeypatch: pytest.MonkeyPatch, long: bool) -> None:
    monkeypatch.setattr("specstyle.run.outlook.LONG_RUN_S", 0.0 if long else 1e9)
    notes: list[str] = []

    def stop(_: object) -> None:
        raise specstyle.StopRun

    specstyle.transfer_image(
        *pictures(), network="vgg19-lite", steps=900, smallest_scale=None, on_note=notes.append, on_step=stop
    )
    assert [note.split(":")[0] for note in notes if "about" in note or "roughly" in note] == (
        ["memory", "time"] if long else []
    )


def test_the_kernel_is_not_cut() -> None:
    noise = np.random.default_rng(0).normal(size=8000)
    with pytest.raises(RecipeError, match="drop --tile, or take another network"):
        specstyle.transfer_audio(noise, noise, sample_rate=8000, tile=100, steps=1)


def test_a_memory_limit_cuts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "TILES", (64, 32))
    monkeypatch.setattr("specstyle.run.outlook.free_memory", lambda device, limit: 20_000_000)
    notes: list[str] = []
    tall = np.random.default_rng(0).random((400, 60, 3))
    result = specstyle.transfer_image(
        tall,
        pictures()[1],
        network="vgg19-lite",
        steps=1,
        smallest_scale=None,
        optimizer="adam",
        on_note=notes.append,
    )
    assert result.record["tiles"] == [[64, 64]]
    assert any("in tiles of 64 x 64 pixels" in note for note in notes)
