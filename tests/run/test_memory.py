from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import specstyle
from specstyle.engine.device import GIB, free_memory, main_memory
from specstyle.engine.objective import Loss, Objective
from specstyle.engine.views import Seen, bare
from specstyle.errors import RecipeError
from specstyle.features import WideRandom
from specstyle.features.networks import load_network
from specstyle.recipes import Recipe, default_recipe, get_recipe
from specstyle.run import memory
from specstyle.run.inputs import Session
from specstyle.run.memory import (
    Cost,
    Estimate,
    Plan,
    describe,
    measured,
)
from specstyle.run.memory import plan as make_plan
from specstyle.run.request import Request
from specstyle.run.settle import check_tile, settle_request

KERNEL = default_recipe("audio", "kernel")
GATYS = get_recipe("gatys2016").replace(network="vgg19-random")


COST = Cost(held=1400.0, largest=256.0)
"""Of VGG19 to relu5_1, about: its largest map has 64 channels of 4 bytes."""


def seen(name: str, *layers: str) -> Seen:
    network = load_network(name, tuple(dict.fromkeys(map(bare, layers))))
    nothing = torch.zeros(1, 3, 8, 8)
    return Seen(lambda see, names: network.fitted(see, names, nothing, [nothing]), layers)


def plan(*arguments: object, **options: object) -> Plan:
    return make_plan(*arguments, **{"cost": COST, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def vgg() -> Seen:
    return seen("vgg19-random", "relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")


def test_a_cost_is_what_forward_keeps_and_its_largest_map() -> None:
    """Against the sizes of what autograd keeps of a small chain."""

    def loss(image: torch.Tensor, _: dict[str, torch.Tensor]) -> torch.Tensor:
        return (image * 1.0).exp().exp().repeat(1, 5, 1, 1).sin().sum((1, 2, 3))

    def make(content: torch.Tensor) -> Objective:
        return Objective(None, [Loss("all", 1.0, loss)])

    cost = measured(make, torch.rand(1, 2, 16, 40))
    # Of each pixel: exp keeps its result, twice, of 2 channels; sin keeps its input of 10.
    assert cost.held == pytest.approx(4 * (2 + 2 + 10), rel=1e-6)
    assert cost.largest == pytest.approx(4 * 10, rel=1e-6)
    assert cost.once < 64  # a few numbers
    assert cost.seconds > 0.0
    assert cost.bytes_of(100) == pytest.approx(100 * (56 + 2 * 40), abs=64)
    assert measured(make, torch.rand(1, 2, 16, 1)) == Cost()


def test_a_long_style_costs_what_it_is_long(vgg: Seen) -> None:
    """Whatever the shape: a plan that took the root of its pixels saw a fifth of ten minutes."""
    shape = (1, 3, 64, 64)
    short, long = (plan(GATYS, vgg, shape, tile=0, free=80 * GIB, style_pixels=n) for n in (64**2, 10**7))
    assert long.needed - short.needed == round(3 * COST.largest * 10**7) - COST.bytes_of(64**2)


def test_memory_of_containers_is_read_down_to_our_own(tmp_path: Path) -> None:
    """What the system keeps of files is free; the tightest of all groups counts."""
    own = tmp_path / "cgroup"
    own.write_text("1:name=systemd:/\n0::/outer/inner\n")
    inner = tmp_path / "groups" / "outer" / "inner"
    inner.mkdir(parents=True)
    for folder, most, used, files in (
        (inner.parents[1], "max", 5 * GIB, 0),
        (inner.parent, str(3 * GIB), 2 * GIB, GIB // 2),
        (inner, str(9 * GIB), 2 * GIB, 0),
    ):
        (folder / "memory.max").write_text(most + "\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {files}\n")
    total, free = main_memory(tmp_path / "none", tmp_path / "none")
    assert free < total
    assert main_memory(tmp_path / "groups", own) == (min(3 * GIB, total), min(GIB + GIB // 2, free))


def test_what_fits_is_not_cut(vgg: Seen) -> None:
    found = plan(GATYS, vgg, (1, 3, 512, 512), tile=None, free=8 * GIB)
    assert found.size is None
    assert found.keep_content
    assert found.history == GATYS.history
    assert found.fits


def test_a_large_picture_is_cut_so_that_it_fits(vgg: Seen) -> None:
    recipe = GATYS.replace(optimizer="adam")
    found = plan(recipe, vgg, (1, 3, 6000, 6000), tile=None, free=8 * GIB)
    assert found.size is not None
    assert found.size[0] == found.size[1] in memory.TILES
    assert found.needed <= memory.SHARE * found.free
    larger = plan(recipe, vgg, (1, 3, 6000, 6000), tile=None, free=80 * GIB)
    assert larger.size is None or larger.size[0] >= found.size[0]  # type: ignore[operator]


def test_a_map_has_no_more_values_than_kernels_can_count(vgg: Seen) -> None:
    recipe = GATYS.replace(optimizer="adam")
    most = math.isqrt(2**31 // 64)
    for side, cut in ((most, False), (most + 1, True)):
        assert (plan(recipe, vgg, (1, 3, side, side), tile=None, free=900 * GIB).size is not None) == cut


def test_lbfgs_remembers_less_where_it_must(vgg: Seen) -> None:
    found = plan(GATYS, vgg, (1, 3, 6000, 6000), tile=None, free=16 * GIB)
    assert memory.MIN_HISTORY <= found.history < GATYS.history
    tiny = plan(GATYS, vgg, (1, 3, 6000, 6000), tile=None, free=GIB)
    assert tiny.history == memory.MIN_HISTORY
    assert not tiny.fits
    assert describe(tiny, GATYS, "image").endswith("not be enough: take --optimizer adam, a smaller --size")


def test_tiles_as_asked_for(vgg: Seen) -> None:
    shape = (1, 3, 700, 900)
    assert plan(GATYS, vgg, shape, tile=300, free=80 * GIB).size == (300, 300)
    assert plan(GATYS, vgg, shape, tile=0, free=1).size is None
    banded = Recipe(content_layers=("relu3_1",), style_layers=("relu1_1", "relu3_1"), style_bands=8)
    lite = seen("vgg19-lite", *banded.style_layers)
    assert plan(banded, lite, (2, 1, 1025, 9000), tile=512, free=80 * GIB).size == (None, 512)


@pytest.mark.parametrize("tile", ["auto", "off", "256", 256])
def test_tile_sizes(tile: str | int) -> None:
    assert check_tile(tile) == {"auto": None, "off": 0}.get(str(tile), 256)


@pytest.mark.parametrize(
    ("option", "values", "said"),
    [
        ("tile", ["", "0", "-3", "1.5", "all", 0, None, True, 32.7, "²"],
         "tile must be auto, off or a whole number of pixels from 1 on"),
        ("memory_limit", [0, -1.0, float("nan"), float("inf"), True, "6"],
         "memory_limit must be a number of GiB above 0, got"),
        ("report_every", [0, 1.5, True, None], "report_every must be a whole number of steps from 1 on, got"),
    ],
)  # fmt: skip
def test_other_values_are_refused(option: str, values: list[object], said: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=said):
            specstyle.transfer_image(*pictures(), network="vgg19-lite", steps=1, **{option: value})


def test_what_limits_and_reports_a_run_can_be_said_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def record(request: Request, **_: object) -> None:
        asked.append(request)

    monkeypatch.setattr("specstyle.run.api.transfer", record)
    specstyle.transfer_image(*pictures(), memory_limit=6, report_every=5)
    specstyle.transfer_audio(np.zeros(9), np.zeros(9), sample_rate=8000, memory_limit=0.5, report_every=2)
    assert [(request.memory_limit, request.report_every) for request in asked] == [(6, 5), (0.5, 2)]


def test_free_memory_is_that_of_the_machine_or_up_to_a_limit() -> None:
    cpu = torch.device("cpu")
    free = free_memory(cpu)
    assert 0 < free < 2**50
    assert free_memory(cpu, 1e-9) == 0
    assert free_memory(cpu, 1e9) > 0.5 * free


def test_features_of_the_content_are_given_up_before_the_last_tile(vgg: Seen) -> None:
    recipe, shape = GATYS.replace(optimizer="adam"), (1, 3, 2000, 2000)
    least = plan(recipe, vgg, shape, tile=None, free=0).needed
    found = plan(recipe, vgg, shape, tile=None, free=round((least + 1) / memory.SHARE))
    assert found.fits
    assert found.size == (128, 128)


def notes_with(limit: float, **options: object) -> list[str]:
    notes: list[str] = []
    options = {"network": "vgg19-lite", "size": 64, "steps": 1, "smallest_scale": None, **options}
    specstyle.transfer_image(*pictures(), memory_limit=limit, on_note=notes.append, **options)  # type: ignore[arg-type]
    return [note for note in notes if note.startswith("memory: ")]


def test_a_limit_below_what_the_process_holds_is_told_with_one_that_does() -> None:
    with pytest.raises(RecipeError) as caught:
        notes_with(0.1, optimizer="lbfgs")
    note = str(caught.value)
    held = memory.held_memory(torch.device("cpu")) / GIB
    said = re.search(r"limit 0.1 is too low: the process holds ([0-9.]+) GiB .* to ([0-9.]+) or more", note)
    assert said is not None
    assert float(said[1]) == pytest.approx(held, rel=0.2, abs=0.1)
    assert note.endswith("or take --optimizer adam, a smaller --size")
    (little,) = notes_with(float(said[2]) + 0.2)
    assert "; libraries may take more beside" in little
    assert notes_with(float(said[2]) + 0.8) == []
    with pytest.raises(RecipeError, match=r"limit 0\.1 is too low") as caught:
        notes_with(0.1, optimizer="adam", lr=0.02)
    assert "--optimizer" not in str(caught.value)


def test_advice_is_for_the_medium() -> None:
    none = plan(KERNEL, object(), (1, 1, 513, 900), tile=0, free=0, samples=10**5)
    said = describe(none, KERNEL, "audio", limit=0.5, held=GIB)
    assert "the process holds 1.0 GiB" in said
    assert said.endswith("or take a shorter sound or a lower --sample-rate")
    assert "optimizer" not in said


PLAIN = {"network": "vgg19-lite", "smallest_scale": None, "finish_network": "", "optimizer": "adam"}
PLAIN |= {"style_layers": ("relu1_1",), "content_layers": ("relu1_1",), "balance": "weights"}


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
            **{"balance": "weights", "finish_network": "", **overrides},
        )
        for tile in ("off", 32)
    ]
    whole, tiled = (r.output.pixels for r in results)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=2e-3)
    assert [r.record["tiles"] for r in results] == [[None, None], [[32, 32], [32, 32]]]
    for name, value in results[0].record["losses"]["start"].items():
        assert results[1].record["losses"]["start"][name] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("network", ["wide-random", "vgg19-lite", "kernel"])
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
    features, cost = WideRandom(33, n_filters=16), Cost(held=40.0, largest=20.0)
    recipe = get_recipe("default-audio-wide").replace(optimizer="adam", n_filters=16)
    shape = (2, 1, 33, 200_000)
    held = plan(recipe, features, shape, tile=128, free=10**6, cost=cost).needed
    for free, expected in ((1.1 * held, 2048), (0.9 * held, 128)):
        found = plan(recipe, features, shape, tile=None, free=int(free), cost=cost)
        assert found.size == (None, expected)


def test_a_tile_as_large_as_the_image_is_the_image(vgg: Seen) -> None:
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
    monkeypatch.setattr("specstyle.run.memory.LONG_RUN_S", 0.0 if long else 1e9)
    notes: list[str] = []

    def stop(_: object) -> None:
        raise specstyle.StopRun

    specstyle.transfer_image(
        *pictures(), network="vgg19-lite", steps=900, smallest_scale=None, on_note=notes.append, on_step=stop
    )
    assert [note.split(":")[0] for note in notes if "about" in note or "roughly" in note] == (
        ["memory", "time"] if long else []
    )


def test_tiles_do_not_depend_on_what_is_free_where_it_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the bytes of a result would be those of the moment."""
    monkeypatch.setattr(memory, "TILES", (80, 64, 48, 32))
    monkeypatch.setattr(memory, "SMALL", 0)
    request = Request("image", pictures()[0], [pictures()[1]], overrides=PLAIN)
    run = Session(request, settle_request(request)[0], torch.device("cpu"), lambda _: None)
    shared = Session(dataclasses.replace(request, workers=4), run.recipe, run.device, lambda _: None)
    alone, worker = Estimate(run), Estimate(shared)

    def planned(free: float, steady: float = 2**40, estimate: Estimate = alone) -> Plan:
        monkeypatch.setattr(memory, "steady_memory", lambda device: round(steady))
        monkeypatch.setattr(memory, "free_memory", lambda device, limit=None: round(free))
        estimate.restore([])
        return estimate.plan(0)

    whole = planned(2**40).needed
    ample = planned(2**40, whole)
    assert planned(1.5 * whole, whole).size == planned(whole, whole).size == ample.size
    short = planned(0.9 * whole, whole)
    assert None not in (ample.size, short.size)
    assert short.needed < ample.needed < whole
    assert planned(2**40, 4 * whole, worker) == ample  # of a fourth of what is steady, whatever is free
    least = planned(2**40, whole / 100, worker)
    assert not least.fits
    assert least.needed <= short.needed


def test_a_memory_limit_cuts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TILES", (64, 32))
    monkeypatch.setattr("specstyle.run.memory.free_memory", lambda device, limit=None: 20_000_000)
    notes: list[str] = []
    tall = np.random.default_rng(0).random((400, 60, 3))
    result = specstyle.transfer_image(
        tall,
        pictures()[1],
        network="vgg19-lite",
        finish_network="",
        balance="weights",
        style_layers=("relu1_1", "relu2_1", "relu3_1"),
        steps=1,
        smallest_scale=None,
        optimizer="adam",
        on_note=notes.append,
    )
    assert result.record["tiles"] == [[64, 64]]
    assert any("in tiles of 64 x 64 pixels" in note for note in notes)
