"""The decorators: ``@on.create("Service")`` and so on, as kopf has them. docs/handlers.md has them in one table.

They add to :data:`default`, the registry of the program, unless ``registry`` names another one. A handler names the
arguments that it wants; one that is no coroutine function is called in a thread.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypedDict, TypeVar, Unpack

from controller.store import CONTAINER, SERVICE, Kind

from .fields import Path, parse_path
from .filters import ANY, Filter
from .registry import ErrorsMode, Handler, HandlerFunction, Limits, Registry, Schedule

default = Registry()

# What can be handled. Events and revisions are bookkeeping.
_KINDS: Mapping[str, Kind[Any]] = {kind.name: kind for kind in (SERVICE, CONTAINER)}
# Whose handlers are of no object, and whose are told what has changed.
_OF_THE_PROGRAM = ("startup", "cleanup", "probe")
_TOLD_OF_CHANGES = ("create", "update", "field", "validate", "mutate")

F = TypeVar("F", bound=HandlerFunction)


class Decorator(Protocol):
    """Declares a function as a handler, and leaves it as it is."""

    def __call__(self, function: F, /) -> F: ...


class Identity(TypedDict, total=False):
    """Options of every handler."""

    id: str
    """Unique among the handlers of one decorator and kind in one module; default the function's name. Keep it: under
    it is remembered what the handler has done."""
    param: Any
    """Handed to the handler as it is; lets one function be several handlers."""
    registry: Registry


class Filters(TypedDict, total=False):
    """Which objects the handler is for; all that are given must hold. See :class:`Filter`."""

    labels: Mapping[str, Any]
    annotations: Mapping[str, Any]
    when: Callable[..., Any]
    field: str | Sequence[str]
    value: Any
    old: Any
    new: Any


class Probed(Identity, total=False):
    """Options of a handler of the program's that somebody waits for."""

    timeout: float


class Called(Identity, Filters, total=False):
    """Options of a handler of an object that is called once, whatever comes of it. See :class:`Limits`."""

    timeout: float


class Repeated(Called, total=False):
    """Options of a handler that is tried again by the queue."""

    retries: int
    errors: ErrorsMode | str


class Options(Repeated, total=False):
    """Options of a handler that is tried again by a pause of its own."""

    backoff: float


class Indexing(Identity, Filters, total=False):
    """Options of an index."""


_OPTIONS: Mapping[str, type] = {
    "startup": Identity, "cleanup": Identity, "probe": Probed, "validate": Called, "mutate": Called, "event": Called,
    "reconcile": Repeated, "index": Indexing,
}  # fmt: skip


def startup(**options: Unpack[Identity]) -> Decorator:
    """Called once before anything else; an error keeps the program from starting."""
    return _declare("startup", "", options)


def cleanup(**options: Unpack[Identity]) -> Decorator:
    """Called once when the program stops; an error is logged."""
    return _declare("cleanup", "", options)


def probe(**options: Unpack[Probed]) -> Decorator:
    """Called for each ``/readyz``: the program is not ready while it raises; what it returns is shown by ?verbose."""
    return _declare("probe", "", options)


def validate(kind: str, **options: Unpack[Called]) -> Decorator:
    """Called before a declaration is stored: refuses it by raising PermanentError, or by returning Violations.

    Further arguments: ``others``, the services that will stand beside it, and ``dry_run``.
    """
    return _declare("validate", kind, options)


def mutate(kind: str, **options: Unpack[Called]) -> Decorator:
    """Called before a declaration is validated: completes it by ``patch``. Further argument: ``dry_run``."""
    return _declare("mutate", kind, options)


def create(kind: str, **options: Unpack[Options]) -> Decorator:
    """Called for an object that was never handled, until it succeeds once."""
    return _declare("create", kind, options)


def update(kind: str, **options: Unpack[Options]) -> Decorator:
    """Called when spec, labels or annotations differ from what the handler has seen, until it succeeds.

    With ``field`` only when that has changed; ``old``, ``new`` and ``diff`` are then those of the field.
    """
    return _declare("update", kind, options)


def field(kind: str, **options: Unpack[Options]) -> Decorator:
    """Called when the ``field`` of an object comes to be, changes or goes; at creation ``old`` is None."""
    if "field" not in options:
        raise ValueError("on.field needs field=, such as field='spec.image'")
    return _declare("field", kind, options)


def resume(kind: str, **options: Unpack[Options]) -> Decorator:
    """Called once in each run of the program for an object that was handled in an earlier one."""
    return _declare("resume", kind, options)


def delete(kind: str, **options: Unpack[Options]) -> Decorator:
    """Called when deletion is asked for, until it is done; the object stays as long, by a finalizer."""
    return _declare("delete", kind, options)


def event(kind: str, **options: Unpack[Called]) -> Decorator:
    """Called for every change of an object, also of its status. Further argument: ``type``, ADDED, MODIFIED or
    DELETED. Errors are said and not retried."""
    return _declare("event", kind, options)


def reconcile(kind: str, **options: Unpack[Repeated]) -> Decorator:
    """Called whenever the object, or one that it owns, may have changed: level-triggered, so it must be idempotent.

    Returns a :class:`Result` to be called again later. Not called once deletion is asked for.
    """
    return _declare("reconcile", kind, options)


def timer(
    kind: str, *, interval: float, initial_delay: float = 0.0, sharp: bool = False, idle: float = 0.0,
    **options: Unpack[Options],
) -> Decorator:  # fmt: skip
    """Called for each object every ``interval`` seconds, counted from the end of the call before.

    ``initial_delay``: before the first call, instead of the interval. ``sharp``: counted from the begin of the call.
    ``idle``: only when the object has been left alone for so long. All in seconds.
    """
    schedule = Schedule(interval=interval, initial_delay=initial_delay, sharp=sharp, idle=idle)
    if interval <= 0:
        raise ValueError(f"a timer needs an interval of more than 0 seconds, not {interval:g}")
    return _declare("timer", kind, options, schedule)


def daemon(
    kind: str, *, initial_delay: float = 0.0, cancellation_backoff: float = 0.0, cancellation_timeout: float = 60.0,
    **options: Unpack[Options],
) -> Decorator:  # fmt: skip
    """Called once for each object and may run as long as that is there. Further argument: ``stopped``.

    When the object goes or matches no more, ``stopped`` comes true; ``cancellation_backoff`` seconds later a
    coroutine is cancelled, and the object goes once it has ended, or after ``cancellation_timeout`` more.
    """
    schedule = Schedule(
        initial_delay=initial_delay, cancellation_backoff=cancellation_backoff,
        cancellation_timeout=cancellation_timeout,
    )  # fmt: skip
    return _declare("daemon", kind, options, schedule)


def index(kind: str, **options: Unpack[Indexing]) -> Decorator:
    """Called within each change of an object: returns a mapping from keys to values, for ``indices[ID][key]``.

    It must be a plain function, and quick: every writer waits for it.
    """
    declared = _declare("index", kind, options)

    def decorate(function: F) -> F:
        if inspect.iscoroutinefunction(function):
            raise ValueError(f"index {function.__name__} must be a plain function: writers wait for it")
        return declared(function)

    return decorate


def _declare(activity: str, kind: str, options: Mapping[str, Any], schedule: Schedule | None = None) -> Decorator:
    _refuse_unknown(activity, options)
    if activity in ("validate", "mutate") and kind == CONTAINER.name:
        raise ValueError(f"on.{activity}: nobody declares a Container; its service is what is declared")
    path = _path(kind, options.get("field", ())) if activity not in _OF_THE_PROGRAM else ()
    if aimless := [name for name in ("value", "old", "new") if name in options and not path]:
        raise ValueError(f"on.{activity}: {aimless[0]}= speaks of a field: give field= too")
    if "old" in options and activity not in _TOLD_OF_CHANGES:
        raise ValueError(f"on.{activity} is not told of changes, so old= means nothing there")
    if path[:1] == ("status",) and activity in ("create", "update", "field", "resume", "validate", "mutate"):
        raise ValueError(f"on.{activity} is not told of the status: use on.event or on.reconcile")
    _check_types(activity, options)
    registry: Registry = options.get("registry", default)
    limits = Limits(
        options.get("retries"), options.get("timeout"), options.get("backoff"),
        ErrorsMode(options.get("errors", ErrorsMode.TEMPORARY)),
    )  # fmt: skip
    filter_ = Filter(
        options.get("labels", {}), options.get("annotations", {}), path, options.get("value", ANY),
        options.get("old", ANY), options.get("new", ANY), options.get("when"),
    )  # fmt: skip

    def decorate(function: F) -> F:
        default_id = (
            function.__qualname__ if not path or activity != "field" else f"{function.__qualname__}.{'.'.join(path)}"
        )
        handler = Handler(
            function, activity, options.get("id", "") or default_id, kind, registry.source, options.get("param"),
            filter_, limits, schedule or Schedule(),
        )  # fmt: skip
        registry.add(handler)
        return function

    return decorate


def _refuse_unknown(activity: str, options: Mapping[str, Any]) -> None:
    """A misspelt filter would let a handler match everything, without a word."""
    known = _OPTIONS.get(activity, Options).__annotations__
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise TypeError(f"on.{activity} has no option {name!r}; {hint}")


def _check_types(activity: str, options: Mapping[str, Any]) -> None:
    """What is wrong with an option is said where it stands, and not when the handler is called."""
    for name in ("timeout", "backoff"):
        value = options.get(name, 1)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0):
            raise ValueError(f"on.{activity}: {name}={value!r} is no number of seconds above 0")
    retries = options.get("retries", 1)
    if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or retries < 1):
        raise ValueError(f"on.{activity}: retries={retries!r} is no whole number from 1 on: it is how often to call")
    for name in ("labels", "annotations"):
        if not isinstance(options.get(name, {}), Mapping):
            raise ValueError(f"on.{activity}: {name}={options[name]!r} is no mapping such as {{'tier': 'front'}}")
    if not callable(options.get("when", callable)):
        raise ValueError(f"on.{activity}: when={options['when']!r} is no function")


def _path(kind: str, field_: str | Sequence[str]) -> Path:
    if kind not in _KINDS:
        close = difflib.get_close_matches(str(kind).title(), _KINDS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are for {' and '.join(_KINDS)}"
        raise ValueError(f"there are no handlers for {kind!r}; {hint}")
    if not field_:
        return ()
    # `labels` and `annotations` are what the arguments of these names are.
    parts = field_.split(".") if isinstance(field_, str) else list(field_)
    if parts[0] in ("labels", "annotations"):
        field_ = f"metadata.{field_}" if isinstance(field_, str) else ["metadata", *parts]
    return parse_path(field_, _KINDS[kind].message.DESCRIPTOR)
