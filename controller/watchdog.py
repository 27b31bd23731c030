"""Loop health: says what blocks the event loop, with the stack of it.

The loop's own selector tells when the loop is idle: that is all that it takes, and the loop is never woken for it. A
thread looks whether it has been busy for too long within one turn.
"""

import asyncio
import logging
import selectors
import sys
import threading
import time
import traceback
from types import FrameType

LIMIT = 0.1
"""Seconds that one turn of the loop may take."""

# Frames of these files say nothing about who is to blame.
_MACHINERY = ("/asyncio/", "/threading.py", "/selectors.py")

logger = logging.getLogger("dock_runner.watchdog")


class _Selector(selectors.DefaultSelector):
    """Notes since when the loop has been busy; None while it waits."""

    busy_since: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.busy_since = None
        try:
            return super().select(timeout)
        finally:
            self.busy_since = time.monotonic()


class LoopWatchdog:
    """Watches one event loop, which :meth:`new_loop` makes; each time that it is blocked is one warning.

    A turn of the loop counts as a whole: many callbacks that are ready at once block it as one long one does.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._selector = _Selector()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """The loop to be watched; for ``asyncio.Runner(loop_factory=…)``."""
        return asyncio.SelectorEventLoop(self._selector)

    def start(self) -> None:
        """Begins to watch; to be called in the loop's thread."""
        watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=(watched,), name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watching; harmless when repeated."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self, watched: int) -> None:
        told: float | None = None
        while not self._ended.wait(self._limit / 2):
            since = self._selector.busy_since
            if since is None or since == told or time.monotonic() - since <= self._limit:
                continue
            frame = sys._current_frames().get(watched)
            if frame is not None and self._selector.busy_since == since:  # still the same turn
                told = since
                blocked = (time.monotonic() - since) * 1000
                logger.warning("the event loop has been blocked for %.0f ms, now by\n%s", blocked, _stack(frame))


def _stack(frame: FrameType) -> str:
    """Where the loop's thread is, the innermost last, from the first frame that is not the loop's own."""
    frames = traceback.extract_stack(frame)
    names = [any(part in summary.filename for part in _MACHINERY) for summary in frames]
    last_of_loop = max((at for at, machinery in enumerate(names[:-1]) if machinery), default=-1)
    return "".join(traceback.format_list(frames[last_of_loop + 1 :])).rstrip()
