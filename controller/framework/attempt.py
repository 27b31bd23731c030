"""One call of a handler and what it comes to: success, another try and when, or the end."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from controller.errors import DockRunnerError, HandlerTimeout, PermanentError, TemporaryError
from controller.store import Kind

from .context import Context, arguments_of
from .invocation import Result, in_own_thread, invoke, own_traceback
from .memory import Memory, Progress
from .patch import Patch
from .registry import ErrorsMode, Handler

# Seconds before the second call of a handler that failed, unless it has a `backoff` of its own.
BACKOFF = 1.0
LONGEST_BACKOFF = 1000.0
# How much longer than its backoff a pause may be: many that failed together do not come back together.
JITTER = 0.1
# A handler that has given up is tried anew after so many seconds: what it failed for may be mended, and nobody says so.
SECOND_THOUGHTS = 3600.0

# Characters of what a handler failed with that are kept; events have the same limit.
MESSAGE_LIMIT = 1024

logger = logging.getLogger("dock_runner.framework")


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    ``result`` is None when it failed; then ``delay`` is the pause before the next call in seconds, None for the
    backoff, unless it is ``final``. ``panic`` marks an error that no handler means to raise, and ``expected`` one
    that it does: something has to be waited for.
    """

    result: Result | None = None
    delay: float | None = None
    final: bool = False
    panic: bool = False
    expected: bool = False
    message: str = ""


@dataclass(frozen=True)
class Attempts:
    """Calls the handlers of one kind. ``admit`` has what a patch makes of an object checked, and completes it."""

    context: Context
    kind: Kind[Any]
    admit: Callable[[Patch], Awaitable[Patch]] | None = None

    async def call(
        self, handler: Handler, obj: Any, memory: Memory, *, within: float | None = None, own_thread: bool = False,
        **more: Any,
    ) -> Outcome:  # fmt: skip
        """One call, and the write of what the handler wants changed, also when it fails. Only cancellation is raised.

        What a call that ran out of time wanted is dropped: it may be at work on it still.
        """
        context, patch = self.context, Patch(obj)
        arguments = arguments_of(context, handler, self.kind, obj, memory, patch, status=patch.status, **more)
        try:
            if not handler.filter.agrees(arguments):
                return Outcome(Result())
            if own_thread:
                outcome = Outcome(await in_own_thread(handler, arguments, context.clock, within=within))
            else:
                outcome = Outcome(await invoke(handler, arguments, context.threads, context.clock, within=within))
        except HandlerTimeout as error:
            return self._failed(handler, obj, error)
        except TemporaryError as error:
            logger.info("%s %s: %s: %s", self.kind.name.lower(), obj.metadata.name, handler, error)
            outcome = Outcome(delay=error.delay, expected=error.delay is not None, message=str(error)[:MESSAGE_LIMIT])
        except Exception as error:  # noqa: BLE001  # somebody else's code: none of its errors ends a worker
            outcome = self._failed(handler, obj, error)
        try:
            if patch.changes_spec and self.admit is not None:
                patch = await self.admit(patch)
            patch.write(self.kind, context.store)
        except Exception as error:  # noqa: BLE001  # what was made of the object may be anything
            return self._failed(handler, obj, error)
        return outcome

    def _failed(self, handler: Handler, obj: Any, error: Exception) -> Outcome:
        planned = isinstance(error, DockRunnerError)
        message = (str(error) if planned else f"{type(error).__name__}: {error}")[:MESSAGE_LIMIT]
        if not planned:
            where = f"{self.kind.name.lower()} {obj.metadata.name}"
            trace = (type(error), error, own_traceback(error, handler.function))
            logger.error("%s: handler %s failed", where, handler, exc_info=trace)
        self.context.complain(self.kind, obj, handler, message or "failed")
        mode = handler.limits.errors
        if isinstance(error, PermanentError):
            return Outcome(final=True, message=message)
        if mode is ErrorsMode.IGNORED:
            return Outcome(Result(), panic=not planned, message=message)
        return Outcome(final=mode is ErrorsMode.PERMANENT, panic=not planned, message=message)


def give_up(handler: Handler, progress: Progress, outcome: Outcome, pause: float, now: datetime) -> str:
    """Why a handler is not called again after a call that failed; empty when it is. Looks ahead."""
    limits = handler.limits
    if outcome.final:
        return outcome.message or "failed for good"
    if limits.retries is not None and progress.retries >= limits.retries:
        return f"gave up after {progress.retries} tries: {outcome.message}"
    if limits.timeout is not None and now + timedelta(seconds=pause) >= progress.started + timedelta(
        seconds=limits.timeout
    ):
        return f"gave up after {limits.timeout:g} s: {outcome.message}"
    return ""


def pause_before(handler: Handler, retries: int, context: Context, longest: float = LONGEST_BACKOFF) -> float:
    """Seconds before the call that follows so many failed ones: doubled each time, with jitter."""
    first = BACKOFF if handler.limits.backoff is None else handler.limits.backoff
    pause = min(first * 2.0 ** min(retries - 1, 64), max(longest, first))
    return pause * (1 + JITTER * context.random.random())
