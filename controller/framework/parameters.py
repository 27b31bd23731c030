"""Which arguments a function takes: handlers name those that they want."""

import difflib
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


# What every handler of an object may name, and besides it what the program injects.
ARGUMENTS = frozenset(
    (
        "name", "uid", "body", "spec", "status", "meta", "labels", "annotations", "patch", "memo", "param", "indices",
        "store", "engine", "logger", "now", "old", "new", "diff", "reason", "retry", "started", "runtime",
        "informer", "instance", "recorder", "orphans", "in_flight", "policy", "refused", "surroundings", "images",
    )
)  # fmt: skip
OF_THE_PROGRAM = frozenset(("store", "engine", "indices", "now", "param", "logger", "reason"))
FURTHER = {
    "validate": ("others", "dry_run"), "mutate": ("others", "dry_run"), "event": ("type",), "timer": ("stopped",),
    "daemon": ("stopped",),
}  # fmt: skip


def check_arguments(function: Callable[..., Any], activity: str) -> None:
    """Refuses a handler that asks for what there is not.

    Raises:
        ValueError: names the nearest argument that there is.
    """
    injected = ARGUMENTS - OF_THE_PROGRAM if activity in ("startup", "cleanup", "probe") else frozenset()
    known = (ARGUMENTS - injected) | set(FURTHER.get(activity, ()))
    for parameter in inspect.signature(function).parameters.values():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and parameter.name not in known:
            close = difflib.get_close_matches(parameter.name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            name = getattr(function, "__name__", "handler")
            raise ValueError(f"{name}: on.{activity} has no argument {parameter.name!r}{hint}")


def chosen(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of the arguments that the function names."""
    accepted = _accepted(function)
    return {name: value for name, value in arguments.items() if accepted is None or name in accepted}
