"""The instance lock: one holder, named to who comes second, released by whatever death."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.errors import StartError
from controller.lock import InstanceLock

HOLDER = """
import sys
from pathlib import Path
from controller.lock import InstanceLock
with InstanceLock(Path(sys.argv[1]), Path(sys.argv[2]), "default"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(state: Path, run: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLDER, str(state), str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_the_second_holder_is_told_which_process_holds_it(tmp_path: Path) -> None:
    state, run = tmp_path / "state", tmp_path / "run"
    with another_process(state, run) as process:
        for second in (InstanceLock(state, tmp_path / "elsewhere", "default"), InstanceLock(None, run, "default")):
            with pytest.raises(StartError) as caught, second:
                pass
            assert f"process {process.pid} (" in str(caught.value)
            assert str(state) in str(caught.value)  # its command line
            assert "\n" not in str(caught.value)
        with InstanceLock(state, run, "other"):
            pass


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    with another_process(tmp_path, tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with InstanceLock(tmp_path, tmp_path / "run", "default"):
            pass


def test_a_refused_lock_holds_nothing_back(tmp_path: Path) -> None:
    state, run = tmp_path / "state", tmp_path / "run"
    with InstanceLock(None, run, "default"):
        with pytest.raises(StartError), InstanceLock(state, run, "default"):
            pass
        with InstanceLock(state, tmp_path / "elsewhere", "default"):
            pass
    with InstanceLock(state, run, "default"):
        pass


def test_the_file_says_who_holds_it_and_nobody_else_reads_it(tmp_path: Path) -> None:
    with InstanceLock(None, tmp_path / "run", "blue"):
        file = tmp_path / "run" / "blue.socket.lock"
        pid, command, _ = file.read_text().split("\n")
        assert pid == str(os.getpid())
        assert command == shlex.join(sys.orig_argv)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o750


def test_a_shorter_command_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    (tmp_path / "default.socket.lock").write_text("1\n" + "x" * 5000)
    with InstanceLock(None, tmp_path, "default"):
        assert "xxx" not in (tmp_path / "default.socket.lock").read_text()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot make the lock"), InstanceLock(tmp_path / "file", tmp_path, "a"):
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("text")
    (tmp_path / "default.socket.lock").symlink_to(precious)
    with pytest.raises(StartError), InstanceLock(None, tmp_path, "default"):
        pass
    assert precious.read_text() == "text"
