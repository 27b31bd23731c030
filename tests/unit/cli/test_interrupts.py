"""Ctrl-C at any moment of a verb: it ends at once, with status 130 and without a word."""

import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from controller.cli.channel import CallFailed, InterruptibleChannel
from controller.cli.interrupts import held_interrupt

from .objects import service
from .server import FakeControlPlane

# Runs the program; the main thread's n-th wait on a condition is interrupted where the condition has given its lock
# back and does not know it yet. gRPC's conditions are meant, and those by which it starts its thread.
PROGRAM = """
import signal, sys, threading

class Interrupted(threading.Condition):
    left = int(sys.argv.pop(1))

    def __init__(self, lock=None):
        super().__init__(lock)
        self._give_back, self._release_save = self._release_save, self._give_back_and_interrupt

    def _give_back_and_interrupt(self):
        state = self._give_back()
        if threading.current_thread() is threading.main_thread():
            Interrupted.left -= 1
            if Interrupted.left == 0:
                signal.raise_signal(signal.SIGINT)
        return state

threading.Condition = Interrupted
from controller.__main__ import main
main()
"""


@pytest.mark.parametrize("wait", [1, 2, 3])
@pytest.mark.parametrize(
    "words",
    [
        ("watch",),
        ("get", "services", "-w"),
        ("apply", "-f", "services.toml", "--wait"),
        ("delete", "web", "--wait"),
    ],
    ids=lambda words: words[0],
)
def test_an_interrupt_within_the_locks_of_grpc_ends_a_verb_at_once(
    server: FakeControlPlane, socket: Path, tmp_path: Path, words: tuple[str, ...], wait: int
) -> None:
    server.services, server.hang = [service(ready=1)], True
    (tmp_path / "services.toml").write_text('[services.web]\nimage = "web:1"\nreplicas = 3\n')
    verb = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(wait), *words, "--server", f"unix:{socket}"],
        cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parents[3])}, capture_output=True, text=True, timeout=20,
        check=False,
    )  # fmt: skip
    assert (verb.returncode, verb.stderr) == (130, "")


class HangingCall:
    """A call, and the method and the channel that make it, that is interrupted and ends only when it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = False
        self.hangs = False

    def unary_unary(self, *method: str) -> "HangingCall":
        return self

    def unary_stream(self, *method: str) -> "HangingCall":
        return self

    def future(self, request: object, timeout: float | None) -> "HangingCall":
        return self

    def __call__(self, request: object, timeout: float | None) -> "HangingCall":
        return self

    def cancel(self) -> None:
        self.cancelled = True

    def result(self) -> None:
        signal.raise_signal(signal.SIGINT)
        self.hangs = not self.cancelled
        raise grpc.FutureCancelledError

    def __iter__(self) -> "HangingCall":
        return self

    __next__ = result


def test_an_interrupt_cancels_a_call_that_answers_once() -> None:
    channel: Any = HangingCall()
    method = InterruptibleChannel(channel).unary_unary("/a/method")
    with pytest.raises(KeyboardInterrupt):
        method("request")
    assert not channel.hangs


def test_an_interrupt_cancels_a_call_that_answers_by_a_stream() -> None:
    channel: Any = HangingCall()
    method = InterruptibleChannel(channel).unary_stream("/a/method")
    with pytest.raises(KeyboardInterrupt):
        next(method("request"))
    assert not channel.hangs


class EndedCall(grpc.RpcError):
    """A call that ends at once, and is itself the error that it may end with, as gRPC's are."""

    def __init__(self, freed: list[object], *, fails: bool) -> None:
        self.freed = freed
        self.fails = fails

    def __del__(self) -> None:
        self.freed.append(signal.getsignal(signal.SIGINT))

    def __next__(self) -> None:
        if self.fails:
            raise self
        raise StopIteration

    def result(self) -> str:
        if self.fails:
            raise self
        return "response"

    def cancel(self) -> None:
        pass

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return ""

    def trailing_metadata(self) -> Any:
        return ()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_no_interrupt_is_raised_where_a_call_is_freed_which_takes_its_lock(streams: bool, fails: bool) -> None:
    freed: list[object] = []
    make: Any = SimpleNamespace(future=lambda _, timeout: EndedCall(freed, fails=fails))
    if streams:
        make = lambda _, timeout: EndedCall(freed, fails=fails)  # noqa: E731 - both are methods of a stub
    channel: Any = SimpleNamespace(unary_unary=lambda _: make, unary_stream=lambda _: make)
    with pytest.raises(CallFailed) if fails else nullcontext():
        if streams:
            assert list(InterruptibleChannel(channel).unary_stream("/a/method")("request")) == []
        else:
            assert InterruptibleChannel(channel).unary_unary("/a/method")("request") == "response"
    assert len(freed) == 1
    assert freed[0] is not signal.default_int_handler


def test_a_held_interrupt_is_raised_when_what_it_cancelled_has_ended() -> None:
    seen: list[str] = []

    def work() -> None:
        with held_interrupt() as held:
            held.cancels(lambda: seen.append("cancelled"))
            signal.raise_signal(signal.SIGINT)
            seen.append("ended")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == ["cancelled", "ended"]


def test_an_interrupt_cancels_once_however_often_it_comes() -> None:
    seen: list[str] = []

    def work() -> None:
        with held_interrupt() as held:
            held.cancels(lambda: seen.append("cancelled"))
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == ["cancelled"]


def test_what_begins_after_an_interrupt_is_cancelled_at_once() -> None:
    seen: list[str] = []

    def work() -> None:
        with held_interrupt() as held:
            signal.raise_signal(signal.SIGINT)
            held.cancels(lambda: seen.append("cancelled"))

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == ["cancelled"]


def test_an_interrupt_takes_the_place_of_the_error_of_what_it_cancelled() -> None:
    def work() -> None:
        with held_interrupt():
            signal.raise_signal(signal.SIGINT)
            raise OSError("cancelled")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_without_an_interrupt_an_error_stays_what_it_is() -> None:
    with pytest.raises(OSError, match="lost"), held_interrupt():
        raise OSError("lost")


def test_afterwards_an_interrupt_is_raised_where_it_comes() -> None:
    with held_interrupt():
        pass
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_interrupts_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_interrupt() as held:
            signal.raise_signal(signal.SIGINT)
        assert not held.came
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_that_no_interrupt_is_raised_in_holds_none() -> None:
    inside: list[object] = []

    def work() -> None:
        with held_interrupt():
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [signal.default_int_handler]
