"""`specstyle doctor`: what it says, and that it fails where something does not work."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from commands import Outcome

import specstyle
from specstyle.cli import doctor


def test_it_says_what_is_there_and_tries_both_media(cli: Callable[..., Outcome]) -> None:
    outcome = cli("doctor", "--json")
    assert outcome.code == 0
    said = json.loads(outcome.out)
    assert said["versions"]["specstyle"] == specstyle.__version__
    assert said["versions"]["numpy"]
    assert "vgg19-lite" in said["networks"]
    assert {*said["self-test"]} == {"sound", "picture", "at once"}
    assert all(test["seconds"] > 0 for test in said["self-test"].values())


def test_what_does_not_work_is_one_line_and_an_exit_code(
    cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise specstyle.SpecstyleError("no\nsuch luck")

    monkeypatch.setattr(doctor, "_TESTS", {"sound": broken})
    outcome = cli("doctor")
    assert outcome.code == 1
    assert "failed: no such luck" in outcome.out
