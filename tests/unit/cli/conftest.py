"""Verbs as a shell runs them, against a stand-in on a unix socket."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.__main__ import program
from controller.cli import ages

from .objects import NOW
from .server import FakeControlPlane, serving

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test gets wrong, it never starts a real controller on this machine."""
    monkeypatch.setitem(sys.modules, "controller.app", None)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


@pytest.fixture
def server(socket: Path) -> Iterator[FakeControlPlane]:
    with serving(socket) as servicer:
        yield servicer


@pytest.fixture
def run(socket: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line at a fixed time; words, and what it reads from standard input."""
    monkeypatch.setenv("DOCK_RUNNER_SERVER", f"unix:{socket}")
    monkeypatch.setattr(ages, "now", lambda: NOW)

    def invoke(*words: str, input: str | None = None) -> Result:  # noqa: A002 - click's own word for it
        result = CliRunner().invoke(program, words, input=input, prog_name="dock-runner")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def lines_of_json(result: Result) -> list[Any]:
    """Each line of the output as a document."""
    return [json.loads(line) for line in result.stdout.splitlines()]
