"""Which arguments a function takes: handlers name those that they want."""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def _accepted(function: Callable[..., Any]) -> frozenset[str] | None:
    """The argument names that a function takes; None when it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)


def names(function: Callable[..., Any], name: str) -> bool:
    """Whether the function takes an argument of that name."""
    accepted = _accepted(function)
    return accepted is None or name in accepted


def chosen(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of the arguments that the function names."""
    accepted = _accepted(function)
    return {name: value for name, value in arguments.items() if accepted is None or name in accepted}
