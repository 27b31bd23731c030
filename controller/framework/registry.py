"""Which handlers there are, and what each wants to be called for."""

import enum
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .cause import Reason
from .filters import Filter

HandlerFunction = Callable[..., Any]


class ErrorsMode(enum.Enum):
    """What an error means that is neither a TemporaryError nor a PermanentError."""

    IGNORED = "ignored"
    """The handler counts as done."""
    TEMPORARY = "temporary"
    """It is called again, by its backoff."""
    PERMANENT = "permanent"
    """It is not called again, as after a PermanentError."""


@dataclass(frozen=True)
class Limits:
    """How long a handler is tried, and what becomes of its errors."""

    retries: int | None = None
    """Calls at the most; None: without end."""
    timeout: float | None = None
    """Seconds for all calls together, and for those that have none but this one for it alone. A call that is under
    way then is cancelled. None: without end."""
    backoff: float | None = None
    """Seconds before the second call, doubled for each further one; None: as the kind of handler has it."""
    errors: ErrorsMode = ErrorsMode.TEMPORARY


@dataclass(frozen=True)
class Schedule:
    """When a timer or daemon runs; all in seconds."""

    interval: float = 0.0
    """Of timers: between the end of a call and the next one."""
    initial_delay: float = 0.0
    """Before the first call; 0: the interval for a timer, nothing for a daemon."""
    sharp: bool = False
    """Of timers: the interval counts from the begin of a call, and those that a long call overran are left out."""
    idle: float = 0.0
    """Of timers: not before what people declare of the object has been unchanged for so long."""
    cancellation_backoff: float = 0.0
    """Of daemons: how long one may take to stop by itself before it is cancelled."""
    cancellation_timeout: float = 60.0
    """Of daemons: how long a cancelled one is waited for before it is left to itself."""


@dataclass(frozen=True, eq=False)
class Handler:
    """A function that somebody wrote, and when it is called.

    ``activity`` is the decorator's name. ``source`` is the module of the user's that it stands in, and empty for
    those that the program has built in.
    """

    function: HandlerFunction
    activity: str
    id: str
    kind: str = ""
    source: str = ""
    param: Any = None
    filter: Filter = field(default_factory=Filter)
    limits: Limits = field(default_factory=Limits)
    schedule: Schedule = field(default_factory=Schedule)

    @cached_property
    def key(self) -> str:
        """Unique among the handlers of one kind, and the same in every run."""
        return "/".join(filter(None, (self.source, self.activity, self.id)))

    @cached_property
    def is_async(self) -> bool:
        """Whether it is a coroutine function; others are called in threads."""
        return inspect.iscoroutinefunction(self.function)

    def __str__(self) -> str:
        return f"{self.source}: {self.id}" if self.source else self.id


@dataclass
class Registry:
    """All handlers of a program, in the order in which they were declared."""

    handlers: list[Handler] = field(default_factory=list)
    source: str = ""
    """The user's module that is being loaded; handlers that declare themselves now are its."""

    def add(self, handler: Handler) -> None:
        """Declares a handler.

        Raises:
            ValueError: there is one of that id already.
        """
        # An index is looked up by its id alone, whichever module it stands in.
        same = [known for known in self.of(handler.activity, handler.kind) if known.id == handler.id]
        if any(known.source == handler.source or handler.activity == "index" for known in same):
            what = " of ".join(filter(None, (handler.activity, handler.kind)))
            raise ValueError(f"there are two handlers {handler.id!r} for {what}: give one of them another id")
        self.handlers.append(handler)

    @contextmanager
    def loading(self, source: str) -> Iterator[None]:
        """While a user's module is loaded: handlers are marked as its; if it fails none of them stays."""
        before, self.source = list(self.handlers), source
        try:
            yield
        except BaseException:
            self.handlers[:] = before
            raise
        finally:
            self.source = ""

    def built_in(self) -> "Registry":
        """The handlers that the program has built in."""
        return Registry([handler for handler in self.handlers if not handler.source])

    def of_users(self) -> "Registry":
        """The handlers that stand in modules of the user's."""
        return Registry([handler for handler in self.handlers if handler.source])

    def of(self, activity: str, kind: str = "") -> Sequence[Handler]:
        """The handlers of an activity, for a kind."""
        return [known for known in self.handlers if known.activity == activity and known.kind == kind]

    def for_change(self, kind: str) -> Sequence[Handler]:
        """The handlers to be called for creations and changes; a field's are called for both."""
        activities = ("create", "update", "field")
        return [known for known in self.handlers if known.activity in activities and known.kind == kind]

    def for_reason(self, reason: Reason, kind: str) -> Sequence[Handler]:
        """The handlers to be called for a deletion or a new run."""
        return self.of(reason.value, kind)

    def holding(self, kind: str) -> Sequence[Handler]:
        """The handlers that an object may not go without: those of its deletion, and daemons."""
        return [*self.of("delete", kind), *self.of("daemon", kind)]
