"""Ctrl-C while gRPC runs: the call is cancelled, and KeyboardInterrupt is raised when it has ended."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class HeldInterrupt:
    """An interrupt that is waited out: it cancels what runs, and is raised when that has ended."""

    def __init__(self) -> None:
        self.came = False
        self._cancel: Callable[[], object] | None = None

    def cancels(self, cancel: Callable[[], object]) -> None:
        """An interrupt calls ``cancel``, once; at once when it came already."""
        self._cancel = cancel
        if self.came:
            cancel()

    def forget(self) -> None:
        """There is nothing left to cancel."""
        self._cancel = None

    def arrive(self, *_: object) -> None:
        """Handles the signal."""
        if not self.came:
            self.came = True
            if self._cancel is not None:
                self._cancel()


@contextmanager
def held_interrupt() -> Iterator[HeldInterrupt]:
    """Keeps an interrupt from being raised in what the context surrounds, which has to end soon once it is cancelled.

    Python raises KeyboardInterrupt between any two steps of the main thread. Between those by which gRPC and
    ``threading`` take and give back their locks, that leaves a lock released twice (RuntimeError) or for ever taken.
    To cancel a call within the signal handler is what gRPC's own examples do: its locks can be taken again by the
    thread that has them.

    Where interrupts are ignored, or handled by somebody else, that is left as it is.

    Raises:
        KeyboardInterrupt: there was one. It takes the place of whatever the cancelled call raised.
    """
    held = HeldInterrupt()
    if not _would_raise():
        yield held
        return
    signal.signal(signal.SIGINT, held.arrive)
    try:
        yield held
    finally:
        held.forget()  # before an interrupt can be raised again: a call that is freed takes a lock as well
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if held.came:
            raise KeyboardInterrupt


def _would_raise() -> bool:
    """Signals are handled in the main thread alone."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
