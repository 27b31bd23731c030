"""Calls a handler: arguments by name, plain functions in threads, and an end when its time is up."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from controller.clock import Clock
from controller.errors import HandlerTimeout

from .parameters import chosen
from .registry import Handler, HandlerFunction

# Seconds that a call may take to end once it is cancelled; then it is left to itself.
_CANCELLATION_GRACE = 5.0


@dataclass(frozen=True)
class Result:
    """What a handler answers.

    ``requeue_after``: call again in so many seconds, though nothing changed. ``done``: whether the handler has
    finished its work; one that has not is called again then, or at the object's next change, and an object that is
    being deleted stays. ``value``: what an index, a probe or a check of a declaration has to say.
    """

    requeue_after: float | None = None
    done: bool = True
    value: Any = None


async def invoke(
    handler: Handler, arguments: Mapping[str, Any], threads: Executor, clock: Clock, *, within: float | None = None
) -> Result:
    """Calls the handler with those of ``arguments`` that it names; a plain function is run in a thread.

    After ``within`` seconds the call is cancelled. A thread cannot be: what it still does has no effect on the
    object, as its answer and its patch are dropped.

    Raises:
        HandlerTimeout: the time was up.
        Exception: whatever the handler raises.
    """
    call = partial(handler.function, **chosen(handler.function, arguments))
    work: Awaitable[Any] = call() if handler.is_async else asyncio.get_running_loop().run_in_executor(threads, call)
    answer = await (work if within is None else _in_time(work, within, clock))
    return answer if isinstance(answer, Result) else Result(value=answer)


async def in_own_thread(
    handler: Handler, arguments: Mapping[str, Any], clock: Clock, *, within: float | None = None
) -> Result:
    """Calls a plain function that may run as long as its object lives, so not in a thread that others wait for.

    Raises:
        HandlerTimeout, Exception: as :func:`invoke`.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Any] = loop.create_future()
    call = partial(handler.function, **chosen(handler.function, arguments))

    def tell(answer: Any, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(answer)

    def run() -> None:
        answer, error = None, None
        try:
            answer = call()
        except BaseException as raised:  # noqa: BLE001  # whatever it is, the waiting side gets it
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, answer, error)

    threading.Thread(target=run, name=f"daemon {handler.id}", daemon=True).start()
    answer = await (ended if within is None else _in_time(ended, within, clock))
    return answer if isinstance(answer, Result) else Result(value=answer)


async def _in_time(work: Awaitable[Any], seconds: float, clock: Clock) -> Any:
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    finally:
        alarm.cancel()
        if not task.done():
            task.cancel()
    patience = asyncio.ensure_future(clock.sleep(_CANCELLATION_GRACE))
    try:
        await asyncio.wait((task, patience), return_when=asyncio.FIRST_COMPLETED)
    finally:
        patience.cancel()
    task.add_done_callback(_retrieve)
    raise HandlerTimeout(f"its time of {seconds:g} s is up")


def _retrieve(task: "asyncio.Future[Any]") -> None:
    """What a call raises after its time is up interests nobody; asyncio is told that this is meant."""
    if not task.cancelled():
        task.exception()


def own_traceback(error: BaseException, function: HandlerFunction) -> TracebackType | None:
    """The traceback from the handler's own frame on; the whole one when it does not come by there."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code is not code:
        trace = trace.tb_next
    return trace or error.__traceback__
