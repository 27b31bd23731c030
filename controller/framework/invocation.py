"""Calls a handler: arguments by name, plain functions in threads."""

import asyncio
import inspect
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from .registry import Handler, HandlerFunction


@dataclass(frozen=True)
class Result:
    """What a handler answers.

    ``requeue_after``: call again in so many seconds, though nothing changed. ``done``: whether the handler has
    finished its work; a delete handler that has not is called again, and the object stays.
    """

    requeue_after: float | None = None
    done: bool = True


@lru_cache(maxsize=1024)
def _accepted(function: HandlerFunction) -> frozenset[str] | None:
    """The argument names that a handler takes; None when it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)


async def invoke(handler: Handler, arguments: Mapping[str, Any], threads: Executor) -> Result:
    """Calls the handler with those of ``arguments`` that it names; a plain function is run in a thread.

    Raises:
        Exception: whatever the handler raises.
    """
    accepted = _accepted(handler.function)
    chosen = {name: value for name, value in arguments.items() if accepted is None or name in accepted}
    if inspect.iscoroutinefunction(handler.function):
        answer = await handler.function(**chosen)
    else:
        call = partial(handler.function, **chosen)
        answer = await asyncio.get_running_loop().run_in_executor(threads, call)
    return answer if isinstance(answer, Result) else Result()
