"""The health of the event loop: says what blocks it, and where in the code it does so.

Everything in the program waits for one loop; a callback that computes, or waits without ``await``, holds up all.
"""

import asyncio
import logging
import selectors
import sys
import threading
import traceback
from types import FrameType

from controller.clock import Clock, SystemClock

LIMIT = 0.1
"""Seconds that one turn of the loop may take."""

logger = logging.getLogger("dock_runner.watchdog")


class LoopWatchdog:
    """Logs a warning, with the stack of the loop's thread, when one turn of the loop takes over ``limit`` seconds.

    A turn counts as a whole: many callbacks that are ready at once block the loop as one long one does. Each turn is
    one warning. It watches one loop at a time, the one that ``new_loop`` made last::

        watchdog = LoopWatchdog()
        with asyncio.Runner(loop_factory=watchdog.new_loop) as runner:
            watchdog.start()
            runner.run(main())
        watchdog.stop()

    The loop is never woken for it. A thread looks about once per ``limit``; what keeps the interpreter's lock, so that
    no thread can look, is told of afterwards, without a stack.
    """

    def __init__(self, limit: float = LIMIT, clock: Clock | None = None) -> None:
        self._limit = limit
        self._clock = clock or SystemClock()
        self._selector: _Stopwatch | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """The loop to be watched; for ``asyncio.Runner(loop_factory=…)``."""
        self._selector = _Stopwatch(self._limit, self._clock)
        return asyncio.SelectorEventLoop(self._selector)

    def start(self) -> None:
        """Begins to watch, in a thread of its own."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watching; harmless when repeated."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        pause = self._limit
        while not self._ended.wait(pause):
            pause = self._selector.check() if self._selector is not None else self._limit


class _Stopwatch(selectors.DefaultSelector):
    """The selector of a loop: it knows how long the loop has not come back to it."""

    def __init__(self, limit: float, clock: Clock) -> None:
        super().__init__()
        self._limit = limit
        self._clock = clock
        # Of the loop: since when it is busy, None while it waits, and its thread.
        self._since: float | None = None
        self._thread = 0
        # Held while an incident is told, so that the loop cannot end it, nor tell it once more.
        self._telling = threading.Lock()
        self._told: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the selector's own; to the loop all time outside of it is work."""
        self._rest()
        try:
            return super().select(timeout)
        finally:
            self._thread = threading.get_ident()
            self._since = self._clock.monotonic()

    def close(self) -> None:
        """The loop is closed; what its thread does now is no concern of the loop's."""
        self._since = None
        super().close()

    def check(self) -> float:
        """Tells what has kept the loop for too long; the seconds after which to look again.

        An incident can't begin and grow too long between two looks: at the next one it has already begun.
        """
        since = self._since
        if since is None or since == self._told:
            return self._limit
        left = since + self._limit - self._clock.monotonic()
        if left <= 0:
            with self._telling:
                if self._since == since:
                    self._tell(since)
            left = self._limit
        return left

    def _tell(self, since: float) -> None:
        stack = _stack(sys._current_frames().get(self._thread))
        if stack is not None:
            self._told = since
            logger.warning("the event loop has been blocked for over %.0f ms:\n%s", self._limit * 1000, stack)

    def _rest(self) -> None:
        """The loop has done what it was busy with."""
        since = self._since
        if since is None:
            return
        lasted = self._clock.monotonic() - since
        if lasted >= self._limit:
            with self._telling:
                told, self._since = self._told == since, None
            logger.log(
                logging.INFO if told else logging.WARNING, "the event loop was blocked for %.0f ms%s", lasted * 1000,
                "" if told else "; where, could not be seen: most likely something kept the interpreter's lock",
            )  # fmt: skip
        self._since = None


def _stack(frame: FrameType | None) -> str | None:
    """The stack from where the loop called what it runs; None when the frame is not of a loop that runs something.

    asyncio's own frames before that say nothing. When nothing comes after them (a C function is the callback) they are
    all that there is, and stay.
    """
    frames = list(traceback.walk_stack(frame))[::-1] if frame is not None else []
    calls = [at for at, (called, _) in enumerate(frames) if _is_loop(called)]
    if not calls or any(called.f_code is _Stopwatch.select.__code__ for called, _ in frames):
        return None
    below = frames[calls[-1] + 1 :]
    return "".join(traceback.StackSummary.extract(iter(below or frames)).format()).rstrip()


def _is_loop(frame: FrameType) -> bool:
    """Whether it is where a loop does one turn, or calls one callback."""
    return (frame.f_code.co_filename, frame.f_code.co_name) in (
        (asyncio.base_events.__file__, "_run_once"),
        (asyncio.events.__file__, "_run"),
    )
