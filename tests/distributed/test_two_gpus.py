"""What needs two GPUs: the second one, and processes that share an image through NCCL."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed.launching import ended, environment, torchrun
from distributed.test_two_ranks import pictures, process_of
from PIL import Image

import specstyle

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices"),
]

OPTIONS = ("--network", "vgg19-lite", "--optimizer", "adam", "--lr", "0.02", "--precision", "fp32")


def test_the_second_gpu_gives_the_result_of_the_first(tmp_path: Path) -> None:
    content, style = pictures(tmp_path)
    first, second = (
        specstyle.transfer_image(
            content, style, network="vgg19-lite", device=device, precision="fp32", steps=10
        )
        for device in ("cuda:0", "cuda:1")
    )
    # Sums by atomic additions come in any order, on one GPU too; a few steps enlarge that.
    torch.testing.assert_close(first.output.pixels, second.output.pixels, rtol=0, atol=5e-3)
    ends = [result.record["losses"]["end"]["total"] for result in (first, second)]
    assert ends[1] == pytest.approx(ends[0], rel=1e-3)


def test_two_gpus_share_a_picture(tmp_path: Path) -> None:
    asked = ["image", *pictures(tmp_path), *OPTIONS, "--steps", "4", "--device", "cuda"]
    outputs = tmp_path / "one.png", tmp_path / "two.png"
    for count, output in zip((1, 2), outputs, strict=True):
        code, out, err = ended(count, "-m", "specstyle", *asked, "-o", output)
        assert code == 0, err[-3000:]
        assert out.count("wrote ") == 1
    one, two = (np.asarray(Image.open(path)).astype(int) for path in outputs)
    assert abs(one - two).max() <= 2


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_dies_ends_the_run(victim: int, tmp_path: Path) -> None:
    """NCCL does not see that the other end is gone, and would wait for minutes: torchrun ends who is left."""
    output = tmp_path / "out.png"
    asked = ["image", *pictures(tmp_path), *OPTIONS, "--steps", "1000000", "--device", "cuda", "-o", output]
    run = subprocess.Popen(
        torchrun(2, "-m", "specstyle", *asked),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    said = ""
    try:
        for line in run.stdout:
            said += line
            if line.startswith("step 1/"):
                break
        time.sleep(1.0)
        os.kill(process_of(run.pid, victim), signal.SIGKILL)
        begun = time.monotonic()
        # 30 seconds are what torchrun leaves a process between asking it to end and killing it.
        said += run.communicate(timeout=120)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            run.kill()
    assert time.monotonic() - begun < 90
    assert run.returncode != 0, said[-3000:]
    assert said.count("specstyle: ") <= 1
    assert not output.exists()
