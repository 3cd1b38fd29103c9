"""Ctrl-C in a run on several processes: the terminal tells each process, and torchrun tells them again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from distributed.launching import environment, torchrun
from distributed.test_two_ranks import image_command
from PIL import Image

# Where the tests run in the background, the shell has all that they start ignore Ctrl-C.
HEEDING = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_keeps_the_result_so_far(whole_group: bool, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    command = torchrun(2, *image_command(tmp_path, output, "--steps", "100000"))
    run = subprocess.Popen(
        [sys.executable, "-c", HEEDING, *command], env=environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("step 1/"):
            break
    (os.killpg if whole_group else os.kill)(run.pid, signal.SIGINT)
    said = run.communicate(timeout=120)[0]
    assert said.count("stopping after this step") == 1
    assert "another process of this run" not in said
    assert f"wrote {output}" in said
    record = json.loads(Path(f"{output}.json").read_text(encoding="utf-8"))
    assert record["stopped"] is True
    with Image.open(output) as picture:
        assert picture.size == (160, 80)
