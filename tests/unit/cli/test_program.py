"""What holds for the whole command line: help, exit statuses, and what gets imported."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from controller.__main__ import program
from controller.cli import VERBS
from controller.errors import StartError

from .conftest import Run
from .objects import event, service
from .server import FakeControlPlane

SERVERS_OWN = ("docker", "watchfiles", "controller.app", "controller.scheduler", "controller.control_plane", "uvicorn")


def ends_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> tuple[int, str]:
    """Status and standard error of a program that ends in this way."""

    def run(_: object) -> int:
        raise error

    monkeypatch.setitem(sys.modules, "controller.app", SimpleNamespace(run=run))
    result = CliRunner().invoke(program, ["--state-dir", "none"])
    return result.exit_code, result.stderr


def test_an_error_of_ours_is_one_line_and_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ends_with(monkeypatch, StartError("the lock is held")) == (1, "error: the lock is held\n")


def test_an_interrupt_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ends_with(monkeypatch, KeyboardInterrupt()) == (130, "")


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_says_of_each_verb_what_the_verb_says(verb: str) -> None:
    command = program.get_command(click.Context(program), verb)
    assert command is not None
    assert command.name == verb
    assert (command.help or "").splitlines()[0] == VERBS[verb][1]
    assert f"  {verb} " in CliRunner().invoke(program, ["--help"]).output


@pytest.mark.parametrize("verb", ["backup", "restore", "logs", "edit", "top", "diff", "completion"])
def test_verbs_that_are_not_there_yet_are_wrong_usage(run: Run, verb: str) -> None:
    assert run(verb).exit_code == 2


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_a_verb_imports_nothing_of_the_server(verb: str) -> None:
    foreign = [module for module in SERVERS_OWN if (verb, module) != ("apply", "watchfiles")]
    if verb in ("", "version"):
        foreign += ["grpc", "rich"]
    code = (
        "import sys; import controller; before = set(sys.modules); from controller.__main__ import program\n"
        f"try: program([w for w in ({verb!r}, '--help') if w])\nexcept SystemExit: pass\n"
        f"found = [m for m in {foreign!r} if m in sys.modules and m not in before]\n"
        "sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_stops_reading_is_no_error(server: FakeControlPlane, socket: Path) -> None:
    server.services = [service()]
    server.events = [event("long " * 100) for _ in range(1000)]
    get = subprocess.Popen(
        [sys.executable, "-m", "controller", "get", "events", "--server", f"unix:{socket}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert get.stdout is not None
    assert get.stderr is not None
    assert "LAST-SEEN" in get.stdout.readline()
    get.stdout.close()
    assert get.stderr.read() == ""
    get.stderr.close()
    assert get.wait(20) == 1


def test_an_interrupted_watch_ends_without_a_traceback(server: FakeControlPlane, socket: Path) -> None:
    server.services, server.hang = [service()], True
    watch = subprocess.Popen(
        [sys.executable, "-m", "controller", "watch", "-o", "json", "--server", f"unix:{socket}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watch.stdout is not None
    assert watch.stdout.readline().startswith('{"type": "ADDED"')
    watch.send_signal(signal.SIGINT)
    _, errors = watch.communicate(timeout=20)
    assert (watch.returncode, errors.strip()) == (130, "")
