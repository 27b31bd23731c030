"""The decorators: ``@on.create("Service")`` and so on, as kopf has them.

They add to :data:`default`, the registry of the program, unless ``registry`` names another one.
"""

from typing import Any, Protocol, TypeVar

from .registry import Handler, HandlerFunction, Registry

default = Registry()

F = TypeVar("F", bound=HandlerFunction)


class Decorator(Protocol):
    """Declares a function as a handler, and leaves it as it is."""

    def __call__(self, function: F, /) -> F: ...


def startup(*, id: str = "", registry: Registry | None = None) -> Decorator:  # noqa: A002  # kopf's name
    """Called once before anything else; an error keeps the program from starting."""
    return _declare("startup", "", id, registry)


def cleanup(*, id: str = "", registry: Registry | None = None) -> Decorator:  # noqa: A002  # kopf's name
    """Called once when the program stops; an error is logged."""
    return _declare("cleanup", "", id, registry)


def create(kind: str, *, id: str = "", param: Any = None, registry: Registry | None = None) -> Decorator:  # noqa: A002
    """Called for an object that was never handled, until it succeeds once."""
    return _declare("create", kind, id, registry, param=param)


def update(kind: str, *, id: str = "", param: Any = None, registry: Registry | None = None) -> Decorator:  # noqa: A002
    """Called when spec, labels or annotations differ from when the object was last handled, until it succeeds."""
    return _declare("update", kind, id, registry, param=param)


def resume(kind: str, *, id: str = "", param: Any = None, registry: Registry | None = None) -> Decorator:  # noqa: A002
    """Called once in each run of the program for an object that was handled in an earlier one."""
    return _declare("resume", kind, id, registry, param=param)


def delete(kind: str, *, id: str = "", param: Any = None, registry: Registry | None = None) -> Decorator:  # noqa: A002
    """Called when deletion is asked for, until it is done; the object stays as long (by a finalizer)."""
    return _declare("delete", kind, id, registry, param=param)


def reconcile(kind: str, *, id: str = "", param: Any = None, registry: Registry | None = None) -> Decorator:  # noqa: A002
    """Called whenever the object, or one that it owns, may have changed: level-triggered, so it must be idempotent.

    Returns a :class:`Result` to be called again later. Not called once deletion is asked for.
    """
    return _declare("reconcile", kind, id, registry, param=param)


def timer(
    kind: str,
    *,
    interval: float,
    initial_delay: float = 0.0,
    id: str = "",  # noqa: A002  # kopf's name
    param: Any = None,
    registry: Registry | None = None,
) -> Decorator:
    """Called for each object every ``interval`` seconds, counted from the end of the call before."""
    return _declare("timer", kind, id, registry, param=param, interval=interval, initial_delay=initial_delay)


def _declare(activity: str, kind: str, id_: str, registry: Registry | None, **options: Any) -> Decorator:
    def decorate(function: F) -> F:
        handler = Handler(function, activity, id_ or function.__qualname__, kind, **options)
        (default if registry is None else registry).add(handler)
        return function

    return decorate
