"""The end of the process in time, whatever in it hangs: ten seconds after its stop began are promised."""

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import NoReturn

# Seconds after the begin of the stop: from then on no part is waited for any longer, and the process ends.
NO_MORE_WAITING = 7.5
LAST_MOMENT = 8.5
# Seconds that a part gets all the same when the others have used up the time.
_LEAST = 0.1
# Seconds for the last line of the log: whoever reads it may have ceased to.
_LAST_WORDS = 0.3

logger = logging.getLogger("dock_runner.app")


class Deadline:
    """The process is gone by a certain moment after its stop began, wherever in it something hangs.

    Only :meth:`watch` makes it so; until then it just tells how much time is left. It knows nothing but the machine's
    own time, and needs nothing of the event loop: that may be what hangs.
    """

    def __init__(self) -> None:
        self.status = 0
        """The exit status that the process ends with."""
        self.error: BaseException | None = None
        """Why it ends, if it is for an error: nobody else could say it any more."""
        self.doing = "the start"
        """What would be to blame now."""
        self._since: float | None = None
        # Of all queues this one alone may be put into from a signal handler, whatever that has interrupted.
        self._begun: SimpleQueue[float] = SimpleQueue()

    @property
    def left(self) -> float:
        """Seconds for which something may be waited for; never quite none."""
        since = time.monotonic() if self._since is None else self._since
        return max(_LEAST, since + NO_MORE_WAITING - time.monotonic())

    def begin(self, *_: object) -> None:
        """The stop begins, unless it has begun already. Can be a signal handler."""
        if self._since is None:
            self._since = time.monotonic()
            self._begun.put(self._since)

    def watch(self) -> None:
        """From now on the process ends when its time is up."""
        threading.Thread(target=self._watch, name="deadline", daemon=True).start()

    def end_process(self, left: Sequence[str]) -> NoReturn:
        """Ends the process at once, and says for what it does not wait any longer."""
        # In a thread, as any log handler may hang, or be held by a thread that does.
        words = threading.Thread(target=self._say, args=(", ".join(left),), name="last words", daemon=True)
        words.start()
        words.join(_LAST_WORDS)
        os._exit(self.status)

    def _watch(self) -> None:
        since = self._begun.get()
        time.sleep(max(0.0, since + LAST_MOMENT - time.monotonic()))
        main, own = threading.main_thread(), threading.current_thread()
        threads = [thread for thread in threading.enumerate() if not thread.daemon and thread not in (main, own)]
        self.end_process([self.doing] if self.doing else [f"thread {thread.name}" for thread in threads])

    def _say(self, left: str) -> None:
        if self.error is not None:
            logger.error("%s: %s", type(self.error).__name__, self.error)
        logger.error("the program ends without waiting any longer for what does not end: %s", left or "the process")
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        logging.shutdown()
